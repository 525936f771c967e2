//! A request's body that tells whether its client is who everybody waits for.
//!
//! A try that is out of time says something about whoever was asked only if it had the request. Otherwise clients that
//! send a byte now and then would open breakers and have instances ejected for everybody else. So: when the last thing
//! that was asked of the body was more, and more had not come, nobody but the client is to blame.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body::Body;

use super::tapped::{Polled, Tapped};
use crate::plugin::CallError;

/// Whether more of a body was asked for than had come.
#[derive(Debug, Clone, Default)]
pub(super) struct Waits(Arc<AtomicBool>);

impl Waits {
    /// Whether it is the client's turn.
    pub(super) fn for_client(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The same body, which tells `waits`.
pub(super) fn awaited<B>(body: B, waits: Waits) -> impl Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    Tapped::new(body, move |polled: Polled| {
        waits.0.store(polled.is_pending(), Ordering::Relaxed);
        polled
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body::Frame;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    #[test]
    fn a_client_is_waited_for_from_the_moment_in_which_nothing_more_has_come() {
        let waits = Waits::default();
        let frames = [Ok(Frame::data(Bytes::from_static(b"some")))];
        let some = futures_util::stream::iter(frames);
        let rest = futures_util::stream::pending();
        let mut body = awaited(StreamBody::new(futures_util::StreamExt::chain(some, rest)), waits.clone());
        assert!(!waits.for_client(), "nobody has asked yet");
        assert!(body.frame().now_or_never().is_some() && !waits.for_client());
        assert!(body.frame().now_or_never().is_none() && waits.for_client());
    }

    #[test]
    fn a_whole_request_keeps_nobody_waiting() {
        let waits = Waits::default();
        let body = Full::new(Bytes::from_static(b"all")).map_err(|never| -> CallError { match never {} });
        assert!(awaited(body, waits.clone()).collect().now_or_never().is_some());
        assert!(!waits.for_client());
    }
}
