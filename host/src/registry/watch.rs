//! Watching: every change in the order in which it happened, or the whole state again.
//!
//! A watcher first gets a snapshot, then events. Events go through a ring that is as long as [`CAPACITY`]; nobody waits
//! for a watcher, and a watcher that falls behind by more than the ring is told how much it missed and gets a snapshot
//! in place of it. It never silently misses a change, and a slow one costs nobody else anything. Numbers of events grow
//! by one and begin again when the process does, so a watcher that comes again starts with a snapshot, too.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

use super::Registry;
use super::breakers::BreakerRecord;
use super::records::{InstanceRecord, ServiceRecord};
use super::version::VersionRecord;

/// Events that are kept for watchers which have not taken them yet.
pub(super) const CAPACITY: usize = 512;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// There is a new instance.
    Registered,
    /// An instance says something else about itself.
    Updated,
    /// The health of an instance is another word.
    HealthChanged,
    /// An instance is gone.
    Deregistered,
    /// A version came, went, or is in another state.
    VersionChanged,
    /// A circuit breaker opened, closed or lets a few requests through.
    BreakerChanged,
}

/// One change.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Grows by one from event to event.
    #[serde(skip)]
    pub id: u64,
    /// What happened.
    #[serde(skip)]
    pub kind: EventKind,
    /// When.
    pub at: Timestamp,
    /// To which service.
    pub service: String,
    /// What was before; nothing if there was nothing.
    pub old: Option<Subject>,
    /// What is now; nothing if there is nothing any more.
    pub new: Option<Subject>,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Subject {
    /// An instance.
    Instance(Box<InstanceRecord>),
    /// A version.
    Version(VersionRecord),
    /// A circuit breaker.
    Breaker(BreakerRecord),
}

/// The whole state.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The event before it; what comes next has a greater number.
    #[serde(skip)]
    pub id: u64,
    /// Events that were lost because the watcher was too slow; 0 for its first snapshot.
    pub missed: u64,
    /// All services with their versions and instances.
    pub services: Vec<ServiceRecord>,
}

/// What a watcher gets.
#[derive(Debug, Clone)]
pub enum Update {
    /// Forget what you know, this is all there is.
    Snapshot(Snapshot),
    /// This changed.
    Event(Arc<Event>),
}

/// Gets every change. Dropping it is the end.
#[derive(Debug)]
pub struct Watcher {
    registry: Arc<Registry>,
    receiver: broadcast::Receiver<Arc<Event>>,
    first: Option<Snapshot>,
}

impl EventKind {
    /// Its name in a stream of events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "instance.registered",
            Self::Updated => "instance.updated",
            Self::HealthChanged => "instance.health",
            Self::Deregistered => "instance.deregistered",
            Self::VersionChanged => "version.changed",
            Self::BreakerChanged => "breaker.changed",
        }
    }
}

impl Watcher {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        let (receiver, snapshot) = registry.subscribe(0);
        Self { registry, receiver, first: Some(snapshot) }
    }

    /// What is next. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Update {
        if let Some(snapshot) = self.first.take() {
            return Update::Snapshot(snapshot);
        }
        let missed = match self.receiver.recv().await {
            Ok(event) => return Update::Event(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => missed,
            // Not while the registry lives, which it does as long as this; a snapshot is right in any case.
            Err(broadcast::error::RecvError::Closed) => 0,
        };
        let (receiver, snapshot) = self.registry.subscribe(missed);
        self.receiver = receiver;
        Update::Snapshot(snapshot)
    }
}
