//! The matches of one host, by path: exact ones, then regular expressions, then prefixes, longer ones first.
//!
//! Exact paths and prefixes are looked up by hash, a prefix once for each segment of the path. Regular expressions are
//! tried one after the other, each in time linear in the path; there are rarely many of them for one host.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use regex::bytes::Regex;

use super::Found;
use super::conditions::{Conditions, Rank, Request};
use super::target::Target;
use crate::config::{PathMatch, compile_pattern};

/// Candidates of one host.
#[derive(Debug)]
pub(super) struct Paths<C> {
    pub(super) exact: HashMap<Box<str>, Vec<Candidate<C>>>,
    /// In order of precedence.
    pub(super) regex: Vec<(Regex, Candidate<C>)>,
    /// Prefixes without trailing `/`.
    pub(super) prefix: HashMap<Box<str>, Vec<Candidate<C>>>,
    /// Length of the longest key of `prefix`: no longer part of a path is looked up.
    longest_prefix: usize,
}

/// One match of one rule, for one host and path.
#[derive(Debug)]
pub(super) struct Candidate<C> {
    pub(super) conditions: Arc<Conditions>,
    pub(super) target: Arc<Target<C>>,
    /// Which match of the rule it is, from 0.
    pub(super) index: usize,
}

/// A path as configured, ready to be put under any number of hosts.
#[derive(Debug)]
pub(super) enum Key {
    Exact(Box<str>),
    Regex(Regex),
    Prefix(Box<str>),
}

impl Key {
    /// `None` if nothing can match it.
    pub(super) fn new(path: &PathMatch) -> Option<Self> {
        Some(match path {
            PathMatch::Exact(path) => Self::Exact(path.as_str().into()),
            PathMatch::Regex(pattern) => Self::Regex(compile_pattern(pattern).ok()?),
            PathMatch::Prefix(path) => Self::Prefix(path.trim_end_matches('/').into()),
        })
    }
}

impl<C> Candidate<C> {
    fn rank(&self) -> Reverse<Rank> {
        Reverse(self.conditions.rank())
    }
}

impl<C> Clone for Candidate<C> {
    fn clone(&self) -> Self {
        Self { conditions: Arc::clone(&self.conditions), target: Arc::clone(&self.target), index: self.index }
    }
}

impl<C> Default for Paths<C> {
    fn default() -> Self {
        Self { exact: HashMap::new(), regex: Vec::new(), prefix: HashMap::new(), longest_prefix: 0 }
    }
}

impl<C> Paths<C> {
    pub(super) fn add(&mut self, path: &Key, candidate: Candidate<C>) {
        match path {
            Key::Exact(path) => self.exact.entry(path.clone()).or_default().push(candidate),
            Key::Regex(regex) => self.regex.push((regex.clone(), candidate)),
            Key::Prefix(prefix) => {
                self.longest_prefix = self.longest_prefix.max(prefix.len());
                self.prefix.entry(prefix.clone()).or_default().push(candidate);
            }
        }
    }

    /// Puts candidates in order of precedence; equal ones stay in the order they were added.
    pub(super) fn sort(&mut self) {
        for candidates in self.exact.values_mut().chain(self.prefix.values_mut()) {
            candidates.sort_by_key(Candidate::rank);
        }
        self.regex.sort_by_key(|(_, candidate)| candidate.rank());
    }

    pub(super) fn find(&self, request: &Request<'_>) -> Option<Found<'_, C>> {
        fn found<'a, C>(candidate: &'a Candidate<C>, matched_prefix: Option<&'a str>) -> Found<'a, C> {
            Found { target: &candidate.target, match_index: candidate.index, matched_prefix }
        }
        let holds = |candidate: &&Candidate<C>| candidate.conditions.hold(request);
        if let Some(candidates) = self.exact.get(request.path)
            && let Some(candidate) = candidates.iter().find(holds)
        {
            return Some(found(candidate, None));
        }
        for (regex, candidate) in &self.regex {
            // The conditions are the cheaper part.
            if holds(&candidate) && regex.is_match(request.path.as_bytes()) {
                return Some(found(candidate, None));
            }
        }
        let mut part = self.longest_part(request.path);
        while let Some(prefix) = part {
            if let Some((key, candidates)) = self.prefix.get_key_value(prefix)
                && let Some(candidate) = candidates.iter().find(holds)
            {
                return Some(found(candidate, Some(key)));
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
