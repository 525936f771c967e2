//! One connection: HTTP/1.1 or HTTP/2 (by its preface), request after request, until one side ends it.
//!
//! HTTP/2 can end without losing a request; HTTP/1 cannot close an idle connection without a race against the request
//! that is just coming. So a drain first answers with `Connection: close`, and closes what is idle a moment later.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};

use super::drain::Drain;
use crate::gateway::Connection;

/// Time for a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A head larger than this is 431.
const HEADER_BYTES: usize = 64 << 10;
/// How long an idle connection is kept for a request that may be on its way when a drain begins.
const LINGER: Duration = Duration::from_millis(100);
const HTTP2_STREAMS: u32 = 100;
const HTTP2_PING: Duration = Duration::from_secs(20);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(10);

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Found out by the preface.
    Detect,
    /// HTTP/1.1, agreed on by ALPN.
    Http1,
    /// HTTP/2, agreed on by ALPN.
    Http2,
}

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

/// Serves a connection to its end, or until the drain lets it finish the request it is at.
pub(super) async fn serve<S, H>(stream: S, protocol: Protocol, connection: Connection, handler: Arc<H>, drain: Drain)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder = match protocol {
        Protocol::Detect => builder,
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS)
        .max_header_list_size(HEADER_BYTES as u32)
        .keep_alive_interval(HTTP2_PING)
        .keep_alive_timeout(HTTP2_PING_TIMEOUT);
    let leaving = drain.clone();
    let peer = connection.peer;
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, leaving, connection) = (Arc::clone(&handler), leaving.clone(), connection.clone());
        async move {
            let http1 = request.version() <= Version::HTTP_11;
            let mut response = handler.handle(connection, request).await;
            if http1 && leaving.is_leaving() {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = drain.asked() => match tokio::time::timeout(LINGER, serving.as_mut()).await {
            Ok(ended) => ended,
            Err(_elapsed) => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        },
    };
    if let Err(error) = ended {
        // Clients end connections in every way there is; guests' failures are logged where they are known.
        tracing::debug!(%peer, %error, "connection ended");
    }
}
