//! Why a request goes where it goes: every match of the table beside it, with what keeps it from winning.
//!
//! The winner is what [`Table::find`] finds and nothing else; here it is only said why. So this can be wrong about a
//! reason, but never about where requests go. It walks through the whole table and allocates freely: it is for people.

mod reason;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use regex::bytes::Regex;

use super::conditions::Request;
use super::paths::{Candidate, Paths};
use super::target::Target;
use super::{Found, Level, Table};

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
                let (distance, reasons) = reason::weigh(host, path, candidate, request);
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
