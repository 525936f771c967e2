//! The event log in SQLite: one file, `<state>/events/log.sqlite3`.
//!
//! One file for all topics, because its order is the order of the log and one commit carries what all publishers wait
//! for. Publishing is synced before it is answered, and so is everything but progress and retention, which come with the
//! next synced group (see `database`). A retention that a power cut takes back is done again.
//!
//! What lies in the file is a table in `schema`; which index a read takes is decided in `select`.

mod dead;
mod publish;
mod retain;
mod row;
mod schema;
mod select;
mod subscription;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use rusqlite::OptionalExtension;
use tokio::sync::watch;

pub(super) use self::schema::FORMAT;
use self::schema::LogLedger;
use super::SnapshotError;
use super::clock::Clock;
use super::database::{Database, Failure, Sync};
use crate::state::TopicPattern;
use crate::state::event_log::{
    DeadLetter, Event, EventLog, EventLogError, EventPage, LogUsage, MAX_PUBLISH_BYTES, Offset, Progress, Published,
    Retention, Selection, Start, StoredEvent, SubscriptionId, SubscriptionState, Waiting,
};

/// Bytes that the log may have until it is told otherwise.
const QUOTA: u64 = 1 << 30;
/// About the most bytes of one answer.
const ANSWER_BYTES: usize = 8 << 20;

/// The event log of this host.
#[derive(Debug)]
pub struct SqliteEventLog {
    database: Database<LogLedger>,
    newest: watch::Receiver<Offset>,
    quota: Arc<AtomicU64>,
    clock: Clock,
}

impl SqliteEventLog {
    /// The log under this state directory. Does no I/O: the file is opened, or made, at the first use; a use that
    /// cannot open it says why, and the next one tries again.
    pub fn open(root: &Path) -> Self {
        Self::with_clock(root, Clock::system())
    }

    pub(super) fn with_clock(root: &Path, clock: Clock) -> Self {
        let (tell, newest) = watch::channel(Offset::default());
        let told = move |ledger: &LogLedger| {
            let last = Offset(ledger.sums.last.unsigned_abs());
            tell.send_if_modified(|newest| std::mem::replace(newest, last) != last);
        };
        let database = Database::new(root.join(schema::FILE), &schema::FORMAT, Box::new(told));
        Self { database, newest, quota: Arc::new(AtomicU64::new(QUOTA)), clock }
    }

    /// Makes a consistent copy of the log in a new file while it is in use.
    ///
    /// # Errors
    /// When the copy is there already or cannot be made, and when the log does not open.
    pub async fn snapshot(&self, to: PathBuf) -> Result<(), SnapshotError> {
        self.database.snapshot(to).await
    }
}

impl From<Failure> for EventLogError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable { detail: failure.to_string() }
    }
}

#[async_trait]
impl EventLog for SqliteEventLog {
    async fn publish(&self, events: Vec<Event>) -> Result<Vec<Published>, EventLogError> {
        let bytes = publish::check(&events)?;
        let (clock, quota) = (self.clock.clone(), Arc::clone(&self.quota));
        self.database
            .write(Sync::Now, bytes, move |transaction| {
                publish::publish(transaction, &events, clock.now(), quota.load(Ordering::Relaxed))
            })
            .await
    }

    fn newest(&self) -> watch::Receiver<Offset> {
        self.newest.clone()
    }

    async fn read(
        &self,
        selection: Selection,
        after: Offset,
        limit: usize,
        bytes: usize,
    ) -> Result<EventPage, EventLogError> {
        let bytes = bytes.min(MAX_PUBLISH_BYTES);
        self.database.read(move |connection| select::read(connection, &selection, after, limit, bytes)).await
    }

    async fn before(&self, time: SystemTime) -> Result<Offset, EventLogError> {
        self.database
            .read(move |connection| select::before(connection, time).map(|place| Offset(place.unsigned_abs())))
            .await
    }

    async fn history(
        &self,
        selection: Selection,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<EventPage, EventLogError> {
        self.database.read(move |connection| select::history(connection, &selection, before, limit, ANSWER_BYTES)).await
    }

    async fn subscribe(
        &self,
        id: &SubscriptionId,
        topics: Vec<TopicPattern>,
        start: Start,
    ) -> Result<SubscriptionState, EventLogError> {
        let id = id.clone();
        self.database
            .write(Sync::Now, 0, move |transaction| subscription::subscribe(transaction, &id, &topics, start))
            .await
    }

    async fn unsubscribe(&self, id: &SubscriptionId) -> Result<(), EventLogError> {
        let id = id.clone();
        self.database.write(Sync::Now, 0, move |transaction| subscription::unsubscribe(transaction, &id)).await
    }

    async fn subscriptions(&self) -> Result<Vec<SubscriptionState>, EventLogError> {
        self.database.read(subscription::all).await
    }

    async fn progress(&self, id: &SubscriptionId, progress: Progress) -> Result<(), EventLogError> {
        let (id, clock) = (id.clone(), self.clock.clone());
        self.database
            .write(Sync::Later, 0, move |transaction| subscription::progress(transaction, &id, &progress, clock.now()))
            .await
    }

    async fn waiting(
        &self,
        id: &SubscriptionId,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<(Waiting, StoredEvent)>, EventLogError> {
        let id = id.clone();
        let found: Result<_, EventLogError> = self
            .database
            .read(move |connection| subscription::waiting(connection, &id, after, limit, ANSWER_BYTES))
            .await;
        found?.ok_or(EventLogError::NotFound { what: "subscription" })
    }

    async fn seek(&self, id: &SubscriptionId, start: Start) -> Result<Offset, EventLogError> {
        let id = id.clone();
        self.database.write(Sync::Now, 0, move |transaction| subscription::seek(transaction, &id, start)).await
    }

    async fn dead_letters(
        &self,
        id: Option<&SubscriptionId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, EventLogError> {
        let id = id.cloned();
        self.database.read(move |connection| dead::list(connection, id.as_ref(), after, limit, ANSWER_BYTES)).await
    }

    async fn purge(&self, dead_letters: Vec<u64>) -> Result<u64, EventLogError> {
        self.database.write(Sync::Now, 0, move |transaction| dead::purge(transaction, &dead_letters)).await
    }

    async fn retain(&self, rules: Vec<Retention>) -> Result<u64, EventLogError> {
        let now = self.clock.now();
        let plan: Result<_, EventLogError> =
            self.database.read(move |connection| retain::plan(connection, &rules, now)).await;
        let plan = plan?;
        self.database.write(Sync::Later, 0, move |transaction| retain::delete(transaction, &plan, now)).await
    }

    fn set_quota(&self, bytes: u64) {
        self.quota.store(bytes, Ordering::Relaxed);
    }

    async fn usage(&self) -> Result<LogUsage, EventLogError> {
        let quota = self.quota.load(Ordering::Relaxed);
        self.database
            .read(move |connection| {
                let sums = schema::sums(connection)?;
                let first: Option<i64> = connection
                    .prepare_cached("SELECT offset FROM events ORDER BY offset LIMIT 1")?
                    .query_row([], |row| row.get(0))
                    .optional()?;
                Ok(LogUsage {
                    events: sums.events.unsigned_abs(),
                    bytes: sums.bytes.saturating_add(sums.dead_bytes).unsigned_abs(),
                    quota,
                    first: Offset(first.unwrap_or(sums.last).unsigned_abs()),
                    last: Offset(sums.last.unsigned_abs()),
                })
            })
            .await
    }
}
