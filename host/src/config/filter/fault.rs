//! Faults made on purpose: some requests wait, some fail, to see what becomes of those who asked.
//!
//! Decided here: the words. Whom a fault hits is drawn for every request; what it does is the filter's. A percentage of
//! 0 is allowed: it switches off, in one rule, what `gateway.yaml` does everywhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::split;
use super::super::units::{Duration, Percent};

/// Longer than any client waits.
const DELAY: std::ops::RangeInclusive<Duration> = Duration::millis(1)..=Duration::secs(3600);
/// Only failures: what succeeds needs no service to be injected, it is a `staticResponse`.
const STATUS: std::ops::RangeInclusive<u16> = 400..=599;
const MAX_ACTIVE: std::ops::RangeInclusive<u32> = 1..=100_000;

/// Delays some requests and fails some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Fault {
    /// Some wait before the service is asked.
    pub delay: Option<FaultDelay>,
    /// Some are answered with an error instead of being passed on.
    pub abort: Option<FaultAbort>,
    /// Only requests that have this header, whatever its value; all if not given.
    #[schemars(length(min = 1))]
    pub header: Option<String>,
    /// Requests that wait at once; more are not delayed. 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_active: u32,
}

/// Who waits, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FaultDelay {
    /// How long; the request's own time limit goes on meanwhile. 1ms to 1h.
    pub duration: Duration,
    /// For this share of requests.
    pub percent: Percent,
}

/// Who fails, and how.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FaultAbort {
    /// The answer's status, 400 to 599.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// For this share of requests, drawn apart from that of `delay`.
    pub percent: Percent,
}

impl Default for Fault {
    fn default() -> Self {
        Self { delay: None, abort: None, header: None, max_active: 100 }
    }
}

impl Fault {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if self.delay.is_none() && self.abort.is_none() && !at.has_refused() {
            check.wrong(at, "does nothing: give `delay` or `abort`");
        }
        if let Some(delay) = &self.delay {
            check.within(at.get("delay").get("duration"), &delay.duration, &DELAY);
        }
        if let Some(abort) = &self.abort {
            check.within(at.get("abort").get("status"), &abort.status, &STATUS);
        }
        if let Some(name) = &self.header {
            split::check_header(name, check, at.get("header"));
        }
        check.within(at.get("maxActive"), &self.max_active, &MAX_ACTIVE);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "delay": { "duration": "2s", "percent": 10 }, "abort": { "status": 503, "percent": 0.5 }, "header": "x-fault",
    "maxActive": 5
}"#;
