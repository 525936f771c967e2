//! When a version that fails is no longer called, and what its callers get instead.
//!
//! Decided here: the words, which are resilience4j's wherever it has one, and the bounds. How calls are counted and
//! when the breaker opens is the policy's (`policy/breaker.rs`); who is asked instead, the gateway's.
//!
//! A fallback may name a service and a response: the service is asked first, the response is what is left when it has
//! no answer either. So a response in `defaults` and a service of one's own do not contradict each other. A fallback
//! that leads back to the version whose breaker is open is none: [`Fallback::service_for`] leaves it out.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check, valid_service_name};
use super::filter::StaticResponse;
use super::schema::text;
use super::units::Duration;

/// A tenth of the window must be long enough to hold calls, and short enough that a spell of failures is over soon.
const WINDOW: RangeInclusive<Duration> = Duration::secs(1)..=Duration::secs(600);
const PERCENT: RangeInclusive<u32> = 0..=100;
const SOME_PERCENT: RangeInclusive<u32> = 1..=100;
const CALLS: RangeInclusive<u32> = 1..=1_000_000;
const CONSECUTIVE: RangeInclusive<u32> = 0..=10_000;
const PROBES: RangeInclusive<u32> = 1..=1000;
/// Never 0: a breaker that never closes or never gives up on a lost probe is an outage of its own.
const WAIT: RangeInclusive<Duration> = Duration::millis(10)..=Duration::secs(3600);

/// Stops calling a version of the service that fails: 503 `circuit_open` at once instead of waiting for the next
/// failure. Counted are traps, timeouts, 5xx and broken connections; 4xx and clients that leave count nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CircuitBreaker {
    /// Whether there is one.
    pub enabled: bool,
    /// Calls of this last stretch of time count for the rates. 1s to 10m.
    pub sliding_window: Duration,
    /// Opens when so many percent of the calls in the window failed (429 counts, too). 0 to 100; 0 is never.
    #[schemars(range(min = 0, max = 100))]
    pub failure_rate_threshold: u32,
    /// Rates say nothing before there were so many calls in the window. 1 to 1000000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub minimum_number_of_calls: u32,
    /// Opens at once when so many calls in a row failed (429 neither counts nor ends the row). 0 to 10000; 0 is never.
    #[schemars(range(min = 0, max = 10_000))]
    pub consecutive_failures: u32,
    /// A call that takes longer is slow; `0s` is never.
    pub slow_call_duration_threshold: Duration,
    /// Opens when so many percent of the calls in the window were slow. 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub slow_call_rate_threshold: u32,
    /// How long it stays open at first, up to a fifth less so that not all come back at once; each time that it opens
    /// again before it was closed for a whole window, twice as long. 10ms to 1h.
    pub wait_duration_in_open_state: Duration,
    /// How long it stays open at most. 10ms to 1h.
    pub max_wait_duration_in_open_state: Duration,
    /// So many calls are let through after that: when all are good it closes, at the first bad one it opens again.
    /// 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub permitted_number_of_calls_in_half_open_state: u32,
    /// Opens again when none of them was answered for so long. 10ms to 1h.
    pub max_wait_duration_in_half_open_state: Duration,
    /// What callers get while it is open; 503 if nothing is given.
    pub fallback: Fallback,
}

/// What callers get while a breaker is open: the answer of another service, and a fixed one when there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Fallback {
    /// A service that answers instead. Its own fallback is not asked in turn.
    #[schemars(with = "Option<text::ServiceName>")]
    pub service: Option<String>,
    /// A version of it, by label; any if not given. Without `service`, a version of this service.
    #[schemars(with = "Option<text::Name>")]
    pub version: Option<String>,
    /// A fixed answer.
    pub response: Option<StaticResponse>,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            enabled: true,
            sliding_window: Duration::secs(10),
            failure_rate_threshold: 50,
            minimum_number_of_calls: 20,
            consecutive_failures: 5,
            slow_call_duration_threshold: Duration::ZERO,
            slow_call_rate_threshold: 100,
            wait_duration_in_open_state: Duration::secs(5),
            max_wait_duration_in_open_state: Duration::secs(60),
            permitted_number_of_calls_in_half_open_state: 3,
            max_wait_duration_in_half_open_state: Duration::secs(10),
            fallback: Fallback::default(),
        }
    }
}

