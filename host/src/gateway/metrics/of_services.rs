//! What is counted of a service as a whole.

use std::fmt::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::MetricType;

use super::page::{Family, Page, Value};
use crate::gateway::forward::Counters;
use crate::gateway::services::{Backend, Services, Snapshot};
use crate::gateway::traffic::{Asker, Traffic};
use crate::policy::Outcome;
use crate::registry::{Health, Registry, RolloutWord, VersionState};

const REQUESTS: Family<3> = Family {
    name: "requests",
    help: "Requests by the class of their status. The service is empty for requests that are for none.",
    labels: ["service", "from", "status"],
};
const DURATION: Family<2> = Family {
    name: "request_duration_seconds",
    help: "Time from the head of a request to the head of its response.",
    labels: ["service", "from"],
};
const ERRORS: Family<2> = Family {
    name: "errors",
    help: "Requests that the gateway answered itself because something failed, by reason.",
    labels: ["service", "reason"],
};
const ATTEMPTS: Family<2> = Family {
    name: "attempts",
    help: "Tries of requests at an instance, by what they came to.",
    labels: ["service", "outcome"],
};
const NOT_RETRIED: Family<2> = Family {
    name: "not_retried",
    help: "Failed requests that were not tried again, by reason.",
    labels: ["service", "reason"],
};
const VIOLATIONS: Family<3> = Family {
    name: "contract_violations",
    help: "Messages that broke a promise of the service's OpenAPI document, by kind.",
    labels: ["service", "direction", "kind"],
};
const UNCHECKED: Family<3> = Family {
    name: "contract_unchecked_bodies",
    help: "Bodies that the document describes and that were not held against it, by reason.",
    labels: ["service", "direction", "reason"],
};
const BUDGET: Family<1> = Family {
    name: "retry_budget_tries",
    help: "Further tries that the retry budget would pay for now.",
    labels: ["service"],
};
const INSTANCES: Family<2> =
    Family { name: "instances", help: "Registered instances by health.", labels: ["service", "health"] };
const VERSIONS: Family<2> =
    Family { name: "versions", help: "Versions by where they stand.", labels: ["service", "state"] };
const DECISIONS: Family<2> = Family {
    name: "rollout_decisions",
    help: "Decisions about versions, by the rollout or by operators.",
    labels: ["service", "decision"],
};

/// A counter of a service that has no other label.
type Count = fn(&Counters) -> u64;
/// A gauge of a service that has no other label.
type Ask = fn(&Backend) -> usize;

const COUNTERS: [(Family<1>, Count); 8] = [
    (plain("retries", "Further tries of requests that failed."), |of| of.retries().0),
    (plain("retry_successes", "Requests that came to a good end by a further try."), |of| of.retries().1),
    (plain("broken_responses", "Responses that broke off after their head, and not by their reader."), |of| {
        read(&of.broken)
    }),
    (plain("ejections", "Times that an instance was ejected by outlier detection."), |of| read(&of.ejections)),
    (plain("panic_choices", "Tries that went to any instance because too few were well."), |of| read(&of.panics)),
    (plain("fallbacks", "Requests that a fallback was asked for."), |of| read(&of.fallbacks)),
    (plain("circuit_breaker_refusals", "Tries that an open circuit breaker refused."), |of| read(&of.circuit_open)),
    (plain("bulkhead_refusals", "Tries that found no place in the bulkhead in time."), |of| read(&of.bulkhead_full)),
];

const GAUGES: [(Family<1>, Ask); 3] = [
    (plain("bulkhead_limit", "Requests that may run at once."), |of| of.runtime.bulkhead.limit()),
    (plain("bulkhead_in_flight", "Requests that run now."), |of| of.runtime.bulkhead.in_flight()),
    (plain("bulkhead_waiting", "Requests that wait for a place now."), |of| of.runtime.bulkhead.pending()),
];

const fn plain(name: &'static str, help: &'static str) -> Family<1> {
    Family { name, help, labels: ["service"] }
}

