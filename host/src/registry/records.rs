//! What people and tools see: plain copies of the state at one moment, as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::breakers::BreakerRecord;
use super::instance::{Health, Instance, Kind, Source};
use super::lease::{Lease, LeaseTimes};
use super::version::VersionRecord;
use crate::config::{Duration, InstanceCheck, InstanceUrl};

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRecord {
    /// Its name.
    pub name: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What else is to be known about it.
    pub metadata: BTreeMap<String, String>,
    /// Its versions, in order of their files and of age.
    pub versions: Vec<VersionRecord>,
    /// What can answer for it, by id.
    pub instances: Vec<InstanceRecord>,
    /// The circuit breakers of versions that get requests, unless the configuration turned them off.
    #[serde(default)]
    pub breakers: Vec<BreakerRecord>,
}

/// A file that is no service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedFile {
    /// Its name.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceRecord {
    /// Unique.
    pub id: String,
    /// Whose requests it answers.
    pub service: String,
    /// Label of its version, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it is, if it is not in this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<InstanceUrl>,
    /// Who said that it is there.
    pub source: Source,
    /// Its part of the requests beside the others.
    pub weight: u32,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What else is to be known about it.
    pub metadata: BTreeMap<String, String>,
    /// How it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<InstanceCheck>,
    /// Time since the last check that told something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check: Option<Duration>,
    /// How it is, and why it is not better.
    #[serde(flatten)]
    pub health: Health,
    /// Since when it is like that.
    pub since: Timestamp,
    /// Since when it is known.
    pub registered_at: Timestamp,
    /// How long it counts as there, if it must say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseRecord>,
}

/// The lease of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseRecord {
    /// Time since the last heartbeat.
    pub age: Duration,
    /// How often one is expected.
    pub heartbeat_interval: Duration,
    /// Age at which it is unhealthy.
    pub unhealthy_after: Duration,
    /// Age at which it is forgotten.
    pub remove_after: Duration,
}

/// Which instances are asked for; what is not given does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this service.
    pub service: Option<String>,
    /// That with this id.
    pub id: Option<String>,
    /// Those with this tag, or of a service with it.
    pub tag: Option<String>,
    /// Those that run the version with this label.
    pub version: Option<String>,
    /// Those whose health is this word.
    pub health: Option<String>,
}

impl InstanceRecord {
    pub(super) fn new(
        instance: &Instance,
        checked: Option<Instant>,
        lease: Option<&Lease>,
        common: LeaseTimes,
        now: Instant,
    ) -> Self {
        let (health, since) = instance.status.get();
        Self {
            id: instance.id.to_string(),
            service: instance.service.to_string(),
            version: instance.version.as_deref().map(str::to_owned),
            url: match &instance.kind {
                Kind::Local { .. } => None,
                Kind::Remote { url } => Some(url.clone()),
            },
            source: instance.source,
            weight: instance.weight,
            tags: instance.tags.clone(),
            metadata: instance.metadata.clone(),
            health_check: instance.check.clone(),
            last_check: checked.map(|at| whole(now.saturating_duration_since(at))),
            health,
            since,
            registered_at: instance.registered_at,
            lease: lease.map(|lease| LeaseRecord::new(lease.age(now), lease.times(common))),
        }
    }
}

impl LeaseRecord {
    pub(super) fn new(age: std::time::Duration, times: LeaseTimes) -> Self {
        Self {
            age: whole(age),
            heartbeat_interval: whole(times.heartbeat),
            unhealthy_after: whole(times.unhealthy_after),
            remove_after: whole(times.remove_after),
        }
    }
}

/// Whole milliseconds.
pub(super) fn whole(time: std::time::Duration) -> Duration {
    Duration::millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Filter {
    /// Whether an instance is asked for; `tags` are those of its service.
    pub(super) fn wants(&self, instance: &InstanceRecord, tags: &[String]) -> bool {
        let is = |wanted: &Option<String>, value: Option<&str>| wanted.as_deref().is_none_or(|it| value == Some(it));
        let has = |tag: &String| instance.tags.contains(tag) || tags.contains(tag);
        is(&self.service, Some(&instance.service))
            && is(&self.id, Some(&instance.id))
            && is(&self.version, instance.version.as_deref())
            && is(&self.health, Some(instance.health.word()))
            && self.tag.as_ref().is_none_or(has)
    }
}
