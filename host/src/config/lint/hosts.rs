//! Hosts of routes that no listener answers for: their requests are refused before a route is looked for.

use super::super::check::{At, Check};
use super::super::listener::{Listener, RedirectToHttps, hostname_fits};
use super::super::model::Gateway;
use super::super::route::Route;

pub(super) fn lint(gateway: &Gateway, check: &mut Check<'_>, at: At<'_>) {
    let listeners = gateway.public_listeners();
    for (route, at) in gateway.routes.iter().zip(at.get("routes").items()) {
        let serving: Vec<&Listener> = listeners.iter().filter(|listener| serves(listener, route)).collect();
        if serving.is_empty() {
            let message = "never reached: every listener here sends all requests on to https, name one with TLS";
            check.warn(at.key("listeners"), message);
            continue;
        }
        for (host, at) in route.hostnames.iter().zip(at.get("hostnames").items()) {
            if serving.iter().any(|listener| overlap(listener.hostname.as_deref(), host)) {
                continue;
            }
            // None of them is without a host, or it would answer for this one.
            let named = serving.iter().map(|listener| listener.hostname.as_deref().unwrap_or_default());
            let named = named.collect::<Vec<_>>().join(", ");
            check.warn(at, format!("never reached: no listener answers for `{host}`, there is {named}"));
        }
    }
}

/// Whether requests that come by a listener can go to a route.
fn serves(listener: &Listener, route: &Route) -> bool {
    let asked_for = route.listeners.is_empty() || route.listeners.contains(&listener.name);
    asked_for && listener.redirect_to_https == RedirectToHttps::No
}

/// Whether some host belongs to both; nothing stands for all hosts.
fn overlap(listener: Option<&str>, host: &str) -> bool {
    // Of two wildcards the longer is inside the other, if they meet at all.
    let inside = |wide: &str, narrow: &str| hostname_fits(Some(wide), narrow.trim_start_matches('*')).is_some();
    listener.is_none_or(|listener| listener == host || inside(listener, host) || inside(host, listener))
}
