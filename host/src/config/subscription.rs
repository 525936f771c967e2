//! Which events a service wants, and how they are delivered to it.
//!
//! Decided here: the words and their bounds. A subscription is found again by its name: whoever changes its topics or
//! terms keeps its place, whoever changes its name begins anew.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::notation::valid_path;
use super::schema::text;
use super::topic::TopicPattern;
use super::units::Duration;

const MAX_SUBSCRIPTIONS: usize = 100;
const MAX_TOPICS: usize = 100;
const ATTEMPTS: RangeInclusive<u32> = 1..=100;
const BACKOFF: RangeInclusive<Duration> = Duration::millis(10)..=Duration::secs(24 * 3600);
const IN_FLIGHT: RangeInclusive<u32> = 1..=1000;
const TIMEOUT: RangeInclusive<Duration> = Duration::millis(1)..=Duration::secs(3600);

/// Events that a service wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(extend("oneOf" = [{ "required": ["topic"] }, { "required": ["name", "topics"] }]))]
pub struct Subscription {
    /// What it is called; the topic if not given. Its place is found again by it.
    #[serde(default)]
    #[schemars(with = "Option<text::Topic>")]
    pub name: Option<String>,
    /// A topic, or a pattern: `*` is one word, `#` any number of words.
    #[serde(default)]
    pub topic: Option<TopicPattern>,
    /// Several of them, instead of `topic`. At most 100.
    #[serde(default)]
    pub topics: Vec<TopicPattern>,
    /// Where the service takes events: a POST with a CloudEvent in binary mode. A component that exports the typed
    /// handler is called by that instead.
    #[serde(default = "path")]
    #[schemars(with = "text::Path")]
    pub path: String,
    /// Where it begins when it is new: `latest`, `earliest`, a time, or `{ offset: 42 }`.
    #[serde(default)]
    pub from: StartAt,
    /// When an event that was not handled is delivered again, and when it is given up.
    #[serde(default)]
    pub retry: DeliveryRetry,
    /// Whether events of one topic and key are delivered one after the other.
    #[serde(default = "ordered")]
    pub ordered: bool,
    /// Events on their way to the service at once. 1 to 1000.
    #[serde(default = "max_in_flight")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_in_flight: u32,
    /// How long handling an event may take; the service's `timeouts.request` if not given. 1ms to 1h.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// Where a new subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartAt {
    /// With what is published from now on.
    #[default]
    Latest,
    /// With the oldest event that is there.
    Earliest,
    /// With what was published at this time or later.
    Time(Timestamp),
    /// With the event at this place.
    Offset(u64),
}

/// When an event that was not handled is delivered again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct DeliveryRetry {
    /// Deliveries of one event, the first one too; then it is a dead letter. 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
    /// Least wait before it is delivered again. Waits are random and grow twofold up to `maxBackoff`. 10ms to 24h.
    pub backoff: Duration,
    /// Longest wait. `backoff` to 24h.
    pub max_backoff: Duration,
}

fn path() -> String {
    "/events".to_owned()
}

fn ordered() -> bool {
    true
}

fn max_in_flight() -> u32 {
    16
}

impl Default for DeliveryRetry {
    fn default() -> Self {
        Self { attempts: 5, backoff: Duration::secs(1), max_backoff: Duration::secs(300) }
    }
}

impl Subscription {
    /// What it is called.
    pub fn name(&self) -> &str {
        self.name.as_deref().or(self.topic.as_ref().map(TopicPattern::as_str)).unwrap_or_default()
    }

    /// What it selects.
    pub fn topics(&self) -> impl Iterator<Item = &TopicPattern> {
        self.topic.iter().chain(&self.topics)
    }

