//! Where a request would go, and why: what `wharf explain` prints.
//!
//! Asks the table that serves requests, built from the same configuration, and adds what happens between the match and
//! the service: filters, the path that the service sees, shares of backends, timeouts. Automatic routes are those of
//! services that have a file of settings or a component in the folder. Nothing is started or sent, and what depends on
//! a running host (whether a version serves, who a token belongs to) is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, Method};
use serde::Serialize;

use super::filter::{Rewrite, layers};
use super::path;
use super::route::{Backend, Listener, Outcome, Request, Scope, Table, Target, Verdict, listener_for};
use super::split::Facts;
use crate::config::{self, Config, Duration, Filter, RedirectToHttps};

/// A request that nobody sent.
#[derive(Debug, Clone)]
pub struct Question {
    /// By which listener it would come; if not given, the one that answers for the host.
    pub listener: Option<String>,
    /// Whether it would come by TLS; if not given, it may come either way.
    pub secure: Option<bool>,
    /// Its method.
    pub method: Method,
    /// The host it names, maybe with a port.
    pub host: Option<String>,
    /// Its path, as sent.
    pub path: String,
    /// What follows `?`.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Who would send it.
    pub client: IpAddr,
}

/// Why nothing can be said.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// There is no such listener.
    #[error("there is no listener `{name}`: there is {}", known.join(", "))]
    UnknownListener {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// All listeners have host names, and none of them fits.
    #[error("no listener answers for this address: there is {}", .0.join(", "))]
    NoListener(Vec<String>),
    /// The path is refused before any route is looked for.
    #[error("the gateway answers 400 bad_request: {0}")]
    Refused(&'static str),
}

/// Where a request would go, and why.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// By which listener it comes.
    pub listener: ExplainedListener,
    /// Its path in the one spelling that rules and services see.
    pub path: String,
    /// Where it goes; nowhere is 404 `no_route`, unless the listener redirects or the gateway answers.
    pub found: Option<Destination>,
    /// Whether the gateway itself answers, because nobody else has that path: how all services are.
    pub is_health: bool,
    /// All other matches there are: those that hold too, then the closest first.
    pub others: Vec<Other>,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedListener {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The hosts it answers for; all if not given.
    pub hostname: Option<String>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// The port with TLS to which it sends every request.
    pub redirects_to_https: Option<u16>,
}

/// Which match of which rule of which route; counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The route's name; `auto:<service>` for an automatic one.
    pub route: String,
    /// Which rule of the route.
    pub rule: usize,
    /// Its name, if it has one.
    pub rule_name: Option<String>,
    /// Which match of the rule.
    #[serde(rename = "match")]
    pub matched: usize,
}

/// What happens to a request that has a route.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// What it matched.
    #[serde(flatten)]
    pub origin: Origin,
    /// The host by which it matched: `*.example.com`, or `any host`.
    pub host: String,
    /// The path by which it matched: `prefix /api`.
    pub path: String,
    /// The rule's priority.
    pub priority: i32,
    /// Whether the gateway's identity filters do not hold.
    pub public: bool,
    /// In the order in which they work.
    pub filters: Vec<FilterStep>,
    /// The filter that answers, so that no service is asked.
    pub answered_by: Option<String>,
    /// The path that the service sees, if it is another one.
    pub rewritten: Option<String>,
    /// Requests of this rule that may run at once, if it says so.
    pub max_concurrent: Option<u32>,
    /// What decides among the backends besides weights.
    pub split: Option<ExplainedSplit>,
    /// Where it goes, by weight.
    pub backends: Vec<ExplainedBackend>,
}

/// What decides among versions besides weights, and what it says of this request.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedSplit {
    /// What of a request may name a version, the first first: `header x-version`, `cookie version`.
    pub named_by: Vec<String>,
    /// What is one user, who stays: `clientIp`, `header x-user`, `cookie session`.
    pub sticky_by: Option<String>,
    /// Which backend this request gets, counted from 1; none if weights draw.
    pub chosen: Option<usize>,
    /// Why: `named` or `sticky`.
    pub because: Option<&'static str>,
}

/// A filter and who gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterStep {
    /// Its key in the file.
    pub name: String,
    /// `gateway`, `rule`, `service` or `backend`.
    pub of: &'static str,
    /// What it does, of filters that do it to a share of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// One backend of a rule.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedBackend {
    /// The service.
    pub service: String,
    /// The version asked for.
    pub version: Option<String>,
    /// Its share of requests, of 100.
    pub percent: f64,
    /// Whether the folder of components has a file for it.
    pub has_file: bool,
    /// How many servers elsewhere are configured that answer for it.
    pub instances: usize,
    /// How long the whole request may take, the shorter one of the rule's and the service's; `null` is no limit.
    pub request_timeout: Option<Duration>,
    /// How long one try may take, the shorter one of the rule's and the service's.
    pub backend_timeout: Option<Duration>,
    /// Requests of the service that may run at once.
    pub max_concurrent: u32,
    /// What happens only on the way to it.
    pub filters: Vec<FilterStep>,
}

