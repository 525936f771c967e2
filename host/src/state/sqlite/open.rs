//! Opens a file of Wharf's: makes it, checks that it is ours and not newer than this program, sets it up.
//!
//! Each kind of file has a [`Format`]. Its number is SQLite's `user_version`, the kind is the `application_id`. A file
//! with a higher number than this program knows was written by a newer Wharf and is left untouched: guessing could lose
//! what the newer one relies on. A file of another kind or program is refused too. An older file is brought forward one
//! number at a time, each step in one transaction with the number, so that a crash leaves a file of one format or the
//! other.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// How long an operation waits for another process, such as a backup, that has the file locked.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Between two tries to open a file that another opening sets up at this moment.
const AGAIN: Duration = Duration::from_millis(5);

/// A kind of file.
#[derive(Debug)]
pub(super) struct Format {
    /// What it is, with an article.
    pub(super) what: &'static str,
    /// `application_id`: four letters.
    pub(super) application: i64,
    /// The SQL that makes each format from the one before; the first makes format 1 from nothing. The number of steps
    /// is the newest format, which is the one that is written.
    pub(super) steps: &'static [&'static str],
    /// `synchronous`: `NORMAL` or `FULL`.
    pub(super) synchronous: &'static str,
    /// Page cache of a connection in KiB.
    pub(super) cache_kib: i64,
    /// Pages in the write-ahead log after which they are moved to the file.
    pub(super) checkpoint_pages: i64,
    /// The log is cut back to this many bytes after a checkpoint.
    pub(super) log_bytes: i64,
}

impl Format {
    pub(super) fn newest(&self) -> i64 {
        i64::try_from(self.steps.len()).unwrap_or(i64::MAX)
    }
}

/// Why a file did not open.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot create the directory {path}: {source}")]
    Directory { path: String, source: std::io::Error },
    #[error("{path}: {source}")]
    Sqlite { path: String, source: rusqlite::Error },
    #[error(
        "{path} has format {found} and this version of wharf reads formats up to {newest}; run the version that wrote \
         it, or restore a backup"
    )]
    Newer { path: String, found: i64, newest: i64 },
    #[error("{path} is not {what} of wharf; move it away to start with an empty one")]
    Foreign { path: String, what: &'static str },
    #[error("{path}: the file system cannot keep a write-ahead log; put the state directory on a local disk")]
    NoLog { path: String },
}

impl OpenError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. } if source.sqlite_error_code() == Some(ErrorCode::DatabaseBusy))
    }
}

/// Opens the file, and makes it with its directory when there is none.
pub(super) fn open(file: &Path, format: &Format) -> Result<Connection, OpenError> {
    if let Some(directory) = file.parent() {
        make_directory(directory)
            .map_err(|source| OpenError::Directory { path: directory.display().to_string(), source })?;
    }
    let began = Instant::now();
    loop {
        match open_once(file, format) {
            // Of two that begin the write-ahead log at once, SQLite lets neither wait for the other.
            Err(error) if error.is_busy() && began.elapsed() < BUSY => std::thread::sleep(AGAIN),
            opened => return opened,
        }
    }
}

fn open_once(file: &Path, format: &Format) -> Result<Connection, OpenError> {
    let path = || file.display().to_string();
    let sqlite = |source| OpenError::Sqlite { path: path(), source };

    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    match mark_of_one_moment(&mut connection, format).map_err(sqlite)? {
        Mark::Format(found) if found > format.newest() => {
            return Err(OpenError::Newer { path: path(), found, newest: format.newest() });
        }
        Mark::Format(_) => {}
        Mark::Foreign => return Err(OpenError::Foreign { path: path(), what: format.what }),
    }
    if !set_up(&connection, format).map_err(sqlite)? {
        return Err(OpenError::NoLog { path: path() });
    }
    bring_forward(&mut connection, format).map_err(sqlite)?;
    Ok(connection)
}

/// Opens a file that [`open`] has opened before once more, to read beside its writer.
pub(super) fn open_reader(file: &Path, format: &Format) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: file.display().to_string(), source };
    // Not read-only: a reader of a write-ahead log writes to its index.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(sqlite)?;
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    set_up(&connection, format).map_err(sqlite)?;
    connection.pragma_update(None, "query_only", true).map_err(sqlite)?;
    Ok(connection)
}

