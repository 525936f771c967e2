//! The instances of one version, and which of them gets a request.
//!
//! A pool belongs to a snapshot. What its instances did before is [`Carried`]; whether one is well is asked at the moment
//! of the choice, so a health check or an ejection needs no new snapshot.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderValue;
use tokio::time::Instant;

use super::carried::{Carried, EndpointState, Names, PoolState};
use super::key::{Hashed, Keys, Sticky};
use crate::config::Service;
use crate::contract::Contract;
use crate::gateway::upstream::Upstream;
use crate::plugin::Version;
use crate::policy::balance::{Balancer, Member, Pick};
use crate::registry::Instance;

/// See the module header.
#[derive(Debug)]
pub(crate) struct Pool {
    /// How people call the version; empty if it has no name.
    pub(crate) label: Arc<str>,
    pub(crate) endpoints: Box<[Endpoint]>,
    pub(crate) state: Arc<PoolState>,
    balancer: Arc<Balancer>,
    sticky: Option<Sticky>,
    hashed: Option<Hashed>,
}

/// One that can answer.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) target: Target,
    pub(crate) state: Arc<EndpointState>,
    /// What the registry knows of it; nothing for the moment between a version's start and its entry there.
    pub(crate) instance: Option<Arc<Instance>>,
}

/// Where an instance is.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// In this process.
    Local(Arc<Version>),
    /// Another HTTP server.
    Remote(Arc<Upstream>),
}

/// Somebody was chosen.
pub(super) struct Chosen<'a> {
    pub(super) index: usize,
    pub(super) endpoint: &'a Endpoint,
    /// The cookie that has the client come back to the same one, if it does not have it yet.
    pub(super) cookie: Option<HeaderValue>,
}

impl Pool {
    pub(crate) fn new(
        names: &Names,
        settings: &Service,
        carried: &Carried,
        endpoints: Vec<(Arc<str>, Option<Arc<Instance>>, Target)>,
    ) -> Self {
        let config = &settings.load_balancer;
        let state = carried.pool(names, settings);
        let endpoints: Box<[Endpoint]> = endpoints
            .into_iter()
            .map(|(id, instance, target)| Endpoint { target, state: carried.endpoint(&id), instance })
            .collect();
        let members = endpoints.iter().map(|endpoint| endpoint.member(settings)).collect();
        let balancer = Arc::new(Balancer::new(config, members, state.balancer.load().as_deref()));
        state.balancer.store(Some(Arc::clone(&balancer)));
        let outliers = endpoints.iter().map(|endpoint| Arc::clone(&endpoint.state.outlier)).collect();
        state.group.set_members(outliers, Instant::now());
        let label = Arc::clone(&names.label);
        Self { label, endpoints, state, balancer, sticky: Sticky::new(config), hashed: Hashed::new(config) }
    }

    /// Somebody for a request, not one of `tried` while there are others.
    pub(super) fn choose(
        &self,
        keys: &Keys<'_>,
        tried: &mut Vec<usize>,
        carried: &Carried,
        now: Instant,
    ) -> Option<Chosen<'_>> {
        let pick = self.pick(keys, tried, now).or_else(|| {
            // Everybody was asked once: then again.
            (!tried.is_empty()).then(|| tried.clear())?;
            self.pick(keys, tried, now)
        })?;
        if pick.panic {
            carried.counters.panics.fetch_add(1, Ordering::Relaxed);
        }
        let endpoint = self.endpoints.get(pick.index)?;
        let cookie = self.sticky.as_ref().and_then(|sticky| sticky.cookie(&endpoint.state.id, keys));
        Some(Chosen { index: pick.index, endpoint, cookie })
    }

    fn pick(&self, keys: &Keys<'_>, tried: &[usize], now: Instant) -> Option<Pick> {
        let healthy = |index: usize| self.endpoints.get(index).is_some_and(|endpoint| endpoint.is_well(now));
        let cookie = self.sticky.as_ref().and_then(|sticky| sticky.of(keys));
        let pinned = cookie.and_then(|cookie| self.balancer.pinned(cookie, healthy, tried, now));
        pinned.or_else(|| {
            let hash = self.hashed.as_ref().and_then(|hashed| hashed.of(keys));
            self.balancer.pick(healthy, tried, hash, now, &mut || fastrand::u64(..))
        })
    }

    /// Somebody for a copy of a request.
    pub(super) fn anybody(&self, keys: &Keys<'_>, now: Instant) -> Option<&Target> {
        Some(&self.endpoints.get(self.pick(keys, &[], now)?.index)?.target)
    }

    /// What the version promises, if it has a document. Instances elsewhere of the same version promise the same.
    pub(crate) fn contract(&self) -> Option<Arc<Contract>> {
        self.endpoints.iter().find_map(|endpoint| match &endpoint.target {
            Target::Local(version) => Some(version.contract()),
            Target::Remote(_) => None,
        })?
    }

    /// Whether somebody elsewhere can answer.
    pub(super) fn has_remote(&self) -> bool {
        self.locals().count() < self.endpoints.len()
    }

    /// The places of those that are components.
    pub(super) fn locals(&self) -> impl Iterator<Item = usize> {
        let is_local = |(_, endpoint): &(usize, &Endpoint)| matches!(endpoint.target, Target::Local(_));
        self.endpoints.iter().enumerate().filter(is_local).map(|(index, _)| index)
    }

    /// Whether so few of its instances are well that all are used.
    pub(crate) fn panics(&self, now: Instant) -> bool {
        self.balancer.panics(|index| self.endpoints.get(index).is_some_and(|endpoint| endpoint.is_well(now)), now)
    }
}

impl Endpoint {
    /// Whether health checks, its lease and what its calls came to say nothing against it.
    pub(crate) fn is_well(&self, now: Instant) -> bool {
        let well = |instance: &Arc<Instance>| match self.target {
            // A version that drains finishes what still comes to it by an older snapshot.
            Target::Local(_) => instance.is_eligible() || instance.is_stopping(),
            Target::Remote(_) => instance.is_eligible(),
        };
        self.instance.as_ref().is_none_or(well) && !self.state.outlier.is_ejected(now)
    }

    fn member(&self, settings: &Service) -> Member {
        let tags = self.instance.as_ref().map_or(&settings.tags, |instance| &instance.tags);
        Member {
            id: Arc::clone(&self.state.id),
            weight: self.instance.as_ref().map_or(settings.load_balancer.local_weight, |instance| instance.weight),
            preferred: settings.load_balancer.prefer_tags.iter().all(|tag| tags.contains(tag)),
            load: Arc::clone(&self.state.load),
        }
    }
}
