//! What is counted while a breaker is closed: calls in a window, failures in a row; and when that is enough to open.
//!
//! Each closed time has a count of its own, replaced as a whole: what a late call adds to an old one is seen by nobody.
//! All threads add at once, without a lock. A new configuration is a new count around the same numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::super::Outcome;
use super::super::window::{Counts, Window};
use super::machine::OpenReason;
use crate::config::CircuitBreaker;

/// What is counted while the breaker is closed.
#[derive(Debug)]
pub(super) struct Count {
    /// The closed time that this counts.
    pub(super) period: u64,
    pub(super) config: CircuitBreaker,
    window: Arc<Window>,
    row: Arc<AtomicU32>,
}

impl Count {
    pub(super) fn new(period: u64, config: CircuitBreaker, now: Instant) -> Self {
        let window = Arc::new(Window::new(config.sliding_window.get(), now));
        Self { period, config, window, row: Arc::default() }
    }

    /// The same counts, measured by another configuration.
    pub(super) fn with(&self, config: CircuitBreaker, now: Instant) -> Self {
        if !config.enabled {
            return Self::new(self.period, config, now);
        }
        let same = self.config.sliding_window == config.sliding_window;
        let window = if same { Arc::clone(&self.window) } else { self.resized(&config, now) };
        Self { period: self.period, config, window, row: Arc::clone(&self.row) }
    }

    /// What the window holds.
    pub(super) fn counts(&self, now: Instant) -> Counts {
        self.window.counts(now)
    }

    /// Failures in a row.
    pub(super) fn row(&self) -> u32 {
        self.row.load(Ordering::Relaxed)
    }

    fn resized(&self, config: &CircuitBreaker, now: Instant) -> Arc<Window> {
        let window = Window::new(config.sliding_window.get(), now);
        window.add_all(self.window.counts(now), now);
        Arc::new(window)
    }

    /// Counts a call, and says why the breaker must open, if it must.
    pub(super) fn add(&self, outcome: Outcome, took: Duration, now: Instant) -> Option<OpenReason> {
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure | Outcome::Overloaded => true,
            Outcome::Ignored => return None,
        };
        let slow = is_slow(&self.config, took);
        self.window.add(failed, slow, now);
        let row = match outcome {
            Outcome::Failure => self.row.fetch_add(1, Ordering::AcqRel).saturating_add(1),
            // Mostly there is nothing to do, and a word that is only read is in every core's cache.
            Outcome::Success if self.row.load(Ordering::Relaxed) != 0 => {
                self.row.store(0, Ordering::Release);
                0
            }
            Outcome::Success | Outcome::Overloaded | Outcome::Ignored => 0,
        };
        if !failed && !slow {
            return None;
        }
        if self.config.consecutive_failures > 0 && row >= self.config.consecutive_failures {
            return Some(OpenReason::ConsecutiveFailures(row));
        }
        self.rates(self.window.counts(now))
    }

    fn rates(&self, counts: Counts) -> Option<OpenReason> {
        let CircuitBreaker { failure_rate_threshold, slow_call_rate_threshold, .. } = self.config;
        // Calls may have been slow by an earlier configuration.
        let slow = if self.config.slow_call_duration_threshold.get().is_zero() { 0 } else { counts.slow };
        if counts.calls < u64::from(self.config.minimum_number_of_calls) {
            None
        } else if failure_rate_threshold > 0 && counts.reach(counts.failures, failure_rate_threshold) {
            Some(OpenReason::FailureRate(counts))
        } else if slow > 0 && counts.reach(slow, slow_call_rate_threshold) {
            Some(OpenReason::SlowCallRate(counts))
        } else {
            None
        }
    }
}

/// Whether a call that took so long is slow.
pub(super) fn is_slow(config: &CircuitBreaker, took: Duration) -> bool {
    let threshold = config.slow_call_duration_threshold.get();
    !threshold.is_zero() && took > threshold
}
