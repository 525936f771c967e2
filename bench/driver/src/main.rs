//! `wharf-bench`: measures Wharf beside its peers on one machine. Started by `run.sh`, which builds what it compares.
//!
//! All targets run at the same time, but only one is awake: the others are stopped while it is measured, so that
//! rounds can alternate (A B C A B C …) without paying for start and warm-up each time and without anybody's
//! background work in somebody else's numbers.

mod interrupt;
mod load;
mod report;
mod server;
mod stats;
mod system;
mod target;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::interrupt::Interrupt;
use crate::load::{Load, Sample};
use crate::report::{LoadSettings, Measured, Phase, Report, Version};
use crate::server::{Server, ensure_same};
use crate::target::Programs;

/// Pause after waking a server, and before it is stopped: what is left in its queues is written.
const SETTLE: Duration = Duration::from_millis(200);
/// Rounds of the second phase, as a share of those of the first: it shows the shape, the first the ratio.
const WHOLE_MACHINE_SHARE: f64 = 0.6;

/// Measures Wharf beside `wasmtime serve` and native hyper.
#[derive(Debug, Parser)]
#[command(name = "just bench", after_help = "Also: --peer-lto builds `wasmtime serve` with the profile of Wharf.")]
struct Cli {
    /// Rounds for each target with the server on one core; the whole machine gets three fifths of it
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Length of a round
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Keep-alive connections
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Two rounds of one second: does it work, not how fast is it
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Name of the files in bench/results/; without it --quick keeps nothing
    #[arg(long, value_parser = plain)]
    name: Option<String>,
    /// Only look at the flags
    #[arg(long, hide = true)]
    check: bool,
    #[command(flatten)]
    given: Given,
}

/// What `run.sh` adds.
#[derive(Debug, clap::Args)]
struct Given {
    #[arg(long, hide = true)]
    wharf: PathBuf,
    #[arg(long, hide = true)]
    wasmtime: PathBuf,
    #[arg(long, hide = true)]
    native: PathBuf,
    #[arg(long, hide = true)]
    component: PathBuf,
    /// The folder `bench`
    #[arg(long, hide = true)]
    home: PathBuf,
    /// How the peer was built
    #[arg(long, hide = true)]
    wasmtime_build: String,
    /// Commit of what is measured
    #[arg(long, hide = true)]
    revision: String,
}

/// A name that is a file's name everywhere.
fn plain(name: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(fits) { Ok(name.to_owned()) } else { Err("use letters, digits, - and _") }
}

/// Where server and load run.
struct Place {
    title: &'static str,
    description: String,
    server: Option<usize>,
    load: Option<usize>,
    threads: u32,
    rounds: u32,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Progress, for whoever watches.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {text}");
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    if cli.check {
        return Ok(());
    }
    let given = &cli.given;
    let (rounds, seconds) = if cli.quick { (2, 1) } else { (cli.rounds, cli.seconds) };
    let warm_up = seconds.min(2);
    let interrupt = Interrupt::listen()?;
    // Held until the end.
    let _alone = alone()?;
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;

    let mut answer_bytes = 0;
    let mut phases = Vec::new();
    for place in places(rounds)? {
        let folder = scratch.path().join(format!("{}", phases.len()));
        fs::create_dir(&folder)?;
        let programs = Programs {
            wharf: &given.wharf,
            wasmtime: &given.wasmtime,
            native: &given.native,
            component: &given.component,
            scratch: &folder,
        };
        say(&format!("{}: {}", place.title, place.description));
        let (servers, bytes) = start(&programs, place.server, &interrupt)?;
        answer_bytes = bytes;
        let script = given.home.join("wrk.lua");
        let load = Load {
            script: &script,
            connections: cli.connections,
            threads: place.threads.min(cli.connections),
            cpu: place.load,
            interrupt: &interrupt,
        };
        phases.push(measure(&servers, &load, place, seconds, warm_up)?);
    }

    let report = Report {
        machine: system::machine()?,
        versions: versions(given)?,
        load: LoadSettings {
            connections: cli.connections,
            seconds_per_round: seconds,
            warm_up_seconds: warm_up,
            answer_bytes,
        },
        phases,
    };
    write!(std::io::stdout(), "\n{}", report.tables()?)?;
    let name = cli.name.as_deref().or((!cli.quick).then_some("greeter"));
    name.map_or(Ok(()), |name| keep(&report, &given.home.join("results"), name))
}

/// Two measurements at once would measure each other.
fn alone() -> anyhow::Result<File> {
    let lock = std::env::temp_dir().join("wharf-bench.lock");
    let lock = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    lock.try_lock().context("another measurement is running on this machine")?;
    Ok(lock)
}

