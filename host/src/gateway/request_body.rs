//! A request's body on its way to a service.
//!
//! What nobody has read when it is dropped is read for nothing, within bounds. Most clients look for an answer only when
//! they have sent all, and hyper closes a connection whose request was not read to its end without having announced it:
//! the answer, or the next request on that connection, would be lost.
//!
//! A body that does not come is an error after some time, and the answer to that is 408.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

use super::headers::sanitize_trailers;
use crate::plugin::CallError;
use crate::server::{BodyGap, BodyPace};

/// So much is read for nothing, and for so long. Whoever sends more, or slower, is cut off.
const DISCARDED_BYTES: u64 = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// See the module header.
pub(super) struct RequestBody {
    /// There until it is dropped, or too slow.
    body: Option<Incoming>,
    /// None when there is nothing to wait for.
    gap: Option<BodyGap>,
    /// The client sends it only when it is told to, and it was not told yet: nothing is on its way.
    awaited: bool,
}

impl RequestBody {
    /// The body that came with this head.
    pub(super) fn new(parts: &Parts, body: Incoming) -> Self {
        let gap = parts.extensions.get::<BodyPace>().copied().map(BodyGap::new);
        let awaited = parts.headers.contains_key(EXPECT);
        Self { body: Some(body), gap, awaited }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let Self { body: place, gap, awaited } = &mut *self;
        *awaited = false;
        let Some(body) = place else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        let frame = frame.map_ok(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                sanitize_trailers(trailers);
            }
            frame
        });
        let Some(gap) = gap else { return frame.map_err(broken) };
        match frame {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
                gap.received(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| frame.map_err(broken)))
            }
            Poll::Pending if gap.poll_too_slow(cx).is_ready() => {
                // Without it the connection cannot go on: it ends after the answer.
                *place = None;
                Poll::Ready(Some(Err(CallError::RequestStalled)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !self.awaited && !body.is_end_stream())
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(discard(body));
        }
    }
}

fn broken(error: hyper::Error) -> CallError {
    CallError::RequestBroken(error.to_string())
}

async fn discard(mut body: Incoming) {
    let all = async {
        let mut left = DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
            if left == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_TIME, all).await;
}

#[cfg(test)]
mod tests;
