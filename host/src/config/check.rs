//! What types cannot say: bounds, and what must agree with what.
//!
//! Runs on the effective configuration, with the tree beside it to know whom to blame. A value that did not even have
//! the right type was reported already and stands here with its default, which is always good. References to services
//! are not checked: services come and go with files in the plugins folder while the configuration stays.

mod filters;
mod routes;

pub(super) use routes::valid_hostname;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::auth::Auth;
use super::events::QueueSettings;
use super::health_check::HealthCheck;
use super::instances::{check_instances, check_labels};
use super::model::Gateway;
use super::problem::{Problem, Span};
use super::schedule::Schedule;
use super::service::{Limits, Service, ServiceDefaults, SlotReuse, Slots};
use super::settings::check_secrets;
use super::subscription::Subscription;
use super::tree::{Kind, Node};
use super::units::{Duration, Size};

/// Largest linear memory that a slot can have; the instance pool reserves address space for it.
const MAX_MEMORY: Size = Size::mib(512);
/// Bounds of `limits.headers`: less breaks ordinary clients, more is a denial of service.
const HEADERS: RangeInclusive<Size> = Size::kib(1)..=Size::mib(1);
const MAX_SLOTS: RangeInclusive<u32> = 1..=10_000;
const COMPILE_CONCURRENCY: RangeInclusive<u32> = 1..=64;
const RESOURCES: RangeInclusive<u32> = 16..=1_000_000;
const CALLS: RangeInclusive<u32> = 0..=1_000_000;
const OPEN_CALLS: RangeInclusive<u32> = 1..=10_000;
const PUBLISH_RATE: RangeInclusive<u32> = 1..=1_000_000;
/// Reading a folder more often than this costs more than it tells.
const MIN_POLL: Duration = Duration::millis(100);
const MS: Duration = Duration::millis(1);

/// Names under `.internal` that are the host's own.
const RESERVED: [&str; 1] = ["events"];

/// Whether `name` can be a service: it is a file name, a host name label and a path segment at once.
///
/// # Errors
/// Says which letters are allowed, or that the name is the host's.
pub fn valid_service_name(name: &str) -> Result<(), String> {
    not_reserved(name)?;
    valid_name(name)
}

/// Whether no address of the host's own has this name.
///
/// # Errors
/// Says which.
pub fn not_reserved(name: &str) -> Result<(), String> {
    if RESERVED.contains(&name) {
        return Err(format!(
            "`{name}` cannot be a service: http://{name}.internal/ is the host's own; use another name"
        ));
    }
    Ok(())
}

/// The letters of names.
pub(super) fn valid_name(name: &str) -> Result<(), String> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letters) && name.len() <= 63 {
        return Ok(());
    }
    let name = name.escape_debug();
    Err(format!(
        "`{name}` is no service name: use a lowercase letter, then lowercase letters, digits and `-`, at most 63"
    ))
}

/// Whether the admin API may listen there. Given on the command line it must hold as well.
///
/// # Errors
/// Says what to listen on instead.
pub fn valid_admin_listen(address: SocketAddr) -> Result<(), String> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!("the admin API cannot listen on {address}: it asks for no credentials, so use a loopback address"))
}

/// A walk through the tree beside a struct; where the tree has nothing, it stays at the last thing there was.
#[derive(Clone, Copy)]
pub(in crate::config) struct At<'a> {
    node: Option<&'a Node>,
    span: &'a Span,
}

