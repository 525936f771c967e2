//! Point-to-point queues: each message goes to one receiver, who deletes it when it is done. The contract that every
//! engine keeps.
//!
//! A message that is received is *invisible* to others until its visibility timeout; whoever has its receipt may delete
//! it until then, or ask for more time. After that it is received again, by somebody else and with another receipt. One
//! that was received [`max_receives`](QueueSettings::max_receives) times becomes a dead letter instead. Messages come in
//! the order in which they became visible, which is the order of sending as long as nobody fails or asks for a delay.
//!
//! One that has been receivable for longer than the queue's [retention](QueueSettings::retention) is not received any
//! more; [`expire`](Queues::expire) drops it or makes it a dead letter, unless somebody has it just then.
//!
//! Promises: a message whose [`send`](Queues::send) was answered is not lost, and one whose
//! [`delete`](Queues::delete) was answered does not come again, by the end of the process at any instant or a power cut.
//! All of a batch is sent or nothing. Each method is one atomic step, but for [`purge`](Queues::purge). What was
//! received is known after the end of the process; a power cut may forget it, which only makes it visible early.
//!
//! Bounds are the constants here and the quota of each queue, in which dead letters count: a queue whose receivers fail
//! is full one day, and says so to senders. Who may send and receive is not decided here.

use std::fmt;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

/// Longest name of a queue in bytes; the name of a topic is bounded by the same.
pub const MAX_QUEUE_NAME_BYTES: usize = 255;
/// Most queues; those that are empty make room for others.
pub const MAX_QUEUES: u64 = 10_000;
/// Largest body in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Longest media type and deduplication id in bytes.
pub const MAX_MESSAGE_TEXT_BYTES: usize = 255;
/// What a message counts besides its body and texts.
pub const MESSAGE_OVERHEAD_BYTES: usize = 256;
/// Most messages of one [`Queues::send`].
pub const MAX_SEND_MESSAGES: usize = 1000;
/// Most bytes of one [`Queues::send`].
pub const MAX_SEND_BYTES: usize = 16 << 20;
/// Most messages of one [`Queues::receive`].
pub const MAX_RECEIVE: usize = 100;
/// Longest delay of a message. A time that lies further ahead is better kept where it can be changed.
pub const MAX_DELAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Longest visibility timeout.
pub const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);
/// Longest time that [`Queues::receive`] waits for a message.
pub const MAX_WAIT: Duration = Duration::from_secs(20);
/// How long a deduplication id is remembered.
pub const MESSAGE_DEDUPLICATION: Duration = Duration::from_secs(5 * 60);

/// What the operator says about a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// Bytes of messages and dead letters.
    pub quota: u64,
    /// How often a message may be received before it is a dead letter; at least once.
    pub max_receives: u32,
    /// How long messages stay; until somebody deletes them if not given.
    pub retention: Option<QueueRetention>,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { quota: 256 << 20, max_receives: 5, retention: None }
    }
}

/// How long messages of a queue stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueRetention {
    /// Counted from when a message could be received first, which is when it was sent unless it was delayed.
    pub age: Duration,
    /// What becomes of those that are older.
    pub fate: Fate,
}

/// What becomes of messages that are too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// They are deleted.
    Dropped,
    /// They are dead letters.
    Dead,
}

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The payload.
    pub body: Bytes,
    /// Its media type.
    pub content_type: Option<String>,
    /// Time until it can be received.
    pub delay: Duration,
    /// A message with the id of one that was sent to the queue within [`MESSAGE_DEDUPLICATION`] is not sent again.
    pub deduplication: Option<String>,
}

/// What [`Queues::receive`] is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receive {
    /// Most messages, 1 to [`MAX_RECEIVE`].
    pub max: usize,
    /// How long nobody else gets them, at most [`MAX_VISIBILITY`].
    pub visibility: Duration,
    /// How long to wait for the first one, at most [`MAX_WAIT`].
    pub wait: Duration,
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub id: u64,
    /// Proves that this receiver has it, and cannot be guessed. Valid until the visibility timeout.
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

/// A message that was received too often, or by nobody for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadMessage {
    /// Its number, which it had before.
    pub id: u64,
    /// The payload.
    pub body: Bytes,
    /// Its media type.
    pub content_type: Option<String>,
    /// How often it was received.
    pub attempts: u32,
    /// When it was sent.
    pub sent: SystemTime,
    /// When it was given up.
    pub died: SystemTime,
}

/// How a queue stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// Its name.
    pub queue: String,
    /// Messages that can be received.
    pub visible: u64,
    /// Messages that were never received and are delayed.
    pub delayed: u64,
    /// Messages that somebody has received, or that wait after they were.
    pub invisible: u64,
    /// Dead letters.
    pub dead: u64,
    /// Messages that became too old since there is the queue.
    pub expired: u64,
    /// Bytes of messages and dead letters.
    pub bytes: u64,
    /// Bytes that they may have.
    pub quota: u64,
    /// When the oldest message was sent.
    pub oldest: Option<SystemTime>,
}

