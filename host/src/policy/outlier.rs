//! Outlier ejection: which instances of a service are left out because they fail while others do not.
//!
//! An [`Outlier`] is one instance's record, kept for as long as the instance is known; a [`Group`] is what the
//! instances of one service have in common: the rules, who is a member, and how many may be out at once. An instance
//! goes after so many failures in a row, or when a rate of its calls failed, and comes back by itself: nothing has to
//! run for that, the clock that is passed in decides. What is said while it is out (its last calls end, or panic
//! routing uses it) counts nothing, so the next ejection takes exactly as many failures as the first.
//!
//! It is out for a base time, times the number of its ejections, up to a longest time; each `interval` that it is back
//! takes one off that number (Envoy's rules). Chance takes up to a quarter off each time, so that instances that went
//! together do not come back together. A passing health check ends it early.
//!
//! Bounds: never more than a percentage of the members are out, and never the last one. Members that leave may make too
//! many of the rest be out; then those come back first that would have done so anyway. Nobody is counted up and down:
//! who is out is asked of the members when one more is to go, so no count can drift as instances come and go.
//!
//! Cost: a good call of a healthy instance reads two words; a failure takes the instance's lock, an ejection also that
//! of the group. Whether all instances are sick is not decided here, and neither is who gets the calls instead.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::Outcome;
use super::window::{Counts, Window, nanos};
use crate::config::OutlierDetection;

/// The most that chance takes off an ejection: a hundred instances that went together come back over a quarter of it.
const JITTER: f64 = 0.25;

/// One instance. Shared between the snapshots that know it.
#[derive(Debug)]
pub struct Outlier {
    begun: Instant,
    /// When the ejection ends, or the last one ended, in nanoseconds since it began; 0 if there was none.
    ends: AtomicU64,
    /// Failures in a row; written under the lock only.
    row: AtomicU32,
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Record {
    /// Ejections that are not forgotten.
    ejections: u32,
    /// Calls, when there is a rate to look at.
    window: Option<Recent>,
}

#[derive(Debug)]
struct Recent {
    length: Duration,
    calls: Window,
}

/// The instances of one service.
#[derive(Debug)]
pub struct Group {
    rules: ArcSwap<OutlierDetection>,
    members: Mutex<Members>,
}

#[derive(Debug)]
struct Members {
    list: Vec<Arc<Outlier>>,
    random: fastrand::Rng,
}

/// An instance was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejected {
    /// Why.
    pub sickness: Sickness,
    /// For how long.
    pub time: Duration,
    /// Its ejections that count, with this one.
    pub ejections: u32,
}

/// Why an instance was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sickness {
    /// So many failures in a row.
    ConsecutiveFailures(u32),
    /// Too many of its calls failed.
    FailureRate(Counts),
}

impl Outlier {
    /// A healthy instance.
    pub fn new(now: Instant) -> Self {
        Self {
            begun: now,
            ends: AtomicU64::new(0),
            row: AtomicU32::new(0),
            record: Mutex::new(Record { ejections: 0, window: None }),
        }
    }

    /// Counts a call that this instance answered, or failed to. Says when that ejects it.
    pub fn record(&self, outcome: Outcome, now: Instant, group: &Group) -> Option<Ejected> {
        if outcome == Outcome::Ignored || self.is_ejected(now) {
            return None;
        }
        let rules = group.rules.load();
        let by_rate = rules.failure_rate_threshold > 0;
        match outcome {
            Outcome::Success if !by_rate && self.row.load(Ordering::Acquire) == 0 => return None,
            Outcome::Overloaded if !by_rate => return None,
            Outcome::Success | Outcome::Failure | Outcome::Overloaded | Outcome::Ignored => {}
        }
        let mut record = lock(&self.record);
        // Another thread may have been faster.
        if self.is_ejected(now) {
            return None;
        }
        let row = self.count(outcome);
        let sick = (rules.consecutive_failures > 0 && row >= rules.consecutive_failures)
            .then_some(Sickness::ConsecutiveFailures(row))
            .or_else(|| if by_rate { record.rate(outcome, &rules, now) } else { None })?;
        // Counting begins anew, also for one that may not go: it is looked at again after as many failures.
        self.row.store(0, Ordering::Release);
        record.window = None;
        let (time, ejections) = group.eject(self, record.ejections(self.back_for(now), &rules), now)?;
        record.ejections = ejections;
        Some(Ejected { sickness: sick, time, ejections })
    }

