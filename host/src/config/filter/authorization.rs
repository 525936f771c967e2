//! What the authenticated client may do.
//!
//! Decided here: how rules are written and which of them are mistakes. A rule that can never decide, because an earlier
//! one holds whenever it does or because its own conditions exclude each other, is refused: whoever wrote it believes
//! in a protection, or a permission, that is not there. The comparison of rules is by their conditions one by one, so
//! it finds every rule that a single earlier rule covers, and none that only several together do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::notation::valid_path;
use super::super::schema::text;

/// Decides what the client may do: the first rule that holds, else `default`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Authorization {
    /// In order; the first that holds decides.
    pub rules: Vec<AccessRule>,
    /// What happens when no rule holds.
    pub default: Access,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// It is refused.
    #[default]
    Deny,
    /// It goes on.
    Allow,
}

/// A rule: what happens, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessRule {
    /// Such requests go on.
    Allow(AccessConditions),
    /// Such requests are refused.
    Deny(AccessConditions),
}

/// All that are given must hold; none given always hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct AccessConditions {
    /// One of these methods, upper case. `GET` also means `HEAD`.
    #[schemars(with = "Vec<text::Method>")]
    pub methods: Vec<String>,
    /// One of these paths, as the client sent it (normalised, before any rewrite).
    pub paths: Vec<AccessPath>,
    /// All of these scopes.
    pub scopes: Vec<String>,
    /// At least one of these scopes.
    pub any_scope: Vec<String>,
    /// For each claim (dots reach inside) one of its values; of a claim that is a list, one item.
    #[schemars(with = "BTreeMap<String, Vec<text::Scalar>>")]
    pub claims: BTreeMap<String, Vec<String>>,
    /// One of these names of users or keys, or `sub` of a token.
    pub subjects: Vec<String>,
    /// Whether the client has proven who it is.
    pub authenticated: Option<bool>,
}

/// A path in a rule; case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessPath {
    /// The whole path.
    Exact(#[schemars(with = "text::Path")] String),
    /// Whole segments: `/v2` matches `/v2` and `/v2/x`, not `/v2x`.
    Prefix(#[schemars(with = "text::Path")] String),
}

impl Authorization {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        // What lost a part because of a mistake would look like something that it is not.
        let mut earlier: Vec<(usize, &AccessConditions)> = Vec::new();
        for (rule, at) in self.rules.iter().zip(at.get("rules").items()) {
            let conditions = rule.conditions();
            let at = at.get(rule.name());
            conditions.check(check, at);
            if at.has_refused() {
                continue;
            }
            if let Some((line, _)) = earlier.iter().find(|(_, other)| other.covers(conditions)) {
                let message = format!("never decides: the rule in line {line} holds whenever this one does");
                check.wrong(at, message);
            }
            earlier.push((at.line(), conditions));
        }
    }
}

impl AccessRule {
    /// The key in the file.
    pub(in crate::config) fn name(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(_) => "deny",
        }
    }

    /// What happens when it holds.
    pub fn access(&self) -> Access {
        match self {
            Self::Allow(_) => Access::Allow,
            Self::Deny(_) => Access::Deny,
        }
    }

    /// When it holds.
    pub fn conditions(&self) -> &AccessConditions {
        match self {
            Self::Allow(conditions) | Self::Deny(conditions) => conditions,
        }
    }
}

impl AccessConditions {
    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        for (method, at) in self.methods.iter().zip(at.get("methods").items()) {
            if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') {
                let shown = method.escape_debug();
                check.wrong(at, format!("`{shown}` is no method: write it in upper case, like GET"));
            }
        }
        for (path, at) in self.paths.iter().zip(at.get("paths").items()) {
            let (path, at) = match path {
                AccessPath::Exact(path) => (path, at.get("exact")),
                AccessPath::Prefix(path) => (path, at.get("prefix")),
            };
            if let Err(message) = valid_path(path) {
                check.wrong(at, message);
            }
        }
        for (key, list) in [("scopes", &self.scopes), ("anyScope", &self.any_scope), ("subjects", &self.subjects)] {
            for (word, at) in list.iter().zip(at.get(key).items()) {
                if word.is_empty() || (key != "subjects" && word.contains(' ')) {
                    check.wrong(at, format!("`{}` can never be there: write one word per item", word.escape_debug()));
                }
            }
        }
        for (claim, values) in &self.claims {
            let at = at.get("claims");
            if claim.is_empty() {
                check.wrong(at.key(claim), "a claim needs a name");
            } else if values.is_empty() && !at.get(claim).has_refused() {
                check.wrong(at.key(claim), format!("`{claim}` has no values, so this rule never holds: name one"));
            }
        }
        if self.authenticated == Some(false) && self.about_identity() {
            let message = "never holds: who has scopes, claims or a subject is authenticated";
            check.wrong(at.get("authenticated"), message);
        }
    }

    /// Whether only an authenticated client can meet them, `authenticated` aside.
    fn about_identity(&self) -> bool {
        let Self { scopes, any_scope, claims, subjects, .. } = self;
        !(scopes.is_empty() && any_scope.is_empty() && claims.is_empty() && subjects.is_empty())
    }

    /// Whether these hold whenever `other` do.
    fn covers(&self, other: &Self) -> bool {
        let Self { methods, paths, scopes, any_scope, claims, subjects, authenticated } = self;
        let method =
            |method: &String| methods.contains(method) || (method == "HEAD" && methods.iter().any(|m| m == "GET"));
        any_of(methods, &other.methods, method)
            && any_of(paths, &other.paths, |path| paths.iter().any(|mine| mine.covers(path)))
            && scopes.iter().all(|scope| other.scopes.contains(scope))
            && (any_of(any_scope, &other.any_scope, |scope| any_scope.contains(scope))
                || any_scope.iter().any(|scope| other.scopes.contains(scope)))
            && claims.iter().all(|(claim, mine)| {
                other.claims.get(claim).is_some_and(|values| any_of(mine, values, |value| mine.contains(value)))
            })
            && any_of(subjects, &other.subjects, |subject| subjects.contains(subject))
            && match authenticated {
                None => true,
                Some(true) => other.authenticated == Some(true) || other.about_identity(),
                Some(false) => other.authenticated == Some(false),
            }
    }
}

/// Whether a list of alternatives (empty: anything) allows all that `other` does.
fn any_of<T>(mine: &[T], other: &[T], covered: impl Fn(&T) -> bool) -> bool {
    mine.is_empty() || (!other.is_empty() && other.iter().all(covered))
}

impl AccessPath {
    /// Whether it holds for `path`, which is normalised and has no query.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == path,
            Self::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.trim_end_matches('/'));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(path)) => self.matches(path),
            (Self::Prefix(_), Self::Prefix(path)) => self.matches(path.trim_end_matches('/')),
            (Self::Exact(_), Self::Prefix(_)) => false,
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "rules": [
        { "deny": { "paths": [{ "exact": "/internal" }], "authenticated": false } },
        { "allow": {
            "methods": ["GET"], "paths": [{ "prefix": "/orders" }], "scopes": ["orders:read"],
            "anyScope": ["eu", "us"], "claims": { "realm.role": ["admin", "ops"] }, "subjects": ["ada"],
            "authenticated": true
        } }
    ],
    "default": "allow"
}"#;
