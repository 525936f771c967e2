//! The set of instances and how each is.
//!
//! Every change goes through three doors, [`Registry::put_member`], [`Registry::remove_member`] and
//! [`Registry::refresh`], which keep the shared health, the events and the generation in step. An instance that is put
//! again keeps its health as long as it is at the same place; one that goes is marked as stopping for
//! those who still hold it.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::health::{CheckResult, CheckState};
use super::instance::{Health, Instance, Source};
use super::lease::{Lease, LeaseTimes, Phase};
use super::records::{Filter, InstanceRecord};
use super::watch::{EventKind, Subject};
use super::{Inner, Registry};

/// An instance and what is known about how it is.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) instance: Arc<Instance>,
    check: Option<CheckState>,
    pub(super) lease: Option<Lease>,
    /// What it says about itself: healthy, degraded or unhealthy.
    pub(super) says: Health,
    ejected: bool,
    pub(super) stopping: Option<Stopping>,
}

/// Until when an instance that stops is still listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopping {
    Until(Instant),
    /// Until whoever runs it says that it is gone.
    Drained,
}

impl Member {
    pub(super) fn new(instance: Instance, check: Option<CheckState>) -> Self {
        let instance = Arc::new(instance);
        Self { instance, check, lease: None, says: Health::Healthy, ejected: false, stopping: None }
    }

    pub(super) fn leased(instance: Instance, check: Option<CheckState>, lease: Lease) -> Self {
        Self { lease: Some(lease), ..Self::new(instance, check) }
    }

    pub(super) fn record(&self, common: LeaseTimes, now: Instant) -> InstanceRecord {
        let checked = self.check.as_ref().and_then(CheckState::last);
        InstanceRecord::new(&self.instance, checked, self.lease.as_ref(), common, now)
    }

    /// See the table in [`super::instance`].
    fn health(&self, common: LeaseTimes, now: Instant) -> Health {
        let checked = self.check.as_ref().map_or(&Health::Healthy, CheckState::health);
        let phase = self.lease.map_or(Phase::Fresh, |lease| lease.phase(common, now));
        match (checked, phase, &self.says) {
            _ if self.stopping.is_some() => Health::Stopping,
            (Health::Unhealthy(_), _, _) => checked.clone(),
            (_, Phase::Overdue | Phase::Over, _) => Health::Unhealthy("its heartbeats do not come".to_owned()),
            (_, _, Health::Unhealthy(_)) => self.says.clone(),
            (Health::Starting, _, _) => Health::Starting,
            (Health::Degraded(_), _, _) => checked.clone(),
            (_, Phase::Late, _) => Health::Degraded("a heartbeat is late".to_owned()),
            (_, _, Health::Degraded(_)) => self.says.clone(),
            _ if self.ejected => Health::Degraded("too many requests to it failed: it is ejected".to_owned()),
            (_, Phase::Fresh, _) => Health::Healthy,
        }
    }

    /// When time alone changes something next.
    pub(super) fn due(&self, common: LeaseTimes, now: Instant) -> Option<Instant> {
        match self.stopping {
            Some(Stopping::Until(until)) => Some(until),
            Some(Stopping::Drained) => None,
            None => self.lease.and_then(|lease| lease.next_change(common, now)),
        }
    }

    pub(super) fn is_over(&self, common: LeaseTimes, now: Instant) -> bool {
        match self.stopping {
            Some(Stopping::Until(until)) => until <= now,
            Some(Stopping::Drained) => false,
            None => self.lease.is_some_and(|lease| lease.phase(common, now) == Phase::Over),
        }
    }
}

impl Registry {
    /// What a health check of an instance has found; its health before and after if it is another word now.
    pub fn checked(&self, id: &str, result: CheckResult, now: Instant) -> Option<(Health, Health)> {
        let mut inner = self.lock();
        inner.members.get_mut(id)?.check.as_mut()?.record(result, now);
        self.refresh(&mut inner, id, now)
    }

    /// Whether an instance is ejected for its failures at present; it then shows as degraded. Keeping requests away
    /// from it is the business of whoever ejects.
    pub fn set_ejected(&self, id: &str, ejected: bool) {
        let mut inner = self.lock();
        let Some(member) = inner.members.get_mut(id) else { return };
        member.ejected = ejected;
        self.refresh(&mut inner, id, Instant::now());
    }

