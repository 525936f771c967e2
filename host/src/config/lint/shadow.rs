//! Matches that can never win, because another one holds whenever they do and comes first.
//!
//! The precedence is that of the routing table (`gateway/route.rs`): priority, host, kind of path, length, method,
//! number of headers, query parameters and cookies, addresses, order. Two equal matches are an error (`check`); found
//! here is what is narrower than something that comes before it: `{ present: true }` before an exact value, a network
//! before one inside it, a regular expression for everything before a prefix, a higher priority.
//!
//! Only one other match is asked to cover a match (for each of its hosts one), not several together, and of regular
//! expressions only equal ones and those that end in `.*` after plain text are compared. So nothing is reported that
//! could be reached, and not all that cannot.

mod cover;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use super::super::check::{At, Check};
use super::super::listener::hostname_fits;
use super::super::model::Gateway;
use super::super::route::{Match, PathMatch, Route, Rule};
use cover::covers;

/// What a rule without matches has.
static EVERYTHING: Match = Match {
    path: None,
    method: None,
    headers: BTreeMap::new(),
    query_params: BTreeMap::new(),
    cookies: BTreeMap::new(),
    client_ips: Vec::new(),
};

/// All matches of all configured routes, to look for those that come before others.
pub(super) struct Order<'a> {
    matches: Vec<Listed<'a>>,
    /// All there are, which no name stands for.
    listeners: Vec<String>,
    /// Those with the same priority, host and path.
    same: HashMap<(i32, Option<&'a str>, Path<'a>), Vec<usize>>,
    /// Regular expressions with the same priority and host: they come before all prefixes.
    regexes: HashMap<(i32, Option<&'a str>), Vec<usize>>,
    priorities: BTreeMap<i32, Vec<usize>>,
}

/// A match in the file.
struct Listed<'a> {
    entry: Entry<'a>,
    route: &'a str,
    rule: &'a Rule,
    at: At<'a>,
}

/// All that decides about a match.
#[derive(Clone, Copy)]
struct Entry<'a> {
    priority: i32,
    /// None stands for all.
    hosts: &'a [String],
    /// Names; none stands for all.
    listeners: &'a [String],
    matched: &'a Match,
}

