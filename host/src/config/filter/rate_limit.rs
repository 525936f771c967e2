//! How often somebody may ask, and who counts as somebody.
//!
//! Decided here: the words. How requests are counted is the policy's (`policy/rate_limit.rs`), what of a request is the
//! key, and what the client is told, the filter's.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::units::Duration;

/// A key takes some 50 bytes; this many of them 500 MB.
const MAX_KEYS: std::ops::RangeInclusive<u32> = 1..=10_000_000;

/// Limits how often.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RateLimit {
    /// So many requests …
    #[schemars(range(min = 1))]
    pub requests: u32,
    /// … in so much time. 1ms to 24h.
    pub per: Duration,
    /// So many of them at once; `requests` if not given.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// Who counts for himself: `clientIp`, `service`, `subject` (of the identity), `{ header: … }`, `{ cookie: … }` or
    /// `{ claim: … }`.
    #[serde(default)]
    pub key: LimitKey,
    /// What counts for a request that has no such header, cookie, identity or claim.
    #[serde(default)]
    pub on_missing_key: MissingKey,
    /// How headers and logs name it; `default` if not given.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether it refuses, or only says that it would.
    #[serde(default)]
    pub mode: LimitMode,
    /// How the client is told what is left.
    #[serde(default)]
    pub headers: LimitHeaders,
    /// Keys that are remembered; then those that used least are forgotten. 1 to 10000000.
    #[serde(default = "max_keys")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub max_keys: u32,
}

/// Who counts for himself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LimitKey {
    /// The client's address; of IPv6 its /64, which is what one customer gets.
    #[default]
    ClientIp,
    /// Everybody together, for each service.
    Service,
    /// The subject of the proven identity.
    Subject,
    /// The value of a header.
    Header(#[schemars(length(min = 1))] String),
    /// The value of a cookie.
    Cookie(#[schemars(length(min = 1))] String),
    /// A claim of the proven identity, by its path.
    Claim(#[schemars(length(min = 1))] String),
}

/// What counts for a request without the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MissingKey {
    /// Its address: leaving a header out is no way around the limit.
    #[default]
    ClientIp,
    /// Nothing: it is not limited.
    Allow,
}

/// What a limit does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LimitMode {
    /// Refuses with 429.
    #[default]
    Enforce,
    /// Lets everybody pass and logs whom it would have refused.
    Observe,
}

/// How a client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LimitHeaders {
    /// `RateLimit` and `RateLimit-Policy`, as in the IETF's draft 11.
    #[default]
    Draft11,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`.
    XRateLimit,
    /// Not; `Retry-After` still comes with a refusal.
    None,
}

fn max_keys() -> u32 {
    100_000
}

impl RateLimit {
    /// Whether it can only count when it is known who the client is.
    pub fn needs_identity(&self) -> bool {
        match self.key {
            LimitKey::Subject | LimitKey::Claim(_) => true,
            LimitKey::ClientIp | LimitKey::Service | LimitKey::Header(_) | LimitKey::Cookie(_) => false,
        }
    }

    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if self.requests == 0 {
            check.wrong(at.get("requests"), "`0` would refuse everybody: at least 1");
        }
        if self.burst == Some(0) {
            check.wrong(at.get("burst"), "`0` would refuse everybody: at least 1");
        }
        check.within(at.get("per"), &self.per, &(Duration::millis(1)..=Duration::secs(86_400)));
        check.within(at.get("maxKeys"), &self.max_keys, &MAX_KEYS);
        let key_at = at.get("key");
        match &self.key {
            LimitKey::Header(name) if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                check.wrong(key_at.get("header"), format!("`{}` is no header name", name.escape_debug()));
            }
            LimitKey::Cookie(name) if name.is_empty() || !name.bytes().all(is_token) => {
                check.wrong(key_at.get("cookie"), format!("`{}` is no name of a cookie", name.escape_debug()));
            }
            LimitKey::Claim(path) if path.is_empty() => check.wrong(key_at.get("claim"), "an empty claim: name one"),
            LimitKey::ClientIp
            | LimitKey::Service
            | LimitKey::Subject
            | LimitKey::Header(_)
            | LimitKey::Cookie(_)
            | LimitKey::Claim(_) => {}
        }
        // It stands in quotes in a header (RFC 8941 §3.3.3).
        if let Some(name) = self.name.as_deref().filter(|name| name.is_empty() || !name.bytes().all(is_token)) {
            check.wrong(at.get("name"), format!("`{}` is no name: use letters, digits and `-`", name.escape_debug()));
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "requests": 100, "per": "1m", "burst": 20, "key": { "header": "x-tenant" }, "onMissingKey": "allow",
    "name": "tenants", "mode": "observe", "headers": "none", "maxKeys": 5
}"#;
