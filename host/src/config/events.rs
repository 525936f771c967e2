//! How much of events and queues is kept, and for how long.
//!
//! Decided here: the words, their bounds and defaults. Who may publish or subscribe is a grant of the service; where a
//! subscription stands and what is deleted when is the event log's.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::topic::{TopicPattern, check_topic};
use super::units::{Duration, Size};

const QUOTA: RangeInclusive<Size> = Size::mib(1)..=Size::gib(1 << 20);
/// CloudEvents asks intermediaries for 64 KiB; what is larger than a few belongs in a store, and its address in an event.
const EVENT_SIZE: RangeInclusive<Size> = Size::kib(64)..=Size::mib(1);
const AGE: RangeInclusive<Duration> = Duration::secs(1)..=Duration::secs(99_999 * 3600);
/// What goes on in pieces, one event for the next piece, may need many.
const CHAIN: RangeInclusive<u32> = 1..=100_000;
const MAX_TOPICS: usize = 1000;
/// The longest that a message may be hidden.
const VISIBILITY: RangeInclusive<Duration> = Duration::secs(1)..=Duration::secs(12 * 3600);
const RECEIVES: RangeInclusive<u32> = 1..=1000;
const MAX_QUEUES: usize = 1000;

/// The event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Events {
    /// Bytes that all events together may have; publishing over it is refused. 1MiB to 1048576GiB.
    pub quota: Size,
    /// Largest data of an event. 64KiB to 1MiB.
    pub max_event_size: Size,
    /// How many events may follow from one another: published while the one before was handled. 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_chain: u32,
    /// How long events are kept that everybody who subscribes to them has had.
    pub retention: Retention,
    /// The same for some topics; the first that fits an event counts.
    pub topics: Vec<TopicSettings>,
    /// A subscription that is in no file any more keeps its place for so long, and events for it with that. 1s to 99999h.
    pub forget_after: Duration,
}

/// How long events are kept that everybody who subscribes to them has had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Retention {
    /// Older events are deleted. 1s to 99999h.
    pub age: Duration,
    /// The oldest are deleted when they have more bytes together; never for that reason if not given.
    pub size: Option<Size>,
}

/// What holds for some topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct TopicSettings {
    /// A topic, or a pattern: `*` is one word, `#` any number of words.
    pub topic: TopicPattern,
    /// How long its events are kept.
    #[serde(default)]
    pub retention: Retention,
}

/// A queue, by its name. One without settings has the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct QueueSettings {
    /// For so long nobody else gets a received message, if its receiver does not say. 1s to 12h.
    pub visibility_timeout: Duration,
    /// A message that was received so often and not deleted becomes a dead letter. 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub max_receives: u32,
    /// Bytes that its messages may have together. 1MiB to 1048576GiB.
    pub quota: Size,
    /// How long messages stay; until somebody deletes them if not given.
    pub retention: Option<QueueRetention>,
}

/// How long messages of a queue stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct QueueRetention {
    /// Counted from when a message could be received first. 1s to 99999h.
    pub age: Duration,
    /// What becomes of messages that are older.
    #[serde(default)]
    pub expired: Expired,
}

/// What becomes of messages that are too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Expired {
    /// They are deleted, and counted.
    #[default]
    Drop,
    /// They are dead letters.
    DeadLetter,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            quota: Size::gib(1),
            max_event_size: Size::mib(1),
            max_chain: 32,
            retention: Retention::default(),
            topics: Vec::new(),
            forget_after: Duration::secs(7 * 24 * 3600),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::secs(7 * 24 * 3600), size: None }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { visibility_timeout: Duration::secs(30), max_receives: 5, quota: Size::mib(256), retention: None }
    }
}

impl Events {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("quota"), &self.quota, &QUOTA);
        check.within(at.get("maxEventSize"), &self.max_event_size, &EVENT_SIZE);
        check.within(at.get("maxChain"), &self.max_chain, &CHAIN);
        check.within(at.get("forgetAfter"), &self.forget_after, &AGE);
        self.retention.check(check, at.get("retention"));
        let topics_at = at.get("topics");
        if topics_at.written() > MAX_TOPICS {
            check.wrong(topics_at, format!("too many topics: at most {MAX_TOPICS}"));
        }
        for (topic, at) in self.topics.iter().zip(topics_at.items()) {
            topic.retention.check(check, at.get("retention"));
        }
    }
}

impl Retention {
    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("age"), &self.age, &AGE);
    }
}

impl QueueSettings {
    pub(in crate::config) fn check_all(queues: &BTreeMap<String, Self>, check: &mut Check<'_>, at: At<'_>) {
        if queues.len() > MAX_QUEUES {
            check.wrong(at, format!("too many queues: at most {MAX_QUEUES}"));
        }
        for (name, queue) in queues {
            if let Err(error) = check_topic(name) {
                check.wrong(at.key(name), error.of("queue"));
            }
            let at = at.get(name);
            check.within(at.get("visibilityTimeout"), &queue.visibility_timeout, &VISIBILITY);
            check.within(at.get("maxReceives"), &queue.max_receives, &RECEIVES);
            check.within(at.get("quota"), &queue.quota, &QUOTA);
            if let Some(retention) = &queue.retention {
                check.within(at.get("retention").get("age"), &retention.age, &AGE);
            }
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r##"{
    "quota": "2GiB", "maxEventSize": "64KiB", "maxChain": 7, "forgetAfter": "48h",
    "retention": { "age": "24h", "size": "512MiB" },
    "topics": [{ "topic": "order.#", "retention": { "age": "720h", "size": "1GiB" } }]
}"##;

/// The same for queues.
#[cfg(test)]
pub(in crate::config) const QUEUES: &str = r#"{ "mails": { "visibilityTimeout": "1m", "maxReceives": 3, "quota": "16MiB",
    "retention": { "age": "96h", "expired": "deadLetter" } } }"#;
