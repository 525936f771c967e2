//! Paths that no request ever has, because of what `requests` says: a rule for one looks like a protection and is none.

use super::super::check::{At, Check};
use super::super::filter::{AccessPath, Authorization, Filter};
use super::super::requests::{EncodedSlashes, PathParameters, Requests};
use super::super::route::{PathMatch, Rule};
use super::place::{Owner, Place};

pub(super) fn lint(requests: &Requests, places: &[Place<'_>], check: &mut Check<'_>) {
    for place in places {
        if let Owner::Rule(rule) = place.of {
            matches(requests, rule, check, place.at);
        }
        for (filter, at) in place.filters() {
            if let Filter::Authorization(authorization) = filter {
                access(requests, authorization, check, at.get(filter.name()));
            }
        }
    }
}

fn matches(requests: &Requests, rule: &Rule, check: &mut Check<'_>, at: At<'_>) {
    for (matched, at) in rule.matches.iter().zip(at.get("matches").items()) {
        match &matched.path {
            Some(PathMatch::Exact(path)) => never(requests, path, check, at.get("path").get("exact")),
            Some(PathMatch::Prefix(path)) => {
                never(requests, path.trim_end_matches('/'), check, at.get("path").get("prefix"));
            }
            Some(PathMatch::Regex(_)) | None => {}
        }
    }
}

fn access(requests: &Requests, authorization: &Authorization, check: &mut Check<'_>, at: At<'_>) {
    for (rule, at) in authorization.rules.iter().zip(at.get("rules").items()) {
        let paths_at = at.get(rule.name()).get("paths");
        for (path, at) in rule.conditions().paths.iter().zip(paths_at.items()) {
            match path {
                AccessPath::Exact(path) => never(requests, path, check, at.get("exact")),
                AccessPath::Prefix(path) => never(requests, path.trim_end_matches('/'), check, at.get("prefix")),
            }
        }
    }
}

fn never(requests: &Requests, path: &str, check: &mut Check<'_>, at: At<'_>) {
    let has_encoded_slash = path.contains("%2F") || path.contains("%5C");
    let why = if requests.merge_slashes && path.contains("//") {
        "slashes in a row are one: write one, or set `requests.mergeSlashes: false`"
    } else if requests.path_parameters == PathParameters::Reject && path.contains(';') {
        "requests with `;` are refused, unless `requests.pathParameters` is `forward`"
    } else if requests.encoded_slashes == EncodedSlashes::Reject && has_encoded_slash {
        "requests with encoded slashes are refused, unless `requests.encodedSlashes` is `forward`"
    } else {
        return;
    };
    check.warn(at, format!("no request ever has the path `{path}`: {why}"));
}
