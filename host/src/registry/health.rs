//! What follows from the results of health checks: a pure state machine, without clocks or sockets.
//!
//! ```text
//! Starting ──1 success──→ Healthy ──unhealthyThreshold failures──→ Unhealthy
//!    │                       ↑                                         │
//!    └─unhealthyThreshold────│──────────── healthyThreshold successes ─┘
//!       failures → Unhealthy
//! ```
//!
//! One failure below the threshold makes it `Degraded` and not `Healthy`, and the next success makes it `Healthy` again:
//! people see that something is wrong before requests are kept away. An answer that says "too busy" is not a failure of
//! the instance; whoever asks reports it as [`CheckResult::Inconclusive`], so that load does not take down a service
//! that works (a cascade in which each instance taken away makes the others slower).
//!
//! Who asks, and when, is not decided here; [`jittered`] only spreads the moments, because many instances that were
//! registered at the same moment would be asked at the same moment for ever.

use std::time::Duration;

use tokio::time::Instant;

use super::instance::Health;
use crate::config::InstanceCheck;

/// How much earlier or later than its interval a check may come, as a part of it.
const JITTER: f64 = 0.1;

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    /// It answered as expected.
    Ok,
    /// It did not, and why. Refused connections, timeouts and other statuses are all the same here.
    Failed(String),
    /// Nothing was learnt: it, or we, had no place for the check.
    Inconclusive,
}

/// What checks have told about one instance.
#[derive(Debug, Clone)]
pub struct CheckState {
    unhealthy_threshold: u32,
    healthy_threshold: u32,
    health: Health,
    failures: u32,
    successes: u32,
    /// When the last result came that told something.
    last: Option<Instant>,
}

impl CheckState {
    /// Nothing is known yet.
    pub fn starting(check: &InstanceCheck) -> Self {
        Self {
            unhealthy_threshold: check.unhealthy_threshold.max(1),
            healthy_threshold: check.healthy_threshold.max(1),
            health: Health::Starting,
            failures: 0,
            successes: 0,
            last: None,
        }
    }

    /// It has just answered well, as every version does before it is published.
    pub fn probed(check: &InstanceCheck) -> Self {
        Self { health: Health::Healthy, ..Self::starting(check) }
    }

    /// What was learnt before holds on under other thresholds.
    pub(super) fn reconfigure(&mut self, check: &InstanceCheck) {
        self.unhealthy_threshold = check.unhealthy_threshold.max(1);
        self.healthy_threshold = check.healthy_threshold.max(1);
    }

    /// What follows from all results so far: `Starting`, `Healthy`, `Degraded` or `Unhealthy`.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// When something was last learnt.
    pub fn last(&self) -> Option<Instant> {
        self.last
    }

    /// Takes a result; the health before and after if it is another word now.
    pub fn record(&mut self, result: CheckResult, now: Instant) -> Option<(Health, Health)> {
        let next = match result {
            CheckResult::Inconclusive => return None,
            CheckResult::Ok => self.succeeded(),
            CheckResult::Failed(reason) => self.failed(reason),
        };
        self.last = Some(now);
        let before = std::mem::replace(&mut self.health, next);
        (before.rank() != self.health.rank()).then(|| (before, self.health.clone()))
    }

    fn succeeded(&mut self) -> Health {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
        match &self.health {
            Health::Unhealthy(_) if self.successes < self.healthy_threshold => self.health.clone(),
            Health::Healthy | Health::Degraded(_) | Health::Starting | Health::Unhealthy(_) | Health::Stopping => {
                Health::Healthy
            }
        }
    }

    fn failed(&mut self, reason: String) -> Health {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        match &self.health {
            Health::Unhealthy(_) => Health::Unhealthy(reason),
            _ if self.failures >= self.unhealthy_threshold => Health::Unhealthy(reason),
            Health::Starting => Health::Starting,
            Health::Healthy | Health::Degraded(_) | Health::Stopping => Health::Degraded(reason),
        }
    }
}

/// `interval`, at most a tenth shorter or longer. `random` is from 0 to 1 and comes from the caller.
pub fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HealthCheck;

    fn check(unhealthy: u32, healthy: u32) -> InstanceCheck {
        let check = HealthCheck {
            path: Some("/health".to_owned()),
            unhealthy_threshold: unhealthy,
            healthy_threshold: healthy,
            ..HealthCheck::default()
        };
        check.of_instances().unwrap()
    }

    /// The words after each result; `+` is a success, `-` a failure, `?` nothing.
    fn words(mut state: CheckState, results: &str) -> String {
        let now = Instant::now();
        let mut word = |result| {
            let result = match result {
                '+' => CheckResult::Ok,
                '-' => CheckResult::Failed("refused".to_owned()),
                _ => CheckResult::Inconclusive,
            };
            let before = state.health().clone();
            let change = state.record(result, now);
            let changed = before.rank() != state.health().rank();
            assert_eq!(change, changed.then(|| (before, state.health().clone())));
            state.health().word().chars().next().unwrap()
        };
        results.chars().map(&mut word).collect()
    }

    #[tokio::test]
    async fn one_success_is_enough_at_the_start() {
        assert_eq!(words(CheckState::starting(&check(3, 2)), "+"), "h");
        assert_eq!(words(CheckState::starting(&check(3, 2)), "-+"), "sh");
    }

    #[tokio::test]
    async fn what_never_answers_becomes_unhealthy_after_the_threshold() {
        assert_eq!(words(CheckState::starting(&check(3, 2)), "---"), "ssu");
    }

    #[tokio::test]
    async fn failures_below_the_threshold_only_degrade_and_must_be_in_a_row() {
        assert_eq!(words(CheckState::probed(&check(3, 2)), "--+--+---"), "ddhddhddu");
    }

    #[tokio::test]
    async fn recovery_needs_its_own_threshold_in_a_row() {
        assert_eq!(words(CheckState::probed(&check(1, 3)), "-++-++++"), "uuuuuuhh");
    }

    #[tokio::test]
    async fn a_check_that_found_no_place_changes_nothing() {
        assert_eq!(words(CheckState::probed(&check(2, 2)), "-?-?+?+"), "dduuuuh");
        let mut state = CheckState::starting(&check(1, 1));
        assert_eq!(state.record(CheckResult::Inconclusive, Instant::now()), None);
        assert_eq!((state.last(), state.health()), (None, &Health::Starting));
    }

    #[tokio::test]
    async fn the_newest_reason_is_told() {
        let mut state = CheckState::probed(&check(1, 1));
        for reason in ["refused", "answered 500"] {
            state.record(CheckResult::Failed(reason.to_owned()), Instant::now());
            assert_eq!(state.health().reason(), Some(reason));
        }
    }

    #[tokio::test]
    async fn other_thresholds_keep_what_was_learnt() {
        let mut state = CheckState::probed(&check(3, 2));
        state.record(CheckResult::Failed("refused".to_owned()), Instant::now());
        state.reconfigure(&check(2, 1));
        assert_eq!(words(state, "-+"), "uh");
    }

    #[test]
    fn intervals_spread_by_a_tenth_and_no_more() {
        let interval = Duration::from_secs(10);
        let all = [0.0, 0.5, 1.0, 7.0, -1.0].map(|random| jittered(interval, random).as_millis());
        assert_eq!(all, [9000, 10_000, 11_000, 11_000, 9000]);
    }
}
