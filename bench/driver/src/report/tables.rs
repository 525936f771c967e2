//! The report as Markdown.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::{Figure, LoadSettings, Phase, Ratio, Report, Version};
use crate::stats::Spread;
use crate::system::Machine;

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
        let LoadSettings { connections, seconds_per_round, warm_up_seconds } = &self.load;
        writeln!(
            text,
            "`wrk`, HTTP/1.1 on loopback, {connections} keep-alive connections, each sending its next request when it \
             has its answer.\nRounds of {seconds_per_round} s, targets in turn, after a warm-up of {warm_up_seconds} s \
             each. Numbers are medians of the rounds;\nsmallest and largest in parentheses. How to read them: \
             [README](../README.md).\n"
        )?;
        text.push_str(&self.tables()?);
        text.push_str("## Settings\n\n| target | settings |\n|---|---|\n");
        let mut told = BTreeSet::new();
        for target in self.phases.iter().flat_map(|phase| &phase.targets) {
            if told.insert(target.key) {
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
    fn title_of(&self, key: &str) -> &'static str {
        self.targets.iter().find(|target| target.key == key).map_or("?", |target| target.title)
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        let mut title = self.title.chars();
        let first = title.next().into_iter().flat_map(char::to_uppercase);
        writeln!(
            text,
            "## {}{}\n\n{}. Answers of {} bytes. {} rounds.\n",
            first.collect::<String>(),
            title.as_str(),
            self.cpus,
            self.answer_bytes,
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
        if !self.ratios.is_empty() {
            text.push_str("\n| ratio | requests/s | CPU per request |\n|---|---|---|\n");
        }
        for Ratio { a, b, requests_per_second: requests, cpu_per_request: cpu } in &self.ratios {
            let (a, b) = (self.title_of(a), self.title_of(b));
            writeln!(
                text,
                "| {a} ÷ {b} | **{:.2}** ({:.2}–{:.2}) | {:.2} ({:.2}–{:.2}) |",
                requests.median, requests.min, requests.max, cpu.median, cpu.min, cpu.max
            )?;
        }
        if !self.figures.is_empty() {
            text.push_str("\n| what it is measured for | result | aim |\n|---|---|---|\n");
        }
        for Figure { what, value, aim } in &self.figures {
            let Spread { median, min, max } = *value;
            // Two decimals for ratios and microseconds, none for thousands.
            let decimals = if median.abs() < 1000.0 { 2 } else { 0 };
            let aim = aim.unwrap_or("");
            writeln!(text, "| {what} | **{median:.decimals$}** ({min:.decimals$}–{max:.decimals$}) | {aim} |")?;
        }
        for target in &self.targets {
            let failed: u64 = target.samples.iter().map(|sample| sample.failed).sum();
            let all: u64 = target.samples.iter().map(|sample| sample.requests).sum();
            if failed > 0 {
                writeln!(text, "\n**{}: {failed} of {all} requests failed.**", target.title)?;
            }
        }
        text.push('\n');
        let logged = self.targets.iter().flat_map(|target| &target.samples).filter_map(|sample| sample.logged);
        if let Some(logged) = Spread::of(logged) {
            // Rounded down: it is a hundred only if nothing is missing.
            let percent = (logged.min * 1000.0).floor() / 10.0;
            writeln!(text, "In every round at least {percent:.1} % of Wharf's requests had a line in the access log.")?;
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
