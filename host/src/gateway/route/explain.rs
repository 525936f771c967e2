//! Why a request goes where it goes: every match of the table beside it, with what keeps it from winning.
//!
//! The winner is what [`Table::find`] finds and nothing else; here it is only said why. So this can be wrong about a
//! reason, but never about where requests go. It walks through the whole table and allocates freely: it is for people.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use regex::bytes::Regex;

use super::conditions::{Conditions, Rank, Request, Value};
use super::host::{MAX_HOST, bare_host, lowercase};
use super::paths::{Candidate, Paths};
use super::target::Target;
use super::{Found, Level, Table, cookie, query};

/// One match of one rule, beside a request.
#[derive(Debug)]
pub(crate) struct Verdict<'a, C> {
    pub(crate) target: &'a Arc<Target<C>>,
    /// Which match of the rule it is, from 0.
    pub(crate) match_index: usize,
    pub(crate) outcome: Outcome,
}

/// What came of a match.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Requests go there; by which host and path.
    Wins { host: String, path: String },
    /// It holds, but the winner comes before it; why.
    ComesAfter(String),
    /// It does not hold; at least one reason.
    DoesNotHold(Vec<String>),
}

/// How far a match is from holding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Distance {
    Holds,
    Conditions,
    Path,
    Host,
}

/// A match under one host.
struct Entry<'a, C> {
    host: HostOf<'a>,
    path: Path<'a>,
    candidate: &'a Candidate<C>,
    distance: Distance,
    reasons: Vec<String>,
}

/// A host as configured.
#[derive(Debug, Clone, Copy)]
enum HostOf<'a> {
    Any,
    /// `example.com` of `*.example.com`.
    Wildcard(&'a str),
    Exact(&'a str),
}

/// A path as configured.
#[derive(Debug, Clone, Copy)]
enum Path<'a> {
    /// Without trailing `/`, so `""` for `/`.
    Prefix(&'a str),
    Regex(&'a Regex),
    Exact(&'a str),
}

impl<C> Table<C> {
    /// What [`Table::find`] finds, and every match of the table: the one that wins, those that hold in order of
    /// precedence, and the others, the closest first.
    pub(crate) fn explain<'a>(&'a self, request: &Request<'_>) -> (Option<Found<'a, C>>, Vec<Verdict<'a, C>>) {
        let found = self.find(request);
        let mut entries: Vec<Entry<'_, C>> = Vec::new();
        for entry in self.levels.iter().flat_map(|level| level.entries(request)) {
            // A route with several hosts: the one that fits best speaks for all.
            match entries.iter_mut().find(|known| known.candidate.is(entry.candidate)) {
                Some(known) if entry.distance < known.distance => *known = entry,
                Some(known) if entry.distance == Distance::Host && known.distance == Distance::Host => {
                    known.reasons.extend(entry.reasons);
                    known.reasons.dedup();
                }
                Some(_) => {}
                None => entries.push(entry),
            }
        }
        let wins = |entry: &Entry<'_, C>| {
            let is = |found: &Found<'_, C>| {
                Arc::ptr_eq(found.target, &entry.candidate.target) && found.match_index == entry.candidate.index
            };
            found.as_ref().is_some_and(is)
        };
        entries.sort_by_key(|entry| (!wins(entry), entry.distance));
        let winner = entries.first().filter(|entry| wins(entry)).map(Entry::criteria);
        let verdict = |entry: Entry<'a, C>| {
            let outcome = match &winner {
                Some(winner) if wins(&entry) => {
                    Outcome::Wins { host: winner.host_text.clone(), path: winner.path_text.clone() }
                }
                Some(winner) if entry.distance == Distance::Holds => Outcome::ComesAfter(entry.beaten_by(winner)),
                _ => Outcome::DoesNotHold(entry.reasons),
            };
            Verdict { target: &entry.candidate.target, match_index: entry.candidate.index, outcome }
        };
        let verdicts = entries.into_iter().map(verdict).collect();
        (found, verdicts)
    }
}

impl<C> Candidate<C> {
    /// The same match, maybe under another host.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.target, &other.target) && self.index == other.index
    }
}