    /// Whether it is left out.
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.since_begun(now) < self.ends.load(Ordering::Acquire)
    }

    /// How long it is still left out; zero if it is not.
    pub fn ejected_for(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.ends.load(Ordering::Acquire).saturating_sub(self.since_begun(now)))
    }

    /// An active health check passed: an ejection ends. Returns whether there was one.
    pub fn passed_check(&self, now: Instant) -> bool {
        let now = self.since_begun(now);
        self.ends.fetch_min(now, Ordering::AcqRel) > now
    }

    /// Failures in a row, with this one.
    fn count(&self, outcome: Outcome) -> u32 {
        let row = self.row.load(Ordering::Acquire);
        let row = match outcome {
            Outcome::Failure => row.saturating_add(1),
            Outcome::Success => 0,
            // Neither makes the row longer nor ends it.
            Outcome::Overloaded | Outcome::Ignored => return 0,
        };
        self.row.store(row, Ordering::Release);
        row
    }

    /// How long it has been back.
    fn back_for(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.since_begun(now).saturating_sub(self.ends.load(Ordering::Acquire)))
    }

    fn since_begun(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.begun))
    }
}

impl Record {
    /// Counts the call for the rate, which only a failure can push over its threshold.
    fn rate(&mut self, outcome: Outcome, rules: &OutlierDetection, now: Instant) -> Option<Sickness> {
        let length = rules.interval.get();
        let recent = self.window.take().filter(|recent| recent.length == length);
        let recent = recent.unwrap_or_else(|| Recent { length, calls: Window::new(length, now) });
        let failed = outcome != Outcome::Success;
        recent.calls.add(failed, false, now);
        let counts = recent.calls.counts(now);
        self.window = Some(recent);
        let over = counts.calls >= u64::from(rules.minimum_number_of_calls)
            && counts.reach(counts.failures, rules.failure_rate_threshold);
        (failed && over).then_some(Sickness::FailureRate(counts))
    }

    /// Its ejections that still count after it was back for so long.
    fn ejections(&self, back_for: Duration, rules: &OutlierDetection) -> u32 {
        let forgotten = nanos(back_for).checked_div(nanos(rules.interval.get())).unwrap_or(0);
        self.ejections.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

impl Group {
    /// A group without members.
    pub fn new(rules: &OutlierDetection) -> Self {
        Self::with_random(rules, fastrand::Rng::new())
    }

    fn with_random(rules: &OutlierDetection, random: fastrand::Rng) -> Self {
        let members = Mutex::new(Members { list: Vec::new(), random });
        Self { rules: ArcSwap::from_pointee(rules.clone()), members }
    }

    /// Takes new rules on. Who is out stays out for its time, unless fewer may be out now.
    pub fn reconfigure(&self, rules: &OutlierDetection, now: Instant) {
        let mut members = lock(&self.members);
        self.rules.store(Arc::new(rules.clone()));
        members.keep_enough(rules, now);
    }

    /// Says who the members are now. Only members are ejected; whoever was out and still is a member stays out.
    pub fn set_members(&self, list: Vec<Arc<Outlier>>, now: Instant) {
        let mut members = lock(&self.members);
        members.list = list;
        members.keep_enough(&self.rules.load(), now);
    }

    /// How many are out, and of how many.
    pub fn ejected(&self, now: Instant) -> (usize, usize) {
        let members = lock(&self.members);
        (members.ejected(now), members.list.len())
    }

    /// Ejects a member that was ejected so many times, if one more may go. How long it is out, and the number of its
    /// ejections.
    fn eject(&self, outlier: &Outlier, earlier: u32, now: Instant) -> Option<(Duration, u32)> {
        let mut members = lock(&self.members);
        // Under the lock, or new rules that allow fewer could come between.
        let rules = self.rules.load();
        let known = members.list.iter().any(|member| std::ptr::eq(Arc::as_ptr(member), outlier));
        if !known || members.ejected(now) >= members.allowed(&rules) {
            return None;
        }
        let ejections = earlier.saturating_add(1);
        let time = rules.base_ejection_time.get().saturating_mul(ejections).min(rules.max_ejection_time.get());
        let time = time.mul_f64(1.0 - JITTER * members.random.f64());
        outlier.ends.store(outlier.since_begun(now).saturating_add(nanos(time)), Ordering::Release);
        Some((time, ejections))
    }
}

impl Members {
    fn ejected(&self, now: Instant) -> usize {
        self.list.iter().filter(|member| member.is_ejected(now)).count()
    }

    /// How many may be out at once.
    fn allowed(&self, rules: &OutlierDetection) -> usize {
        let all = self.list.len();
        let share = all.saturating_mul(rules.max_ejection_percent as usize) / 100;
        share.min(all.saturating_sub(1))
    }

    /// Takes back those whose time is up first, until no more are out than may be.
    fn keep_enough(&mut self, rules: &OutlierDetection, now: Instant) {
        let mut out: Vec<_> = self.list.iter().filter(|member| member.is_ejected(now)).collect();
        out.sort_by_key(|member| member.ejected_for(now));
        let surplus = out.len().saturating_sub(self.allowed(rules));
        for member in out.into_iter().take(surplus) {
            member.passed_check(now);
        }
    }
}

impl fmt::Display for Sickness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures(row) => write!(f, "{row} failures in a row"),
            Self::FailureRate(Counts { calls, failures, .. }) => write!(f, "{failures} of {calls} calls failed"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole before anything can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
