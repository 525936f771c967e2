//! Protections with another way to the same service that does not have them.
//!
//! A service can be reached by rules and by its automatic route, and filters of the one do not hold for the other. What
//! stands in `gateway.yaml` holds for both. Only a side that has guards and one that has none are compared: guards that
//! differ are taken to be meant.

use std::collections::HashSet;

use super::super::check::{At, Check};
use super::super::filter::Filter;
use super::super::load::Config;
use super::super::route::Rule;
use super::super::service::Service;
use super::place::{Owner, Place, demands_identity, guards, proves_identity};
use super::shadow::Order;

pub(super) fn lint(config: &Config, places: &[Place<'_>], order: &Order<'_>, check: &mut Check<'_>) {
    let mut told = HashSet::new();
    for place in places {
        match place.of {
            Owner::Gateway => {}
            Owner::Rule(rule) => {
                for (service, settings) in services(config, rule) {
                    if !told.contains(service) && around_rule(config, place, (service, &settings), order, check) {
                        told.insert(service);
                    }
                }
                around_service(config, places, rule, place, check);
            }
            Owner::Service(_, service) => {
                if service.expose.prefix("").is_none() && !service.filters.is_empty() {
                    let message = "never used: filters of a service hold for its automatic route, and `expose: false` \
                                   says that there is none";
                    check.warn(place.at.key("filters"), message);
                }
            }
        }
    }
}

/// The services that a rule sends requests to.
fn services<'a>(config: &Config, rule: &'a Rule) -> Vec<(&'a str, Service)> {
    if rule.answers_by_itself() {
        return Vec::new();
    }
    let used = rule.backend_refs.iter().filter(|backend| backend.weight > 0);
    used.map(|backend| (backend.service.as_str(), config.service(&backend.service))).collect()
}

/// The automatic route of a service leads around the guards of a rule. Returns whether it was reported.
fn around_rule(
    config: &Config,
    place: &Place<'_>,
    (name, service): (&str, &Service),
    order: &Order<'_>,
    check: &mut Check<'_>,
) -> bool {
    let Some(prefix) = service.expose.prefix(name) else { return false };
    let of_gateway = if service.public { &[] } else { config.gateway.filters.as_slice() };
    let Some((guard, at)) = missing(place, &service.filters, of_gateway) else { return false };
    if !order.reaches_automatic(&prefix) {
        return false;
    }
    let guard = guard.name();
    let message = format!(
        "there is a way around it: `{prefix}/` leads to service `{name}` without `{guard}`, so write `expose: false` \
         in services/{name}.yaml, or move the filter to `filters` of gateway.yaml"
    );
    check.warn(at.key(guard), message);
    true
}

/// A rule leads around the guards of a service's automatic route.
fn around_service(config: &Config, places: &[Place<'_>], rule: &Rule, place: &Place<'_>, check: &mut Check<'_>) {
    // Whoever says that anybody may come means it.
    if rule.public || rule.answers_by_itself() {
        return;
    }
    for (backend, at) in rule.backend_refs.iter().zip(place.at.get("backendRefs").items()) {
        let is_it = |place: &&Place<'_>| matches!(place.of, Owner::Service(name, _) if name == backend.service);
        let Some(service) = places.iter().find(is_it).filter(|_| backend.weight > 0) else { continue };
        if let Some((guard, _)) = missing(service, &rule.filters, &config.gateway.filters) {
            let (guard, name) = (guard.name(), &backend.service);
            let message = format!(
                "reached here without `{guard}` of services/{name}.yaml: filters of a service hold for its automatic \
                 route only, so give this rule its own, or `public: true` if anybody may come"
            );
            check.warn(at.get("service"), message);
        }
    }
}

/// A guard of `place` where the other way, with `own` and what the gateway has, has nothing of the kind.
fn missing<'a>(place: &Place<'a>, own: &[Filter], of_gateway: &[Filter]) -> Option<(&'a Filter, At<'a>)> {
    if own.iter().any(guards) {
        return None;
    }
    // To ask for another proof of identity is still to ask for one.
    let proven = !own.iter().any(proves_identity) && of_gateway.iter().any(demands_identity);
    place.guards().find(|(filter, _)| !(proven && proves_identity(filter)))
}
