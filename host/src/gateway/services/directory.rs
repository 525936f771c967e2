//! What the rollout tells of files and versions, and asks.

use std::sync::Arc;

use tokio::time::Instant;

use super::line::{Content, Line};
use super::rollouts::hex;
use super::{File, Services};
use crate::capability::ServiceCapabilities;
use crate::config::Service;
use crate::plugin::{Directory, FileId, HttpVersion, Stage, Version};
use crate::registry::{VersionRecord, VersionState};

impl Directory for Services {
    fn stage(&self, file: &FileId, digest: &[u8; 32], size: usize, stage: Stage) {
        let (word, state) = match stage {
            Stage::Compiling => ("compiling", VersionState::Compiling),
            Stage::Probing => ("probing", VersionState::Probing),
            Stage::Rejected(reason) => {
                tracing::warn!(service = %file.service, file = %file.file, reason, "rejected");
                ("rejected", VersionState::Rejected(reason))
            }
        };
        tracing::debug!(service = %file.service, file = %file.file, "{word}");
        let mut known = self.lock();
        self.runtime(&mut known, &file.service);
        if let Some(service) = known.get_mut(&file.service)
            && !service.files.contains_key(&file.file)
        {
            // From now on its route answers 503 and not 404.
            service.files.insert(Arc::clone(&file.file), File { label: file.label.clone(), line: Line::default() });
            self.publish_snapshot(&known);
        }
        let label = file.label.as_deref().unwrap_or_default().to_owned();
        let record = VersionRecord {
            label,
            digest: hex(digest),
            file: file.file.to_string(),
            size,
            http: String::new(),
            state,
            since: jiff::Timestamp::now(),
            notes: Vec::new(),
        };
        self.registry.record(&file.service, record);
    }

    fn serves(&self, file: &FileId, digest: &[u8; 32]) -> bool {
        let mut known = self.lock();
        let service = known.get_mut(&file.service);
        let Some(line) = service.and_then(|service| service.files.get_mut(&file.file)).map(|file| &mut file.line)
        else {
            return false;
        };
        if !line.knows(digest) {
            return false;
        }
        let done = line.seen_again(digest);
        if line.refused().is_none() {
            // Whatever was said against the file is over.
            self.registry.remove_file(&file.service, &file.file);
        }
        if let Some(done) = done {
            self.publish_snapshot(&known);
            self.carry_out(&file.service, &file.file, done);
        }
        true
    }

    fn publish(&self, file: &FileId, version: Arc<Version>, size: usize) {
        let settings = self.settings(&file.service);
        let mut known = self.lock();
        self.runtime(&mut known, &file.service);
        let Some(service) = known.get_mut(&file.service) else { return };
        let of_file = service.files.entry(Arc::clone(&file.file)).or_default();
        of_file.label.clone_from(&file.label);
        let done = of_file.line.arrive(Arc::clone(&version), &settings.rollout, Instant::now());
        self.publish_snapshot(&known);
        let record = VersionRecord {
            label: version.label().to_string(),
            digest: hex(version.digest()),
            file: file.file.to_string(),
            size,
            http: version.serves().http.map_or("none", HttpVersion::as_str).to_owned(),
            state: done.percent.map_or(VersionState::Serving, |percent| VersionState::Canary { percent }),
            since: jiff::Timestamp::now(),
            notes: version.notes(),
        };
        let (on_trial, upgraded) = (done.percent.is_some(), !done.leaving.is_empty());
        self.carry_out(&file.service, &file.file, done);
        self.registry.record(&file.service, record);
        if !on_trial {
            let upgrade = if upgraded { "upgraded" } else { "serving" };
            tracing::info!(service = %file.service, version = %version.label(), file = %file.file, "{upgrade}");
        }
    }

    fn withdraw(&self, file: &FileId) {
        self.registry.remove_file(&file.service, &file.file);
        let mut known = self.lock();
        let Some(service) = known.get_mut(&file.service) else { return };
        let line = service.files.remove(&file.file).map(|file| file.line).unwrap_or_default();
        if service.files.is_empty() && self.registry.instances(&file.service).iter().all(|one| !one.is_remote()) {
            known.remove(&file.service);
        }
        self.publish_snapshot(&known);
        drop(known);
        self.forget(&file.service, &line.retained().cloned().collect::<Vec<_>>());
        self.send_away(&file.service, &file.file, line.serving().cloned());
        tracing::info!(service = %file.service, file = %file.file, "file removed");
    }

    fn decide(&self, now: Instant) {
        self.decide_all(now);
    }

    fn leaving(&self) -> Vec<Arc<Version>> {
        std::mem::take(&mut *self.leaving.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn retired(&self, version: &Arc<Version>, cut_off: usize) {
        let service = version.service();
        // Under the lock, so that a rollback comes before or after it as a whole.
        let known = self.lock();
        let files = known.get(service).map(|service| &service.files);
        let retaining = files.into_iter().flatten().find(|(_, file)| file.line.retains(Content::digest(version)));
        match retaining {
            Some((file, _)) => {
                self.registry.set_state(service, file, &hex(Content::digest(version)), VersionState::Retained);
            }
            None => self.registry.retire(service, &hex(Content::digest(version))),
        }
        if cut_off > 0 {
            tracing::warn!(%service, version = %version.label(), cut_off,
                "requests of a replaced version were cut off at drainTimeout");
        } else {
            let word = if retaining.is_some() { "retained" } else { "retired" };
            tracing::info!(%service, version = %version.label(), "{word}");
        }
    }

    fn refused(&self, file: &str, reason: &str) {
        tracing::warn!(file, reason, "not a service");
        self.registry.refuse(file, reason);
    }

    fn settings(&self, service: &str) -> Arc<Service> {
        Arc::new(self.config.load().service(service))
    }

    fn capabilities(&self, service: &Arc<str>) -> Arc<ServiceCapabilities> {
        Arc::clone(&self.runtime(&mut self.lock(), service).capabilities)
    }

    fn promises(&self, version: &Arc<Version>) {
        self.registry.note(version.service(), &hex(version.digest()), &version.notes());
    }

    fn serving(&self) -> Vec<Arc<Version>> {
        let known = self.lock();
        known
            .values()
            .flat_map(|service| service.files.values())
            .flat_map(|file| file.line.serving().cloned())
            .collect()
    }
}
