//! The routing table: which rule a request belongs to.
//!
//! Decided here: the precedence among rules that match a request, which is that of the Kubernetes Gateway API. All rules
//! of all routes whose host matches are candidates, and the first in this order wins:
//!
//! 1. host: exact, then the longest wildcard, then none given
//! 2. path: exact, then the longest prefix
//! 3. a method is asked for
//! 4. more headers, then more query parameters are asked for
//! 5. order of routes in the file, then of rules, then of matches in a rule; automatic routes come last
//!
//! Because the host is only the first criterion, a request whose exact host has routes but no rule for its path falls
//! through to a wildcard host and to routes without hosts: the automatic `/<service>/` routes answer on every host.
//!
//! Prefixes match whole segments and a trailing `/` in them means nothing; paths, query names and query values are case
//! sensitive; hosts are not, and their port and trailing dot don't count; `*.x` stands for one or more labels before
//! `.x`. A header or a query parameter that is sent more than once: a header then matches nothing (which value would the
//! service believe?), of query parameters the first counts.
//!
//! Never decided here: whether a backend exists or is healthy. The table is built when configuration or services change
//! and never changes afterwards. `find` allocates nothing, and of a long path it looks no further than the longest
//! configured prefix reaches (once at all of it, where exact paths are configured). There are no regular expressions and
//! no tree: a hash lookup for each segment boundary is as fast for tables of this size and keeps candidates of one path
//! together, sorted.

mod query;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::config::{Filter, PathMatch, Route, Rule};

/// Longest host name there can be; a longer one matches no name.
const MAX_HOST: usize = 253;

/// All routes, ready to be searched.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Host names in lower case.
    exact: HashMap<Box<str>, Paths>,
    /// `*.example.com` under `example.com`.
    wildcard: HashMap<Box<str>, Paths>,
    any: Paths,
}

/// What a request was matched to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    /// The rule, shared so that a request may keep it beyond the table.
    pub(crate) target: &'a Arc<Target>,
    /// The configured prefix (without trailing `/`, so `""` for `/`) if the match was by prefix.
    pub(crate) matched_prefix: Option<&'a str>,
}

/// A rule as far as it matters after matching.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Name of the route, for logs and metrics; `auto:<service>` for an automatic one.
    pub(crate) route: Arc<str>,
    /// Where requests go; see [`choose`].
    pub(crate) backends: Vec<Backend>,
    /// The rule's own limit on the whole request; zero is no limit.
    pub(crate) request_timeout: Option<Duration>,
    /// What replaces the matched prefix before the service sees the path; see [`rewrite_path`].
    pub(crate) rewrite: Option<Box<str>>,
}

/// A service, maybe one version of it, with its share of the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    /// The service's name.
    pub(crate) service: Arc<str>,
    /// A version's label; without one, the version that the service's plain file gives.
    pub(crate) version: Option<Arc<str>>,
    /// Share relative to the other backends; 0 gets nothing.
    pub(crate) weight: u32,
}

/// Candidates of one host, by path.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<Box<str>, Vec<Candidate>>,
    /// Prefixes without trailing `/`.
    prefix: HashMap<Box<str>, Vec<Candidate>>,
    /// Length of the longest key of `prefix`: no longer part of a path is looked up.
    longest_prefix: usize,
}

/// One match of one rule, for one host and path.
#[derive(Debug, Clone)]
struct Candidate {
    conditions: Arc<Conditions>,
    target: Arc<Target>,
}

/// What a match asks for besides host and path.
#[derive(Debug, Default)]
struct Conditions {
    /// Characters of the path as configured: `/a/` comes before `/a`.
    path_len: usize,
    method: Option<Method>,
    headers: Vec<(HeaderName, HeaderValue)>,
    query: Vec<(Box<str>, Box<str>)>,
}

/// What of a request is matched.
struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    query: Option<&'a str>,
    headers: &'a HeaderMap,
}

