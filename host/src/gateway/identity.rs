//! Who a request comes from, and how that is proven.
//!
//! Decided here: what every proof ends in (an [`Identity`]). Filters make one, `authorization` and rate limits by
//! claim read it, and it ends with the request. Never decided here: which requests need an identity (filters), what
//! one may do (`authorization`), and what a refusal looks like to the client (`gateway/error.rs`).

use std::sync::Arc;

use serde_json::{Map, Value};

/// How an identity was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// A signed token.
    Jwt,
    /// A key known to the gateway.
    ApiKey,
    /// A user name and a password.
    Basic,
    /// The certificate of the TLS connection.
    Certificate,
}

impl Method {
    /// The word in logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "apiKey",
            Self::Basic => "basic",
            Self::Certificate => "certificate",
        }
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(claims: Value) -> Identity {
        let Value::Object(claims) = claims else { panic!("claims are an object") };
        let scopes = scopes(&claims);
        Identity { method: Method::Jwt, provider: "idp".into(), subject: "ada".to_owned(), scopes, claims }
    }

    #[test]
    fn a_dotted_path_reaches_into_claims_unless_a_claim_has_that_very_name() {
        let ada = identity(json!({ "realm_access": { "roles": ["a"] }, "a.b": 1, "a": { "b": 2, "c": null } }));
        assert_eq!(ada.claim("realm_access.roles"), Some(&json!(["a"])));
        assert_eq!(ada.claim("a.b"), Some(&json!(1)));
        assert_eq!(ada.claim("a.c"), Some(&Value::Null));
        for missing in ["", ".", "a.", "a.c.d", "realm_access.roles.0", "b"] {
            assert_eq!(ada.claim(missing), None, "{missing}");
        }
    }

    #[test]
    fn scopes_are_read_from_text_and_arrays_under_both_names() {
        for (claims, expected) in [
            (json!({ "scope": "read  write" }), vec!["read", "write"]),
            (json!({ "scope": ["read", 5, "a b"] }), vec!["read", "a b"]),
            (json!({ "scp": ["read"], "scope": "write" }), vec!["write", "read"]),
            (json!({ "scp": "read write" }), vec!["read", "write"]),
            (json!({ "scope": 5, "scp": { "read": true } }), vec![]),
            (json!({}), vec![]),
        ] {
            assert_eq!(identity(claims.clone()).scopes, expected, "{claims}");
        }
        let ada = identity(json!({ "scope": "orders:read" }));
        assert!(ada.has_scope("orders:read"));
        assert!(!ada.has_scope("orders") && !ada.has_scope("ORDERS:READ") && !ada.has_scope(""));
    }

    #[test]
    fn claims_do_not_appear_in_the_debug_form() {
        let text = format!("{:?}", identity(json!({ "email": "ada@example.com" })));
        assert!(!text.contains("ada"), "{text}");
    }
}
