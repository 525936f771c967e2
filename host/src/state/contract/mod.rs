//! What every engine must keep, as tests that any engine can run.
//!
//! An engine's own tests call `holds` of each part with empty engines of theirs. Where time counts, the engine is made
//! with a [`TestClock`], so that a day passes in no time.

pub(super) mod event_log;
pub(super) mod event_log_model;
pub(super) mod key_value;
pub(super) mod queues;
pub(super) mod queues_model;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time of day that goes on only when it is told to.
#[derive(Clone, Debug)]
pub(super) struct TestClock(Arc<AtomicU64>);

impl TestClock {
    /// Some day in 2026.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_780_000_000_000_000_000)))
    }

    pub(super) fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    pub(super) fn set_back(&self, by: Duration) {
        self.0.fetch_sub(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}
