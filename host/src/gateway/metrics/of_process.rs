//! What the operating system knows of the process, under the names that every Prometheus client library gives it, so
//! that dashboards made for others work here.
//!
//! Read from `/proc`, which is memory of the kernel and no disk: nobody is blocked. Where there is no `/proc`, or it
//! says something else than expected, a family has no series; a number is never made up.

use std::fmt::Error;
use std::fs;
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use rustix::process::{Resource, getrlimit};

use super::page::{Family, Format, Page, Value};

/// The unit of times in `/proc`: 100 a second on every architecture that Rust has a standard library for, whatever the
/// kernel's own is.
const TICKS: f64 = 100.0;
const KIB: u64 = 1024;

const CPU: Family<0> = Family {
    name: "process_cpu_seconds",
    help: "CPU time of the process, in user mode and in the kernel.",
    labels: [],
};
const RESIDENT: Family<0> =
    Family { name: "process_resident_memory_bytes", help: "Memory of the process that is in RAM.", labels: [] };
const VIRTUAL: Family<0> =
    Family { name: "process_virtual_memory_bytes", help: "Address space of the process.", labels: [] };
const OPEN: Family<0> = Family { name: "process_open_fds", help: "File descriptors that are open.", labels: [] };
const MOST: Family<0> = Family { name: "process_max_fds", help: "File descriptors that may be open.", labels: [] };
const START: Family<0> =
    Family { name: "process_start_time_seconds", help: "When the process started, in seconds since 1970.", labels: [] };

/// Writes them.
#[derive(Debug)]
pub(super) struct Process(pub(super) Format);

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page::new(encoder, self.0);
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let cpu = cpu_seconds(&stat).map(|seconds| ([], Value::Sum(seconds)));
        page.family(&CPU, MetricType::Counter, cpu)?;
        page.gauges(&RESIDENT, kib(&status, "VmRSS:").map(|bytes| ([], bytes)))?;
        page.gauges(&VIRTUAL, kib(&status, "VmSize:").map(|bytes| ([], bytes)))?;
        page.gauges(&OPEN, open_files().map(|count| ([], count)))?;
        page.gauges(&MOST, getrlimit(Resource::Nofile).current.map(|most| ([], most as f64)))?;
        let started = field(&stat, 22).zip(boot()).map(|(ticks, boot)| boot + ticks / TICKS);
        page.gauges(&START, started.map(|at| ([], at)))
    }
}

/// The field of `/proc/self/stat` with this number, as `proc(5)` counts them. The second one, the name of the program,
/// may hold anything, also spaces and brackets.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn kib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.saturating_mul(KIB) as f64)
}

fn open_files() -> Option<f64> {
    // The one that lists them is one of them.
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(listed.saturating_sub(1) as f64)
}

/// When the machine started. Asked once: on a machine with many cores the kernel adds up a lot for this file.
fn boot() -> Option<f64> {
    static BOOT: OnceLock<Option<f64>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 3 0 9000 1000 10";
        assert_eq!(cpu_seconds(stat), Some(4.0));
        assert_eq!(field(stat, 22), Some(9000.0));
        for cut in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4194304 100 0 0 0 x 150 0"] {
            assert_eq!(cpu_seconds(cut), None, "{cut}");
        }
    }

    #[test]
    fn memory_is_told_in_bytes() {
        let status = "Name:\tVmRSS:\nVmSize:\t    2048 kB\nVmRSS:\t     100 kB\n";
        assert_eq!((kib(status, "VmRSS:"), kib(status, "VmSize:")), (Some(102_400.0), Some(2_097_152.0)));
        assert_eq!(kib("VmRSS:\t 100 pages", "VmRSS:"), None);
    }
}
