//! A service's SQL database in SQLite: one file beside its key-value store, `<state>/services/<service>/data.sqlite3`.
//!
//! One connection writes and up to eight read, each on a thread of its own that ends when it is idle (`lane`). Whoever
//! has a connection to itself is a session (`session`): a statement, a transaction, or a result that is longer than its
//! first piece. Executor threads only send commands and wait for answers. What a statement may do and how long is kept
//! by `guard`, what it can cost by `open::LIMITS` and `functions`.
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

mod failure;
mod functions;
mod guard;
mod lane;
mod migrate;
mod open;
mod outbox;
mod session;
mod work;

#[cfg(test)]
mod crash;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use self::guard::Stop;
use self::lane::{Control, Kind, Lanes, Reply, Shared};
use self::session::Command;
use self::work::{Begun, Lane, run};
use crate::state::{
    AppliedMigration, Event, Migrated, Migration, MigrationError, Outbox, SqlChanges, SqlDatabase, SqlError, SqlRow,
    SqlRows, SqlSettings, SqlTransaction, SqlUsage, SqlValue,
};

/// Results that may be read at the same time beyond their first piece; the other readers stay for short ones.
const STREAMS: usize = lane::READERS - 2;
/// The write-ahead log is moved into the database before the next transaction once it has so many bytes.
const LOG_BYTES: u64 = 64 << 20;
/// How long a job of the host, such as the relay of the outbox, may take.
const HOST_TIMEOUT: Duration = Duration::from_secs(30);

/// Services whose outbox has something new.
#[derive(Debug, Default)]
pub(super) struct Changed {
    names: Mutex<BTreeSet<String>>,
    count: watch::Sender<u64>,
}

impl Changed {
    pub(super) fn note(&self, services: impl IntoIterator<Item = String>) {
        self.lock().extend(services);
        self.count.send_modify(|count| *count += 1);
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock()).into_iter().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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

/// Waits for an answer; stops the session's work when it takes too long or nobody waits any more.
async fn wait<T>(
    shared: &Shared,
    control: &Control,
    answer: oneshot::Receiver<Result<T, SqlError>>,
    until: Instant,
    why: Stop,
) -> Result<T, SqlError> {
    struct Unwanted<'a>(Option<&'a Control>);
    impl Drop for Unwanted<'_> {
        fn drop(&mut self) {
            if let Some(control) = self.0 {
                control.stop(Stop::Unwanted);
            }
        }
    }
    let mut unwanted = Unwanted(Some(control));
    let mut answer = answer;
    let answered = match tokio::time::timeout_at(until.into(), &mut answer).await {
        Ok(answered) => answered,
        Err(_elapsed) => {
            control.stop(why);
            answer.await
        }
    };
    unwanted.0 = None;
    // Without an answer the session ended first, which only its time does.
    answered.unwrap_or_else(|_ended| Err(failure::expired(&shared.settings())))
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
        let until = Instant::now() + settings.statement_timeout;
        let permit = self.readers.permit(false, settings.statement_timeout).await?;
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

/// The near end of a session. Dropping it ends the session, in the middle of a statement too.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    control: Arc<Control>,
    deadline: Instant,
}

