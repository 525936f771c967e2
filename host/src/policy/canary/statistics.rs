//! What is known of the requests of one version while a canary runs: how many, how many failed, how long they took.
//!
//! Written by every request and read a few times a second, so each number is an atomic of its own and a reading is no
//! exact moment. Times go into buckets that grow with the time, eight to each doubling: a quantile is at most 12.5 %
//! too large, and the whole takes 2 KiB however many requests there are (the layout of an HDR histogram with three
//! bits). Only successes have a time: how fast a version fails says nothing about how fast it works.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::super::Outcome;

/// Bits of a time that tell its bucket inside a doubling.
const FINE: u32 = 3;
/// The last bucket holds everything from 37 minutes.
const BUCKETS: usize = 240;

/// Counts the requests of one version.
#[derive(Debug)]
pub struct Statistics {
    requests: AtomicU64,
    failures: AtomicU64,
    failed_in_a_row: AtomicU32,
    times: [AtomicU64; BUCKETS],
}

/// What was counted at one moment, or between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) requests: u64,
    pub(super) failures: u64,
    times: [u64; BUCKETS],
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            requests: AtomicU64::default(),
            failures: AtomicU64::default(),
            failed_in_a_row: AtomicU32::default(),
            times: std::array::from_fn(|_| AtomicU64::default()),
        }
    }
}

impl Statistics {
    /// Counts a request that took this long to the head of its response. [`Outcome::Ignored`] counts nothing.
    pub fn record(&self, outcome: Outcome, elapsed: Duration) {
        match outcome {
            Outcome::Ignored => return,
            Outcome::Success => {
                self.failed_in_a_row.store(0, Ordering::Relaxed);
                if let Some(bucket) = self.times.get(bucket(elapsed)) {
                    bucket.fetch_add(1, Ordering::Relaxed);
                }
            }
            Outcome::Failure => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                self.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
            }
            // A rate goes up; it is not down.
            Outcome::Overloaded => {
                self.failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Failures since the last success.
    pub(super) fn failed_in_a_row(&self) -> u32 {
        self.failed_in_a_row.load(Ordering::Relaxed)
    }

    pub(super) fn read(&self) -> Counts {
        let failures = self.failures.load(Ordering::Relaxed);
        Counts {
            // Requests that end meanwhile must not make more failures than requests.
            requests: self.requests.load(Ordering::Relaxed).max(failures),
            failures,
            times: std::array::from_fn(|n| self.times.get(n).map_or(0, |count| count.load(Ordering::Relaxed))),
        }
    }
}

impl Counts {
    pub(super) fn none() -> Self {
        Self { requests: 0, failures: 0, times: [0; BUCKETS] }
    }

    /// What came after `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let mut times = self.times;
        for (now, then) in times.iter_mut().zip(before.times) {
            *now = now.saturating_sub(then);
        }
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failures: self.failures.saturating_sub(before.failures),
            times,
        }
    }

    /// Requests whose time is known.
    pub(super) fn timed(&self) -> u64 {
        self.times.iter().sum()
    }

    /// The time that 99 of 100 requests did not exceed, rounded up to the end of its bucket.
    pub(super) fn p99(&self) -> Option<Duration> {
        let rank = (self.timed() * 99).div_ceil(100);
        let mut seen = 0;
        let found = self.times.iter().position(|count| {
            seen += count;
            seen >= rank && *count > 0
        })?;
        Some(end_of(found))
    }

    /// Requests in later buckets than that of this time.
    pub(super) fn slower_than(&self, time: Duration) -> u64 {
        self.times.iter().skip(bucket(time) + 1).sum()
    }
}

fn bucket(time: Duration) -> usize {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    let doublings = micros.checked_ilog2().unwrap_or(0);
    if doublings < FINE {
        return micros as usize;
    }
    let fine = (micros >> (doublings - FINE)) & ((1 << FINE) - 1);
    (((doublings - FINE + 1) << FINE) + fine) as usize
}

/// The longest time in a bucket.
fn end_of(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    let micros = if bucket < 1 << FINE {
        bucket
    } else {
        let (doublings, fine) = ((bucket >> FINE) - 1, bucket & ((1 << FINE) - 1));
        (((1 << FINE) + fine + 1) << doublings) - 1
    };
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket_and_buckets_are_narrow() {
        let mut before = 0;
        for micros in (0..5000).chain((5000..4_000_000_000).step_by(9_999_991)) {
            let (time, at) = (Duration::from_micros(micros), bucket(Duration::from_micros(micros)));
            assert!(at >= before && at < BUCKETS, "{micros}");
            before = at;
            let end = end_of(at);
            assert!(end >= time && end.as_micros() as f64 <= micros as f64 * 1.125, "{micros}: {end:?}");
            assert!(at == 0 || end_of(at - 1) < time, "{micros}");
        }
        assert!(bucket(Duration::MAX) < BUCKETS);
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded_between_two_readings() {
        let statistics = Statistics::default();
        statistics.record(Outcome::Success, Duration::from_secs(100));
        let before = statistics.read();
        for _ in 0..99 {
            statistics.record(Outcome::Success, Duration::from_millis(10));
        }
        statistics.record(Outcome::Success, Duration::from_secs(2));
        statistics.record(Outcome::Failure, Duration::from_secs(3));
        let counts = statistics.read().since(&before);
        let p99 = counts.p99().unwrap();
        assert!(p99 >= Duration::from_millis(10) && p99 < Duration::from_millis(12), "{p99:?}");
        assert_eq!((counts.requests, counts.failures, counts.timed()), (101, 1, 100));
        assert_eq!(counts.slower_than(Duration::from_millis(15)), 1);
        assert_eq!(Counts::none().p99(), None);
    }

    #[test]
    fn what_says_nothing_about_the_version_is_not_counted() {
        let statistics = Statistics::default();
        statistics.record(Outcome::Ignored, Duration::ZERO);
        assert_eq!(statistics.read(), Counts::none());
        statistics.record(Outcome::Failure, Duration::ZERO);
        statistics.record(Outcome::Overloaded, Duration::ZERO);
        assert_eq!((statistics.read().failures, statistics.failed_in_a_row()), (2, 1));
        statistics.record(Outcome::Success, Duration::ZERO);
        assert_eq!(statistics.failed_in_a_row(), 0);
    }
}
