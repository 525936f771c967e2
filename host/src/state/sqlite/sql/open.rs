//! The file of a service's database: how a connection to it is opened, and the host's own tables in it.
//!
//! The file has a number for its format (`user_version` cannot be used: pragmas of the service's migrations may not set
//! it, but a copy made with SQLite's own tools may), in the host's table `_wharf_meta`. A newer format is not opened by
//! an older program. That, and the service's hands on the file, is why this opener is not the one of the host's other files;
//! it shares with that what can go wrong, and how the directory is made.
//!
//! Bounds on every connection, besides those of `SqlSettings`: see [`LIMITS`]. They keep what a statement compiles to,
//! and the schema that every connection holds in memory, small.

use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::functions;
use super::guard::Guard;
use crate::state::sqlite::open::{OpenError, make_directory, patiently};
use crate::state::{Durability, MAX_PARAMETERS, MAX_STATEMENT_BYTES, SqlSettings};

/// What the file is, with an article.
const WHAT: &str = "a service's database";
/// The newest format that this program reads and the one it writes.
const FORMAT: i64 = 1;
/// `WHSQ`: marks the file as a service's database.
const APPLICATION: i64 = 0x5748_5351;
/// How long a statement waits for another process, such as a backup, that has the file locked.
const BUSY: Duration = Duration::from_secs(1);
/// Page cache of a connection in KiB.
const CACHE_KIB: i64 = 1024;
/// The log is cut back to this many bytes when it begins anew.
const LOG_BYTES: i64 = 8 << 20;
/// Largest `sql.maxRowSize`.
pub(super) const MAX_LENGTH: usize = 64 << 20;
/// A statement of the host may have values of this size: an event and its attributes.
const HOST_LENGTH: u64 = 2 << 20;
/// Statements of a connection that are kept compiled.
const CACHED_STATEMENTS: usize = 32;
/// Memory that all connections of the process may use together. A statement that would need more fails; what bounds a
/// single one is its row size, its number of columns and its program.
const HEAP_BYTES: i64 = 1 << 30;
/// SQLite's own limit on the pages of a file.
const MOST_PAGES: u64 = 4_294_967_294;
const PAGE_BYTES: u64 = 4096;

const LIMITS: &[(Limit, usize)] = &[
    (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_STATEMENT_BYTES),
    (Limit::SQLITE_LIMIT_COLUMN, 200),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_PARSER_DEPTH, 300),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (Limit::SQLITE_LIMIT_VDBE_OP, 100_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 256),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMETERS),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 32),
    (Limit::SQLITE_LIMIT_TRIGGER_STEPS, 100),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    (Limit::SQLITE_LIMIT_SCHEMA, 2000),
];

/// The host's tables. `numbers` gives each event in the outbox a number that is never used again.
const TABLES: &str = "
    CREATE TABLE _wharf_meta (format INTEGER NOT NULL, outbox INTEGER NOT NULL) STRICT;
    INSERT INTO _wharf_meta VALUES (1, 0);
    CREATE TABLE _wharf_outbox (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        source TEXT NOT NULL,
        kind TEXT NOT NULL,
        topic TEXT NOT NULL,
        subject TEXT,
        key TEXT,
        time INTEGER NOT NULL,
        content_type TEXT,
        schema TEXT,
        extensions TEXT NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE _wharf_migrations (
        number INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        checksum BLOB NOT NULL,
        applied INTEGER NOT NULL
    ) STRICT;
";

/// A connection with all bounds set.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) guard: Arc<Guard>,
    /// What the host's tables look like; no statement of a service may have changed that.
    pub(super) host_schema: String,
}

/// Opens the database in this file, and makes it with its directory when there is none. Call it on the thread that the
/// connection stays on.
pub(super) fn open(file: &Path, writes: bool) -> Result<Opened, OpenError> {
    if let Some(directory) = file.parent() {
        make_directory(directory)
            .map_err(|source| OpenError::Directory { path: directory.display().to_string(), source })?;
    }
    patiently(|| open_once(file, writes))
}