impl<'a> At<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        Self { node: Some(node), span: &node.span }
    }

    pub(in crate::config) fn get(self, key: &str) -> Self {
        let node = self.node.and_then(|node| node.get(key));
        Self { node, span: node.map_or(self.span, |node| &node.span) }
    }

    /// The key instead of its value.
    pub(in crate::config) fn key(self, key: &str) -> Self {
        let entry = self.node.and_then(|node| node.entry(key));
        Self { node: None, span: entry.map_or(self.span, |entry| &entry.span) }
    }

    /// The items that were read, in the order in which they were read.
    pub(in crate::config) fn items(self) -> impl Iterator<Item = At<'a>> {
        let items: &[Node] = match self.node.map(|node| &node.kind) {
            Some(Kind::List(items)) => items,
            _ => &[],
        };
        items.iter().filter(|item| !item.is_refused()).map(|item| At { node: Some(item), span: item.place() })
    }

    /// How many items were written, the wrong ones too.
    pub(in crate::config) fn written(self) -> usize {
        match self.node.map(|node| &node.kind) {
            Some(Kind::List(items)) => items.len(),
            _ => 0,
        }
    }

    /// The line it stands in, from 1.
    pub(in crate::config) fn line(self) -> usize {
        self.span.position().0
    }

    /// Names its line to somebody who looks at `here`.
    pub(in crate::config) fn line_seen_from(self, here: At<'_>) -> String {
        routes::line_of(self.span, here.span)
    }

    /// Whether anything inside was reported already.
    pub(in crate::config) fn has_refused(self) -> bool {
        self.node.is_some_and(Node::has_refused)
    }
}

/// Collects what is wrong.
pub(in crate::config) struct Check<'p> {
    pub(super) problems: &'p mut Vec<Problem>,
}

