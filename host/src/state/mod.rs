//! Where the data of services lies: small traits, and the engines behind them.
//!
//! A trait here says what a need of Wharf means (key-value today; events and leases follow), in words that an embedded
//! engine and a server on the network can both keep. An engine lives in its own folder and never leaks its own words:
//! callers see [`KeyValueStore`] and [`KeyValueError`], no path, no SQL.
//!
//! What is decided here: who owns which data (one private store for each service), limits, quotas, what is atomic, what
//! survives a crash. What never is: who may open a store; that is a grant and belongs to `capability`.
//!
//! Every engine passes the same tests, `contract.rs`. An engine that cannot pass one of them does not belong here; the
//! alternative, one interface with "may be supported", moves the difference into every service.

pub mod backup;
#[cfg(test)]
mod contract;
mod event_log;
mod key_value;
mod outbox;
mod queues;
mod sql;
#[cfg(test)]
mod sql_contract;
pub mod sqlite;

pub use self::event_log::{
    DEDUPLICATION, DeadLetter, EVENT_OVERHEAD_BYTES, Event, EventLog, EventLogError, EventPage, LogUsage,
    MAX_ATTRIBUTE_BYTES, MAX_ERROR_BYTES, MAX_EVENT_BYTES, MAX_PUBLISH_BYTES, MAX_PUBLISH_EVENTS, MAX_REMEMBERED,
    Offset, Progress, Published, Retention, Selection, Start, StoredEvent, SubscriptionId, SubscriptionState, Waiting,
};
pub use self::key_value::{
    Entry, KeyPage, KeyValueEngine, KeyValueError, KeyValueStore, Lifetime, MAX_BATCH_BYTES, MAX_BATCH_KEYS,
    MAX_KEY_BYTES, MAX_PAGE_KEYS, MAX_TTL, MAX_VALUE_BYTES, MIN_TTL, Revision, Swap, Usage,
};
pub use self::outbox::{Outbox, Outboxes};
pub use self::queues::{
    DeadMessage, Fate, MAX_DELAY, MAX_MESSAGE_BYTES, MAX_MESSAGE_TEXT_BYTES, MAX_QUEUE_NAME_BYTES, MAX_QUEUES,
    MAX_RECEIVE, MAX_SEND_BYTES, MAX_SEND_MESSAGES, MAX_VISIBILITY, MAX_WAIT, MESSAGE_DEDUPLICATION,
    MESSAGE_OVERHEAD_BYTES, Message, QueueError, QueueRetention, QueueSettings, QueueState, Queues, Receive, Received,
};
pub use self::sql::{
    AppliedMigration, Durability, HOST_PREFIX, MAX_OPEN_ROWS, MAX_PARAMETERS, MAX_PIECE_ROWS, MAX_STATEMENT_BYTES,
    MAX_TRANSACTION_EVENTS, Migrated, Migration, MigrationError, PIECE_BYTES, SqlChanges, SqlDatabase, SqlEngine,
    SqlError, SqlRow, SqlRows, SqlSettings, SqlTransaction, SqlUsage, SqlValue,
};
pub use crate::config::{MAX_TOPIC_BYTES, TopicError, TopicPattern, check_topic};

/// Everything that a host keeps for its services.
pub trait StateEngine: KeyValueEngine + SqlEngine {}

impl<T: KeyValueEngine + SqlEngine> StateEngine for T {}