impl Handle {
    fn new(shared: &Arc<Shared>, commands: mpsc::Sender<Command>, control: Arc<Control>, deadline: Instant) -> Self {
        Self { shared: Arc::clone(shared), commands: Mutex::new(Some(commands)), control, deadline }
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SqlError> {
        let settings = self.shared.settings();
        let (reply, answer) = oneshot::channel();
        self.send(command(reply))?;
        let until = Instant::now() + settings.statement_timeout;
        let (until, why) =
            if self.deadline < until { (self.deadline, Stop::Transaction) } else { (until, Stop::Statement) };
        wait(&self.shared, &self.control, answer, until, why).await
    }

    fn send(&self, command: Command) -> Result<(), SqlError> {
        let over = || {
            if Instant::now() >= self.deadline {
                failure::expired(&self.shared.settings())
            } else {
                SqlError::Closed("it is over: committed, rolled back, or undone after an error".to_owned())
            }
        };
        self.commands().as_ref().ok_or_else(over)?.send(command).map_err(|_ended| over())
    }

    fn is_open(&self) -> bool {
        !self.control.is_over() && self.commands().is_some()
    }

    fn close(&self) {
        if self.commands().take().is_some() {
            self.control.stop(Stop::Unwanted);
        }
    }

    fn commands(&self) -> MutexGuard<'_, Option<mpsc::Sender<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// A result.
#[derive(Debug)]
struct SqliteRows {
    columns: Vec<String>,
    /// Rows that were read already.
    ready: Mutex<VecDeque<SqlRow>>,
    /// Where the others come from, and which of its results it is.
    rest: Mutex<Option<(Arc<Handle>, usize)>>,
}

impl SqliteRows {
    fn new(handle: Arc<Handle>, begun: Begun) -> Self {
        let rest = begun.place.map(|place| (handle, place));
        Self { columns: begun.columns, ready: Mutex::new(begun.first.rows.into()), rest: Mutex::new(rest) }
    }

    fn rest(&self) -> MutexGuard<'_, Option<(Arc<Handle>, usize)>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_ready(&self, max: usize) -> Vec<SqlRow> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let count = max.clamp(1, crate::state::MAX_PIECE_ROWS).min(ready.len());
        ready.drain(..count).collect()
    }
}

#[async_trait]
impl SqlRows for SqliteRows {
    fn columns(&self) -> Vec<String> {
        self.columns.clone()
    }

    async fn next(&self, max: usize) -> Result<Vec<SqlRow>, SqlError> {
        let ready = self.take_ready(max);
        if !ready.is_empty() {
            return Ok(ready);
        }
        let Some((handle, place)) = self.rest().clone() else { return Ok(Vec::new()) };
        let piece = handle.ask(|reply| Command::Next(place, max, reply)).await?;
        if piece.end {
            self.rest().take();
        }
        Ok(piece.rows)
    }

    fn is_open(&self) -> bool {
        self.rest().as_ref().is_some_and(|(handle, _)| handle.is_open())
    }

    fn close(&self) {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).clear();
        if let Some((handle, place)) = self.rest().take() {
            // Over already, maybe.
            let _ = handle.send(Command::Close(place));
        }
    }
}

impl Drop for SqliteRows {
    fn drop(&mut self) {
        self.close();
    }
}

/// A transaction.
#[derive(Debug)]
struct SqliteTransaction {
    handle: Arc<Handle>,
    changed: Arc<Changed>,
}

#[async_trait]
impl SqlTransaction for SqliteTransaction {
    async fn execute(&self, statement: String, parameters: Vec<SqlValue>) -> Result<SqlChanges, SqlError> {
        self.handle.ask(|reply| Command::Execute(statement, parameters, reply)).await
    }

    async fn query(&self, statement: String, parameters: Vec<SqlValue>) -> Result<Arc<dyn SqlRows>, SqlError> {
        let begun = self.handle.ask(|reply| Command::Query(statement, parameters, reply)).await?;
        Ok(Arc::new(SqliteRows::new(Arc::clone(&self.handle), begun)))
    }

    async fn publish(&self, events: Vec<Event>) -> Result<(), SqlError> {
        self.handle.ask(|reply| Command::Publish(events, reply)).await
    }

    async fn commit(&self) -> Result<(), SqlError> {
        let published = self.handle.ask(Command::Commit).await?;
        if published {
            self.changed.note([self.handle.shared.service.clone()]);
        }
        Ok(())
    }

    async fn rollback(&self) -> Result<(), SqlError> {
        self.handle.ask(Command::Rollback).await
    }

    fn is_open(&self) -> bool {
        self.handle.is_open()
    }

    fn close(&self) {
        self.handle.close();
    }
}
