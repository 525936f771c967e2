//! What a service's policies remember from one configuration, and from one set of instances, to the next.
//!
//! A snapshot is made anew whenever a file, an instance or the configuration changes; who fails, who is busy and what
//! the retry budget holds is no part of it. It is found again by id: an instance's by the instance's, a breaker's by the
//! version's. A version that is replaced by another content begins anew, because it is that: a breaker that opened for
//! the old one says nothing about the new one. What no snapshot asks for any more is forgotten.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use http::Uri;
use tokio::time::Instant;

use crate::config::Service;
use crate::gateway::contract::ContractCounters;
use crate::gateway::traffic::Traffic;
use crate::gateway::upstream::{Tls, Upstream};
use crate::policy::balance::{Balancer, Load};
use crate::policy::retry::Reason;
use crate::policy::{Breaker, BreakerState, Budget, Group, Outcome, Outlier, Transition};
use crate::registry::{BreakerEntry, BreakerWord, Instance, Kind, Registry};

/// What a service remembers.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) budget: Budget,
    pub(crate) counters: Counters,
    pools: Mutex<HashMap<Arc<str>, Arc<PoolState>>>,
    endpoints: Mutex<HashMap<Arc<str>, Arc<EndpointState>>>,
    tls: Arc<Tls>,
    /// Is told how breakers stand.
    registry: Arc<Registry>,
}

/// What a version is called.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) service: Arc<str>,
    /// The same for as long as the version is the same one; another one's is another.
    pub(crate) key: Arc<str>,
    /// How people call it; empty if it has no name.
    pub(crate) label: Arc<str>,
    /// The beginning of its component's digest; none if it is only elsewhere.
    pub(crate) digest: Option<Arc<str>>,
}

/// What is remembered of a version: of all instances that have it together.
#[derive(Debug)]
pub(crate) struct PoolState {
    pub(crate) breaker: Arc<Breaker>,
    pub(crate) group: Group,
    /// The last one, whose rotation the next goes on with.
    pub(super) balancer: ArcSwapOption<Balancer>,
    /// How often the breaker came to each of [`BREAKER_STATES`].
    transitions: Arc<[AtomicU64; BREAKER_STATES.len()]>,
    /// Where people see it.
    entry: Arc<BreakerEntry>,
}

/// What is remembered of an instance.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) id: Arc<str>,
    pub(crate) load: Arc<Load>,
    pub(crate) outlier: Arc<Outlier>,
    /// None for a version in this process.
    upstream: Mutex<Option<Arc<Upstream>>>,
}

/// All states of a breaker, from good to bad.
pub(crate) const BREAKER_STATES: [BreakerState; 3] = [BreakerState::Closed, BreakerState::HalfOpen, BreakerState::Open];

/// All that a try can come to.
pub(crate) const OUTCOMES: [Outcome; 4] = [Outcome::Success, Outcome::Failure, Outcome::Overloaded, Outcome::Ignored];

/// What happened, for metrics. Only ever grows.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Requests, whatever their tries came to.
    pub(crate) traffic: Arc<Traffic>,
    outcomes: [AtomicU64; OUTCOMES.len()],
    retries: AtomicU64,
    retry_successes: AtomicU64,
    not_retried: [AtomicU64; Reason::ALL.len()],
    pub(crate) broken: AtomicU64,
    pub(crate) ejections: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) fallbacks: AtomicU64,
    pub(crate) circuit_open: AtomicU64,
    pub(crate) bulkhead_full: AtomicU64,
    pub(crate) contract: ContractCounters,
}

impl Carried {
    pub(crate) fn new(settings: &Service, registry: Arc<Registry>) -> Self {
        let retry = settings.retry.clone().unwrap_or_default();
        Self {
            budget: Budget::new(&retry.budget),
            counters: Counters::default(),
            pools: Mutex::default(),
            endpoints: Mutex::default(),
            tls: Arc::default(),
            registry,
        }
    }

    /// Takes another configuration on.
    pub(crate) fn reconfigure(&self, settings: &Service) {
        self.budget.reconfigure(&settings.retry.clone().unwrap_or_default().budget);
        let now = Instant::now();
        for pool in self.pools.lock().unwrap_or_else(PoisonError::into_inner).values() {
            pool.breaker.reconfigure(&settings.circuit_breaker, now);
            pool.entry.show(settings.circuit_breaker.enabled);
            pool.group.reconfigure(&settings.outlier_detection, now);
        }
    }

