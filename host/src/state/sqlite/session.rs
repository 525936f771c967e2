//! One transaction of a key-value store and the jobs in it.
//!
//! Each writing job runs inside a savepoint: when it is refused, its changes are undone and those of the others stay.
//! The totals (keys, bytes, last revision) are read when the transaction begins, kept here, and written back when it
//! commits, so they are as atomic as the entries. Some errors make SQLite give up the whole transaction; then no later
//! job may run, because it would run outside of one, and the commit fails with the cause.
//!
//! The time stands still during a transaction. Entries that have ended by then are not there for any job, although their
//! rows are; how many they are and what they take is in [`Expired`], so that quota and usage are exact without counting
//! rows again. A writing transaction gives up to [`SWEEP`](super::expired::SWEEP) of them back before its jobs.

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::expired::Expired;
use crate::state::key_value::KeyValueError;

/// Room in the file besides keys and values: every entry costs some 40 bytes more, and pages are never quite full.
/// A store of very many, very small entries meets this limit before its quota.
const FILE_FACTOR: u64 = 4;
const FILE_SLACK: u64 = 4 << 20;
/// SQLite's own limit on the pages of a file.
const MOST_PAGES: i64 = 4_294_967_294;
const NOTHING: Totals = Totals { keys: 0, bytes: 0, revision: 0 };

/// Whether a job changes the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only reads.
    Read,
    /// Changes the store, and carries about this many bytes.
    Write(usize),
}

/// What every write keeps exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) keys: i64,
    pub(super) bytes: i64,
    /// The last revision that was given to a key.
    pub(super) revision: i64,
}

/// A transaction in progress.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) connection: &'a Connection,
    pub(super) quota: u64,
    pub(super) totals: Totals,
    /// The moment of this transaction, in milliseconds since 1970.
    pub(super) now: i64,
    /// Rows that are not there any more.
    pub(super) expired: Expired,
    /// At the start of the job in progress.
    before: (Totals, Expired),
    /// At the start of the transaction.
    stored: Totals,
    /// Why the transaction is lost.
    broken: Option<KeyValueError>,
    open: bool,
}

impl<'a> Session<'a> {
    /// Starts a transaction; one with `writes` waits until nobody else writes.
    pub(super) fn begin(
        connection: &'a Connection,
        (quota, now): (u64, i64),
        expired: Expired,
        writes: bool,
    ) -> rusqlite::Result<Self> {
        if writes {
            let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let bytes = quota.saturating_mul(FILE_FACTOR).saturating_add(FILE_SLACK);
            let pages = i64::try_from(bytes).unwrap_or(i64::MAX).checked_div(page).unwrap_or(MOST_PAGES);
            let pages = pages.min(MOST_PAGES);
            connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        execute(connection, if writes { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
        let mut session = Self {
            connection,
            quota,
            totals: NOTHING,
            now,
            expired,
            before: (NOTHING, expired),
            stored: NOTHING,
            broken: None,
            open: true,
        };
        // A failure from here on rolls back, by the drop of the session.
        session.totals = connection
            .prepare_cached("SELECT keys, bytes, revision FROM totals")?
            .query_row([], |row| Ok(Totals { keys: row.get(0)?, bytes: row.get(1)?, revision: row.get(2)? }))?;
        session.stored = session.totals;
        session.expired.advance(connection, now)?;
        if writes {
            let swept = session.expired.sweep(connection)?;
            session.totals.keys -= swept.keys;
            session.totals.bytes -= swept.bytes;
        }
        Ok(session)
    }

    /// Runs one job, unless the transaction is already lost.
    pub(super) fn run<T>(
        &mut self,
        kind: Kind,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, KeyValueError>,
    ) -> Result<T, KeyValueError> {
        if let Some(cause) = &self.broken {
            return Err(cause.clone());
        }
        let result = match kind {
            Kind::Read => work(self),
            Kind::Write(_) => self.atomically(work),
        };
        // After some errors, a full disk among them, SQLite has rolled back the whole transaction by itself. The jobs
        // before this one are undone, and those after it must not run outside of a transaction.
        if let Err(cause) = &result
            && self.connection.is_autocommit()
        {
            self.broken = Some(cause.clone());
        }
        result
    }

    /// Runs `work` so that an error in it undoes all that it did and nothing else.
    fn atomically<T>(
        &mut self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, KeyValueError>,
    ) -> Result<T, KeyValueError> {
        self.before = (self.totals, self.expired);
        execute(self.connection, "SAVEPOINT job").map_err(failure)?;
        let result = work(self);
        if result.is_err() {
            (self.totals, self.expired) = self.before;
        }
        if self.connection.is_autocommit() {
            return result;
        }
        let undone = if result.is_ok() { Ok(()) } else { execute(self.connection, "ROLLBACK TO job") };
        if let Err(error) = undone.and_then(|()| execute(self.connection, "RELEASE job")) {
            let cause = failure(error);
            self.broken = Some(cause.clone());
            return Err(cause);
        }
        result
    }

    /// Bytes of all keys and values that are there, when the job in progress began and now.
    pub(super) fn bytes(&self) -> (i64, i64) {
        let (totals, expired) = self.before;
        (totals.bytes - expired.bytes, self.totals.bytes - self.expired.bytes)
    }

    /// Commits all jobs, with the totals as they are now. What holds from then on about rows that are not there.
    pub(super) fn commit(mut self) -> Result<Expired, KeyValueError> {
        match self.broken.take() {
            Some(cause) => Err(cause),
            None => self.try_commit().map(|()| self.expired).map_err(failure),
        }
    }

    fn try_commit(&mut self) -> rusqlite::Result<()> {
        if self.totals != self.stored {
            self.connection.prepare_cached("UPDATE totals SET keys = ?1, bytes = ?2, revision = ?3")?.execute([
                self.totals.keys,
                self.totals.bytes,
                self.totals.revision,
            ])?;
        }
        execute(self.connection, "COMMIT")?;
        self.open = false;
        Ok(())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.open
            && !self.connection.is_autocommit()
            && let Err(error) = execute(self.connection, "ROLLBACK")
        {
            tracing::error!(%error, "key-value transaction does not roll back");
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    // Not `execute`: some of these statements count as queries without rows.
    connection.prepare_cached(sql)?.query([])?.next().map(drop)
}

/// What a failure of SQLite means to a caller.
pub(super) fn failure(error: rusqlite::Error) -> KeyValueError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => KeyValueError::NoSpace,
        _ => KeyValueError::Unavailable { detail: error.to_string() },
    }
}

/// One row or none.
pub(super) fn optional<T>(result: rusqlite::Result<T>) -> Result<Option<T>, KeyValueError> {
    result.optional().map_err(failure)
}
