//! Demanding an API key.
//!
//! Decided here: where keys are listed, where a request carries one, and what the service is told. The lines of the
//! list are described, and read, where the filter works (`gateway/filter/api_key`): they are secrets' neighbours and no
//! part of the configuration.

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::secret::SecretRef;
use super::headers::is_gateways;

/// Headers that mean something to the connection or the message: no name of a client may be written into them, nor into
/// the gateway's own.
const RESERVED: [&str; 14] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Demands an API key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ApiKey {
    /// Where the list of keys is, one line a key, as `wharf hash api-key` prints it. A changed file counts within two
    /// seconds; while it cannot be read, the list before it stays in force.
    pub keys: SecretRef,
    /// Where a request carries its key; the header `x-api-key` if not given.
    #[serde(default)]
    pub from: KeyPlace,
    /// Whether the service sees the key.
    #[serde(default)]
    pub forward: bool,
    /// A header in which the service gets the name of the key. What the client sent under this name is removed.
    #[serde(default)]
    pub subject_header: Option<String>,
    /// Whether a request without a key may pass, as nobody. A wrong key never does.
    #[serde(default)]
    pub optional: bool,
}

/// Where a request carries its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum KeyPlace {
    /// A header.
    Header(#[schemars(length(min = 1))] String),
    /// A parameter of the query. Addresses end up in logs and histories, so prefer a header.
    Query(#[schemars(regex(pattern = r"^[A-Za-z0-9._~-]+$"))] String),
}

impl Default for KeyPlace {
    fn default() -> Self {
        Self::Header("x-api-key".to_owned())
    }
}

impl ApiKey {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self { keys, from, forward: _, subject_header, optional: _ } = self;
        keys.check(check, at.get("keys"));
        let from_at = at.get("from");
        match from {
            KeyPlace::Header(name) if name.parse::<HeaderName>().is_err() => {
                check.wrong(from_at.get("header"), format!("`{}` is no header name", name.escape_debug()));
            }
            KeyPlace::Header(name) if ["authorization", "cookie", "host"].contains(&&*name.to_ascii_lowercase()) => {
                check.wrong(from_at.get("header"), format!("`{name}` carries more than a key: take another header"));
            }
            KeyPlace::Query(name) if !plain_parameter(name) => {
                let message = "a parameter's name has letters, digits, `.`, `_`, `~` and `-` only";
                check.wrong(from_at.get("query"), message);
            }
            KeyPlace::Header(_) | KeyPlace::Query(_) => {}
        }
        check_subject_header(subject_header.as_deref(), check, at.get("subjectHeader"));
        if let (KeyPlace::Header(from), Some(header)) = (from, subject_header)
            && alias(from) == alias(header)
        {
            check
                .wrong(at.get("subjectHeader"), format!("`{header}` is where the key comes from: take another header"));
        }
    }
}

/// Whether a name stands in a query as it is.
fn plain_parameter(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
}

/// The name as backends see it that make no difference between `_` and `-`.
fn alias(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// Whether a header may hold the name of a client.
pub(super) fn check_subject_header(name: Option<&str>, check: &mut Check<'_>, at: At<'_>) {
    let Some(name) = name else { return };
    let alias = alias(name);
    if name.parse::<HeaderName>().is_err() {
        check.wrong(at, format!("`{}` is no header name", name.escape_debug()));
    } else if RESERVED.contains(&alias.as_str()) || is_gateways(&alias) {
        check.wrong(at, format!("`{name}` has a meaning of its own: take another header"));
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "keys": { "file": "secrets/api-keys.txt" }, "from": { "header": "x-api-key" }, "forward": true,
    "subjectHeader": "x-client", "optional": true
}"#;
