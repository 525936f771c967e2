//! Who a request comes from, and how that is proven.
//!
//! Decided here: what every proof ends in (an [`Identity`]), and how a JSON Web Token is proven. Filters make an
//! identity, `authorization` and rate limits by claim read it, and it ends with the request. Never decided here: which
//! requests need an identity (filters), what one may do (`authorization`), and what a refusal looks like to the client
//! (`gateway/error.rs`).
//!
//! ```text
//! token ─ token (form, header) ─ provider (whose, remembered?) ─ jwks (key, signature) ─ claims ─→ Identity
//!                                     └─ source (which keys hold now) ─ pace (when) ─ fetch (file, URL, secret)
//! ```

mod claims;
mod fetch;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod json;
mod jwks;
mod pace;
mod provider;
mod source;
mod token;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(crate) use provider::{Provider, Providers, Refused, verify};
use serde_json::{Map, Value};
pub(crate) use token::Invalid;

/// How an identity was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// A signed token.
    Jwt,
    /// A key known to the gateway.
    ApiKey,
    /// A user name and a password.
    Basic,
}

/// Who a request comes from, once that is proven.
#[derive(Clone, PartialEq)]
pub(crate) struct Identity {
    pub(crate) method: Method,
    /// Who vouches: a provider's name for a token, otherwise the filter's word.
    pub(crate) provider: Arc<str>,
    /// The client's name with that provider; empty when a token has no `sub`.
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) claims: Map<String, Value>,
}

impl Identity {
    /// The claim at a dotted path (`realm_access.roles`). A claim whose own name is the whole path wins, because
    /// names such as `https://example.com/roles` have dots.
    pub(crate) fn claim(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.claims.get(path) {
            return Some(value);
        }
        let mut names = path.split('.');
        let first = self.claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_object()?.get(name))
    }

    /// Whether the scope was granted, letter by letter.
    pub(crate) fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == scope)
    }
}

// Claims are about people: a log line of an identity must not carry them.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("method", &self.method)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// The scopes that claims speak of: `scope` (RFC 8693 §4.2) or `scp`, as text with spaces between or as an array.
/// Anything in an array that is no text grants nothing.
pub(crate) fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let mut scopes = Vec::new();
    for value in ["scope", "scp"].into_iter().filter_map(|name| claims.get(name)) {
        match value {
            Value::String(text) => scopes.extend(text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned)),
            Value::Array(items) => scopes.extend(items.iter().filter_map(Value::as_str).map(str::to_owned)),
            _ => {}
        }
    }
    scopes
}
