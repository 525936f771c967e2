//! What the gateway can reach right now: services, their versions, and the routes to them.
//!
//! Two things change it, files and configuration. Each change makes a new immutable [`Snapshot`] and swaps it in;
//! a request uses the one it found when it came, so it never sees half a change. What must outlast a change (the
//! bulkhead's permits, the key-value store, a version's slots) belongs to the [`ServiceRuntime`] or the version and
//! is carried from snapshot to snapshot by name.
//!
//! `line` is what becomes of the versions of one file, `directory` is told of files by the rollout, `rollouts` decides
//! about versions on trial and takes orders, `backend` is a service as one request sees it.

mod backend;
mod directory;
mod line;
mod rollouts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Response};
use ipnet::IpNet;
use tokio::sync::watch;
use tokio::time::Instant;

use backend::Parts;
pub(crate) use backend::{Backend, Choice};
use line::Line;
pub(crate) use rollouts::Rollouts;
pub(super) use rollouts::hex;

use super::chains::Chains;
use super::contract::Documents;
use super::edge::Edge;
use super::egress::{Egress, EgressRules};
use super::error::GatewayError;
use super::filter::{Chain, Stores, Told};
use super::forward::Carried;
use super::overview::Overview;
use super::route::{Scope, Table};
use super::secrets::{SecretTexts, Secrets};
use super::traffic::Traffic;
use crate::capability::bus::EventBus;
use crate::capability::http::Dispatch;
use crate::capability::{GuestLog, ServiceCapabilities};
use crate::config::{Config, OpenApi, PublicHealth, Requests, Service};
use crate::plugin::Version;
use crate::policy::{Bulkhead, BulkheadLimits};
use crate::registry::Registry;
use crate::state::{SqlDatabase, SqlSettings, StateEngine};

/// What one request sees.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) table: Table<Arc<Chain>>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) edge: Edge,
    pub(crate) requests: Requests,
    /// `connections.maxHeaders`.
    pub(crate) max_headers: u32,
    /// Names under which services are told about clients.
    pub(crate) told: Arc<Told>,
    /// `calls.maxDepth`.
    pub(crate) max_call_depth: u32,
    /// What the gateway itself tells about health.
    pub(crate) health: PublicHealth,
    /// What it tells about contracts.
    pub(crate) openapi: OpenApi,
    services: HashMap<Arc<str>, Backend>,
}

/// What a service keeps from version to version.
#[derive(Debug)]
pub(crate) struct ServiceRuntime {
    pub(crate) bulkhead: Bulkhead,
    pub(crate) carried: Arc<Carried>,
    egress: Arc<Egress>,
    capabilities: Arc<ServiceCapabilities>,
}

/// The live set of services; the [`Directory`] of the rollout.
pub(crate) struct Services {
    registry: Arc<Registry>,
    state: Arc<dyn StateEngine>,
    config: ArcSwap<Config>,
    stores: Stores,
    secrets: Secrets,
    chains: ArcSwap<Chains>,
    known: Mutex<BTreeMap<Arc<str>, Known>>,
    snapshot: ArcSwap<Snapshot>,
    /// Who carries the calls of guests. Weak: it holds this.
    dispatch: OnceLock<Weak<dyn Dispatch>>,
    /// Versions that get no more requests and are still to be drained.
    leaving: Mutex<Vec<Arc<Version>>>,
    /// Requests that are for no service.
    traffic: Arc<Traffic>,
    overview: Overview,
    documents: Documents,
    /// Where services' events and messages go.
    bus: Arc<dyn EventBus>,
    /// Counts snapshots.
    news: watch::Sender<u64>,
    /// Whether every file that was there at the start is decided about.
    ready: OnceLock<watch::Receiver<bool>>,
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
    /// Empty while nothing of it serves (yet).
    line: Line<Arc<Version>>,
}

