//! Changing what the service sees of the address.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::notation::valid_path;
use super::super::schema::text;

/// Changes the path that the service sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rewrite {
    /// What replaces the matched prefix. The rule must match by prefix.
    #[schemars(with = "text::Path")]
    pub prefix: String,
}

impl Rewrite {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Err(message) = valid_path(&self.prefix) {
            check.wrong(at.get("prefix"), message);
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{ "prefix": "/" }"#;
