//! What must hold for routes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::super::filter::{Filter, Jwt};
use super::super::model::Gateway;
use super::super::notation::valid_path;
use super::super::problem::Span;
use super::super::route::{BackendRef, Match, PathMatch, Route, Rule, RuleTimeouts, ValueMatch, compile_pattern};
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
    pub(super) fn routes<'a>(&mut self, routes: &'a [Route], gateway: &Gateway, at: At<'a>) {
        let listeners = gateway.public_listeners();
        let mut names = HashMap::new();
        let mut rules = Vec::new();
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
            for (listener, at) in route.listeners.iter().zip(at.get("listeners").items()) {
                if !listeners.iter().any(|known| known.name == *listener) {
                    let known: Vec<&str> = listeners.iter().map(|known| known.name.as_str()).collect();
                    let shown = listener.escape_debug();
                    self.wrong(at, format!("no listener `{shown}`: there is {}", known.join(", ")));
                }
            }
            let rules_at = at.get("rules");
            let mut rule_names = HashMap::new();
            if rules_at.written() == 0 {
                self.wrong(at.key("rules"), format!("route `{}` has no rules: give at least one", route.name));
            }
            for (rule, rule_at) in route.rules.iter().zip(rules_at.items()) {
                self.rule(rule, rule_at);
                Jwt::check_providers(&rule.filters, &gateway.auth, self, rule_at.get("filters"));
                if let Some(name) = rule.name.as_deref() {
                    let name_at = rule_at.get("name");
                    if name.is_empty() {
                        self.wrong(name_at, "an empty name: remove it, or name the rule");
                    }
                    if let Some(first) = rule_names.insert(name, name_at.span) {
                        let line = line_of(first, name_at.span);
                        self.wrong(name_at, format!("the rule in {line} is named `{name}` too"));
                    }
                }
                rules.push(((route, at), (rule, rule_at)));
            }
        }
        // Whoever is reached first comes first.
        rules.sort_by_key(|(_, (rule, _))| Reverse(rule.priority));
        let mut seen = HashMap::new();
        for (route, rule) in rules {
            self.shadowed(route, rule, &mut seen);
        }
    }

    fn rule(&mut self, rule: &Rule, at: At<'_>) {
        for (matched, at) in rule.matches.iter().zip(at.get("matches").items()) {
            self.matched(matched, at);
        }
        self.timeouts(rule, at.get("timeouts"));
        if let Some(retry) = &rule.retry {
            retry.check(self, at.get("retry"));
        }
        if let Some(bulkhead) = &rule.bulkhead {
            bulkhead.check(self, at.get("bulkhead"));
        }
        self.filters_of(rule, at);
        self.backends(rule, at);
        if let Some(split) = &rule.split {
            split.check(&rule.backend_refs, self, at.get("split"), at);
        }
    }

    fn timeouts(&mut self, rule: &Rule, at: At<'_>) {
        let RuleTimeouts { request, backend_request } = rule.timeouts;
        for (name, timeout) in [("request", request), ("backendRequest", backend_request)] {
            if timeout == Some(Duration::ZERO) {
                let message = "`0s` would end every request at once: remove it to keep the service's own timeout";
                self.wrong(at.get(name), message);
            }
        }
        if let (Some(request), Some(one_try)) = (request, backend_request)
            && one_try > request
        {
            let message =
                format!("`{one_try}` is longer than `request` ({request}): one try cannot outlast all of them");
            self.wrong(at.get("backendRequest"), message);
        }
    }

    fn matched(&mut self, matched: &Match, at: At<'_>) {
        let Match { path, method, headers, query_params, cookies, client_ips: _ } = matched;
        let path_at = at.get("path");
        let wrong = match path {
            Some(PathMatch::Exact(path)) => valid_path(path).map_err(|message| ("exact", message)),
            Some(PathMatch::Prefix(path)) => valid_path(path).map_err(|message| ("prefix", message)),
            Some(PathMatch::Regex(pattern)) => match compile_pattern(pattern) {
                Ok(_) => Ok(()),
                Err(message) => Err(("regex", message)),
            },
            None => Ok(()),
        };
        if let Err((key, message)) = wrong {
            self.wrong(path_at.get(key), message);
        }
        if let Some(method) = method
            && (method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-'))
        {
            self.wrong(at.get("method"), format!("`{method}` is no method: write it in upper case, like GET"));
        }
        let headers_at = at.get("headers");
        let mut names = BTreeSet::new();
        for (name, value) in headers {
            match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => self.wrong(headers_at.key(name), format!("`{name}` is no header name")),
                Ok(parsed) if !names.insert(parsed.as_str().to_owned()) => {
                    let message = format!("`{name}` is given twice: upper and lower case are the same in header names");
                    self.wrong(headers_at.key(name), message);
                }
                Ok(_) => {}
            }
            if let ValueMatch::Exact(value) = value
                && HeaderValue::from_str(value).is_err()
            {
                self.wrong(headers_at.get(name), "a header's value cannot contain control characters");
            }
        }
        let cookies_at = at.get("cookies");
        for name in cookies.keys() {
            // A cookie's name is a token, as a header's is (RFC 6265 §4.1.1).
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                self.wrong(cookies_at.key(name), format!("`{name}` is no name of a cookie"));
            }
        }
        self.patterns(headers, headers_at);
        self.patterns(query_params, at.get("queryParams"));
        self.patterns(cookies, cookies_at);
    }

    fn patterns(&mut self, values: &BTreeMap<String, ValueMatch>, at: At<'_>) {
        for (name, value) in values {
            if let ValueMatch::Regex(pattern) = value
                && let Err(message) = compile_pattern(pattern)
            {
                self.wrong(at.get(name).get("regex"), message);
            }
        }
    }

    fn backends(&mut self, rule: &Rule, at: At<'_>) {
        let backends: &[BackendRef] = &rule.backend_refs;
        let backends_at = at.get("backendRefs");
        if backends_at.written() == 0 {
            // What could not be read may have been a misspelt `backendRefs`, or a filter that answers.
            if !rule.answers_by_itself() && !at.has_refused() {
                self.wrong(at.key("backendRefs"), "no backend: name at least one service in `backendRefs`");
            }
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
            self.filters(&backend.filters, at.get("filters"));
            for (filter, at) in backend.filters.iter().zip(at.get("filters").items()) {
                let allowed =
                    matches!(filter, Filter::RequestHeaders(_) | Filter::ResponseHeaders(_) | Filter::Rewrite(_));
                if !allowed {
                    let name = filter.name();
                    let message = format!(
                        "`{name}` works before a backend is chosen: move it to the rule's own `filters` (allowed here: \
                         requestHeaders, responseHeaders, rewrite)"
                    );
                    self.wrong(at.key(name), message);
                }
            }
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
        if route_at.get("hostnames").has_refused() || route_at.get("listeners").has_refused() {
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
            let conditions = format!("{} {:?}", conditions(matched), listeners(route));
            let keys: Vec<Key> = hosts.iter().map(|host| (host.clone(), conditions.clone())).collect();
            // Reached through one of its hosts is reached.
            if keys.iter().all(|key| seen.contains_key(key))
                && let Some(Seen { route, span }) = keys.first().and_then(|key| seen.get(key))
            {
                let line = line_of(span, at.span);
                self.wrong(at, format!("never reached: route `{route}` matches the same in {line}"));
            }
            for key in keys {
                seen.entry(key).or_insert(Seen { route: &route.name, span: at.span });
            }
        }
    }
}

