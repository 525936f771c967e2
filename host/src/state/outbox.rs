//! Events that a service wrote together with its own data, and that wait to be published.
//!
//! The transactional outbox: a service's transaction writes its rows and its events into one database, so that both
//! happen or neither. Somebody else carries the events to the log later, at least once; the log knows an event by source
//! and id and takes it once.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::Event;

/// The waiting events of one service.
#[async_trait]
pub trait Outbox: Send + Sync + std::fmt::Debug {
    /// The oldest waiting events with their numbers, at most `limit` and about 1 MiB.
    ///
    /// # Errors
    /// A text for the host's log when the database does not answer.
    async fn waiting(&self, limit: usize) -> Result<Vec<(u64, Event)>, String>;

    /// Forgets these: they are in the log.
    ///
    /// # Errors
    /// A text for the host's log when the database does not answer.
    async fn published(&self, numbers: Vec<u64>) -> Result<(), String>;
}

/// All services' outboxes.
#[async_trait]
pub trait Outboxes: Send + Sync + std::fmt::Debug {
    /// Services in whose outbox something may wait: all that have a database when the host starts, and from then on
    /// each one after a transaction that wrote events.
    fn changed(&self) -> watch::Receiver<u64>;

    /// Takes the names of services in whose outbox something may wait. A name comes again after the next such
    /// transaction.
    fn take_changed(&self) -> Vec<String>;

    /// The outbox of a service.
    fn outbox(&self, service: &str) -> Arc<dyn Outbox>;
}
