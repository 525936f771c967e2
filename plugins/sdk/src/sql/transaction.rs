//! Transactions: statements that happen together, with their events, or not at all.

use super::{Changes, FromRow, Rows, SqlError, Value};
use crate::platform::sql as host;
use crate::{Event, params};

/// Statements that happen together.
#[derive(Debug)]
pub struct Transaction(host::Transaction);

impl Transaction {
    /// Runs a statement.
    ///
    /// # Errors
    /// See [`SqlError`]. The transaction goes on, unless it is over.
    pub fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Changes, SqlError> {
        self.0.execute(statement, parameters)
    }

    /// Runs a statement for its rows, one that writes (`… RETURNING`) too.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub fn query(&self, statement: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
        self.0.query(statement, parameters).map(Rows::new)
    }

    /// All rows of a statement.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub fn all<T: FromRow>(&self, statement: &str, parameters: &[Value]) -> Result<Vec<T>, SqlError> {
        self.query(statement, parameters)?.collect_as()
    }

    /// The first row of a statement, if there is one.
    ///
    /// # Errors
    /// See [`SqlError`].
    pub fn first<T: FromRow>(&self, statement: &str, parameters: &[Value]) -> Result<Option<T>, SqlError> {
        self.query(statement, parameters)?.first()
    }

    /// Publishes events if this transaction commits, and says their ids. They are in the database with the other changes
    /// (an outbox), from where the host takes them to the log soon after.
    ///
    /// # Errors
    /// When a topic is not granted or an attribute is not valid. The transaction is over then.
    pub fn publish(&self, events: Vec<Event>) -> Result<Vec<String>, SqlError> {
        self.0.publish(events)
    }
}

/// Does `work` in a transaction: commits when it is ok, else nothing has happened.
///
/// # Errors
/// That of the work, or of the database.
pub fn transaction<T, E: From<SqlError>>(work: impl FnOnce(&Transaction) -> Result<T, E>) -> Result<T, E> {
    let transaction = Transaction(host::begin()?);
    match work(&transaction) {
        Ok(done) => {
            transaction.0.commit()?;
            Ok(done)
        }
        Err(error) => {
            // Over already, maybe; dropping it would do the same.
            let _ = transaction.0.rollback();
            Err(error)
        }
    }
}

/// Whether what has this id (an event, a request) was not handled before; from now on it is, if the transaction commits.
/// So what is done in the same transaction is done once, however often it is delivered.
///
/// ```
/// use wharf_sdk::{Delivery, Failure, params, sql};
///
/// fn paid(event: Delivery) -> Result<(), Failure> {
///     sql::transaction(|tx| {
///         if sql::idempotent(tx, &event.id)? {
///             tx.execute("UPDATE orders SET paid = 1 WHERE id = ?1", params![event.subject.as_deref()])?;
///         }
///         Ok(())
///     })
/// }
/// ```
///
/// The ids are in the table `handled`, which is made when it is not there; older ones may be deleted from it by `at`.
///
/// # Errors
/// See [`SqlError`].
pub fn idempotent(transaction: &Transaction, id: &str) -> Result<bool, SqlError> {
    let table = "CREATE TABLE IF NOT EXISTS handled (id TEXT PRIMARY KEY, at INTEGER NOT NULL DEFAULT (unixepoch()))";
    transaction.execute(table, &[])?;
    let added = transaction.execute("INSERT INTO handled (id) VALUES (?1) ON CONFLICT DO NOTHING", params![id])?;
    Ok(added.rows == 1)
}
