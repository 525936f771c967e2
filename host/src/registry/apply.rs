//! What the configuration says about instances, put in force while everything runs.
//!
//! Configured instances are one set: those that are said no more are gone, those that are said again keep their id and
//! their health, also when their weight, tags or way of checking are others now.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::health::CheckState;
use super::instance::{Health, Instance, Kind, Source, Status};
use super::lease::LeaseTimes;
use super::members::Member;
use super::{Profile, Registry};
use crate::config::{Config, InstanceCheck, RemoteInstance};

impl Registry {
    /// Puts a configuration in force: what services say about their instances, the configured instances as one set
    /// (those that stay the same keep id and health), and the clocks of leases.
    pub fn apply(&self, config: &Config) {
        let mut inner = self.lock();
        inner.times = LeaseTimes::from(&config.gateway.registry);
        inner.max_leases = config.gateway.registry.max_instances as usize;
        let defaults = &config.gateway.defaults;
        inner.defaults = Profile {
            check: defaults.health_check.of_instances(),
            local_weight: defaults.load_balancer.local_weight,
            ..Profile::default()
        };
        let mut wanted = Vec::new();
        inner.profiles.clear();
        for (name, service) in &config.services {
            let check = service.health_check.of_instances();
            wanted.extend(service.instances.iter().map(|instance| configured(name, instance, check.as_ref())));
            let profile = Profile {
                tags: service.tags.clone(),
                metadata: service.metadata.clone(),
                check,
                local_weight: service.load_balancer.local_weight,
            };
            inner.profiles.insert(name.clone(), profile);
        }
        let ids: BTreeSet<_> = wanted.iter().map(|instance| Arc::clone(&instance.id)).collect();
        let is_gone = |instance: &Instance| instance.source == Source::Config && !ids.contains(&instance.id);
        let instances = || inner.members.values().map(|member| &member.instance);
        let gone: Vec<_> = instances().filter(|it| is_gone(it)).map(|it| Arc::clone(&it.id)).collect();
        for id in gone {
            self.remove_member(&mut inner, &id);
        }
        for instance in wanted {
            let check = instance.check.as_ref().map(CheckState::starting);
            self.put_member(&mut inner, Member::new(instance, check));
        }
        let calls = config.services.iter().map(|(name, service)| (name.clone(), service.grants.calls.clone()));
        self.allow_calls(calls.collect());
        let services: Vec<_> = inner.versions.keys().cloned().collect();
        for service in services {
            self.sync_local(&mut inner, &service);
        }
        drop(inner);
        // Leases may be due sooner now.
        self.sooner.notify_one();
    }
}

/// What the configuration says about an instance, with the service's way of checking if it has none of its own.
fn configured(service: &str, said: &RemoteInstance, check: Option<&InstanceCheck>) -> Instance {
    let now = Timestamp::now();
    Instance {
        id: format!("{service}/{}", said.name).into(),
        service: service.into(),
        version: said.version.as_deref().map(Arc::from),
        kind: Kind::Remote { url: said.url.clone() },
        protocol: said.protocol,
        source: Source::Config,
        weight: said.weight,
        tags: said.tags.clone(),
        metadata: said.metadata.clone(),
        check: said.health_check.as_ref().or(check).cloned(),
        registered_at: now,
        status: Arc::new(Status::new(Health::Healthy, now)),
    }
}
