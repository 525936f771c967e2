//! The routing table: which rule a request belongs to.
//!
//! Decided here: the precedence among rules that match a request, which is that of the Kubernetes Gateway API. All rules
//! of all routes whose host matches are candidates, and the first in this order wins:
//!
//! 1. `priority`, the highest (ours; everything has 0 if nothing is said)
//! 2. host: exact, then the longest wildcard, then none given
//! 3. path: exact, then a regular expression (the longest), then the longest prefix
//! 4. a method is asked for
//! 5. more headers, then more query parameters are asked for, then (ours) more cookies, then an address of the client
//! 6. order of routes in the file, then of rules, then of matches in a rule; automatic routes come last
//!
//! The Gateway API leaves open where regular expressions stand; between exact paths and prefixes is where Envoy Gateway
//! and Contour put them. They match the whole path.
//!
//! A request has come by a listener: if that has a host name, only requests for it are answered, and a route may ask
//! for listeners by name. Because the host is only the second criterion, a request whose exact host has routes but no
//! rule for its path falls through to a wildcard host and to routes without hosts: the automatic `/<service>/` routes
//! answer on every host.
//!
//! Prefixes match whole segments and a trailing `/` in them means nothing; paths, query names and query values are case
//! sensitive; hosts are not, and their port and trailing dot don't count; `*.x` stands for one or more labels before
//! `.x`. A header, a query parameter or a cookie that is sent more than once: a header then matches no value (which one
//! would the service believe?), of query parameters and cookies the first counts.
//!
//! Never decided here: whether a backend exists or is healthy. The table is built when configuration or services change
//! and never changes afterwards. `find` allocates nothing (but to decode a query value for a regular expression), and
//! of a long path it looks no further than the longest configured prefix reaches (once at all of it, where exact paths
//! are configured, and once for each regular expression). There is no tree: a hash lookup for each segment boundary is
//! as fast for tables of this size and keeps candidates of one path together, sorted.

mod conditions;
mod explain;
mod host;
mod paths;
mod query;
mod target;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(crate) use conditions::Request;
pub(crate) use explain::{Outcome, Verdict};
pub(crate) use host::{Listener, listener_for};
pub(crate) use target::{Backend, Scope, Target};

use conditions::Conditions;
use host::{MAX_HOST, bare_host, lowercase};
use paths::{Candidate, Key, Paths};

use crate::config::{Match, PathMatch, Route};

/// All routes, ready to be searched. `C` is what filters are compiled to; the table only carries it.
#[derive(Debug)]
pub(crate) struct Table<C> {
    /// From the highest priority to the lowest; mostly there is one.
    levels: Vec<Level<C>>,
}

/// What a request was matched to.
#[derive(Debug)]
pub(crate) struct Found<'a, C> {
    /// The rule, shared so that a request may keep it beyond the table.
    pub(crate) target: &'a Arc<Target<C>>,
    /// Which match of the rule held, from 0.
    pub(crate) match_index: usize,
    /// The configured prefix (without trailing `/`, so `""` for `/`) if the match was by prefix.
    pub(crate) matched_prefix: Option<&'a str>,
}

/// All rules of one priority.
#[derive(Debug)]
struct Level<C> {
    /// Host names in lower case.
    exact: HashMap<Box<str>, Paths<C>>,
    /// `*.example.com` under `example.com`.
    wildcard: HashMap<Box<str>, Paths<C>>,
    any: Paths<C>,
}

impl<C> Table<C> {
    /// Builds the table from configured routes and the automatic ones, given as service and path prefix; `compile` makes
    /// the filters of each. Routes were validated before; a match that nothing can satisfy (say, a method with a space)
    /// is left out.
    pub(crate) fn build<S, P>(
        routes: &[Route],
        auto: impl Iterator<Item = (S, P)>,
        compile: impl Fn(Scope<'_>) -> C,
    ) -> Self
    where
        S: AsRef<str>,
        P: AsRef<str>,
    {
        let mut levels: BTreeMap<Reverse<i32>, Level<C>> = BTreeMap::new();
        for route in routes {
            let name: Arc<str> = route.name.as_str().into();
            for (index, rule) in route.rules.iter().enumerate() {
                let target = Target::configured((Arc::clone(&name), route), (index, rule), &compile);
                levels.entry(Reverse(rule.priority)).or_default().add(route, &rule.matches, &Arc::new(target));
            }
        }
        for (service, prefix) in auto {
            let target = Arc::new(Target::automatic(service.as_ref(), &compile));
            let prefix = prefix.as_ref();
            let conditions = Arc::new(Conditions::none(prefix.len()));
            let key = Key::Prefix(prefix.trim_end_matches('/').into());
            levels.entry(Reverse(0)).or_default().any.add(&key, Candidate { conditions, target, index: 0 });
        }
        let mut levels: Vec<Level<C>> = levels.into_values().collect();
        for level in &mut levels {
            let named = level.exact.values_mut().chain(level.wildcard.values_mut());
            named.chain([&mut level.any]).for_each(Paths::sort);
        }
        Self { levels }
    }

    /// The rule a request belongs to.
    pub(crate) fn find(&self, request: &Request<'_>) -> Option<Found<'_, C>> {
        let mut buffer = [0; MAX_HOST];
        let host = request.host.and_then(|host| lowercase(bare_host(host), &mut buffer));
        if !request.listener.answers(host) {
            return None;
        }
        self.levels.iter().find_map(|level| level.find(host, request))
    }
}

impl<C> Default for Level<C> {
    fn default() -> Self {
        Self { exact: HashMap::new(), wildcard: HashMap::new(), any: Paths::default() }
    }
}

impl<C> Level<C> {
    fn add(&mut self, route: &Route, matches: &[Match], target: &Arc<Target<C>>) {
        let everything = [Match::default()];
        let matches = if matches.is_empty() { everything.as_slice() } else { matches };
        let root = PathMatch::Prefix("/".into());
        let listeners = conditions::listeners(route);
        for (index, wanted) in matches.iter().enumerate() {
            let path = wanted.path.as_ref().unwrap_or(&root);
            let Some(key) = Key::new(path) else { continue };
            let Some(conditions) = Conditions::new(path, wanted, Arc::clone(&listeners)) else { continue };
            let candidate = Candidate { conditions: Arc::new(conditions), target: Arc::clone(target), index };
            if route.hostnames.is_empty() {
                self.any.add(&key, candidate.clone());
            }
            for host in &route.hostnames {
                self.host_mut(host).add(&key, candidate.clone());
            }
        }
    }

    fn host_mut(&mut self, host: &str) -> &mut Paths<C> {
        let host = bare_host(host).to_ascii_lowercase();
        match host.strip_prefix("*.") {
            Some(suffix) => self.wildcard.entry(suffix.into()).or_default(),
            None => self.exact.entry(host.into()).or_default(),
        }
    }

    /// `host` is bare and in lower case.
    fn find(&self, host: Option<&str>, request: &Request<'_>) -> Option<Found<'_, C>> {
        if let Some(host) = host {
            if let Some(found) = self.exact.get(host).and_then(|paths| paths.find(request)) {
                return Some(found);
            }
            let mut rest = host;
            while !self.wildcard.is_empty()
                && let Some((_, suffix)) = rest.split_once('.')
            {
                if let Some(found) = self.wildcard.get(suffix).and_then(|paths| paths.find(request)) {
                    return Some(found);
                }
                rest = suffix;
            }
        }
        self.any.find(request)
    }
}

#[cfg(test)]
mod tests;