/// A match that does not win.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Other {
    /// Which one.
    #[serde(flatten)]
    pub origin: Origin,
    /// Whether it holds and only comes after the winner.
    pub holds: bool,
    /// Why it does not win.
    pub reasons: Vec<String>,
}

/// Services with files in the folder of components, with their labels.
type Files = BTreeMap<String, BTreeSet<Option<String>>>;

/// Filters of a place in the order in which they work.
#[derive(Debug, Clone, Default)]
struct Steps {
    steps: Vec<FilterStep>,
    rewrite: Option<Arc<Rewrite>>,
    /// Places of the rule's own.
    max_concurrent: Option<u32>,
}

/// Where a request would go under a configuration, if `files` were the components.
///
/// # Errors
/// When it could not come by any listener.
pub fn explain(config: &Config, files: &Files, question: &Question) -> Result<Explanation, ExplainError> {
    let listener = listener(config, question)?;
    let Question { method, host, path, query, headers, client, .. } = question;
    let path = &*path::normalize(path, &config.gateway.requests).map_err(ExplainError::Refused)?;
    if listener.redirects_to_https.is_some() {
        return Ok(Explanation { listener, path: path.to_owned(), found: None, is_health: false, others: Vec::new() });
    }
    let table = table(config, files);
    let request = Request {
        listener: Listener { name: &listener.name, hostname: listener.hostname.as_deref() },
        host: host.as_deref(),
        method,
        path,
        query: query.as_deref(),
        headers,
        client: *client,
    };
    let (found, verdicts) = table.explain(&request);
    let mut others = Vec::new();
    let mut destination = None;
    for Verdict { target, match_index, outcome } in verdicts {
        let origin = origin(target, match_index);
        match outcome {
            Outcome::Wins { host, path: by } => {
                let prefix = found.as_ref().and_then(|found| found.matched_prefix);
                let split = split(target, Facts { headers, client: Some(*client) });
                destination = Some(self::destination((config, files), target, split, origin, (host, by), prefix, path));
            }
            Outcome::ComesAfter(reason) => others.push(Other { origin, holds: true, reasons: vec![reason] }),
            Outcome::DoesNotHold(reasons) => others.push(Other { origin, holds: false, reasons }),
        }
    }
    let health = &config.gateway.health;
    let is_health = destination.is_none() && health.enabled && health.path == path;
    Ok(Explanation { listener, path: path.to_owned(), found: destination, is_health, others })
}

/// The listener that a request comes by.
fn listener(config: &Config, question: &Question) -> Result<ExplainedListener, ExplainError> {
    let listeners = config.gateway.public_listeners();
    let all: Vec<ExplainedListener> = listeners
        .iter()
        .map(|listener| ExplainedListener {
            name: listener.name.clone(),
            address: listener.address,
            hostname: listener.hostname.clone(),
            tls: listener.tls.is_some(),
            redirects_to_https: match listener.redirect_to_https {
                RedirectToHttps::Port(port) => Some(port),
                RedirectToHttps::No => None,
            },
        })
        .collect();
    let names = || all.iter().map(|listener| listener.name.clone()).collect();
    let name = match &question.listener {
        Some(name) => name.as_str(),
        None => {
            let port = question.host.as_deref().and_then(|host| host.parse::<Authority>().ok()?.port_u16());
            let port = port.filter(|port| all.iter().any(|one| one.address.port() == *port));
            // Where nothing listens with TLS, a proxy in front does.
            let secure = question.secure.filter(|secure| all.iter().any(|one| one.tls == *secure));
            let fits = |one: &&ExplainedListener| {
                secure.is_none_or(|secure| secure == one.tls) && port.is_none_or(|port| one.address.port() == port)
            };
            let known = all.iter().filter(fits);
            let known = known.map(|one| Listener { name: &one.name, hostname: one.hostname.as_deref() });
            let answers = listener_for(known, question.host.as_deref());
            answers.ok_or_else(|| ExplainError::NoListener(names()))?.name
        }
    };
    let known = all.iter().find(|listener| listener.name == name).cloned();
    known.ok_or_else(|| ExplainError::UnknownListener { name: name.to_owned(), known: names() })
}

fn table(config: &Config, files: &Files) -> Table<Steps> {
    let gateway = &config.gateway.filters;
    let services: BTreeSet<&String> = config.services.keys().chain(files.keys()).collect();
    let automatic = services.into_iter().filter_map(|name| Some((name, config.service(name).expose.prefix(name)?)));
    Table::build(&config.gateway.routes, automatic, |scope| match scope {
        Scope::Rule { rule, .. } => Steps {
            max_concurrent: rule.bulkhead.as_ref().map(|bulkhead| bulkhead.max_concurrent),
            ..Steps::of(gateway, &rule.filters, rule.public, "rule")
        },
        Scope::Backend { backend, .. } => Steps::of(&[], &backend.filters, false, "backend"),
        Scope::Automatic { service } => {
            let service = config.service(service);
            let prefix = config::Rewrite { prefix: Some("/".to_owned()), ..config::Rewrite::default() };
            Steps {
                rewrite: Some(Arc::new(Rewrite::new(&prefix))),
                ..Steps::of(gateway, &service.filters, service.public, "service")
            }
        }
    })
}

