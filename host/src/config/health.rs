//! What the public listeners tell about health.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::notation::valid_path;
use super::schema::text;

/// How all services are, for load balancers and monitors outside: an answer of the gateway itself at a path that no route
/// and no service has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PublicHealth {
    /// Whether there is such an answer.
    pub enabled: bool,
    /// Its path. A route or a service that matches it comes first.
    #[schemars(with = "text::Path")]
    pub path: String,
    /// Whether it names services and how each is. Names are not for strangers.
    pub details: bool,
}

impl Default for PublicHealth {
    fn default() -> Self {
        Self { enabled: true, path: "/api/health".to_owned(), details: false }
    }
}

impl PublicHealth {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Err(message) = valid_path(&self.path) {
            check.wrong(at.get("path"), message);
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{ "enabled": false, "path": "/health", "details": true }"#;
