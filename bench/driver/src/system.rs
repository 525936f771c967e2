//! What the kernel knows: CPU time and memory of a process, who else uses the machine, and what machine it is.
//!
//! Everything is read from `/proc` and `/sys`. Names of hosts, users and folders are never read, so they cannot get
//! into a result.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::thread::{CpuSet, sched_getaffinity};
use serde::Serialize;

/// CPU time that a process has used so far, user and system, all its threads.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let [user, system, ..] = process_times(&pid.to_string())?;
    Ok(ticks(user + system))
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    kib_field(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// User, system, and the same of the children that ended, in ticks.
fn process_times(pid: &str) -> anyhow::Result<[u64; 4]> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name in parentheses may hold anything; what follows it does not. The state is the first field there.
    let (_, fields) = stat.rsplit_once(')').context("unexpected format of a process's stat")?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse);
    let mut next = || Ok::<_, anyhow::Error>(times.next().context("a process's stat is too short")??);
    Ok([next()?, next()?, next()?, next()?])
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs(count) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100)
}

fn kib_field(path: &str, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("{path} has no {name}"))?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// Finds out how busy the machine was with other things than the measurement.
pub(crate) struct Bystanders {
    /// The server and its helpers.
    part: Vec<u32>,
    start: Reading,
}

struct Reading {
    at: Instant,
    /// All programs together.
    busy: Duration,
    steal: Duration,
    /// The server, its helpers, and the driver with the load generators that have ended.
    ours: Duration,
}

/// Share of the whole machine's CPU time, in percent.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Noise {
    /// Used by other programs.
    pub(crate) others: f64,
    /// Taken away by the hypervisor.
    pub(crate) steal: f64,
}

impl Bystanders {
    pub(crate) fn watch(server: u32, helpers: &[u32]) -> anyhow::Result<Self> {
        let part = [&[server], helpers].concat();
        Ok(Self { start: Reading::take(&part)?, part })
    }

    /// To be asked when the load generator has ended and was waited for.
    pub(crate) fn seen(&self) -> anyhow::Result<Noise> {
        let now = Reading::take(&self.part)?;
        let before = &self.start;
        let all = (now.at - before.at).as_secs_f64() * cpus()?.len() as f64;
        let busy = now.busy.saturating_sub(before.busy).saturating_sub(now.ours.saturating_sub(before.ours));
        let percent = |time: Duration| 100.0 * time.as_secs_f64() / all;
        Ok(Noise { others: percent(busy), steal: percent(now.steal.saturating_sub(before.steal)) })
    }
}

impl Reading {
    fn take(part: &[u32]) -> anyhow::Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let line = stat.lines().next().unwrap_or_default();
        let times: Vec<u64> = line.split_whitespace().skip(1).map(str::parse).collect::<Result<_, _>>()?;
        let [user, nice, system, _idle, _io, _interrupts, _soft, steal, ..] = times.as_slice() else {
            anyhow::bail!("unexpected format of /proc/stat");
        };
        let own: u64 = process_times("self")?.iter().sum();
        let mut ours = ticks(own);
        for pid in part {
            ours += cpu_time(*pid)?;
        }
        Ok(Self { at: Instant::now(), busy: ticks(user + nice + system), steal: ticks(*steal), ours })
    }
}

/// The CPUs that this process may use.
pub(crate) fn cpus() -> anyhow::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    ensure!(!cpus.is_empty(), "no CPU may be used");
    Ok(cpus)
}

/// One CPU for the server and one for the load, on different cores if there are such.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pinning {
    pub(crate) server: usize,
    pub(crate) load: usize,
    /// They are two threads of one core and slow each other down.
    pub(crate) same_core: bool,
}

/// None with a single CPU.
pub(crate) fn pinning(cpus: &[usize]) -> Option<Pinning> {
    let [server, others @ ..] = cpus else { return None };
    let siblings = fs::read_to_string(format!("/sys/devices/system/cpu/cpu{server}/topology/thread_siblings_list"));
    let siblings = listed(siblings.unwrap_or_default().trim());
    let apart = others.iter().find(|cpu| !siblings.contains(cpu));
    let load = apart.or(others.first())?;
    Some(Pinning { server: *server, load: *load, same_core: apart.is_none() })
}

/// The numbers in a list like `0-3,8,10-11`.
fn listed(list: &str) -> Vec<usize> {
    list.split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
        .collect()
}

/// What the numbers depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) virtual_machine: bool,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
}

pub(crate) fn machine() -> anyhow::Result<Machine> {
    let info = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim())
    };
    Ok(Machine {
        cpu: field("model name").unwrap_or(std::env::consts::ARCH).to_owned(),
        cpus: cpus()?.len(),
        virtual_machine: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        memory_mib: kib_field("/proc/meminfo", "MemTotal:")? / 1024,
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_computes_uses_cpu_time_and_memory() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(100) {
            std::hint::black_box(started);
        }
        let used = cpu_time(pid).unwrap() - before;
        assert!(used >= Duration::from_millis(20) && used < Duration::from_secs(10), "{used:?}");
        assert!(resident_kib(pid).unwrap() > 100);
    }

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(listed("0-2,5"), [0, 1, 2, 5]);
        assert!(listed("").is_empty());
    }

    #[test]
    fn a_single_cpu_cannot_be_split() {
        assert!(pinning(&[0]).is_none());
        assert!(pinning(&[0, 1]).is_some());
    }
}
