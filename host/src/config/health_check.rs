//! When something that can answer counts as well.
//!
//! Decided here: the words and their bounds. What follows from results is the registry's business (`registry/health`).
//! Two clocks, because two things are asked: a new version may need long to start (`startTimeout`), an instance that
//! serves must answer quickly (`timeout`), or it will not answer clients quickly either.
//!
//! The defaults are a middle of what others use: Envoy asks for every number, Traefik looks every 30 s, Kong and APISIX
//! give a check one second. One success is enough after the start, as in Envoy.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::check::{At, Check};
use super::notation::valid_path;
use super::schema::text;
use super::units::{Duration, UnitError};

/// Asking more often would be load; less often would be no check.
const INTERVAL: RangeInclusive<Duration> = Duration::millis(100)..=Duration::secs(3600);
const TIMEOUT: RangeInclusive<Duration> = Duration::millis(1)..=Duration::secs(60);
const THRESHOLD: RangeInclusive<u32> = 1..=100;
const MAX_STATUSES: usize = 16;

/// What a service answers when it is well: asked before a new version gets traffic, and again and again after that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct HealthCheck {
    /// `GET` this path. Without one, a new version is only started once, and no instance is asked later.
    #[schemars(with = "Option<text::Path>")]
    pub path: Option<String>,
    /// How long a new version may take to start and to answer for the first time.
    pub start_timeout: Duration,
    /// How long an instance that serves may take to answer. 1ms to 1m.
    pub timeout: Duration,
    /// Time between two checks of an instance, give or take a tenth. 100ms to 1h.
    pub interval: Duration,
    /// Failed checks in a row after which an instance gets no requests. 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_threshold: u32,
    /// Good checks in a row after which it gets requests again; the first one after its start is enough. 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub healthy_threshold: u32,
    /// Statuses that are good, like `204` or `200-299`. At most 16.
    #[schemars(length(min = 1, max = 16))]
    pub expected_statuses: Vec<StatusRange>,
}

/// How one remote instance is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct InstanceCheck {
    /// `GET` this path.
    #[schemars(with = "text::Path")]
    pub path: String,
    /// How long it may take to answer. 1ms to 1m.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// Time between two checks, give or take a tenth. 100ms to 1h.
    #[serde(default = "interval")]
    pub interval: Duration,
    /// Failed checks in a row after which it gets no requests. 1 to 100.
    #[serde(default = "unhealthy_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub unhealthy_threshold: u32,
    /// Good checks in a row after which it gets requests again; the first one of all is enough. 1 to 100.
    #[serde(default = "healthy_threshold")]
    #[schemars(range(min = 1, max = 100))]
    pub healthy_threshold: u32,
    /// Statuses that are good, like `204` or `200-299`. At most 16.
    #[serde(default = "expected_statuses")]
    #[schemars(length(min = 1, max = 16))]
    pub expected_statuses: Vec<StatusRange>,
}

/// A status, or all from one to another: `204`, `200-299`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

fn timeout() -> Duration {
    Duration::secs(1)
}

fn interval() -> Duration {
    Duration::secs(10)
}

fn unhealthy_threshold() -> u32 {
    3
}

fn healthy_threshold() -> u32 {
    2
}

fn expected_statuses() -> Vec<StatusRange> {
    vec![StatusRange { first: 200, last: 299 }]
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: None,
            start_timeout: Duration::secs(5),
            timeout: timeout(),
            interval: interval(),
            unhealthy_threshold: unhealthy_threshold(),
            healthy_threshold: healthy_threshold(),
            expected_statuses: expected_statuses(),
        }
    }
}

impl HealthCheck {
    /// How instances of the service are checked; not at all without a path.
    pub fn of_instances(&self) -> Option<InstanceCheck> {
        let path = self.path.clone()?;
        Some(InstanceCheck {
            path,
            timeout: self.timeout,
            interval: self.interval,
            unhealthy_threshold: self.unhealthy_threshold,
            healthy_threshold: self.healthy_threshold,
            expected_statuses: self.expected_statuses.clone(),
        })
    }

    /// Whether an answer with this status is a good one.
    pub fn expects(&self, status: u16) -> bool {
        self.expected_statuses.iter().any(|range| range.contains(status))
    }

    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.at_least(at.get("startTimeout"), &self.start_timeout, &Duration::millis(1));
        let as_instance = InstanceCheck { path: self.path.clone().unwrap_or_else(|| "/".to_owned()), ..self.bounds() };
        as_instance.check(check, at);
    }

    /// Everything that has bounds, whether or not there is a path.
    fn bounds(&self) -> InstanceCheck {
        InstanceCheck {
            path: String::new(),
            timeout: self.timeout,
            interval: self.interval,
            unhealthy_threshold: self.unhealthy_threshold,
            healthy_threshold: self.healthy_threshold,
            expected_statuses: self.expected_statuses.clone(),
        }
    }
}