impl Table {
    /// Builds the table from configured routes and the automatic ones, given as service and path prefix. Routes were
    /// validated before; a match that nothing can satisfy (say, a method with a space) is left out.
    pub(crate) fn build<S, P>(routes: &[Route], auto: impl Iterator<Item = (S, P)>) -> Self
    where
        S: AsRef<str>,
        P: AsRef<str>,
    {
        let mut table = Self::default();
        for route in routes {
            let name: Arc<str> = route.name.as_str().into();
            for rule in &route.rules {
                let target = Arc::new(Target::configured(Arc::clone(&name), rule));
                table.add_rule(route, rule, &target);
            }
        }
        for (service, prefix) in auto {
            let target = Arc::new(Target::automatic(service.as_ref()));
            let prefix = PathMatch::Prefix(prefix.as_ref().to_owned());
            table.any.add(&prefix, Candidate { conditions: Arc::default(), target });
        }
        let named = table.exact.values_mut().chain(table.wildcard.values_mut());
        for paths in named.chain([&mut table.any]) {
            paths.sort();
        }
        table
    }

    fn add_rule(&mut self, route: &Route, rule: &Rule, target: &Arc<Target>) {
        let everything = [crate::config::Match::default()];
        let matches = if rule.matches.is_empty() { everything.as_slice() } else { &rule.matches };
        let root = PathMatch::Prefix("/".into());
        for wanted in matches {
            let path = wanted.path.as_ref().unwrap_or(&root);
            let Some(conditions) = Conditions::new(path, wanted) else { continue };
            let candidate = Candidate { conditions: Arc::new(conditions), target: Arc::clone(target) };
            if route.hostnames.is_empty() {
                self.any.add(path, candidate.clone());
            }
            for host in &route.hostnames {
                self.host_mut(host).add(path, candidate.clone());
            }
        }
    }

    fn host_mut(&mut self, host: &str) -> &mut Paths {
        let host = bare_host(host).to_ascii_lowercase();
        match host.strip_prefix("*.") {
            Some(suffix) => self.wildcard.entry(suffix.into()).or_default(),
            None => self.exact.entry(host.into()).or_default(),
        }
    }

    /// The rule a request belongs to. `host` is the `Host` header or the authority, with or without port; `path` and
    /// `query` are as sent, still percent-encoded.
    pub(crate) fn find(
        &self,
        host: Option<&str>,
        method: &Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Found<'_>> {
        let request = Request { method, path, query, headers };
        if let Some(host) = host.filter(|_| !self.exact.is_empty() || !self.wildcard.is_empty()) {
            let mut buffer = [0; MAX_HOST];
            if let Some(host) = lowercase(bare_host(host), &mut buffer)
                && let Some(found) = self.find_named(host, &request)
            {
                return Some(found);
            }
        }
        self.any.find(&request)
    }

    fn find_named(&self, host: &str, request: &Request<'_>) -> Option<Found<'_>> {
        if let Some(found) = self.exact.get(host).and_then(|paths| paths.find(request)) {
            return Some(found);
        }
        if self.wildcard.is_empty() {
            return None;
        }
        let mut rest = host;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(found) = self.wildcard.get(suffix).and_then(|paths| paths.find(request)) {
                return Some(found);
            }
            rest = suffix;
        }
        None
    }
}

impl Target {
    fn configured(route: Arc<str>, rule: &Rule) -> Self {
        let backends = rule.backend_refs.iter().map(|backend| Backend {
            service: backend.service.as_str().into(),
            version: backend.version.as_deref().map(Into::into),
            weight: backend.weight,
        });
        let rewrite = rule.filters.iter().rev().find_map(|filter| match filter {
            Filter::Rewrite(rewrite) => rewrite.prefix.as_deref(),
            _ => None,
        });
        Self {
            route,
            backends: backends.collect(),
            request_timeout: rule.timeouts.request.map(crate::config::Duration::get),
            rewrite: rewrite.map(Into::into),
        }
    }

    fn automatic(service: &str) -> Self {
        Self {
            route: format!("auto:{service}").into(),
            backends: vec![Backend { service: service.into(), version: None, weight: 1 }],
            request_timeout: None,
            rewrite: Some("/".into()),
        }
    }
}

impl Conditions {
    /// `None` if nothing can satisfy them.
    fn new(path: &PathMatch, wanted: &crate::config::Match) -> Option<Self> {
        let (PathMatch::Exact(path) | PathMatch::Prefix(path)) = path;
        let method = match &wanted.method {
            Some(method) => Some(Method::from_bytes(method.as_bytes()).ok()?),
            None => None,
        };
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, value) in &wanted.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            // The same name in another case: the first counts.
            if headers.iter().all(|(known, _)| *known != name) {
                headers.push((name, HeaderValue::from_str(value).ok()?));
            }
        }
        let query = wanted.query_params.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        Some(Self { path_len: path.len(), method, headers, query: query.collect() })
    }

    fn hold(&self, request: &Request<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == request.method)
            && self.headers.iter().all(|(name, value)| {
                let mut sent = request.headers.get_all(name).iter();
                sent.next() == Some(value) && sent.next().is_none()
            })
            && self.query.iter().all(|(name, value)| query::first_is(request.query.unwrap_or_default(), name, value))
    }
}

