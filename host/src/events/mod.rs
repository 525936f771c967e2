//! Events: from whoever publishes to everybody who subscribes, at least once.
//!
//! ```text
//! wharf:service/events ┐            ┌ subscription ─→ Deliver (the gateway) ─→ service
//! events.internal      ├─→ Bus ─→ log ─ subscription ─→ …
//! schedules, operators ┘      ↗     └ upkeep: retention, subscriptions of no file
//! outboxes ──→ relay ────────┘
//! ```
//!
//! Decided here: who may publish ([`Bus`]), what an event looks like (`attributes`, `message`), when each subscription
//! has it delivered and tried again (`subscription`, `deliver`), when schedules tick, what is carried from outboxes
//! (`relay`), and what is forgotten when (`upkeep`). Never here: how events are stored (`state`), how a service is reached
//! ([`Deliver`], which the gateway implements: a delivery passes breaker, bulkhead and deadline like any request), and how
//! a component is called with one (`plugin`).
//!
//! Subscriptions follow the configuration: one that is changed goes on from its place under its new terms, when what was
//! on its way under the old ones has come to its end. Whether a component is there does not matter to them; while none is,
//! they wait.

mod attributes;
mod bus;
mod counted;
mod deliver;
#[cfg(test)]
mod fake;
mod message;
mod notes;
mod operate;
mod queues;
mod record;
mod relay;
mod schedule;
mod subscription;
#[cfg(test)]
mod tests;
mod time;
mod upkeep;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use bus::Bus;
pub(crate) use counted::Counted;
pub use deliver::{Answer, Deliver};
pub use notes::NoteStore;
pub(crate) use notes::{QUOTA as NOTES_QUOTA, STORE as NOTES_STORE};
pub(crate) use operate::MAX_PAGE;
pub use operate::{History, OperateError};
pub use record::{
    DeadLetterList, DeadLetterRecord, DeadMessageList, DeadMessageRecord, EventList, EventRecord, QueueList,
    QueueRecord, Replayed, SubscriptionList, SubscriptionRecord,
};
pub(crate) use time::parse as parse_time;

use self::notes::Notes;
use self::relay::Relay;
use self::schedule::Scheduler;
use self::subscription::{Command, Shared, Subscription, Terms};
use self::upkeep::Upkeep;
use crate::config::Config;
use crate::state::{EventLog, Outboxes, SubscriptionId};

/// Seeks that may wait for one subscription.
const MAX_COMMANDS: usize = 4;

/// All that events need of the rest of the host.
#[derive(Clone)]
pub struct Parts {
    /// Where events are kept.
    pub log: Arc<dyn EventLog>,
    /// The way in.
    pub bus: Arc<Bus>,
    /// The way to services.
    pub deliver: Arc<dyn Deliver>,
    /// Where services' own databases keep events; none without databases.
    pub outboxes: Option<Arc<dyn Outboxes>>,
    /// A store of the host's own, for what events note beside the log.
    pub notes: Arc<dyn NoteStore>,
}

