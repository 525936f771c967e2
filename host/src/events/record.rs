//! Events and subscriptions as operators see them: the JSON of the admin API, which the CLI reads.

mod queues;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

pub use self::queues::{DeadMessageList, DeadMessageRecord, QueueList, QueueRecord};
use super::time::rfc3339;
use crate::state::{DeadLetter, StoredEvent};

/// An event, in the words of CloudEvents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Its place in the log.
    pub offset: u64,
    /// When it was published.
    pub published: String,
    /// Where.
    pub topic: String,
    /// Unique with its source.
    pub id: String,
    /// Who published it.
    pub source: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it happened.
    pub time: String,
    /// The media type of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Where the schema of the data is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Further attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
    /// Bytes of the data.
    pub size: usize,
    /// The data, if it is text; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The data, if it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

/// What `GET /api/events` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventList {
    /// The newest first.
    pub events: Vec<EventRecord>,
    /// Where the next page begins, if there may be one: the `before` to ask with.
    pub next: Option<u64>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionRecord {
    /// Whose it is.
    pub service: String,
    /// Its name in the service.
    pub name: String,
    /// What it selects.
    pub topics: Vec<String>,
    /// `active`, `paused`, `starting`, `failing`, `stopped`; `gone` if it is in no file any more.
    pub state: String,
    /// Why it does not deliver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Everything up to this place is handled, waiting or dead.
    pub position: u64,
    /// Places of the log after that, whatever their topics.
    pub lag: u64,
    /// Deliveries under way.
    pub in_flight: usize,
    /// Events that wait to be tried again, or behind such.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// Events handled since the host started.
    pub handled: u64,
    /// Deliveries that failed since then, and were or will be made again.
    pub retried: u64,
}

/// What `GET /api/subscriptions` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionList {
    /// By service and name.
    pub subscriptions: Vec<SubscriptionRecord>,
    /// The place of the newest event.
    pub newest: u64,
    /// Events that are kept.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that they may have.
    pub quota: u64,
}

/// An event that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterRecord {
    /// Its number.
    pub id: u64,
    /// Who did not handle it.
    pub service: String,
    /// For which subscription.
    pub subscription: String,
    /// When it was given up.
    pub died: String,
    /// Deliveries.
    pub attempts: u32,
    /// What went wrong the last time.
    pub error: String,
    /// The event.
    pub event: EventRecord,
}

/// What `GET /api/dead-letters` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterList {
    /// The oldest first.
    pub dead_letters: Vec<DeadLetterRecord>,
    /// Where the next page begins, if there may be one: the `after` to ask with.
    pub next: Option<u64>,
}

/// What became of a dead letter that was delivered once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Its number.
    pub id: u64,
    /// Whether it was handled. It is gone then, and stays otherwise.
    pub handled: bool,
    /// What went wrong, if it was not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl EventRecord {
    /// Without its data.
    pub(super) fn brief(stored: &StoredEvent) -> Self {
        let event = &stored.event;
        Self {
            offset: stored.offset.0,
            published: rfc3339(stored.published),
            topic: event.topic.clone(),
            id: event.id.clone(),
            source: event.source.clone(),
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            key: event.key.clone(),
            time: rfc3339(event.time),
            content_type: event.content_type.clone(),
            schema: event.schema.clone(),
            extensions: event.extensions.clone(),
            size: event.data.len(),
            data: None,
            data_base64: None,
        }
    }

    /// With its data.
    pub(super) fn whole(stored: &StoredEvent) -> Self {
        let (data, data_base64) = data(&stored.event.data);
        Self { data, data_base64, ..Self::brief(stored) }
    }
}

impl DeadLetterRecord {
    pub(super) fn new(dead: &DeadLetter, event: EventRecord) -> Self {
        Self {
            id: dead.id,
            service: dead.subscription.service.clone(),
            subscription: dead.subscription.name.clone(),
            died: rfc3339(dead.died),
            attempts: dead.attempts,
            error: dead.error.clone(),
            event,
        }
    }
}

/// As text if it is some, else in base64.
fn data(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}
