//! One connection: HTTP/1.1 or HTTP/2, request after request, until one side ends it.
//!
//! Which of the two it is was agreed on in the TLS handshake, or shows in the first bytes. hyper speaks the protocol
//! behind a wrapper of ours, which has the clocks; see `io`. What is decided here is when a connection should end
//! although nobody is at fault: a drain, too many requests, and over HTTP/2 no streams for some time.
//!
//! HTTP/2 can end without losing a request; HTTP/1 cannot close an idle connection without a race against the request
//! that is just coming. So a drain first answers with `Connection: close`, and closes what is idle a moment later.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::drain::Drain;
use super::io::{Early, Http1Io, Http2Io, Requests, Switching, early};
use super::limits::Limits;
use super::streams::{Handed, StreamExecutor, Streams};
use super::tracked::{Answering, Tracked};
use crate::gateway::Connection;

/// How long an idle connection is kept for a request that may be on its way when a drain begins.
const LINGER: Duration = Duration::from_millis(100);
/// How long a client over HTTP/2 that was told to go may have no stream before it is left.
const FAREWELL: Duration = Duration::from_millis(500);
/// Bytes of a response that wait in h2 for room.
const SEND_BUFFER: usize = 64 << 10;

/// hyper's own bound of header lines, which costs it no allocation.
const HTTP1_HEADERS: usize = 100;

/// Answers the requests of connections.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Body of its responses.
    type Body: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static;

    /// Answers one request.
    fn handle(
        self: Arc<Self>,
        connection: Connection,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Cleartext: its first bytes tell.
    Detect,
    /// Agreed on by ALPN, or without it.
    Http1,
    /// Agreed on by ALPN.
    Http2,
}

/// Serves a connection to its end, or until the drain lets it finish the request it is at.
pub(super) async fn serve<S, H>(
    mut stream: S,
    protocol: Protocol,
    connection: Connection,
    handler: Arc<H>,
    drain: Drain,
    limits: Limits,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let peer = connection.peer;
    let leave = async {
        drain.asked().await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(leave);
    let early = match protocol {
        Protocol::Http1 | Protocol::Http2 => Ok(Early::none()),
        Protocol::Detect => tokio::select! {
            early = early(&mut stream, &limits) => early,
            () = leave.as_mut() => return,
        },
    };
    let ended = match early {
        Err(error) => Err(error.into()),
        Ok(early) => {
            let session = Session { connection, handler, drain: drain.clone(), limits };
            if protocol == Protocol::Http2 || early.is_http2() {
                session.http2(stream, early, leave).await
            } else {
                session.http1(stream, early, leave).await
            }
        }
    };
    if let Err(error) = ended {
        // Clients end connections in every way there is; guests' failures are logged where they are known.
        tracing::debug!(%peer, %error, "connection ended");
    }
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Early(#[from] io::Error),
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
    #[error("the client does not read the end of a response")]
    HeldUp,
}

struct Session<H> {
    connection: Connection,
    handler: Arc<H>,
    drain: Drain,
    limits: Limits,
}

impl<H: Handler> Session<H> {
    async fn http1<S>(self, stream: S, early: Early, leave: impl Future<Output = ()>) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { connection, handler, drain, limits } = self;
        let requests = Arc::new(Requests::default());
        let mut builder = http1::Builder::new();
        builder.header_read_timeout(None).max_buf_size(limits.head_bytes);
        if limits.max_headers != HTTP1_HEADERS {
            builder.max_headers(limits.max_headers);
        }
        let io = Http1Io::new(stream, early, Arc::clone(&requests), limits.clone());
        let (of_connection, _cut) = (Arc::clone(&requests), requests.tunnel.cut_on_drop());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (number, flaw) = requests.begin();
            let is_last = flaw.is_some() || number >= limits.max_requests || request.version() == Version::HTTP_10;
            if let Some(flaw) = flaw {
                request.extensions_mut().insert(flaw);
            }
            pace(&mut request, &limits);
            let (handler, drain, answering) = (Arc::clone(&handler), drain.clone(), Answering(Arc::clone(&requests)));
            let connection = connection.clone();
            async move {
                let mut response = handler.handle(connection, request).await;
                if response.extensions_mut().remove::<Switching>().is_some() {
                    answering.0.tunnel.open();
                } else if is_last || drain.is_leaving() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| Tracked::http1(body, answering)))
            }
        });
        let serving = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => Some(ended),
            () = leave => None,
        };
        match ended {
            Some(ended) => ended?,
            None => {
                serving.as_mut().graceful_shutdown();
                serving.await?;
            }
        }
        of_connection.tunnel.ended().await;
        Ok(())
    }

    async fn http2<S>(self, stream: S, early: Early, leave: impl Future<Output = ()>) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { connection, handler, drain: _, limits } = self;
        let streams = Streams::new(limits.write_timeout);
        let bounds = &limits.http2;
        let mut builder = http2::Builder::new(StreamExecutor(Arc::clone(&streams)));
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(bounds.max_streams)
            .initial_stream_window_size(bounds.stream_window)
            .initial_connection_window_size(bounds.connection_window)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(bounds.keep_alive_interval)
            .keep_alive_timeout(bounds.keep_alive_timeout);
        let io = Http2Io::new(stream, early, Arc::clone(&streams.open), limits.clone());
        let full = Arc::new(Notify::new());
        let (idle_timeout, filling, begun) = (limits.idle_timeout, Arc::clone(&full), AtomicU64::new(0));
        let service = service_fn(move |mut request: Request<Incoming>| {
            if begun.fetch_add(1, Ordering::Relaxed) + 1 == limits.max_requests {
                filling.notify_one();
            }
            pace(&mut request, &limits);
            let (handler, connection) = (Arc::clone(&handler), connection.clone());
            async move {
                let response = handler.handle(connection, request).await;
                Ok::<_, Infallible>(response.map(|body| Tracked::http2(body, Handed::of_this_stream())))
            }
        });
        let serving = builder.serve_connection(TokioIo::new(io), service);
        let held_up = streams.held_up();
        tokio::pin!(serving, leave, held_up);
        let is_drained = tokio::select! {
            ended = serving.as_mut() => return Ok(ended?),
            () = held_up.as_mut() => return Err(Ended::HeldUp),
            () = leave.as_mut() => true,
            () = full.notified() => false,
            () = streams.idle(idle_timeout) => false,
        };
        serving.as_mut().graceful_shutdown();
        let unanswered = async {
            tokio::time::sleep(FAREWELL).await;
            streams.idle(FAREWELL).await;
        };
        tokio::select! {
            ended = serving => Ok(ended?),
            () = held_up => Err(Ended::HeldUp),
            // Who does not even answer a farewell is not waited for; a drain waits as long as it likes.
            () = unanswered, if !is_drained => Ok(()),
        }
    }
}

/// Tells whoever reads the body how fast it must come.
fn pace(request: &mut Request<Incoming>, limits: &Limits) {
    if !request.body().is_end_stream() {
        request.extensions_mut().insert(limits.body_pace);
    }
}

#[cfg(test)]
mod tests;