/// Events at work. Dropping it ends everything at once; [`Events::stop`] in order.
pub struct Events {
    parts: Parts,
    config: watch::Sender<Arc<Config>>,
    set: Mutex<Set>,
    stop: CancellationToken,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// A subscription of the configuration.
struct Known {
    terms: Arc<Terms>,
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// All subscriptions.
#[derive(Default)]
struct Set {
    known: BTreeMap<SubscriptionId, Known>,
    /// Of those that are in no file any more, what is still on its way.
    ending: BTreeMap<SubscriptionId, JoinHandle<()>>,
}

impl Events {
    /// Begins to deliver. Call it inside the runtime.
    pub fn start(parts: Parts, config: Arc<Config>) -> Arc<Self> {
        let (sender, receiver) = watch::channel(Arc::clone(&config));
        let (log, bus) = (Arc::clone(&parts.log), Arc::clone(&parts.bus));
        let notes = Notes::new(Arc::clone(&parts.notes));
        let clock = Timestamp::now;
        let upkeep = Upkeep { log, bus: Arc::clone(&bus), notes: notes.clone(), config: receiver.clone(), clock };
        let scheduler = Scheduler { bus: Arc::clone(&bus), notes, config: receiver, clock };
        let young = Arc::clone(&bus);
        let young = async move { young.queues().keep_young().await };
        let mut tasks = vec![tokio::spawn(upkeep.run()), tokio::spawn(scheduler.run()), tokio::spawn(young)];
        if let Some(outboxes) = parts.outboxes.clone() {
            tasks.push(tokio::spawn(Relay { log: Arc::clone(&parts.log), bus, outboxes }.run()));
        }
        let events = Arc::new(Self {
            parts,
            config: sender,
            set: Mutex::default(),
            stop: CancellationToken::new(),
            _tasks: tasks.into_iter().map(AbortOnDropHandle::new).collect(),
        });
        events.subscribe(&config);
        events
    }

    /// Puts another configuration in force. Call it inside the runtime.
    pub fn apply(&self, config: &Arc<Config>) {
        self.parts.bus.apply(config);
        self.subscribe(config);
        self.config.send_replace(Arc::clone(config));
    }

    /// Delivers nothing more; returns when what is on its way has come to its end, or after this time.
    pub async fn stop(&self, timeout: Duration) {
        self.stop.cancel();
        let Set { known, ending } = std::mem::take(&mut *self.lock());
        let tasks = known.into_values().map(|known| known.task).chain(ending.into_values());
        let ended = futures_util::future::join_all(tasks);
        if tokio::time::timeout(timeout, ended).await.is_err() {
            tracing::warn!("deliveries were cut off; they come again after the next start");
        }
    }

    /// Has those at work that the configuration wants.
    fn subscribe(&self, config: &Config) {
        let wanted = config.services.iter().flat_map(|(name, service)| Terms::of(name, service));
        let wanted: BTreeMap<SubscriptionId, Terms> = wanted.map(|terms| (terms.id.clone(), terms)).collect();
        let mut set = self.lock();
        let Set { known, ending } = &mut *set;
        if self.stop.is_cancelled() {
            return;
        }
        ending.retain(|_, task| !task.is_finished());
        let gone: Vec<SubscriptionId> = known.keys().filter(|id| !wanted.contains_key(id)).cloned().collect();
        for id in gone {
            if let Some(known) = known.remove(&id) {
                known.stop.cancel();
                // Should it come back, it waits for this one.
                ending.insert(id, known.task);
            }
        }
        for (id, terms) in wanted {
            let now = match known.remove(&id) {
                Some(same) if *same.terms == terms => same,
                Some(before) => {
                    before.stop.cancel();
                    self.begin(terms, before.shared, Some(before.task))
                }
                None => self.begin(terms, Arc::default(), ending.remove(&id)),
            };
            known.insert(id, now);
        }
    }

    /// A subscription at work, which takes over from the one that is ending.
    fn begin(&self, terms: Terms, shared: Arc<Shared>, ending: Option<JoinHandle<()>>) -> Known {
        let (sender, commands) = mpsc::channel(MAX_COMMANDS);
        let (terms, stop) = (Arc::new(terms), self.stop.child_token());
        let subscription = Subscription {
            terms: Arc::clone(&terms),
            log: Arc::clone(&self.parts.log),
            deliver: Arc::clone(&self.parts.deliver),
            shared: Arc::clone(&shared),
            commands,
            stop: stop.clone(),
        };
        let task = tokio::spawn(async move {
            // Two at once would deliver the same.
            if let Some(ending) = ending {
                let _ended = ending.await;
            }
            subscription.run().await;
        });
        Known { terms, shared, commands: sender, stop, task }
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        // What is inside is complete between any two steps.
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}
