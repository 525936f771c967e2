//! What the gateway can reach right now: services, their versions, and the routes to them.
//!
//! Two things change it, files and configuration. Each change makes a new immutable [`Snapshot`] and swaps it in;
//! a request uses the one it found when it came, so it never sees half a change. What must outlast a change (the
//! bulkhead's permits, the key-value store, a version's slots) belongs to the [`ServiceRuntime`] or the version and
//! is carried from snapshot to snapshot by name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::chains::Chains;
use super::edge::Edge;
use super::filter::{Chain, Stores};
use super::route::Table;
use crate::capability::{GuestLog, ServiceCapabilities};
use crate::config::{Bulkhead as BulkheadConfig, Config, Requests, Service};
use crate::plugin::{Directory, FileId, Stage, Version};
use crate::policy::{Bulkhead, BulkheadLimits};
use crate::registry::{Registry, VersionRecord, VersionState};
use crate::state::KeyValueEngine;

/// What one request sees.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) table: Table<Arc<Chain>>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) edge: Edge,
    pub(crate) requests: Requests,
    /// `connections.maxHeaders`.
    pub(crate) max_headers: u32,
    services: HashMap<Arc<str>, Backend>,
}

/// A service in a snapshot.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) runtime: Arc<ServiceRuntime>,
    /// The version that requests get which name none.
    default: Option<Arc<Version>>,
    labelled: Vec<(Arc<str>, Arc<Version>)>,
}

/// What a service keeps from version to version.
#[derive(Debug)]
pub(crate) struct ServiceRuntime {
    pub(crate) bulkhead: Bulkhead,
    capabilities: Arc<ServiceCapabilities>,
}

/// The live set of services; the [`Directory`] of the rollout.
pub(crate) struct Services {
    registry: Arc<Registry>,
    state: Arc<dyn KeyValueEngine>,
    config: ArcSwap<Config>,
    stores: Stores,
    chains: ArcSwap<Chains>,
    known: Mutex<BTreeMap<Arc<str>, Known>>,
    snapshot: ArcSwap<Snapshot>,
}

/// A service with at least one file, or with versions that still drain.
struct Known {
    runtime: Arc<ServiceRuntime>,
    /// By name.
    files: BTreeMap<Arc<str>, File>,
}

/// A file of a service.
#[derive(Default)]
struct File {
    label: Option<Arc<str>>,
    /// `None` while nothing of it serves (yet).
    version: Option<Arc<Version>>,
}

impl Services {
    /// No services yet, and the filters of `config`. Call it inside the runtime.
    ///
    /// # Errors
    /// When a file that a filter needs cannot be used.
    pub(crate) fn new(
        config: Arc<Config>,
        registry: Arc<Registry>,
        state: Arc<dyn KeyValueEngine>,
    ) -> Result<Self, String> {
        let stores = Stores::default();
        stores.providers.apply(&config.gateway.auth);
        let chains = Chains::compile(&config, &stores)?;
        registry.apply(&config);
        let known = BTreeMap::new();
        let snapshot = ArcSwap::from_pointee(build(&config, &chains, &known));
        Ok(Self {
            registry,
            state,
            config: ArcSwap::new(config),
            stores,
            chains: ArcSwap::from_pointee(chains),
            known: Mutex::new(known),
            snapshot,
        })
    }

    /// What a request that comes now sees, to its end.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Puts another configuration in force, for every service at once. Call it inside the runtime.
    ///
    /// # Errors
    /// When a file that a filter needs cannot be used: then nothing has changed.
    pub(crate) fn apply(&self, config: Arc<Config>) -> Result<(), String> {
        let before = self.stores.providers.apply(&config.gateway.auth);
        let chains = match Chains::compile(&config, &self.stores) {
            Ok(chains) => Arc::new(chains),
            Err(message) => {
                self.stores.providers.restore(before);
                return Err(message);
            }
        };
        let known = self.lock();
        self.chains.store(Arc::clone(&chains));
        let old = self.config.swap(Arc::clone(&config));
        self.registry.apply(&config);
        for (name, service) in known.iter() {
            let (before, now) = (old.service(name), config.service(name));
            if before == now {
                continue;
            }
            service.runtime.bulkhead.resize(limits(&now.bulkhead));
            service.runtime.capabilities.set_config(now.config.clone());
            service.runtime.capabilities.log().set_rate(now.limits.log_rate.get());
            // The store is shared; opening it again sets its quota.
            self.state.store(name, now.key_value.quota.get());
            let now = Arc::new(now);
            for version in service.files.values().filter_map(|file| file.version.as_ref()) {
                version.apply(Arc::clone(&now));
            }
        }
        self.snapshot.store(Arc::new(build(&config, &chains, &known)));
        drop(known);
        self.stores.limiters.forget_unused();
        Ok(())
    }

