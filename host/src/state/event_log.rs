//! The event log: what was published, who has had it, and what nobody could handle. The contract that every engine keeps.
//!
//! One log holds the events of all topics in the order in which they were published; an [`Offset`] is a place in it,
//! grows with every event and is never used again. A subscription reads the log from a place of its own. What it has
//! handled up to there is its *position*; an event that has to be tried again later is noted as *waiting*, so that the
//! position can go on, and one that is given up becomes a *dead letter* with a copy of the event.
//!
//! Promises: what [`publish`](EventLog::publish) answered with `Ok` survives the end of the process at any instant, and
//! a power cut. A batch is published completely or not at all. An event with the source and id of one that was published
//! within [`DEDUPLICATION`] is not published again and gets the place of the first. Each method is one atomic step.
//! [`progress`](EventLog::progress) survives the end of the process; a power cut may take the last of it back, which
//! only delivers again.
//!
//! Not decided here: who may publish or subscribe, when an event is due again, whom it is delivered to. See `events`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

/// How long a source and id are remembered; of events that retention has deleted, only the last [`MAX_REMEMBERED`].
pub const DEDUPLICATION: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest data of an event in bytes; CloudEvents asks intermediaries for at least 64 KiB.
pub const MAX_EVENT_BYTES: usize = 1 << 20;
/// Most bytes of an event's attributes together.
pub const MAX_ATTRIBUTE_BYTES: usize = 16 << 10;
/// Most events of one [`EventLog::publish`].
pub const MAX_PUBLISH_EVENTS: usize = 1000;
/// How many deleted events' sources and ids are remembered at most, so that a busy log does not grow by them.
pub const MAX_REMEMBERED: u64 = 1_000_000;
/// What an event counts besides its attributes and data, for its place and the indexes.
pub const EVENT_OVERHEAD_BYTES: usize = 256;
/// Longest text of an error that is noted; the rest of a longer one is cut off.
pub const MAX_ERROR_BYTES: usize = 2048;
/// Most bytes of one [`EventLog::publish`].
pub const MAX_PUBLISH_BYTES: usize = 16 << 20;

/// A place in the log; 0 is before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

/// An event with the attributes of CloudEvents 1.0. Whoever makes one has checked them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Unique for the source.
    pub id: String,
    /// Who says so, `/services/orders`.
    pub source: String,
    /// What happened, `order.created`.
    pub kind: String,
    /// Where it was published, words with dots between them.
    pub topic: String,
    /// What it is about.
    pub subject: Option<String>,
    /// Events of one topic and key are delivered in order (`partitionkey`).
    pub key: Option<String>,
    /// When it happened.
    pub time: SystemTime,
    /// The media type of `data`.
    pub content_type: Option<String>,
    /// Where the schema of `data` is found.
    pub schema: Option<String>,
    /// Further attributes by name, `correlationid`, `causationid` and `traceparent` among them.
    pub extensions: BTreeMap<String, String>,
    /// The payload.
    pub data: Bytes,
}

/// An event in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place.
    pub offset: Offset,
    /// When it was published.
    pub published: SystemTime,
    /// The event.
    pub event: Arc<Event>,
}

/// What became of one event of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is in the log now.
    New(Offset),
    /// It was there already.
    Duplicate(Offset),
}

/// Which events are meant. Everything that is given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Topics or patterns of them (see [`TopicPattern`](super::TopicPattern)); none is all.
    pub topics: Vec<super::TopicPattern>,
    /// The event's type.
    pub kind: Option<String>,
    /// Its source.
    pub source: Option<String>,
    /// Its subject.
    pub subject: Option<String>,
    /// Its `correlationid`.
    pub correlation: Option<String>,
    /// Published at this time or later.
    pub since: Option<SystemTime>,
    /// Published before this time.
    pub until: Option<SystemTime>,
}

