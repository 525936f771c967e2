//! One version's entry in the registry.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a version stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "reason")]
pub enum VersionState {
    /// Being checked, compiled and linked.
    Compiling,
    /// Being started and asked for its health.
    Probing,
    /// Gets requests.
    Serving,
    /// Gets no new requests; finishes those it has.
    Draining,
    /// Will not serve, and why.
    Rejected(String),
}

/// One version of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionRecord {
    /// How people call it; empty until it is known.
    pub label: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// The file it came from.
    pub file: String,
    /// Bytes of the file.
    pub size: usize,
    /// `0.2` or `0.3`; empty until it is known.
    pub http: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: VersionState,
    /// Since when.
    pub since: Timestamp,
}

impl VersionState {
    /// Whether it has, or may still have, requests.
    pub fn has_traffic(&self) -> bool {
        matches!(self, Self::Serving | Self::Draining)
    }

    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Compiling => "compiling",
            Self::Probing => "probing",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Rejected(_) => "rejected",
        }
    }
}

impl VersionRecord {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.file == other.file && self.digest == other.digest
    }
}