impl<C> Level<C> {
    /// All matches, in order of precedence as far as they hold.
    fn entries<'a>(&'a self, request: &Request<'_>) -> Vec<Entry<'a, C>> {
        let mut hosts: Vec<(HostOf<'a>, &Paths<C>)> = vec![(HostOf::Any, &self.any)];
        hosts.extend(self.exact.iter().map(|(host, paths)| (HostOf::Exact(host), paths)));
        hosts.extend(self.wildcard.iter().map(|(suffix, paths)| (HostOf::Wildcard(suffix), paths)));
        hosts.sort_by_key(|(host, _)| (Reverse(host.specificity()), host.to_string()));
        let mut entries = Vec::new();
        for (host, paths) in hosts {
            paths.for_each(|path, candidate| {
                let (distance, reasons) = weigh(host, path, candidate, request);
                entries.push(Entry { host, path, candidate, distance, reasons });
            });
        }
        entries
    }
}

impl<C> Paths<C> {
    /// In order of precedence as far as they match one path.
    fn for_each<'a>(&'a self, mut each: impl FnMut(Path<'a>, &'a Candidate<C>)) {
        let sorted = |paths: &'a HashMap<Box<str>, Vec<Candidate<C>>>| {
            let mut sorted: Vec<_> = paths.iter().collect();
            sorted.sort_by_key(|(path, _)| (Reverse(path.len()), *path));
            sorted.into_iter().flat_map(|(path, list)| list.iter().map(move |candidate| (&**path, candidate)))
        };
        for (path, candidate) in sorted(&self.exact) {
            each(Path::Exact(path), candidate);
        }
        for (regex, candidate) in &self.regex {
            each(Path::Regex(regex), candidate);
        }
        for (path, candidate) in sorted(&self.prefix) {
            each(Path::Prefix(path), candidate);
        }
    }
}

/// What keeps a match from holding: nothing, or everything of the first kind that does.
fn weigh<C>(
    host: HostOf<'_>,
    path: Path<'_>,
    candidate: &Candidate<C>,
    request: &Request<'_>,
) -> (Distance, Vec<String>) {
    let mut buffer = [0; MAX_HOST];
    let sent = request.host.and_then(|host| lowercase(bare_host(host), &mut buffer));
    let listener = request.listener;
    if !listener.answers(sent) {
        let reason = format!("listener `{}` answers only for {}", listener.name, listener.hostname.unwrap_or_default());
        return (Distance::Host, vec![reason]);
    }
    if !host.covers(sent) {
        return (Distance::Host, vec![format!("the host is not {host}")]);
    }
    if !candidate.conditions.holds_for_listener(request) {
        let names: Vec<&str> = candidate.conditions.listeners.iter().map(|name| &**name).collect();
        return (Distance::Host, vec![format!("only for listener {}", names.join(", "))]);
    }
    if !path.covers(request.path) {
        return (Distance::Path, vec![format!("the path does not match {path}")]);
    }
    let reasons = missing(&candidate.conditions, request);
    (if reasons.is_empty() { Distance::Holds } else { Distance::Conditions }, reasons)
}

/// The conditions that do not hold.
fn missing(conditions: &Conditions, request: &Request<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(method) = conditions.method.as_ref().filter(|_| !conditions.holds_for_method(request)) {
        reasons.push(format!("the method is not {method}"));
    }
    for (name, value) in conditions.headers.iter().filter(|(name, value)| !value.of_header(name, request)) {
        let sent = request.headers.get_all(name).iter().count();
        let twice = sent > 1 && !matches!(value, Value::Present(_));
        let more = if twice { " (it is sent more than once)" } else { "" };
        reasons.push(format!("header `{name}` {}{more}", value.unlike(sent > 0)));
    }
    for (name, value) in conditions.query.iter().filter(|(name, value)| !value.of_query(name, request)) {
        let sent = request.query.and_then(|query| query::first(query, name)).is_some();
        reasons.push(format!("query parameter `{name}` {}", value.unlike(sent)));
    }
    for (name, value) in conditions.cookies.iter().filter(|(name, value)| !value.of_cookie(name, request)) {
        let sent = cookie::first(request.headers, name).is_some();
        reasons.push(format!("cookie `{name}` {}", value.unlike(sent)));
    }
    if !conditions.holds_for_client(request) {
        let networks: Vec<String> = conditions.client_ips.iter().map(ToString::to_string).collect();
        reasons.push(format!("the client is not in {}", networks.join(", ")));
    }
    reasons
}

