//! The way from a service to the event log and to queues, whichever interface it takes: `wharf:service/events`,
//! `events.internal` over HTTP, or an outbox.
//!
//! Decided here: what a service can say about an event or a message, who says it ([`Publisher`]), and how it is refused.
//! Grants, the rules of attributes and rates are kept by whoever implements [`EventBus`], once for all interfaces.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use super::http::Trace;
use crate::state::Event;

/// Who publishes, and in the course of what.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// The service; the source of its events is `/services/<service>`.
    pub service: Arc<str>,
    /// What belongs together: the `correlationid` of the event that it handles, else the id of the request it serves.
    pub correlation: Option<String>,
    /// The id of the event that it handles, if it does.
    pub causation: Option<String>,
    /// How many events came before what it publishes now, one out of the other.
    pub depth: u32,
    /// The trace of the request that it serves.
    pub trace: Trace,
}

/// An event as a service wrote it. Nothing in it was checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// Where it is published.
    pub topic: String,
    /// Unique for the service; made if it is not given.
    pub id: Option<String>,
    /// What happened; the topic if it is not given.
    pub kind: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// Events of one topic and key are delivered in order.
    pub key: Option<String>,
    /// RFC 3339; now if it is not given.
    pub time: Option<String>,
    /// The media type of `data`.
    pub content_type: Option<String>,
    /// Where the schema of `data` is found, a URI.
    pub schema: Option<String>,
    /// Further attributes. Those that the host sets from the [`Publisher`] win over that when they are given.
    pub extensions: Vec<(String, String)>,
    /// The payload.
    pub data: Bytes,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: String,
    /// Its place in the log.
    pub offset: u64,
    /// It had been published before and was not published again.
    pub duplicate: bool,
}

/// Why nothing was published. The texts are for the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The topic is not granted.
    #[error("{0}")]
    Denied(String),
    /// An attribute is not valid, or something is too large.
    #[error("{0}")]
    Invalid(String),
    /// So many events followed from one another, and no more may.
    #[error("events.maxChain: {0} events have followed from one another, and no more may")]
    ChainTooLong(u32),
    /// The log is full.
    #[error("{0}")]
    Full(String),
    /// The service publishes too fast; so long until it may again.
    #[error("the service publishes too fast: try again in {} s", .0.as_secs().max(1))]
    TooFast(Duration),
    /// The host cannot, at the moment. It may have, all the same.
    #[error("{0}")]
    Unavailable(String),
}

/// A message as a service wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// The payload.
    pub body: Bytes,
    /// Its media type.
    pub content_type: Option<String>,
    /// How long nobody can receive it.
    pub delay: Duration,
    /// A message with an id that was sent to the queue a short while ago is not sent again.
    pub deduplication: Option<String>,
}

/// A message for one receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Its number in the queue.
    pub id: u64,
    /// Proves that this receiver has it.
    pub receipt: String,
    /// The payload.
    pub body: Bytes,
    /// Its media type.
    pub content_type: Option<String>,
    /// 1 for the first time.
    pub attempt: u32,
    /// When it was sent.
    pub sent: SystemTime,
}

/// Why a queue did not do it. The texts are for the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueFailure {
    /// The queue is not granted.
    #[error("{0}")]
    Denied(String),
    /// Too large, or out of bounds.
    #[error("{0}")]
    Invalid(String),
    /// The receipt is no longer valid.
    #[error("the receipt is no longer valid: the message was deleted, or is visible to others again")]
    Expired,
    /// The queue is full.
    #[error("{0}")]
    Full(String),
    /// The host cannot, at the moment.
    #[error("{0}")]
    Unavailable(String),
}

/// Takes events and messages of services.
#[async_trait]
pub trait EventBus: Send + Sync + fmt::Debug {
    /// Checks grants and attributes, and fills in what was left out, without publishing: for an outbox.
    ///
    /// # Errors
    /// `Denied`, `Invalid` or `TooFast`.
    fn prepare(&self, publisher: &Publisher, events: Vec<NewEvent>) -> Result<Vec<Event>, PublishError>;

    /// Publishes all of them or none. When it answers, they are on disk.
    ///
    /// # Errors
    /// When nothing was published; see [`PublishError::Unavailable`].
    async fn publish(&self, publisher: &Publisher, events: Vec<NewEvent>) -> Result<Vec<Receipt>, PublishError>;

    /// Sends all messages to the queue or none, and says their numbers.
    ///
    /// # Errors
    /// When nothing was sent.
    async fn send(&self, service: &str, queue: &str, messages: Vec<NewMessage>) -> Result<Vec<u64>, QueueFailure>;

    /// Up to `max` messages that nobody else gets for `visibility` (none: as long as the queue's configuration says),
    /// as soon as there is one, or nothing after `wait`.
    ///
    /// # Errors
    /// When it is not granted or something is out of bounds.
    async fn receive(
        &self,
        service: &str,
        queue: &str,
        max: u32,
        visibility: Option<Duration>,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, QueueFailure>;

    /// The message is done.
    ///
    /// # Errors
    /// `Expired` when somebody else may have it.
    async fn delete(&self, service: &str, queue: &str, receipt: &str) -> Result<(), QueueFailure>;

    /// Nobody else gets it for so long from now; zero gives it back.
    ///
    /// # Errors
    /// `Expired` when somebody else may have it.
    async fn extend(&self, service: &str, queue: &str, receipt: &str, visibility: Duration)
    -> Result<(), QueueFailure>;
}