fn open_once(file: &Path, writes: bool) -> Result<Opened, OpenError> {
    let path = || file.display().to_string();
    let sqlite = |source| OpenError::Sqlite { path: path(), source };

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    if !is_ours(&mut connection).map_err(sqlite)? {
        return Err(OpenError::Foreign { path: path(), what: WHAT });
    }
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(sqlite)?;
    if mode != "wal" {
        return Err(OpenError::NoLog { path: path() });
    }
    let format = create(&mut connection).map_err(sqlite)?;
    if format > FORMAT {
        return Err(OpenError::Newer { path: path(), found: format, newest: FORMAT });
    }
    set_up(&connection, writes).map_err(sqlite)?;
    let host_schema = host_schema(&connection).map_err(sqlite)?;
    let guard = Guard::install(&mut connection).map_err(sqlite)?;
    Ok(Opened { connection, guard, host_schema })
}

/// Whether the file is one of these, or empty. Both are read at one moment: another opening may be making it.
fn is_ours(connection: &mut Connection) -> rusqlite::Result<bool> {
    let moment = connection.transaction()?;
    let application: i64 = moment.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = moment.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(application == APPLICATION || (application == 0 && tables == 0))
}

/// Makes the host's tables in an empty file; says the format. The check is under the lock: two openings may meet.
fn create(connection: &mut Connection) -> rusqlite::Result<i64> {
    let format = |connection: &Connection| {
        let there = "SELECT count(*) FROM sqlite_schema WHERE name = '_wharf_meta'";
        let there: i64 = connection.query_row(there, [], |row| row.get(0))?;
        if there == 0 {
            return Ok(None);
        }
        connection.query_row("SELECT format FROM _wharf_meta", [], |row| row.get(0)).optional()
    };
    if let Some(found) = format(connection)? {
        return Ok(found);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = match format(&transaction)? {
        Some(found) => found,
        None => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            FORMAT
        }
    };
    transaction.commit()?;
    Ok(found)
}

/// Settings of a connection.
fn set_up(connection: &Connection, writes: bool) -> rusqlite::Result<()> {
    static HEAP: Once = Once::new();
    let mut heap = Ok(());
    HEAP.call_once(|| {
        heap = connection.pragma_update_and_check(None, "hard_heap_limit", HEAP_BYTES, |_| Ok(()));
    });
    heap?;
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
    ] {
        connection.set_db_config(option, on)?;
    }
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    connection.pragma_update(None, "query_only", !writes)?;
    for &(limit, value) in LIMITS {
        connection.set_limit(limit, i32::try_from(value).unwrap_or(i32::MAX))?;
    }
    functions::register(connection)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(())
}

/// The bounds that may change while the connection is open. Call it as the host.
pub(super) fn configure(connection: &Connection, settings: &SqlSettings, writes: bool) -> rusqlite::Result<()> {
    if writes {
        let pages = (settings.quota / PAGE_BYTES).clamp(1, MOST_PAGES);
        connection.pragma_update_and_check(None, "max_page_count", pages.cast_signed(), |_| Ok(()))?;
        let synchronous = match settings.durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
    }
    bound_values(connection, settings.max_row_size)
}

/// Bounds a row and every value.
pub(super) fn bound_values(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, i32::try_from(bytes).unwrap_or(i32::MAX)).map(drop)
}

/// The bound for statements of the host.
pub(super) fn host_length(settings: &SqlSettings) -> u64 {
    settings.max_row_size.max(HOST_LENGTH)
}

/// What the host's tables look like now. Call it as the host.
pub(super) fn host_schema(connection: &Connection) -> rusqlite::Result<String> {
    connection
        .prepare(
            "SELECT coalesce(group_concat(type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, ''), x'0a'), '')
             FROM (SELECT * FROM sqlite_schema
                   WHERE name LIKE '\\_wharf\\_%' ESCAPE '\\' OR tbl_name LIKE '\\_wharf\\_%' ESCAPE '\\' ORDER BY name)",
        )?
        .query_row([], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_that_meet_make_one_database() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a/b/file");
        for _ in 0..20 {
            std::thread::scope(|scope| {
                let openings: Vec<_> = (0..8)
                    .map(|n| {
                        scope.spawn({
                            let file = &file;
                            move || open(file, n % 2 == 0).map(drop)
                        })
                    })
                    .collect();
                for opening in openings {
                    opening.join().unwrap().unwrap();
                }
            });
            std::fs::remove_dir_all(root.path().join("a")).unwrap();
        }
    }
}
