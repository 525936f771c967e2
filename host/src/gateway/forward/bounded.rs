//! A request's body on its way to another server, up to `limits.requestBody`: guests have the same bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::tapped::{Polled, Tapped};
use crate::plugin::CallError;

/// The same body, which is an error beyond `limit` bytes and counts what it sends in `sent`.
pub(super) fn bounded<B>(
    body: B,
    limit: u64,
    sent: Arc<AtomicU64>,
) -> impl Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    let mut left = limit;
    let mut count = move |frame: Frame<Bytes>| {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        sent.fetch_add(length, Ordering::Relaxed);
        left = left.checked_sub(length).ok_or(CallError::RequestTooLarge)?;
        Ok(frame)
    };
    Tapped::new(body, move |polled: Polled| polled.map(|frame| Some(frame?.and_then(&mut count))))
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[tokio::test]
    async fn a_body_may_have_as_many_bytes_as_the_limit_and_not_one_more() {
        let body = || Full::new(Bytes::from_static(b"four")).map_err(|never| match never {});
        let sent = Arc::<AtomicU64>::default();
        let bounded = |limit| bounded(body(), limit, Arc::clone(&sent));
        assert_eq!(bounded(4).collect().await.unwrap().to_bytes(), "four");
        assert_eq!(sent.load(Ordering::Relaxed), 4);
        assert_eq!(bounded(3).collect().await.unwrap_err(), CallError::RequestTooLarge);
    }
}
