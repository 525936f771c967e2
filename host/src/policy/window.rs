//! Calls of the last stretch of time, counted exactly in ten buckets.
//!
//! A bucket is a tenth of the window and counts calls, failures and slow calls. What is asked about a moment is the sum
//! of the bucket that moment lies in and the nine before it: the calls of the last nine to ten tenths of the window,
//! each counted once. Averages that decay (EWMA) are cheaper and see a burst too late; a list of all calls grows with
//! the traffic.
//!
//! A counter is one 64-bit word: the number of its tenth above, the count below. Whoever counts first in a new tenth
//! takes the counter over in the same step, so nothing is cleared by a clock, nothing is lost between two threads, and
//! no thread waits for another. Counting costs one compare-and-swap. Memory: 256 bytes.
//!
//! Time is what is passed in, and a late thread may pass in an earlier one: what no longer belongs in the window is not
//! counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

const BUCKETS: u32 = 10;
const COUNT: u64 = u32::MAX as u64;

/// Calls in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All that count for or against.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow; may have failed, too.
    pub slow: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Window {
    begun: Instant,
    /// Nanoseconds of a tenth; at least 1.
    tenth: u64,
    buckets: [Bucket; BUCKETS as usize],
}

#[derive(Debug, Default)]
struct Bucket {
    calls: Counter,
    failures: Counter,
    slow: Counter,
}

/// The number of a tenth (from 1; 0 is none yet) in the upper half, a count in the lower.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Window {
    /// An empty window that counts from `now`.
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        Self {
            begun: now,
            tenth: (nanos(length) / u64::from(BUCKETS)).max(1),
            buckets: std::array::from_fn(|_| Bucket::default()),
        }
    }

    /// Counts one call.
    pub(super) fn add(&self, failed: bool, slow: bool, now: Instant) {
        self.add_all(Counts { calls: 1, failures: failed.into(), slow: slow.into() }, now);
    }

    /// Counts many at once.
    pub(super) fn add_all(&self, counts: Counts, now: Instant) {
        let number = self.number(now);
        let Some(bucket) = self.buckets.get((number % BUCKETS) as usize) else { return };
        // Calls first: nobody ever sees more failures than calls.
        bucket.calls.add(number, counts.calls);
        bucket.failures.add(number, counts.failures);
        bucket.slow.add(number, counts.slow);
    }

    /// What the window holds at `now`.
    pub(super) fn counts(&self, now: Instant) -> Counts {
        let newest = self.number(now);
        let oldest = newest.saturating_sub(BUCKETS - 1);
        let mut counts = Counts::default();
        for bucket in &self.buckets {
            // In the opposite order of `add_all`, for the same reason.
            counts.failures += bucket.failures.between(oldest, newest);
            counts.slow += bucket.slow.between(oldest, newest);
            counts.calls += bucket.calls.between(oldest, newest);
        }
        counts
    }

    /// Which tenth a moment lies in, from 1. The shortest tenth there is (100 ms) reaches for 13 years.
    fn number(&self, now: Instant) -> u32 {
        let since = nanos(now.saturating_duration_since(self.begun)) / self.tenth;
        u32::try_from(since).unwrap_or(u32::MAX).saturating_add(1)
    }
}

impl Counts {
    /// Whether `part` of the calls is at least so many percent of them.
    pub(super) fn reach(&self, part: u64, percent: u32) -> bool {
        part * 100 >= u64::from(percent) * self.calls
    }
}

impl Counter {
    fn add(&self, number: u32, count: u64) {
        if count == 0 {
            return;
        }
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let before = match number.cmp(&tenth_of(word)) {
                // This counter is about a later time already: the call has left the window.
                std::cmp::Ordering::Less => return,
                std::cmp::Ordering::Equal => word & COUNT,
                std::cmp::Ordering::Greater => 0,
            };
            let after = u64::from(number) << 32 | before.saturating_add(count).min(COUNT);
            match self.0.compare_exchange_weak(word, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }

    /// The count, if it is about one of these tenths.
    fn between(&self, oldest: u32, newest: u32) -> u64 {
        let word = self.0.load(Ordering::Acquire);
        if (oldest..=newest).contains(&tenth_of(word)) { word & COUNT } else { 0 }
    }
}

fn tenth_of(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or(u32::MAX)
}

/// Without the 128 bits of `Duration::as_nanos`; more than 584 years are 584 years.
pub(super) fn nanos(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);

