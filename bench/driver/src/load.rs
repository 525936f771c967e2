//! One round: `wrk` against one server, and what both cost meanwhile.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::interrupt::Interrupt;
use crate::server::{Server, end, on_cpu};
use crate::system::{self, Bystanders, Noise};

/// How long after its time wrk may still be at it.
const LATE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// How to generate load.
pub(crate) struct Load<'a> {
    pub(crate) script: &'a Path,
    pub(crate) connections: u32,
    pub(crate) threads: u32,
    /// The CPU it is held on.
    pub(crate) cpu: Option<usize>,
    /// Processes that work for the server: neither it nor bystanders.
    pub(crate) helpers: Vec<u32>,
    pub(crate) interrupt: &'a Interrupt,
}

/// What one round showed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    /// How many of them got no answer within 2 s, a broken connection, an error status or, if all are read, another
    /// body.
    pub(crate) failed: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) cpu_micros_per_request: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    pub(crate) resident_kib: u64,
    /// Share of the requests that have a line in the access log, where there is one.
    pub(crate) logged: Option<f64>,
    pub(crate) noise: Noise,
}

/// The line that the script prints.
#[derive(Debug, Deserialize)]
struct Measured {
    requests: u64,
    micros: u64,
    p50: u64,
    p99: u64,
    failed: u64,
}

/// Ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.0, Duration::ZERO);
    }
}

impl Load<'_> {
    /// Loads a server for some whole seconds.
    ///
    /// # Errors
    /// When more than one request of a hundred fails: such a round is no measurement.
    pub(crate) fn round(&self, server: &Server, seconds: u32) -> anyhow::Result<Sample> {
        let bystanders = Bystanders::watch(server.pid(), &self.helpers)?;
        let cpu_before = system::cpu_time(server.pid())?;
        let mut wrk = self.start(server, seconds)?;

        let time = Duration::from_secs(seconds.into());
        self.interrupt.wait(time.mul_f64(0.8))?;
        let resident_kib = system::resident_kib(server.pid())?;
        let deadline = Instant::now() + time + LATE;
        while wrk.0.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "wrk does not end");
            self.interrupt.wait(POLL)?;
        }

        let cpu = system::cpu_time(server.pid())?.saturating_sub(cpu_before);
        let noise = bystanders.seen()?;
        let mut output = String::new();
        wrk.0.stdout.take().context("wrk has no output")?.read_to_string(&mut output)?;
        let measured = measured(&output)?;
        if measured.failed > measured.requests / 100 || measured.requests == 0 {
            bail!("{}: {} of {} requests failed", server.target.title, measured.failed, measured.requests);
        }
        let requests = measured.requests as f64;
        Ok(Sample {
            requests: measured.requests,
            failed: measured.failed,
            requests_per_second: requests * 1e6 / measured.micros as f64,
            cpu_micros_per_request: cpu.as_secs_f64() * 1e6 / requests,
            p50_micros: measured.p50 as f64,
            p99_micros: measured.p99 as f64,
            resident_kib,
            logged: None,
            noise,
        })
    }

    fn start(&self, server: &Server, seconds: u32) -> anyhow::Result<Running> {
        let mut command = on_cpu(Path::new("wrk"), self.cpu);
        command
            .arg(format!("-t{}", self.threads))
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{seconds}s"))
            .arg("-s")
            .arg(self.script)
            .arg(&server.url)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(body) = &server.body {
            command.arg("--").arg(body);
        }
        Ok(Running(command.spawn().context("cannot start wrk")?))
    }
}

fn measured(output: &str) -> anyhow::Result<Measured> {
    let line = output.lines().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("wrk did not say what it measured:\n{output}"))?;
    serde_json::from_str(line).with_context(|| format!("not what the script prints: {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_script_prints_is_found_among_the_rest() {
        let output = "Running 1s test\n{\"requests\":10,\"micros\":5,\"p50\":1,\"p99\":2,\"failed\":0}\n";
        let found = measured(output).unwrap();
        assert_eq!((found.requests, found.micros, found.p50, found.p99, found.failed), (10, 5, 1, 2, 0));
        assert!(measured("unable to connect").is_err());
    }
}
