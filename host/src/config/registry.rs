//! Clocks and bounds of the registry.
//!
//! The times are those of Nacos for instances that register themselves: a beat every 5 s, unhealthy after 15 s without
//! one, forgotten after 30 s.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::units::Duration;

const HEARTBEAT: RangeInclusive<Duration> = Duration::millis(100)..=Duration::secs(3600);
const MAX_INSTANCES: RangeInclusive<u32> = 1..=100_000;

/// Instances that register themselves through the admin API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RegistrySettings {
    /// How often an instance is expected to say that it is there. 100ms to 1h.
    pub heartbeat_interval: Duration,
    /// Time without a word after which it gets no requests; at least two intervals.
    pub unhealthy_after: Duration,
    /// Time without a word after which it is forgotten; more than `unhealthyAfter`.
    pub remove_after: Duration,
    /// How many may be registered at once; more are refused with 507. 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_instances: u32,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::secs(5),
            unhealthy_after: Duration::secs(15),
            remove_after: Duration::secs(30),
            max_instances: 1000,
        }
    }
}

impl RegistrySettings {
    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("heartbeatInterval"), &self.heartbeat_interval, &HEARTBEAT);
        check.within(at.get("maxInstances"), &self.max_instances, &MAX_INSTANCES);
        // One beat may get lost without anybody noticing.
        if self.unhealthy_after.get() < self.heartbeat_interval.get() * 2 {
            let message = format!(
                "`{}` is too little: at least two times heartbeatInterval ({})",
                self.unhealthy_after, self.heartbeat_interval
            );
            check.wrong(at.get("unhealthyAfter"), message);
        }
        if self.remove_after <= self.unhealthy_after {
            let message =
                format!("`{}` is too little: more than unhealthyAfter ({})", self.remove_after, self.unhealthy_after);
            check.wrong(at.get("removeAfter"), message);
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(super) const EXAMPLE: &str =
    r#"{ "heartbeatInterval": "4s", "unhealthyAfter": "16s", "removeAfter": "31s", "maxInstances": 5 }"#;
