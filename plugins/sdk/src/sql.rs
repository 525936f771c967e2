//! The service's own SQL database (`wharf:service/sql`), which no other service sees.
//!
//! ```
//! use wharf_sdk::{params, sql, sql::SqlError};
//!
//! fn order(customer: &str, total: i64) -> Result<i64, SqlError> {
//!     sql::transaction(|tx| {
//!         let id = tx.execute("INSERT INTO orders (customer, total) VALUES (?1, ?2)", params![customer, total])?;
//!         tx.execute("UPDATE customers SET orders = orders + 1 WHERE name = ?1", params![customer])?;
//!         Ok(id.last_insert_id)
//!     })
//! }
//!
//! fn of(customer: &str) -> Result<Vec<(i64, i64)>, SqlError> {
//!     sql::all("SELECT id, total FROM orders WHERE customer = ?1", params![customer])
//! }
//! ```
//!
//! Tables are made by migrations, which the host applies before a version serves: files in a folder beside the component
//! (`orders.migrations/0001_create_orders.sql`), or inside of it, by [`migrations!`](crate::migrations). A transaction
//! sees what it did itself; others wait for it, so it should be short. It may publish events, which then happen if it
//! happens ([`Transaction::publish`]).
//!
//! In tests on the machine at hand there is a real SQLite in memory, empty for each thread, if the feature `sqlite` of
//! this crate is on (in `dev-dependencies`); without it every call fails.

mod row;
#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests;
mod transaction;
mod value;

pub use row::{FromRow, Row, Rows};
pub use transaction::{Transaction, idempotent, transaction};
pub use value::{FromValue, Value};

use crate::platform::sql as host;

/// What a statement changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    /// Rows that it inserted, updated or deleted itself.
    pub rows: u64,
    /// The row id of the last row that was inserted.
    pub last_insert_id: i64,
}

/// Why the database did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// The operator has withheld it (`sql: false`).
    #[error("the database is not granted: {0}")]
    Denied(String),
    /// The statement is not valid, or not allowed.
    #[error("the statement cannot be run: {0}")]
    Statement(String),
    /// A constraint does not hold.
    #[error("{kind}: {message}")]
    Constraint {
        /// `UNIQUE`, `PRIMARYKEY`, `FOREIGNKEY`, `CHECK`, `NOTNULL`, …
        kind: String,
        /// What SQLite said.
        message: String,
    },
    /// The number of parameters is wrong.
    #[error("{0}")]
    Parameter(String),
    /// The database would exceed its quota.
    #[error("{0}")]
    Full(String),
    /// It took too long, or waited too long for others. Trying again may help.
    #[error("{0}")]
    Timeout(String),
    /// The transaction or result is over.
    #[error("{0}")]
    Closed(String),
    /// A value, row or result is too large.
    #[error("{0}")]
    TooLarge(String),
    /// An event cannot be published.
    #[error("{0}")]
    Event(String),
    /// The host cannot at the moment.
    #[error("{0}")]
    Unavailable(String),
    /// A column is not there, or has a value of another kind.
    #[error("{0}")]
    Column(String),
}

impl SqlError {
    /// Whether it is this constraint that does not hold: `error.violates("UNIQUE")`.
    pub fn violates(&self, constraint: &str) -> bool {
        matches!(self, Self::Constraint { kind, .. } if kind == constraint)
    }
}

/// Parameters of a statement: anything that becomes a [`Value`].
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::sql::Value::from($value)),*] };
}

/// Puts SQL files into the component, as its migrations.
///
/// ```ignore
/// wharf_sdk::migrations!("../migrations": "0001_create_orders.sql", "0002_total.sql");
/// ```
///
/// The folder is relative to the source file. The host applies what the service's database has not had, in order, before
/// a version with them serves.
#[macro_export]
macro_rules! migrations {
    ($folder:literal : $($name:literal),+ $(,)?) => {
        $(const _: () = {
            const TEXT: &str =
                concat!("-- wharf:migration ", $name, "\n", include_str!(concat!($folder, "/", $name)), "\n");
            #[cfg(target_family = "wasm")]
            #[expect(unsafe_code, reason = "the bytes of a custom section can be anything")]
            #[unsafe(link_section = "wharf:migrations")]
            #[used]
            static SECTION: [u8; TEXT.len()] = $crate::sql::bytes(TEXT);
            #[cfg(not(target_family = "wasm"))]
            const _: usize = TEXT.len();
        };)+
    };
}

#[doc(hidden)]
pub const fn bytes<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    match text.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => [0; LENGTH],
    }
}

/// Runs one statement in a transaction of its own.
///
/// # Errors
/// See [`SqlError`].
pub fn execute(statement: &str, parameters: &[Value]) -> Result<Changes, SqlError> {
    host::execute(statement, parameters)
}

/// Runs one statement that only reads, for its rows.
///
/// # Errors
/// See [`SqlError`].
pub fn query(statement: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
    host::query(statement, parameters).map(Rows::new)
}

/// All rows of a statement that only reads.
///
/// # Errors
/// See [`SqlError`].
pub fn all<T: FromRow>(statement: &str, parameters: &[Value]) -> Result<Vec<T>, SqlError> {
    query(statement, parameters)?.collect_as()
}

/// The first row of a statement that only reads, if there is one.
///
/// # Errors
/// See [`SqlError`].
pub fn first<T: FromRow>(statement: &str, parameters: &[Value]) -> Result<Option<T>, SqlError> {
    query(statement, parameters)?.first()
}
