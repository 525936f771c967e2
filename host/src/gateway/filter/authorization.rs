//! Whether a client may do what it asks for: the first rule that holds decides, else the default, which is to refuse.
//!
//! Paths are compared with the path of the client's request after the sanitizer normalised it and before any rewrite:
//! rules speak of what the client can write. All conditions of a rule must hold; a condition about the identity never
//! holds for nobody, neither in `allow` nor in `deny`. `GET` in a rule also means `HEAD`, which tells no more and may
//! not tell what `GET` may not.
//!
//! Never decided here: who the client is (`jwt`, `apiKey`, `basicAuth`), and what a refusal looks like.

use http::Method;
use serde_json::Value;

use crate::config::{self, Access, AccessConditions};
use crate::gateway::identity::Identity;

/// Why a request may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Nobody may; somebody might.
    Unauthenticated,
    /// This client may not.
    Forbidden,
}

/// `authorization`, ready to be asked.
#[derive(Debug)]
pub(crate) struct Authorization {
    rules: Vec<(Access, AccessConditions)>,
    default: Access,
}

impl Authorization {
    pub(crate) fn new(config: &config::Authorization) -> Self {
        let rules = config.rules.iter().map(|rule| (rule.access(), rule.conditions().clone())).collect();
        Self { rules, default: config.default }
    }

    /// `path` is normalised, not yet rewritten, and has no query.
    ///
    /// # Errors
    /// When the request may not go on.
    pub(crate) fn decide(&self, method: &Method, path: &str, identity: Option<&Identity>) -> Result<(), Denied> {
        let decided = self.rules.iter().find(|(_, conditions)| hold(conditions, method, path, identity));
        match (decided.map_or(self.default, |(access, _)| *access), identity) {
            (Access::Allow, _) => Ok(()),
            (Access::Deny, None) => Err(Denied::Unauthenticated),
            (Access::Deny, Some(_)) => Err(Denied::Forbidden),
        }
    }
}

fn hold(conditions: &AccessConditions, method: &Method, path: &str, identity: Option<&Identity>) -> bool {
    let AccessConditions { methods, paths, scopes, any_scope, claims, subjects, authenticated } = conditions;
    let same = |name: &String| name == method.as_str() || (name == "GET" && method == Method::HEAD);
    if !(methods.is_empty() || methods.iter().any(same))
        || !(paths.is_empty() || paths.iter().any(|rule| rule.matches(path)))
        || authenticated.is_some_and(|authenticated| authenticated != identity.is_some())
    {
        return false;
    }
    let Some(identity) = identity else {
        return scopes.is_empty() && any_scope.is_empty() && claims.is_empty() && subjects.is_empty();
    };
    scopes.iter().all(|scope| identity.has_scope(scope))
        && (any_scope.is_empty() || any_scope.iter().any(|scope| identity.has_scope(scope)))
        && claims.iter().all(|(claim, values)| identity.claim(claim).is_some_and(|value| one_of(value, values)))
        && (subjects.is_empty() || (!identity.subject.is_empty() && subjects.contains(&identity.subject)))
}

/// Whether a claim, or an item of it, has one of these values. Numbers and truth values count as JSON writes them.
fn one_of(claim: &Value, values: &[String]) -> bool {
    match claim {
        Value::String(text) => values.contains(text),
        Value::Bool(_) | Value::Number(_) => values.contains(&claim.to_string()),
        Value::Array(items) => items.iter().any(|item| !item.is_array() && one_of(item, values)),
        Value::Null | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests;
