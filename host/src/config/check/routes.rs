//! What must hold for routes.

use std::collections::{BTreeSet, HashMap};

use http::{HeaderName, HeaderValue};

use super::super::notation::valid_path;
use super::super::problem::Span;
use super::super::route::{BackendRef, Match, PathMatch, Route, Rule};
use super::{At, Check, Duration, valid_service_name};

/// Largest weight, as in the Gateway API; sums of weights cannot overflow.
const MAX_WEIGHT: u32 = 1_000_000;

/// Where a match was seen first.
struct Seen<'a> {
    route: &'a str,
    span: &'a Span,
}

/// A host (or all) and what else must hold: two equal ones cannot both be reached.
type Key = (Option<String>, String);

impl Check<'_> {
    pub(super) fn routes<'a>(&mut self, routes: &'a [Route], at: At<'a>) {
        let mut names = HashMap::new();
        let mut matches: HashMap<Key, Seen<'_>> = HashMap::new();
        for (route, at) in routes.iter().zip(at.items()) {
            let name_at = at.get("name");
            if route.name.is_empty() {
                self.wrong(name_at, "an empty name: logs need one to name the route by");
            }
            if let Some(first) = names.insert(route.name.as_str(), name_at.span) {
                let line = line_of(first, name_at.span);
                self.wrong(name_at, format!("the route in {line} is named `{}` too", route.name));
            }
            for (hostname, at) in route.hostnames.iter().zip(at.get("hostnames").items()) {
                if let Err(message) = valid_hostname(hostname) {
                    self.wrong(at, message);
                }
            }
            let rules_at = at.get("rules");
            if rules_at.written() == 0 {
                self.wrong(at.key("rules"), format!("route `{}` has no rules: give at least one", route.name));
            }
            for (rule, rule_at) in route.rules.iter().zip(rules_at.items()) {
                self.rule(rule, rule_at);
                self.shadowed((route, at), (rule, rule_at), &mut matches);
            }
        }
    }

    fn rule(&mut self, rule: &Rule, at: At<'_>) {
        for (matched, at) in rule.matches.iter().zip(at.get("matches").items()) {
            self.matched(matched, at);
        }
        if rule.timeouts.request == Some(Duration::ZERO) {
            let message = "`0s` would end every request at once: remove it to keep the service's own timeout";
            self.wrong(at.get("timeouts").get("request"), message);
        }
        self.filters_of(rule, at);
        self.backends(&rule.backend_refs, at);
    }

    fn matched(&mut self, matched: &Match, at: At<'_>) {
        let path_at = at.get("path");
        let path = match &matched.path {
            Some(PathMatch::Exact(path)) => Some((path, path_at.get("exact"))),
            Some(PathMatch::Prefix(path)) => Some((path, path_at.get("prefix"))),
            None => None,
        };
        if let Some((path, at)) = path
            && let Err(message) = valid_path(path)
        {
            self.wrong(at, message);
        }
        if let Some(method) = &matched.method
            && (method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'))
        {
            self.wrong(at.get("method"), format!("`{method}` is no method: write it in upper case, like GET"));
        }
        let headers_at = at.get("headers");
        let mut names = BTreeSet::new();
        for (name, value) in &matched.headers {
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => self.wrong(headers_at.key(name), format!("`{name}` is no header name")),
                Ok(parsed) if !names.insert(parsed.as_str().to_owned()) => {
                    let message = format!("`{name}` is given twice: upper and lower case are the same in header names");
                    self.wrong(headers_at.key(name), message);
                }
                Ok(_) => {}
            }
            if HeaderValue::from_str(value).is_err() {
                self.wrong(headers_at.get(name), "a header's value cannot contain control characters");
            }
        }
    }

    fn backends(&mut self, backends: &[BackendRef], at: At<'_>) {
        let backends_at = at.get("backendRefs");
        if backends_at.written() == 0 {
            self.wrong(at.key("backendRefs"), "no backend: name at least one service");
            return;
        }
        for (backend, at) in backends.iter().zip(backends_at.items()) {
            if let Err(message) = valid_service_name(&backend.service) {
                self.wrong(at.get("service"), message);
            }
            if backend.version.as_deref() == Some("") {
                self.wrong(at.get("version"), "an empty version: remove it, or name one");
            }
            self.within(at.get("weight"), &backend.weight, &(0..=MAX_WEIGHT));
        }
        // With a backend that could not be read, the sum is not known.
        if backends_at.items().count() == backends_at.written() && backends.iter().all(|backend| backend.weight == 0) {
            self.wrong(at.key("backendRefs"), "all weights are 0: give at least one backend a share");
        }
    }

    fn shadowed<'a>(
        &mut self,
        (route, route_at): (&'a Route, At<'a>),
        (rule, at): (&'a Rule, At<'a>),
        seen: &mut HashMap<Key, Seen<'a>>,
    ) {
        // What lost a part because of a mistake would look like something that it is not.
        if route_at.get("hostnames").has_refused() {
            return;
        }
        let hosts: Vec<Option<String>> = match route.hostnames.as_slice() {
            [] => vec![None],
            hosts => hosts.iter().cloned().map(Some).collect(),
        };
        let whole = [Match::default()];
        let written = at.get("matches");
        // Without matches there is one that always holds; without any that could be read, there is nothing to say.
        let matches: Vec<(&Match, At<'_>)> = match rule.matches.as_slice() {
            [] if written.written() > 0 => Vec::new(),
            [] => whole.iter().map(|matched| (matched, at)).collect(),
            matches => matches.iter().zip(written.items()).filter(|(_, at)| !at.has_refused()).collect(),
        };
        for (matched, at) in matches {
            let conditions = conditions(matched);
            for host in &hosts {
                let first = Seen { route: &route.name, span: at.span };
                match seen.get(&(host.clone(), conditions.clone())) {
                    None => {
                        seen.insert((host.clone(), conditions.clone()), first);
                    }
                    Some(Seen { route, span }) => {
                        let line = line_of(span, at.span);
                        let message = format!("never reached: route `{route}` matches the same in {line}");
                        self.wrong(at, message);
                        break;
                    }
                }
            }
        }
    }
}

/// Names the line of `other` to somebody who looks at `here`.
fn line_of(other: &Span, here: &Span) -> String {
    let (line, _) = other.position();
    match other.file.path.file_name() {
        Some(name) if other.file != here.file => format!("line {line} of {}", name.to_string_lossy()),
        _ => format!("line {line}"),
    }
}

/// All conditions of a match as one text, equal for equal ones.
fn conditions(matched: &Match) -> String {
    let Match { path, method, headers, query_params } = matched;
    let path = match path {
        Some(PathMatch::Exact(path)) => (true, path.as_str()),
        Some(PathMatch::Prefix(path)) => (false, path.trim_end_matches('/')),
        None => (false, ""),
    };
    let mut headers: Vec<(String, &String)> =
        headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    headers.sort();
    format!("{path:?} {method:?} {headers:?} {query_params:?}")
}

/// Whether `hostname` is a DNS name, maybe with `*.` before it.
pub(in crate::config) fn valid_hostname(hostname: &str) -> Result<(), String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = hostname.strip_prefix("*.").unwrap_or(hostname);
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    let shown = hostname.escape_debug();
    Err(format!("`{shown}` is no host name: write lowercase names such as shop.example.com or *.example.com, no port"))
}
