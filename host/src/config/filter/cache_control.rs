//! How long browsers and caches may keep responses.
//!
//! Structured fields instead of a free text, because what contradicts itself (`no-store` with a lifetime) is read
//! differently by every cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::units::Duration;

/// Sets `Cache-Control` of responses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct CacheControl {
    /// Who may keep the response.
    pub scope: Option<CacheScope>,
    /// How long it is fresh, in whole seconds.
    pub max_age: Option<Duration>,
    /// The same for shared caches. Needs `scope: public`.
    pub shared_max_age: Option<Duration>,
    /// How long a stale response may be used while a new one is fetched.
    pub stale_while_revalidate: Option<Duration>,
    /// How long a stale response may be used when a new one cannot be had.
    pub stale_if_error: Option<Duration>,
    /// A stale response must not be used. Not together with `staleWhileRevalidate` or `staleIfError`.
    pub must_revalidate: bool,
    /// The response never changes while it is fresh.
    pub immutable: bool,
    /// Whether to replace what the service says. Without it, responses that have `Cache-Control`, `Expires` or
    /// `Set-Cookie` are left as they are.
    #[serde(rename = "override")]
    pub replace: bool,
    /// Only responses with one of these statuses.
    #[schemars(inner(range(min = 200, max = 599)))]
    pub statuses: Vec<u16>,
}

/// Who may keep a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CacheScope {
    /// Every cache.
    Public,
    /// The client's own cache only.
    Private,
    /// Every cache, but it must ask before each use.
    NoCache,
    /// Nobody.
    NoStore,
}

impl Default for CacheControl {
    fn default() -> Self {
        Self {
            scope: None,
            max_age: None,
            shared_max_age: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            must_revalidate: false,
            immutable: false,
            replace: false,
            statuses: vec![200, 203, 206, 301, 308],
        }
    }
}

impl CacheControl {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let ages = [
            ("maxAge", self.max_age),
            ("sharedMaxAge", self.shared_max_age),
            ("staleWhileRevalidate", self.stale_while_revalidate),
            ("staleIfError", self.stale_if_error),
        ];
        for (field, age) in ages {
            let Some(age) = age else { continue };
            if age.get().subsec_millis() != 0 {
                check.wrong(at.get(field), format!("`{age}` is no whole number of seconds"));
            }
            match self.scope {
                Some(CacheScope::NoStore) => {
                    check.wrong(at.key(field), "`noStore` leaves nothing to be kept: remove it")
                }
                Some(CacheScope::NoCache) => check.wrong(at.key(field), "`noCache` leaves nothing fresh: remove it"),
                _ => {}
            }
            if self.must_revalidate && field.starts_with("stale") {
                check.wrong(at.key(field), "`mustRevalidate` forbids stale responses: give one of the two");
            }
        }
        if self.shared_max_age.is_some() && self.scope == Some(CacheScope::Private) {
            check.wrong(at.key("sharedMaxAge"), "shared caches do not keep what is `private`: remove one of the two");
        }
        let nothing = self.scope.is_none() && ages.iter().all(|(_, age)| age.is_none());
        if nothing && !at.has_refused() {
            check.wrong(at, "says nothing: give `scope` or `maxAge`");
        }
        let statuses_at = at.get("statuses");
        for (status, at) in self.statuses.iter().zip(statuses_at.items()) {
            check.within(at, status, &(200..=599));
        }
        if self.statuses.is_empty() && !statuses_at.has_refused() {
            check.wrong(statuses_at, "no status: name at least one");
        }
    }
}

/// Every field that can stand beside the others, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "scope": "public", "maxAge": "1h", "sharedMaxAge": "2h", "staleWhileRevalidate": "1m", "staleIfError": "1m",
    "mustRevalidate": false, "immutable": true, "override": true, "statuses": [200, 404]
}"#;
