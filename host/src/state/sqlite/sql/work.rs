//! What happens on the thread of a connection: statements and transactions of one session after the other. Results are
//! read in `rows`.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Statement, ToSql};

use super::failure;
use super::guard::{Guard, Stop};
use super::open::{self, Opened};
use super::quick::{Gate, Known};
use crate::state::{MAX_PARAMETERS, MAX_STATEMENT_BYTES, SqlChanges, SqlError, SqlSettings, SqlValue};

/// Statements with a longer text are not kept compiled.
const CACHED_BYTES: usize = 8 << 10;
/// Temporary bytes that a statement may write, and as many more as the database may have.
pub(super) const TEMPORARY_BYTES: u64 = 256 << 20;

/// A connection and what is known about it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) connection: Connection,
    pub(super) guard: Arc<Guard>,
    writes: bool,
    host_schema: String,
    /// When the transaction in progress began.
    schema_version: Cell<i64>,
    configured: Option<SqlSettings>,
    pub(super) gate: Arc<Gate>,
    pub(super) known: RefCell<Known>,
    /// Whether nothing has run on it since its thread last looked.
    pub(super) rested: bool,
}

/// A statement that is kept compiled, or not.
pub(super) enum Compiled<'a> {
    Kept(CachedStatement<'a>),
    Once(Statement<'a>),
}

impl<'a> Compiled<'a> {
    pub(super) fn get(&mut self) -> &mut Statement<'a> {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

impl Lane {
    pub(super) fn new(opened: Opened, writes: bool, gate: &Arc<Gate>) -> Self {
        let Opened { connection, guard, host_schema } = opened;
        Self {
            connection,
            guard,
            writes,
            host_schema,
            schema_version: Cell::new(-1),
            configured: None,
            gate: Arc::clone(gate),
            known: RefCell::default(),
            rested: false,
        }
    }

    /// Whether these bounds are in force.
    pub(super) fn is_configured(&self, settings: &SqlSettings) -> bool {
        self.configured.as_ref() == Some(settings)
    }

    /// Puts changed bounds in force.
    pub(super) fn configure(&mut self, settings: &SqlSettings) -> Result<(), SqlError> {
        if self.is_configured(settings) {
            return Ok(());
        }
        self.host(|connection| open::configure(connection, settings, self.writes))?;
        self.configured = Some(*settings);
        Ok(())
    }

    /// Runs statements of the host. They are never kept compiled: the service could run what is kept, by its text, without
    /// being asked for permission.
    pub(super) fn host<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, SqlError> {
        self.guard.begin(u64::MAX);
        self.guard.as_host(|| work(&self.connection)).map_err(|error| self.host_failure(&error))
    }

    fn host_failure(&self, error: &rusqlite::Error) -> SqlError {
        let settings = self.configured.unwrap_or_else(default_settings);
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::OperationInterrupted) => failure::stopped(self.guard.stopped(), &settings),
            Some(rusqlite::ErrorCode::DiskFull) => failure::full(&settings),
            Some(rusqlite::ErrorCode::ConstraintViolation) => failure::of_statement(error, &self.guard, &settings),
            Some(rusqlite::ErrorCode::DatabaseBusy) => {
                SqlError::Timeout("another program has the database locked".to_owned())
            }
            _ => SqlError::Unavailable(error.to_string()),
        }
    }

    /// Begins a transaction that writes.
    pub(super) fn begin(&self) -> Result<(), SqlError> {
        let version = self.host(|connection| {
            run(connection, "BEGIN IMMEDIATE")?;
            schema_version(connection)
        })?;
        self.schema_version.set(version);
        Ok(())
    }

    /// Ends it for good. When this fails it is undone.
    pub(super) fn commit(&self) -> Result<(), SqlError> {
        let committed = self.changed_schema().and_then(|changed| {
            // It is late to be told so.
            if self.guard.stopped() == Stop::Transaction || self.guard.stopped() == Stop::Unwanted {
                return Err(failure::stopped(self.guard.stopped(), &self.configured.unwrap_or_else(default_settings)));
            }
            let mut alone = changed.then(|| self.gate.alone());
            let committed = self.host(|connection| run(connection, "COMMIT"));
            if let Some(changes) = &mut alone {
                **changes += 1;
            }
            committed
        });
        if committed.is_err() {
            self.roll_back();
        }
        committed
    }

    /// Whether the transaction changed tables. No service makes or changes one that has a name of the host's, not by
    /// renaming either.
    fn changed_schema(&self) -> Result<bool, SqlError> {
        let (changed, kept) = self.host(|connection| {
            let changed = schema_version(connection)? != self.schema_version.get();
            Ok((changed, !changed || open::host_schema(connection)? == self.host_schema))
        })?;
        if kept {
            return Ok(changed);
        }
        Err(SqlError::Statement(format!("names that begin with {} belong to the host", crate::state::HOST_PREFIX)))
    }

    /// Undoes what is not committed; nothing if there is no transaction. An interrupt that was meant for the statement
    /// before may hit this instead, so it is tried again.
    pub(super) fn roll_back(&self) {
        // What stopped the statement must not stop this.
        self.guard.obey(&Arc::default());
        for _ in 0..3 {
            if self.connection.is_autocommit() {
                return;
            }
            if let Err(error) = self.guard.as_host(|| run(&self.connection, "ROLLBACK")) {
                tracing::debug!(%error, "a transaction does not roll back yet");
            }
        }
    }

    pub(super) fn failure(&self, error: &rusqlite::Error, settings: &SqlSettings) -> SqlError {
        failure::of_statement(error, &self.guard, settings)
    }

    pub(super) fn compile(&self, text: &str, settings: &SqlSettings) -> Result<Compiled<'_>, SqlError> {
        if text.len() > MAX_STATEMENT_BYTES {
            return Err(SqlError::TooLarge(format!("a statement has at most {MAX_STATEMENT_BYTES} bytes")));
        }
        let quota = self.configured.map_or(0, |settings| settings.quota);
        self.guard.begin(TEMPORARY_BYTES.saturating_add(quota));
        let compiled = if text.len() > CACHED_BYTES {
            self.connection.prepare(text).map(Compiled::Once)
        } else {
            self.connection.prepare_cached(text).map(Compiled::Kept)
        };
        let mut compiled = compiled.map_err(|error| self.failure(&error, settings))?;
        let statement = compiled.get();
        // Blanks and comments compile to nothing, which SQLite takes for a misuse when it is run.
        if statement.readonly() && statement.column_count() == 0 && statement.expanded_sql().is_none() {
            return Err(SqlError::Statement("there is no statement in it".to_owned()));
        }
        if !self.writes && !statement.readonly() {
            return Err(SqlError::Statement(
                "query only reads: use execute, or a transaction for a statement that writes and gives rows".to_owned(),
            ));
        }
        Ok(compiled)
    }

    pub(super) fn bind(
        &self,
        statement: &mut Statement<'_>,
        parameters: &[SqlValue],
        settings: &SqlSettings,
    ) -> Result<(), SqlError> {
        let wanted = statement.parameter_count();
        if parameters.len() > MAX_PARAMETERS || wanted != parameters.len() {
            return Err(SqlError::Parameter(format!(
                "the statement has {wanted} parameters and {} values were given",
                parameters.len()
            )));
        }
        for (place, value) in parameters.iter().enumerate() {
            statement.raw_bind_parameter(place + 1, Bound(value)).map_err(|error| self.failure(&error, settings))?;
        }
        Ok(())
    }

    /// Runs a statement to its end.
    pub(super) fn execute(
        &self,
        text: &str,
        parameters: &[SqlValue],
        settings: &SqlSettings,
    ) -> Result<SqlChanges, SqlError> {
        let mut compiled = self.compile(text, settings)?;
        let statement = compiled.get();
        self.bind(statement, parameters, settings)?;
        let before = self.connection.total_changes();
        let mut rows = statement.raw_query();
        loop {
            match rows.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return Err(self.failure(&error, settings)),
            }
        }
        let changed = self.connection.total_changes() != before;
        Ok(SqlChanges {
            rows: if changed { self.connection.changes() } else { 0 },
            last_insert_id: self.connection.last_insert_rowid(),
        })
    }

    /// Whether a transaction that was begun is gone: SQLite undoes it by itself after some errors.
    pub(super) fn is_lost(&self) -> bool {
        self.connection.is_autocommit()
    }
}

/// Runs a statement of the host that has no parameters.
pub(super) fn run(connection: &Connection, text: &str) -> rusqlite::Result<()> {
    // Not `execute`: some of these statements count as queries without rows.
    connection.prepare(text)?.query([])?.next().map(drop)
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare("PRAGMA schema_version")?.query_row([], |row| row.get(0))
}

/// Before a connection was configured, which its first session does.
fn default_settings() -> SqlSettings {
    SqlSettings {
        quota: 0,
        statement_timeout: Duration::ZERO,
        transaction_timeout: Duration::ZERO,
        migration_timeout: Duration::ZERO,
        max_row_size: 0,
        durability: crate::state::Durability::Full,
    }
}

struct Bound<'a>(&'a SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Real(number) => ValueRef::Real(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