pub(super) fn write(
    page: &mut Page<'_>,
    services: &Services,
    snapshot: &Snapshot,
    registry: &Registry,
) -> Result<(), Error> {
    let all: Vec<(&str, &Backend)> = snapshot.services().map(|(name, backend)| (&**name, backend)).collect();
    requests(page, services, &all)?;
    let counters = || all.iter().map(|(name, backend)| (*name, &backend.runtime.carried.counters));
    page.counters(
        &ATTEMPTS,
        counters()
            .flat_map(|(name, of)| of.outcomes().map(move |(outcome, count)| (labels([name, word(outcome)]), count))),
    )?;
    for (family, read) in COUNTERS {
        page.counters(&family, counters().map(|(service, of)| (labels([service]), read(of))))?;
    }
    page.counters(
        &NOT_RETRIED,
        counters()
            .flat_map(|(name, of)| of.not_retried().map(move |(reason, count)| (labels([name, reason.word()]), count))),
    )?;
    page.counters(
        &VIOLATIONS,
        counters().flat_map(|(name, of)| {
            of.contract.violations().map(move |(way, kind, count)| (labels([name, way, kind]), count))
        }),
    )?;
    page.counters(
        &UNCHECKED,
        counters().flat_map(|(name, of)| {
            of.contract.skipped().map(move |(way, why, count)| (labels([name, way, why]), count))
        }),
    )?;
    let now = tokio::time::Instant::now();
    let left = |backend: &Backend| backend.runtime.carried.budget.left(now) as f64;
    page.gauges(&BUDGET, all.iter().map(|(name, backend)| (labels([*name]), left(backend))))?;
    for (family, read) in GAUGES {
        page.gauges(&family, all.iter().map(|(service, backend)| (labels([*service]), read(backend) as f64)))?;
    }
    registered(page, registry)?;
    let decisions = services.decisions();
    page.counters(
        &DECISIONS,
        decisions.iter().flat_map(|(service, decided)| {
            let words = RolloutWord::ALL.into_iter().zip(decided);
            words.map(move |(word, count)| (labels([service, &word.as_str().replace(' ', "_")]), *count))
        }),
    )
}

fn requests(page: &mut Page<'_>, services: &Services, all: &[(&str, &Backend)]) -> Result<(), Error> {
    let of_services = all.iter().map(|(name, backend)| (*name, &*backend.runtime.carried.counters.traffic));
    let all: Vec<(&str, &Traffic)> = of_services.chain([("", &**services.traffic())]).collect();
    let by_asker =
        || all.iter().flat_map(|(name, of)| Asker::ALL.map(|asker| (*name, asker.word(), of.requests(asker))));
    page.counters(
        &REQUESTS,
        by_asker().flat_map(|(name, asker, of)| {
            of.statuses().map(move |(status, count)| (labels([name, asker, status]), count))
        }),
    )?;
    page.family(
        &DURATION,
        MetricType::Histogram,
        by_asker().map(|(name, asker, of)| (labels([name, asker]), Value::Times(of.seconds(), of.times()))),
    )?;
    page.counters(
        &ERRORS,
        all.iter().flat_map(|(name, of)| of.errors().map(|(reason, count)| (labels([*name, reason]), count))),
    )
}

fn registered(page: &mut Page<'_>, registry: &Registry) -> Result<(), Error> {
    let records = registry.services();
    page.gauges(
        &INSTANCES,
        records.iter().flat_map(|service| {
            Health::WORDS.map(|word| {
                let so = service.instances.iter().filter(|instance| instance.health.word() == word);
                (labels([&service.name, word]), so.count() as f64)
            })
        }),
    )?;
    page.gauges(
        &VERSIONS,
        records.iter().flat_map(|service| {
            VersionState::WORDS.map(|word| {
                let so = service.versions.iter().filter(|version| version.state.word() == word);
                (labels([&service.name, word]), so.count() as f64)
            })
        }),
    )
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Failure => "failure",
        Outcome::Overloaded => "overloaded",
        Outcome::Ignored => "ignored",
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn labels<const N: usize>(values: [&str; N]) -> [String; N] {
    values.map(str::to_owned)
}