/// Names the line of `other` to somebody who looks at `here`.
pub(super) fn line_of(other: &Span, here: &Span) -> String {
    let (line, _) = other.position();
    match other.file.path.file_name() {
        Some(name) if other.file != here.file => format!("line {line} of {}", name.to_string_lossy()),
        _ => format!("line {line}"),
    }
}

/// All conditions of a match as one text, equal for equal ones.
fn conditions(matched: &Match) -> String {
    let Match { path, method, headers, query_params, cookies, client_ips } = matched;
    let path = match path {
        Some(PathMatch::Exact(path)) => ("exact", path.as_str()),
        Some(PathMatch::Regex(pattern)) => ("regex", pattern.as_str()),
        Some(PathMatch::Prefix(path)) => ("prefix", path.trim_end_matches('/')),
        None => ("prefix", ""),
    };
    let headers: BTreeMap<String, &ValueMatch> =
        headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let client_ips: BTreeSet<_> = client_ips.iter().map(IpNet::trunc).collect();
    format!("{path:?} {method:?} {headers:?} {query_params:?} {cookies:?} {client_ips:?}")
}

/// The listeners of a route in an order of their own.
fn listeners(route: &Route) -> BTreeSet<&str> {
    route.listeners.iter().map(String::as_str).collect()
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