    pub(in crate::config) fn check_all(all: &[Self], check: &mut Check<'_>, at: At<'_>) {
        if at.written() > MAX_SUBSCRIPTIONS {
            check.wrong(at, format!("too many subscriptions: at most {MAX_SUBSCRIPTIONS}"));
        }
        let mut seen = BTreeMap::new();
        for (subscription, at) in all.iter().zip(at.items()) {
            subscription.check(check, at);
            let name = subscription.name();
            if let Some(before) = seen.insert(name.to_owned(), at).filter(|_| !name.is_empty()) {
                let message =
                    format!("`{name}` is another subscription's name already ({})", before.line_seen_from(at));
                check.wrong(at, format!("{message}: give each a `name` of its own"));
            }
        }
    }

    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Some(name) = &self.name
            && let Err(error) = name.parse::<TopicPattern>()
        {
            check.wrong(at.get("name"), error.of("name"));
        }
        let topics_at = at.get("topics");
        match (&self.topic, topics_at.written()) {
            (Some(_), 1..) => check.wrong(at.key("topics"), "either `topic` or `topics`"),
            (None, 0) if !at.has_refused() => check.wrong(at, "it selects nothing: name a `topic`"),
            (None, 1..) if self.name.is_none() && !at.has_refused() => {
                check.wrong(at, "with `topics` it needs a `name`");
            }
            (_, written) if written > MAX_TOPICS => {
                check.wrong(topics_at, format!("too many topics: at most {MAX_TOPICS}"));
            }
            _ => {}
        }
        if let Err(message) = valid_path(&self.path) {
            check.wrong(at.get("path"), message);
        }
        let DeliveryRetry { attempts, backoff, max_backoff } = &self.retry;
        let retry_at = at.get("retry");
        check.within(retry_at.get("attempts"), attempts, &ATTEMPTS);
        check.within(retry_at.get("backoff"), backoff, &BACKOFF);
        if max_backoff < backoff {
            let message = format!("`{max_backoff}` is shorter than `backoff`, which is {backoff}");
            check.wrong(retry_at.get("maxBackoff"), message);
        } else {
            check.within(retry_at.get("maxBackoff"), max_backoff, &BACKOFF);
        }
        check.within(at.get("maxInFlight"), &self.max_in_flight, &IN_FLIGHT);
        if let Some(timeout) = &self.timeout {
            check.within(at.get("timeout"), timeout, &TIMEOUT);
        }
    }
}

const WORDS: &[&str] = &["latest", "earliest"];

impl<'de> Deserialize<'de> for StartAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "camelCase")]
        enum Key {
            Offset,
        }
        struct FromVisitor;
        impl<'de> Visitor<'de> for FromVisitor {
            type Value = StartAt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("latest, earliest, a time like 2026-01-31T00:00:00Z or a map such as { offset: 42 }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<StartAt, E> {
                match word {
                    "latest" => Ok(StartAt::Latest),
                    "earliest" => Ok(StartAt::Earliest),
                    time if time.starts_with(|c: char| c.is_ascii_digit()) => time
                        .parse()
                        .map(StartAt::Time)
                        .map_err(|_| E::custom(format!("`{time}` is no time: write it like 2026-01-31T00:00:00Z"))),
                    _ => Err(E::unknown_variant(word, WORDS)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<StartAt, A::Error> {
                let Some(Key::Offset) = map.next_key()? else { return Err(de::Error::missing_field("offset")) };
                let offset = map.next_value()?;
                match map.next_key::<Key>()? {
                    None => Ok(StartAt::Offset(offset)),
                    Some(Key::Offset) => Err(de::Error::duplicate_field("offset")),
                }
            }
        }
        deserializer.deserialize_any(FromVisitor)
    }
}

impl Serialize for StartAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Latest => serializer.serialize_str("latest"),
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Time(time) => serializer.collect_str(time),
            Self::Offset(offset) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("offset", offset)?;
                map.end()
            }
        }
    }
}

impl JsonSchema for StartAt {
    fn schema_name() -> Cow<'static, str> {
        "StartAt".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Where a new subscription begins.",
            "oneOf": [
                { "enum": WORDS },
                { "type": "string", "pattern": "^[0-9]{4}-" },
                {
                    "type": "object",
                    "properties": { "offset": { "type": "integer", "minimum": 0 } },
                    "required": ["offset"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// Every field but `topics`, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"[
    {
        "name": "payments", "topic": "payment.*", "path": "/in/events", "from": { "offset": 5 },
        "retry": { "attempts": 3, "backoff": "100ms", "maxBackoff": "1m" }, "ordered": false, "maxInFlight": 4,
        "timeout": "5s"
    },
    { "name": "both", "topics": ["a.b", "c.*"], "from": "2026-01-31T00:00:00Z" }
]"#;
