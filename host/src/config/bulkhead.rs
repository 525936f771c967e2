//! How many requests of one service, or of one rule, run at once.
//!
//! Decided here: the words, their defaults and bounds. How places are given is the policy's (`policy/bulkhead.rs`), how
//! a limit finds its own size too (`policy/adaptive.rs`).

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::units::Duration;

const MAX_CONCURRENT: RangeInclusive<u32> = 1..=100_000;
const MAX_PENDING: RangeInclusive<u32> = 0..=100_000;
const RESERVED: RangeInclusive<u32> = 0..=1000;
const MIN_LIMIT: RangeInclusive<u32> = 1..=100_000;
const TOLERANCE: RangeInclusive<u32> = 1..=1000;
const PROBE_INTERVAL: RangeInclusive<Duration> = Duration::secs(1)..=Duration::secs(3600);

/// Concurrency of one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Bulkhead {
    /// Requests at once.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_concurrent: u32,
    /// Requests that may wait for a place; more are 503 `bulkhead_full` at once.
    #[schemars(range(max = 100_000))]
    pub max_pending: u32,
    /// How long one may wait before it is 503 `bulkhead_full`.
    pub max_wait: Duration,
    /// Places on top of `maxConcurrent` that only health checks get, so that a busy service is not taken for a dead one.
    /// 0 to 1000.
    #[schemars(range(max = 1000))]
    pub reserved: u32,
    /// Lets fewer than `maxConcurrent` in when that makes the service faster.
    pub adaptive: AdaptiveLimit,
}

/// Concurrency of one rule: places of its own, beside those of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RuleBulkhead {
    /// Requests of this rule at once. Not more than the service's.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_concurrent: u32,
    /// Requests that may wait for a place; more are 503 `bulkhead_full` at once.
    #[serde(default = "pending")]
    #[schemars(range(max = 100_000))]
    pub max_pending: u32,
    /// How long one may wait before it is 503 `bulkhead_full`.
    #[serde(default = "wait")]
    pub max_wait: Duration,
}

fn pending() -> u32 {
    Bulkhead::default().max_pending
}

fn wait() -> Duration {
    Bulkhead::default().max_wait
}

/// A limit that follows the service's latency, between `minLimit` and `maxConcurrent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AdaptiveLimit {
    /// Whether the limit moves; otherwise it is `maxConcurrent`.
    pub enabled: bool,
    /// The least it comes to, and what it is while the service's own latency is measured. 1 to `maxConcurrent`.
    #[schemars(range(min = 1, max = 100_000))]
    pub min_limit: u32,
    /// Percent by which requests may be slower than on an idle service before the limit shrinks. 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub tolerance: u32,
    /// How often the latency of the idle service is measured again, with a few requests at `minLimit`. 1s to 1h.
    pub probe_interval: Duration,
}

impl Default for Bulkhead {
    fn default() -> Self {
        Self {
            max_concurrent: 256,
            max_pending: 256,
            max_wait: Duration::secs(1),
            reserved: 4,
            adaptive: AdaptiveLimit::default(),
        }
    }
}

impl Default for AdaptiveLimit {
    /// Envoy's gradient controller.
    fn default() -> Self {
        Self { enabled: false, min_limit: 3, tolerance: 25, probe_interval: Duration::secs(60) }
    }
}

impl Bulkhead {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self { max_concurrent, max_pending, max_wait: _, reserved, adaptive } = self;
        check.within(at.get("maxConcurrent"), max_concurrent, &MAX_CONCURRENT);
        check.within(at.get("maxPending"), max_pending, &MAX_PENDING);
        check.within(at.get("reserved"), reserved, &RESERVED);
        let at = at.get("adaptive");
        let AdaptiveLimit { enabled, min_limit, tolerance, probe_interval } = adaptive;
        check.within(at.get("minLimit"), min_limit, &MIN_LIMIT);
        if *enabled && min_limit > max_concurrent {
            let message = format!("`{min_limit}` is more than `maxConcurrent`, which is {max_concurrent}");
            check.wrong(at.get("minLimit"), message);
        }
        check.within(at.get("tolerance"), tolerance, &TOLERANCE);
        check.within(at.get("probeInterval"), probe_interval, &PROBE_INTERVAL);
    }
}

impl RuleBulkhead {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("maxConcurrent"), &self.max_concurrent, &MAX_CONCURRENT);
        check.within(at.get("maxPending"), &self.max_pending, &MAX_PENDING);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "maxConcurrent": 5, "maxPending": 0, "maxWait": "0s", "reserved": 1,
    "adaptive": { "enabled": true, "minLimit": 2, "tolerance": 50, "probeInterval": "30s" }
}"#;
