//! WebSockets: two connections over HTTP/1.1 become one tunnel.
//!
//! A request to change the protocol is sent on as what it is, a request; the client's connection stays HTTP until the
//! server has answered 101, and any other answer is an ordinary response. A proxy that begins to copy bytes earlier
//! lets its client smuggle requests to the server past every rule (CVE-2026-2833). Only `websocket` is passed, only
//! with GET over HTTP/1.1, and never with a body; the sanitizer sees to that and leaves a [`WebSocket`] with the
//! request.
//!
//! After the 101 bytes are copied both ways, each side's end is passed on, and the tunnel ends when both have ended,
//! one breaks, or nothing moved for `streamIdle`. The request's deadline holds for the 101 only.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::connection::Lease;
use super::outgoing::Address;
use super::{Exchange, Limits, NotDelivered, Upstream, UpstreamBody, UpstreamError, answer, exchange_clean};
use crate::server::Switching;

/// An extension of requests that ask for a WebSocket, and may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WebSocket;

/// Bytes that one direction of a tunnel holds.
const BUFFER: usize = 16 << 10;

/// Sends a request for a WebSocket on, and makes the tunnel if the server agrees: then the answer is 101, and `held` is
/// kept until the tunnel ends. The request has no body.
///
/// # Errors
/// As [`Upstream::send`].
pub(crate) async fn upgrade<T: Send + 'static>(
    upstream: &Upstream,
    mut parts: Parts,
    limits: &Limits,
    held: T,
) -> Result<Response<UpstreamBody>, UpstreamError> {
    let client = parts.extensions.remove::<OnUpgrade>().ok_or(UpstreamError::NotDelivered(NotDelivered::Protocol))?;
    Address::clean(&mut parts.headers);
    let request = Request::from_parts(parts, Empty::<Bytes>::new().map_err(|never| match never {}));
    let Upstream { pool, target, base } = upstream;
    let answered = exchange_clean(pool, target, base, request, Some(switch()), limits).await?;
    let Exchange { mut parts, body, lease, sending } = answered;
    let server = parts.extensions.remove::<OnUpgrade>();
    if parts.status != 101 {
        return Ok(answer(parts, body, lease, sending, limits).map(|body| body.holding(held)));
    }
    let server = server.ok_or_else(|| UpstreamError::Broken("the server's end of the tunnel is gone".to_owned()))?;
    parts.headers.extend(switch());
    parts.extensions.insert(Switching);
    tokio::spawn(tunnel(client, server, limits.stream_idle, (lease, held)));
    Ok(Response::from_parts(parts, UpstreamBody::empty()))
}

fn switch() -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONNECTION, const { HeaderValue::from_static("upgrade") });
    headers.insert(UPGRADE, const { HeaderValue::from_static("websocket") });
    headers
}

async fn tunnel<T>(client: OnUpgrade, server: OnUpgrade, idle: Duration, held: (Lease, T)) {
    let ended = match tokio::try_join!(client, server) {
        Ok((client, server)) => copy(client, server, idle).await,
        Err(error) => Err(io::Error::other(error)),
    };
    match ended {
        Ok((up, down)) => tracing::debug!(up, down, "a tunnel ended"),
        Err(error) => tracing::debug!(%error, "a tunnel broke"),
    }
    drop(held);
}

async fn copy(client: Upgraded, server: Upgraded, idle: Duration) -> io::Result<(u64, u64)> {
    let moved = Moved(Arc::new(Mutex::new(Instant::now())));
    let mut client = Watched { stream: TokioIo::new(client), moved: moved.clone() };
    let mut server = Watched { stream: TokioIo::new(server), moved: moved.clone() };
    tokio::select! {
        copied = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER) => copied,
        () = moved.stopped(idle) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moved for too long")),
    }
}

/// When something moved last, in either direction.
#[derive(Clone)]
struct Moved(Arc<Mutex<Instant>>);

impl Moved {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn stopped(&self, idle: Duration) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner) + idle;
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// A stream that notes when something moves.
struct Watched<S> {
    stream: S,
    moved: Moved,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            self.moved.note();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.moved.note();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
