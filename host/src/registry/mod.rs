//! The registry: which services and versions there are, and where each stands.
//!
//! Pure bookkeeping for people and tools (`wharf services`, the admin API): routing never asks it. A version is in
//! one of the states of [`VersionState`]; a rejected one stays listed, with its reason, until its file changes or
//! goes. Retired versions are forgotten.

mod rollout;
mod version;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use rollout::{
    CandidateRecord, Order, OrderError, RolloutEvent, RolloutRecord, RolloutWord, TrafficRecord, VersionName,
};
pub use version::{VersionRecord, VersionState};

/// All services.
#[derive(Debug, Default)]
pub struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    versions: BTreeMap<String, Vec<VersionRecord>>,
    refused: BTreeMap<String, String>,
}

/// One service as the admin API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceRecord {
    /// Its name.
    pub name: String,
    /// Its versions, in order of their files and of age.
    pub versions: Vec<VersionRecord>,
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

impl Registry {
    /// Notes where a version stands. The version is known by its file and digest.
    pub fn record(&self, service: &str, record: VersionRecord) {
        let mut inner = self.lock();
        inner.refused.remove(&record.file);
        let versions = inner.versions.entry(service.to_owned()).or_default();
        // Of what is not serving, only the newest attempt of a file counts.
        versions.retain(|known| known.file != record.file || known.state.is_loaded() && !known.is_same(&record));
        versions.push(record);
        versions.sort_by(|a, b| a.file.cmp(&b.file).then(b.state.has_traffic().cmp(&a.state.has_traffic())));
    }

    /// Changes the state of a version that is loaded.
    pub fn set_state(&self, service: &str, file: &str, digest: &str, state: VersionState) {
        let mut inner = self.lock();
        let Some(versions) = inner.versions.get_mut(service) else { return };
        for version in versions.iter_mut().filter(|known| known.file == file && known.digest == digest) {
            if version.state.is_loaded() {
                version.state = state.clone();
                version.since = jiff::Timestamp::now();
            }
        }
    }

    /// Forgets a version that is draining, and its service if that was all.
    pub fn retire(&self, service: &str, digest: &str) {
        self.forget(service, |known| known.state == VersionState::Draining && known.digest == digest);
    }

    /// Forgets a version that was retained.
    pub fn release(&self, service: &str, digest: &str) {
        self.forget(service, |known| known.state == VersionState::Retained && known.digest == digest);
    }

    /// Forgets what was said against a file.
    pub fn remove_file(&self, service: &str, file: &str) {
        self.lock().refused.remove(file);
        self.forget(service, |known| known.file == file && !known.state.is_loaded());
    }

    /// A file whose name or content makes it no candidate at all.
    pub fn refuse(&self, file: &str, reason: &str) {
        self.lock().refused.insert(file.to_owned(), reason.to_owned());
    }

    /// Everything, sorted by name.
    pub fn services(&self) -> Vec<ServiceRecord> {
        let inner = self.lock();
        let record =
            |(name, versions): (&String, &Vec<_>)| ServiceRecord { name: name.clone(), versions: versions.clone() };
        inner.versions.iter().map(record).collect()
    }

    /// Files that are no service.
    pub fn refused(&self) -> Vec<RefusedFile> {
        let refuse = |(file, reason): (&String, &String)| RefusedFile { file: file.clone(), reason: reason.clone() };
        self.lock().refused.iter().map(refuse).collect()
    }

    fn forget(&self, service: &str, matches: impl Fn(&VersionRecord) -> bool) {
        let mut inner = self.lock();
        let Some(versions) = inner.versions.get_mut(service) else { return };
        versions.retain(|known| !matches(known));
        if versions.is_empty() {
            inner.versions.remove(service);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is complete in itself, so a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
