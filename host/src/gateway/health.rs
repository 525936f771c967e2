//! Active health checks: each instance that has a check is asked again and again, and the registry is told.
//!
//! ```text
//! registry changed ─→ one task for each instance with a check: wait (± 10 %) ─ ask ─ tell the registry ─┐
//!                          ↑                                                                            │
//!                          └────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A check is a request like any other, with the instance's own limits, past the policies that protect clients: it takes
//! a place of those that the bulkhead reserves, and opens no breaker. When there is no such place, or the host has no
//! slot, nothing was learnt: who is busy is not ill. What follows from results (thresholds, states) is the registry's
//! business. A passing check ends an ejection, as Envoy has it, and begins a slow start. An instance that was unhealthy
//! and is well again has its version's open circuit breaker look sooner whether that is so (`policy::breaker`).
//!
//! Bounds: one check at a time for each instance; a new one begins only when the one before is over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use super::GatewayError;
use super::forward::{Endpoint, Target, ask};
use super::services::Services;
use crate::config::InstanceCheck;
use crate::plugin::{CallContext, CallError, Version};
use crate::policy::{Class, Permit};
use crate::registry::{CheckResult, Health, Instance, Kind, Registry, jittered};

/// How often ejections are told to the registry, and breakers looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Checks until it is dropped.
#[derive(Debug)]
pub(crate) struct HealthChecks(#[expect(dead_code, reason = "held for its Drop")] AbortOnDropHandle<()>);

struct Checker {
    services: Arc<Services>,
    registry: Arc<Registry>,
}

/// A task that asks one instance.
struct Asking {
    instance: Arc<Instance>,
    _task: AbortOnDropHandle<()>,
}

impl HealthChecks {
    /// Starts checking. Call it inside the runtime.
    pub(crate) fn start(services: Arc<Services>, registry: Arc<Registry>) -> Self {
        let checker = Arc::new(Checker { services, registry });
        Self(AbortOnDropHandle::new(tokio::spawn(checker.run())))
    }
}

impl Checker {
    async fn run(self: Arc<Self>) {
        let mut changed = self.registry.changed();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking: HashMap<Arc<str>, Asking> = HashMap::new();
        let mut ejected = HashSet::new();
        self.services.instances_changed();
        self.follow(&mut asking);
        loop {
            tokio::select! {
                result = changed.changed() => {
                    if result.is_err() {
                        return;
                    }
                    self.services.instances_changed();
                    self.follow(&mut asking);
                }
                _ = look.tick() => self.tell(&mut ejected),
            }
        }
    }

    /// One task for each instance that is to be asked, and none for any other.
    fn follow(self: &Arc<Self>, asking: &mut HashMap<Arc<str>, Asking>) {
        let wanted: HashMap<Arc<str>, Arc<Instance>> = self
            .registry
            .all_instances()
            .into_iter()
            .filter(|instance| instance.check.is_some())
            .map(|instance| (Arc::clone(&instance.id), instance))
            .collect();
        asking.retain(|id, known| {
            wanted.get(id).is_some_and(|one| one.check == known.instance.check && one.kind == known.instance.kind)
        });
        for (id, instance) in wanted {
            let Some(check) = instance.check.clone() else { continue };
            asking.entry(id).or_insert_with(|| {
                let task = Arc::clone(self).ask_again_and_again(Arc::clone(&instance), check);
                Asking { instance, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
            });
        }
    }

    async fn ask_again_and_again(self: Arc<Self>, instance: Arc<Instance>, check: InstanceCheck) {
        // Nobody waits for the first check of an instance that gets no requests before it.
        let first = instance.health() == Health::Starting;
        let mut wait = if first { Duration::ZERO } else { check.interval.get() };
        loop {
            tokio::time::sleep(jittered(wait, fastrand::f64())).await;
            wait = check.interval.get();
            let result = self.ask(&instance, &check).await;
            let passed = result == CheckResult::Ok;
            let changed = self.registry.checked(&instance.id, result, Instant::now());
            if passed {
                self.passed(&instance, changed.as_ref().map(|(before, _)| before));
            }
            if let Some((before, now)) = changed {
                let (service, id) = (&*instance.service, &*instance.id);
                let (before, why) = (before.word(), now.reason());
                tracing::info!(service, instance = id, before, why, "{}", now.word());
            }
        }
    }

    async fn ask(&self, instance: &Instance, check: &InstanceCheck) -> CheckResult {
        let timeout = check.timeout.get();
        let answered = tokio::time::timeout(timeout, self.request(instance, check)).await;
        answered.unwrap_or_else(|_elapsed| CheckResult::Failed(format!("no answer within {timeout:?}")))
    }

    async fn request(&self, instance: &Instance, check: &InstanceCheck) -> CheckResult {
        let snapshot = self.services.snapshot();
        let Some(backend) = snapshot.service(&instance.service) else { return CheckResult::Inconclusive };
        let is_it = |endpoint: &&Endpoint| endpoint.state.id == instance.id;
        let Some(endpoint) = backend.pools().flat_map(|pool| &pool.endpoints).find(is_it) else {
            return CheckResult::Inconclusive;
        };
        let host = match &instance.kind {
            Kind::Local { .. } => format!("{}.internal", instance.service),
            Kind::Remote { url } => url.authority().to_string(),
        };
        let Ok(place) = backend.runtime.bulkhead.admit(Class::Reserved).await else { return CheckResult::Inconclusive };
        let request = Request::get(format!("http://{host}{}", check.path))
            .header(HOST, host)
            .header(USER_AGENT, const { HeaderValue::from_static("wharf-health") })
            .body(Empty::<Bytes>::new().map_err(|never| -> CallError { match never {} }));
        let Ok(request) = request else { return CheckResult::Failed("its path is no path".to_owned()) };
        if let Target::Local(version) = &endpoint.target
            && version.serves().http.is_none()
        {
            return starts(version, check.timeout.get(), place).await;
        }
        let context = CallContext {
            request_id: Some("health".into()),
            deadline: Some(Instant::now() + check.timeout.get()),
            permit: Some(Box::new(place)),
            ..CallContext::default()
        };
        let answered = ask(&endpoint.target, &backend.settings, context, request).await;
        match answered.map_err(GatewayError::from) {
            Ok(response) => {
                let status = response.status();
                if let Target::Remote(_) = endpoint.target {
                    // A connection whose response was read can be used again.
                    response.into_body().read_rest().await;
                }
                if check.expects(status.as_u16()) {
                    CheckResult::Ok
                } else {
                    CheckResult::Failed(format!("{} answered {}", check.path, status.as_u16()))
                }
            }
            Err(GatewayError::BulkheadFull | GatewayError::Draining) => CheckResult::Inconclusive,
            Err(error) => CheckResult::Failed(error.to_string()),
        }
    }

    /// `before` is how it was if it is otherwise now.
    fn passed(&self, instance: &Instance, before: Option<&Health>) {
        let snapshot = self.services.snapshot();
        let Some(backend) = snapshot.service(&instance.service) else { return };
        let is_it = |endpoint: &Endpoint| endpoint.state.id == instance.id;
        let found = backend.pools().find_map(|pool| Some((pool, pool.endpoints.iter().find(|one| is_it(one))?)));
        let Some((pool, endpoint)) = found else { return };
        let now = Instant::now();
        if endpoint.state.outlier.passed_check(now) || before.is_some() {
            endpoint.state.load.became_available(now);
        }
        // While most of its instances are ill, one that is back does not stand for the version.
        if matches!(before, Some(Health::Unhealthy(_))) && !pool.panics(now) {
            pool.state.recovered(now);
        }
    }

    /// People see in the registry who is ejected, and which breakers are half open though nobody has come since.
    fn tell(&self, told: &mut HashSet<Arc<str>>) {
        let now = Instant::now();
        let snapshot = self.services.snapshot();
        for (_, backend) in snapshot.services() {
            backend.pools().for_each(|pool| pool.state.look(now));
        }
        let endpoints = snapshot.services().flat_map(|(_, backend)| backend.pools()).flat_map(|pool| &pool.endpoints);
        let ejected = endpoints.filter(|endpoint| endpoint.state.outlier.is_ejected(now));
        let ejected: HashSet<Arc<str>> = ejected.map(|endpoint| Arc::clone(&endpoint.state.id)).collect();
        if *told == ejected {
            return;
        }
        for id in ejected.symmetric_difference(told) {
            self.registry.set_ejected(id, ejected.contains(id));
        }
        *told = ejected;
    }
}

/// The health of a component that answers no requests: whether an instance of it can be made.
async fn starts(version: &Arc<Version>, timeout: Duration, place: Permit) -> CheckResult {
    let started = tokio::time::timeout(timeout, version.instantiate_once()).await;
    drop(place);
    match started.map(|started| started.map_err(GatewayError::from)) {
        Ok(Ok(())) => CheckResult::Ok,
        Ok(Err(GatewayError::BulkheadFull | GatewayError::Draining)) => CheckResult::Inconclusive,
        Ok(Err(error)) => CheckResult::Failed(error.to_string()),
        Err(_elapsed) => CheckResult::Failed(format!("it did not start within {timeout:?}")),
    }
}