impl Value {
    /// What is wrong with a value. What was sent is not repeated: it may be a secret.
    fn unlike(&self, sent: bool) -> String {
        match self {
            Self::Present(false) => "is there".to_owned(),
            Self::Present(true) => "is missing".to_owned(),
            Self::Exact(text) if sent => format!("is not `{text}`"),
            Self::Regex(regex) if sent => format!("does not match `{}`", source(regex)),
            Self::Exact(_) | Self::Regex(_) => "is missing".to_owned(),
        }
    }
}

/// A pattern as configured; see `config::compile_pattern`.
fn source(regex: &Regex) -> &str {
    let text = regex.as_str();
    text.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z")).unwrap_or(text)
}

impl<C> Entry<'_, C> {
    /// Why another match that holds comes before this one.
    fn beaten_by(&self, winner: &Criteria) -> String {
        let mine = self.criteria();
        let fewer =
            |what: &str, mine: usize, theirs: usize| format!("asks for fewer {what}: {mine}, the winner for {theirs}");
        let (rank, best) = (mine.rank, winner.rank);
        if mine.priority != winner.priority {
            format!("priority {} is below {}", mine.priority, winner.priority)
        } else if mine.host != winner.host {
            format!("{} is less specific than {}", mine.host_text, winner.host_text)
        } else if mine.path != winner.path || rank.path_len != best.path_len {
            format!("{} is less specific than {}", mine.path_text, winner.path_text)
        } else if rank.method != best.method {
            "asks for no method".to_owned()
        } else if rank.headers != best.headers {
            fewer("headers", rank.headers, best.headers)
        } else if rank.query != best.query {
            fewer("query parameters", rank.query, best.query)
        } else if rank.cookies != best.cookies {
            fewer("cookies", rank.cookies, best.cookies)
        } else if rank.client_ips != best.client_ips {
            "asks for no address of the client".to_owned()
        } else {
            "equal, but comes later".to_owned()
        }
    }

    fn criteria(&self) -> Criteria {
        Criteria {
            priority: self.candidate.target.priority,
            host: self.host.specificity(),
            host_text: self.host.to_string(),
            path: self.path.specificity(),
            path_text: self.path.to_string(),
            rank: self.candidate.conditions.rank(),
        }
    }
}

/// What precedence is about, in its order.
struct Criteria {
    priority: i32,
    host: (u8, usize),
    host_text: String,
    path: (u8, usize),
    path_text: String,
    rank: Rank,
}

impl HostOf<'_> {
    fn covers(&self, host: Option<&str>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exact(name), Some(host)) => *name == host,
            (Self::Wildcard(suffix), Some(host)) => {
                host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.')).is_some()
            }
            (_, None) => false,
        }
    }

    fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Wildcard(suffix) => (1, suffix.len()),
            Self::Exact(_) => (2, 0),
        }
    }
}

impl fmt::Display for HostOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any host"),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Exact(host) => f.write_str(host),
        }
    }
}

impl Path<'_> {
    fn covers(&self, path: &str) -> bool {
        match self {
            Self::Exact(wanted) => *wanted == path,
            Self::Regex(regex) => regex.is_match(path.as_bytes()),
            Self::Prefix(prefix) => {
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Prefix(prefix) => (0, prefix.len()),
            Self::Regex(regex) => (1, source(regex).len()),
            Self::Exact(_) => (2, 0),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix("") => f.write_str("prefix /"),
            Self::Prefix(prefix) => write!(f, "prefix {prefix}"),
            Self::Regex(regex) => write!(f, "regex {}", source(regex)),
            Self::Exact(path) => write!(f, "exact {path}"),
        }
    }
}
