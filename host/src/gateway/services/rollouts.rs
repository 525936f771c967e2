//! Trials and orders: what is decided about the versions of each file takes effect here.
//!
//! A decision is made by a [`Line`] under the lock of all services, so decisions, orders, files and configuration come
//! one after the other. Then requests get another snapshot, people are told (registry, log), and what gets no more
//! requests is put aside for the rollout to drain.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use super::line::{Candidate, Content, Done, Line, refusal};
use super::{File, Known, Services};
use crate::plugin::Version;
use crate::policy::Summary;
use crate::registry::{
    CandidateRecord, Order, OrderError, RolloutRecord, RolloutWord, TrafficRecord, VersionName, VersionState,
};

/// A version on trial.
pub(in crate::gateway) struct Trial {
    pub(in crate::gateway) service: Arc<str>,
    pub(in crate::gateway) version: Arc<Version>,
    /// Of the requests that name no version.
    pub(in crate::gateway) percent: u8,
}

/// What operators see of rollouts and can do to them.
pub(crate) trait Rollouts: Send + Sync + std::fmt::Debug {
    /// All of them, by name.
    fn rollouts(&self) -> Vec<RolloutRecord>;
    /// The one with this name: a service, or `service@label` for one of its files.
    ///
    /// # Errors
    /// When nobody has this name, or several files could be meant.
    fn rollout(&self, name: &str) -> Result<RolloutRecord, OrderError>;
    /// Does this; where the rollout stands then.
    ///
    /// # Errors
    /// When there is nothing to do it to.
    fn order(&self, name: &str, order: Order) -> Result<RolloutRecord, OrderError>;
}

impl Rollouts for Services {
    fn rollouts(&self) -> Vec<RolloutRecord> {
        let (known, now) = (self.lock(), Instant::now());
        let records = known.iter().flat_map(|(service, known)| {
            known.files.iter().map(|(file_name, file)| record(service, file_name, file, now))
        });
        records.collect()
    }

    fn rollout(&self, name: &str) -> Result<RolloutRecord, OrderError> {
        let mut known = self.lock();
        let (service, file_name, file) = find(&mut known, name)?;
        Ok(record(&service, &file_name, file, Instant::now()))
    }

    fn order(&self, name: &str, order: Order) -> Result<RolloutRecord, OrderError> {
        let mut known = self.lock();
        let (service, file_name, file) = find(&mut known, name)?;
        let retain = self.config.load().service(&service).rollout.retain;
        let line = &mut file.line;
        let why = "ordered by an operator".to_owned();
        let done = match order {
            Order::Promote => line.promote(why, retain).ok_or_else(|| OrderError::NoCanary(name.to_owned()))?,
            Order::Abort => {
                line.end_trial(RolloutWord::Aborted, why).ok_or_else(|| OrderError::NoCanary(name.to_owned()))?
            }
            Order::Rollback => {
                let done = line.roll_back(&why).ok_or_else(|| OrderError::NothingRetained(name.to_owned()))?;
                done.back.iter().for_each(|back| back.come_back());
                done
            }
        };
        let record = record(&service, &file_name, file, Instant::now());
        self.publish_snapshot(&known);
        self.carry_out(&service, &file_name, done);
        Ok(record)
    }
}

impl Services {
    /// Looks at every trial.
    pub(super) fn decide_all(&self, now: Instant) {
        let mut known = self.lock();
        let mut decided = Vec::new();
        for (service, known) in known.iter_mut() {
            for (file_name, file) in &mut known.files {
                if file.line.candidate().is_none() {
                    continue;
                }
                let retain = self.config.load().service(service).rollout.retain;
                if let Some(done) = file.line.decide(retain, now) {
                    decided.push((Arc::clone(service), Arc::clone(file_name), done));
                }
            }
        }
        if decided.is_empty() {
            return;
        }
        self.publish_snapshot(&known);
        for (service, file_name, done) in decided {
            self.carry_out(&service, &file_name, done);
        }
    }

    /// How often each of [`RolloutWord::ALL`] was decided about the files of each service.
    pub(in crate::gateway) fn decisions(&self) -> Vec<(Arc<str>, [u64; RolloutWord::ALL.len()])> {
        let known = self.lock();
        let of_service = |known: &Known| {
            known.files.values().fold([0; RolloutWord::ALL.len()], |mut sums, file| {
                sums.iter_mut().zip(file.line.decided()).for_each(|(sum, count)| *sum += count);
                sums
            })
        };
        known.iter().map(|(service, known)| (Arc::clone(service), of_service(known))).collect()
    }

    /// Versions on trial.
    pub(in crate::gateway) fn trials(&self) -> Vec<Trial> {
        let known = self.lock();
        let files = known.iter().flat_map(|(service, known)| known.files.values().map(move |file| (service, file)));
        let trials = files.filter_map(|(service, file)| Some((service, file.line.candidate()?)));
        trials
            .map(|(service, trial)| Trial {
                service: Arc::clone(service),
                version: Arc::clone(&trial.version),
                percent: trial.canary.percent(),
            })
            .collect()
    }

