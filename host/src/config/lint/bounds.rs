//! Bounds that never apply, because those of the services are tighter already, and tries that are never made.

use super::super::check::{At, Check};
use super::super::filter::Filter;
use super::super::load::Config;
use super::super::route::Rule;
use super::super::service::Service;
use super::super::units::{Duration, Size};
use super::place::{Owner, Place};

const GATEWAY_TIMEOUT: u16 = 504;

pub(super) fn lint(config: &Config, places: &[Place<'_>], check: &mut Check<'_>) {
    for place in places {
        let services: Vec<Service> = match place.of {
            Owner::Gateway => continue,
            Owner::Rule(rule) => rule.backend_refs.iter().map(|backend| config.service(&backend.service)).collect(),
            Owner::Service(_, service) => vec![service.clone()],
        };
        if let Owner::Rule(rule) = place.of {
            timeouts(rule, &services, check, place.at.get("timeouts"));
            places_of(rule, &services, check, place.at.get("bulkhead"));
        }
        let one_try = services.iter().any(|service| service.timeouts.backend_request != Duration::ZERO);
        match place.of {
            Owner::Rule(rule) if rule.timeouts.backend_request.is_none() && !one_try => {
                let codes = rule.retry.iter().flat_map(|retry| &retry.codes);
                slow_tries(codes, check, place.at.get("retry").get("codes"));
            }
            Owner::Service(_, service) if !one_try => {
                let codes = service.retry.iter().flat_map(|retry| &retry.codes);
                slow_tries(codes, check, place.at.get("retry").get("codes"));
            }
            Owner::Gateway | Owner::Rule(_) | Owner::Service(..) => {}
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

/// A rule's requests take places of their services, too, so of more places than those have some are never used.
fn places_of(rule: &Rule, services: &[Service], check: &mut Check<'_>, at: At<'_>) {
    let of_services: u32 = services.iter().map(|service| service.bulkhead.max_concurrent).sum();
    let Some(own) = rule.bulkhead.as_ref().filter(|own| !services.is_empty() && own.max_concurrent > of_services)
    else {
        return;
    };
    let message = format!(
        "`{}` has no effect: it never allows more than `bulkhead.maxConcurrent` of its services, which is {of_services}",
        own.max_concurrent
    );
    check.warn(at.get("maxConcurrent"), message);
}

/// Whoever writes 504 wants slow tries to end; nobody ends them.
fn slow_tries<'a>(codes: impl Iterator<Item = &'a u16>, check: &mut Check<'_>, at: At<'_>) {
    for (_, at) in codes.zip(at.items()).filter(|(code, _)| **code == GATEWAY_TIMEOUT) {
        let message = "a try that takes too long is not made again: `timeouts.request` ends all tries together, so give \
                       `timeouts.backendRequest` too";
        check.warn(at, message);
    }
}

fn body(max: Size, most: Size, check: &mut Check<'_>, at: At<'_>) {
    if max > most {
        let message = format!("`{max}` has no effect: it never allows more than `limits.requestBody`, which is {most}");
        check.warn(at, message);
    }
}
