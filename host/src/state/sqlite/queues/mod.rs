//! The queues in SQLite: one file, `<state>/events/queues.sqlite3`.
//!
//! Not the file of the event log: a queue is written by every receive, and a log by nobody but its publishers; apart,
//! neither waits for the other's disk writes. Sending and deleting are synced before they are answered; a receive is
//! not, and comes to the disk with the next that is (see `database`).
//!
//! A receiver that waits is told when a message is sent or given back (`bell`), and looks by itself when the next one
//! becomes visible by time.

mod bell;
mod dead;
mod expire;
mod receive;
mod schema;
mod send;
mod stats;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::bell::Bells;
use self::receive::Taken;
pub(super) use self::schema::FORMAT;
use self::schema::NoLedger;
use super::SnapshotError;
use super::clock::Clock;
use super::database::{Database, Failure, Sync};
use crate::state::queues::{
    DeadMessage, Message, QueueError, QueueSettings, QueueState, Queues, Receive, Received, check_receive, check_send,
    check_visibility,
};

/// A receiver that waits for a message's time does not look more often than this.
const SHORTEST_LOOK: Duration = Duration::from_millis(5);

/// The queues of this host.
#[derive(Debug)]
pub struct SqliteQueues {
    database: Database<NoLedger>,
    settings: Mutex<HashMap<String, QueueSettings>>,
    bells: Bells,
    clock: Clock,
}

impl SqliteQueues {
    /// The queues under this state directory. Does no I/O: the file is opened, or made, at the first use; a use that
    /// cannot open it says why, and the next one tries again.
    pub fn open(root: &Path) -> Self {
        Self::with_clock(root, Clock::system())
    }

    pub(super) fn with_clock(root: &Path, clock: Clock) -> Self {
        let database = Database::new(root.join(schema::FILE), &schema::FORMAT, Box::new(|_| ()));
        Self { database, settings: Mutex::default(), bells: Bells::default(), clock }
    }

    /// Makes a consistent copy of the queues in a new file while they are in use.
    ///
    /// # Errors
    /// When the copy is there already or cannot be made, and when the queues do not open.
    pub async fn snapshot(&self, to: PathBuf) -> Result<(), SnapshotError> {
        self.database.snapshot(to).await
    }

    fn settings(&self, queue: &str) -> QueueSettings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).get(queue).copied().unwrap_or_default()
    }

    async fn take(&self, queue: &str, receive: Receive) -> Result<Taken, QueueError> {
        let (settings, clock) = (self.settings(queue), self.clock.clone());
        let queue = queue.to_owned();
        self.database
            .write(Sync::Later, 0, move |transaction| {
                receive::receive(transaction, &queue, &receive, settings, clock.now())
            })
            .await
    }
}

impl From<Failure> for QueueError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable { detail: failure.to_string() }
    }
}

#[async_trait]
impl Queues for SqliteQueues {
    fn configure(&self, queue: &str, settings: QueueSettings) {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).insert(queue.to_owned(), settings);
    }

    async fn send(&self, queue: &str, messages: Vec<Message>) -> Result<Vec<u64>, QueueError> {
        let bytes = check_send(queue, &messages)?;
        let (name, settings, clock) = (queue.to_owned(), self.settings(queue), self.clock.clone());
        let sent = self
            .database
            .write(Sync::Now, bytes, move |transaction| {
                send::send(transaction, &name, &messages, settings, clock.now())
            })
            .await?;
        self.bells.ring(queue);
        Ok(sent)
    }

    async fn receive(&self, queue: &str, receive: Receive) -> Result<Vec<Received>, QueueError> {
        check_receive(&receive)?;
        let end = Instant::now() + receive.wait;
        let bell = self.bells.of(queue);
        // Rings on for another receiver when this one leaves with an answer, or is dropped with the bell in its ear.
        let mut listener = bell.listen();
        loop {
            let taken = self.take(queue, receive).await?;
            if !taken.messages.is_empty() {
                return Ok(taken.messages);
            }
            if taken.more {
                continue;
            }
            if Instant::now() >= end {
                return Ok(Vec::new());
            }
            let look = match taken.next {
                Some(next) => end.min(Instant::now() + next.max(SHORTEST_LOOK)),
                None => end,
            };
            listener.wait_until(look).await;
        }
    }

    async fn delete(&self, queue: &str, receipt: &str) -> Result<(), QueueError> {
        let (queue, receipt, clock) = (queue.to_owned(), receipt.to_owned(), self.clock.clone());
        self.database
            .write(Sync::Now, 0, move |transaction| receive::delete(transaction, &queue, &receipt, clock.now()))
            .await
    }

    async fn extend(&self, queue: &str, receipt: &str, visibility: Duration) -> Result<(), QueueError> {
        check_visibility(visibility)?;
        let (name, receipt, clock) = (queue.to_owned(), receipt.to_owned(), self.clock.clone());
        self.database
            .write(Sync::Later, 0, move |transaction| {
                receive::extend(transaction, &name, &receipt, visibility, clock.now())
            })
            .await?;
        self.bells.ring(queue);
        Ok(())
    }

    async fn expire(&self, queue: &str) -> Result<u64, QueueError> {
        let Some(retention) = self.settings(queue).retention else { return Ok(0) };
        let (name, clock) = (queue.to_owned(), self.clock.clone());
        // Mostly there are none, and reading holds nobody up.
        let look = name.clone();
        let now = clock.now();
        let some: Result<bool, QueueError> =
            self.database.read(move |connection| expire::are_some(connection, &look, retention.age, now)).await;
        if !some? {
            return Ok(0);
        }
        self.database
            .write(Sync::Now, 0, move |transaction| expire::expire(transaction, &name, retention, clock.now()))
            .await
    }

    async fn dead_letters(&self, queue: &str, after: u64, limit: usize) -> Result<Vec<DeadMessage>, QueueError> {
        let queue = queue.to_owned();
        self.database.read(move |connection| dead::list(connection, &queue, after, limit)).await
    }

    async fn revive(&self, queue: &str, ids: Vec<u64>) -> Result<u64, QueueError> {
        let (name, clock) = (queue.to_owned(), self.clock.clone());
        let revived = self
            .database
            .write(Sync::Now, 0, move |transaction| dead::revive(transaction, &name, &ids, clock.now()))
            .await?;
        self.bells.ring(queue);
        Ok(revived)
    }

    async fn purge_dead(&self, queue: &str, ids: Vec<u64>) -> Result<u64, QueueError> {
        let queue = queue.to_owned();
        self.database.write(Sync::Now, 0, move |transaction| dead::purge(transaction, &queue, &ids)).await
    }

    async fn purge(&self, queue: &str) -> Result<u64, QueueError> {
        let last: Result<i64, QueueError> = self.database.read(stats::last).await;
        let (last, mut all) = (last?, 0);
        loop {
            let queue = queue.to_owned();
            let gone =
                self.database.write(Sync::Now, 0, move |transaction| stats::purge(transaction, &queue, last)).await?;
            all += gone;
            if gone == 0 {
                return Ok(all);
            }
        }
    }

    async fn queues(&self) -> Result<Vec<QueueState>, QueueError> {
        let now = self.clock.now();
        let states: Result<_, QueueError> = self.database.read(move |connection| stats::states(connection, now)).await;
        let mut states = states?;
        for state in &mut states {
            state.quota = self.settings(&state.queue).quota;
        }
        Ok(states)
    }
}