/// A piece of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// In the order of the log.
    pub events: Vec<StoredEvent>,
    /// How far the log was read, whether or not the last event there was selected. The next page lies behind it.
    pub read_to: Offset,
    /// Whether there was more when this was read.
    pub more: bool,
}

/// Who reads: one subscription of one service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId {
    /// The service.
    pub service: String,
    /// The name of the subscription in the service.
    pub name: String,
}

/// Where a new subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what is published from now on.
    Latest,
    /// With the oldest event that is still there.
    Earliest,
    /// With the first event published at this time or later.
    Time(SystemTime),
    /// With this event.
    Offset(Offset),
}

/// An event that a subscription has to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its place in the log.
    pub offset: Offset,
    /// Its topic and key, in which it holds back later events; none if it holds back nothing.
    pub lane: Option<(String, String)>,
    /// Deliveries so far; 0 if it only waits for an earlier one of its key.
    pub attempts: u32,
    /// When it is to be delivered again; none while it waits for an earlier one.
    pub due: Option<SystemTime>,
    /// What went wrong the last time.
    pub error: String,
}

/// An event that a subscription gave up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number; grows.
    pub id: u64,
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// When it was given up.
    pub died: SystemTime,
    /// Deliveries.
    pub attempts: u32,
    /// What went wrong the last time.
    pub error: String,
    /// The event, which may have left the log since.
    pub event: StoredEvent,
}

/// What a subscription has got done. All of it, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All events up to here are handled, waiting or dead.
    pub position: Option<Offset>,
    /// Events that wait from now on, or wait differently.
    pub waiting: Vec<Waiting>,
    /// Waiting events that are handled.
    pub handled: Vec<Offset>,
    /// Events that are given up: attempts and the last error. They no longer wait.
    pub dead: Vec<(Offset, u32, String)>,
}

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Which one.
    pub id: SubscriptionId,
    /// What it selects, as it was last told to [`EventLog::subscribe`].
    pub topics: Vec<super::TopicPattern>,
    /// All events up to here are handled, waiting or dead.
    pub position: Offset,
    /// Events that wait.
    pub waiting: u64,
    /// Events that were given up and are still kept.
    pub dead: u64,
}

/// How long events of a topic are kept after everybody who subscribes to it has had them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The topics; the first rule that fits an event counts.
    pub topics: super::TopicPattern,
    /// Older events go.
    pub age: Option<Duration>,
    /// The oldest events go when the events under this rule have more bytes.
    pub bytes: Option<u64>,
}

/// How full the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogUsage {
    /// Events.
    pub events: u64,
    /// Bytes of their attributes and data, with [`EVENT_OVERHEAD_BYTES`] for each, and of the dead letters.
    pub bytes: u64,
    /// Bytes that they may have.
    pub quota: u64,
    /// The first event that is still there; the end if there is none.
    pub first: Offset,
    /// The place of the last event that was ever published.
    pub last: Offset,
}

/// Why the log did not do what it was asked to. Nothing has changed, except for [`Unavailable`](Self::Unavailable).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventLogError {
    /// The data of an event is larger than [`MAX_EVENT_BYTES`].
    #[error(
        "the event's data has {bytes} bytes, at most {MAX_EVENT_BYTES} are allowed; publish where it is kept instead"
    )]
    EventTooLarge {
        /// Bytes of the data.
        bytes: usize,
    },
    /// The attributes of an event are larger than [`MAX_ATTRIBUTE_BYTES`].
    #[error("the event's attributes have {bytes} bytes, at most {MAX_ATTRIBUTE_BYTES} are allowed")]
    AttributesTooLarge {
        /// Bytes of the attributes.
        bytes: usize,
    },
    /// More than [`MAX_PUBLISH_EVENTS`] or [`MAX_PUBLISH_BYTES`].
    #[error("a batch has at most {MAX_PUBLISH_EVENTS} events and {MAX_PUBLISH_BYTES} bytes; use several")]
    BatchTooLarge,
    /// The log would exceed its quota, because subscribers have not had what is in it, or it is kept for long.
    #[error("the event log is full: its quota is {quota} bytes; {behind}")]
    Full {
        /// Bytes allowed.
        quota: u64,
        /// Who is furthest behind, or that it is the retention.
        behind: String,
    },
    /// There is no such subscription, dead letter or event.
    #[error("there is no such {what}")]
    NotFound {
        /// What is missing.
        what: &'static str,
    },
    /// The engine cannot work at all, or failed in the middle. The text is for the host's log, not for guests.
    #[error("the event log is not available: {detail}")]
    Unavailable {
        /// What the engine said.
        detail: String,
    },
}

