//! One version of a service: a compiled, linked component and what its calls need.
//!
//! A version is immutable but for its settings (`limits`, `slots`, timeouts), which follow the configuration: the
//! next request sees the new ones, and slots made under the old ones are not used again.
//!
//! A version that was replaced may come back. Each time it begins to serve is another *stint*: a drain that was begun in
//! one does not concern the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use http::HeaderMap;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::contract::OwnContract;
use super::engine::{Engines, HttpVersion};
use super::inspect::Serves;
use super::linked::Linked;
use super::slots::IdleSlots;
use crate::capability::http::{Caller, Trace};
use crate::capability::{Migration, ServiceCapabilities};
use crate::config::{Service, SlotReuse, Slots};
use crate::contract::Contract;

/// A component that can be called.
pub struct Version {
    service: Arc<str>,
    label: Arc<str>,
    digest: [u8; 32],
    pub(super) engines: Engines,
    pub(super) linked: Linked,
    pub(super) capabilities: Arc<ServiceCapabilities>,
    pub(super) idle: Arc<IdleSlots>,
    settings: ArcSwap<Service>,
    generation: AtomicU64,
    in_flight: AtomicUsize,
    idle_again: Notify,
    /// Of the requests that come now; another one after each cut.
    cut: ArcSwap<CancellationToken>,
    stint: AtomicU64,
    /// Those inside of the component.
    migrations: Vec<Migration>,
    pub(super) contract: OwnContract,
}

/// A request that a version still works on or whose response is still being sent.
#[derive(Debug)]
pub(super) struct InFlight {
    version: Arc<Version>,
    cut: Arc<CancellationToken>,
}

impl Version {
    pub(super) fn new(
        identity: (Arc<str>, Arc<str>, [u8; 32]),
        engines: Engines,
        linked: Linked,
        capabilities: Arc<ServiceCapabilities>,
        settings: Arc<Service>,
    ) -> Self {
        let (service, label, digest) = identity;
        let idle = Arc::new(IdleSlots::default());
        engines.idle().add(&idle);
        Self {
            service,
            label,
            digest,
            engines,
            linked,
            capabilities,
            idle,
            settings: ArcSwap::new(settings),
            generation: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            idle_again: Notify::new(),
            cut: ArcSwap::default(),
            stint: AtomicU64::new(0),
            migrations: Vec::new(),
            contract: OwnContract::new(None),
        }
    }

    pub(super) fn with_migrations(self, migrations: Vec<Migration>) -> Self {
        Self { migrations, ..self }
    }

    pub(super) fn with_openapi(self, inside: Option<String>) -> Self {
        Self { contract: OwnContract::new(inside), ..self }
    }

    /// Its OpenAPI document, if it has one.
    pub fn contract(&self) -> Option<Arc<Contract>> {
        self.contract.now()
    }

    /// What people are to know of it although it serves.
    pub fn notes(&self) -> Vec<String> {
        self.contract.notes()
    }

    /// The migrations inside of the component, in order.
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// The service it belongs to.
    pub fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// How people call it: from the file name, the component's metadata or the digest.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// SHA-256 of the component.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What it can be called for.
    pub fn serves(&self) -> Serves {
        self.linked.serves()
    }

    /// The settings that the next request will see.
    pub fn settings(&self) -> Arc<Service> {
        self.settings.load_full()
    }

    /// Changes the settings; slots made under the old ones serve no further request.
    pub fn apply(&self, settings: Arc<Service>) {
        self.settings.store(settings);
        self.generation.fetch_add(1, Ordering::Release);
        self.idle.drop_idle(std::time::Duration::ZERO);
    }

    /// Requests that it works on or whose response is still being sent.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Returns when no request is in flight.
    pub async fn drained(&self) {
        loop {
            let zero = self.idle_again.notified();
            tokio::pin!(zero);
            // Registered before looking, so that the last request cannot slip between.
            zero.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            zero.await;
        }
    }

    /// Ends every request still in flight.
    pub(super) fn cut_off(&self) {
        self.cut.swap(Arc::default()).cancel();
    }

    /// It serves again after it was replaced: what drains it stops.
    pub(crate) fn come_back(&self) {
        self.stint.fetch_add(1, Ordering::AcqRel);
    }

    /// Changes when it comes back.
    pub(super) fn stint(&self) -> u64 {
        self.stint.load(Ordering::Acquire)
    }

    /// Drops all idle slots: what is left is compiled code.
    pub(super) fn rest(&self) {
        self.idle.drop_idle(std::time::Duration::ZERO);
    }

    /// Drops slots that nobody used for their `idle` time.
    pub(super) fn drop_stale_slots(&self) {
        if let Some(reuse) = self.reuse(&self.settings.load()) {
            self.idle.drop_idle(reuse.idle.get());
        }
    }

    pub(super) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight { version: Arc::clone(self), cut: self.cut.load_full() }
    }

    /// Who it is to others in a request that nobody else began.
    pub(super) fn caller(&self, request_id: Arc<str>, deadline: Option<Instant>) -> Caller {
        Caller {
            service: Arc::clone(&self.service),
            version: Arc::clone(&self.label),
            request_id,
            deadline,
            trace: Trace::default(),
            identity: HeaderMap::new(),
            path: Vec::new(),
            cause: None,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn reuse(&self, settings: &Service) -> Option<SlotReuse> {
        match (settings.slots, self.serves().engine) {
            (Slots::Fresh, _) | (Slots::Auto, HttpVersion::V02) => None,
            (Slots::Auto, HttpVersion::V03) => Some(SlotReuse::default()),
            (Slots::Reuse(reuse), _) => Some(reuse),
        }
    }
}

impl InFlight {
    pub(super) fn version(&self) -> &Version {
        &self.version
    }

    /// Cancelled when its time to finish is over.
    pub(super) fn cut(&self) -> &CancellationToken {
        &self.cut
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.version.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.version.idle_again.notify_waiters();
        }
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Version").field("service", &self.service).field("label", &self.label).finish_non_exhaustive()
    }
}
