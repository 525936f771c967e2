//! Queues as operators see them.

use serde::{Deserialize, Serialize};

use super::data;
use crate::config::QueueRetention;
use crate::events::time::rfc3339;
use crate::state::{DeadMessage, QueueState};

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueRecord {
    /// Its name.
    pub queue: String,
    /// Messages that can be received.
    pub visible: u64,
    /// Messages that were never received and are delayed.
    pub delayed: u64,
    /// Messages that somebody has received.
    pub invisible: u64,
    /// Dead letters.
    pub dead: u64,
    /// Messages that became too old since there is the queue.
    pub expired: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Bytes that they may have.
    pub quota: u64,
    /// When the oldest message was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// How long messages stay, if that is bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<QueueRetention>,
}

/// What `GET /api/queues` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueList {
    /// By name.
    pub queues: Vec<QueueRecord>,
}

/// A message that was received too often, or by nobody for too long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadMessageRecord {
    /// Its number.
    pub id: u64,
    /// When it was sent.
    pub sent: String,
    /// When it was given up.
    pub died: String,
    /// How often it was received.
    pub attempts: u32,
    /// The media type of the data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Bytes of the data.
    pub size: usize,
    /// The data, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The data, if it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

/// What `GET /api/queues/{queue}/dead-letters` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadMessageList {
    /// By number.
    pub dead_letters: Vec<DeadMessageRecord>,
    /// Where the next page begins, if there may be one: the `after` to ask with.
    pub next: Option<u64>,
}

impl QueueRecord {
    pub(in crate::events) fn new(state: &QueueState, retention: Option<QueueRetention>) -> Self {
        let QueueState { queue, visible, delayed, invisible, dead, expired, bytes, quota, oldest } = state.clone();
        let oldest = oldest.map(rfc3339);
        Self { queue, visible, delayed, invisible, dead, expired, bytes, quota, oldest, retention }
    }
}

impl DeadMessageRecord {
    pub(in crate::events) fn new(dead: &DeadMessage) -> Self {
        let (data, data_base64) = data(&dead.body);
        Self {
            id: dead.id,
            sent: rfc3339(dead.sent),
            died: rfc3339(dead.died),
            attempts: dead.attempts,
            content_type: dead.content_type.clone(),
            size: dead.body.len(),
            data,
            data_base64,
        }
    }
}
