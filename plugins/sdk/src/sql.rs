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

use std::rc::Rc;

use crate::Event;
use crate::platform::sql as host;

/// A value in a row or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
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

/// A row of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Rc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The value of the column with this name.
    ///
    /// # Errors
    /// When there is no such column, or its value is no `T`.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T, SqlError> {
        let at = self.columns.iter().position(|name| name == column);
        self.at(at.ok_or_else(|| SqlError::Column(format!("the result has no column `{column}`")))?)
    }

    /// The value of a column by its place, from 0.
    ///
    /// # Errors
    /// When there is no such column, or its value is no `T`.
    pub fn at<T: FromValue>(&self, place: usize) -> Result<T, SqlError> {
        let name = || self.columns.get(place).cloned().unwrap_or_else(|| place.to_string());
        let value = self.values.get(place);
        let value = value.ok_or_else(|| SqlError::Column(format!("the result has no column {}", name())))?;
        T::from_value(value).ok_or_else(|| {
            let kind = std::any::type_name::<T>();
            SqlError::Column(format!("column `{}` has {value:?}, which is no {kind}", name()))
        })
    }
}

/// Made of a value in a row.
pub trait FromValue: Sized {
    /// The value as this, if it is one.
    fn from_value(value: &Value) -> Option<Self>;
}

/// Made of a row: tuples of up to eight values by the order of columns, and what a service says itself.
pub trait FromRow: Sized {
    /// The row as this.
    ///
    /// # Errors
    /// When a column is missing or has another kind of value.
    fn from_row(row: &Row) -> Result<Self, SqlError>;
}

impl FromRow for Row {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(row.clone())
    }
}

macro_rules! tuples {
    ($($name:ident $place:tt),+) => {
        impl<$($name: FromValue),+> FromRow for ($($name,)+) {
            fn from_row(row: &Row) -> Result<Self, SqlError> {
                Ok(($(row.at::<$name>($place)?,)+))
            }
        }
    };
}
tuples!(A 0);
tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);
tuples!(A 0, B 1, C 2, D 3, E 4);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuples!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

/// A result, row by row. Rows are fetched piece by piece, so a large result needs little memory.
#[derive(Debug)]
pub struct Rows {
    rows: host::Rows,
    columns: Rc<[String]>,
    ready: std::vec::IntoIter<Vec<Value>>,
    over: bool,
}

impl Rows {
    fn new(rows: host::Rows) -> Self {
        let columns = rows.columns().into();
        Self { rows, columns, ready: Vec::new().into_iter(), over: false }
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    fn collect_as<T: FromRow>(self) -> Result<Vec<T>, SqlError> {
        self.map(|row| T::from_row(&row?)).collect()
    }

    fn first<T: FromRow>(mut self) -> Result<Option<T>, SqlError> {
        self.next().map(|row| T::from_row(&row?)).transpose()
    }
}

impl Iterator for Rows {
    type Item = Result<Row, SqlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.len() == 0 && !self.over {
            match self.rows.next(PIECE) {
                Ok(piece) => {
                    self.over = piece.is_empty();
                    self.ready = piece.into_iter();
                }
                Err(error) => {
                    self.over = true;
                    return Some(Err(error));
                }
            }
        }
        Some(Ok(Row { columns: Rc::clone(&self.columns), values: self.ready.next()? }))
    }
}

/// Rows that are fetched at once.
const PIECE: u32 = 256;

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

