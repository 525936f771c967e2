//! Bounds on calls, with a body and a clock of their own.

use std::collections::VecDeque;

use http_body_util::BodyExt;

use super::*;

/// Pieces, and how long each lets wait.
struct Slow(VecDeque<Duration>, Option<Pin<Box<Sleep>>>);

impl Body for Slow {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let Self(waits, sleep) = &mut *self;
        let Some(wait) = waits.front() else { return Poll::Ready(None) };
        let waiting = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(*wait)));
        std::task::ready!(waiting.as_mut().poll(cx));
        *sleep = None;
        waits.pop_front();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"piece")))))
    }
}

async fn pieces(waits: &[u64], gap: Duration) -> (usize, bool) {
    let slow = Slow(waits.iter().map(|ms| Duration::from_millis(*ms)).collect(), None);
    let mut gap = Some(Gap::new(gap));
    let mut slow = WasiBody::new(slow);
    let mut seen = 0;
    loop {
        let piece = std::future::poll_fn(|cx| next(&mut slow, gap.as_mut(), cx)).await;
        match piece {
            Some(Ok(_)) => seen += 1,
            Some(Err(HttpError::ConnectionReadTimeout)) => return (seen, true),
            Some(Err(error)) => panic!("{error}"),
            None => return (seen, false),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_between_two_pieces_is_bounded_and_not_that_of_all_of_them() {
    assert_eq!(pieces(&[90, 90, 90, 90], Duration::from_millis(100)).await, (4, false));
    assert_eq!(pieces(&[90, 110, 90], Duration::from_millis(100)).await, (1, true));
    assert_eq!(pieces(&[0, 0], Duration::ZERO).await, (2, false));
    assert_eq!(pieces(&[1000], Duration::MAX).await, (1, false));
}

#[tokio::test(start_paused = true)]
async fn time_in_which_the_guest_does_not_ask_does_not_count() {
    let mut slow = WasiBody::new(Slow([10, 10].map(Duration::from_millis).into(), None));
    let mut gap = Some(Gap::new(Duration::from_millis(50)));
    for _ in 0..2 {
        let piece = std::future::poll_fn(|cx| next(&mut slow, gap.as_mut(), cx)).await;
        assert!(matches!(piece, Some(Ok(_))));
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert!(slow.frame().await.is_none());
}