    /// Tells everybody what was decided. The snapshot is the caller's.
    pub(super) fn carry_out(&self, service: &str, file: &str, done: Done<Arc<Version>>) {
        let Done { what, version, why, percent, back, leaving, forgotten } = done;
        self.forget(service, &forgotten);
        self.send_away(service, file, leaving.into_iter());
        let label = version.label();
        let state = match what {
            // Of a new version, where it is published.
            RolloutWord::Canary | RolloutWord::Serving | RolloutWord::Replaced => None,
            RolloutWord::Advanced => percent.map(|percent| VersionState::Canary { percent }),
            RolloutWord::Promoted => Some(VersionState::Serving),
            RolloutWord::RolledBack | RolloutWord::Aborted => Some(VersionState::Rejected(refusal(what, &why))),
        };
        if let Some(state) = state {
            self.registry.set_state(service, file, &hex(Content::digest(&version)), state);
        }
        if let Some(back) = back {
            self.registry.set_state(service, file, &hex(Content::digest(&back)), VersionState::Serving);
        }
        match what {
            RolloutWord::Serving => {}
            RolloutWord::RolledBack => {
                tracing::warn!(service, version = %label, file, why, "rollout: {}", what.as_str());
            }
            RolloutWord::Canary
            | RolloutWord::Advanced
            | RolloutWord::Promoted
            | RolloutWord::Aborted
            | RolloutWord::Replaced => {
                tracing::info!(service, version = %label, file, why, "rollout: {}", what.as_str());
            }
        }
    }

    /// These get no more requests.
    pub(super) fn send_away(&self, service: &str, file: &str, versions: impl Iterator<Item = Arc<Version>>) {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        for version in versions {
            self.registry.set_state(service, file, &hex(Content::digest(&version)), VersionState::Draining);
            leaving.push(version);
        }
    }

    /// These cannot come back any more.
    pub(super) fn forget(&self, service: &str, versions: &[Arc<Version>]) {
        for version in versions {
            self.registry.release(service, &hex(Content::digest(version)));
        }
    }
}

/// The file that a name means: that of `service@label`; of `service` alone the plain one, the only one, or the one with
/// a trial.
fn find<'a>(
    known: &'a mut BTreeMap<Arc<str>, Known>,
    name: &str,
) -> Result<(Arc<str>, Arc<str>, &'a mut File), OrderError> {
    let unknown = || OrderError::Unknown(name.to_owned());
    let (service, label) = name.split_once('@').map_or((name, None), |(service, label)| (service, Some(label)));
    let (service, known) = known
        .iter_mut()
        .find(|(known, _)| ***known == *service)
        .map(|(name, known)| (Arc::clone(name), known))
        .ok_or_else(unknown)?;
    let mut files: Vec<_> = known.files.iter_mut().map(|(name, file)| (Arc::clone(name), file)).collect();
    let place = match label {
        Some(_) => files.iter().position(|(_, file)| file.label.as_deref() == label).ok_or_else(unknown)?,
        None => {
            let only = (files.len() == 1).then_some(0);
            let plain = files.iter().position(|(_, file)| file.label.is_none());
            let mut trials = files.iter().enumerate().filter(|(_, (_, file))| file.line.candidate().is_some());
            let trial = trials.next().map(|(place, _)| place).filter(|_| trials.next().is_none());
            only.or(plain).or(trial).ok_or_else(|| OrderError::Ambiguous {
                service: service.to_string(),
                names: files.iter().map(|(_, file)| full_name(&service, file)).collect(),
            })?
        }
    };
    let (file_name, file) = files.swap_remove(place);
    Ok((service, file_name, file))
}

fn full_name(service: &str, file: &File) -> String {
    file.label.as_ref().map_or_else(|| service.to_owned(), |label| format!("{service}@{label}"))
}

fn record(service: &str, file_name: &str, file: &File, now: Instant) -> RolloutRecord {
    let line: &Line<Arc<Version>> = &file.line;
    RolloutRecord {
        name: full_name(service, file),
        file: file_name.to_owned(),
        stable: line.stable().map(name_of),
        candidate: line.candidate().map(|candidate| on_trial(candidate, now)),
        retained: line.retained().map(name_of).collect(),
        rejected: line.refused().map(str::to_owned),
        history: line.history().cloned().collect(),
    }
}

fn on_trial(candidate: &Candidate<Arc<Version>>, now: Instant) -> CandidateRecord {
    let progress = candidate.canary.progress(now);
    CandidateRecord {
        version: name_of(&candidate.version),
        percent: progress.percent,
        seconds: progress.elapsed.as_secs(),
        waiting: progress.waiting.map(|wait| wait.to_string()),
        candidate: traffic(progress.candidate),
        stable: traffic(progress.stable),
    }
}

fn traffic(summary: Summary) -> TrafficRecord {
    TrafficRecord {
        requests: summary.failures.of,
        failures: summary.failures.part,
        p99_ms: summary.p99.map(|time| time.as_secs_f64() * 1000.0),
    }
}

fn name_of(version: &Arc<Version>) -> VersionName {
    VersionName { label: version.label().to_string(), digest: hex(Content::digest(version)) }
}

pub(in crate::gateway) fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
