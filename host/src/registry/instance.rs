//! Something that can answer for a service: a version in this process, or a server elsewhere.
//!
//! An [`Instance`] never changes; a change of what it says about itself is another one under the same id that shares its
//! [`Status`]. So whoever routes holds `Arc<Instance>`s in a snapshot and reads their health live from an atomic: a
//! health that flips rebuilds nothing.
//!
//! Health is composed from what is known (see [`super::health`] and [`super::lease`]), the worst thing first:
//!
//! | health | when |
//! |---|---|
//! | `stopping` | it was deregistered, or its version drains |
//! | `unhealthy` | its checks failed `unhealthyThreshold` times in a row, it says so itself, or its lease is overdue |
//! | `starting` | it is checked, and no check has succeeded yet |
//! | `degraded` | it serves, but: its last check failed, or its lease is late, or it says so, or it is ejected |
//! | `healthy` | nothing of all this |

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{InstanceCheck, InstanceUrl, Protocol};

/// How well an instance is. The order of the words is from best to worst.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "health", content = "reason")]
pub enum Health {
    /// It serves.
    #[default]
    Healthy,
    /// It serves, but something about it is wrong.
    Degraded(String),
    /// It has not been seen to serve yet.
    Starting,
    /// It does not serve.
    Unhealthy(String),
    /// It gets no new requests and goes soon.
    Stopping,
}

/// Where an instance runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// In this process; the digest of its component in hex says which version it is.
    Local {
        /// 64 hex digits.
        digest: Arc<str>,
    },
    /// At this address.
    Remote {
        /// Scheme, host and port.
        url: InstanceUrl,
    },
}

/// Who said that there is this instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// A component in the plugins folder.
    Folder,
    /// `instances` of a service's configuration.
    Config,
    /// The instance itself, by the admin API, for as long as it sends heartbeats.
    Lease,
}

/// Something that can answer for a service.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Unique. `<service>/<label>@<digest8>` in this process, `<service>/<name>` by configuration, free by the API.
    pub id: Arc<str>,
    /// The service.
    pub service: Arc<str>,
    /// Label of the version it runs, if it is known.
    pub version: Option<Arc<str>>,
    /// Where it runs.
    pub kind: Kind,
    /// Which version of HTTP it speaks, if it is remote.
    pub protocol: Protocol,
    /// Who said so.
    pub source: Source,
    /// Its part of the requests beside the weights of the others; 0 for none.
    pub weight: u32,
    /// Words to find it by; at most 32.
    pub tags: Vec<String>,
    /// What else is to be known; at most 32 pairs.
    pub metadata: BTreeMap<String, String>,
    /// How it is checked, if it is.
    pub check: Option<InstanceCheck>,
    /// Since when it is known.
    pub registered_at: Timestamp,
    /// How it is; shared with what it was before.
    pub(super) status: Arc<Status>,
}

/// The health of an instance, for any number of readers.
#[derive(Debug)]
pub(super) struct Status {
    word: AtomicU8,
    told: Mutex<(Health, Timestamp)>,
}

impl Health {
    /// All words that [`Health::word`] can say.
    pub const WORDS: [&str; 5] = ["healthy", "degraded", "starting", "unhealthy", "stopping"];

    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded(_) => "degraded",
            Self::Starting => "starting",
            Self::Unhealthy(_) => "unhealthy",
            Self::Stopping => "stopping",
        }
    }

    /// Why it is not better.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Degraded(reason) | Self::Unhealthy(reason) => Some(reason),
            Self::Healthy | Self::Starting | Self::Stopping => None,
        }
    }

    /// Whether it should get requests.
    pub fn is_eligible(&self) -> bool {
        self.rank() <= DEGRADED
    }

    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Degraded(_) => DEGRADED,
            Self::Starting => 2,
            Self::Unhealthy(_) => 3,
            Self::Stopping => STOPPING,
        }
    }
}

const DEGRADED: u8 = 1;
const STOPPING: u8 = 4;

impl Status {
    pub(super) fn new(health: Health, now: Timestamp) -> Self {
        Self { word: AtomicU8::new(health.rank()), told: Mutex::new((health, now)) }
    }

    /// The health, and since when it is the same word.
    pub(super) fn get(&self) -> (Health, Timestamp) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Only the registry sets it, under its lock.
    pub(super) fn set(&self, health: Health, now: Timestamp) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        self.word.store(health.rank(), Ordering::Relaxed);
        let since = if told.0.rank() == health.rank() { told.1 } else { now };
        *told = (health, since);
    }
}

impl Instance {
    /// How it is now.
    pub fn health(&self) -> Health {
        self.status.get().0
    }

    /// Whether it should get requests now: healthy or degraded. Costs one load of an atomic.
    pub fn is_eligible(&self) -> bool {
        self.status.word.load(Ordering::Relaxed) <= DEGRADED
    }

    /// Whether it gets no new requests and goes soon. Costs one load of an atomic.
    pub fn is_stopping(&self) -> bool {
        self.status.word.load(Ordering::Relaxed) >= STOPPING
    }

    /// Whether it is another server.
    pub fn is_remote(&self) -> bool {
        matches!(self.kind, Kind::Remote { .. })
    }

    /// Whether both say the same, wherever they stand and however they are.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.service == other.service
            && self.protocol == other.protocol
            && self.version == other.version
            && self.source == other.source
            && self.weight == other.weight
            && self.tags == other.tags
            && self.metadata == other.metadata
            && self.kind == other.kind
            && self.check == other.check
    }
}