    /// Those who can answer for a service, by id, whatever their health.
    pub fn instances(&self, service: &str) -> Vec<Arc<Instance>> {
        let inner = self.lock();
        let instances = inner.members.values().map(|member| &member.instance);
        instances.filter(|instance| *instance.service == *service).cloned().collect()
    }

    /// Every instance, by id.
    pub fn all_instances(&self) -> Vec<Arc<Instance>> {
        self.lock().members.values().map(|member| Arc::clone(&member.instance)).collect()
    }

    /// The instances that are asked for, by id.
    pub fn discover(&self, filter: &Filter) -> Vec<InstanceRecord> {
        let (inner, now) = (self.lock(), Instant::now());
        let records = inner.members.values().map(|member| member.record(inner.times, now));
        records.filter(|record| filter.wants(record, &inner.profile(&record.service).tags)).collect()
    }

    /// Puts an instance in the place of the one with its id, if there is one.
    pub(super) fn put_member(&self, inner: &mut Inner, mut member: Member) {
        let (now, times) = (Instant::now(), inner.times);
        let id = Arc::clone(&member.instance.id);
        let Some(known) = inner.members.remove(&id) else {
            member.instance.status.set(member.health(times, now), Timestamp::now());
            let new = Subject::Instance(Box::new(member.record(times, now)));
            let service = Arc::clone(&member.instance.service);
            inner.members.insert(id, member);
            self.emit(inner, EventKind::Registered, &service, None, Some(new));
            self.generation.send_modify(|generation| *generation += 1);
            return;
        };
        let old = known.record(times, now);
        let same = member.instance.says_the_same(&known.instance);
        let mut instance = Instance::clone(&member.instance);
        instance.registered_at = known.instance.registered_at;
        if member.instance.kind == known.instance.kind {
            instance.status = Arc::clone(&known.instance.status);
            member.check = instance.check.as_ref().map(|check| match known.check {
                Some(mut state) => {
                    state.reconfigure(check);
                    state
                }
                // It served without a check; that it has one now is no reason to take it away.
                None => CheckState::probed(check),
            });
            member.ejected = known.ejected;
        } else {
            instance.status.set(member.health(times, now), Timestamp::now());
            known.instance.status.set(Health::Stopping, Timestamp::now());
        }
        // An unchanged instance stays the very same for those who hold it.
        member.instance = if same { Arc::clone(&known.instance) } else { Arc::new(instance) };
        if !same {
            let new = Subject::Instance(Box::new(member.record(times, now)));
            let service = Arc::clone(&member.instance.service);
            self.emit(inner, EventKind::Updated, &service, Some(Subject::Instance(Box::new(old))), Some(new));
            self.generation.send_modify(|generation| *generation += 1);
        }
        // A version of ours that drains goes on draining until it is said that it does not.
        if member.instance.source == Source::Folder {
            member.stopping = known.stopping;
        }
        inner.members.insert(Arc::clone(&id), member);
        self.refresh(inner, &id, now);
    }

    /// Forgets an instance.
    pub(super) fn remove_member(&self, inner: &mut Inner, id: &str) {
        let Some(member) = inner.members.remove(id) else { return };
        let old = member.record(inner.times, Instant::now());
        member.instance.status.set(Health::Stopping, Timestamp::now());
        let service = Arc::clone(&member.instance.service);
        self.emit(inner, EventKind::Deregistered, &service, Some(Subject::Instance(Box::new(old))), None);
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Whether a version of this process drains.
    pub(super) fn set_draining(&self, inner: &mut Inner, id: &str, drains: bool) {
        if let Some(member) = inner.members.get_mut(id) {
            member.stopping = drains.then_some(Stopping::Drained);
            self.refresh(inner, id, Instant::now());
        }
    }

    /// Says to everybody how an instance is now; the health before and after if it is another word.
    pub(super) fn refresh(&self, inner: &mut Inner, id: &str, now: Instant) -> Option<(Health, Health)> {
        let times = inner.times;
        let member = inner.members.get(id)?;
        let next = member.health(times, now);
        let before = member.instance.health();
        let old = (before.rank() != next.rank()).then(|| member.record(times, now));
        if before != next {
            member.instance.status.set(next.clone(), Timestamp::now());
        }
        let old = Subject::Instance(Box::new(old?));
        let new = Subject::Instance(Box::new(member.record(times, now)));
        let service = Arc::clone(&member.instance.service);
        self.emit(inner, EventKind::HealthChanged, &service, Some(old), Some(new));
        Some((before, next))
    }
}
