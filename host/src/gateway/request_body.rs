//! A request's body on its way to a service.
//!
//! What nobody has read when it is dropped is read for nothing, within bounds. Most clients look for an answer only when
//! they have sent all, and hyper closes a connection whose request was not read to its end without having announced it:
//! the answer, or the next request on that connection, would be lost.
//!
//! A body that does not come is an error after some time, and the answer to that is 408.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

use crate::server::{BodyGap, BodyPace};

/// So much is read for nothing, and for so long. Whoever sends more, or slower, is cut off.
const DISCARDED_BYTES: u64 = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The connection or the framing failed.
    #[error(transparent)]
    Client(#[from] hyper::Error),
    /// It came too slowly.
    #[error("the request body did not come in time")]
    TooSlow,
}

/// Tells, also when the body is long gone, whether it came too slowly. The answer is then 408, whatever came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Slowness(Arc<AtomicBool>);

impl Slowness {
    pub(super) fn was_noticed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module header.
pub(super) struct RequestBody {
    /// There until it is dropped, or too slow.
    body: Option<Incoming>,
    /// None when there is nothing to wait for.
    gap: Option<BodyGap>,
    slowness: Slowness,
    /// The client sends it only when it is told to, and it was not told yet: nothing is on its way.
    awaited: bool,
}

impl RequestBody {
    /// The body that came with this head.
    pub(super) fn new(parts: &Parts, body: Incoming) -> Self {
        let gap = parts.extensions.get::<BodyPace>().copied().map(BodyGap::new);
        let awaited = parts.headers.contains_key(EXPECT);
        Self { body: Some(body), gap, slowness: Slowness::default(), awaited }
    }

    /// Ask this when the call is over.
    pub(super) fn slowness(&self) -> Slowness {
        self.slowness.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self { body: place, gap, slowness, awaited } = &mut *self;
        *awaited = false;
        let Some(body) = place else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        let Some(gap) = gap else { return frame.map_err(BodyError::Client) };
        match frame {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
                gap.received(data.map_or(0, Bytes::len));
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Client)))
            }
            Poll::Pending if gap.poll_too_slow(cx).is_ready() => {
                slowness.0.store(true, Ordering::Relaxed);
                // Without it the connection cannot go on: it ends after the answer.
                *place = None;
                Poll::Ready(Some(Err(BodyError::TooSlow)))
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