impl CircuitBreaker {
    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("slidingWindow"), &self.sliding_window, &WINDOW);
        check.within(at.get("failureRateThreshold"), &self.failure_rate_threshold, &PERCENT);
        check.within(at.get("minimumNumberOfCalls"), &self.minimum_number_of_calls, &CALLS);
        check.within(at.get("consecutiveFailures"), &self.consecutive_failures, &CONSECUTIVE);
        check.within(at.get("slowCallRateThreshold"), &self.slow_call_rate_threshold, &SOME_PERCENT);
        let (wait_at, longest_at) = (at.get("waitDurationInOpenState"), at.get("maxWaitDurationInOpenState"));
        let (wait, longest) = (self.wait_duration_in_open_state, self.max_wait_duration_in_open_state);
        check.within(wait_at, &wait, &WAIT);
        check.within(longest_at, &longest, &WAIT);
        if longest < wait && WAIT.contains(&longest) && WAIT.contains(&wait) {
            let message = format!("`{longest}` is less than waitDurationInOpenState ({wait}): at least as much");
            check.wrong(longest_at, message);
        }
        let probes = self.permitted_number_of_calls_in_half_open_state;
        check.within(at.get("permittedNumberOfCallsInHalfOpenState"), &probes, &PROBES);
        let answer_at = at.get("maxWaitDurationInHalfOpenState");
        check.within(answer_at, &self.max_wait_duration_in_half_open_state, &WAIT);
        let never = self.failure_rate_threshold == 0
            && self.consecutive_failures == 0
            && self.slow_call_duration_threshold == Duration::ZERO;
        if self.enabled && never {
            check.wrong(at.key("enabled"), "nothing would ever open this breaker: write `enabled: false`");
        }
        self.fallback.check(check, at.get("fallback"));
    }

    /// A service that wrote itself as its own fallback. One that only inherited it is its own fallback's fallback, which
    /// is no mistake: it has none.
    pub(super) fn check_written_for(&self, name: &str, defaults: &Self, check: &mut Check<'_>, at: At<'_>) {
        let Fallback { service, version, response: _ } = &self.fallback;
        let inherited = defaults.fallback.service == *service;
        if service.as_deref() == Some(name) && version.is_none() && !inherited {
            let message = format!("`{name}` cannot be its own fallback: name another service, or a `version` of it");
            check.wrong(at.get("fallback").get("service"), message);
        }
    }
}

impl Fallback {
    /// The service (and its version, if one is asked for) that answers instead of `version` of `service`. None when
    /// there is none, or when it would be that version again.
    pub fn service_for<'a>(&'a self, service: &'a str, version: &str) -> Option<(&'a str, Option<&'a str>)> {
        let label = self.version.as_deref();
        let other = self.service.as_deref().or(label.map(|_| service))?;
        let itself = other == service && label.is_none_or(|label| label == version);
        (!itself).then_some((other, label))
    }

    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Some(Err(message)) = self.service.as_deref().map(valid_service_name) {
            check.wrong(at.get("service"), message);
        }
        if self.version.as_deref() == Some("") {
            check.wrong(at.get("version"), "an empty version: remove it, or name one");
        }
        if let Some(response) = &self.response {
            response.check(check, at.get("response"));
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "enabled": true, "slidingWindow": "30s", "failureRateThreshold": 40, "minimumNumberOfCalls": 10,
    "consecutiveFailures": 3, "slowCallDurationThreshold": "2s", "slowCallRateThreshold": 80,
    "waitDurationInOpenState": "6s", "maxWaitDurationInOpenState": "1m30s",
    "permittedNumberOfCallsInHalfOpenState": 1, "maxWaitDurationInHalfOpenState": "5s",
    "fallback": {
        "service": "stock", "version": "1",
        "response": { "status": 503, "headers": { "x-a": "b" }, "body": "{}", "contentType": "application/json" }
    }
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_never_leads_back_to_the_version_that_is_open() {
        let to = |service: Option<&str>, version: Option<&str>| Fallback {
            service: service.map(str::to_owned),
            version: version.map(str::to_owned),
            response: None,
        };
        for (fallback, answers) in [
            (to(None, None), None),
            (to(None, Some("1")), Some(("orders", Some("1")))),
            (to(None, Some("2")), None),
            (to(Some("stock"), None), Some(("stock", None))),
            (to(Some("stock"), Some("2")), Some(("stock", Some("2")))),
            (to(Some("orders"), None), None),
            (to(Some("orders"), Some("2")), None),
            (to(Some("orders"), Some("1")), Some(("orders", Some("1")))),
        ] {
            assert_eq!(fallback.service_for("orders", "2"), answers, "{fallback:?}");
        }
    }
}
