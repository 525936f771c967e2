//! What is left of a run: tables for people, every sample for programs.
//!
//! Ratios are formed round by round, between two servers measured seconds apart, and only then reduced to a median:
//! what disturbs the machine for a while disturbs both sides of such a pair.

mod figure;
mod tables;

use serde::Serialize;

pub(crate) use self::figure::Figure;
use crate::load::Sample;
use crate::part::Part;
use crate::stats::Spread;
use crate::system::Machine;

/// Everything about one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) versions: Vec<Version>,
    pub(crate) load: LoadSettings,
    pub(crate) phases: Vec<Phase>,
}

/// A program and how it was built.
#[derive(Debug, Serialize)]
pub(crate) struct Version {
    pub(crate) what: &'static str,
    pub(crate) version: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct LoadSettings {
    pub(crate) connections: u32,
    pub(crate) seconds_per_round: u32,
    pub(crate) warm_up_seconds: u32,
}

/// All targets on the same CPUs.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    pub(crate) title: &'static str,
    /// How the CPUs are shared between server and load.
    pub(crate) cpus: String,
    pub(crate) rounds: usize,
    pub(crate) answer_bytes: usize,
    pub(crate) targets: Vec<Measured>,
    pub(crate) ratios: Vec<Ratio>,
    pub(crate) figures: Vec<Figure>,
    /// CPU of the whole machine used by other programs, percent.
    pub(crate) others_percent: Option<Spread>,
    /// Taken by the hypervisor, percent.
    pub(crate) steal_percent: Option<Spread>,
}

/// One target in one phase.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) settings: String,
    /// Memory before any load.
    pub(crate) idle_kib: u64,
    pub(crate) requests_per_second: Spread,
    pub(crate) cpu_micros_per_request: Spread,
    pub(crate) p50_micros: Spread,
    pub(crate) p99_micros: Spread,
    pub(crate) loaded_kib: Spread,
    pub(crate) samples: Vec<Sample>,
}

/// `a` divided by `b`.
#[derive(Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) a: &'static str,
    pub(crate) b: &'static str,
    pub(crate) requests_per_second: Spread,
    pub(crate) cpu_per_request: Spread,
}

impl Measured {
    /// None without samples.
    pub(crate) fn new(
        key: &'static str,
        title: &'static str,
        settings: String,
        idle_kib: u64,
        samples: Vec<Sample>,
    ) -> Option<Self> {
        let spread = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of));
        Some(Self {
            key,
            title,
            settings,
            idle_kib,
            requests_per_second: spread(|sample| sample.requests_per_second)?,
            cpu_micros_per_request: spread(|sample| sample.cpu_micros_per_request)?,
            p50_micros: spread(|sample| sample.p50_micros)?,
            p99_micros: spread(|sample| sample.p99_micros)?,
            loaded_kib: spread(|sample| sample.resident_kib as f64)?,
            samples,
        })
    }
}

impl Phase {
    pub(crate) fn new(
        part: Part,
        title: &'static str,
        cpus: String,
        answer_bytes: usize,
        targets: Vec<Measured>,
    ) -> Self {
        let noise = |of: fn(&Sample) -> f64| Spread::of(targets.iter().flat_map(|target| &target.samples).map(of));
        let (others_percent, steal_percent) = (noise(|sample| sample.noise.others), noise(|sample| sample.noise.steal));
        let ratios = part.compared().iter().filter_map(|(a, b)| Ratio::between(&targets, a, b)).collect();
        let figures = part.figures(&targets);
        let rounds = targets.iter().map(|target| target.samples.len()).min().unwrap_or(0);
        Self { title, cpus, rounds, answer_bytes, targets, ratios, figures, others_percent, steal_percent }
    }
}

impl Ratio {
    fn between(targets: &[Measured], a: &'static str, b: &'static str) -> Option<Self> {
        let samples = |key: &str| targets.iter().find(|target| target.key == key).map(|target| &target.samples);
        let (over, under) = (samples(a)?, samples(b)?);
        let ratio = |of: fn(&Sample) -> f64| Spread::of(over.iter().zip(under).map(|(a, b)| of(a) / of(b)));
        Some(Self {
            a,
            b,
            requests_per_second: ratio(|sample| sample.requests_per_second)?,
            cpu_per_request: ratio(|sample| sample.cpu_micros_per_request)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Noise;

    pub(super) fn target(key: &'static str, rates: [f64; 3]) -> Measured {
        let samples = rates.map(|rate| Sample {
            requests: 1000,
            failed: 0,
            requests_per_second: rate,
            cpu_micros_per_request: 1e6 / rate,
            p50_micros: 1.0,
            p99_micros: 2.0,
            resident_kib: 2048,
            logged: None,
            noise: Noise { others: 0.0, steal: 0.0 },
        });
        Measured::new(key, key, String::new(), 1024, samples.to_vec()).unwrap()
    }

    #[test]
    fn a_slow_moment_of_the_machine_does_not_change_the_ratio() {
        let targets = vec![target("wharf", [200.0, 20.0, 202.0]), target("wasmtime", [100.0, 10.0, 101.0])];
        let phase = Phase::new(Part::Peers, "one core", "server on one".to_owned(), 18, targets);
        let [ratio] = phase.ratios.as_slice() else { unreachable!("{:?}", phase.ratios) };
        assert_eq!(ratio.requests_per_second, Spread { median: 2.0, min: 2.0, max: 2.0 });
        assert_eq!(ratio.cpu_per_request.median, 0.5);
    }
}
