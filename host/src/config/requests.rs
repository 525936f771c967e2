//! What requests may look like before anything else is asked about them.
//!
//! The defaults refuse what two programs could read in two ways; each field lets one such thing through for services
//! that need it. What is never let through has no field.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::units::Size;

/// Below, ordinary addresses are too long; above, the head of a request ends first.
const MAX_URI: RangeInclusive<Size> = Size::bytes(256)..=Size::kib(64);

/// What requests may look like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Requests {
    /// Path and query together; a longer one is 414. 256B to 64KiB.
    pub max_uri: Size,
    /// What becomes of `%2F` and `%5C` in a path, which some services read as `/`.
    pub encoded_slashes: EncodedSlashes,
    /// Whether several slashes in a row are one.
    pub merge_slashes: bool,
    /// What becomes of `;` in a path, after which some services ignore the rest of a segment.
    pub path_parameters: PathParameters,
    /// What becomes of headers with `_` in their names, which some services read as `-`.
    pub underscore_headers: UnderscoreHeaders,
}

/// What becomes of encoded slashes in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EncodedSlashes {
    /// 400.
    Reject,
    /// They stay as they are, and are no slashes to rules.
    Forward,
}

/// What becomes of `;` in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PathParameters {
    /// 400.
    Reject,
    /// It stays as it is, and is part of the segment to rules. `..;` and the like are refused all the same.
    Forward,
}

/// What becomes of headers with `_` in their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnderscoreHeaders {
    /// 400.
    Reject,
    /// The service does not see them.
    Drop,
    /// They stay, unless they look like a header that is the gateway's to set.
    Keep,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            max_uri: Size::kib(8),
            encoded_slashes: EncodedSlashes::Reject,
            merge_slashes: true,
            path_parameters: PathParameters::Reject,
            underscore_headers: UnderscoreHeaders::Reject,
        }
    }
}

impl Requests {
    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("maxUri"), &self.max_uri, &MAX_URI);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"{
    "maxUri": "1KiB", "encodedSlashes": "forward", "mergeSlashes": false, "pathParameters": "forward",
    "underscoreHeaders": "keep"
}"#;
