//! Whether the configuration's files are in force: what metrics tell of reloads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// What became of the configuration since the start. Starts good: a host whose configuration is wrong does not start.
#[derive(Debug)]
pub struct Reloads {
    started: f64,
    good: AtomicU64,
    bad: AtomicU64,
    is_good: AtomicBool,
    /// Milliseconds since 1970.
    in_force_since: AtomicU64,
}

impl Default for Reloads {
    fn default() -> Self {
        let now = millis();
        Self {
            started: seconds(now),
            good: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            is_good: AtomicBool::new(true),
            in_force_since: AtomicU64::new(now),
        }
    }
}

impl Reloads {
    /// Files that have changed are in force.
    pub fn succeeded(&self) {
        self.good.fetch_add(1, Ordering::Relaxed);
        self.in_force_since.store(millis(), Ordering::Relaxed);
        self.is_good.store(true, Ordering::Relaxed);
    }

    /// Files that have changed are wrong, and the configuration before stays.
    pub fn failed(&self) {
        self.bad.fetch_add(1, Ordering::Relaxed);
        self.is_good.store(false, Ordering::Relaxed);
    }

    /// How many changes came into force, and how many did not.
    pub fn counts(&self) -> (u64, u64) {
        (self.good.load(Ordering::Relaxed), self.bad.load(Ordering::Relaxed))
    }

    /// Whether what the files say is in force.
    pub fn is_good(&self) -> bool {
        self.is_good.load(Ordering::Relaxed)
    }

    /// When the configuration in force came into force, in seconds since 1970.
    pub fn in_force_since(&self) -> f64 {
        seconds(self.in_force_since.load(Ordering::Relaxed))
    }

    /// When the host started, in seconds since 1970.
    pub fn started(&self) -> f64 {
        self.started
    }
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_seen_until_the_files_are_right_again() {
        let reloads = Reloads::default();
        let before = reloads.in_force_since();
        assert!(reloads.is_good() && before == reloads.started());
        reloads.failed();
        assert_eq!((reloads.is_good(), reloads.in_force_since()), (false, before));
        reloads.succeeded();
        assert!(reloads.is_good() && reloads.in_force_since() >= before);
        assert_eq!(reloads.counts(), (1, 1));
    }
}
