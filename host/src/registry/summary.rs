//! How a service, and all of them together, are.
//!
//! A service is as well as what can answer for it: `healthy` when all of its instances are, `unhealthy` when none gets
//! requests, `degraded` in between. Instances that stop on purpose do not count unless there are no others. The whole is
//! healthy when every service is, unhealthy when none answers, and degraded in between: one bad service must not take
//! down the process that serves the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::instance::Health;
use super::records::ServiceRecord;

/// One word for many instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Overall {
    /// All is well.
    Healthy,
    /// Something is wrong, and requests are answered.
    Degraded,
    /// Nobody answers.
    Unhealthy,
}

/// How one service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceHealth {
    /// In one word.
    pub health: Overall,
    /// Instances that count.
    pub instances: usize,
    /// Those of them that get requests.
    pub eligible: usize,
    /// What is wrong, by the ids of instances; nothing for those that are well.
    pub reasons: BTreeMap<String, String>,
}

/// How everything is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthSummary {
    /// In one word.
    pub health: Overall,
    /// Service by service.
    pub services: BTreeMap<String, ServiceHealth>,
}

impl HealthSummary {
    pub(super) fn new(services: &[ServiceRecord]) -> Self {
        let services: BTreeMap<_, _> =
            services.iter().map(|service| (service.name.clone(), ServiceHealth::new(service))).collect();
        let all = |word| services.values().all(|service| service.health == word);
        let health = match (all(Overall::Healthy), all(Overall::Unhealthy)) {
            (true, _) => Overall::Healthy,
            (false, true) => Overall::Unhealthy,
            (false, false) => Overall::Degraded,
        };
        Self { health, services }
    }
}

impl ServiceHealth {
    fn new(service: &ServiceRecord) -> Self {
        let staying: Vec<_> = service.instances.iter().filter(|instance| instance.health != Health::Stopping).collect();
        let eligible = staying.iter().filter(|instance| instance.health.is_eligible()).count();
        let health = if eligible == 0 {
            Overall::Unhealthy
        } else if staying.iter().all(|instance| instance.health == Health::Healthy) {
            Overall::Healthy
        } else {
            Overall::Degraded
        };
        let reason = |health: &Health| health.reason().unwrap_or(health.word()).to_owned();
        let reasons = staying
            .iter()
            .filter(|instance| instance.health != Health::Healthy)
            .map(|instance| (instance.id.clone(), reason(&instance.health)))
            .collect();
        Self { health, instances: staying.len(), eligible, reasons }
    }
}
