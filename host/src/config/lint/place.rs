//! Where filters stand, and which of them ask who somebody is.

use std::collections::BTreeMap;

use super::super::check::At;
use super::super::filter::Filter;
use super::super::load::Config;
use super::super::route::Rule;
use super::super::service::Service;
use super::super::tree::Node;

/// A list of filters and what it belongs to.
pub(super) struct Place<'a> {
    pub(super) of: Owner<'a>,
    /// The owner's own map.
    pub(super) at: At<'a>,
    pub(super) own: &'a [Filter],
}

/// What a list of filters belongs to.
#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    Gateway,
    Rule(&'a Rule),
    /// The automatic route of the service of this name.
    Service(&'a str, &'a Service),
}

/// All of them: the gateway's, those of rules in the order of the file, those of services that have a file.
pub(super) fn places<'a>(config: &'a Config, at: At<'a>, services: &'a BTreeMap<String, Node>) -> Vec<Place<'a>> {
    let mut places = vec![Place { of: Owner::Gateway, at, own: &config.gateway.filters }];
    for (route, at) in config.gateway.routes.iter().zip(at.get("routes").items()) {
        for (rule, at) in route.rules.iter().zip(at.get("rules").items()) {
            places.push(Place { of: Owner::Rule(rule), at, own: &rule.filters });
        }
    }
    for (name, service) in &config.services {
        if let Some(tree) = services.get(name) {
            places.push(Place { of: Owner::Service(name, service), at: At::root(tree), own: &service.filters });
        }
    }
    places
}

impl<'a> Place<'a> {
    /// Its filters, each with its place in the list.
    pub(super) fn filters(&self) -> impl Iterator<Item = (&'a Filter, At<'a>)> + use<'a> {
        self.own.iter().zip(self.at.get("filters").items())
    }

    /// Whether identity filters of the gateway do not hold here.
    pub(super) fn public(&self) -> bool {
        match self.of {
            Owner::Gateway => false,
            Owner::Rule(rule) => rule.public,
            Owner::Service(_, service) => service.public,
        }
    }

    /// The ways to prove who a client is that hold here: its own, or else the gateway's.
    pub(super) fn ways(&self, gateway: &'a [Filter]) -> Vec<&'a Filter> {
        let own: Vec<_> = self.own.iter().filter(|filter| proves_identity(filter)).collect();
        if own.is_empty() && !self.public() {
            return gateway.iter().filter(|filter| proves_identity(filter)).collect();
        }
        own
    }

    /// Its own filters that refuse clients by who or where they are, each with its place in the list.
    pub(super) fn guards(&self) -> impl Iterator<Item = (&'a Filter, At<'a>)> + use<'a> {
        self.filters().filter(|(filter, _)| guards(filter))
    }
}

/// A way to prove who a client is.
pub(super) fn proves_identity(filter: &Filter) -> bool {
    matches!(filter, Filter::Jwt(_) | Filter::ApiKey(_) | Filter::BasicAuth(_))
}

/// A way to prove who a client is that lets nobody pass without.
pub(super) fn demands_identity(filter: &Filter) -> bool {
    proves_identity(filter) && !optional(filter)
}

/// A way to prove who a client is that may be left out.
pub(super) fn optional(filter: &Filter) -> bool {
    match filter {
        Filter::Jwt(jwt) => jwt.optional,
        Filter::ApiKey(keys) => keys.optional,
        Filter::BasicAuth(users) => users.optional,
        _ => false,
    }
}

/// What refuses clients by who or where they are.
pub(super) fn guards(filter: &Filter) -> bool {
    demands_identity(filter) || matches!(filter, Filter::Authorization(_) | Filter::IpRules(_))
}
