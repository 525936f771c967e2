//! A service's SQL database in SQLite: one file beside its key-value store, `<state>/services/<service>/data.sqlite3`.
//!
//! One connection writes and up to eight read, each on a thread of its own that ends when it is idle (`lane`). Whoever
//! has a connection to itself is a session (`session`): a statement, a transaction, or a result that is longer than its
//! first piece. Executor threads only send commands and wait for answers (`handle`), but for statements that are known to
//! take less time than that (`quick`). What a statement may do is said by
//! `permission`, how long it may take by `guard`, what it can cost by `open::LIMITS` and `functions`.
//!
//! Durability: write-ahead log; a commit with `Durability::Full` waits until the log is on disk (an fsync, between a
//! tenth of a millisecond and ten, by the disk), one with `Normal` does not and is lost by nothing but a power cut.
//!
//! The log grows while somebody reads an older state of the database. Once it has [`LOG_BYTES`], a writer first waits
//! until no result is held (at most `transactionTimeout` each) and moves it into the database, so it is bounded by that
//! and one transaction, which the quota bounds.
//!
//! Why not a pool of threads for all services: a result that is read slowly holds its connection, and would hold a thread
//! of everybody's.

mod changed;
mod control;
mod failure;
mod functions;
mod guard;
mod handle;
mod lane;
mod migrate;
mod open;
mod outbox;
mod permission;
mod quick;
mod rows;
mod session;
mod shared;
mod work;

#[cfg(test)]
mod crash;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub(super) use self::changed::Changed;
use self::guard::Stop;
use self::handle::{Handle, SqliteRows, SqliteTransaction, wait};
use self::lane::{Kind, Lanes};
use self::session::Command;
use self::shared::Shared;
use self::work::{Lane, run};
use crate::state::{
    AppliedMigration, Event, Migrated, Migration, MigrationError, Outbox, SqlChanges, SqlDatabase, SqlError, SqlRows,
    SqlSettings, SqlTransaction, SqlUsage, SqlValue,
};

/// Results that may be read at the same time beyond their first piece; the other readers stay for short ones.
const STREAMS: usize = lane::READERS - 2;
/// The write-ahead log is moved into the database before the next transaction once it has so many bytes.
const LOG_BYTES: u64 = 64 << 20;
/// How long a job of the host, such as the relay of the outbox, may take.
const HOST_TIMEOUT: Duration = Duration::from_secs(30);

/// The database of one service. Dropping it closes the connections that are idle; others close after their session.
#[derive(Debug)]
pub(super) struct SqliteSql {
    shared: Arc<Shared>,
    changed: Arc<Changed>,
    writer: Arc<Lanes>,
    readers: Arc<Lanes>,
    migrating: tokio::sync::Mutex<()>,
}

impl SqliteSql {
    pub(super) fn new(service: &str, file: PathBuf, settings: SqlSettings, changed: Arc<Changed>) -> Self {
        let shared = Arc::new(Shared::new(service, file, settings, STREAMS));
        let (writer, readers) = (Lanes::new(&shared, true), Lanes::new(&shared, false));
        Self { shared, changed, writer, readers, migrating: tokio::sync::Mutex::default() }
    }

    /// Sessions that begin from now on have these bounds.
    pub(super) fn configure(&self, settings: SqlSettings) {
        *self.shared.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// A permit to write, after the log was made short if it is long.
    async fn permit_to_write(&self, timeout: Duration) -> Result<OwnedSemaphorePermit, SqlError> {
        let until = Instant::now() + timeout;
        if self.shared.log_bytes.load(Ordering::Relaxed) >= LOG_BYTES {
            // Nobody begins to read meanwhile.
            let _readers = self.readers.permit(true, timeout).await.map_err(|_| {
                SqlError::Timeout(
                    "the write-ahead log is full, and has to wait for results that are still being read; read or drop \
                     them before writing so much"
                        .to_owned(),
                )
            })?;
            if self.shared.log_bytes.load(Ordering::Relaxed) >= LOG_BYTES {
                let permit = self.writer.permit(false, until.saturating_duration_since(Instant::now())).await?;
                let cut = |lane: &Lane| lane.host(|connection| run(connection, "PRAGMA wal_checkpoint(TRUNCATE)"));
                self.job(&self.writer, permit, HOST_TIMEOUT, cut).await?;
            }
        }
        self.writer.permit(false, until.saturating_duration_since(Instant::now())).await
    }

    /// Runs a job of the host.
    async fn job<T: Send + 'static>(
        &self,
        lanes: &Arc<Lanes>,
        permit: OwnedSemaphorePermit,
        timeout: Duration,
        work: impl FnOnce(&Lane) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, SqlError> {
        let (reply, answer) = oneshot::channel();
        let job = Command::Host(Box::new(move |lane| {
            let result = lane.and_then(|lane| {
                lane.guard.allow(timeout);
                let result = work(lane);
                lane.roll_back();
                result
            });
            Some(Box::new(move || drop(reply.send(result))))
        }));
        let (_commands, control) = lanes.start(Kind::Once, permit, None, job)?;
        wait(&self.shared, &control, answer, Instant::now() + timeout, Stop::Statement).await
    }

    async fn read_job<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Lane) -> Result<T, SqlError> + Send + 'static,
    ) -> Result<T, SqlError> {
        let permit = self.readers.permit(false, HOST_TIMEOUT).await?;
        self.job(&self.readers, permit, HOST_TIMEOUT, work).await
    }

    async fn apply(&self, migration: Migration) -> Result<AppliedMigration, MigrationError> {
        let settings = self.shared.settings();
        let timeout = settings.migration_timeout;
        let permit = self.permit_to_write(timeout).await.map_err(MigrationError::Unavailable)?;
        let applied = move |lane: &Lane| Ok(migrate::apply(lane, &migration, &settings));
        self.job(&self.writer, permit, timeout, applied).await.map_err(MigrationError::Unavailable)?
    }
}

