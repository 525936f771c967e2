//! A running target: started, found by the address it prints, checked, paused while others are measured, ended.
//!
//! Only processes started here are ever signalled, through the handle of the child, so the id cannot be somebody
//! else's. A server is asked to end and, if it does not within [`GRACE`], killed; also when the run fails.

use std::fs::{self, File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::interrupt::Interrupt;
use crate::target::{Answer, Target};

/// Time to print an address and to answer, compiling included.
const START: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);

pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) target: Target,
    pub(crate) url: String,
    pub(crate) address: Option<SocketAddr>,
    /// File with the body that every answer must have; none if nobody looks.
    pub(crate) body: Option<PathBuf>,
}

impl Server {
    /// Starts a target on one CPU or, without, on all; returns when it has answered.
    pub(crate) fn start(
        target: Target,
        cpu: Option<usize>,
        scratch: &Path,
        interrupt: &Interrupt,
    ) -> anyhow::Result<(Self, Answer)> {
        let log = scratch.join(target.key).with_extension("log");
        // Appending, so that a log that is cut short goes on at its new end.
        File::create(&log)?;
        let out = OpenOptions::new().append(true).open(&log)?;
        let child = on_cpu(&target.program, cpu)
            .args(&target.arguments)
            .current_dir(scratch)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("cannot start {}", target.program.display()))?;
        let address = target.address;
        let mut server = Self { child, log, target, url: String::new(), address, body: None };
        let answer = server.wait_for_answer(interrupt)?;
        if server.target.exact {
            let body = server.log.with_extension("body");
            fs::write(&body, &answer.body)?;
            server.body = Some(body);
        }
        Ok((server, answer))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Holds it: it uses no CPU until it is resumed.
    pub(crate) fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    pub(crate) fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Lines of the log since this was asked last. They are thrown away: some tens of megabytes a round.
    pub(crate) fn take_log(&self) -> anyhow::Result<u64> {
        let log = fs::read(&self.log)?;
        OpenOptions::new().write(true).open(&self.log)?.set_len(0)?;
        Ok(log.iter().filter(|byte| **byte == b'\n').count() as u64)
    }

    /// What all of them must have in common, or the comparison is none.
    pub(crate) fn ensure_answers(&self, expected: &Answer, answer: &Answer) -> anyhow::Result<()> {
        let title = self.target.title;
        ensure!(expected == answer, "{title} answers something else than the others: {answer:?}, not {expected:?}");
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("not a process id")?;
        Ok(kill_process(pid, signal)?)
    }

    fn wait_for_answer(&mut self, interrupt: &Interrupt) -> anyhow::Result<Answer> {
        let agent = ureq::Agent::config_builder().timeout_global(Some(START)).build().new_agent();
        let started = Instant::now();
        let mut last = String::from("it printed no address");
        while started.elapsed() < START {
            let log = fs::read_to_string(&self.log)?;
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}:\n{log}", self.target.title);
            }
            self.address = self.address.or_else(|| address(&log));
            if let Some(address) = self.address {
                self.url = format!("http://{address}{}", self.target.path);
                match agent.get(&self.url).call() {
                    Ok(mut response) => {
                        let content_type = response.headers().get("content-type");
                        let content_type = content_type.map(|it| it.to_str().map(str::to_owned)).transpose()?;
                        return Ok(Answer { content_type, body: response.body_mut().read_to_vec()? });
                    }
                    Err(error) => last = error.to_string(),
                }
            }
            interrupt.wait(POLL)?;
        }
        bail!("{} does not answer: {last}", self.target.title)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Errors: it has ended already.
        let _ = self.resume();
        let _ = self.signal(Signal::TERM);
        end(&mut self.child, GRACE);
    }
}

/// Waits until a child has ended; kills it when that takes too long.
pub(crate) fn end(child: &mut Child, grace: Duration) {
    let asked = Instant::now();
    while let Ok(None) = child.try_wait() {
        if asked.elapsed() >= grace {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::park_timeout(POLL);
    }
}

/// A command that runs on one CPU, or on all.
pub(crate) fn on_cpu(program: &Path, cpu: Option<usize>) -> Command {
    match cpu {
        Some(cpu) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(cpu.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// The first address with a port in what a server printed.
fn address(log: &str) -> Option<SocketAddr> {
    const LOOPBACK: &str = "127.0.0.1:";
    log.match_indices(LOOPBACK).find_map(|(start, _)| {
        let from = log.get(start..)?;
        let port = from.get(LOOPBACK.len()..)?;
        let digits = port.find(|c: char| !c.is_ascii_digit())?;
        from.get(..LOOPBACK.len() + digits)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_every_form_of_log() {
        let at = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(address("Serving HTTP on http://127.0.0.1:4711/\n"), at(4711));
        assert_eq!(address(r#"{"address":"127.0.0.1:81","admin":"127.0.0.1:82"}"#), at(81));
        assert_eq!(address("listening on 127.0.0.1:47"), None, "the rest of the port may follow");
        assert_eq!(address("no address yet"), None);
    }
}