/// A path as matches of it are found in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Path<'a> {
    Exact(&'a str),
    Regex(&'a str),
    /// Without the `/` at its end.
    Prefix(&'a str),
}

impl<'a> Order<'a> {
    pub(super) fn new(gateway: &'a Gateway, at: At<'a>) -> Self {
        let listeners = gateway.public_listeners().iter().map(|listener| listener.name.clone()).collect();
        let (same, regexes) = (HashMap::new(), HashMap::new());
        let mut order = Self { matches: Vec::new(), listeners, same, regexes, priorities: BTreeMap::new() };
        for (route, at) in gateway.routes.iter().zip(at.get("routes").items()) {
            for (rule, at) in route.rules.iter().zip(at.get("rules").items()) {
                if rule.matches.is_empty() {
                    order.add(route, rule, &EVERYTHING, at);
                }
                for (matched, at) in rule.matches.iter().zip(at.get("matches").items()) {
                    order.add(route, rule, matched, at);
                }
            }
        }
        order
    }

    fn add(&mut self, route: &'a Route, rule: &'a Rule, matched: &'a Match, at: At<'a>) {
        let Route { name, hostnames: hosts, listeners, .. } = route;
        let entry = Entry { priority: rule.priority, hosts, listeners, matched };
        let (index, path) = (self.matches.len(), entry.path());
        for host in entry.each_host() {
            self.same.entry((entry.priority, host, path)).or_default().push(index);
            if let Path::Regex(_) = path {
                self.regexes.entry((entry.priority, host)).or_default().push(index);
            }
        }
        self.priorities.entry(entry.priority).or_default().push(index);
        self.matches.push(Listed { entry, route: name, rule, at });
    }

    /// Reports all that is never reached.
    pub(super) fn lint(&self, check: &mut Check<'_>) {
        for (index, Listed { entry, rule, at, .. }) in self.matches.iter().enumerate() {
            if let Some(first) = self.shadowing(*entry, index, Some(rule)) {
                let (route, line) = (first.route, first.at.line_seen_from(*at));
                let message = format!("never reached: route `{route}` matches all of this in {line} and comes first");
                check.warn(*at, message);
            }
        }
    }

    /// Whether the automatic route under a prefix gets any requests.
    pub(super) fn reaches_automatic(&self, prefix: &str) -> bool {
        let matched = Match { path: Some(PathMatch::Prefix(prefix.to_owned())), ..Match::default() };
        let entry = Entry { priority: 0, hosts: &[], listeners: &[], matched: &matched };
        // Automatic routes come after all configured ones.
        self.shadowing(entry, usize::MAX, None).is_none()
    }

    /// What gets all requests of a match before it does; of several, that of its first host.
    fn shadowing(&self, entry: Entry<'_>, index: usize, rule: Option<&Rule>) -> Option<&Listed<'a>> {
        let mut found = entry.each_host().map(|host| self.shadowing_for(host, entry, index, rule));
        let first = found.next()??;
        found.all(|other| other.is_some()).then_some(first)
    }

    fn shadowing_for(
        &self,
        host: Option<&str>,
        entry: Entry<'_>,
        index: usize,
        rule: Option<&Rule>,
    ) -> Option<&Listed<'a>> {
        // Of a rule's own matches it does not matter which one wins.
        let listed = |index: &usize| {
            self.matches.get(*index).filter(|listed| !rule.is_some_and(|rule| std::ptr::eq(rule, listed.rule)))
        };
        let priority = entry.priority;
        let same = self.same.get(&(priority, host, entry.path()));
        let regexes = self.regexes.get(&(priority, host));
        let beside = same.into_iter().chain(regexes).flatten();
        let beside = beside.filter(|other| self.precedence(**other) < Some(entry.precedence(index)));
        let above = self.priorities.range((Bound::Excluded(priority), Bound::Unbounded)).flat_map(|(_, list)| list);
        let above = above.filter_map(listed).filter(|listed| listed.entry.has_host(host));
        beside.filter_map(listed).chain(above).find(|listed| self.covers(listed.entry, entry))
    }

    fn precedence(&self, index: usize) -> Option<Precedence> {
        self.matches.get(index).map(|listed| listed.entry.precedence(index))
    }

    /// Whether `wide` holds whenever `narrow` does, on a host that both have.
    fn covers(&self, wide: Entry<'_>, narrow: Entry<'_>) -> bool {
        let asked = if narrow.listeners.is_empty() { &self.listeners } else { narrow.listeners };
        let listeners = wide.listeners.is_empty() || asked.iter().all(|name| wide.listeners.contains(name));
        listeners && covers(wide.matched, narrow.matched)
    }
}

/// What comes first is less; only comparable for the same path, or if one is a regular expression.
type Precedence = (u8, Reverse<(usize, bool, usize, usize, usize, bool)>, usize);

impl<'a> Entry<'a> {
    fn each_host(self) -> impl Iterator<Item = Option<&'a str>> {
        let all = self.hosts.is_empty().then_some(None);
        all.into_iter().chain(self.hosts.iter().map(|host| Some(host.as_str())))
    }

    /// Whether all requests for a host are for one of its own.
    fn has_host(self, host: Option<&str>) -> bool {
        let inside = |host: &str| {
            let name = host.trim_start_matches('*');
            self.hosts.iter().any(|mine| mine == host || hostname_fits(Some(mine), name).is_some())
        };
        self.hosts.is_empty() || host.is_some_and(inside)
    }

    fn path(self) -> Path<'a> {
        match &self.matched.path {
            Some(PathMatch::Exact(path)) => Path::Exact(path),
            Some(PathMatch::Regex(pattern)) => Path::Regex(pattern),
            Some(PathMatch::Prefix(path)) => Path::Prefix(path.trim_end_matches('/')),
            None => Path::Prefix(""),
        }
    }

    fn precedence(self, index: usize) -> Precedence {
        let Match { path, method, headers, query_params, cookies, client_ips } = self.matched;
        let (kind, length) = match path {
            Some(PathMatch::Exact(path)) => (0, path.len()),
            Some(PathMatch::Regex(pattern)) => (1, pattern.len()),
            Some(PathMatch::Prefix(path)) => (2, path.len()),
            None => (2, 1),
        };
        let numbers = (headers.len(), query_params.len(), cookies.len());
        let rank = (length, method.is_some(), numbers.0, numbers.1, numbers.2, !client_ips.is_empty());
        (kind, Reverse(rank), index)
    }
}
