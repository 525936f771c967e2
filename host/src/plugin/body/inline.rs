//! What a guest has written by the time its head is there.
//!
//! A body that is complete by then leaves with its length, in one piece; anything else goes on as a stream.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::{GuestBody, Kind, Running, Streaming, never_finished};
use crate::plugin::call::Metered;
use crate::plugin::error::CallError;
use crate::plugin::exchange::Exchange;

/// As much as is gathered before a response streams.
const INLINE_BYTES: usize = 32 << 10;

/// What is known of a response body while its guest is still polled inline.
pub(in crate::plugin) struct InlineBody {
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
    pub(in crate::plugin) fn new(inner: WasiBody, body_done: oneshot::Sender<()>) -> Self {
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
    pub(in crate::plugin) fn advance(&mut self, cx: &mut Context<'_>, guest: &mut Metered) {
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

    pub(in crate::plugin) fn guest_ended(&self) -> bool {
        self.guest_ended
    }

    /// A failure before anything was sent, so that the client can be told.
    pub(in crate::plugin) fn failure(&self, exchange: &Exchange) -> Option<CallError> {
        if let Some(fault) = exchange.request_fault() {
            return Some(fault.clone());
        }
        if let Some(failure) = exchange.failure() {
            return Some(failure.clone());
        }
        match &self.state {
            State::Failed(error) => {
                let said = exchange.without_secrets(format!("its body broke off: {error}"));
                Some(CallError::InvalidResponse(said))
            }
            State::Open if self.guest_ended && self.gathered < INLINE_BYTES => Some(never_finished()),
            State::Open | State::Ended => None,
        }
    }

    /// The body to send. `running` is the guest if it has not ended.
    ///
    /// # Errors
    /// When it is already known to be over the limit.
    pub(in crate::plugin) fn into_body(
        self,
        running: Option<Running>,
        exchange: Arc<Exchange>,
        limit: u64,
    ) -> Result<GuestBody, CallError> {
        if self.gathered as u64 > limit {
            return Err(CallError::InvalidResponse("its body is larger than limits.responseBody".to_owned()));
        }
        let ended = matches!(self.state, State::Ended);
        if ended && let Some(running) = running {
            running.let_go();
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
