//! When one instance of many is left out because it fails, and for how long.
//!
//! Decided here: the words, which are Envoy's, and the bounds. How failures are counted and how many instances may be
//! out at once is the policy's (`policy/outlier.rs`). Of Envoy's rules two are here: failures in a row, and a rate of
//! failures. Its comparison with the other instances (success rate, 1.9 standard deviations) needs five of them and
//! a hundred calls of each in ten seconds, which a service on one machine hardly ever has.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::units::Duration;

const CONSECUTIVE: RangeInclusive<u32> = 0..=10_000;
const INTERVAL: RangeInclusive<Duration> = Duration::secs(1)..=Duration::secs(600);
const EJECTION: RangeInclusive<Duration> = Duration::millis(10)..=Duration::secs(86_400);
const PERCENT: RangeInclusive<u32> = 0..=100;
const CALLS: RangeInclusive<u32> = 1..=1_000_000;

/// Leaves out an instance that fails while others of its service do not. Counted are traps, timeouts, 5xx and broken
/// connections. One instance always stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct OutlierDetection {
    /// An instance goes when so many of its calls in a row failed (429 neither counts nor ends the row). 0 to 10000;
    /// 0 is never.
    #[schemars(range(min = 0, max = 10_000))]
    pub consecutive_failures: u32,
    /// Calls of this last stretch of time count for the rate; for each such time that it is well, one earlier ejection
    /// is forgotten. 1s to 10m.
    pub interval: Duration,
    /// How long it is out the first time, up to a quarter less so that not all come back at once; the second time twice
    /// as long, the third three times. 10ms to 24h.
    pub base_ejection_time: Duration,
    /// How long it is out at most. 10ms to 24h.
    pub max_ejection_time: Duration,
    /// How many percent of the service's instances may be out at once. 0 to 100; at 100, too, one stays.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejection_percent: u32,
    /// An instance goes when so many percent of its calls failed (429 counts, too). 0 to 100; 0 is never.
    #[schemars(range(min = 0, max = 100))]
    pub failure_rate_threshold: u32,
    /// The rate says nothing before there were so many calls. 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum_number_of_calls: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            interval: Duration::secs(10),
            base_ejection_time: Duration::secs(30),
            max_ejection_time: Duration::secs(300),
            max_ejection_percent: 50,
            failure_rate_threshold: 0,
            minimum_number_of_calls: 50,
        }
    }
}

impl OutlierDetection {
    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("consecutiveFailures"), &self.consecutive_failures, &CONSECUTIVE);
        check.within(at.get("interval"), &self.interval, &INTERVAL);
        let (base, longest) = (self.base_ejection_time, self.max_ejection_time);
        let longest_at = at.get("maxEjectionTime");
        check.within(at.get("baseEjectionTime"), &base, &EJECTION);
        check.within(longest_at, &longest, &EJECTION);
        if longest < base && EJECTION.contains(&longest) && EJECTION.contains(&base) {
            check.wrong(longest_at, format!("`{longest}` is less than baseEjectionTime ({base}): at least as much"));
        }
        check.within(at.get("maxEjectionPercent"), &self.max_ejection_percent, &PERCENT);
        check.within(at.get("failureRateThreshold"), &self.failure_rate_threshold, &PERCENT);
        check.within(at.get("minimumNumberOfCalls"), &self.minimum_number_of_calls, &CALLS);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "consecutiveFailures": 3, "interval": "5s", "baseEjectionTime": "10s", "maxEjectionTime": "1m",
    "maxEjectionPercent": 30, "failureRateThreshold": 85, "minimumNumberOfCalls": 20
}"#;
