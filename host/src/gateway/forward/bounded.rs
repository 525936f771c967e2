//! A request's body on its way to another server, up to `limits.requestBody`: guests have the same bound.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::plugin::CallError;

/// See the module header.
pub(super) struct Bounded<B> {
    body: B,
    left: u64,
    sent: Arc<AtomicU64>,
}

impl<B> Bounded<B> {
    /// Counts what it sends in `sent`.
    pub(super) fn new(body: B, limit: u64, sent: Arc<AtomicU64>) -> Self {
        Self { body, left: limit, sent }
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes, Error = CallError> + Unpin,
{
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let Self { body, left, sent } = &mut *self;
        Pin::new(body)
            .poll_frame(cx)
            .map_ok(|frame| {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                sent.fetch_add(length, Ordering::Relaxed);
                (left.checked_sub(length), frame)
            })
            .map(|frame| {
                frame.map(|frame| {
                    let (rest, frame) = frame?;
                    *left = rest.ok_or(CallError::RequestTooLarge)?;
                    Ok(frame)
                })
            })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_may_have_as_many_bytes_as_the_limit_and_not_one_more() {
        let body = || Full::new(Bytes::from_static(b"four")).map_err(|never| match never {});
        let sent = Arc::<AtomicU64>::default();
        let bounded = |limit| Bounded::new(body(), limit, Arc::clone(&sent));
        assert_eq!(bounded(4).collect().await.unwrap().to_bytes(), "four");
        assert_eq!(sent.load(Ordering::Relaxed), 4);
        assert_eq!(bounded(3).collect().await.unwrap_err(), CallError::RequestTooLarge);
    }
}