impl Paths {
    fn add(&mut self, path: &PathMatch, candidate: Candidate) {
        let candidates = match path {
            PathMatch::Exact(path) => self.exact.entry(path.as_str().into()).or_default(),
            PathMatch::Prefix(path) => {
                let prefix = path.trim_end_matches('/');
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefix.entry(prefix.into()).or_default()
            }
        };
        candidates.push(candidate);
    }

    /// Puts candidates of one path in order of precedence; equal ones stay in the order they were added.
    fn sort(&mut self) {
        for candidates in self.exact.values_mut().chain(self.prefix.values_mut()) {
            candidates.sort_by_key(|candidate| {
                let Conditions { path_len, method, headers, query } = &*candidate.conditions;
                Reverse((*path_len, method.is_some(), headers.len(), query.len()))
            });
        }
    }

    fn find(&self, request: &Request<'_>) -> Option<Found<'_>> {
        let pick = |candidates: &'_ [Candidate]| candidates.iter().position(|c| c.conditions.hold(request));
        if let Some(candidates) = self.exact.get(request.path)
            && let Some(candidate) = pick(candidates).and_then(|index| candidates.get(index))
        {
            return Some(Found { target: &candidate.target, matched_prefix: None });
        }
        let mut part = self.longest_part(request.path);
        while let Some(prefix) = part {
            if let Some((key, candidates)) = self.prefix.get_key_value(prefix)
                && let Some(candidate) = pick(candidates).and_then(|index| candidates.get(index))
            {
                return Some(Found { target: &candidate.target, matched_prefix: Some(key) });
            }
            part = prefix.rfind('/').and_then(|slash| prefix.get(..slash));
        }
        None
    }

    /// The longest part of a path that a prefix could be: all of it, or up to the last `/` within reach.
    fn longest_part<'p>(&self, path: &'p str) -> Option<&'p str> {
        if path.len() <= self.longest_prefix {
            return Some(path);
        }
        let reach = path.as_bytes().get(..=self.longest_prefix)?;
        reach.iter().rposition(|byte| *byte == b'/').and_then(|slash| path.get(..slash))
    }
}

/// A host without port and trailing dot; `[::1]:80` is `[::1]`.
fn bare_host(host: &str) -> &str {
    let host = match host.rsplit_once(':') {
        Some((before, port)) if port.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => host,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// `host` in lower case, in `buffer`; `None` if it does not fit.
fn lowercase<'b>(host: &str, buffer: &'b mut [u8; MAX_HOST]) -> Option<&'b str> {
    let lower = buffer.get_mut(..host.len())?;
    lower.copy_from_slice(host.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).ok()
}

/// Picks a backend by weight; `random` is uniform over all of `u64`. `None` if there is none with a weight.
pub(crate) fn choose(backends: &[Backend], random: u64) -> Option<&Backend> {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    // The bias of a remainder is below 2^-28 for any sum of 32-bit weights of up to 16 backends.
    let mut left = random.checked_rem(total)?;
    backends.iter().find(|backend| {
        let weight = u64::from(backend.weight);
        let hit = left < weight;
        left = left.saturating_sub(weight);
        hit
    })
}

/// `path` with the matched prefix replaced; always begins with `/`. The query is the caller's to keep. `matched_prefix`
/// is that of [`Found`]; a path that does not begin with it stays as it is.
pub(crate) fn rewrite_path<'p>(matched_prefix: &str, replacement: &str, path: &'p str) -> Cow<'p, str> {
    let Some(rest) = path.strip_prefix(matched_prefix.trim_end_matches('/')) else {
        return Cow::Borrowed(path);
    };
    match (replacement.trim_end_matches('/'), rest) {
        ("", "") => Cow::Borrowed("/"),
        ("", rest) => Cow::Borrowed(rest),
        (replacement, rest) => Cow::Owned([replacement, rest].concat()),
    }
}

#[cfg(test)]
mod tests;
