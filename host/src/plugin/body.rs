//! Bodies on their way into and out of a guest.
//!
//! [`InlineBody`] takes what the guest has written by the time its head is there: a body that is complete by then
//! leaves with its length, in one piece. Everything else becomes a streaming [`GuestBody`]: frames go out as the
//! guest writes them, and the guest waits when the client reads slowly, because only a few chunks fit between them.
//!
//! An end of the guest's stream is believed only if no failure was recorded: a guest that dies closes its stream
//! too, and a cut response must look cut to the client.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::call::{Metered, request_body_error};
use super::error::CallError;
use super::exchange::Exchange;

/// As much as is gathered before a response streams.
const INLINE_BYTES: usize = 64 << 10;

/// A request body that ends with an error at the limit.
pub(super) struct LimitedRequestBody<B> {
    inner: B,
    remaining: u64,
    exchange: Arc<Exchange>,
}

impl<B> LimitedRequestBody<B> {
    pub(super) fn new(inner: B, limit: u64, exchange: Arc<Exchange>) -> Self {
        Self { inner, remaining: limit, exchange }
    }
}

impl<B> Body for LimitedRequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::error::Error + 'static,
{
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|error| request_body_error(&error))?;
            if let Some(data) = frame.data_ref() {
                let length = data.len() as u64;
                self.exchange.add_received(length);
                let Some(remaining) = self.remaining.checked_sub(length) else {
                    self.exchange.note_request_too_large();
                    return Err(HttpError::HttpRequestBodySize(None));
                };
                self.remaining = remaining;
            }
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// What is known of a response body while its guest is still polled inline.
pub(super) struct InlineBody {
    inner: WasiBody,
    frames: VecDeque<Frame<Bytes>>,
    gathered: usize,
    body_done: Option<oneshot::Sender<()>>,
    state: State,
    guest_ended: bool,
}

enum State {
    Open,
    Ended,
    Failed(HttpError),
}

impl InlineBody {
    pub(super) fn new(inner: WasiBody, body_done: oneshot::Sender<()>) -> Self {
        Self {
            inner,
            frames: VecDeque::new(),
            gathered: 0,
            body_done: Some(body_done),
            state: State::Open,
            guest_ended: false,
        }
    }

    /// Takes what is there, running the guest on between, until nothing moves, the body ends or enough is gathered.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>, guest: &mut Metered) {
        loop {
            let taken = self.take_frames(cx);
            let open = matches!(self.state, State::Open);
            if !open {
                // Lets a 0.3 guest end, which waits for its body to be taken.
                self.body_done = None;
            }
            if !self.guest_ended {
                self.guest_ended = Pin::new(&mut *guest).poll(cx).is_ready();
                if self.guest_ended && open {
                    self.take_frames(cx);
                    return;
                }
            }
            if !open || !taken || self.gathered >= INLINE_BYTES {
                return;
            }
        }
    }

    fn take_frames(&mut self, cx: &mut Context<'_>) -> bool {
        let mut taken = false;
        while matches!(self.state, State::Open) && self.gathered < INLINE_BYTES {
            match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.gathered += frame.data_ref().map_or(0, Bytes::len);
                    self.frames.push_back(frame);
                    taken = true;
                }
                Poll::Ready(Some(Err(error))) => self.state = State::Failed(error),
                Poll::Ready(None) => self.state = State::Ended,
                Poll::Pending => break,
            }
        }
        taken
    }

    pub(super) fn guest_ended(&self) -> bool {
        self.guest_ended
    }

    /// A failure before anything was sent, so that the client can be told.
    pub(super) fn failure(&self, exchange: &Exchange) -> Option<CallError> {
        if exchange.request_too_large() {
            return Some(CallError::RequestTooLarge);
        }
        if let Some(failure) = exchange.failure() {
            return Some(failure.clone());
        }
        match &self.state {
            State::Failed(error) => Some(CallError::InvalidResponse(format!("its body broke off: {error}"))),
            State::Open if self.guest_ended && self.gathered < INLINE_BYTES => Some(never_finished()),
            State::Open | State::Ended => None,
        }
    }

    /// The body to send. `running` is the guest if it has not ended.
    ///
    /// # Errors
    /// When it is already known to be over the limit.
    pub(super) fn into_body(
        self,
        running: Option<AbortOnDropHandle<()>>,
        exchange: Arc<Exchange>,
        limit: u64,
    ) -> Result<GuestBody, CallError> {
        if self.gathered as u64 > limit {
            return Err(CallError::InvalidResponse("its body is larger than limits.responseBody".to_owned()));
        }
        let ended = matches!(self.state, State::Ended);
        if ended && let Some(running) = running {
            // The client has its whole answer; the guest may finish what it does besides.
            running.detach();
            return Ok(self.complete(exchange));
        }
        if ended {
            return Ok(self.complete(exchange));
        }
        Ok(GuestBody(Kind::Streaming(Box::new(Streaming {
            frames: self.frames,
            inner: Some(self.inner),
            running,
            body_done: self.body_done,
            exchange,
            remaining: limit,
            expected: None,
        }))))
    }

    fn complete(mut self, exchange: Arc<Exchange>) -> GuestBody {
        if self.frames.iter().all(Frame::is_data) {
            let mut data = self.frames.drain(..).filter_map(|frame| frame.into_data().ok());
            let first = data.next().unwrap_or_default();
            let rest = data.next().map(|second| {
                let mut all = BytesMut::with_capacity(self.gathered);
                all.extend_from_slice(&first);
                all.extend_from_slice(&second);
                data.for_each(|chunk| all.extend_from_slice(&chunk));
                all.freeze()
            });
            return GuestBody(Kind::Complete(Some(rest.unwrap_or(first)), exchange));
        }
        GuestBody(Kind::Streaming(Box::new(Streaming {
            frames: self.frames,
            inner: None,
            running: None,
            body_done: None,
            exchange,
            remaining: u64::MAX,
            expected: None,
        })))
    }
}

/// The body of a guest's response. Dropping it before its end drops the guest.
pub struct GuestBody(Kind);

enum Kind {
    Complete(Option<Bytes>, Arc<Exchange>),
    Streaming(Box<Streaming>),
}

struct Streaming {
    frames: VecDeque<Frame<Bytes>>,
    inner: Option<WasiBody>,
    running: Option<AbortOnDropHandle<()>>,
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
        running: Option<AbortOnDropHandle<()>>,
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
                    let error =
                        failure.unwrap_or_else(|| CallError::InvalidResponse(format!("its body broke off: {error}")));
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
                    if Pin::new(running).poll(cx).is_pending() {
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

    /// The client has its whole answer; the guest may finish what it does besides.
    fn let_go(&mut self) {
        self.body_done = None;
        if let Some(running) = self.running.take() {
            running.detach();
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
