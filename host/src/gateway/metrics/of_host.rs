//! What concerns the host as a whole: its build, its configuration, and filters by their place in that.

use std::fmt::Error;
use std::sync::atomic::Ordering;

use super::page::{Family, Page};
use crate::gateway::filter::Fate;
use crate::gateway::services::Services;
use crate::registry::Registry;
use crate::telemetry::Reloads;

const BUILD: Family<1> = Family { name: "build_info", help: "1, with the version of Wharf.", labels: ["version"] };
const START: Family<0> =
    Family { name: "start_time_seconds", help: "When the host started, in seconds since 1970.", labels: [] };
const CONFIG: Family<1> = Family {
    name: "config_info",
    help: "1, with the fingerprint of the configuration in force.",
    labels: ["fingerprint"],
};
const RELOADS: Family<1> = Family {
    name: "config_reloads",
    help: "Changes of the configuration's files, by whether they are in force.",
    labels: ["result"],
};
const LAST_GOOD: Family<0> = Family {
    name: "config_last_reload_successful",
    help: "1 if what the files say is in force, 0 if they are wrong.",
    labels: [],
};
const LAST_TIME: Family<0> = Family {
    name: "config_last_reload_success_timestamp_seconds",
    help: "When the configuration in force came into force, in seconds since 1970.",
    labels: [],
};
const REFUSED: Family<0> =
    Family { name: "refused_files", help: "Files in the plugins folder that are no service.", labels: [] };
const FAULTS: Family<2> = Family {
    name: "faults",
    help: "Requests that a fault filter was to change, by what was done.",
    labels: ["filter", "fault"],
};
const MIRRORED: Family<2> = Family {
    name: "mirror_copies",
    help: "Copies of requests that a mirror filter made, by how they ended.",
    labels: ["filter", "result"],
};
const COPYING: Family<1> =
    Family { name: "mirror_copies_in_flight", help: "Copies that are on their way now.", labels: ["filter"] };

pub(super) fn write(
    page: &mut Page<'_>,
    services: &Services,
    registry: &Registry,
    reloads: &Reloads,
) -> Result<(), Error> {
    page.gauges(&BUILD, [([env!("CARGO_PKG_VERSION").to_owned()], 1.0)])?;
    page.gauges(&START, [([], reloads.started())])?;
    page.gauges(&CONFIG, [([services.config().fingerprint()], 1.0)])?;
    let (good, bad) = reloads.counts();
    page.counters(&RELOADS, [(["success".to_owned()], good), (["failure".to_owned()], bad)])?;
    page.gauges(&LAST_GOOD, [([], f64::from(u8::from(reloads.is_good())))])?;
    page.gauges(&LAST_TIME, [([], reloads.in_force_since())])?;
    page.gauges(&REFUSED, [([], registry.refused().len() as f64)])?;
    filters(page, services)
}

fn filters(page: &mut Page<'_>, services: &Services) -> Result<(), Error> {
    let (faults, mirrors) = (services.stores().faults.all(), services.stores().mirrors.all());
    page.counters(
        &FAULTS,
        faults.iter().flat_map(|(place, state)| {
            [("delayed", &state.delayed), ("not_delayed", &state.not_delayed), ("aborted", &state.aborted)]
                .map(|(what, count)| ([place.clone(), what.to_owned()], count.load(Ordering::Relaxed)))
        }),
    )?;
    page.counters(
        &MIRRORED,
        mirrors.iter().flat_map(|(place, state)| {
            let counts = Fate::ALL.into_iter().filter_map(|fate| Some((fate, state.counter(fate)?)));
            counts.map(|(fate, count)| ([place.clone(), fate.word().to_owned()], count.load(Ordering::Relaxed)))
        }),
    )?;
    page.gauges(&COPYING, mirrors.iter().map(|(place, state)| ([place.clone()], state.in_flight() as f64)))
}