    fn runtime(&self, known: &mut BTreeMap<Arc<str>, Known>, name: &Arc<str>) -> Arc<ServiceRuntime> {
        if let Some(service) = known.get(name) {
            return Arc::clone(&service.runtime);
        }
        let settings = self.config.load().service(name);
        let runtime = Arc::new(ServiceRuntime {
            bulkhead: Bulkhead::new(limits(&settings.bulkhead)),
            capabilities: Arc::new(ServiceCapabilities::new(
                Arc::clone(name),
                Some(self.state.store(name, settings.key_value.quota.get())),
                settings.config,
                // Versions put their own label there.
                GuestLog::new(Arc::clone(name), "", settings.limits.log_rate.get()),
            )),
        });
        known.insert(Arc::clone(name), Known { runtime: Arc::clone(&runtime), files: BTreeMap::new() });
        runtime
    }

    fn publish_snapshot(&self, known: &BTreeMap<Arc<str>, Known>) {
        self.snapshot.store(Arc::new(build(&self.config.load(), &self.chains.load(), known)));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Known>> {
        // A panic while building a snapshot leaves the old one in force and the map complete.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    pub(crate) fn service(&self, name: &str) -> Option<&Backend> {
        self.services.get(name)
    }
}

impl Backend {
    /// The version with this label, or the default one.
    pub(crate) fn version(&self, label: Option<&str>) -> Option<&Arc<Version>> {
        match label {
            None => self.default.as_ref(),
            Some(label) => self.labelled.iter().find(|(known, _)| **known == *label).map(|(_, version)| version),
        }
    }
}

impl Directory for Services {
    fn stage(&self, file: &FileId, digest: &[u8; 32], size: usize, stage: Stage) {
        let (word, state) = match stage {
            Stage::Compiling => ("compiling", VersionState::Compiling),
            Stage::Probing => ("probing", VersionState::Probing),
            Stage::Rejected(reason) => {
                tracing::warn!(service = %file.service, file = %file.file, reason, "rejected");
                ("rejected", VersionState::Rejected(reason))
            }
        };
        tracing::debug!(service = %file.service, file = %file.file, "{word}");
        let mut known = self.lock();
        self.runtime(&mut known, &file.service);
        if let Some(service) = known.get_mut(&file.service)
            && !service.files.contains_key(&file.file)
        {
            // From now on its route answers 503 and not 404.
            service.files.insert(Arc::clone(&file.file), File { label: file.label.clone(), version: None });
            self.publish_snapshot(&known);
        }
        let label = file.label.as_deref().unwrap_or_default().to_owned();
        let record = VersionRecord {
            label,
            digest: hex(digest),
            file: file.file.to_string(),
            size,
            http: String::new(),
            state,
            since: jiff::Timestamp::now(),
        };
        self.registry.record(&file.service, record);
    }

    fn serves(&self, file: &FileId, digest: &[u8; 32]) -> bool {
        let known = self.lock();
        let known = known.get(&file.service).and_then(|service| service.files.get(&file.file));
        let same = known.and_then(|file| file.version.as_ref()).is_some_and(|version| version.digest() == digest);
        if same {
            self.registry.remove_file(&file.service, &file.file);
        }
        same
    }