/// The server alone on a core, then everything everywhere.
fn places(rounds: u32) -> anyhow::Result<Vec<Place>> {
    let cpus = system::cpus()?;
    let whole = Place {
        title: "whole machine",
        description: format!("Server and load together on all {} CPUs", cpus.len()),
        server: None,
        load: None,
        threads: u32::try_from(cpus.len()).unwrap_or(1),
        rounds,
    };
    let Some(pinning) = system::pinning(&cpus) else { return Ok(vec![whole]) };
    let shared = if pinning.same_core { ", two threads of the same core" } else { "" };
    let one = Place {
        title: "one core",
        description: format!("The server on one CPU, the load on another{shared}"),
        server: Some(pinning.server),
        load: Some(pinning.load),
        threads: 1,
        rounds,
    };
    let fewer = (f64::from(rounds) * WHOLE_MACHINE_SHARE).ceil() as u32;
    Ok(vec![one, Place { rounds: fewer, ..whole }])
}

/// Starts and checks every target; leaves them all stopped.
fn start(programs: &Programs<'_>, cpu: Option<usize>, interrupt: &Interrupt) -> anyhow::Result<(Vec<Server>, usize)> {
    let (wharf, answer) = Server::start(programs.wharf()?, cpu, programs.scratch, interrupt)?;
    let mut servers = vec![wharf];
    for target in programs.peers(&answer)? {
        let (server, same) = Server::start(target, cpu, programs.scratch, interrupt)?;
        ensure_same(&answer, &same, server.target.title)?;
        servers.push(server);
    }
    for server in &servers {
        server.pause()?;
    }
    Ok((servers, answer.body.len()))
}

fn measure(servers: &[Server], load: &Load<'_>, place: Place, seconds: u32, warm_up: u32) -> anyhow::Result<Phase> {
    let mut idle = Vec::new();
    for server in servers {
        idle.push(system::resident_kib(server.pid())?);
        awake(server, load, warm_up)?;
    }
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); servers.len()];
    for round in 1..=place.rounds {
        for (server, samples) in servers.iter().zip(&mut samples) {
            let sample = awake(server, load, seconds)?;
            say(&format!(
                "{}, round {round} of {}: {:>7.0} requests/s  {}",
                place.title, place.rounds, sample.requests_per_second, server.target.title
            ));
            samples.push(sample);
        }
    }
    let targets = servers.iter().zip(idle).zip(samples).filter_map(|((server, idle), samples)| {
        let target = &server.target;
        Measured::new(target.key, target.title, target.settings.clone(), idle, samples)
    });
    Ok(Phase::new(place.title, place.description, place.rounds, targets.collect()))
}

/// One round with a server that sleeps before and after it.
fn awake(server: &Server, load: &Load<'_>, seconds: u32) -> anyhow::Result<Sample> {
    server.resume()?;
    load.interrupt.wait(SETTLE)?;
    let mut sample = load.round(server, seconds)?;
    load.interrupt.wait(SETTLE)?;
    server.pause()?;
    let lines = server.take_log()?;
    // A request that wrk no longer waited for has a line too.
    sample.logged = server.target.logs.then(|| (lines as f64 / sample.requests as f64).min(1.0));
    Ok(sample)
}

fn versions(given: &Given) -> anyhow::Result<Vec<Version>> {
    let hyper = include_str!("../../Cargo.lock").split("[[package]]").find_map(|package| {
        let version = package.trim_start().strip_prefix("name = \"hyper\"\nversion = \"")?;
        version.split_once('"').map(|(version, _)| version)
    });
    let size = fs::metadata(&given.component)?.len();
    let dist = "fat LTO, one codegen unit, mimalloc";
    Ok(vec![
        Version {
            what: "Wharf",
            version: format!("{}, commit {}; {dist}", said(&given.wharf, "--version")?, given.revision),
        },
        Version {
            what: "`wasmtime serve`",
            version: format!("{}; {}", said(&given.wasmtime, "--version")?, given.wasmtime_build),
        },
        Version { what: "native", version: format!("hyper {}; {dist}", hyper.unwrap_or("?")) },
        Version { what: "component", version: format!("greeter, Rust, wasi:http 0.2, {size} bytes") },
        Version { what: "load", version: said(Path::new("wrk"), "-v")? },
        Version { what: "compiler", version: said(Path::new("rustc"), "--version")? },
    ])
}

/// The first line of what a program says about itself, without its copyright.
fn said(program: &Path, flag: &str) -> anyhow::Result<String> {
    // The exit code means nothing here: wrk's is 1.
    let output =
        Command::new(program).arg(flag).output().with_context(|| format!("cannot run {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default();
    Ok(line.split(" Copyright").next().unwrap_or_default().trim().to_owned())
}

fn keep(report: &Report, folder: &Path, name: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{name}.md")), report.page()?)?;
    fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(report)? + "\n")?;
    say(&format!("written to bench/results/{name}.md and .json"));
    Ok(())
}
