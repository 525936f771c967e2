//! How the versions of a service share its requests, beyond their weights: who may choose, and who stays.
//!
//! Decided here: the words, and that a split is among versions of one service. Which version a request gets is the
//! gateway's (`gateway/split.rs`).

use std::collections::BTreeSet;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::route::BackendRef;

/// Which version of a service a request gets, beyond the weights: who may choose, and who stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Split {
    /// A request whose header of this name has the label of a listed version gets that version, whatever its weight.
    #[schemars(length(min = 1))]
    pub header: Option<String>,
    /// The same for a cookie of this name; the header comes first.
    #[schemars(length(min = 1))]
    pub cookie: Option<String>,
    /// Who stays with one version as long as weights do not change: `clientIp`, `{ header: … }` or `{ cookie: … }`.
    pub sticky_by: Option<StickyBy>,
}

/// What is one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StickyBy {
    /// The client's address; of IPv6 its /64, which is what one customer gets.
    ClientIp,
    /// The value of a header.
    Header(#[schemars(length(min = 1))] String),
    /// The value of a cookie.
    Cookie(#[schemars(length(min = 1))] String),
}

impl Split {
    /// Checks the values, and that `backends` are versions of one service.
    pub(super) fn check(&self, backends: &[BackendRef], check: &mut Check<'_>, at: At<'_>, rule_at: At<'_>) {
        self.check_names(check, at);
        let mut versions = BTreeSet::new();
        let backends_at = rule_at.get("backendRefs");
        for (backend, at) in backends.iter().zip(backends_at.items()) {
            if backends.first().is_some_and(|first| first.service != backend.service) {
                let message = "`split` is among versions of one service: make a rule of its own for another service";
                check.wrong(at.get("service"), message);
            } else if !versions.insert(backend.version.as_deref()) {
                check.wrong(at, "the same version twice: `split` could not tell them apart");
            }
        }
    }

    /// Checks the values.
    pub(super) fn check_names(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self { header, cookie, sticky_by } = self;
        if header.is_none() && cookie.is_none() && sticky_by.is_none() && !at.has_refused() {
            check.wrong(at, "says nothing: give `header`, `cookie` or `stickyBy`");
        }
        sticky_by.iter().for_each(|by| by.check(check, at.get("stickyBy")));
        if let Some(name) = header {
            check_header(name, check, at.get("header"));
        }
        if let Some(name) = cookie {
            check_cookie(name, check, at.get("cookie"));
        }
    }
}

impl StickyBy {
    /// Checks the name, if there is one.
    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        match self {
            Self::ClientIp => {}
            Self::Header(name) => check_header(name, check, at.get("header")),
            Self::Cookie(name) => check_cookie(name, check, at.get("cookie")),
        }
    }
}

/// Whether a header can have this name.
pub(super) fn check_header(name: &str, check: &mut Check<'_>, at: At<'_>) {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        check.wrong(at, format!("`{}` is no header name", name.escape_debug()));
    }
}

/// Whether a cookie can have this name: it is a token, as a header's is (RFC 6265 §4.1.1).
fn check_cookie(name: &str, check: &mut Check<'_>, at: At<'_>) {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        check.wrong(at, format!("`{}` is no name of a cookie", name.escape_debug()));
    }
}
