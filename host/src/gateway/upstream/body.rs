//! A response's body on its way back.
//!
//! It has the right to its connection with it: at its end the connection goes back to the pool, and when it is dropped
//! before, the server is told that nobody reads on (HTTP/1.1: the connection is closed; HTTP/2: the stream is reset). A
//! body that ends before the server said so is an error, also where hyper takes it for an end.
//!
//! Clocks: the deadline of the request, unless the response is a stream of events; and `streamIdle` while somebody
//! waits and neither body moves. A client that reads slowly stops nothing but the server that writes to it.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::connection::Lease;
use super::error::{UpstreamError, with_causes};
use super::outgoing::Sending;
use crate::gateway::headers;
use crate::server::{BodyGap, BodyPace};

/// See the module header.
pub(crate) struct UpstreamBody {
    /// There until it ended, well or not.
    running: Option<Box<Running>>,
    /// Bytes that may still come.
    left: u64,
    held: Vec<Box<dyn Any + Send>>,
}

struct Running {
    body: Incoming,
    lease: Lease,
    sending: Arc<Sending>,
    /// How long the connection may wait for the next request.
    idle: Duration,
    stream_idle: Duration,
    gap: BodyGap,
    deadline: Option<(Instant, Option<Pin<Box<Sleep>>>)>,
}

impl UpstreamBody {
    pub(super) fn new(
        body: Incoming,
        lease: Lease,
        sending: Arc<Sending>,
        (idle, stream_idle): (Duration, Duration),
        deadline: Option<Instant>,
    ) -> Self {
        let gap = BodyGap::new(BodyPace { gap: stream_idle, min_rate: 0 });
        let deadline = deadline.map(|deadline| (deadline, None));
        let running = Running { body, lease, sending, idle, stream_idle, gap, deadline };
        if running.body.is_end_stream() {
            running.finish();
            return Self::empty();
        }
        Self { running: Some(Box::new(running)), left: u64::MAX, held: Vec::new() }
    }

    /// No body.
    pub(super) fn empty() -> Self {
        Self { running: None, left: u64::MAX, held: Vec::new() }
    }

    /// Keeps something until the body has ended or is dropped: a place, a count.
    #[must_use]
    pub(crate) fn holding<T: Send + 'static>(mut self, held: T) -> Self {
        if self.running.is_some() {
            self.held.push(Box::new(held));
        }
        self
    }

    /// Lets so many bytes pass.
    ///
    /// # Errors
    /// When it says itself that it has more.
    pub(crate) fn up_to(mut self, limit: u64) -> Result<Self, UpstreamError> {
        if self.size_hint().lower() > limit {
            return Err(too_large());
        }
        self.left = limit;
        Ok(self)
    }

    fn let_go(&mut self) -> Option<Box<Running>> {
        self.held.clear();
        self.running.take()
    }
}

fn too_large() -> UpstreamError {
    UpstreamError::InvalidResponse("its body is larger than limits.responseBody".to_owned())
}

impl Running {
    /// The response is complete. Whether the connection can go on depends on the request.
    fn finish(self) {
        let Self { body, lease, sending, idle, .. } = self;
        drop(body);
        if sending.is_done() {
            lease.give_back(idle);
        } else {
            sending.stop();
        }
    }

    /// Whether the server says that the body has ended. hyper takes a stream that was reset without an error for one
    /// that ended, which it need not have.
    fn has_ended(&self) -> bool {
        !self.lease.is_http2() || self.body.is_end_stream()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        if self.deadline.as_ref().is_some_and(|(deadline, _)| *deadline <= Instant::now()) {
            return Poll::Ready(Some(Err(UpstreamError::Timeout)));
        }
        match self.poll_body(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                self.gap.received(0);
                if let Some(trailers) = frame.trailers_mut() {
                    headers::sanitize_trailers(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) if self.has_ended() => Poll::Ready(None),
            Poll::Ready(None) => {
                Poll::Ready(Some(Err(UpstreamError::Broken("the stream was reset before its end".to_owned()))))
            }
            Poll::Ready(Some(Err(error))) => {
                let fault = self.sending.fault().map(UpstreamError::Request);
                Poll::Ready(Some(Err(fault.unwrap_or_else(|| UpstreamError::Broken(with_causes(&error))))))
            }
            Poll::Pending => self.poll_quiet(cx),
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // That somebody waits for it is what has the connection read it.
        if polled.is_pending() && self.lease.drive(cx) { Pin::new(&mut self.body).poll_frame(cx) } else { polled }
    }

    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        if let Some((deadline, sleep)) = &mut self.deadline
            && sleep.get_or_insert_with(|| Box::pin(sleep_until(*deadline))).as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Some(Err(UpstreamError::Timeout)));
        }
        while self.gap.poll_too_slow(cx).is_ready() {
            if self.sending.is_done() || self.sending.moved().elapsed() >= self.stream_idle {
                return Poll::Ready(Some(Err(UpstreamError::Broken("nothing came for too long".to_owned()))));
            }
            // The request is still on its way.
            self.gap.received(0);
        }
        Poll::Pending
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = &mut *self;
        let Some(running) = &mut this.running else { return Poll::Ready(None) };
        let mut frame = std::task::ready!(running.poll(cx));
        let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len) as u64;
        match this.left.checked_sub(length) {
            Some(left) => this.left = left,
            None => frame = Some(Err(too_large())),
        }
        match &frame {
            None => {
                if let Some(running) = this.let_go() {
                    running.finish();
                }
            }
            Some(Ok(frame)) if frame.is_trailers() || (running.body.is_end_stream() && running.has_ended()) => {
                if let Some(running) = this.let_go() {
                    running.finish();
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) => {
                if let Some(running) = this.let_go() {
                    running.sending.stop();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.running.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.running.as_ref().map_or_else(|| SizeHint::with_exact(0), |running| running.body.size_hint())
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if let Some(running) = self.let_go() {
            running.sending.stop();
        }
    }
}

impl std::fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamBody").field("ended", &self.running.is_none()).finish_non_exhaustive()
    }
}
