//! On which CPUs server and load run, and how often each part is measured there.

use crate::part::Part;
use crate::system;

/// Rounds on the whole machine, as a share of those on one core: it shows the shape, the other the ratio.
const WHOLE_MACHINE_SHARE: f64 = 0.6;

/// Where server and load run.
pub(crate) struct Place {
    pub(crate) title: &'static str,
    pub(crate) description: String,
    pub(crate) server: Option<usize>,
    pub(crate) load: Option<usize>,
    pub(crate) threads: u32,
    pub(crate) rounds: u32,
}

/// Each part with the server alone on a core, and those that show something else there with everything everywhere.
pub(crate) fn places(parts: &[Part], rounds: u32) -> anyhow::Result<Vec<(Part, Place)>> {
    let cpus = system::cpus()?;
    let pinning = system::pinning(&cpus);
    let threads = u32::try_from(cpus.len()).unwrap_or(1);
    let whole = |title, rounds| Place {
        title,
        description: format!("Server and load together on all {threads} CPUs"),
        server: None,
        load: None,
        threads,
        rounds,
    };
    let mut places = Vec::new();
    for part in parts {
        let Some(pinning) = pinning else {
            places.push((*part, whole(part.title(), rounds)));
            continue;
        };
        let shared = if pinning.same_core { ", two threads of the same core" } else { "" };
        let one = Place {
            title: part.title(),
            description: format!("The server on one CPU, the load{} on another{shared}", part.beside_load()),
            server: Some(pinning.server),
            load: Some(pinning.load),
            threads: 1,
            rounds,
        };
        places.push((*part, one));
        if part.on_whole_machine() {
            let fewer = (f64::from(rounds) * WHOLE_MACHINE_SHARE).ceil() as u32;
            places.push((*part, whole("whole machine", fewer)));
        }
    }
    Ok(places)
}
