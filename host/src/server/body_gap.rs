//! Notices a request body that comes too slowly.
//!
//! The clock runs only while somebody asks for the next piece and there is none: a service that reads slowly is not
//! the client's fault. Whoever reads a body asks this when it has nothing, and tells it when it has something.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::io::Timer;
use super::limits::BodyPace;

/// A body may be slower than the rate so long, for the start of a connection is slow.
const GRACE: Duration = Duration::from_secs(10);

/// See the module header.
#[derive(Debug)]
pub(crate) struct BodyGap {
    pace: BodyPace,
    /// Since when somebody waits for the next piece.
    waiting: Option<Instant>,
    /// Time that somebody waited for earlier ones.
    waited: Duration,
    received: u64,
    timer: Timer,
}

impl BodyGap {
    pub(crate) fn new(pace: BodyPace) -> Self {
        Self { pace, waiting: None, waited: Duration::ZERO, received: 0, timer: Timer::default() }
    }

    /// Something came.
    pub(crate) fn received(&mut self, bytes: usize) {
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        self.received = self.received.saturating_add(bytes as u64);
    }

    /// Nothing came. Ready when it is too slow; else the task is woken in time to ask again.
    pub(crate) fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let mut deadline = since + self.pace.gap;
        if let Some(seconds) = self.received.checked_div(self.pace.min_rate) {
            // What came is enough for so long.
            let enough = GRACE.max(Duration::from_secs(seconds.saturating_add(1)));
            deadline = deadline.min(since + enough.saturating_sub(self.waited));
        }
        if self.timer.is_over(deadline, cx) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn slow_after(gap: &mut BodyGap) -> Duration {
        let asked = Instant::now();
        poll_fn(|cx| gap.poll_too_slow(cx)).await;
        asked.elapsed()
    }

    fn gap(min_rate: u64) -> BodyGap {
        BodyGap::new(BodyPace { gap: Duration::from_secs(30), min_rate })
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_noticed_after_the_gap() {
        let mut gap = gap(0);
        gap.received(100);
        assert_eq!(slow_after(&mut gap).await.as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn every_piece_gives_the_whole_gap_again() {
        let mut gap = gap(0);
        for _ in 0..10 {
            let waiting = tokio::time::timeout(Duration::from_secs(29), slow_after(&mut gap));
            assert!(waiting.await.is_err());
            gap.received(1);
        }
        assert_eq!(slow_after(&mut gap).await.as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_its_time_is_not_the_clients_fault() {
        let mut gap = gap(240);
        gap.received(1);
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(tokio::time::timeout(Duration::from_secs(9), slow_after(&mut gap)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_too_slow_when_there_is_a_least_rate() {
        let mut gap = gap(240);
        let began = Instant::now();
        while tokio::time::timeout(Duration::from_secs(1), slow_after(&mut gap)).await.is_err() {
            gap.received(10);
        }
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_above_the_least_rate_may_take_for_ever() {
        let mut gap = gap(240);
        for _ in 0..1000 {
            assert!(tokio::time::timeout(Duration::from_secs(1), slow_after(&mut gap)).await.is_err());
            gap.received(300);
        }
    }
}
