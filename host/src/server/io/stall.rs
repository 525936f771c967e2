//! Ends a connection whose client does not take what is written to it.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::Timer;

/// Watches the writing side of a stream.
#[derive(Debug)]
pub(super) struct WriteStall {
    limit: Duration,
    since: Option<Instant>,
    timer: Timer,
}

impl WriteStall {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: None, timer: Timer::default() }
    }

    /// Passes on the result of a write, flush or shutdown, which is an error when nothing could be written for long.
    pub(super) fn check<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.since = None;
            return written;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.timer.is_over(since + self.limit, cx) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")));
        }
        Poll::Pending
    }
}
