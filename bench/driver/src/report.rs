//! What is left of a run: tables for people, every sample for programs.
//!
//! Ratios are formed round by round, between two servers measured seconds apart, and only then reduced to a median:
//! what disturbs the machine for a while disturbs both sides of such a pair.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::load::Sample;
use crate::stats::Spread;
use crate::system::Machine;
use crate::target::{NATIVE, WASMTIME, WASMTIME_REUSE, WASMTIME_TUNED, WHARF, WHARF_REUSE};

/// The comparisons that are worth a line.
const COMPARED: [(&str, &str); 5] =
    [(WHARF, WASMTIME), (WHARF, WASMTIME_TUNED), (WHARF, NATIVE), (WHARF_REUSE, WASMTIME_REUSE), (WHARF_REUSE, NATIVE)];

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
    pub(crate) answer_bytes: usize,
}

/// All targets on the same CPUs.
#[derive(Debug, Serialize)]
pub(crate) struct Phase {
    pub(crate) title: &'static str,
    /// How the CPUs are shared between server and load.
    pub(crate) cpus: String,
    pub(crate) rounds: u32,
    pub(crate) targets: Vec<Measured>,
    pub(crate) ratios: Vec<Ratio>,
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
    pub(crate) fn new(title: &'static str, cpus: String, rounds: u32, targets: Vec<Measured>) -> Self {
        let noise = |of: fn(&Sample) -> f64| Spread::of(targets.iter().flat_map(|target| &target.samples).map(of));
        let (others_percent, steal_percent) = (noise(|sample| sample.noise.others), noise(|sample| sample.noise.steal));
        let ratios = COMPARED.iter().filter_map(|(a, b)| Ratio::between(&targets, a, b)).collect();
        Self { title, cpus, rounds, targets, ratios, others_percent, steal_percent }
    }

    fn title_of(&self, key: &str) -> &'static str {
        self.targets.iter().find(|target| target.key == key).map_or("?", |target| target.title)
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

impl Report {
    /// The tables alone.
    pub(crate) fn tables(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        for phase in &self.phases {
            phase.write(&mut text)?;
        }
        Ok(text)
    }

    /// The whole page.
    pub(crate) fn page(&self) -> Result<String, fmt::Error> {
        let mut text = String::from("# Side by side\n\n");
        let Machine { cpu, cpus, virtual_machine, memory_mib, kernel } = &self.machine;
        let kind = if *virtual_machine { "virtual machine" } else { "bare metal" };
        let gib = *memory_mib as f64 / 1024.0;
        writeln!(text, "{cpus} CPUs ({cpu}, {kind}), {gib:.0} GiB of memory, Linux {kernel}.")?;
        let LoadSettings { connections, seconds_per_round, warm_up_seconds, answer_bytes } = &self.load;
        writeln!(
            text,
            "`wrk`, HTTP/1.1 on loopback, {connections} keep-alive connections, each sending its next request when it \
             has its answer\n({answer_bytes} bytes). Rounds of {seconds_per_round} s, targets in turn, after a warm-up \
             of {warm_up_seconds} s each. Numbers are medians of the rounds;\nsmallest and largest in parentheses. \
             How to read them: [README](../README.md).\n"
        )?;
        text.push_str(&self.tables()?);
        text.push_str("## Settings\n\n| target | settings |\n|---|---|\n");
        if let Some(phase) = self.phases.first() {
            for target in &phase.targets {
                writeln!(text, "| {} | {} |", target.title, target.settings)?;
            }
        }
        text.push_str("\n| program | version and build |\n|---|---|\n");
        for Version { what, version } in &self.versions {
            writeln!(text, "| {what} | {version} |")?;
        }
        Ok(text)
    }
}

impl Phase {
    fn write(&self, text: &mut String) -> fmt::Result {
        let mut title = self.title.chars();
        let first = title.next().into_iter().flat_map(char::to_uppercase);
        writeln!(
            text,
            "## {}{}\n\n{}. {} rounds.\n",
            first.collect::<String>(),
            title.as_str(),
            self.cpus,
            self.rounds
        )?;
        text.push_str("| target | requests/s | CPU µs/request | p50 µs | p99 µs | RSS idle → loaded, MiB |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for target in &self.targets {
            let mib = |kib: f64| kib / 1024.0;
            writeln!(
                text,
                "| {} | **{:.0}** ({:.0}–{:.0}) | {:.1} | {:.0} | {:.0} ({:.0}–{:.0}) | {:.0} → {:.0} |",
                target.title,
                target.requests_per_second.median,
                target.requests_per_second.min,
                target.requests_per_second.max,
                target.cpu_micros_per_request.median,
                target.p50_micros.median,
                target.p99_micros.median,
                target.p99_micros.min,
                target.p99_micros.max,
                mib(target.idle_kib as f64),
                mib(target.loaded_kib.median),
            )?;
        }
        text.push_str("\n| ratio | requests/s | CPU per request |\n|---|---|---|\n");
        for Ratio { a, b, requests_per_second: requests, cpu_per_request: cpu } in &self.ratios {
            let (a, b) = (self.title_of(a), self.title_of(b));
            writeln!(
                text,
                "| {a} ÷ {b} | **{:.2}** ({:.2}–{:.2}) | {:.2} ({:.2}–{:.2}) |",
                requests.median, requests.min, requests.max, cpu.median, cpu.min, cpu.max
            )?;
        }
        for target in &self.targets {
            let failed: u64 = target.samples.iter().map(|sample| sample.failed).sum();
            let all: u64 = target.samples.iter().map(|sample| sample.requests).sum();
            if failed > 0 {
                writeln!(text, "\n**{}: {failed} of {all} requests failed.**", target.title)?;
            }
        }
        let logged = self.targets.iter().flat_map(|target| &target.samples).filter_map(|sample| sample.logged);
        if let Some(logged) = Spread::of(logged) {
            // Rounded down: it is a hundred only if nothing is missing.
            let percent = (logged.min * 1000.0).floor() / 10.0;
            writeln!(
                text,
                "\nIn every round at least {percent:.1} % of Wharf's requests had a line in the access log."
            )?;
        }
        if let (Some(others), Some(steal)) = (&self.others_percent, &self.steal_percent) {
            writeln!(
                text,
                "Meanwhile other programs used {:.1} % of the machine's CPU time (at most {:.1} % in a round), the \
                 hypervisor took {:.1} % (at most {:.1} %).\n",
                others.median.max(0.0),
                others.max.max(0.0),
                steal.median,
                steal.max
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Noise;

    fn target(key: &'static str, rates: [f64; 3]) -> Measured {
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
        let targets = vec![target(WHARF, [200.0, 20.0, 202.0]), target(WASMTIME, [100.0, 10.0, 101.0])];
        let phase = Phase::new("one core", "server on one".to_owned(), 3, targets);
        let [ratio] = phase.ratios.as_slice() else { unreachable!("{:?}", phase.ratios) };
        assert_eq!(ratio.requests_per_second, Spread { median: 2.0, min: 2.0, max: 2.0 });
        assert_eq!(ratio.cpu_per_request.median, 0.5);
    }
}