    fn publish(&self, file: &FileId, version: Arc<Version>, size: usize) -> Option<Arc<Version>> {
        let mut known = self.lock();
        self.runtime(&mut known, &file.service);
        let service = known.get_mut(&file.service)?;
        let now = File { label: file.label.clone(), version: Some(Arc::clone(&version)) };
        let old = service.files.insert(Arc::clone(&file.file), now).and_then(|file| file.version);
        self.publish_snapshot(&known);
        if let Some(old) = &old {
            self.registry.set_state(&file.service, &file.file, &hex(old.digest()), VersionState::Draining);
        }
        let record = VersionRecord {
            label: version.label().to_string(),
            digest: hex(version.digest()),
            file: file.file.to_string(),
            size,
            http: version.http_version().as_str().to_owned(),
            state: VersionState::Serving,
            since: jiff::Timestamp::now(),
        };
        self.registry.record(&file.service, record);
        let upgrade = if old.is_some() { "upgraded" } else { "serving" };
        tracing::info!(service = %file.service, version = %version.label(), file = %file.file, "{upgrade}");
        old
    }

    fn withdraw(&self, file: &FileId) -> Option<Arc<Version>> {
        self.registry.remove_file(&file.service, &file.file);
        let mut known = self.lock();
        let service = known.get_mut(&file.service)?;
        let old = service.files.remove(&file.file).and_then(|file| file.version);
        if service.files.is_empty() {
            known.remove(&file.service);
        }
        self.publish_snapshot(&known);
        if let Some(old) = &old {
            self.registry.set_state(&file.service, &file.file, &hex(old.digest()), VersionState::Draining);
        }
        tracing::info!(service = %file.service, file = %file.file, "file removed");
        old
    }

    fn retired(&self, version: &Arc<Version>, cut_off: usize) {
        self.registry.retire(version.service(), &hex(version.digest()));
        if cut_off > 0 {
            tracing::warn!(service = %version.service(), version = %version.label(), cut_off,
                "requests of a replaced version were cut off at drainTimeout");
        } else {
            tracing::info!(service = %version.service(), version = %version.label(), "retired");
        }
    }

    fn refused(&self, file: &str, reason: &str) {
        tracing::warn!(file, reason, "not a service");
        self.registry.refuse(file, reason);
    }

    fn settings(&self, service: &str) -> Arc<Service> {
        Arc::new(self.config.load().service(service))
    }

    fn capabilities(&self, service: &Arc<str>) -> Arc<ServiceCapabilities> {
        Arc::clone(&self.runtime(&mut self.lock(), service).capabilities)
    }

    fn serving(&self) -> Vec<Arc<Version>> {
        let known = self.lock();
        known.values().flat_map(|service| service.files.values()).filter_map(|file| file.version.clone()).collect()
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

fn build(config: &Config, chains: &Chains, known: &BTreeMap<Arc<str>, Known>) -> Snapshot {
    let automatic = known.keys().filter_map(|name| Some((Arc::clone(name), config.service(name).expose.prefix(name)?)));
    Snapshot {
        table: Table::build(&config.gateway.routes, automatic, |scope| chains.get(scope)),
        trusted_proxies: config.gateway.trusted_proxies.clone(),
        edge: Edge::new(&config.gateway),
        requests: config.gateway.requests.clone(),
        max_headers: config.gateway.connections.max_headers,
        services: known.iter().map(|(name, service)| (Arc::clone(name), backend(service))).collect(),
    }
}

fn backend(service: &Known) -> Backend {
    let labelled: Vec<_> = service
        .files
        .values()
        .filter_map(|file| {
            let version = file.version.as_ref()?;
            Some((file.label.clone().unwrap_or_else(|| Arc::clone(version.label())), Arc::clone(version)))
        })
        .collect();
    let plain = service.files.values().find(|file| file.label.is_none()).and_then(|file| file.version.clone());
    // Without a plain file, the last label in alphabetical order; files are sorted by name.
    let default = plain.or_else(|| labelled.last().map(|(_, version)| Arc::clone(version)));
    Backend { runtime: Arc::clone(&service.runtime), default, labelled }
}

fn limits(config: &BulkheadConfig) -> BulkheadLimits {
    BulkheadLimits {
        max_concurrent: config.max_concurrent as usize,
        max_pending: config.max_pending as usize,
        max_wait: config.max_wait.get(),
    }
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
