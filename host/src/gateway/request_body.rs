//! A request's body on its way to a service.
//!
//! What nobody has read when it is dropped is read for nothing, within bounds. Most clients look for an answer only when
//! they have sent all, and hyper closes a connection whose request was not read to its end without having announced it:
//! the answer, or the next request on that connection, would be lost.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

use crate::plugin::CallError;

/// So much is read for nothing, and for so long. Whoever sends more, or slower, is cut off.
const DISCARDED_BYTES: u64 = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// See the module header.
pub(super) struct RequestBody {
    /// There until it is dropped.
    body: Option<Incoming>,
    /// The client sends it only when it is told to, and it was not told yet: nothing is on its way.
    awaited: bool,
}

impl RequestBody {
    /// The body that came with this head.
    pub(super) fn new(parts: &Parts, body: Incoming) -> Self {
        Self { body: Some(body), awaited: parts.headers.contains_key(EXPECT) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        self.awaited = false;
        let frame = self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx));
        frame.map_err(|error| CallError::RequestBroken(error.to_string()))
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
