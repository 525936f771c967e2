//! Single filters that let in more than they seem to, and filters that stand beside what makes them useless.

use super::super::check::{At, Check};
use super::super::filter::{Cors, Filter, IpRules, LimitHeaders};
use super::super::route::Rule;
use super::network::is_all;
use super::place::{Owner, Place};

pub(super) fn lint(places: &[Place<'_>], check: &mut Check<'_>) {
    for place in places {
        let mut limit_before: Option<At<'_>> = None;
        for (filter, at) in place.filters() {
            match filter {
                Filter::Cors(cors) => any_origin(cors, check, at.get("cors")),
                Filter::IpRules(rules) => everybody(rules, check, at.get("ipRules")),
                Filter::RateLimit(limit) if limit.name.is_none() && limit.headers != LimitHeaders::None => {
                    let at = at.key("rateLimit");
                    // Headers tell them apart by the name.
                    if let Some(other) = limit_before.replace(at) {
                        let line = other.line_seen_from(at);
                        let message = format!("clients cannot tell this limit from the one in {line}: name both");
                        check.warn(at, message);
                    }
                }
                _ => {}
            }
        }
        if let Owner::Rule(rule) = place.of {
            answered(rule, place, check);
        }
    }
}

/// A browser sends a visitor's cookies along, and any page may read the answer.
fn any_origin(cors: &Cors, check: &mut Check<'_>, at: At<'_>) {
    if cors.allow_credentials && cors.allow_origins.iter().any(|origin| origin == "*") {
        let message =
            "together with `allowOrigins: [\"*\"]` any page may act and read as its visitor: name the origins";
        check.warn(at.get("allowCredentials"), message);
    }
}

/// A list of who may come that has everybody in it.
fn everybody(rules: &IpRules, check: &mut Check<'_>, at: At<'_>) {
    for (network, at) in rules.allow.iter().zip(at.get("allow").items()).filter(|(network, _)| is_all(network)) {
        let version = if network.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        check.warn(at, format!("lets in every {version} address, whatever else is in the list: name the networks"));
    }
}

/// What stands beside a filter that answers every request.
fn answered(rule: &Rule, place: &Place<'_>, check: &mut Check<'_>) {
    let answers = |filter: &Filter| matches!(filter, Filter::Redirect(_) | Filter::StaticResponse(_));
    // Of two, the last one answers.
    let Some(answer) = rule.filters.iter().rfind(|filter| answers(filter)) else { return };
    let name = answer.name();
    if !rule.backend_refs.is_empty() {
        check.warn(place.at.key("backendRefs"), format!("never gets a request: `{name}` answers all of them"));
    }
    for (filter, at) in place.filters() {
        let useless = match filter {
            Filter::Redirect(_) | Filter::StaticResponse(_) => !std::ptr::eq(filter, answer),
            Filter::RequestHeaders(_)
            | Filter::Rewrite(_)
            | Filter::BodyLimit(_)
            | Filter::Fault(_)
            | Filter::Mirror(_) => true,
            _ => false,
        };
        if useless {
            check.warn(at.key(filter.name()), format!("has no effect: `{name}` answers all requests"));
        }
    }
}
