//! What others may know of a subscription at work: how it stands, and what it has counted.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::state::Offset;

/// How a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::events) enum Standing {
    /// It has not begun yet.
    #[default]
    Starting,
    /// It delivers.
    Active,
    /// The service is not there.
    Paused,
    /// The log does not let it begin.
    Failing,
    /// It has ended.
    Stopped,
}

/// Shared between the subscription and whoever looks. Counters only grow, and outlast a change of the configuration.
#[derive(Debug, Default)]
pub(in crate::events) struct Shared {
    standing: Mutex<(Standing, String)>,
    handled: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
    deferred: AtomicU64,
    position: AtomicU64,
    lag: AtomicU64,
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
}

impl Standing {
    pub(in crate::events) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Failing => "failing",
            Self::Stopped => "stopped",
        }
    }
}

impl Shared {
    pub(super) fn stand(&self, standing: Standing, why: String) {
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) = (standing, why);
    }

    pub(super) fn handled(&self) {
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn died(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn deferred(&self) {
        self.deferred.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counted(&self, position: Offset, lag: u64, in_flight: usize, waiting: usize) {
        self.position.store(position.0, Ordering::Relaxed);
        self.lag.store(lag, Ordering::Relaxed);
        self.in_flight.store(in_flight, Ordering::Relaxed);
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// How it stands, and why.
    pub(in crate::events) fn standing(&self) -> (Standing, String) {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Deliveries by what they came to: handled, to be tried again, given up, and those that found nobody.
    pub(in crate::events) fn outcomes(&self) -> [(&'static str, u64); 4] {
        [("handled", &self.handled), ("retried", &self.retried), ("dead", &self.dead), ("deferred", &self.deferred)]
            .map(|(word, counter)| (word, counter.load(Ordering::Relaxed)))
    }

    pub(in crate::events) fn position(&self) -> Offset {
        Offset(self.position.load(Ordering::Relaxed))
    }

    /// Places in the log that it has not come past, whatever their topics.
    pub(in crate::events) fn lag(&self) -> u64 {
        self.lag.load(Ordering::Relaxed)
    }

    pub(in crate::events) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(in crate::events) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}
