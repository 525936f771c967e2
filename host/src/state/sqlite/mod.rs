//! The embedded engine: SQLite, one file for each service under `<state>/services/<service>/`.
//!
//! One file per service keeps services apart where it matters: nobody's lock, fault, size or restore touches another.
//! Each store in use has one thread of its own (`worker`), because SQLite calls block on disks and locks and no
//! executor thread may. That thread does all reads and writes of the store in the order of their arrival and commits
//! the writes that wait together in one transaction; it ends, and the file closes, when the store is dropped.
//!
//! Durability: write-ahead log with `synchronous = NORMAL`. An answered write survives the end or crash of the process.
//! A power cut may take back the last writes, whole transactions in order, and never damages the file. `FULL` would
//! close that gap for an fsync on each write, about a hundred times the cost on a common disk.
//!
//! Events and queues belong to no single service: they have a file each, `<state>/events/*.sqlite3`, whose writes are
//! synced before they are answered and committed in groups (`database`).
//!
//! Why not one pool of connections: readers would not wait for a writer, but a store needs one writer anyway to group
//! commits, an operation takes microseconds, and services already run side by side.

mod clock;
mod database;
mod event_log;
mod expired;
mod key_value;
mod open;
mod queues;
mod session;
mod snapshot;
mod sql;
mod worker;

#[cfg(test)]
mod crash;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;

use self::clock::Clock;
pub use self::event_log::SqliteEventLog;
use self::key_value::SqliteKeyValue;
pub use self::queues::SqliteQueues;
pub use self::snapshot::{SnapshotError, snapshot};
use self::sql::{Changed, SqliteSql};
use super::key_value::{KeyValueEngine, KeyValueStore};
use super::outbox::{Outbox, Outboxes};
use super::sql::{SqlDatabase, SqlEngine, SqlSettings};

/// The name of a service's database.
const DATABASE: &str = "data.sqlite3";

/// The state directory of this host.
#[derive(Debug)]
pub struct SqliteState {
    root: PathBuf,
    clock: Clock,
    stores: Mutex<HashMap<String, Weak<SqliteKeyValue>>>,
    databases: Mutex<HashMap<String, Weak<SqliteSql>>>,
    /// Services in whose outbox something may wait.
    changed: Arc<Changed>,
}

impl SqliteState {
    /// Keeps all state under `root`. Nothing is created before a store is used.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self::with_clock(root, Clock::system())
    }

    /// The same, with another clock.
    fn with_clock(root: impl Into<PathBuf>, clock: Clock) -> Self {
        let state = Self {
            root: root.into(),
            clock,
            stores: Mutex::default(),
            databases: Mutex::default(),
            changed: Arc::default(),
        };
        // What a host before this one left there.
        state.changed.note(state.services_with(DATABASE));
        state
    }

    /// Services that have a database.
    pub fn services_with_database(&self) -> Vec<String> {
        self.services_with(DATABASE)
    }

    /// Services that have this file.
    fn services_with(&self, file: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join("services")).into_iter().flatten().filter_map(Result::ok);
        entries
            .filter(|entry| entry.path().join(file).exists())
            .filter_map(|entry| service_of(entry.file_name().to_str()?))
            .collect()
    }

    /// The database of a service, with these bounds; without, with those that it has or the defaults.
    fn sql(&self, service: &str, settings: Option<SqlSettings>) -> Arc<SqliteSql> {
        let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = databases.get(service).and_then(Weak::upgrade) {
            if let Some(settings) = settings {
                database.configure(settings);
            }
            return database;
        }
        databases.retain(|_, database| database.strong_count() > 0);
        let file = service_directory(&self.root, service).join(DATABASE);
        let settings = settings.unwrap_or_else(|| SqlSettings::from(&crate::config::SqlBounds::default()));
        let database = Arc::new(SqliteSql::new(service, file, settings, Arc::clone(&self.changed)));
        databases.insert(service.to_owned(), Arc::downgrade(&database));
        database
    }
}

impl SqlEngine for SqliteState {
    fn database(&self, service: &str, settings: SqlSettings) -> Arc<dyn SqlDatabase> {
        self.sql(service, Some(settings))
    }
}

impl Outboxes for SqliteState {
    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn take_changed(&self) -> Vec<String> {
        self.changed.take()
    }

    fn outbox(&self, service: &str) -> Arc<dyn Outbox> {
        self.sql(service, None)
    }
}

impl KeyValueEngine for SqliteState {
    fn store(&self, service: &str, quota: u64) -> Arc<dyn KeyValueStore> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(service).and_then(Weak::upgrade) {
            store.set_quota(quota);
            return store;
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let file = service_directory(&self.root, service).join("key-value.sqlite3");
        let store = Arc::new(SqliteKeyValue::new(service, file, quota, self.clock.clone()));
        stores.insert(service.to_owned(), Arc::downgrade(&store));
        store
    }
}

/// The kinds of files (`application_id`) and the newest format of each that this program reads.
pub(super) fn formats() -> [(i64, i64); 3] {
    [&key_value::FORMAT, &event_log::FORMAT, &queues::FORMAT].map(|format| (format.application, format.newest()))
}

/// The directory of a service. A byte that could mean something to a file system, or that two file systems treat
/// differently, is written as `%` and two hex digits, so that no two names share a directory and none leaves the root.
pub(super) fn service_directory(root: &Path, service: &str) -> PathBuf {
    let mut name = String::with_capacity(service.len());
    for (place, byte) in service.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => name.push(char::from(byte)),
            b'.' if place > 0 => name.push('.'),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    root.join("services").join(if name.is_empty() { "%" } else { &name })
}

/// The service that a directory belongs to; none if it is no service's.
fn service_of(directory: &str) -> Option<String> {
    let mut name = Vec::with_capacity(directory.len());
    let mut rest = directory.bytes();
    while let Some(byte) = rest.next() {
        name.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                digit(rest.next()?)? << 4 | digit(rest.next()?)?
            }
            byte => byte,
        });
    }
    String::from_utf8(name).ok()
}
