//! How long an instance that registered itself counts as there: a pure clock.
//!
//! ```text
//! renewed ── 2 × heartbeat ──→ Late ── unhealthy after ──→ Overdue ── remove after ──→ Over
//! ```
//!
//! One beat may come late or get lost without anything happening: only when two intervals went by does the instance show
//! as degraded, which warns people and keeps the requests. The numbers (5 s, 15 s, 30 s) are those of Nacos for instances
//! that are not persistent. Time is `tokio`'s, so a wall clock that jumps ends no lease.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::RegistrySettings;

/// The times of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How often a beat is expected.
    pub heartbeat: Duration,
    /// Time without a beat after which the instance is unhealthy.
    pub unhealthy_after: Duration,
    /// Time without a beat after which it is forgotten.
    pub remove_after: Duration,
}

/// How late a lease is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It was renewed in time.
    Fresh,
    /// A beat is missing.
    Late,
    /// Too many are.
    Overdue,
    /// The instance is gone.
    Over,
}

/// The lease of one instance.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Times of its own, if it asked for some; else those of the configuration hold, also after they change.
    own: Option<LeaseTimes>,
    renewed: Instant,
}

impl From<&RegistrySettings> for LeaseTimes {
    fn from(settings: &RegistrySettings) -> Self {
        Self {
            heartbeat: settings.heartbeat_interval.get(),
            unhealthy_after: settings.unhealthy_after.get(),
            remove_after: settings.remove_after.get(),
        }
    }
}

impl LeaseTimes {
    /// The times of an instance that asks to be forgotten `ttl` after its last beat, in the same proportions as the
    /// defaults: a beat every sixth of it, unhealthy after half of it.
    pub fn from_ttl(ttl: Duration) -> Self {
        Self { heartbeat: ttl / 6, unhealthy_after: ttl / 2, remove_after: ttl }
    }
}

impl Lease {
    /// Renewed now; with times of its own if it has a `ttl`.
    pub fn new(ttl: Option<Duration>, now: Instant) -> Self {
        Self { own: ttl.map(LeaseTimes::from_ttl), renewed: now }
    }

    /// A beat came.
    pub fn renew(&mut self, now: Instant) {
        self.renewed = self.renewed.max(now);
    }

    /// Time since the last beat.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.renewed)
    }

    /// The times that hold for it, where `common` are those of the configuration.
    pub fn times(&self, common: LeaseTimes) -> LeaseTimes {
        self.own.unwrap_or(common)
    }

    /// How late it is.
    pub fn phase(&self, common: LeaseTimes, now: Instant) -> Phase {
        let (times, age) = (self.times(common), self.age(now));
        if age >= times.remove_after {
            Phase::Over
        } else if age >= times.unhealthy_after {
            Phase::Overdue
        } else if age >= times.heartbeat * 2 {
            Phase::Late
        } else {
            Phase::Fresh
        }
    }

    /// When the phase is next another one without a beat; nothing when it is over.
    pub fn next_change(&self, common: LeaseTimes, now: Instant) -> Option<Instant> {
        let times = self.times(common);
        let ages = [times.heartbeat * 2, times.unhealthy_after, times.remove_after];
        ages.into_iter().filter(|age| *age > self.age(now)).min().map(|age| self.renewed + age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn common() -> LeaseTimes {
        LeaseTimes::from(&RegistrySettings::default())
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_runs_out_in_steps() {
        let lease = Lease::new(None, Instant::now());
        let mut seen = Vec::new();
        for _ in 0..31 {
            seen.push(lease.phase(common(), Instant::now()));
            advance(Duration::from_secs(1)).await;
        }
        let from = |phase| seen.iter().position(|known| *known == phase).unwrap();
        assert_eq!([Phase::Fresh, Phase::Late, Phase::Overdue, Phase::Over].map(from), [0, 10, 15, 30]);
        assert!(seen.is_sorted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_makes_it_fresh_even_when_it_was_overdue() {
        let mut lease = Lease::new(None, Instant::now());
        advance(Duration::from_secs(29)).await;
        assert_eq!(lease.phase(common(), Instant::now()), Phase::Overdue);
        lease.renew(Instant::now());
        assert_eq!(lease.phase(common(), Instant::now()), Phase::Fresh);
        assert_eq!(lease.age(Instant::now()), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_change_is_the_moment_of_the_next_phase() {
        let lease = Lease::new(None, Instant::now());
        let mut moments = Vec::new();
        while let Some(next) = lease.next_change(common(), Instant::now()) {
            let before = lease.phase(common(), next - Duration::from_millis(1));
            let after = lease.phase(common(), next);
            assert!(before < after, "{before:?} {after:?}");
            moments.push(lease.age(next).as_secs());
            advance(next.saturating_duration_since(Instant::now())).await;
        }
        assert_eq!(moments, [10, 15, 30]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ttl_of_its_own_wins_over_the_configuration() {
        let lease = Lease::new(Some(Duration::from_secs(60)), Instant::now());
        assert_eq!(lease.times(common()).heartbeat, Duration::from_secs(10));
        advance(Duration::from_secs(29)).await;
        assert_eq!(lease.phase(common(), Instant::now()), Phase::Late);
        advance(Duration::from_secs(31)).await;
        assert_eq!(lease.phase(common(), Instant::now()), Phase::Over);
    }

    #[tokio::test(start_paused = true)]
    async fn a_beat_from_the_past_does_not_age_a_lease() {
        let old = Instant::now();
        advance(Duration::from_secs(9)).await;
        let mut lease = Lease::new(None, Instant::now());
        lease.renew(old);
        assert_eq!(lease.age(Instant::now()), Duration::ZERO);
    }
}
