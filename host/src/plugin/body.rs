//! Bodies on their way into and out of a guest.
//!
//! [`InlineBody`] takes what the guest has written by the time its head is there. Everything else becomes a streaming
//! [`GuestBody`]: frames go out as the guest writes them, and the guest waits when the client reads slowly, because only
//! a few chunks fit between them.
//!
//! An end of the guest's stream is believed only if no failure was recorded: a guest that dies closes its stream
//! too, and a cut response must look cut to the client.

mod inline;
mod request;
mod running;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

pub(super) use inline::InlineBody;
pub(super) use request::LimitedRequestBody;
pub(super) use running::Running;

use super::error::CallError;
use super::exchange::Exchange;

/// The body of a guest's response. Dropping it before its end drops the guest.
pub struct GuestBody(Kind);

enum Kind {
    Complete(Option<Bytes>, Arc<Exchange>),
    Streaming(Box<Streaming>),
}

struct Streaming {
    frames: VecDeque<Frame<Bytes>>,
    inner: Option<WasiBody>,
    running: Option<Running>,
    body_done: Option<oneshot::Sender<()>>,
    exchange: Arc<Exchange>,
    /// Bytes until the limit.
    remaining: u64,
    /// Bytes until the end, if that was promised.
    expected: Option<u64>,
}

impl GuestBody {
    pub(super) fn streaming(
        inner: WasiBody,
        running: Option<Running>,
        exchange: Arc<Exchange>,
        body_done: oneshot::Sender<()>,
        limit: u64,
    ) -> Self {
        Self(Kind::Streaming(Box::new(Streaming {
            frames: VecDeque::new(),
            inner: Some(inner),
            running,
            body_done: Some(body_done),
            exchange,
            remaining: limit,
            expected: None,
        })))
    }

    /// Tells it the length that its headers promise. Nobody reads past that, not even to see the end.
    pub(super) fn expecting(mut self, length: Option<u64>) -> Self {
        if let Kind::Streaming(streaming) = &mut self.0 {
            streaming.expected = length;
        }
        self
    }

    /// Bytes of request body that the guest has read so far.
    pub fn received(&self) -> u64 {
        match &self.0 {
            Kind::Complete(_, exchange) => exchange.received(),
            Kind::Streaming(streaming) => streaming.exchange.received(),
        }
    }
}

impl Streaming {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(self.count(frame)));
        }
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        loop {
            match Pin::new(&mut *inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if frame.is_trailers() {
                        // Nothing follows, and nobody asks for more.
                        self.inner = None;
                        self.let_go();
                    }
                    return Poll::Ready(Some(self.count(frame)));
                }
                Poll::Ready(Some(Err(error))) => {
                    let failure = self.exchange.failure().cloned();
                    let said = || self.exchange.without_secrets(format!("its body broke off: {error}"));
                    let error = failure.unwrap_or_else(|| CallError::InvalidResponse(said()));
                    return Poll::Ready(Some(Err(self.cut(error))));
                }
                Poll::Ready(None) => {
                    if let Some(failure) = self.exchange.failure().cloned() {
                        return Poll::Ready(Some(Err(self.cut(failure))));
                    }
                    self.inner = None;
                    self.let_go();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let Some(running) = &mut self.running else {
                        let only_the_end_is_missing = self.expected == Some(0);
                        return if only_the_end_is_missing { Poll::Pending } else { self.guest_ended_first() };
                    };
                    if Pin::new(&mut running.guest).poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    // The guest has ended: what it wrote last may be there by now.
                    self.running = None;
                }
            }
        }
    }

    fn guest_ended_first(&mut self) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let error = self.exchange.failure().cloned().unwrap_or_else(never_finished);
        Poll::Ready(Some(Err(self.cut(error))))
    }

    fn count(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, CallError> {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        match self.remaining.checked_sub(length) {
            Some(remaining) => {
                self.remaining = remaining;
                self.expected = self.expected.map(|expected| expected.saturating_sub(length));
                if self.expected == Some(0) {
                    self.let_go();
                }
                Ok(frame)
            }
            None => Err(self.cut(CallError::InvalidResponse("its body is larger than limits.responseBody".to_owned()))),
        }
    }

    /// Nothing more of the guest is needed.
    fn let_go(&mut self) {
        self.body_done = None;
        if let Some(running) = self.running.take() {
            running.let_go();
        }
    }

    /// Ends the stream and the guest.
    fn cut(&mut self, error: CallError) -> CallError {
        self.exchange.fail(error.clone());
        self.frames.clear();
        self.inner = None;
        self.running = None;
        self.exchange.failure().cloned().unwrap_or(error)
    }
}

fn never_finished() -> CallError {
    CallError::InvalidResponse("the guest returned without finishing the body".to_owned())
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        match &mut self.0 {
            Kind::Complete(data, _) => {
                Poll::Ready(data.take().filter(|data| !data.is_empty()).map(|data| Ok(Frame::data(data))))
            }
            Kind::Streaming(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Complete(data, _) => data.as_ref().is_none_or(Bytes::is_empty),
            Kind::Streaming(streaming) => streaming.inner.is_none() && streaming.frames.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Complete(data, _) => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            Kind::Streaming(_) => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for GuestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuestBody").finish_non_exhaustive()
    }
}
