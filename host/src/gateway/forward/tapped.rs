//! A request's body of which somebody sees each answer to "is there more?", and may change it. Its size is its own.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::plugin::CallError;

/// What a body says when it is asked for more.
pub(in crate::gateway) type Polled = Poll<Option<Result<Frame<Bytes>, CallError>>>;

/// See the module header.
pub(in crate::gateway) struct Tapped<B, F> {
    body: B,
    look: F,
}

impl<B, F> Tapped<B, F> {
    pub(in crate::gateway) fn new(body: B, look: F) -> Self {
        Self { body, look }
    }
}

impl<B, F> Body for Tapped<B, F>
where
    B: Body<Data = Bytes, Error = CallError> + Unpin,
    F: FnMut(Polled) -> Polled + Unpin,
{
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        (self.look)(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
