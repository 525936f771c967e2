//! What people and tools are told of rollouts, and the orders they may give.
//!
//! Words and numbers only: the state of a rollout is the gateway's, which fills these when it is asked.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where the versions of one file stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    /// How orders name it: `orders`, or `orders@2` for the file `orders@2.wasm`.
    pub name: String,
    /// The file.
    pub file: String,
    /// What serves, if anything does.
    pub stable: Option<VersionName>,
    /// What is on trial.
    pub candidate: Option<CandidateRecord>,
    /// Versions that can serve again at once, the newest first.
    pub retained: Vec<VersionName>,
    /// Why what the file contains does not serve, if it was rolled back.
    pub rejected: Option<String>,
    /// The last decisions, the newest first.
    pub history: Vec<RolloutEvent>,
}

/// A version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionName {
    /// How people call it.
    pub label: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
}

/// A version on trial, and what it did in the current step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CandidateRecord {
    /// Which.
    pub version: VersionName,
    /// Percent of the requests that it gets.
    pub percent: u8,
    /// Seconds since the step began.
    pub seconds: u64,
    /// What the step waits for.
    pub waiting: Option<String>,
    /// What the candidate did.
    pub candidate: TrafficRecord,
    /// What the serving version did in the same time.
    pub stable: TrafficRecord,
}

/// Requests of one version in one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrafficRecord {
    /// Those that say something about the version.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// 99th percentile of the time to the head of the response in milliseconds.
    pub p99_ms: Option<f64>,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutEvent {
    /// When.
    pub at: Timestamp,
    /// What was decided.
    pub what: RolloutWord,
    /// About which version.
    pub version: String,
    /// Why.
    pub why: String,
}

/// What can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RolloutWord {
    /// It serves at once.
    Serving,
    /// It is on trial.
    Canary,
    /// It gets more requests.
    Advanced,
    /// It serves alone, after a trial.
    Promoted,
    /// It does not serve any more, or never did.
    RolledBack,
    /// Somebody ended its trial.
    Aborted,
    /// Its file holds something else.
    Replaced,
}

/// What an operator can want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The candidate serves now.
    Promote,
    /// The candidate goes.
    Abort,
    /// The version before serves again.
    Rollback,
}

/// Why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Nobody has this name.
    #[error("there is no service `{0}` with a file of its own: see `wharf services`")]
    Unknown(String),
    /// Several files could be meant.
    #[error("`{service}` has several files: name one of {}", .names.join(", "))]
    Ambiguous {
        /// The service.
        service: String,
        /// Names to choose from.
        names: Vec<String>,
    },
    /// There is no trial.
    #[error("no canary of `{0}` is running: see `wharf rollout status {0}`")]
    NoCanary(String),
    /// There is nothing to go back to.
    #[error("no older version of `{0}` is retained: put its file back into the plugins folder (see rollout.retain)")]
    NothingRetained(String),
}

impl RolloutWord {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Serving, Self::Canary, Self::Advanced, Self::Promoted, Self::RolledBack, Self::Aborted, Self::Replaced];

    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Canary => "canary",
            Self::Advanced => "advanced",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled back",
            Self::Aborted => "aborted",
            Self::Replaced => "replaced",
        }
    }
}

impl Order {
    /// The last word of its path in the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Rollback => "rollback",
        }
    }

    /// What this word orders.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Promote, Self::Abort, Self::Rollback].into_iter().find(|order| order.as_str() == word)
    }
}
