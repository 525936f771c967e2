//! Traps: settings that are allowed, and hardly what was meant.
//!
//! Decided here: what is worth a warning. A warning must be about something that does not do what whoever wrote it
//! believes (a limit that never applies, a protection with a way around it), must be right whatever the plugins folder
//! holds, and must have a way to write the same thing without it. Matters of taste are not warned about: a warning that
//! is usually ignored teaches to ignore the others.
//!
//! What can never be meant is an error and belongs to `check`. Warnings are looked for only in a configuration that is
//! right, because about a value that is wrong there is nothing true to say. A warning changes nothing: such a
//! configuration is put in force. Files that the configuration names (certificates, keys) are not looked into, as a
//! configuration can be checked where they are not.

mod bounds;
mod events;
mod filters;
mod hosts;
mod identity;
mod network;
mod paths;
mod place;
mod shadow;
mod way_around;

use std::collections::BTreeMap;

use super::check::{At, Check};
use super::load::Config;
use super::problem::Problem;
use super::tree::Node;

/// Everything that is worth a warning. `root` is what the gateway's part was read from, `services` the rest, by name.
pub(super) fn lint(config: &Config, root: &Node, services: &BTreeMap<String, Node>) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let mut check = Check { problems: &mut warnings };
    let at = At::root(root);
    let places = place::places(config, at, services);
    let order = shadow::Order::new(&config.gateway, at);
    network::lint(config, &places, &mut check, at);
    hosts::lint(&config.gateway, &mut check, at);
    order.lint(&mut check);
    bounds::lint(config, &places, &mut check);
    filters::lint(&places, &mut check);
    identity::lint(&config.gateway, &places, &mut check);
    way_around::lint(config, &places, &order, &mut check);
    events::lint(config, &mut check, services);
    paths::lint(&config.gateway.requests, &places, &mut check);
    warnings
}

#[cfg(test)]
mod tests;
