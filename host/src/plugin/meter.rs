//! How much CPU one request has used.
//!
//! A guest runs only while its future is polled, so the CPU that its polls take, added up, is what it used: host calls
//! count, waiting does not, and neither does time in which the operating system had the core run something else. On a
//! busy machine that time is many times what the guest uses; ending it for that would end it for what others do.
//!
//! What a thread really ran is a system call to ask, up to a microsecond or two: twice a poll is too dear for
//! requests that take 20 µs. So:
//!
//! | poll | charged |
//! |---|---|
//! | of a request that is heavy already | what the thread ran, read before and after |
//! | of another, shorter than [`LOOSE`] | its time on the cheap clock, which is at least what it ran |
//! | of another, longer | the same, but no more than the thread ran since a reading at most [`LOOSE`] older than it |
//!
//! The third row is what makes the second safe: each thread keeps the reading it took last, and takes a new one when a
//! poll begins and that one is older than [`LOOSE`], a thousand times a second at most. No poll is charged with less
//! than it ran. Too much is only charged before a request is heavy, so all of it together is less than
//! [`HEAVY`] + [`LOOSE`].
//!
//! An endless loop ends when it has *used* its budget, however long that takes; the request's deadline bounds how long.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::ticker::{self, TICK};

/// A guest that used this much goes to the compute executor.
const HEAVY: Duration = Duration::from_millis(2);
/// How long a poll may be, and how old a reading, to do without asking what the thread ran.
const LOOSE: Duration = Duration::from_millis(1);

/// The meter of one request. Written by whoever polls the guest, read by the epoch callback inside that poll.
#[derive(Debug)]
pub(super) struct Meter {
    base: Instant,
    used: AtomicU64,
    poll_began: AtomicU64,
    /// What the thread of this poll had run when it began, or up to [`LOOSE`] earlier if the request is not heavy.
    thread_ran: AtomicU64,
    budget: u64,
}

/// What a thread had run at some moment.
#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    ran: u64,
}

thread_local! {
    /// The last one of this thread.
    static LAST_READING: Cell<Option<Reading>> = const { Cell::new(None) };
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
        Self {
            base: Instant::now(),
            used: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            thread_ran: AtomicU64::new(0),
            budget: nanos(budget),
        }
    }

    /// Runs one poll of the guest on the clock.
    pub(super) fn measure<R>(&self, poll: impl FnOnce() -> R) -> R {
        ticker::note();
        let began = Instant::now();
        self.poll_began.store(nanos(began.saturating_duration_since(self.base)), Ordering::Relaxed);
        self.thread_ran.store(ran_before(began, !self.is_heavy()), Ordering::Relaxed);
        let result = poll();
        let took = self.took();
        let used = if self.is_heavy() || took >= nanos(LOOSE) { self.ran(took) } else { took };
        self.used.fetch_add(used, Ordering::Relaxed);
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
        let took = self.took();
        // What it ran is asked for only when the time that went by would be too much.
        if self.is_over(took) && self.is_over(self.ran(took)) {
            Verdict::Stop
        } else if took < nanos(TICK) / 2 {
            Verdict::Continue
        } else {
            Verdict::Yield
        }
    }

    fn is_over(&self, this_poll: u64) -> bool {
        self.used.load(Ordering::Relaxed).saturating_add(this_poll) > self.budget
    }

    /// Time since this poll began.
    fn took(&self) -> u64 {
        nanos(self.base.elapsed()).saturating_sub(self.poll_began.load(Ordering::Relaxed))
    }

    /// What the thread ran in this poll, which took so long.
    fn ran(&self, took: u64) -> u64 {
        let ran = thread_ran().saturating_sub(self.thread_ran.load(Ordering::Relaxed));
        // What was read before a light poll may be older than the poll. A heavy one was read exactly, and its reading
        // is taken as it is: where the clock of threads goes in steps of many milliseconds, as in some sandboxes, it is
        // right in the sum only.
        if self.is_heavy() { ran } else { ran.min(took) }
    }
}

/// What this thread had run when a poll began, `now`; if that will do, up to [`LOOSE`] earlier.
fn ran_before(now: Instant, loosely: bool) -> u64 {
    match LAST_READING.get() {
        Some(last) if loosely && now.saturating_duration_since(last.at) < LOOSE => last.ran,
        Some(_) | None => {
            let ran = thread_ran();
            LAST_READING.set(Some(Reading { at: now, ran }));
            ran
        }
    }
}

/// The CPU time of this thread.
fn thread_ran() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    nanos(Duration::try_from(time).unwrap_or_default())
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
