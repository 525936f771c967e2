//! What a request is matched to: a rule, as far as it matters after matching, and its backends.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, BackendRef, Route, Rule};
use crate::gateway::split::{Facts, Split, by_weight};
use crate::policy::RetryPolicy;

/// What filters a table asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// Those of a rule, the `index`th of its route.
    Rule { route: &'a Route, index: usize, rule: &'a Rule },
    /// Those that work only for one backend of a rule; there is at least one.
    Backend { route: &'a Route, rule: &'a Rule, backend: &'a BackendRef },
    /// Those of the automatic route to a service.
    Automatic { service: &'a str },
}

/// A rule as far as it matters after matching. `C` is what filters were compiled to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<C> {
    /// Name of the route, for logs and metrics; `auto:<service>` for an automatic one.
    pub(crate) route: Arc<str>,
    /// Whether it is the automatic route to a service.
    pub(crate) automatic: bool,
    /// Which rule of the route it is, from 0.
    pub(crate) rule_index: usize,
    /// The rule's own name, if it has one.
    pub(crate) rule_name: Option<Box<str>>,
    /// Of rules that match, the one with the highest wins.
    pub(crate) priority: i32,
    /// Whether identity filters that hold for every route do not hold here.
    pub(crate) public: bool,
    /// What happens on the way.
    pub(crate) chain: C,
    /// Where requests go; see [`Self::choose`]. Empty if a filter answers.
    pub(crate) backends: Vec<Backend<C>>,
    /// What decides among them besides their weights.
    pub(crate) split: Option<Split>,
    /// The rule's own limit on the whole request.
    pub(crate) request_timeout: Option<Duration>,
    /// The rule's own limit on one try of a backend; not longer than the other.
    pub(crate) backend_timeout: Option<Duration>,
    /// When requests are tried again, if the rule says so.
    pub(crate) retry: Option<RetryPolicy>,
}

/// A service, maybe one version of it, with its share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backend<C> {
    /// The service's name.
    pub(crate) service: Arc<str>,
    /// A version's label; without one, the version that the service's plain file gives.
    pub(crate) version: Option<Arc<str>>,
    /// Share relative to the other backends; 0 gets nothing.
    pub(crate) weight: u32,
    /// What happens only to requests that go here.
    pub(crate) chain: Option<C>,
}

impl<C> Target<C> {
    pub(super) fn configured(
        (name, route): (Arc<str>, &Route),
        (index, rule): (usize, &Rule),
        compile: &impl Fn(Scope<'_>) -> C,
    ) -> Self {
        let backends = rule.backend_refs.iter().map(|backend| Backend {
            service: backend.service.as_str().into(),
            version: backend.version.as_deref().map(Into::into),
            weight: backend.weight,
            chain: (!backend.filters.is_empty()).then(|| compile(Scope::Backend { route, rule, backend })),
        });
        Self {
            route: name,
            automatic: false,
            rule_index: index,
            rule_name: rule.name.as_deref().map(Into::into),
            priority: rule.priority,
            public: rule.public,
            chain: compile(Scope::Rule { route, index, rule }),
            backends: backends.collect(),
            split: rule
                .split
                .as_ref()
                .map(|split| Split::new(split, rule.backend_refs.first().map_or("", |first| &first.service))),
            request_timeout: rule.timeouts.request.map(config::Duration::get),
            backend_timeout: rule.timeouts.backend_request.map(config::Duration::get),
            retry: rule.retry.as_ref().map(RetryPolicy::new),
        }
    }

    pub(super) fn automatic(service: &str, compile: &impl Fn(Scope<'_>) -> C) -> Self {
        Self {
            route: format!("auto:{service}").into(),
            automatic: true,
            rule_index: 0,
            rule_name: None,
            priority: 0,
            public: false,
            chain: compile(Scope::Automatic { service }),
            backends: vec![Backend { service: service.into(), version: None, weight: 1, chain: None }],
            split: None,
            request_timeout: None,
            backend_timeout: None,
            retry: None,
        }
    }

    /// Where a request goes; `random` is uniform over all of `u64`. `None` if there is no backend with a weight, and none
    /// was named.
    pub(crate) fn choose(&self, facts: Facts<'_>, random: u64) -> Option<&Backend<C>> {
        let chosen = match &self.split {
            None => by_weight(self.backends.iter().map(|backend| backend.weight), random),
            Some(split) => split.choose(self.choices(), facts, random),
        };
        self.backends.get(chosen?)
    }

    /// Labels and weights. The version of the plain file has no label, so nobody can name it.
    pub(crate) fn choices(&self) -> impl Iterator<Item = (&str, u32)> + Clone {
        self.backends.iter().map(|backend| (backend.version.as_deref().unwrap_or_default(), backend.weight))
    }
}
