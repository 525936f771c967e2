//! How clients name the version of a service's API that they want.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::split::check_header;

/// How clients name the version that they want; they cannot if nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Versioning {
    /// By this header: `accept-version: 2`.
    #[schemars(length(min = 1))]
    pub header: Option<String>,
    /// By the first segment of the path that the service would see, which is taken off: `/v2/items`.
    pub path: bool,
}

impl Versioning {
    /// Whether there is a way.
    pub fn is_on(&self) -> bool {
        self.path || self.header.is_some()
    }

    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Some(name) = &self.header {
            check_header(name, check, at.get("header"));
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{ "header": "accept-version", "path": true }"#;
