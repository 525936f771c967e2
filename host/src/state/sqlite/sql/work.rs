//! What happens on the thread of a connection: statements, transactions and results of one session after the other.
//!
//! A result that is not read to its end keeps its statement open, at its place. Statements of one connection do not
//! depend on each other's lifetime, so they stand in a list, and a result is its place in that list.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Statement, ToSql};

use super::failure;
use super::guard::{Guard, Stop};
use super::open::{self, Opened};
use crate::state::{
    MAX_OPEN_ROWS, MAX_PARAMETERS, MAX_PIECE_ROWS, MAX_STATEMENT_BYTES, PIECE_BYTES, SqlChanges, SqlError, SqlRow,
    SqlSettings, SqlValue,
};

/// Statements with a longer text are not kept compiled.
const CACHED_BYTES: usize = 8 << 10;
/// Temporary bytes that a statement may write, and as many more as the database may have.
const TEMPORARY_BYTES: u64 = 256 << 20;

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
}

/// Rows of a result, and whether those were the last.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) rows: Vec<SqlRow>,
    pub(super) end: bool,
}

/// The beginning of a result.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) columns: Vec<String>,
    pub(super) first: Piece,
    /// Which one it is, while it is not at its end.
    pub(super) place: Option<usize>,
}

/// A statement that is kept compiled, or not.
enum Compiled<'a> {
    Kept(CachedStatement<'a>),
    Once(Statement<'a>),
}

impl<'a> Compiled<'a> {
    fn get(&mut self) -> &mut Statement<'a> {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

/// The statements of one session that are open.
#[derive(Default)]
pub(super) struct OpenRows<'a>(Vec<Option<Compiled<'a>>>);

impl Lane {
    pub(super) fn new(opened: Opened, writes: bool) -> Self {
        let Opened { connection, guard, host_schema } = opened;
        Self { connection, guard, writes, host_schema, schema_version: Cell::new(-1), configured: None }
    }

    /// Puts changed bounds in force.
    pub(super) fn configure(&mut self, settings: &SqlSettings) -> Result<(), SqlError> {
        if self.configured.as_ref() == Some(settings) {
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
        let committed = self.check_host_schema().and_then(|()| {
            // It is late to be told so.
            if self.guard.stopped() == Stop::Transaction || self.guard.stopped() == Stop::Unwanted {
                return Err(failure::stopped(self.guard.stopped(), &self.configured.unwrap_or_else(default_settings)));
            }
            self.host(|connection| run(connection, "COMMIT"))
        });
        if committed.is_err() {
            self.roll_back();
        }
        committed
    }

    /// No service makes or changes a table that has a name of the host's, not by renaming either.
    fn check_host_schema(&self) -> Result<(), SqlError> {
        let same = self.host(|connection| {
            Ok(schema_version(connection)? == self.schema_version.get()
                || open::host_schema(connection)? == self.host_schema)
        })?;
        if same {
            return Ok(());
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

    fn failure(&self, error: &rusqlite::Error, settings: &SqlSettings) -> SqlError {
        failure::of_statement(error, &self.guard, settings)
    }

    fn compile(&self, text: &str, settings: &SqlSettings) -> Result<Compiled<'_>, SqlError> {
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
        if !self.writes && !compiled.get().readonly() {
            return Err(SqlError::Statement(
                "query only reads: use execute, or a transaction for a statement that writes and gives rows".to_owned(),
            ));
        }
        Ok(compiled)
    }

    fn bind(
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

    /// Runs a statement for the beginning of its result: up to `rows` and about `bytes`.
    pub(super) fn query<'a>(
        &'a self,
        open: &mut OpenRows<'a>,
        text: &str,
        parameters: &[SqlValue],
        (rows, bytes): (usize, usize),
        settings: &SqlSettings,
    ) -> Result<Begun, SqlError> {
        if open.0.iter().flatten().count() >= MAX_OPEN_ROWS {
            return Err(SqlError::TooLarge(format!(
                "a transaction has at most {MAX_OPEN_ROWS} unfinished results: read or drop some first"
            )));
        }
        let mut compiled = self.compile(text, settings)?;
        let statement = compiled.get();
        self.bind(statement, parameters, settings)?;
        let columns = statement.column_names().map(str::to_owned).collect();
        let first = self.read(statement, rows, bytes, settings)?;
        let place = (!first.end).then(|| open.keep(compiled));
        Ok(Begun { columns, first, place })
    }

    /// More of a result; the end of one that is closed.
    pub(super) fn next(
        &self,
        open: &mut OpenRows<'_>,
        place: usize,
        max: usize,
        settings: &SqlSettings,
    ) -> Result<Piece, SqlError> {
        let Some(compiled) = open.0.get_mut(place).and_then(Option::as_mut) else {
            return Ok(Piece { rows: Vec::new(), end: true });
        };
        self.guard.begin(TEMPORARY_BYTES);
        let piece = self.read(compiled.get(), max, PIECE_BYTES, settings);
        if piece.as_ref().map_or(true, |piece| piece.end) {
            open.close(place);
        }
        piece
    }

    fn read(
        &self,
        statement: &mut Statement<'_>,
        max: usize,
        max_bytes: usize,
        settings: &SqlSettings,
    ) -> Result<Piece, SqlError> {
        let columns = statement.column_count();
        // Dropping it would take the statement back to its beginning. At its end, and after an error, it has done that.
        let mut rows = ManuallyDrop::new(statement.raw_query());
        let mut piece = Piece::default();
        let mut bytes = 0;
        while piece.rows.len() < max.clamp(1, MAX_PIECE_ROWS) && bytes < max_bytes {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => {
                    piece.end = true;
                    return Ok(piece);
                }
                Err(error) => return Err(self.failure(&error, settings)),
            };
            let mut values = Vec::with_capacity(columns);
            let mut row_bytes = 0_usize;
            for column in 0..columns {
                let value = value(row.get_ref(column).map_err(|error| self.failure(&error, settings))?);
                row_bytes += value.bytes();
                values.push(value);
            }
            // SQLite bounds each value, and the rows of tables; this bounds what a statement puts together.
            if row_bytes as u64 > settings.max_row_size.saturating_add(8 * columns as u64) {
                drop(ManuallyDrop::into_inner(rows));
                return Err(SqlError::TooLarge(format!(
                    "a row has {row_bytes} bytes, at most {} are allowed (sql.maxRowSize): ask for fewer columns",
                    settings.max_row_size
                )));
            }
            bytes += row_bytes;
            piece.rows.push(values);
        }
        Ok(piece)
    }

    /// Whether a transaction that was begun is gone: SQLite undoes it by itself after some errors.
    pub(super) fn is_lost(&self) -> bool {
        self.connection.is_autocommit()
    }
}

impl<'a> OpenRows<'a> {
    fn keep(&mut self, compiled: Compiled<'a>) -> usize {
        if let Some(free) = self.0.iter().position(Option::is_none)
            && let Some(place) = self.0.get_mut(free)
        {
            *place = Some(compiled);
            return free;
        }
        self.0.push(Some(compiled));
        self.0.len() - 1
    }

    pub(super) fn close(&mut self, place: usize) {
        if let Some(mut compiled) = self.0.get_mut(place).and_then(Option::take) {
            // Back to its beginning, whatever becomes of it.
            drop(compiled.get().raw_query());
        }
    }

    pub(super) fn close_all(&mut self) {
        (0..self.0.len()).for_each(|place| self.close(place));
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

fn value(value: ValueRef<'_>) -> SqlValue {
    match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Real(number) => SqlValue::Real(number),
        // SQLite takes any bytes for text; the interface does not.
        ValueRef::Text(bytes) => SqlValue::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
    }
}