impl InstanceCheck {
    /// Whether an answer with this status is a good one.
    pub fn expects(&self, status: u16) -> bool {
        self.expected_statuses.iter().any(|range| range.contains(status))
    }

    /// What is wrong with it, by field.
    pub fn wrong(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if let Err(message) = valid_path(&self.path) {
            wrong.push(("path", message));
        }
        let mut within = |field, value: &dyn fmt::Display, is_in: bool, bounds: String| {
            if !is_in {
                wrong.push((field, format!("`{value}` is out of bounds: {bounds}")));
            }
        };
        let words = |bounds: &RangeInclusive<Duration>| format!("{} to {}", bounds.start(), bounds.end());
        within("timeout", &self.timeout, TIMEOUT.contains(&self.timeout), words(&TIMEOUT));
        within("interval", &self.interval, INTERVAL.contains(&self.interval), words(&INTERVAL));
        for (field, value) in
            [("unhealthyThreshold", self.unhealthy_threshold), ("healthyThreshold", self.healthy_threshold)]
        {
            within(field, &value, THRESHOLD.contains(&value), "1 to 100".to_owned());
        }
        let statuses = self.expected_statuses.len();
        if statuses == 0 {
            wrong.push(("expectedStatuses", "without a status nothing would be good: name one".to_owned()));
        } else if statuses > MAX_STATUSES {
            wrong.push(("expectedStatuses", format!("{statuses} are too many: at most {MAX_STATUSES}")));
        }
        wrong
    }

    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        for (field, message) in self.wrong() {
            let at = at.get(field);
            // A list from which all that was wrong has been taken is empty here; that was said already.
            if !at.has_refused() {
                check.wrong(at, message);
            }
        }
    }
}

impl StatusRange {
    /// Whether this status is in it.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl FromStr for StatusRange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let status = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|status| digits && (100..=599).contains(status))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(UnitError::new(format!(
                "`{}` is no range of statuses: write it like 204 or 200-299",
                text.escape_debug()
            ))),
        }
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl Serialize for StatusRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RangeVisitor;
        impl Visitor<'_> for RangeVisitor {
            type Value = StatusRange;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status such as 204, or a range such as 200-299")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusRange, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(RangeVisitor)
    }
}

impl JsonSchema for StatusRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StatusRange".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$",
            "minimum": 100,
            "maximum": 599,
        })
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"{
    "path": "/health", "startTimeout": "3s", "timeout": "1s", "interval": "5s", "unhealthyThreshold": 2,
    "healthyThreshold": 1, "expectedStatuses": ["200-299", "304"]
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_it_is_written() {
        for text in ["204", "200-299", "100-599"] {
            assert_eq!(text.parse::<StatusRange>().unwrap().to_string(), text);
        }
        let range: StatusRange = "200-299".parse().unwrap();
        assert_eq!([199, 200, 299, 300].map(|status| range.contains(status)), [false, true, true, false]);
        for text in ["", "2", "99", "600", "299-200", "200-", "-200", "200-299-300", "+20", "2xx", "0200"] {
            let error = text.parse::<StatusRange>().unwrap_err().to_string();
            assert!(error.contains("write it like 204 or 200-299"), "{error}");
        }
    }

    #[test]
    fn a_check_without_statuses_or_with_odd_numbers_is_refused_field_by_field() {
        let good = HealthCheck { path: Some("/health".to_owned()), ..HealthCheck::default() }.of_instances().unwrap();
        assert_eq!(good.wrong(), []);
        let bad = InstanceCheck {
            path: "health".to_owned(),
            timeout: Duration::ZERO,
            interval: Duration::millis(1),
            unhealthy_threshold: 0,
            healthy_threshold: 101,
            expected_statuses: Vec::new(),
        };
        let fields: Vec<_> = bad.wrong().into_iter().map(|(field, _)| field).collect();
        let all = ["path", "timeout", "interval", "unhealthyThreshold", "healthyThreshold", "expectedStatuses"];
        assert_eq!(fields, all);
    }

    #[test]
    fn a_service_without_a_path_checks_no_instance() {
        assert_eq!(HealthCheck::default().of_instances(), None);
    }
}