/// The log of a host. See the module for what every method promises.
#[async_trait]
pub trait EventLog: Send + Sync + fmt::Debug {
    /// Publishes all events or none, in this order and with nothing between them.
    async fn publish(&self, events: Vec<Event>) -> Result<Vec<Published>, EventLogError>;

    /// The place of the newest event that is durable; changes when there is a newer one.
    fn newest(&self) -> watch::Receiver<Offset>;

    /// Selected events after this place, at most `limit` of them (at least one, whatever its size) and about `bytes`.
    /// A page may have fewer, or none, and still be followed by more: no call reads the whole log.
    async fn read(
        &self,
        selection: Selection,
        after: Offset,
        limit: usize,
        bytes: usize,
    ) -> Result<EventPage, EventLogError>;

    /// The last event before this time; 0 if there is none.
    async fn before(&self, time: SystemTime) -> Result<Offset, EventLogError>;

    /// Selected events, the newest first, before this place (none: from the end), at most `limit`. A page may have
    /// fewer, or none, and still be followed by more: no call reads the whole log. The next page is before `read_to`.
    async fn history(
        &self,
        selection: Selection,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<EventPage, EventLogError>;

    /// Makes the subscription if there is none, or tells what one that exists selects from now on, and says how it
    /// stands. `start` counts for a new one only.
    async fn subscribe(
        &self,
        id: &SubscriptionId,
        topics: Vec<super::TopicPattern>,
        start: Start,
    ) -> Result<SubscriptionState, EventLogError>;

    /// Forgets the subscription and what waits for it. Its dead letters stay until they are purged.
    async fn unsubscribe(&self, id: &SubscriptionId) -> Result<(), EventLogError>;

    /// All subscriptions, by service and name.
    async fn subscriptions(&self) -> Result<Vec<SubscriptionState>, EventLogError>;

    /// Notes what the subscription has got done. Its position never goes back by this, nor beyond the newest event.
    async fn progress(&self, id: &SubscriptionId, progress: Progress) -> Result<(), EventLogError>;

    /// What waits, by place, at most `limit`, after this place. There may be fewer than `limit` because they are large;
    /// only an empty answer is the end.
    async fn waiting(
        &self,
        id: &SubscriptionId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<(Waiting, StoredEvent)>, EventLogError>;

    /// Sets the subscription to begin again at this place, and forgets what waits: later events are delivered again.
    async fn seek(&self, id: &SubscriptionId, start: Start) -> Result<Offset, EventLogError>;

    /// Dead letters (of one subscription) after this number, oldest first, at most `limit`. There may be fewer because
    /// they are large; only an empty answer is the end.
    async fn dead_letters(
        &self,
        id: Option<&SubscriptionId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, EventLogError>;

    /// Deletes these dead letters, and says how many there were.
    async fn purge(&self, dead_letters: Vec<u64>) -> Result<u64, EventLogError>;

    /// Deletes what is to be kept no longer, a bounded piece at a time, and says how many events went. Never what a
    /// subscription that selects it has not had, or what waits.
    async fn retain(&self, rules: Vec<Retention>) -> Result<u64, EventLogError>;

    /// Bytes that the log may have from now on.
    fn set_quota(&self, bytes: u64);

    /// How full the log is.
    async fn usage(&self) -> Result<LogUsage, EventLogError>;
}