    fn secs(secs: f64) -> Duration {
        Duration::from_secs_f64(secs)
    }

    #[test]
    fn a_call_counts_for_at_least_nine_tenths_of_the_window_and_at_most_ten() {
        let begun = Instant::now();
        for at in [0.0, 0.5, 0.999, 7.3] {
            let window = Window::new(LENGTH, begun);
            let now = begun + secs(at);
            window.add(true, false, now);
            assert_eq!(window.counts(now + secs(9.0)), Counts { calls: 1, failures: 1, slow: 0 }, "{at}");
            assert_eq!(window.counts(now + secs(10.0)), Counts::default(), "{at}");
        }
    }

    #[test]
    fn a_bucket_is_used_again_without_its_old_counts() {
        let begun = Instant::now();
        let window = Window::new(LENGTH, begun);
        window.add_all(Counts { calls: 7, failures: 5, slow: 3 }, begun);
        window.add(false, true, begun + secs(10.0));
        assert_eq!(window.counts(begun + secs(10.0)), Counts { calls: 1, failures: 0, slow: 1 });
    }

    #[test]
    fn a_thread_that_is_a_whole_window_late_counts_nothing() {
        let begun = Instant::now();
        let window = Window::new(LENGTH, begun);
        window.add(false, false, begun + secs(10.5));
        window.add(true, true, begun + secs(0.5));
        assert_eq!(window.counts(begun + secs(10.5)), Counts { calls: 1, failures: 0, slow: 0 });
    }

    #[test]
    fn a_time_before_the_window_began_is_its_beginning() {
        let begun = Instant::now() + secs(60.0);
        let window = Window::new(LENGTH, begun);
        window.add(true, false, begun - secs(5.0));
        assert_eq!(window.counts(begun).failures, 1);
    }

    #[test]
    fn counts_stop_at_their_largest_number_instead_of_starting_over() {
        let begun = Instant::now();
        let window = Window::new(LENGTH, begun);
        window.add_all(Counts { calls: COUNT - 1, failures: 0, slow: 0 }, begun);
        (0..3).for_each(|_| window.add(false, false, begun));
        assert_eq!(window.counts(begun).calls, COUNT);
    }

    #[test]
    fn threads_lose_no_call() {
        let begun = Instant::now();
        let window = Window::new(LENGTH, begun);
        thread::scope(|scope| {
            for thread in 0..4_u64 {
                let window = &window;
                scope.spawn(move || {
                    for call in 0..20_000 {
                        // All are in the tenths that the last moment still sees.
                        window.add(call % 2 == 0, call % 5 == 0, begun + Duration::from_micros(call * 400 + thread));
                    }
                });
            }
        });
        let counts = window.counts(begun + secs(9.0));
        assert_eq!(counts, Counts { calls: 80_000, failures: 40_000, slow: 16_000 });
    }

    proptest! {
        #[test]
        fn the_window_counts_what_a_list_of_all_calls_counts(
            length in 1_u64..20_000,
            // Mostly calls close together, now and then a long silence; sometimes a thread that is late.
            calls in prop::collection::vec(
                (prop_oneof![9 => 0_u64..700, 1 => 0_u64..60_000], 0_u64..50, any::<bool>(), any::<bool>()), 1..300,
            ),
        ) {
            let begun = Instant::now();
            let window = Window::new(Duration::from_millis(length), begun);
            let tenth = |nanos: u128| nanos / (u128::from(length) * 100_000);
            let mut all: Vec<(u128, bool, bool)> = Vec::new();
            let mut now = Duration::ZERO;
            for (step, late, failed, slow) in calls {
                now += Duration::from_millis(step);
                let at = now.saturating_sub(Duration::from_millis(late));
                window.add(failed, slow, begun + at);
                all.push((at.as_nanos(), failed, slow));
                let newest = tenth(now.as_nanos());
                let inside: Vec<_> = all.iter().filter(|(at, ..)| tenth(*at) + 10 > newest).collect();
                let naive = Counts {
                    calls: inside.len() as u64,
                    failures: inside.iter().filter(|(_, failed, _)| *failed).count() as u64,
                    slow: inside.iter().filter(|(.., slow)| *slow).count() as u64,
                };
                prop_assert_eq!(window.counts(begun + now), naive);
            }
        }
    }
}