impl Steps {
    fn of(gateway: &[Filter], own: &[Filter], public: bool, of: &'static str) -> Self {
        let effective = layers::effective(gateway, own, public).into_iter();
        let rewrite = own.iter().find_map(|filter| match filter {
            Filter::Rewrite(rewrite) => Some(Arc::new(Rewrite::new(rewrite))),
            _ => None,
        });
        let step = |(of_gateway, filter): (bool, &Filter)| FilterStep {
            name: filter.name().to_owned(),
            of: if of_gateway { "gateway" } else { of },
            detail: detail(filter),
        };
        Self { steps: effective.map(step).collect(), rewrite, max_concurrent: None }
    }
}

fn origin(target: &Target<Steps>, match_index: usize) -> Origin {
    Origin {
        route: target.route.to_string(),
        rule: target.rule_index + 1,
        rule_name: target.rule_name.as_deref().map(str::to_owned),
        matched: match_index + 1,
    }
}

/// What a filter does to a share of requests.
fn detail(filter: &Filter) -> Option<String> {
    match filter {
        Filter::Fault(fault) => {
            let delay = fault.delay.map(|delay| format!("{} for {} %", delay.duration, delay.percent));
            let abort = fault.abort.map(|abort| format!("{} for {} %", abort.status, abort.percent));
            let header = fault.header.as_ref().map(|name| format!("with header {name}"));
            Some(delay.into_iter().chain(abort).chain(header).collect::<Vec<_>>().join(", "))
        }
        Filter::Mirror(mirror) => Some(format!("{} % to {}", mirror.percent, mirror.target())),
        _ => None,
    }
}

fn split(target: &Target<Steps>, facts: Facts<'_>) -> Option<ExplainedSplit> {
    let split = target.split.as_ref()?;
    let named = split.named(target.choices().map(|(label, _)| label), facts);
    let chosen = named.or_else(|| split.sticky(target.choices(), facts));
    let because = chosen.map(|_| if named.is_some() { "named" } else { "sticky" });
    let (named_by, sticky_by) = (split.named_by(), split.sticky_by());
    Some(ExplainedSplit { named_by, sticky_by, chosen: chosen.map(|index| index + 1), because })
}

fn destination(
    (config, files): (&Config, &Files),
    target: &Arc<Target<Steps>>,
    split: Option<ExplainedSplit>,
    origin: Origin,
    (host, by): (String, String),
    matched_prefix: Option<&str>,
    path: &str,
) -> Destination {
    let answers = |step: &&FilterStep| matches!(step.name.as_str(), "redirect" | "staticResponse");
    let rewritten = target.chain.rewrite.as_ref().map(|rewrite| rewrite.path(path, matched_prefix).into_owned());
    let total: u64 = target.backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let backend = |backend: &Backend<Steps>| {
        let service = config.service(&backend.service);
        let limit = |of_service: Duration, of_rule: Option<std::time::Duration>| {
            (of_service != Duration::ZERO).then_some(of_service).into_iter().chain(of_rule.map(shown)).min()
        };
        let version = backend.version.as_deref().map(str::to_owned);
        let labels = files.get(&*backend.service);
        ExplainedBackend {
            service: backend.service.to_string(),
            percent: percent(backend.weight, total),
            // The plain file may carry its label inside, and without one any version will do.
            has_file: labels
                .is_some_and(|labels| version.is_none() || labels.contains(&version) || labels.contains(&None)),
            // One without a label answers only for those who ask for none.
            instances: service.instances.iter().filter(|one| version.is_none() || one.version == version).count(),
            request_timeout: limit(service.timeouts.request, target.request_timeout),
            backend_timeout: limit(service.timeouts.backend_request, target.backend_timeout),
            max_concurrent: service.bulkhead.max_concurrent,
            filters: backend.chain.clone().unwrap_or_default().steps,
            version,
        }
    };
    Destination {
        origin,
        host,
        path: by,
        priority: target.priority,
        public: target.public,
        answered_by: target.chain.steps.iter().find(answers).map(|step| step.name.clone()),
        filters: target.chain.steps.clone(),
        rewritten: rewritten.filter(|rewritten| rewritten != path),
        max_concurrent: target.chain.max_concurrent,
        split,
        backends: target.backends.iter().map(backend).collect(),
    }
}

/// As the configuration writes it.
fn shown(time: std::time::Duration) -> Duration {
    Duration::millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// To a tenth.
fn percent(weight: u32, total: u64) -> f64 {
    if total == 0 {
        return 0.0;
    }
    (f64::from(weight) * 1000.0 / total as f64).round() / 10.0
}
