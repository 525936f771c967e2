//! The SQL database of one service: the contract that every engine keeps.
//!
//! A database belongs to one service and is shared by all of its slots and versions, over hot reloads too. The dialect
//! is the engine's own (SQLite's here, PostgreSQL's in one that runs on it); what is common is how statements are run,
//! what they may cost and how they fail.
//!
//! Promises: what `execute` or `commit` answered with `Ok` is seen by every later statement and survives the end of the
//! process; with [`Durability::Full`] a power cut too. A transaction happens completely or not at all, and no other
//! statement sees a part of it. Transactions that write run one after the other, in the order in which they asked.
//!
//! Bounds, all of which may change while the database is in use ([`SqlSettings`]): the size of the file; the time of a
//! statement, waiting for others included; the time that a transaction or an unfinished result may be held, after which
//! it is ended and says [`SqlError::Closed`]; the bytes of a row. A handle that is dropped ends what it stands for at
//! once, also in the middle of a statement.
//!
//! The host keeps tables of its own in the same database (events that wait, migrations that were applied), whose names
//! begin with [`HOST_PREFIX`]. No statement of a service reads or changes them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::Event;
use crate::config::{SqlBounds, SqlDurability};

/// How the names of the host's own tables begin, in any case of letters.
pub const HOST_PREFIX: &str = "_wharf_";
/// Most bytes of a statement's text.
pub const MAX_STATEMENT_BYTES: usize = 256 << 10;
/// Most parameters of a statement.
pub const MAX_PARAMETERS: usize = 4096;
/// Most rows of one piece of a result.
pub const MAX_PIECE_ROWS: usize = 1000;
/// A piece of a result takes no further row once it has this many bytes.
pub const PIECE_BYTES: usize = 1 << 20;
/// Most events that one transaction publishes.
pub const MAX_TRANSACTION_EVENTS: usize = 1000;
/// Most unfinished results of one transaction.
pub const MAX_OPEN_ROWS: usize = 16;

/// A value in a row or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl SqlValue {
    /// Bytes that it takes, about.
    pub fn bytes(&self) -> usize {
        8 + match self {
            Self::Null | Self::Integer(_) | Self::Real(_) => 0,
            Self::Text(text) => text.len(),
            Self::Blob(bytes) => bytes.len(),
        }
    }
}

/// A row of a result.
pub type SqlRow = Vec<SqlValue>;

/// What a statement changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlChanges {
    /// Rows that were inserted, updated or deleted by the statement itself.
    pub rows: u64,
    /// The row id of the last row that this database connection inserted; 0 if there was none.
    pub last_insert_id: i64,
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process and a power cut.
    Full,
    /// The end of the process. A power cut may take the last commits back, whole ones, in order.
    Normal,
}

/// Bounds of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqlSettings {
    /// Bytes of the database, the host's tables and free space in it included.
    pub quota: u64,
    /// How long a statement may take, and wait for its turn.
    pub statement_timeout: Duration,
    /// How long a transaction or an unfinished result may be held.
    pub transaction_timeout: Duration,
    /// How long one migration may take.
    pub migration_timeout: Duration,
    /// Bytes of a row, and of any value that a statement computes.
    pub max_row_size: u64,
    /// What a commit survives.
    pub durability: Durability,
}

impl From<&SqlBounds> for SqlSettings {
    fn from(bounds: &SqlBounds) -> Self {
        Self {
            quota: bounds.quota.get(),
            statement_timeout: bounds.statement_timeout.get(),
            transaction_timeout: bounds.transaction_timeout.get(),
            migration_timeout: bounds.migration_timeout.get(),
            max_row_size: bounds.max_row_size.get(),
            durability: match bounds.durability {
                SqlDurability::Full => Durability::Full,
                SqlDurability::Normal => Durability::Normal,
            },
        }
    }
}

/// How full a database is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqlUsage {
    /// Bytes of the database.
    pub bytes: u64,
    /// Bytes allowed.
    pub quota: u64,
}

/// A step of a database's schema, from its first version to the one that a component needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its place in the order, from 1.
    pub number: u32,
    /// The name of its file, `0001_create_orders.sql`.
    pub name: String,
    /// One or more statements.
    pub sql: String,
}

/// A migration that a database has had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its place in the order.
    pub number: u32,
    /// The name of its file.
    pub name: String,
    /// SHA-256 of its text.
    pub checksum: [u8; 32],
    /// When.
    pub applied: SystemTime,
}

/// What [`SqlDatabase::migrate`] came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// What was applied now.
    pub done: Vec<AppliedMigration>,
    /// What the database has had beyond the end of what was asked for: of a later version of the service.
    pub unknown: Vec<AppliedMigration>,
}