/// Why a queue did not do what it was asked to. Nothing has changed, except for [`Unavailable`](Self::Unavailable).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Something is out of bounds; the text may be shown to the guest.
    #[error("{detail}")]
    Invalid {
        /// What.
        detail: String,
    },
    /// The receipt is not valid, or not any more.
    #[error("the receipt is no longer valid: the message was deleted, or is visible to others again")]
    Expired,
    /// The queue would exceed its quota.
    #[error("the queue is full: its quota is {quota} bytes, of which dead letters have {dead}")]
    Full {
        /// Bytes allowed.
        quota: u64,
        /// Bytes of dead letters.
        dead: u64,
    },
    /// There are [`MAX_QUEUES`] others with messages in them.
    #[error("there are {MAX_QUEUES} queues with messages in them already")]
    TooMany,
    /// The engine cannot work at all, or failed in the middle. The text is for the host's log, not for guests.
    #[error("the queues are not available: {detail}")]
    Unavailable {
        /// What the engine said.
        detail: String,
    },
}

/// The queues of a host. A queue is there from the first message; one without is empty. See the module for promises.
#[async_trait]
pub trait Queues: Send + Sync + fmt::Debug {
    /// What counts for this queue from now on; the default if nothing was said.
    fn configure(&self, queue: &str, settings: QueueSettings);

    /// Sends all messages or none, and answers with their numbers; that of a duplicate is the first one's.
    async fn send(&self, queue: &str, messages: Vec<Message>) -> Result<Vec<u64>, QueueError>;

    /// Messages that nobody else has. Waits until there is one or the time is over; then there are none. There may be
    /// fewer than there are in the queue because they are large.
    async fn receive(&self, queue: &str, receive: Receive) -> Result<Vec<Received>, QueueError>;

    /// Deletes the message.
    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), QueueError>;

    /// Nobody else gets the message for this time from now on; with none it is visible at once, and the receipt is no
    /// longer valid.
    async fn extend(&self, queue: &str, receipt: &str, visibility: Duration) -> Result<(), QueueError>;

    /// Does with some messages that are too old what the queue's retention says, and says how many there were; none is
    /// the end. Messages that somebody has are left to him.
    async fn expire(&self, queue: &str) -> Result<u64, QueueError>;

    /// Dead letters after this number, oldest number first. There may be fewer than `limit` because they are large; only
    /// an empty answer is the end.
    async fn dead_letters(&self, queue: &str, after: u64, limit: usize) -> Result<Vec<DeadMessage>, QueueError>;

    /// Puts these dead letters back, as if they had not been received and were as young as new ones, and says how many
    /// there were.
    async fn revive(&self, queue: &str, ids: Vec<u64>) -> Result<u64, QueueError>;

    /// Deletes these dead letters, and says how many there were.
    async fn purge_dead(&self, queue: &str, ids: Vec<u64>) -> Result<u64, QueueError>;

    /// Deletes all messages that were sent before, received ones too, and says how many there were. Dead letters stay.
    async fn purge(&self, queue: &str) -> Result<u64, QueueError>;

    /// All queues that have, or lately had, something in them, by name.
    async fn queues(&self) -> Result<Vec<QueueState>, QueueError>;
}

fn invalid(detail: String) -> Result<(), QueueError> {
    Err(QueueError::Invalid { detail })
}

/// Refuses what no engine has to take; otherwise the bytes of all messages.
pub(super) fn check_send(queue: &str, messages: &[Message]) -> Result<usize, QueueError> {
    if queue.is_empty() || queue.len() > MAX_QUEUE_NAME_BYTES {
        invalid(format!("the name of a queue has 1 to {MAX_QUEUE_NAME_BYTES} bytes"))?;
    }
    if messages.len() > MAX_SEND_MESSAGES {
        invalid(format!("a batch has at most {MAX_SEND_MESSAGES} messages; use several"))?;
    }
    let mut sum = 0;
    for message in messages {
        if message.body.len() > MAX_MESSAGE_BYTES {
            let bytes = message.body.len();
            invalid(format!("a body has {bytes} bytes, at most {MAX_MESSAGE_BYTES} are allowed"))?;
        }
        for (what, text) in [("media type", &message.content_type), ("deduplication id", &message.deduplication)] {
            if text.as_ref().is_some_and(|text| text.len() > MAX_MESSAGE_TEXT_BYTES) {
                invalid(format!("a {what} has at most {MAX_MESSAGE_TEXT_BYTES} bytes"))?;
            }
        }
        if message.delay > MAX_DELAY {
            invalid(format!("a delay is at most {} s", MAX_DELAY.as_secs()))?;
        }
        sum += message.body.len();
    }
    if sum > MAX_SEND_BYTES {
        invalid(format!("a batch has at most {MAX_SEND_BYTES} bytes; use several"))?;
    }
    Ok(sum)
}

/// Refuses what no engine has to take.
pub(super) fn check_receive(receive: &Receive) -> Result<(), QueueError> {
    if !(1..=MAX_RECEIVE).contains(&receive.max) {
        invalid(format!("1 to {MAX_RECEIVE} messages can be received at once"))?;
    }
    if receive.wait > MAX_WAIT {
        invalid(format!("a receiver waits at most {} s", MAX_WAIT.as_secs()))?;
    }
    check_visibility(receive.visibility)
}

/// Refuses what no engine has to take.
pub(super) fn check_visibility(visibility: Duration) -> Result<(), QueueError> {
    if visibility > MAX_VISIBILITY {
        invalid(format!("a visibility timeout is at most {} s", MAX_VISIBILITY.as_secs()))?;
    }
    Ok(())
}
