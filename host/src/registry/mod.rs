//! The registry: which services, versions and instances there are, and how each is.
//!
//! Three things fill it: the plugins folder (versions, and an instance for each one that serves), the configuration
//! (`instances` of a service), and instances that register themselves and keep a lease by heartbeats. It decides how an
//! instance is (`instance` says what each word means); it asks nobody itself: whoever runs health checks reports what
//! it found ([`Registry::checked`]), whoever ejects an instance says so. It never decides where a request goes.
//!
//! People and tools read plain copies (`records`) or watch ([`Watcher`]). The gateway takes the `Arc<Instance>`s of a
//! service into its snapshot, takes them again when [`Registry::changed`] says that there are others, and reads their
//! health live. A rejected version stays listed, with its reason, until its file changes or goes; retired versions and
//! ended leases are forgotten.
//!
//! Everything is behind one lock, which is held for map operations only and never on the way of a request. Bounds:
//! `registry.maxInstances` for instances that register themselves; the operator's files for the others. Nothing is
//! kept on disk: after a restart instances are told that they are unknown (404) and register again.

mod apply;
mod breakers;
mod graph;
mod health;
mod instance;
mod lease;
mod leases;
mod members;
mod records;
mod rollout;
mod summary;
mod version;
mod versions;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

pub use breakers::{BreakerEntry, BreakerRecord, BreakerStateWord, BreakerWord};
pub use graph::{EdgeRecord, GraphRecord};
pub use health::{CheckResult, CheckState, jittered};
pub use instance::{Health, Instance, Kind, Source};
pub use lease::{Lease, LeaseTimes, Phase};
pub use leases::{Registered, Registration, RegistryError};
pub use records::{Filter, InstanceRecord, LeaseRecord, RefusedFile, ServiceRecord};
pub use rollout::{
    CandidateRecord, Order, OrderError, RolloutEvent, RolloutRecord, RolloutWord, TrafficRecord, VersionName,
};
pub use summary::{HealthSummary, Overall, ServiceHealth};
pub use version::{VersionRecord, VersionState};
pub use watch::{Event, EventKind, Snapshot, Subject, Update, Watcher};

use crate::config::{InstanceCheck, RegistrySettings};
use breakers::Breakers;
use members::Member;

/// All services.
#[derive(Debug)]
pub struct Registry {
    inner: Mutex<Inner>,
    events: broadcast::Sender<Arc<Event>>,
    generation: tokio::sync::watch::Sender<u64>,
    /// There may be something to do sooner than [`Registry::run`] knows.
    sooner: Notify,
    graph: graph::Graph,
}

#[derive(Debug)]
struct Inner {
    versions: BTreeMap<String, Vec<VersionRecord>>,
    refused: BTreeMap<String, String>,
    members: BTreeMap<Arc<str>, Member>,
    breakers: Breakers,
    profiles: BTreeMap<String, Profile>,
    /// Of services that nothing was said about.
    defaults: Profile,
    times: LeaseTimes,
    max_leases: usize,
    /// The number of the last event.
    last_event: u64,
    /// The number of the last breaker.
    last_breaker: u64,
}

/// What the configuration says about a service's instances in common.
#[derive(Debug, Clone)]
struct Profile {
    tags: Vec<String>,
    metadata: BTreeMap<String, String>,
    check: Option<InstanceCheck>,
    /// Of components in this process.
    local_weight: u32,
}

impl Default for Profile {
    fn default() -> Self {
        Self { tags: Vec::new(), metadata: BTreeMap::new(), check: None, local_weight: 1 }
    }
}

impl Default for Registry {
    fn default() -> Self {
        let settings = RegistrySettings::default();
        let inner = Inner {
            versions: BTreeMap::new(),
            refused: BTreeMap::new(),
            members: BTreeMap::new(),
            breakers: BTreeMap::new(),
            profiles: BTreeMap::new(),
            defaults: Profile::default(),
            times: LeaseTimes::from(&settings),
            max_leases: settings.max_instances as usize,
            last_event: 0,
            last_breaker: 0,
        };
        Self {
            inner: Mutex::new(inner),
            events: broadcast::Sender::new(watch::CAPACITY),
            generation: tokio::sync::watch::Sender::new(0),
            sooner: Notify::new(),
            graph: graph::Graph::default(),
        }
    }
}

impl Registry {
    /// Everything, sorted by name.
    pub fn services(&self) -> Vec<ServiceRecord> {
        self.lock().services(Instant::now())
    }

    /// One service, if there is one of this name.
    pub fn service(&self, name: &str) -> Option<ServiceRecord> {
        self.lock().services(Instant::now()).into_iter().find(|service| service.name == name)
    }

    /// Files that are no service.
    pub fn refused(&self) -> Vec<RefusedFile> {
        let refuse = |(file, reason): (&String, &String)| RefusedFile { file: file.clone(), reason: reason.clone() };
        self.lock().refused.iter().map(refuse).collect()
    }

    /// How every service is, and all of them together.
    pub fn health_summary(&self) -> HealthSummary {
        HealthSummary::new(&self.services())
    }

    /// Says what grants allow now: to each caller the services it may call. Takes the place of what was said before.
    pub fn allow_calls(&self, calls: BTreeMap<String, Vec<String>>) {
        self.graph.allow(calls);
    }

    /// Counts a call from one service to another.
    pub fn observed_call(&self, from: &str, to: &str) {
        self.graph.observed(from, to);
    }

    /// Who may call whom, and who did.
    pub fn graph(&self) -> GraphRecord {
        self.graph.record(self.services().into_iter().map(|service| service.name))
    }

    /// All changes from now on, after a snapshot.
    pub fn watch(self: &Arc<Self>) -> Watcher {
        Watcher::new(Arc::clone(self))
    }

    /// Tells when instances came, went or say something else about themselves; not when only their health changed.
    pub fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// The state, and every event after it.
    fn subscribe(&self, missed: u64) -> (broadcast::Receiver<Arc<Event>>, Snapshot) {
        // Events are sent under the lock: none is in both, none in neither.
        let inner = self.lock();
        let snapshot = Snapshot { id: inner.last_event, missed, services: inner.services(Instant::now()) };
        (self.events.subscribe(), snapshot)
    }

    fn emit(&self, inner: &mut Inner, kind: EventKind, service: &str, old: Option<Subject>, new: Option<Subject>) {
        inner.last_event += 1;
        let event = Event { id: inner.last_event, kind, at: Timestamp::now(), service: service.to_owned(), old, new };
        // An error means that nobody watches.
        let _ = self.events.send(Arc::new(event));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete in itself, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn profile(&self, service: &str) -> &Profile {
        self.profiles.get(service).unwrap_or(&self.defaults)
    }

    fn services(&self, now: Instant) -> Vec<ServiceRecord> {
        let mut services: BTreeMap<&str, ServiceRecord> = BTreeMap::new();
        let blank = |name: &str| {
            let Profile { tags, metadata, .. } = self.profile(name).clone();
            ServiceRecord { name: name.to_owned(), tags, metadata, ..ServiceRecord::default() }
        };
        for (name, versions) in &self.versions {
            services.entry(name).or_insert_with(|| blank(name)).versions.clone_from(versions);
        }
        for member in self.members.values() {
            let name = &*member.instance.service;
            services.entry(name).or_insert_with(|| blank(name)).instances.push(member.record(self.times, now));
        }
        for (name, breakers) in &self.breakers {
            if let Some(service) = services.get_mut(&**name) {
                service.breakers = breakers.values().filter_map(|breaker| breaker.shown(now)).collect();
            }
        }
        services.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
