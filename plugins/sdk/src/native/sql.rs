//! A database in memory for each thread, with the feature `sqlite`. Without it there is none, and every call says so.

#[cfg(feature = "sqlite")]
pub use implementation::migrate;
pub(crate) use implementation::{Rows, Transaction, begin, execute, query};

#[cfg(not(feature = "sqlite"))]
mod implementation {
    use crate::Event;
    use crate::sql::{Changes, SqlError, Value};

    fn none<T>() -> Result<T, SqlError> {
        Err(SqlError::Unavailable("turn on the feature `sqlite` of wharf-sdk in dev-dependencies".to_owned()))
    }

    #[derive(Debug)]
    pub(crate) struct Rows;

    impl Rows {
        pub(crate) fn columns(&self) -> Vec<String> {
            Vec::new()
        }

        pub(crate) fn next(&self, _max: u32) -> Result<Vec<Vec<Value>>, SqlError> {
            none()
        }
    }

    #[derive(Debug)]
    pub(crate) struct Transaction;

    impl Transaction {
        pub(crate) fn execute(&self, _statement: &str, _parameters: &[Value]) -> Result<Changes, SqlError> {
            none()
        }

        pub(crate) fn query(&self, _statement: &str, _parameters: &[Value]) -> Result<Rows, SqlError> {
            none()
        }

        pub(crate) fn publish(&self, _events: Vec<Event>) -> Result<Vec<String>, SqlError> {
            none()
        }

        pub(crate) fn commit(&self) -> Result<(), SqlError> {
            none()
        }

        pub(crate) fn rollback(&self) -> Result<(), SqlError> {
            none()
        }
    }

    pub(crate) fn execute(_statement: &str, _parameters: &[Value]) -> Result<Changes, SqlError> {
        none()
    }

    pub(crate) fn query(_statement: &str, _parameters: &[Value]) -> Result<Rows, SqlError> {
        none()
    }

    pub(crate) fn begin() -> Result<Transaction, SqlError> {
        none()
    }
}

#[cfg(feature = "sqlite")]
mod implementation {
    use std::cell::{Cell, RefCell};

    use rusqlite::types::{ToSqlOutput, ValueRef};
    use rusqlite::{Connection, ErrorCode, ToSql, ffi, params_from_iter};

    use crate::Event;
    use crate::sql::{Changes, SqlError, Value};

    thread_local! {
        static DATABASE: RefCell<Option<Connection>> = const { RefCell::new(None) };
    }

    #[derive(Debug)]
    pub(crate) struct Rows {
        columns: Vec<String>,
        rows: RefCell<std::vec::IntoIter<Vec<Value>>>,
    }

    impl Rows {
        pub(crate) fn columns(&self) -> Vec<String> {
            self.columns.clone()
        }

        pub(crate) fn next(&self, max: u32) -> Result<Vec<Vec<Value>>, SqlError> {
            Ok(self.rows.borrow_mut().by_ref().take(max as usize).collect())
        }
    }

    /// Rolled back when it is dropped.
    #[derive(Debug)]
    pub(crate) struct Transaction {
        open: Cell<bool>,
        events: RefCell<Vec<Event>>,
    }

    impl Transaction {
        pub(crate) fn execute(&self, statement: &str, parameters: &[Value]) -> Result<Changes, SqlError> {
            self.check()?;
            run(statement, parameters, false).map(|(_, changes)| changes)
        }

        pub(crate) fn query(&self, statement: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
            self.check()?;
            run(statement, parameters, false).map(|(rows, _)| rows)
        }

        pub(crate) fn publish(&self, events: Vec<Event>) -> Result<Vec<String>, SqlError> {
            self.check()?;
            let mut waiting = self.events.borrow_mut();
            let first = waiting.len();
            let ids = events.iter().enumerate();
            let ids =
                ids.map(|(n, event)| event.id.clone().unwrap_or_else(|| format!("event-{}", first + n))).collect();
            waiting.extend(events);
            Ok(ids)
        }

        pub(crate) fn commit(&self) -> Result<(), SqlError> {
            self.check()?;
            batch("COMMIT")?;
            self.open.set(false);
            let events = self.events.take();
            if !events.is_empty() {
                crate::native::publish(events).map_err(|error| SqlError::Event(error.to_string()))?;
            }
            Ok(())
        }

        pub(crate) fn rollback(&self) -> Result<(), SqlError> {
            self.check()?;
            self.open.set(false);
            batch("ROLLBACK")
        }

