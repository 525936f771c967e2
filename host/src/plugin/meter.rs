//! How much CPU one request has used.
//!
//! A guest runs only while its future is polled, so the time between entering and leaving `poll`, added up, is what
//! it used: host calls count, waiting does not. It is time on the thread by a monotonic clock, which costs about
//! 40 ns a poll and includes being preempted; the exact clock of the thread is a system call at every poll, too dear
//! for requests that take 20 µs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ticker::{self, TICK};

/// A guest that used this much goes to the compute executor.
const HEAVY: Duration = Duration::from_millis(2);

/// The meter of one request. Written by whoever polls the guest, read by the epoch callback inside that poll.
#[derive(Debug)]
pub(super) struct Meter {
    base: Instant,
    used: AtomicU64,
    poll_began: AtomicU64,
    budget: u64,
}

/// What the epoch callback does with a guest that is still running.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has just been resumed: let it go on.
    Continue,
    /// Let others run.
    Yield,
    /// It used up its budget.
    Stop,
}

impl Meter {
    pub(super) fn new(budget: Duration) -> Self {
        Self { base: Instant::now(), used: AtomicU64::new(0), poll_began: AtomicU64::new(0), budget: nanos(budget) }
    }

    /// Runs one poll of the guest on the clock.
    pub(super) fn measure<R>(&self, poll: impl FnOnce() -> R) -> R {
        ticker::note();
        let began = self.now();
        self.poll_began.store(began, Ordering::Relaxed);
        let result = poll();
        self.used.fetch_add(self.now().saturating_sub(began), Ordering::Relaxed);
        result
    }

    /// CPU time of all finished polls.
    pub(super) fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    pub(super) fn is_heavy(&self) -> bool {
        self.used() >= HEAVY
    }

    /// Asked by the epoch callback, so inside a poll.
    pub(super) fn verdict(&self) -> Verdict {
        ticker::note();
        let this_poll = self.now().saturating_sub(self.poll_began.load(Ordering::Relaxed));
        if self.used.load(Ordering::Relaxed).saturating_add(this_poll) > self.budget {
            Verdict::Stop
        } else if this_poll < nanos(TICK) / 2 {
            Verdict::Continue
        } else {
            Verdict::Yield
        }
    }

    fn now(&self) -> u64 {
        nanos(self.base.elapsed())
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn only_time_inside_polls_counts() {
        let meter = Meter::new(Duration::from_millis(20));
        burn(Duration::from_millis(30));
        assert_eq!(meter.measure(|| meter.verdict()), Verdict::Continue);
        assert!(!meter.is_heavy());
        meter.measure(|| burn(Duration::from_millis(3)));
        assert!(meter.is_heavy());
        assert!(meter.used() < Duration::from_millis(20), "the 30 ms outside did not count");
    }

    #[test]
    fn a_poll_longer_than_a_tick_yields_and_one_over_the_budget_is_stopped() {
        let meter = Meter::new(Duration::from_millis(50));
        let verdict = meter.measure(|| {
            burn(Duration::from_millis(2));
            meter.verdict()
        });
        assert_eq!(verdict, Verdict::Yield);
        let verdict = meter.measure(|| {
            burn(Duration::from_millis(60));
            meter.verdict()
        });
        assert_eq!(verdict, Verdict::Stop);
    }
}
