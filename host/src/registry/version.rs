//! One version's entry in the registry.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a version stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Told", try_from = "Told")]
pub enum VersionState {
    /// Being checked, compiled and linked.
    Compiling,
    /// Being started and asked for its health.
    Probing,
    /// Gets so many percent of the requests, and is compared with the version that serves.
    Canary {
        /// Of the requests that name no version.
        percent: u8,
    },
    /// Gets requests.
    Serving,
    /// Gets no new requests; finishes those it has.
    Draining,
    /// Was replaced, gets no requests, and can serve again at once.
    Retained,
    /// Will not serve, and why.
    Rejected(String),
}

/// A state as the admin API shows it.
#[derive(Serialize, Deserialize)]
struct Told {
    state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
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
    /// `0.2` or `0.3`, `none` if it only handles events; empty until it is known.
    pub http: String,
    /// Where it stands.
    #[serde(flatten)]
    pub state: VersionState,
    /// Since when.
    pub since: Timestamp,
    /// What people are to know of it although it serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl VersionState {
    /// Whether it has, or may still have, requests.
    pub fn has_traffic(&self) -> bool {
        matches!(self, Self::Canary { .. } | Self::Serving | Self::Draining)
    }

    /// Whether there is a version, not only an attempt to load one.
    pub(super) fn is_loaded(&self) -> bool {
        self.has_traffic() || *self == Self::Retained
    }

    /// All words that [`VersionState::word`] can say.
    pub const WORDS: [&str; 7] = ["compiling", "probing", "canary", "serving", "draining", "retained", "rejected"];

    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Compiling => "compiling",
            Self::Probing => "probing",
            Self::Canary { .. } => "canary",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Retained => "retained",
            Self::Rejected(_) => "rejected",
        }
    }
}

impl From<VersionState> for Told {
    fn from(state: VersionState) -> Self {
        let word = state.word().to_owned();
        match state {
            VersionState::Canary { percent } => Self { state: word, percent: Some(percent), reason: None },
            VersionState::Rejected(reason) => Self { state: word, percent: None, reason: Some(reason) },
            VersionState::Compiling
            | VersionState::Probing
            | VersionState::Serving
            | VersionState::Draining
            | VersionState::Retained => Self { state: word, percent: None, reason: None },
        }
    }
}

impl TryFrom<Told> for VersionState {
    type Error = String;

    fn try_from(told: Told) -> Result<Self, String> {
        Ok(match told.state.as_str() {
            "compiling" => Self::Compiling,
            "probing" => Self::Probing,
            "canary" => Self::Canary { percent: told.percent.unwrap_or_default() },
            "serving" => Self::Serving,
            "draining" => Self::Draining,
            "retained" => Self::Retained,
            "rejected" => Self::Rejected(told.reason.unwrap_or_default()),
            other => return Err(format!("`{other}` is no state of a version")),
        })
    }
}

impl VersionRecord {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.file == other.file && self.digest == other.digest
    }
}