        fn check(&self) -> Result<(), SqlError> {
            if self.open.get() { Ok(()) } else { Err(SqlError::Closed("the transaction is over".to_owned())) }
        }
    }

    impl Drop for Transaction {
        fn drop(&mut self) {
            // Over already, maybe.
            let _ = self.rollback();
        }
    }

    pub(crate) fn execute(statement: &str, parameters: &[Value]) -> Result<Changes, SqlError> {
        alone()?;
        run(statement, parameters, false).map(|(_, changes)| changes)
    }

    pub(crate) fn query(statement: &str, parameters: &[Value]) -> Result<Rows, SqlError> {
        run(statement, parameters, true).map(|(rows, _)| rows)
    }

    pub(crate) fn begin() -> Result<Transaction, SqlError> {
        alone()?;
        batch("BEGIN IMMEDIATE")?;
        Ok(Transaction { open: Cell::new(true), events: RefCell::default() })
    }

    /// For tests: runs the text of a migration in the database of this thread, as the host does before a version serves.
    ///
    /// # Errors
    /// When a statement fails; what stands before it has happened.
    pub fn migrate(text: &str) -> Result<(), SqlError> {
        alone()?;
        // As the host has it, whatever SQLite was built with.
        batch("PRAGMA foreign_keys = ON")?;
        batch(text)
    }

    fn alone() -> Result<(), SqlError> {
        if with(|connection| Ok(connection.is_autocommit()))? {
            return Ok(());
        }
        Err(SqlError::Timeout("this request has a transaction open, which would be waited for in vain".to_owned()))
    }

    fn batch(statement: &str) -> Result<(), SqlError> {
        with(|connection| connection.execute_batch(statement))
    }

    fn with<T>(work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, SqlError> {
        DATABASE.with_borrow_mut(|database| {
            let connection = match database {
                Some(connection) => connection,
                None => database.insert(Connection::open_in_memory().map_err(|error| failure(&error))?),
            };
            work(connection).map_err(|error| failure(&error))
        })
    }

    fn run(statement: &str, parameters: &[Value], only_reads: bool) -> Result<(Rows, Changes), SqlError> {
        struct Bound<'a>(&'a Value);
        impl ToSql for Bound<'_> {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Borrowed(match self.0 {
                    Value::Null => ValueRef::Null,
                    Value::Integer(number) => ValueRef::Integer(*number),
                    Value::Real(number) => ValueRef::Real(*number),
                    Value::Text(text) => ValueRef::Text(text.as_bytes()),
                    Value::Blob(bytes) => ValueRef::Blob(bytes),
                }))
            }
        }
        let text = statement;
        let (rows, changes) = with(|connection| {
            let mut statement = connection.prepare(text)?;
            if only_reads && !statement.readonly() {
                return Err(rusqlite::Error::InvalidQuery);
            }
            let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
            let before = connection.total_changes();
            let mut found = Vec::new();
            let mut rows = statement.query(params_from_iter(parameters.iter().map(Bound)))?;
            while let Some(row) = rows.next()? {
                let values = (0..columns.len()).map(|place| row.get_ref(place).map(value));
                found.push(values.collect::<Result<Vec<_>, _>>()?);
            }
            let changed = connection.total_changes() != before;
            let changes = Changes {
                rows: if changed { connection.changes() } else { 0 },
                last_insert_id: connection.last_insert_rowid(),
            };
            Ok((Rows { columns, rows: RefCell::new(found.into_iter()) }, changes))
        })?;
        Ok((rows, changes))
    }

    fn value(value: ValueRef<'_>) -> Value {
        match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        }
    }

    fn failure(error: &rusqlite::Error) -> SqlError {
        match error {
            rusqlite::Error::InvalidParameterCount(..) => SqlError::Parameter(error.to_string()),
            rusqlite::Error::InvalidQuery => SqlError::Statement("query only reads".to_owned()),
            rusqlite::Error::SqliteFailure(code, message) if code.code == ErrorCode::ConstraintViolation => {
                let kind = match code.extended_code {
                    ffi::SQLITE_CONSTRAINT_CHECK => "CHECK",
                    ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "FOREIGNKEY",
                    ffi::SQLITE_CONSTRAINT_NOTNULL => "NOTNULL",
                    ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "PRIMARYKEY",
                    ffi::SQLITE_CONSTRAINT_UNIQUE => "UNIQUE",
                    _ => "CONSTRAINT",
                };
                SqlError::Constraint { kind: kind.to_owned(), message: message.clone().unwrap_or_default() }
            }
            other => SqlError::Statement(other.to_string()),
        }
    }
}
