//! A bound on request bodies for one route.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::units::Size;

/// Bounds the request's body more tightly than the service's `limits.requestBody`; it never allows more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct BodyLimit {
    /// Largest body.
    pub max: Size,
}

impl Default for BodyLimit {
    fn default() -> Self {
        Self { max: Size::mib(1) }
    }
}

impl BodyLimit {
    /// Every size makes sense, also `0B`: no body at all.
    pub(in crate::config) fn check(&self, _check: &mut Check<'_>, _at: At<'_>) {}
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{ "max": "64KiB" }"#;
