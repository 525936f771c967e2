//! What must hold for lists of filters.

use std::collections::HashSet;

use super::super::auth::Auth;
use super::super::filter::{Filter, Jwt};
use super::super::route::{PathMatch, Rule};
use super::{At, Check};

impl Check<'_> {
    /// Filters that hold for many routes: what changes the address, or answers, makes sense for one only.
    pub(super) fn shared_filters(&mut self, filters: &[Filter], auth: &Auth, at: At<'_>) {
        self.filters(filters, at);
        Jwt::check_providers(filters, auth, self, at);
        for (filter, at) in filters.iter().zip(at.items()) {
            if matches!(filter, Filter::Rewrite(_) | Filter::Redirect(_) | Filter::StaticResponse(_)) {
                let name = filter.name();
                self.wrong(
                    at.key(name),
                    format!("`{name}` belongs to a rule in `routes`: it would hold for everything here"),
                );
            }
        }
    }

    /// A list of filters, wherever it stands.
    pub(super) fn filters(&mut self, filters: &[Filter], at: At<'_>) {
        let mut names = HashSet::new();
        let mut limits = HashSet::new();
        let mut mirrors = HashSet::new();
        for (filter, at) in filters.iter().zip(at.items()) {
            let name = filter.name();
            if let Filter::RateLimit(limit) = filter {
                if let Some(limit) = limit.name.as_deref().filter(|limit| !limits.insert(*limit)) {
                    let message = format!("a second rate limit named `{limit}` in one list: they would count as one");
                    self.wrong(at.get(name).get("name"), message);
                }
            } else if let Filter::Mirror(mirror) = filter {
                if !mirrors.insert((&mirror.service, &mirror.version)) {
                    let target = mirror.target();
                    let message = format!("a second mirror to `{target}` in one list: give it once");
                    self.wrong(at.get(name), message);
                }
            } else if !names.insert(name) {
                self.wrong(at.key(name), format!("a second `{name}` in one list: give it once"));
            }
            filter.check(self, at);
        }
    }

    /// The filters of a rule, beside its matches.
    pub(super) fn filters_of(&mut self, rule: &Rule, at: At<'_>) {
        self.filters(&rule.filters, at.get("filters"));
        let mut matches = rule.matches.iter().zip(at.get("matches").items());
        let other = matches.find_map(|(matched, at)| match matched.path {
            Some(PathMatch::Exact(_)) => Some(("exact", at)),
            Some(PathMatch::Regex(_)) => Some(("regex", at)),
            Some(PathMatch::Prefix(_)) | None => None,
        });
        let Some((kind, other)) = other else { return };
        for (filter, at) in rule.filters.iter().zip(at.get("filters").items()) {
            let prefix = match filter {
                Filter::Rewrite(rewrite) => rewrite.prefix.is_some(),
                Filter::Redirect(redirect) => redirect.prefix.is_some(),
                _ => false,
            };
            if prefix {
                let (line, _) = other.get("path").key(kind).span.position();
                let name = filter.name();
                let message = format!("`{name}` replaces a matched prefix, but the match in line {line} is `{kind}`");
                self.wrong(at.key(name), message);
            }
        }
    }
}
