//! What is known about one instance: how busy it is, how soon it answers, and since when it is there.
//!
//! One [`Load`] belongs to one instance for as long as the instance lives. The caller carries it from snapshot to
//! snapshot, so a reload forgets no request in flight and no latency. It is three numbers that are changed one by one
//! without a lock; it stands alone on its cache line, so that cores that serve different instances do not slow each
//! other down. It decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::super::Outcome;
use super::peak_ewma::PeakEwma;

/// What a failure counts as at least: failing fast must not look like being fast (linkerd's default penalty).
const FAILURE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
#[repr(align(64))]
pub struct Load {
    in_flight: AtomicU64,
    latency: PeakEwma,
    /// Nanoseconds after `origin`.
    available_since: AtomicU64,
    origin: Instant,
}

/// A request in flight at an instance; counts until it is dropped, which the caller arranges to be when the last byte
/// of the response is gone.
#[derive(Debug)]
#[must_use = "dropped, it does not count"]
pub struct Started {
    load: Arc<Load>,
    at: Instant,
}

impl Load {
    /// An instance that is there from now on: nothing in flight, and a latency that is believed to be 1 s.
    pub fn new(now: Instant) -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            latency: PeakEwma::default(),
            available_since: AtomicU64::new(0),
            origin: now,
        }
    }

    /// A request begins.
    pub fn start(self: &Arc<Self>, now: Instant) -> Started {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Started { load: Arc::clone(self), at: now }
    }

    /// Requests that began and did not end.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The instance was away (unhealthy, ejected) and is back: its slow start begins.
    pub fn became_available(&self, now: Instant) {
        let since = u64::try_from(self.age(now).as_nanos()).unwrap_or(u64::MAX);
        self.available_since.store(since, Ordering::Relaxed);
    }

    /// How long it has been there without a break.
    pub fn available_for(&self, now: Instant) -> Duration {
        self.age(now).saturating_sub(Duration::from_nanos(self.available_since.load(Ordering::Relaxed)))
    }

    /// The latency to reckon with: its peaks, fading.
    pub fn latency(&self, now: Instant) -> Duration {
        Duration::try_from_secs_f64(self.latency_secs(now)).unwrap_or(Duration::MAX)
    }

    pub(super) fn latency_secs(&self, now: Instant) -> f64 {
        self.latency.estimate(self.age(now))
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.origin)
    }
}

impl Started {
    /// What came of it; to be said once the head of the response is there or will not come, and again if the body then
    /// breaks. A request of which nothing is said, such as one that a client gave up, leaves no trace.
    pub fn record(&self, outcome: Outcome, now: Instant) {
        let took = now.saturating_duration_since(self.at);
        let counts = match outcome {
            Outcome::Success => took,
            // Who sheds load is asked less for a while, as one who fails.
            Outcome::Failure | Outcome::Overloaded => took.max(FAILURE),
            Outcome::Ignored => return,
        };
        self.load.latency.observe(counts, self.load.age(now));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
