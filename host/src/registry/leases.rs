//! Instances that register themselves: they come, say that they are there, and go, or are forgotten.
//!
//! Registering the same id again takes the place of what was said before, so a client that is not sure whether it is
//! registered just registers. A client whose heartbeat is answered with "unknown" does the same: that is all it takes to
//! get over a restart of this process. The number of leases is bounded; nothing here trusts a client further than that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::health::CheckState;
use super::instance::{Health, Instance, Kind, Source, Status};
use super::lease::Lease;
use super::members::{Member, Stopping};
use super::records::InstanceRecord;
use super::{Inner, Registry};
use crate::config::{InstanceCheck, InstanceUrl, Protocol};

/// Leases are looked at no more often than this, however many there are.
const MIN_PAUSE: Duration = Duration::from_millis(50);

/// An instance that registers itself. Everything in it was checked.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its id, or one is made for it.
    pub id: Option<String>,
    /// Whose requests it answers.
    pub service: String,
    /// Where.
    pub url: InstanceUrl,
    /// Which version of HTTP it speaks.
    pub protocol: Protocol,
    /// Label of its version.
    pub version: Option<String>,
    /// Its part of the requests.
    pub weight: u32,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// What else is to be known.
    pub metadata: BTreeMap<String, String>,
    /// How it is checked beside its heartbeats.
    pub check: Option<InstanceCheck>,
    /// Time without a heartbeat after which it is forgotten; as the configuration says if not given.
    pub ttl: Option<Duration>,
}

/// What a registration has led to.
#[derive(Debug, Clone)]
pub struct Registered {
    /// The instance as it is now.
    pub record: InstanceRecord,
    /// Whether it is new.
    pub created: bool,
}

/// Why the registry does not do what it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// There is no such instance.
    #[error("there is no instance `{0}` of this service: register it (again)")]
    Unknown(String),
    /// The id belongs to an instance of another service.
    #[error("`{id}` is an instance of the service `{service}`: choose another id, or none")]
    Taken {
        /// The id.
        id: String,
        /// Whose it is.
        service: String,
    },
    /// It has no lease: files say that it is there.
    #[error("`{0}` did not register itself: change the plugins folder or the configuration instead")]
    NotLeased(String),
    /// There are as many as there may be.
    #[error("{0} instances are registered already, which is registry.maxInstances")]
    Full(usize),
}

impl Registered {
    /// How often a heartbeat is expected.
    pub fn heartbeat_interval(&self) -> crate::config::Duration {
        self.record.lease.as_ref().map_or(crate::config::Duration::ZERO, |lease| lease.heartbeat_interval)
    }
}

impl Registry {
    /// Registers an instance, or takes what it says now in place of what it said before. Counts as a heartbeat.
    ///
    /// # Errors
    /// When the id is that of another service's instance or of one that has no lease, or there are too many.
    pub fn register(&self, registration: Registration) -> Result<Registered, RegistryError> {
        let mut inner = self.lock();
        let Registration { id, service, url, protocol, version, weight, tags, metadata, check, ttl } = registration;
        let id: Arc<str> = id.map_or_else(|| uuid::Uuid::now_v7().to_string().into(), Arc::from);
        let known = inner.members.get(&id).map(|member| Arc::clone(&member.instance));
        match &known {
            Some(known) if *known.service != *service => {
                return Err(RegistryError::Taken { id: id.to_string(), service: known.service.to_string() });
            }
            Some(known) if known.source != Source::Lease => return Err(RegistryError::NotLeased(id.to_string())),
            Some(_) => {}
            None => {
                let leased = inner.members.values().filter(|member| member.lease.is_some()).count();
                if leased >= inner.max_leases {
                    return Err(RegistryError::Full(leased));
                }
            }
        }
        let (now, at) = (Instant::now(), Timestamp::now());
        let instance = Instance {
            id: Arc::clone(&id),
            service: service.into(),
            version: version.map(Arc::from),
            kind: Kind::Remote { url },
            protocol,
            source: Source::Lease,
            weight,
            tags,
            metadata,
            check,
            registered_at: at,
            status: Arc::new(Status::new(Health::Healthy, at)),
        };
        let check = instance.check.as_ref().map(CheckState::starting);
        self.put_member(&mut inner, Member::leased(instance, check, Lease::new(ttl, now)));
        let times = inner.times;
        let record = inner.members.get(&id).map(|member| member.record(times, now));
        drop(inner);
        self.sooner.notify_one();
        record
            .map(|record| Registered { record, created: known.is_none() })
            .ok_or_else(|| RegistryError::Unknown(id.to_string()))
    }

    /// A heartbeat, with what the instance says about itself (healthy, degraded or unhealthy).
    ///
    /// # Errors
    /// When there is no such instance (any more), or it has no lease.
    pub fn heartbeat(&self, service: &str, id: &str, says: Health) -> Result<(), RegistryError> {
        let mut inner = self.lock();
        let member = inner.leased(service, id)?;
        if member.stopping.is_some() {
            return Err(RegistryError::Unknown(id.to_owned()));
        }
        let now = Instant::now();
        if let Some(lease) = &mut member.lease {
            lease.renew(now);
        }
        member.says = says;
        self.refresh(&mut inner, id, now);
        Ok(())
    }

    /// An instance goes: it gets no new requests from now on, and is forgotten one heartbeat interval later. Requests
    /// that it has are not touched.
    ///
    /// # Errors
    /// When there is no such instance, or it has no lease.
    pub fn deregister(&self, service: &str, id: &str) -> Result<(), RegistryError> {
        let mut inner = self.lock();
        let (now, common) = (Instant::now(), inner.times);
        let member = inner.leased(service, id)?;
        let pause = member.lease.map_or(common.heartbeat, |lease| lease.times(common).heartbeat);
        member.stopping.get_or_insert(Stopping::Until(now + pause));
        self.refresh(&mut inner, id, now);
        drop(inner);
        self.sooner.notify_one();
        Ok(())
    }

    /// Lets time pass: instances without heartbeats become late, unhealthy, and are forgotten. Says when there is
    /// something to do again.
    pub fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut inner = self.lock();
        let times = inner.times;
        let (over, there): (Vec<_>, Vec<_>) = inner
            .members
            .iter()
            .filter(|(_, member)| member.lease.is_some() || member.stopping.is_some())
            .map(|(id, member)| (Arc::clone(id), member.is_over(times, now)))
            .partition(|(_, is_over)| *is_over);
        for (id, _) in over {
            tracing::info!(instance = %id, "an instance is gone");
            self.remove_member(&mut inner, &id);
        }
        for (id, _) in &there {
            self.refresh(&mut inner, id, now);
        }
        inner.members.values().filter_map(|member| member.due(times, now)).min()
    }

    /// Runs the clocks of leases until dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            let now = Instant::now();
            match self.sweep(now) {
                Some(next) => tokio::select! {
                    () = tokio::time::sleep_until(next.max(now + MIN_PAUSE)) => {}
                    () = self.sooner.notified() => tokio::time::sleep(MIN_PAUSE).await,
                },
                None => self.sooner.notified().await,
            }
        }
    }
}

impl Inner {
    /// An instance that registered itself for this service.
    fn leased(&mut self, service: &str, id: &str) -> Result<&mut Member, RegistryError> {
        match self.members.get_mut(id).filter(|member| *member.instance.service == *service) {
            None => Err(RegistryError::Unknown(id.to_owned())),
            Some(member) if member.lease.is_none() => Err(RegistryError::NotLeased(id.to_owned())),
            Some(member) => Ok(member),
        }
    }
}