    /// That of this version.
    pub(super) fn pool(&self, names: &Names, settings: &Service) -> Arc<PoolState> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(PoolState::new(names.clone(), settings, &self.registry));
        Arc::clone(pools.entry(Arc::clone(&names.key)).or_insert_with(made))
    }

    /// That of the instance with this id.
    pub(super) fn endpoint(&self, id: &Arc<str>) -> Arc<EndpointState> {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(endpoints.entry(Arc::clone(id)).or_insert_with(|| Arc::new(EndpointState::new(Arc::clone(id)))))
    }

    /// The connections to an instance elsewhere.
    pub(crate) fn upstream(&self, instance: &Instance) -> Option<Arc<Upstream>> {
        let Kind::Remote { url } = &instance.kind else { return None };
        let url: Uri = url.to_string().parse().ok()?;
        let endpoint = self.endpoint(&instance.id);
        let mut upstream = endpoint.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if upstream.as_ref().is_none_or(|known| !known.is_at(&url, instance.protocol)) {
            let made = Upstream::new(&url, instance.protocol, Arc::clone(&self.tls));
            // Refused with the configuration, or by the admin API.
            *upstream = made.inspect_err(|why| tracing::warn!(instance = %instance.id, why, "no instance")).ok();
        }
        upstream.clone()
    }

    /// Forgets what only this holds.
    pub(crate) fn forget_unused(&self) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, pool| Arc::strong_count(pool) > 1);
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        endpoints.retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
    }
}

impl PoolState {
    fn new(names: Names, settings: &Service, registry: &Arc<Registry>) -> Self {
        let transitions = Arc::<[AtomicU64; BREAKER_STATES.len()]>::default();
        let Names { service, key, label, digest } = names;
        let version = Some(&*label).filter(|label| !label.is_empty());
        let entry = Arc::new(registry.breaker(&service, &key, (version, digest.as_deref())));
        entry.show(settings.circuit_breaker.enabled);
        let (counted, shown) = (Arc::clone(&transitions), Arc::clone(&entry));
        let told = move |transition: &Transition| {
            let place = BREAKER_STATES.iter().position(|state| *state == transition.to);
            if let Some(counter) = place.and_then(|place| counted.get(place)) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            let version = Some(&*label).filter(|label| !label.is_empty());
            tracing::warn!(%service, version, digest = digest.as_deref(), "circuit breaker {transition}");
            shown.changed(word(transition), transition.number, Instant::now());
        };
        Self {
            breaker: Arc::new(Breaker::new(&settings.circuit_breaker, Instant::now(), told)),
            group: Group::new(&settings.outlier_detection),
            balancer: ArcSwapOption::empty(),
            transitions,
            entry,
        }
    }

    /// Health checks found that whoever failed is well again.
    pub(crate) fn recovered(&self, now: Instant) {
        if let Some(left) = self.breaker.recovered(now) {
            self.entry.shortened(left, now);
        }
    }

    /// Has the breaker do what time brings about.
    pub(crate) fn look(&self, now: Instant) {
        if !self.breaker.is_closed() {
            self.breaker.status(now);
        }
    }

    /// How often the breaker came to each state.
    pub(crate) fn transitions(&self) -> impl Iterator<Item = (BreakerState, u64)> + '_ {
        let counts = self.transitions.iter().map(|counter| counter.load(Ordering::Relaxed));
        BREAKER_STATES.into_iter().zip(counts)
    }
}

/// As people see it.
fn word(transition: &Transition) -> BreakerWord {
    match transition.to {
        BreakerState::Closed => BreakerWord::Closed,
        BreakerState::HalfOpen => BreakerWord::HalfOpen,
        BreakerState::Open => BreakerWord::Open {
            for_time: transition.wait,
            reason: transition.reason.map(|reason| reason.to_string()).unwrap_or_default(),
        },
    }
}

impl EndpointState {
    fn new(id: Arc<str>) -> Self {
        let now = Instant::now();
        Self { id, load: Arc::new(Load::new(now)), outlier: Arc::new(Outlier::new(now)), upstream: Mutex::default() }
    }
}

impl Counters {
    /// A try has ended so.
    pub(super) fn ended(&self, outcome: Outcome) {
        if let Some(counter) = OUTCOMES.iter().position(|one| *one == outcome).and_then(|at| self.outcomes.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tries by what they came to.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        OUTCOMES.into_iter().zip(&self.outcomes).map(|(outcome, counter)| (outcome, counter.load(Ordering::Relaxed)))
    }

    /// A request is tried again.
    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that was tried again came to a good end.
    pub(super) fn retry_succeeded(&self) {
        self.retry_successes.fetch_add(1, Ordering::Relaxed);
    }

    /// A failed request is not tried again, because.
    pub(super) fn gave_up(&self, reason: Reason) {
        if let Some(counter) = Reason::ALL.iter().position(|one| *one == reason).and_then(|at| self.not_retried.get(at))
        {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tries that were made again, and requests that these saved.
    pub(crate) fn retries(&self) -> (u64, u64) {
        (self.retries.load(Ordering::Relaxed), self.retry_successes.load(Ordering::Relaxed))
    }

    /// Failed requests that were not tried again, by reason.
    pub(crate) fn not_retried(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().zip(&self.not_retried).map(|(reason, counter)| (*reason, counter.load(Ordering::Relaxed)))
    }
}