impl Check<'_> {
    pub(in crate::config) fn wrong(&mut self, at: At<'_>, message: impl Into<String>) {
        self.problems.push(Problem::at(at.span, message));
    }

    /// Something that is allowed and hardly meant.
    pub(in crate::config) fn warn(&mut self, at: At<'_>, message: impl Into<String>) {
        self.problems.push(Problem::at(at.span, message).warning());
    }

    pub(in crate::config) fn within<T: PartialOrd + Display>(
        &mut self,
        at: At<'_>,
        value: &T,
        bounds: &RangeInclusive<T>,
    ) {
        if !bounds.contains(value) {
            self.wrong(at, format!("`{value}` is out of bounds: {} to {}", bounds.start(), bounds.end()));
        }
    }

    pub(in crate::config) fn at_least<T: PartialOrd + Display>(&mut self, at: At<'_>, value: &T, least: &T) {
        if value < least {
            self.wrong(at, format!("`{value}` is too little: at least {least}"));
        }
    }

    pub(super) fn gateway(&mut self, gateway: &Gateway, at: At<'_>) {
        let Gateway { connections, requests, auth, admin, plugins, state, engine, .. } = gateway;
        let Gateway { drain: _, trusted_proxies: _, access_log: _, defaults, filters, routes, .. } = gateway;
        super::listener::check_all(gateway, self, at);
        connections.check(self, at.get("connections"));
        requests.check(self, at.get("requests"));
        gateway.calls.check(self, at.get("calls"));
        check_secrets(&gateway.secrets, self, at.get("secrets"));
        gateway.health.check(self, at.get("health"));
        gateway.openapi.check(self, at.get("openapi"));
        gateway.events.check(self, at.get("events"));
        QueueSettings::check_all(&gateway.queues, self, at.get("queues"));
        gateway.registry.check(self, at.get("registry"));
        auth.check(self, at.get("auth"));
        let admin_at = at.get("admin").get("listen");
        if let Err(message) = valid_admin_listen(admin.listen) {
            self.wrong(admin_at, message);
        }
        let plugins_at = at.get("plugins");
        self.at_least(plugins_at.get("pollInterval"), &plugins.poll_interval, &MIN_POLL);
        for (at, path) in [(plugins_at.get("dir"), &plugins.dir), (at.get("state").get("path"), &state.path)] {
            if path.as_os_str().is_empty() {
                self.wrong(at, "an empty path: name a folder");
            }
        }
        if state.backups.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            self.wrong(at.get("state").get("backups"), "an empty path: name a folder");
        }
        let engine_at = at.get("engine");
        self.within(engine_at.get("maxSlots"), &engine.max_slots, &MAX_SLOTS);
        self.within(engine_at.get("compileConcurrency"), &engine.compile_concurrency, &COMPILE_CONCURRENCY);
        self.at_least(engine_at.get("compileTimeout"), &engine.compile_timeout, &Duration::secs(1));
        let ServiceDefaults { limits, timeouts, retry, load_balancer, bulkhead, slots, health_check, rollout, .. } =
            defaults;
        let defaults_at = at.get("defaults");
        self.policies(limits, slots, health_check, defaults_at);
        timeouts.check(self, defaults_at.get("timeouts"));
        bulkhead.check(self, defaults_at.get("bulkhead"));
        if let Some(retry) = retry {
            retry.check(self, defaults_at.get("retry"));
        }
        rollout.check(self, defaults_at.get("rollout"));
        defaults.contract.check(self, defaults_at.get("contract"));
        defaults.versioning.check(self, defaults_at.get("versioning"));
        defaults.sql.check(self, defaults_at.get("sql"));
        load_balancer.check(self, defaults_at.get("loadBalancer"));
        defaults.circuit_breaker.check(self, defaults_at.get("circuitBreaker"));
        defaults.outlier_detection.check(self, defaults_at.get("outlierDetection"));
        self.shared_filters(filters, auth, at.get("filters"));
        self.routes(routes, gateway, at.get("routes"));
    }

    pub(super) fn service(&mut self, service: &Service, auth: &Auth, at: At<'_>) {
        let Service { limits, timeouts, retry, load_balancer, bulkhead, slots, health_check, filters, .. } = service;
        self.shared_filters(filters, auth, at.get("filters"));
        self.policies(limits, slots, health_check, at);
        timeouts.check(self, at.get("timeouts"));
        bulkhead.check(self, at.get("bulkhead"));
        if let Some(retry) = retry {
            retry.check(self, at.get("retry"));
        }
        service.grants.check(self, at.get("grants"));
        Subscription::check_all(&service.subscriptions, self, at.get("subscriptions"));
        Schedule::check_all(&service.schedules, self, at.get("schedules"));
        service.rollout.check(self, at.get("rollout"));
        service.contract.check(self, at.get("contract"));
        service.versioning.check(self, at.get("versioning"));
        service.sql.check(self, at.get("sql"));
        load_balancer.check(self, at.get("loadBalancer"));
        service.circuit_breaker.check(self, at.get("circuitBreaker"));
        service.outlier_detection.check(self, at.get("outlierDetection"));
        check_labels(&service.tags, &service.metadata, self, at);
        check_instances(&service.instances, self, at.get("instances"));
    }

    fn policies(&mut self, limits: &Limits, slots: &Slots, health: &HealthCheck, at: At<'_>) {
        let limits_at = at.get("limits");
        self.within(limits_at.get("memory"), &limits.memory, &(Size::kib(64)..=MAX_MEMORY));
        self.at_least(limits_at.get("cpuTime"), &limits.cpu_time, &MS);
        self.at_least(limits_at.get("responseBody"), &limits.response_body, &Size::bytes(1));
        self.within(limits_at.get("headers"), &limits.headers, &HEADERS);
        self.within(limits_at.get("resources"), &limits.resources, &RESOURCES);
        self.within(limits_at.get("calls"), &limits.calls, &CALLS);
        self.within(limits_at.get("openCalls"), &limits.open_calls, &OPEN_CALLS);
        self.within(limits_at.get("publishRate"), &limits.publish_rate, &PUBLISH_RATE);
        if let Slots::Reuse(SlotReuse { max_requests, idle }) = slots {
            let reuse_at = at.get("slots").get("reuse");
            self.at_least(reuse_at.get("maxRequests"), max_requests, &1);
            self.at_least(reuse_at.get("idle"), idle, &MS);
        }
        health.check(self, at.get("healthCheck"));
    }

    /// Two configured services cannot be reached under the same path.
    pub(super) fn exposed(&mut self, services: &BTreeMap<String, Service>, trees: &BTreeMap<String, Node>) {
        let mut taken: HashMap<String, &str> = HashMap::new();
        // Services that chose their path come last, so that they are the ones blamed.
        let (named, chosen): (Vec<_>, Vec<_>) =
            services.iter().partition(|(name, service)| service.expose.prefix(name) == Some(format!("/{name}")));
        for (name, service) in named.into_iter().chain(chosen) {
            let Some(prefix) = service.expose.prefix(name) else { continue };
            match taken.get(&prefix) {
                None => {
                    taken.insert(prefix, name);
                }
                Some(owner) => {
                    if let Some(tree) = trees.get(name) {
                        let message = format!("service `{owner}` is exposed under `{prefix}` already");
                        self.wrong(At::root(tree).get("expose"), message);
                    }
                }
            }
        }
    }
}
