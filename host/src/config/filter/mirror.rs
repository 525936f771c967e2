//! Copies of requests for another service, or another version: real traffic for what is not trusted yet.
//!
//! Decided here: the words. That the client never notices a copy is the filter's business. A service or a version that
//! is not there is no mistake, as everywhere: it may come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check, valid_service_name};
use super::super::schema::text;
use super::super::units::{Duration, Percent, Size};

/// A copy is held in memory until its request was read.
const MAX_BODY: std::ops::RangeInclusive<Size> = Size::bytes(0)..=Size::mib(16);
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::millis(1)..=Duration::secs(3600);
const MAX_CONCURRENT: std::ops::RangeInclusive<u32> = 1..=10_000;

/// Sends copies of requests to another service or version; what it answers is thrown away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Mirror {
    /// Who gets the copies.
    #[schemars(with = "text::ServiceName")]
    pub service: String,
    /// A version's label; without one, the version that the service's plain file gives.
    #[serde(default)]
    #[schemars(with = "Option<text::Scalar>")]
    pub version: Option<String>,
    /// Of this share of requests.
    #[serde(default = "all")]
    pub percent: Percent,
    /// Requests with a longer body are not copied. At most 16MiB.
    #[serde(default = "max_body_size")]
    pub max_body_size: Size,
    /// How long a copy may take to be answered, to the last byte. 1ms to 1h.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// Copies on their way at once; while there are so many, no more are made. 1 to 10000.
    #[serde(default = "max_concurrent")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_concurrent: u32,
}

fn all() -> Percent {
    Percent::ALL
}

fn max_body_size() -> Size {
    Size::kib(64)
}

fn timeout() -> Duration {
    Duration::secs(5)
}

fn max_concurrent() -> u32 {
    32
}

impl Mirror {
    /// Who gets the copies: `orders` or `orders@2`.
    pub fn target(&self) -> String {
        let version = self.version.as_deref().map(|version| format!("@{version}")).unwrap_or_default();
        format!("{}{version}", self.service)
    }

    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Err(message) = valid_service_name(&self.service) {
            check.wrong(at.get("service"), message);
        }
        if self.version.as_deref() == Some("") {
            check.wrong(at.get("version"), "an empty version: remove it, or name one");
        }
        check.within(at.get("maxBodySize"), &self.max_body_size, &MAX_BODY);
        check.within(at.get("timeout"), &self.timeout, &TIMEOUT);
        check.within(at.get("maxConcurrent"), &self.max_concurrent, &MAX_CONCURRENT);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "service": "orders", "version": "2", "percent": 20, "maxBodySize": "1KiB", "timeout": "1s", "maxConcurrent": 5
}"#;