/// Makes the directory and what is missing above it. Each new entry is on disk before anything is put into it: SQLite
/// takes care of the directory that its file is in, and of none above.
fn make_directory(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let above = directory.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        make_directory(above)?;
    }
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(above.unwrap_or(Path::new(".")))?.sync_all(),
    }
}

/// Whose file it is.
enum Mark {
    /// Ours; 0 is an empty file.
    Format(i64),
    Foreign,
}

fn mark(connection: &Connection, format: &Format) -> rusqlite::Result<Mark> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version, tables) {
        (0, 0, 0) => Mark::Format(0),
        (application, 1.., _) if application == format.application => Mark::Format(version),
        _ => Mark::Foreign,
    })
}

/// The mark, read in one transaction: another opening may put its own between what is read here.
fn mark_of_one_moment(connection: &mut Connection, format: &Format) -> rusqlite::Result<Mark> {
    let transaction = connection.transaction()?;
    mark(&transaction, format)
}

/// Settings of a connection; false when there is no write-ahead log to be had.
fn set_up(connection: &Connection, format: &Format) -> rusqlite::Result<bool> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", format.synchronous)?;
    connection.pragma_update(None, "cache_size", -format.cache_kib)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", format.checkpoint_pages, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", format.log_bytes, |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(mode == "wal")
}

/// Runs the steps that the file has not had. What it has had is looked up under the lock: two openings may meet.
fn bring_forward(connection: &mut Connection, format: &Format) -> rusqlite::Result<()> {
    while matches!(mark_of_one_moment(connection, format)?, Mark::Format(found) if found < format.newest()) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Mark::Format(found) = mark(&transaction, format)?
            && let Some(step) = usize::try_from(found).ok().and_then(|found| format.steps.get(found))
        {
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "application_id", format.application)?;
            transaction.pragma_update(None, "user_version", found + 1)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Format = Format {
        what: "a test",
        application: 77,
        steps: &["CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1)"],
        synchronous: "NORMAL",
        cache_kib: 100,
        checkpoint_pages: 100,
        log_bytes: 1 << 20,
    };
    const THREE: Format = Format {
        steps: &[
            "CREATE TABLE a (x INTEGER) STRICT; INSERT INTO a VALUES (1)",
            "ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = x + 1",
            "CREATE TABLE b AS SELECT y FROM a",
        ],
        ..ONE
    };
    const BROKEN: Format =
        Format { steps: &["", "ALTER TABLE a ADD COLUMN y INTEGER; UPDATE a SET y = x + 1", "not SQL"], ..ONE };

    fn number(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn older_files_are_brought_forward_step_by_step() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a/b/file");
        let old = open(&file, &ONE).unwrap();
        old.execute("INSERT INTO a VALUES (5)", []).unwrap();
        drop(old);

        // A step that fails leaves the file as the one before it did.
        let failed = open(&file, &BROKEN);
        assert!(matches!(failed, Err(OpenError::Sqlite { .. })), "{failed:?}");
        let between = Connection::open(&file).unwrap();
        assert_eq!(number(&between, "PRAGMA user_version"), 2);
        assert_eq!(number(&between, "SELECT max(y) FROM a"), 6);
        drop(between);

        let new = open(&file, &THREE).unwrap();
        assert_eq!(number(&new, "PRAGMA user_version"), 3);
        assert_eq!(number(&new, "SELECT sum(y) FROM b"), 8);
        drop(new);
        assert_eq!(number(&open(&file, &THREE).unwrap(), "SELECT count(*) FROM b"), 2, "each step runs once");
        let older = open(&file, &ONE);
        assert!(matches!(older, Err(OpenError::Newer { found: 3, newest: 1, .. })), "{older:?}");
    }

    #[test]
    fn openings_that_meet_make_one_file() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a/b/file");
        // Each way to meet is rare, so they meet often.
        for _ in 0..20 {
            std::thread::scope(|scope| {
                let openings: Vec<_> = (0..8).map(|_| scope.spawn(|| open(&file, &THREE).map(drop))).collect();
                for opening in openings {
                    opening.join().unwrap().unwrap();
                }
            });
            assert_eq!(number(&open(&file, &THREE).unwrap(), "SELECT count(*) FROM a"), 1);
            std::fs::remove_dir_all(root.path().join("a")).unwrap();
        }
    }
}
