//! What is known of each version that gets requests: its circuit breaker and its instances.

use std::fmt::Error;

use tokio::time::Instant;

use super::page::{Family, Page};
use crate::gateway::forward::{BREAKER_STATES, Pool, Target};
use crate::gateway::services::{Services, Snapshot, hex};
use crate::policy::BreakerState;

const STATE: Family<3> = family("circuit_breaker_state", "The state: 0 closed, 1 half open, 2 open.");
const IS: Family<4> =
    family_by("circuit_breaker", "1 for the state that the circuit breaker is in, 0 for others.", "state");
const TRANSITIONS: Family<4> =
    family_by("circuit_breaker_transitions", "Times that the circuit breaker came to a state.", "to");
const PANIC: Family<3> = family("panic", "1 while so few instances are well that all are used, else 0.");
const ENDPOINTS: Family<3> = family("version_instances", "Instances that requests are balanced over.");
const WELL: Family<3> = family("version_instances_well", "Those of them that are neither unhealthy nor ejected.");
const EJECTED: Family<3> = family("version_instances_ejected", "Those of them that are ejected by outlier detection.");
const IN_FLIGHT: Family<3> = family("version_requests_in_flight", "Requests that its instances have now.");
const CANARY: Family<3> = family("canary_ratio", "The part of the requests that a version on trial gets, from 0 to 1.");

const fn family(name: &'static str, help: &'static str) -> Family<3> {
    Family { name, help, labels: ["service", "version", "digest"] }
}

const fn family_by(name: &'static str, help: &'static str, label: &'static str) -> Family<4> {
    Family { name, help, labels: ["service", "version", "digest", label] }
}

/// What is asked of a version at one moment.
type Ask = fn(&Pool, Instant) -> f64;

const GAUGES: [(Family<3>, Ask); 6] = [
    (STATE, |pool, now| {
        let state = pool.state.breaker.status(now).state;
        BREAKER_STATES.iter().position(|one| *one == state).unwrap_or_default() as f64
    }),
    (PANIC, |pool, now| f64::from(u8::from(pool.panics(now)))),
    (ENDPOINTS, |pool, _| pool.endpoints.len() as f64),
    (WELL, |pool, now| pool.endpoints.iter().filter(|endpoint| endpoint.is_well(now)).count() as f64),
    (EJECTED, |pool, now| pool.state.group.ejected(now).0 as f64),
    (IN_FLIGHT, |pool, _| pool.endpoints.iter().map(|endpoint| endpoint.state.load.in_flight()).sum::<u64>() as f64),
];

pub(super) fn write(page: &mut Page<'_>, services: &Services, snapshot: &Snapshot) -> Result<(), Error> {
    let now = Instant::now();
    let pools: Vec<([String; 3], &Pool)> = snapshot
        .services()
        .flat_map(|(service, backend)| {
            backend.pools().map(|pool| ([service.to_string(), pool.label.to_string(), digest(pool)], pool))
        })
        .collect();
    for (family, ask) in &GAUGES {
        page.gauges(family, pools.iter().map(|(labels, pool)| (labels.clone(), ask(pool, now))))?;
    }
    page.gauges(
        &IS,
        pools.iter().flat_map(|(labels, pool)| {
            let state = pool.state.breaker.status(now).state;
            BREAKER_STATES.map(|one| (with(labels, word(one)), f64::from(u8::from(one == state))))
        }),
    )?;
    page.counters(
        &TRANSITIONS,
        pools.iter().flat_map(|(labels, pool)| {
            pool.state.transitions().map(|(state, count)| (with(labels, word(state)), count))
        }),
    )?;
    page.gauges(
        &CANARY,
        services.trials().into_iter().map(|trial| {
            let labels = [trial.service.to_string(), trial.version.label().to_string(), short(trial.version.digest())];
            (labels, f64::from(trial.percent) / 100.0)
        }),
    )
}

/// The beginning of the component's digest: two versions may have one label. Empty for versions that only others have.
fn digest(pool: &Pool) -> String {
    let version = pool.endpoints.iter().find_map(|endpoint| match &endpoint.target {
        Target::Local(version) => Some(version),
        Target::Remote(_) => None,
    });
    version.map(|version| short(version.digest())).unwrap_or_default()
}

fn short(digest: &[u8; 32]) -> String {
    let mut hex = hex(digest);
    hex.truncate(8);
    hex
}

fn with([service, version, digest]: &[String; 3], word: &str) -> [String; 4] {
    [service.clone(), version.clone(), digest.clone(), word.to_owned()]
}

fn word(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half_open",
        BreakerState::Open => "open",
    }
}
