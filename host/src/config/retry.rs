//! When a request is tried again, and how much that may cost the service.
//!
//! Decided here: the words, their defaults and bounds. Which failures are tried again is the policy's
//! (`policy/retry.rs`). Off unless somebody writes `retry`: a second try may do something twice.
//!
//! `attempts` counts the tries after the first one, as in the Gateway API; resilience4j's `maxAttempts` counts all of
//! them. A rule may have its own terms, which take the place of the service's as a whole. The budget is always the
//! service's: it protects the service from all of its rules together.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::units::{Duration, Size};

pub(in crate::config) const ATTEMPTS: RangeInclusive<u32> = 0..=10;
pub(in crate::config) const CODES: RangeInclusive<u16> = 400..=599;
pub(in crate::config) const TOO_MANY_REQUESTS: u16 = 429;
pub(in crate::config) const LEAST_BACKOFF: Duration = Duration::millis(1);
pub(in crate::config) const LONGEST_BACKOFF: Duration = Duration::secs(60);
/// So much is held for each request under way.
const BODY: RangeInclusive<Size> = Size::bytes(0)..=Size::mib(1);
const PERCENT: RangeInclusive<u32> = 0..=100;
const RETRIES_PER_SECOND: RangeInclusive<u32> = 0..=100_000;

/// When requests of a service are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Retry {
    /// Tries after the first one. 0 to 10; 0 is none.
    #[schemars(range(max = 10))]
    pub attempts: u32,
    /// Statuses of a service that are tried again. 400 to 599, but never 429.
    #[schemars(inner(range(min = 400, max = 599)))]
    pub codes: Vec<u16>,
    /// Whether other methods than GET, HEAD, OPTIONS, PUT and DELETE are tried again too when the service may have got
    /// the request: it may then do the same thing twice.
    pub retry_non_idempotent: bool,
    /// Least wait before a try. Waits are random and grow twofold up to `maxBackoff`. 1ms to 1m.
    pub backoff: Duration,
    /// Longest wait before a try. `backoff` to 1m.
    pub max_backoff: Duration,
    /// Bytes of a request's body that are kept for another try; a request with more is not tried again. At most 1MiB.
    pub max_body_size: Size,
    /// How many tries all requests of the service may add.
    pub budget: RetryBudget,
}

/// When requests of one rule are tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RuleRetry {
    /// Tries after the first one. 0 to 10; 0 is none.
    #[schemars(range(max = 10))]
    pub attempts: u32,
    /// Statuses of a service that are tried again. 400 to 599, but never 429.
    #[schemars(inner(range(min = 400, max = 599)))]
    pub codes: Vec<u16>,
    /// Whether other methods than GET, HEAD, OPTIONS, PUT and DELETE are tried again too when the service may have got
    /// the request: it may then do the same thing twice.
    pub retry_non_idempotent: bool,
    /// Least wait before a try. Waits are random and grow twofold up to `maxBackoff`. 1ms to 1m.
    pub backoff: Duration,
    /// Longest wait before a try. `backoff` to 1m.
    pub max_backoff: Duration,
    /// Bytes of a request's body that are kept for another try; a request with more is not tried again. At most 1MiB.
    pub max_body_size: Size,
}

/// How many tries all requests of a service together may add, so that a service in trouble is not flooded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RetryBudget {
    /// Percent of the requests of the last ten seconds. 0 to 100.
    #[schemars(range(max = 100))]
    pub percent: u32,
    /// So many a second on top, averaged over ten seconds. 0 to 100000.
    #[schemars(range(max = 100_000))]
    pub min_retries_per_second: u32,
}

impl Default for RuleRetry {
    fn default() -> Self {
        Self {
            attempts: 2,
            codes: vec![502, 503, 504],
            retry_non_idempotent: false,
            // Envoy's base and cap.
            backoff: Duration::millis(25),
            max_backoff: Duration::millis(250),
            // linkerd's.
            max_body_size: Size::kib(64),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        let RuleRetry { attempts, codes, retry_non_idempotent, backoff, max_backoff, max_body_size } =
            RuleRetry::default();
        let budget = RetryBudget::default();
        Self { attempts, codes, retry_non_idempotent, backoff, max_backoff, max_body_size, budget }
    }
}

impl Default for RetryBudget {
    /// The Gateway API's numbers, which are also those of tower.
    fn default() -> Self {
        Self { percent: 20, min_retries_per_second: 10 }
    }
}

impl Retry {
    /// All of it but the budget: what holds for a request unless its rule says otherwise.
    pub fn terms(&self) -> RuleRetry {
        RuleRetry {
            attempts: self.attempts,
            codes: self.codes.clone(),
            retry_non_idempotent: self.retry_non_idempotent,
            backoff: self.backoff,
            max_backoff: self.max_backoff,
            max_body_size: self.max_body_size,
        }
    }

    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        self.terms().check(check, at);
        let RetryBudget { percent, min_retries_per_second } = self.budget;
        let budget_at = at.get("budget");
        check.within(budget_at.get("percent"), &percent, &PERCENT);
        check.within(budget_at.get("minRetriesPerSecond"), &min_retries_per_second, &RETRIES_PER_SECOND);
        if percent == 0 && min_retries_per_second == 0 && self.attempts > 0 {
            check.wrong(budget_at, "a budget of nothing: to try nothing again, write `attempts: 0`");
        }
    }
}

impl RuleRetry {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("attempts"), &self.attempts, &ATTEMPTS);
        for (code, at) in self.codes.iter().zip(at.get("codes").items()) {
            if *code == TOO_MANY_REQUESTS {
                let message = "429 is never tried again: the service asks for fewer requests, not for more";
                check.wrong(at, message);
            } else {
                check.within(at, code, &CODES);
            }
        }
        check.within(at.get("backoff"), &self.backoff, &(LEAST_BACKOFF..=LONGEST_BACKOFF));
        if self.max_backoff < self.backoff {
            let message = format!("`{}` is shorter than `backoff`, which is {}", self.max_backoff, self.backoff);
            check.wrong(at.get("maxBackoff"), message);
        } else {
            check.within(at.get("maxBackoff"), &self.max_backoff, &(LEAST_BACKOFF..=LONGEST_BACKOFF));
        }
        check.within(at.get("maxBodySize"), &self.max_body_size, &BODY);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "attempts": 3, "codes": [500, 503], "retryNonIdempotent": true, "backoff": "10ms", "maxBackoff": "1s",
    "maxBodySize": "1KiB", "budget": { "percent": 50, "minRetriesPerSecond": 1 }
}"#;
