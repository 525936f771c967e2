//! Event sourcing on the service's own database: what happened is kept, and everything else is made of it.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use wharf_sdk::es::{self, Aggregate, EsError};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Account {
//!     balance: i64,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! enum Moved {
//!     In(i64),
//!     Out(i64),
//! }
//!
//! impl Aggregate for Account {
//!     type Event = Moved;
//!     const KIND: &'static str = "account";
//!
//!     fn apply(&mut self, event: &Moved) {
//!         match event {
//!             Moved::In(amount) => self.balance += amount,
//!             Moved::Out(amount) => self.balance -= amount,
//!         }
//!     }
//! }
//!
//! /// A command: decides on the state, and says what happened.
//! fn withdraw(id: &str, amount: i64) -> Result<u64, EsError> {
//!     es::command::<Account>(id, |account| {
//!         if account.balance < amount {
//!             return Err(EsError::refused("the balance is too low"));
//!         }
//!         Ok(vec![Moved::Out(amount)])
//!     })
//! }
//! ```
//!
//! - A *stream* (`account/7`) has events with versions from 1. [`append`] adds to it if it still has the version that the
//!   writer saw, else it is a [`EsError::Conflict`].
//! - [`load`] makes an aggregate of its stream, beginning with its last snapshot; [`command`] does so, decides and appends
//!   in one transaction, and makes a snapshot every [`Aggregate::SNAPSHOT_EVERY`] events.
//! - Events that others shall hear of are published in the same transaction ([`Aggregate::publish`]), through the outbox.
//! - A [`Projection`] reads all events in order into tables that are good to ask, with a checkpoint of its own. It can be
//!   dropped and made again of the events ([`Projection::rebuild`]): they are never changed.
//!
//! The tables are `es_events`, `es_snapshots` and `es_checkpoints`; [`SCHEMA`] makes them, in a migration or by [`setup`].

mod aggregate;
mod projection;
mod stream;
#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests;

pub use aggregate::{Aggregate, Loaded, command, load, save, snapshot, stream};
pub use projection::Projection;
pub use stream::{Expected, Recorded, append, read};

use crate::sql::{self, SqlError};

/// Makes the tables. The text of a migration.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS es_events (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    data TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
    UNIQUE (stream, version)
) STRICT;
CREATE TABLE IF NOT EXISTS es_snapshots (
    stream TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS es_checkpoints (
    projection TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;
";

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum EsError {
    /// Somebody else wrote to the stream. Load it again and decide again.
    #[error("the stream {stream} has version {found} and not {expected}")]
    Conflict {
        /// Its name.
        stream: String,
        /// The version that the writer saw.
        expected: u64,
        /// The version that it has.
        found: u64,
    },
    /// A command's own reason.
    #[error("{0}")]
    Refused(String),
    /// An event or a snapshot has another form than the code expects.
    #[error("{stream}, version {version}: {why}")]
    Form {
        /// The stream.
        stream: String,
        /// The version.
        version: u64,
        /// What the JSON reader says.
        why: String,
    },
    /// The database did not do it.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl EsError {
    /// A command that cannot be done.
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}

/// Makes the tables if they are not there. Better done by a migration.
///
/// # Errors
/// When the database does not do it.
pub fn setup() -> Result<(), SqlError> {
    sql::transaction(|tx| {
        SCHEMA.split_inclusive(';').filter(|text| text.contains("CREATE")).try_for_each(|statement| {
            tx.execute(statement, &[])?;
            Ok(())
        })
    })
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn form(stream: &str, version: u64, why: &serde_json::Error) -> EsError {
    EsError::Form { stream: stream.to_owned(), version, why: why.to_string() }
}
