//! Versions of services in the plugins folder, and the instance that stands for each one that serves.
//!
//! The instances are derived from the versions after every change, never kept beside them: a version that serves has an
//! instance, one that drains has one that stops, any other has none. Two files with the same component and label are
//! one instance, for requests cannot tell them apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::health::CheckState;
use super::instance::{Health, Instance, Kind, Source, Status};
use super::members::Member;
use super::version::{VersionRecord, VersionState};
use super::watch::{EventKind, Subject};
use super::{Inner, Registry};
use crate::config::Protocol;

impl Registry {
    /// Notes where a version stands. The version is known by its file and digest.
    pub fn record(&self, service: &str, record: VersionRecord) {
        let mut inner = self.lock();
        inner.refused.remove(&record.file);
        let versions = inner.versions.entry(service.to_owned()).or_default();
        let replaces =
            |known: &VersionRecord| known.file == record.file && (!known.state.is_loaded() || known.is_same(&record));
        // Of what is not serving, only the newest attempt of a file counts.
        let old = versions.iter().find(|known| replaces(known)).cloned();
        versions.retain(|known| !replaces(known));
        versions.push(record.clone());
        versions.sort_by(|a, b| a.file.cmp(&b.file).then(b.state.has_traffic().cmp(&a.state.has_traffic())));
        self.sync_local(&mut inner, service);
        self.version_changed(&mut inner, service, old, Some(record));
    }

    /// Changes the state of a version that is loaded.
    pub fn set_state(&self, service: &str, file: &str, digest: &str, state: VersionState) {
        let mut inner = self.lock();
        let Some(versions) = inner.versions.get_mut(service) else { return };
        let mut changes = Vec::new();
        for version in versions.iter_mut().filter(|known| known.file == file && known.digest == digest) {
            if version.state.is_loaded() {
                let old = version.clone();
                version.state = state.clone();
                version.since = Timestamp::now();
                changes.push((old, version.clone()));
            }
        }
        self.sync_local(&mut inner, service);
        for (old, new) in changes {
            self.version_changed(&mut inner, service, Some(old), Some(new));
        }
    }

    /// Changes what people are to know of a version.
    pub fn note(&self, service: &str, digest: &str, notes: &[String]) {
        let mut inner = self.lock();
        let versions = inner.versions.get_mut(service).into_iter().flatten();
        for version in versions.filter(|known| known.digest == digest && known.state.is_loaded()) {
            version.notes = notes.to_vec();
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

    fn forget(&self, service: &str, matches: impl Fn(&VersionRecord) -> bool) {
        let mut inner = self.lock();
        let Some(versions) = inner.versions.get_mut(service) else { return };
        let (gone, left): (Vec<_>, Vec<_>) = std::mem::take(versions).into_iter().partition(|known| matches(known));
        if left.is_empty() {
            inner.versions.remove(service);
        } else {
            *versions = left;
        }
        self.sync_local(&mut inner, service);
        for old in gone {
            self.version_changed(&mut inner, service, Some(old), None);
        }
    }

    fn version_changed(
        &self,
        inner: &mut Inner,
        service: &str,
        old: Option<VersionRecord>,
        new: Option<VersionRecord>,
    ) {
        let (old, new) = (old.map(Subject::Version), new.map(Subject::Version));
        if old != new {
            self.emit(inner, EventKind::VersionChanged, service, old, new);
        }
    }

    /// Makes the instances of a service in this process those of its versions.
    pub(super) fn sync_local(&self, inner: &mut Inner, service: &str) {
        let mut wanted: BTreeMap<Arc<str>, (Instance, bool)> = BTreeMap::new();
        for version in inner.versions.get(service).into_iter().flatten() {
            let stops = match version.state {
                VersionState::Serving | VersionState::Canary { .. } => false,
                VersionState::Draining => true,
                VersionState::Compiling
                | VersionState::Probing
                | VersionState::Retained
                | VersionState::Rejected(_) => continue,
            };
            let instance = local(inner, service, version);
            let both = wanted.entry(Arc::clone(&instance.id)).or_insert((instance, stops));
            both.1 &= stops;
        }
        let is_ours = |instance: &Instance| *instance.service == *service && instance.source == Source::Folder;
        let gone: Vec<_> = inner
            .members
            .values()
            .map(|member| &member.instance)
            .filter(|instance| is_ours(instance) && !wanted.contains_key(&instance.id))
            .map(|instance| Arc::clone(&instance.id))
            .collect();
        for id in gone {
            self.remove_member(inner, &id);
        }
        for (id, (instance, stops)) in wanted {
            if stops && !inner.members.contains_key(&id) {
                continue;
            }
            let check = instance.check.as_ref().map(CheckState::probed);
            self.put_member(inner, Member::new(instance, check));
            self.set_draining(inner, &id, stops);
        }
    }
}

fn local(inner: &Inner, service: &str, version: &VersionRecord) -> Instance {
    let profile = inner.profile(service).clone();
    let short = version.digest.get(..8).unwrap_or(&version.digest);
    let now = Timestamp::now();
    Instance {
        id: format!("{service}/{}@{short}", version.label).into(),
        service: service.into(),
        version: Some(version.label.as_str().into()),
        kind: Kind::Local { digest: version.digest.as_str().into() },
        protocol: Protocol::Auto,
        source: Source::Folder,
        weight: profile.local_weight,
        tags: profile.tags,
        metadata: profile.metadata,
        check: profile.check,
        registered_at: now,
        status: Arc::new(Status::new(Health::Healthy, now)),
    }
}
