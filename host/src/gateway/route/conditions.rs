//! What a match asks for besides host and path, and which of two matches of one path comes first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;
use regex::bytes::Regex;

use super::host::Listener;
use super::query;
use crate::config::{Match, PathMatch, Route, ValueMatch, compile_pattern};
use crate::gateway::cookie;

/// What of a request is matched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The listener by which it came.
    pub(crate) listener: Listener<'a>,
    /// The `Host` header or the authority, with or without port.
    pub(crate) host: Option<&'a str>,
    pub(crate) method: &'a Method,
    /// As sent, still percent-encoded (normalised, where the gateway normalises).
    pub(crate) path: &'a str,
    /// As sent, without `?`.
    pub(crate) query: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
    /// The client, behind proxies that are trusted.
    pub(crate) client: IpAddr,
}

/// What a match asks for besides host and path.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Characters of the path as configured: `/a/` comes before `/a`.
    path_len: usize,
    pub(super) listeners: Arc<[Box<str>]>,
    pub(super) method: Option<Method>,
    pub(super) headers: Vec<(HeaderName, Value)>,
    pub(super) query: Vec<(Box<str>, Value)>,
    pub(super) cookies: Vec<(Box<str>, Value)>,
    pub(super) client_ips: Vec<IpNet>,
}

/// What a value must be.
#[derive(Debug)]
pub(super) enum Value {
    Exact(Box<str>),
    Regex(Regex),
    Present(bool),
}

/// The order of matches of one path: the greater comes first. The first four as in the Gateway API, then cookies and
/// addresses, which it does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) path_len: usize,
    pub(super) method: bool,
    pub(super) headers: usize,
    pub(super) query: usize,
    pub(super) cookies: usize,
    pub(super) client_ips: bool,
}

/// The listeners that a route asks for.
pub(super) fn listeners(route: &Route) -> Arc<[Box<str>]> {
    route.listeners.iter().map(|name| name.as_str().into()).collect()
}

fn named(values: &BTreeMap<String, ValueMatch>) -> Option<Vec<(Box<str>, Value)>> {
    values.iter().map(|(name, value)| Some((name.as_str().into(), Value::new(value)?))).collect()
}

impl Conditions {
    /// `None` if nothing can satisfy them.
    pub(super) fn new(path: &PathMatch, wanted: &Match, listeners: Arc<[Box<str>]>) -> Option<Self> {
        let (PathMatch::Exact(path) | PathMatch::Prefix(path) | PathMatch::Regex(path)) = path;
        let method = match &wanted.method {
            Some(method) => Some(Method::from_bytes(method.as_bytes()).ok()?),
            None => None,
        };
        let mut headers: Vec<(HeaderName, Value)> = Vec::new();
        for (name, value) in &wanted.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            // The same name in another case: the first counts.
            if headers.iter().all(|(known, _)| *known != name) {
                headers.push((name, Value::new(value)?));
            }
        }
        Some(Self {
            path_len: path.len(),
            listeners,
            method,
            headers,
            query: named(&wanted.query_params)?,
            cookies: named(&wanted.cookies)?,
            client_ips: wanted.client_ips.clone(),
        })
    }

    /// Those of an automatic route: none.
    pub(super) fn none(path_len: usize) -> Self {
        Self {
            path_len,
            listeners: Arc::default(),
            method: None,
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            client_ips: Vec::new(),
        }
    }

    pub(super) fn rank(&self) -> Rank {
        Rank {
            path_len: self.path_len,
            method: self.method.is_some(),
            headers: self.headers.len(),
            query: self.query.len(),
            cookies: self.cookies.len(),
            client_ips: !self.client_ips.is_empty(),
        }
    }

    pub(super) fn hold(&self, request: &Request<'_>) -> bool {
        self.holds_for_listener(request)
            && self.holds_for_method(request)
            && self.headers.iter().all(|(name, value)| value.of_header(name, request))
            && self.query.iter().all(|(name, value)| value.of_query(name, request))
            && self.cookies.iter().all(|(name, value)| value.of_cookie(name, request))
            && self.holds_for_client(request)
    }

    pub(super) fn holds_for_listener(&self, request: &Request<'_>) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| **name == *request.listener.name)
    }

    pub(super) fn holds_for_method(&self, request: &Request<'_>) -> bool {
        self.method.as_ref().is_none_or(|method| method == request.method)
    }

    pub(super) fn holds_for_client(&self, request: &Request<'_>) -> bool {
        // An IPv4 client of an IPv6 socket is an IPv4 client.
        let client = request.client.to_canonical();
        self.client_ips.is_empty() || self.client_ips.iter().any(|network| network.contains(&client))
    }
}

impl Value {
    /// `None` if nothing can satisfy it.
    fn new(wanted: &ValueMatch) -> Option<Self> {
        match wanted {
            ValueMatch::Exact(text) => Some(Self::Exact(text.as_str().into())),
            ValueMatch::Regex(pattern) => compile_pattern(pattern).ok().map(Self::Regex),
            ValueMatch::Present(present) => Some(Self::Present(*present)),
        }
    }

    fn is(&self, sent: &[u8]) -> bool {
        match self {
            Self::Exact(text) => text.as_bytes() == sent,
            Self::Regex(regex) => regex.is_match(sent),
            Self::Present(present) => *present,
        }
    }

    pub(super) fn of_header(&self, name: &HeaderName, request: &Request<'_>) -> bool {
        if let Self::Present(present) = self {
            return request.headers.contains_key(name) == *present;
        }
        let mut sent = request.headers.get_all(name).iter();
        sent.next().is_some_and(|value| self.is(value.as_bytes())) && sent.next().is_none()
    }

    pub(super) fn of_query(&self, name: &str, request: &Request<'_>) -> bool {
        let sent = request.query.and_then(|query| query::first(query, name));
        match (self, sent) {
            (Self::Present(present), sent) => sent.is_some() == *present,
            (Self::Exact(text), Some(sent)) => query::is(sent, text),
            (Self::Regex(regex), Some(sent)) => regex.is_match(&query::decode(sent)),
            (_, None) => false,
        }
    }

    pub(super) fn of_cookie(&self, name: &str, request: &Request<'_>) -> bool {
        match (self, cookie::first(request.headers, name)) {
            (Self::Present(present), sent) => sent.is_some() == *present,
            (_, sent) => sent.is_some_and(|sent| self.is(sent)),
        }
    }
}