macro_rules! integers {
    ($($kind:ty),+) => {$(
        impl From<$kind> for Value {
            fn from(number: $kind) -> Self {
                Self::Integer(number.into())
            }
        }
    )+};
}
integers!(i64, i32, i16, i8, u32, u16, u8);

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Integer(truth.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_owned())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! whole {
    ($($kind:ty),+) => {$(
        impl FromValue for $kind {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::Integer(number) => (*number).try_into().ok(),
                    _ => None,
                }
            }
        }
    )+};
}
whole!(i64, i32, i16, i8, u64, u32, u16, u8, usize);

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Real(number) => Some(*number),
            // A whole number in a column of fractions.
            #[expect(clippy::cast_precision_loss, reason = "as SQLite itself would")]
            Value::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::published;

    #[test]
    fn values_go_in_and_come_out() {
        execute("CREATE TABLE t (a, b, c, d, e)", &[]).unwrap();
        let changes =
            execute("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)", params![7, 0.5, "x", vec![1_u8], None::<i64>]);
        assert_eq!(changes.unwrap(), Changes { rows: 1, last_insert_id: 1 });
        let (a, b, c, d, e): (u8, f64, String, Vec<u8>, Option<i64>) = first("SELECT * FROM t", &[]).unwrap().unwrap();
        assert_eq!((a, b, c.as_str(), d.as_slice(), e), (7, 0.5, "x", &[1_u8][..], None));
        let row: Row = first("SELECT a, c FROM t", &[]).unwrap().unwrap();
        assert_eq!(row.get::<i64>("a").unwrap(), 7);
        assert!(matches!(row.get::<i64>("c"), Err(SqlError::Column(_))));
        assert!(matches!(row.get::<i64>("z"), Err(SqlError::Column(_))));
        assert_eq!(first::<Row>("SELECT a FROM t WHERE a = 8", &[]).unwrap(), None);
    }

    #[test]
    fn errors_are_those_of_the_host() {
        execute("CREATE TABLE t (a UNIQUE)", &[]).unwrap();
        execute("INSERT INTO t VALUES (1)", &[]).unwrap();
        assert!(execute("INSERT INTO t VALUES (1)", &[]).unwrap_err().violates("UNIQUE"));
        assert!(matches!(execute("INSERT INTO t VALUES (?1)", &[]), Err(SqlError::Parameter(_))));
        assert!(matches!(query("SELEC", &[]), Err(SqlError::Statement(_))));
        assert!(matches!(query("DELETE FROM t RETURNING a", &[]), Err(SqlError::Statement(_))));
    }

    #[test]
    fn a_transaction_happens_with_its_events_or_not_at_all() {
        execute("CREATE TABLE t (a)", &[]).unwrap();
        let failed: Result<(), SqlError> = transaction(|tx| {
            tx.execute("INSERT INTO t VALUES (1)", &[])?;
            tx.publish(vec![Event::new("a.b")])?;
            Err(SqlError::Full("no".to_owned()))
        });
        assert!(failed.is_err());
        assert_eq!((first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), published().len()), (Some((0,)), 0));
        let ids = transaction(|tx| -> Result<_, SqlError> {
            tx.execute("INSERT INTO t VALUES (1)", &[])?;
            tx.publish(vec![Event::new("a.b").id("7")])
        });
        assert_eq!(ids.unwrap(), ["7"]);
        assert_eq!((first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), published().len()), (Some((1,)), 1));
    }

    #[test]
    fn what_was_handled_is_not_handled_again() {
        let handle = |id: &str| transaction(|tx| idempotent(tx, id)).unwrap();
        assert_eq!([handle("a"), handle("b"), handle("a")], [true, true, false]);
        let failed: Result<(), SqlError> = transaction(|tx| {
            idempotent(tx, "c")?;
            Err(SqlError::Full(String::new()))
        });
        assert!(failed.is_err() && handle("c"));
    }

    #[test]
    fn a_migration_is_applied_as_a_whole() {
        let text = "CREATE TABLE a (id PRIMARY KEY);\n-- more\nCREATE TABLE b (a REFERENCES a (id) NOT NULL);\n";
        crate::migrate(text).unwrap();
        assert!(execute("INSERT INTO b VALUES (1)", &[]).unwrap_err().violates("FOREIGNKEY"));
        assert!(crate::migrate(text).is_err(), "it is there");
    }

    #[test]
    fn rows_come_one_by_one() {
        let many = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 1000) SELECT n FROM c";
        assert_eq!(all::<(i64,)>(many, &[]).unwrap().len(), 1000);
        assert_eq!(query(many, &[]).unwrap().take(3).count(), 3);
    }
}