impl Drop for SqliteSql {
    fn drop(&mut self) {
        self.writer.close();
        self.readers.close();
    }
}

#[async_trait]
impl SqlDatabase for SqliteSql {
    async fn execute(&self, statement: String, parameters: Vec<SqlValue>) -> Result<SqlChanges, SqlError> {
        let until = Instant::now() + self.shared.settings().statement_timeout;
        let permit = self.permit_to_write(until.saturating_duration_since(Instant::now())).await?;
        let (reply, answer) = oneshot::channel();
        let (_commands, control) =
            self.writer.start(Kind::Once, permit, None, Command::Execute(statement, parameters, reply))?;
        wait(&self.shared, &control, answer, until, Stop::Statement).await
    }

    async fn query(&self, statement: String, parameters: Vec<SqlValue>) -> Result<Arc<dyn SqlRows>, SqlError> {
        let settings = self.shared.settings();
        let quick = |lane: &mut Lane| lane.quick(&statement, &parameters, &settings);
        let tried = self.readers.lend(quick);
        let was_tried = tried.is_some();
        if let Some(begun) = tried.flatten() {
            return Ok(Arc::new(SqliteRows::whole(begun)));
        }
        let until = Instant::now() + settings.statement_timeout;
        let permit = self.readers.permit(false, settings.statement_timeout).await?;
        // All connections were busy. Were quick statements sent to threads for that, they would stay busy by it.
        if !was_tried && let Some(begun) = self.readers.lend_for(&permit, quick).flatten() {
            return Ok(Arc::new(SqliteRows::whole(begun)));
        }
        let deadline = Instant::now() + settings.transaction_timeout;
        let (reply, answer) = oneshot::channel();
        let command = Command::Query(statement, parameters, reply);
        let (commands, control) = self.readers.start(Kind::Read, permit, Some(deadline), command)?;
        let handle = Arc::new(Handle::new(&self.shared, commands, control, deadline));
        let begun = wait(&self.shared, &handle.control, answer, until.min(deadline), Stop::Statement).await?;
        Ok(Arc::new(SqliteRows::new(handle, begun)))
    }

    async fn begin(&self) -> Result<Arc<dyn SqlTransaction>, SqlError> {
        let settings = self.shared.settings();
        let permit = self.permit_to_write(settings.statement_timeout).await?;
        let deadline = Instant::now() + settings.transaction_timeout;
        let (reply, answer) = oneshot::channel();
        let (commands, control) =
            self.writer.start(Kind::Transaction, permit, Some(deadline), Command::Begin(reply))?;
        let handle = Arc::new(Handle::new(&self.shared, commands, control, deadline));
        let until = Instant::now() + settings.statement_timeout;
        wait(&self.shared, &handle.control, answer, until, Stop::Unwanted).await?;
        Ok(Arc::new(SqliteTransaction { handle, changed: Arc::clone(&self.changed) }))
    }

    async fn migrate(&self, migrations: Vec<Migration>) -> Result<Migrated, MigrationError> {
        if migrations.is_empty() && !self.shared.file.exists() {
            return Ok(Migrated::default());
        }
        // Versions of a service may be loaded at the same time.
        let _alone = self.migrating.lock().await;
        let had = self.applied().await.map_err(MigrationError::Unavailable)?;
        migrate::check(&had, &migrations)?;
        let last = migrations.last().map_or(0, |migration| migration.number);
        let mut done = Vec::new();
        for migration in migrations {
            if had.iter().all(|had| had.number != migration.number) {
                done.push(self.apply(migration).await?);
            }
        }
        Ok(Migrated { done, unknown: had.into_iter().filter(|had| had.number > last).collect() })
    }

    async fn applied(&self) -> Result<Vec<AppliedMigration>, SqlError> {
        self.read_job(migrate::applied).await
    }

    async fn usage(&self) -> Result<SqlUsage, SqlError> {
        let quota = self.shared.settings().quota;
        let number = |connection: &rusqlite::Connection, pragma: &str| {
            connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
        };
        let bytes = self
            .read_job(move |lane| {
                lane.host(|connection| Ok(number(connection, "page_count")? * number(connection, "page_size")?))
            })
            .await?;
        Ok(SqlUsage { bytes: bytes.unsigned_abs(), quota })
    }
}

#[async_trait]
impl Outbox for SqliteSql {
    async fn waiting(&self, limit: usize) -> Result<Vec<(u64, Event)>, String> {
        if !self.shared.file.exists() {
            return Ok(Vec::new());
        }
        let settings = self.shared.settings();
        self.read_job(move |lane| outbox::page(lane, &settings, limit)).await.map_err(|error| error.to_string())
    }

    async fn published(&self, numbers: Vec<u64>) -> Result<(), String> {
        let done = async {
            let permit = self.permit_to_write(HOST_TIMEOUT).await?;
            self.job(&self.writer, permit, HOST_TIMEOUT, move |lane| outbox::forget(lane, &numbers)).await
        };
        done.await.map_err(|error: SqlError| error.to_string())
    }
}
