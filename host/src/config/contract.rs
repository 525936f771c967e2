//! What is made of a service's OpenAPI document, and what the gateway tells of all of them.
//!
//! Decided here: the words, their defaults and bounds. What a document means is for `contract`, who is held to it for
//! `gateway::contract`. Nothing is checked unless it is asked for: a file that somebody puts beside a component must
//! not change what clients get, nor cost anything.

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::notation::valid_path;
use super::schema::text;
use super::units::Size;

const MAX_BODY: RangeInclusive<Size> = Size::kib(1)..=Size::mib(16);

/// What is made of a service's OpenAPI document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Contract {
    /// Whether requests are held against it.
    pub requests: ContractMode,
    /// Whether responses are.
    pub responses: ContractMode,
    /// Bytes of a body that are kept to be held against it. Larger responses pass; larger requests are 413 where they
    /// are enforced. 1KiB to 16MiB.
    pub max_body: Size,
    /// Whether clients may read it, at `openapi.json` below the automatic route.
    pub publish: bool,
    /// What becomes of a version whose document breaks clients of the one that serves.
    pub breaking: Breaking,
}

/// What follows from a broken promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ContractMode {
    /// Nobody looks.
    #[default]
    Off,
    /// It is counted and logged, and nothing else.
    Observe,
    /// A request is refused, a response replaced.
    Enforce,
}

/// What becomes of a version that breaks clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Breaking {
    /// It serves, and people are told.
    #[default]
    Warn,
    /// It does not serve.
    Reject,
}

impl Default for Contract {
    fn default() -> Self {
        Self {
            requests: ContractMode::Off,
            responses: ContractMode::Off,
            max_body: Size::mib(1),
            publish: true,
            breaking: Breaking::Warn,
        }
    }
}

impl Contract {
    /// Whether anything is held against it.
    pub fn is_on(&self) -> bool {
        self.requests != ContractMode::Off || self.responses != ContractMode::Off
    }

    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("maxBody"), &self.max_body, &MAX_BODY);
    }
}

/// The documents of all services as one: an answer of the gateway itself at a path that no route and no service has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct OpenApi {
    /// Whether there is such an answer. It has the services whose documents anybody may read.
    pub enabled: bool,
    /// Its path. A route or a service that matches it comes first.
    #[schemars(with = "text::Path")]
    pub path: String,
}

impl Default for OpenApi {
    fn default() -> Self {
        Self { enabled: true, path: "/api/openapi.json".to_owned() }
    }
}

impl OpenApi {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Err(message) = valid_path(&self.path) {
            check.wrong(at.get("path"), message);
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "requests": "enforce", "responses": "observe", "maxBody": "2MiB", "publish": false, "breaking": "reject"
}"#;

/// As [`EXAMPLE`].
#[cfg(test)]
pub(in crate::config) const OPENAPI: &str = r#"{ "enabled": false, "path": "/openapi.json" }"#;