/// Why migrations were not applied. Those before the one that is named were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// A statement in it fails.
    #[error("{name}, line {line}: {message}")]
    Statement {
        /// The name of the file.
        name: String,
        /// The line in it, from 1.
        line: usize,
        /// What the engine said.
        message: String,
    },
    /// The database had another text under this number.
    #[error(
        "{name} is not what was applied to the database as {applied}: a migration that was applied cannot change; \
         write a new one"
    )]
    Changed {
        /// The name of the file.
        name: String,
        /// The name under which the number was applied.
        applied: String,
    },
    /// The database does not work at all.
    #[error("its database is not available: {0}")]
    Unavailable(SqlError),
}

/// Why a statement was not run, or ended early. Except for [`Unavailable`](Self::Unavailable), the text is for guests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// Not valid, or not allowed.
    #[error("{0}")]
    Statement(String),
    /// A constraint does not hold.
    #[error("{message}")]
    Constraint {
        /// Which kind, in the engine's words: `UNIQUE`.
        kind: String,
        /// What the engine said.
        message: String,
    },
    /// Too many or too few parameters.
    #[error("{0}")]
    Parameter(String),
    /// The database would exceed its quota.
    #[error("{0}")]
    Full(String),
    /// It took too long.
    #[error("{0}")]
    Timeout(String),
    /// The handle stands for nothing any more.
    #[error("{0}")]
    Closed(String),
    /// A value, row or result is larger than it may be.
    #[error("{0}")]
    TooLarge(String),
    /// The engine cannot work, or failed in the middle. The text is for the host's log, not for guests.
    #[error("the database is not available: {0}")]
    Unavailable(String),
}

/// The database of one service. See the module for what every method promises.
#[async_trait]
pub trait SqlDatabase: Send + Sync + fmt::Debug {
    /// Runs one statement in a transaction of its own.
    async fn execute(&self, statement: String, parameters: Vec<SqlValue>) -> Result<SqlChanges, SqlError>;

    /// Runs one statement that only reads, beside others that read or write.
    async fn query(&self, statement: String, parameters: Vec<SqlValue>) -> Result<Arc<dyn SqlRows>, SqlError>;

    /// Begins a transaction, once those that asked earlier are over.
    async fn begin(&self) -> Result<Arc<dyn SqlTransaction>, SqlError>;

    /// Applies what has not been applied, in order, each in a transaction of its own, and says what was.
    ///
    /// `migrations` are numbered without a gap from 1. What the database has had beyond their end is left alone: it
    /// belongs to a later version.
    async fn migrate(&self, migrations: Vec<Migration>) -> Result<Migrated, MigrationError>;

    /// All migrations that it has had, in order.
    async fn applied(&self) -> Result<Vec<AppliedMigration>, SqlError>;

    /// How full it is.
    async fn usage(&self) -> Result<SqlUsage, SqlError>;
}

/// A result that is read piece by piece: a consistent view of the database until its end.
#[async_trait]
pub trait SqlRows: Send + Sync + fmt::Debug {
    /// The names of the columns.
    fn columns(&self) -> Vec<String>;

    /// Up to `max` more rows, and about [`PIECE_BYTES`]; at least one, unless it is the end.
    async fn next(&self, max: usize) -> Result<Vec<SqlRow>, SqlError>;

    /// Whether there may be rows that have not been read from the database.
    fn is_open(&self) -> bool;

    /// Ends it. The same as dropping the last handle on it.
    fn close(&self);
}

/// Statements that happen together.
#[async_trait]
pub trait SqlTransaction: Send + Sync + fmt::Debug {
    /// Runs a statement.
    async fn execute(&self, statement: String, parameters: Vec<SqlValue>) -> Result<SqlChanges, SqlError>;

    /// Runs a statement that gives rows, one that writes too.
    async fn query(&self, statement: String, parameters: Vec<SqlValue>) -> Result<Arc<dyn SqlRows>, SqlError>;

    /// Puts events into the outbox: they are published if this commits.
    async fn publish(&self, events: Vec<Event>) -> Result<(), SqlError>;

    /// Makes it happen. When this fails, nothing has happened, except after [`SqlError::Unavailable`], when it may have.
    async fn commit(&self) -> Result<(), SqlError>;

    /// Undoes it.
    async fn rollback(&self) -> Result<(), SqlError>;

    /// Whether it has neither ended nor been ended.
    fn is_open(&self) -> bool;

    /// Undoes it without waiting. The same as dropping the last handle on it; nothing after a commit.
    fn close(&self);
}

/// Gives every service its database.
pub trait SqlEngine: Send + Sync + fmt::Debug {
    /// The database of this service with these bounds. Cheap, and does no I/O: it opens at its first use.
    ///
    /// As long as somebody holds the database of a service, the same one is returned and takes over the new bounds.
    fn database(&self, service: &str, settings: SqlSettings) -> Arc<dyn SqlDatabase>;
}
