//! Copies of requests: recorded while the service reads the original, sent when all of it was seen.
//!
//! ```text
//! body ─ Teed ─→ service             the original: same frames, same back-pressure, no waiting
//!          └─ Tap: bytes so far ──→ one Request for each mirror ──→ MirrorSink ──→ answer is thrown away
//! ```
//!
//! The head of a copy is what the service sees, with `x-wharf-mirror: true` so that whoever gets it can leave out what
//! must happen once only; the host stays the same, for a version chosen by it must behave the same. A copy has no
//! trailers. Nothing here can fail for the original: a copy that is too long, too many or incomplete is let go and
//! counted.
//!
//! A service may answer without reading its body. What it left is then read for the copies, for at most
//! [`READ_ON`], as [`RequestBody`](super::request_body::RequestBody) would read it for nothing; but a body that the
//! client sends only when it is told to, and was not told, is not asked for.
//!
//! Bounds: `maxConcurrent` copies of `maxBodySize` for each mirror, [`MAX_ANSWER`] of an answer and `timeout` for it.
//! Requests of this module are no requests of clients: they pass no filter, and count in nobody's statistics.

mod local;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::GatewayError;
use super::filter::{Fate, Mirror, Ticket};
use super::headers::X_WHARF_MIRROR;

/// For so long is read on what the service left.
const READ_ON: Duration = Duration::from_secs(1);
/// So much of an answer is read; a target that sends more is let go, and has answered.
const MAX_ANSWER: usize = 1 << 20;

/// The answer to a copy.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, GatewayError>>;

/// Sends copies where they belong.
#[async_trait]
pub(super) trait MirrorSink: Send + Sync {
    /// Sends a copy to a service, or a version of it. Whatever is not answered by `deadline` is dropped.
    ///
    /// # Errors
    /// When there was no answer.
    async fn send(
        &self,
        service: &str,
        version: Option<&str>,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Answer, GatewayError>;
}

/// A body that is recorded while it is read.
pub(super) struct Teed<B: Body<Data = Bytes> + Send + Unpin + 'static> {
    /// There until it is dropped.
    body: Option<B>,
    /// There as long as somebody wants a copy.
    tap: Option<Box<Tap>>,
}

/// What is recorded of a request.
struct Tap {
    head: Request<()>,
    recorded: Vec<u8>,
    /// Those that want it still.
    tickets: Vec<Ticket>,
    sink: Arc<dyn MirrorSink>,
    /// The client waits to be told that it may send, and was not told yet.
    awaited: bool,
}

/// Draws for each mirror whether it gets a copy of this request, and has the body recorded if one does. `random` gives
/// numbers uniform over all of `u64`.
pub(super) fn tee<B: Body<Data = Bytes> + Send + Unpin + 'static>(
    parts: &Parts,
    body: B,
    mirrors: &[Mirror],
    sink: impl FnOnce() -> Arc<dyn MirrorSink>,
    mut random: impl FnMut() -> u64,
) -> Teed<B> {
    let length = body.size_hint().lower();
    let tickets: Vec<Ticket> = mirrors.iter().filter_map(|mirror| mirror.draw(length, random())).collect();
    if tickets.is_empty() {
        return Teed { body: Some(body), tap: None };
    }
    let awaited = parts.headers.contains_key(EXPECT);
    let tap = Tap { head: head(parts), recorded: Vec::new(), tickets, sink: sink(), awaited };
    let mut teed = Teed { body: Some(body), tap: Some(Box::new(tap)) };
    teed.finish_if_ended();
    teed
}

/// What a copy says of itself. Of what the gateway knows besides the head, nothing is for it.
fn head(parts: &Parts) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(&parts.method);
    head.uri_mut().clone_from(&parts.uri);
    *head.version_mut() = parts.version;
    head.headers_mut().clone_from(&parts.headers);
    // It is there with all its body already.
    head.headers_mut().remove(EXPECT);
    head.headers_mut().insert(X_WHARF_MIRROR, const { HeaderValue::from_static("true") });
    head
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Teed<B> {
    fn finish_if_ended(&mut self) {
        if self.body.as_ref().is_none_or(Body::is_end_stream)
            && let Some(tap) = self.tap.take()
        {
            tap.finish();
        }
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Teed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { body, tap } = &mut *self;
        let Some(body) = body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if let Some(tapped) = tap {
            tapped.awaited = false;
            match &polled {
                Poll::Ready(Some(Ok(frame))) => {
                    if !tapped.record(frame) {
                        *tap = None;
                    }
                    self.finish_if_ended();
                }
                // What broke off is incomplete.
                Poll::Ready(Some(Err(_))) => *tap = None,
                Poll::Ready(None) => {
                    if let Some(tap) = tap.take() {
                        tap.finish();
                    }
                }
                Poll::Pending => {}
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Teed<B> {
    fn drop(&mut self) {
        if let (Some(tap), Some(body)) = (self.tap.take(), self.body.take())
            && !tap.awaited
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(read_on(body, tap));
        }
    }
}

/// Reads what the service did not.
async fn read_on<B: Body<Data = Bytes> + Send + Unpin>(mut body: B, mut tap: Box<Tap>) {
    let whole = async {
        loop {
            match body.frame().await {
                None => return true,
                Some(Ok(frame)) if tap.record(&frame) => {}
                Some(_) => return false,
            }
        }
    };
    if tokio::time::timeout(READ_ON, whole).await == Ok(true) {
        tap.finish();
    }
}

impl Tap {
    /// Whether anybody still wants a copy.
    fn record(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else { return true };
        let length = self.recorded.len().saturating_add(data.len());
        self.tickets.retain_mut(|ticket| ticket.fits(length));
        if self.tickets.is_empty() {
            return false;
        }
        // Copied: a part of somebody else's buffer would keep all of it.
        self.recorded.extend_from_slice(data);
        true
    }

    /// All of it was seen.
    fn finish(self) {
        let Self { head, recorded, tickets, sink, awaited: _ } = self;
        let Ok(runtime) = Handle::try_current() else { return };
        let body = Bytes::from(recorded);
        for ticket in tickets {
            let request = head.clone().map(|()| body.clone());
            runtime.spawn(send(ticket, request, Arc::clone(&sink)));
        }
    }
}

/// One copy to its end.
async fn send(ticket: Ticket, request: Request<Bytes>, sink: Arc<dyn MirrorSink>) {
    let target = ticket.target();
    let deadline = Instant::now() + target.timeout;
    let answered = async {
        let answer = sink.send(&target.service, target.version.as_deref(), request, deadline).await;
        let (mut body, mut read) = match answer {
            Ok(answer) => (answer.into_body(), 0),
            Err(error) => return failed(&error),
        };
        while read <= MAX_ANSWER {
            match body.frame().await {
                None => break,
                Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(error)) => return failed(&error),
            }
        }
        Fate::Sent
    };
    let fate = tokio::time::timeout_at(deadline, answered).await.unwrap_or(Fate::TimedOut);
    ticket.ended(fate);
}

/// The target has the same deadline, and either may be the first to see that it came.
fn failed(error: &GatewayError) -> Fate {
    if *error == GatewayError::RequestTimeout { Fate::TimedOut } else { Fate::Failed }
}

#[cfg(test)]
mod tests;
