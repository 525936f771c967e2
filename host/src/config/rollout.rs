//! How a new version takes over from the one that serves: at once, or step by step.
//!
//! Decided here: the words and their bounds. When a step ends and what is too bad is the policy's
//! (`policy/canary.rs`); which request goes to which version, the gateway's.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::split::Split;
use super::units::Duration;

const PERCENT: RangeInclusive<u8> = 1..=100;
const MAX_RETAIN: RangeInclusive<u32> = 0..=10;
const MAX_STEPS: usize = 20;
const INTERVAL: RangeInclusive<Duration> = Duration::secs(1)..=Duration::secs(86_400);
const MIN_REQUESTS: RangeInclusive<u32> = 1..=1_000_000;
const ERROR_RATE: RangeInclusive<f64> = 0.0..=100.0;
const LATENCY_RATIO: RangeInclusive<f64> = 1.0..=1000.0;

/// How a new version takes over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Rollout {
    /// Replaced versions that stay loaded, so that `wharf rollback` is instant. 0 to 10.
    #[schemars(range(max = 10))]
    pub retain: u32,
    /// A new version gets a few requests first, and all of them only if it does as well as the old one. Without it, a
    /// new version gets all requests as soon as it has passed its health check.
    pub canary: Option<Canary>,
}

/// How a new version walks from a few requests to all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Canary {
    /// Percent of the requests that the new version gets, step by step; each more than the one before. After the last
    /// step it gets all of them.
    #[schemars(length(min = 1, max = 20), inner(range(min = 1, max = 100)))]
    pub steps: Vec<u8>,
    /// How long a step takes at least. 1s to 24h.
    pub interval: Duration,
    /// Requests that the new version must have answered in a step before the step can end. 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_requests: u32,
    /// Percent of its requests that may fail more than of the old version's. 0 to 100.
    #[schemars(range(min = 0, max = 100))]
    pub max_error_rate: f64,
    /// So many times the old version's 99th percentile may the new one's be. 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_latency_ratio: f64,
    /// Who may choose between `canary` and `stable`, and who stays with one, besides chance: a request with
    /// `x-version: canary` gets the new version when `header: x-version` is given here.
    pub split: Option<Split>,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { retain: 1, canary: None }
    }
}

impl Default for Canary {
    fn default() -> Self {
        Self {
            steps: vec![5, 25, 50, 100],
            interval: Duration::secs(30),
            min_requests: 20,
            max_error_rate: 1.0,
            max_latency_ratio: 1.5,
            split: None,
        }
    }
}

impl Rollout {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("retain"), &self.retain, &MAX_RETAIN);
        if let Some(canary) = &self.canary {
            canary.check(check, at.get("canary"));
        }
    }
}

impl Canary {
    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let steps_at = at.get("steps");
        if self.steps.is_empty() && !steps_at.has_refused() {
            check.wrong(steps_at, "no step: name at least one, like [5, 25, 50, 100]");
        }
        if self.steps.len() > MAX_STEPS {
            check.wrong(steps_at, format!("too many steps: at most {MAX_STEPS}"));
        }
        let mut before = 0;
        for (step, at) in self.steps.iter().zip(steps_at.items()) {
            check.within(at, step, &PERCENT);
            if PERCENT.contains(step) && *step <= before {
                check.wrong(at, format!("`{step}` is not more than the step before ({before})"));
            }
            before = *step;
        }
        check.within(at.get("interval"), &self.interval, &INTERVAL);
        check.within(at.get("minRequests"), &self.min_requests, &MIN_REQUESTS);
        check.within(at.get("maxErrorRate"), &self.max_error_rate, &ERROR_RATE);
        if let Some(split) = &self.split {
            split.check_names(check, at.get("split"));
        }
        check.within(at.get("maxLatencyRatio"), &self.max_latency_ratio, &LATENCY_RATIO);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "retain": 2,
    "canary": {
        "steps": [10, 100], "interval": "1m", "minRequests": 50, "maxErrorRate": 0.5, "maxLatencyRatio": 2
    }
}"#;
