//! Opens the file of a key-value store: makes it, checks that it is ours and not newer than this program, sets it up.
//!
//! The format has a number, SQLite's `user_version`. A file with a higher number than [`FORMAT`] was written by a newer
//! Wharf and is left untouched: guessing could lose what the newer one relies on. A file of another program is refused
//! too, by `application_id`. A file with a lower number is brought to the newest format when it opens, in one
//! transaction for each step: after a crash it is in the one or the other.
//!
//! | format | what it added |
//! |---|---|
//! | 1 | entries and totals |
//! | 2 | `expires`: when an entry ends, in milliseconds since 1970 |

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

/// The newest format that this program reads and the one it writes.
pub(super) const FORMAT: i64 = 2;
/// `WHKV`: marks the file as a key-value store of Wharf.
pub(super) const APPLICATION: i64 = 0x5748_4b56;
/// How long an operation waits for another process, such as a backup, that has the file locked.
const BUSY: Duration = Duration::from_secs(5);
/// Page cache of a store in KiB.
const CACHE_KIB: i64 = 2048;
/// The log is cut back to this many bytes after a checkpoint.
const LOG_BYTES: i64 = 8 << 20;

/// Keys are blobs, so that nothing but their bytes counts. `position` only grows while its key stays; it orders
/// listings. `totals` has one row with sums that every write keeps exact.
const TABLES: &str = "
    CREATE TABLE entries (
        position INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        value BLOB NOT NULL,
        revision INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE totals (
        keys INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        revision INTEGER NOT NULL
    ) STRICT;
    INSERT INTO totals VALUES (0, 0, 0);
";

/// From each format to the next one, beginning with 1.
const STEPS: [&str; 1] = ["
    ALTER TABLE entries ADD COLUMN expires INTEGER;
    CREATE INDEX entries_by_end ON entries (expires) WHERE expires IS NOT NULL;
"];

const _: () = assert!(STEPS.len() as i64 == FORMAT - 1, "a step for each format");

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot create the directory {path}: {source}")]
    Directory { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Sqlite { path: String, source: rusqlite::Error },
    #[error(
        "{path} has format {found} and this version of wharf reads formats up to {FORMAT}; run the version that wrote \
         it, or restore a backup"
    )]
    Newer { path: String, found: i64 },
    #[error("{path} is not a key-value store of wharf; move it away to start with an empty store")]
    Foreign { path: String },
    #[error("{path}: the file system cannot keep a write-ahead log; put the state directory on a local disk")]
    NoLog { path: String },
}

/// Opens the store in this file, and makes it with its directory when there is none.
pub(super) fn open(file: &Path) -> Result<Connection, OpenError> {
    if let Some(directory) = file.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| OpenError::Directory { path: directory.display().to_string(), source })?;
    }
    let path = || file.display().to_string();
    let sqlite = |source| OpenError::Sqlite { path: path(), source };

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    match mark(&connection).map_err(sqlite)? {
        Mark::Empty | Mark::Ours(..=FORMAT) => {}
        Mark::Ours(found) => return Err(OpenError::Newer { path: path(), found }),
        Mark::Foreign => return Err(OpenError::Foreign { path: path() }),
    }
    if !set_up(&connection).map_err(sqlite)? {
        return Err(OpenError::NoLog { path: path() });
    }
    create(&mut connection).map_err(sqlite)?;
    upgrade(&mut connection).map_err(sqlite)?;
    Ok(connection)
}

/// Whose file it is.
enum Mark {
    Empty,
    Ours(i64),
    Foreign,
}

fn mark(connection: &Connection) -> rusqlite::Result<Mark> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, format, tables) {
        (0, 0, 0) => Mark::Empty,
        (APPLICATION, 1.., _) => Mark::Ours(format),
        _ => Mark::Foreign,
    })
}

/// Settings of a connection; false when there is no write-ahead log to be had.
fn set_up(connection: &Connection) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(mode == "wal")
}

/// Makes the tables of an empty file. The check is repeated under the lock: two openings may meet.
fn create(connection: &mut Connection) -> rusqlite::Result<()> {
    if !matches!(mark(connection)?, Mark::Empty) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if matches!(mark(&transaction)?, Mark::Empty) {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", 1)?;
    }
    transaction.commit()
}

/// Brings a file to the newest format. The check is repeated under the lock, as above.
fn upgrade(connection: &mut Connection) -> rusqlite::Result<()> {
    while let Mark::Ours(found) = mark(connection)?
        && found < FORMAT
    {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if matches!(mark(&transaction)?, Mark::Ours(now) if now == found)
            && let Some(step) = usize::try_from(found - 1).ok().and_then(|at| STEPS.get(at))
        {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "user_version", found + 1)?;
        }
        transaction.commit()?;
    }
    Ok(())
}
