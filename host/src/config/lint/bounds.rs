//! Bounds that never apply, because those of the services are tighter already.

use super::super::check::{At, Check};
use super::super::load::Config;
use super::super::route::Rule;
use super::super::units::Duration;

pub(super) fn lint(config: &Config, check: &mut Check<'_>, at: At<'_>) {
    for (route, at) in config.gateway.routes.iter().zip(at.get("routes").items()) {
        for (rule, at) in route.rules.iter().zip(at.get("rules").items()) {
            timeout(config, rule, check, at.get("timeouts").get("request"));
        }
    }
}

/// A rule can only shorten what its services have.
fn timeout(config: &Config, rule: &Rule, check: &mut Check<'_>, at: At<'_>) {
    let Some(request) = rule.timeouts.request else { return };
    let mut longest = Duration::ZERO;
    for backend in &rule.backend_refs {
        match config.service(&backend.service).timeouts.request {
            // No limit, which any other shortens.
            Duration::ZERO => return,
            of_service => longest = longest.max(of_service),
        }
    }
    if longest < request && longest != Duration::ZERO {
        let message = format!(
            "`{request}` has no effect: a rule only shortens `timeouts.request` of its services, which is {longest} at \
             most"
        );
        check.warn(at, message);
    }
}
