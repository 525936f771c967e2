//! Reasons in words: why a match does not hold, and why another that holds comes before it.

use std::fmt;

use regex::bytes::Regex;

use super::super::conditions::{Conditions, Rank, Request, Value};
use super::super::host::{MAX_HOST, bare_host, lowercase};
use super::super::paths::Candidate;
use super::super::query;
use super::{Distance, Entry, HostOf, Path};
use crate::gateway::cookie;

/// What keeps a match from holding: nothing, or everything of the first kind that does.
pub(super) fn weigh<C>(
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
    pub(super) fn beaten_by(&self, winner: &Criteria) -> String {
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

    pub(super) fn criteria(&self) -> Criteria {
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
pub(super) struct Criteria {
    priority: i32,
    host: (u8, usize),
    pub(super) host_text: String,
    path: (u8, usize),
    pub(super) path_text: String,
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

    pub(super) fn specificity(&self) -> (u8, usize) {
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