impl Services {
    /// No services yet, and the filters of `config`. Call it inside the runtime.
    ///
    /// # Errors
    /// When a file that a filter or a service needs cannot be used.
    pub(crate) fn new(
        config: Arc<Config>,
        registry: Arc<Registry>,
        state: Arc<dyn StateEngine>,
        bus: Arc<dyn EventBus>,
    ) -> Result<Self, String> {
        let secrets = Secrets::default();
        secrets.set(secrets.read(&config).map_err(|wrong| wrong.join("\n"))?);
        let stores = Stores::default();
        stores.providers.apply(&config.gateway.auth);
        let chains = Chains::compile(&config, &stores)?;
        registry.apply(&config);
        let known = BTreeMap::new();
        let snapshot = ArcSwap::from_pointee(build(&config, &chains, &known, &registry));
        Ok(Self {
            registry,
            state,
            config: ArcSwap::new(config),
            stores,
            secrets,
            chains: ArcSwap::from_pointee(chains),
            known: Mutex::new(known),
            snapshot,
            dispatch: OnceLock::new(),
            leaving: Mutex::default(),
            traffic: Arc::default(),
            overview: Overview::default(),
            documents: Documents::default(),
            bus,
            news: watch::Sender::new(0),
            ready: OnceLock::new(),
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

    /// Who tells when every file that was there at the start is decided about. Until then, whoever finds nobody is told
    /// to try again: a client takes "there is no such thing" for the last word.
    pub(crate) fn starts(&self, ready: watch::Receiver<bool>) {
        self.stores.providers.starts(ready.clone());
        let first = self.ready.set(ready).is_ok();
        debug_assert!(first, "a host starts once");
    }

    /// What a request that found nobody is told.
    pub(super) fn nobody(&self, error: GatewayError) -> GatewayError {
        let is_final = self.ready.get().is_none_or(|ready| *ready.borrow());
        match error {
            GatewayError::NoRoute | GatewayError::UnknownService(_) if !is_final => GatewayError::Starting,
            error => error,
        }
    }

    /// Changes with every snapshot: whoever was not there may be there now.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// Where requests are counted that are for no service.
    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// What filters keep.
    pub(super) fn stores(&self) -> &Stores {
        &self.stores
    }

    /// The answer to a request that no route and no service has the path of, if the gateway has one itself.
    pub(super) fn overview(&self, snapshot: &Snapshot, asked: (&Method, &str)) -> Option<Response<Bytes>> {
        self.overview.answer(&snapshot.health, asked, Instant::now(), || self.registry.health_summary())
    }

    /// What is kept of documents.
    pub(super) fn documents(&self) -> &Documents {
        &self.documents
    }

    /// Whether no filter of the automatic route to this service asks who comes.
    pub(super) fn is_open(&self, service: &str) -> bool {
        self.chains.load().get(Scope::Automatic { service }).is_open()
    }

    /// Says that the host is about to stop.
    pub(crate) fn announce_drain(&self) {
        self.overview.drain();
    }

    /// Says who carries the calls of guests: before the first service comes, and once.
    pub(crate) fn connect(&self, dispatch: Weak<dyn Dispatch>) {
        if self.dispatch.set(dispatch).is_err() {
            tracing::error!("somebody carries the calls of guests already");
        }
    }

    /// By which way a service's requests to hosts outside go.
    pub(crate) fn egress(&self, service: &str) -> Option<Arc<Egress>> {
        self.lock().get(service).map(|service| Arc::clone(&service.runtime.egress))
    }

    /// Where a service's events go.
    pub(crate) fn bus(&self, service: &str) -> Option<Arc<dyn EventBus>> {
        self.lock().get(service).and_then(|service| service.runtime.capabilities.bus().cloned())
    }

    /// People see in the registry who calls whom.
    pub(crate) fn observed_call(&self, caller: &str, callee: &str) {
        self.registry.observed_call(caller, callee);
    }

    /// Whether one service may call another, by the configuration in force.
    pub(crate) fn may_call(&self, caller: &str, callee: &str) -> bool {
        let config = self.config.load();
        config.services.get(caller).is_some_and(|caller| caller.grants.calls.iter().any(|name| name == callee))
    }

    /// Reads the secrets that `config` needs. Blocks for as long as the file system does.
    ///
    /// # Errors
    /// What is wrong with those that cannot be read and have no text from before.
    pub(crate) fn read_secrets(&self, config: &Config) -> Result<SecretTexts, Vec<String>> {
        self.secrets.read(config)
    }

    /// Puts secrets in force that were read for the configuration in force.
    pub(crate) fn set_secrets(&self, texts: SecretTexts) {
        let known = self.lock();
        if self.secrets.set(texts) {
            self.spread_values(&known);
            tracing::info!("secrets were read again");
        }
    }

    /// Gives every service what it reads now.
    fn spread_values(&self, known: &BTreeMap<Arc<str>, Known>) {
        let config = self.config.load();
        for (name, service) in known {
            service.runtime.capabilities.set_config(self.secrets.values(&config.service(name)));
        }
    }

    /// Puts another configuration in force, for every service at once, with the secrets that were read for it. Call it
    /// inside the runtime.
    ///
    /// # Errors
    /// When a file that a filter needs cannot be used: then nothing has changed.
    pub(crate) fn apply(&self, config: Arc<Config>, texts: SecretTexts) -> Result<(), String> {
        let before = self.stores.providers.apply(&config.gateway.auth);
        let chains = match Chains::compile(&config, &self.stores) {
            Ok(chains) => Arc::new(chains),
            Err(message) => {
                self.stores.providers.restore(before);
                return Err(message);
            }
        };
        let mut known = self.lock();
        chains.enforce();
        self.chains.store(Arc::clone(&chains));
        let old = self.config.swap(Arc::clone(&config));
        self.registry.apply(&config);
        self.secrets.set(texts);
        self.spread_values(&known);
        for (name, service) in known.iter_mut() {
            let (before, now) = (old.service(name), config.service(name));
            if before == now {
                continue;
            }
            service.runtime.carried.reconfigure(&now);
            service.runtime.egress.set_rules(EgressRules::new(&now.grants.egress));
            service.runtime.bulkhead.resize(BulkheadLimits::from(&now.bulkhead));
            service.runtime.capabilities.log().set_rate(now.limits.log_rate.get());
            // The store is shared; opening it again sets its quota.
            self.state.store(name, now.key_value.quota.get());
            service.runtime.capabilities.set_sql(self.database(name, &now));
            let now = Arc::new(now);
            for (file_name, file) in &mut service.files {
                file.line.loaded().for_each(|version| version.apply(Arc::clone(&now)));
                let (done, forgotten) = file.line.reconfigure(&now.rollout);
                if let Some(done) = done {
                    self.carry_out(name, file_name, done);
                }
                self.forget(name, &forgotten);
            }
        }
        self.snapshot.store(Arc::new(build(&config, &chains, &known, &self.registry)));
        drop(known);
        self.news.send_modify(|news| *news += 1);
        self.stores.limiters.forget_unused();
        Ok(())
    }

    fn runtime(&self, known: &mut BTreeMap<Arc<str>, Known>, name: &Arc<str>) -> Arc<ServiceRuntime> {
        if let Some(service) = known.get(name) {
            return Arc::clone(&service.runtime);
        }
        let settings = self.config.load().service(name);
        let carried = Arc::new(Carried::new(&settings, Arc::clone(&self.registry)));
        let grants = settings.grants.clone();
        let capabilities = ServiceCapabilities::new(
            Arc::clone(name),
            Some(self.state.store(name, settings.key_value.quota.get())),
            self.secrets.values(&settings),
            // Versions put their own label there.
            GuestLog::new(Arc::clone(name), "", settings.limits.log_rate.get()),
        )
        .with_bus(Arc::clone(&self.bus));
        let capabilities = match self.dispatch.get() {
            Some(dispatch) => capabilities.with_dispatch(Weak::clone(dispatch)),
            None => capabilities,
        };
        capabilities.set_sql(self.database(name, &self.config.load().service(name)));
        let runtime = Arc::new(ServiceRuntime {
            bulkhead: Bulkhead::new(BulkheadLimits::from(&settings.bulkhead)),
            carried,
            egress: Egress::new(EgressRules::new(&grants.egress)),
            capabilities: Arc::new(capabilities),
        });
        known.insert(Arc::clone(name), Known { runtime: Arc::clone(&runtime), files: BTreeMap::new() });
        runtime
    }

    /// The service's database with the bounds of its settings, if it is granted.
    fn database(&self, name: &str, settings: &Service) -> Option<Arc<dyn SqlDatabase>> {
        Some(self.state.database(name, SqlSettings::from(settings.sql.bounds()?)))
    }

    fn publish_snapshot(&self, known: &BTreeMap<Arc<str>, Known>) {
        self.snapshot.store(Arc::new(build(&self.config.load(), &self.chains.load(), known, &self.registry)));
        self.news.send_modify(|news| *news += 1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Known>> {
        // A panic while building a snapshot leaves the old one in force and the map complete.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Services {
    /// Instances came or went: whoever comes now meets those that are there. Services without a component of their own
    /// are known for as long as somebody answers for them elsewhere.
    pub(crate) fn instances_changed(&self) {
        let mut known = self.lock();
        let mut elsewhere = BTreeSet::new();
        for instance in self.registry.all_instances() {
            if instance.is_remote() {
                self.runtime(&mut known, &instance.service);
                elsewhere.insert(Arc::clone(&instance.service));
            }
        }
        known.retain(|name, service| !service.files.is_empty() || elsewhere.contains(name));
        self.publish_snapshot(&known);
    }
}

impl Snapshot {
    pub(crate) fn services(&self) -> impl Iterator<Item = (&Arc<str>, &Backend)> {
        self.services.iter()
    }

    pub(crate) fn service(&self, name: &str) -> Option<&Backend> {
        self.services.get(name)
    }

    /// A service, and the name that it is known by.
    pub(crate) fn named(&self, name: &str) -> Option<(&Arc<str>, &Backend)> {
        self.services.get_key_value(name)
    }
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

fn build(config: &Config, chains: &Chains, known: &BTreeMap<Arc<str>, Known>, registry: &Registry) -> Snapshot {
    let backend = |name: &Arc<str>, service: &Known| {
        let parts = Parts { name, settings: Arc::new(config.service(name)), instances: registry.instances(name) };
        let backend = Backend::new(service, parts);
        service.runtime.carried.forget_unused();
        backend
    };
    let automatic = known.keys().filter_map(|name| Some((Arc::clone(name), config.service(name).expose.prefix(name)?)));
    Snapshot {
        table: Table::build(&config.gateway.routes, automatic, |scope| chains.get(scope)),
        trusted_proxies: config.gateway.trusted_proxies.clone(),
        edge: Edge::new(&config.gateway),
        requests: config.gateway.requests.clone(),
        max_headers: config.gateway.connections.max_headers,
        told: Arc::clone(&chains.told),
        max_call_depth: config.gateway.calls.max_depth,
        health: config.gateway.health.clone(),
        openapi: config.gateway.openapi.clone(),
        services: known.iter().map(|(name, service)| (Arc::clone(name), backend(name, service))).collect(),
    }
}
