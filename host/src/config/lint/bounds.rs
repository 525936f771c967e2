//! Bounds that never apply, because those of the services are tighter already.

use super::super::check::{At, Check};
use super::super::filter::Filter;
use super::super::load::Config;
use super::super::route::Rule;
use super::super::service::Service;
use super::super::units::{Duration, Size};
use super::place::{Owner, Place};

pub(super) fn lint(config: &Config, places: &[Place<'_>], check: &mut Check<'_>) {
    for place in places {
        let services: Vec<Service> = match place.of {
            Owner::Gateway => continue,
            Owner::Rule(rule) => rule.backend_refs.iter().map(|backend| config.service(&backend.service)).collect(),
            Owner::Service(_, service) => vec![service.clone()],
        };
        if let Owner::Rule(rule) = place.of {
            timeouts(rule, &services, check, place.at.get("timeouts"));
        }
        let Some(most) = services.iter().map(|service| service.limits.request_body).max() else { continue };
        for (filter, at) in place.filters() {
            if let Filter::BodyLimit(limit) = filter {
                body(limit.max, most, check, at.get("bodyLimit").get("max"));
            }
        }
    }
}

/// A rule can only shorten what its services have.
fn timeouts(rule: &Rule, services: &[Service], check: &mut Check<'_>, at: At<'_>) {
    let of_services = services.iter().map(|service| service.timeouts.request);
    // 0 is no limit, which any other shortens.
    let longest = of_services.max_by_key(|timeout| (*timeout == Duration::ZERO, *timeout));
    let Some(longest) = longest.filter(|longest| *longest != Duration::ZERO) else { return };
    let own = [("request", rule.timeouts.request), ("backendRequest", rule.timeouts.backend_request)];
    for (name, timeout) in own {
        if let Some(timeout) = timeout.filter(|timeout| *timeout > longest) {
            let message = format!(
                "`{timeout}` has no effect: a rule only shortens `timeouts.request` of its services, which is \
                 {longest} at most"
            );
            check.warn(at.get(name), message);
        }
    }
}

fn body(max: Size, most: Size, check: &mut Check<'_>, at: At<'_>) {
    if max > most {
        let message = format!("`{max}` has no effect: it never allows more than `limits.requestBody`, which is {most}");
        check.warn(at, message);
    }
}
