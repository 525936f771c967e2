//! (skeleton) who vouches for clients

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};

/// (skeleton)
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Auth {}

impl Auth {
    pub(super) fn check(&self, _check: &mut Check<'_>, _at: At<'_>) {}
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"{}"#;
