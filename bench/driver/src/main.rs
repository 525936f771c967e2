//! `wharf-bench`: measures Wharf beside its peers on one machine. Started by `run.sh`, which builds what it compares.
//!
//! All targets run at the same time, but only one is awake: the others are stopped while it is measured, so that
//! rounds can alternate (A B C A B C …) without paying for start and warm-up each time and without anybody's
//! background work in somebody else's numbers.

mod given;
mod interrupt;
mod load;
mod part;
mod place;
mod report;
mod server;
mod stats;
mod system;
mod target;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::given::Given;
use crate::interrupt::Interrupt;
use crate::load::{Load, Sample};
use crate::part::{Part, Scene, Stage};
use crate::place::{Place, places};
use crate::report::{LoadSettings, Measured, Phase, Report};
use crate::server::Server;

/// Pause after waking a server, and before it is stopped: what is left in its queues is written.
const SETTLE: Duration = Duration::from_millis(200);

/// Measures Wharf beside its peers, and what its parts cost.
#[derive(Debug, Parser)]
#[command(
    name = "just bench",
    override_usage = "just bench [OPTIONS]",
    after_help = "Also: --only events measures the event log beside Redis Streams; --peer-lto builds `wasmtime serve` \
                  with the profile of Wharf."
)]
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
    /// Only this part; can be given several times
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Name of the files in bench/results/; without it --quick and --only keep nothing
    #[arg(long, value_parser = plain)]
    name: Option<String>,
    /// Only look at the flags, and print what must be there before measuring
    #[arg(long, hide = true)]
    check: bool,
    #[command(flatten)]
    given: Given,
}

/// A name that is a file's name everywhere.
fn plain(name: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(fits) { Ok(name.to_owned()) } else { Err("use letters, digits, - and _") }
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
    let parts: Vec<Part> =
        Part::value_variants().iter().copied().filter(|part| cli.only.is_empty() || cli.only.contains(part)).collect();
    if cli.check {
        let needs: BTreeSet<&str> = parts.iter().flat_map(|part| part.needs()).copied().collect();
        let needs: Vec<&str> = needs.into_iter().collect();
        return Ok(writeln!(std::io::stdout(), "{}", needs.join(" "))?);
    }
    let given = &cli.given;
    let (rounds, seconds) = if cli.quick { (2, 1) } else { (cli.rounds, cli.seconds) };
    let warm_up = seconds.min(2);
    let interrupt = Interrupt::listen()?;
    // Held until the end.
    let _alone = alone()?;
    let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;

    let mut phases = Vec::new();
    for (part, place) in places(&parts, rounds)? {
        let folder = scratch.path().join(format!("{}", phases.len()));
        fs::create_dir(&folder)?;
        say(&format!("{}: {}", place.title, place.description));
        let scene = part.start(&Stage {
            programs: &given.programs(&folder),
            server: place.server,
            load: place.load,
            connections: cli.connections,
            interrupt: &interrupt,
        })?;
        let script = given.home.join("wrk.lua");
        let load = Load {
            script: &script,
            connections: cli.connections,
            threads: place.threads.min(cli.connections),
            cpu: place.load,
            helpers: scene.helpers.iter().map(Server::pid).collect(),
            interrupt: &interrupt,
        };
        let targets = measure(&scene, &load, &place, seconds, warm_up)?;
        phases.push(Phase::new(part, place.title, place.description, scene.answer_bytes, targets));
    }

    let report = Report {
        machine: system::machine()?,
        versions: given.versions(&parts)?,
        load: LoadSettings { connections: cli.connections, seconds_per_round: seconds, warm_up_seconds: warm_up },
        phases,
    };
    write!(std::io::stdout(), "\n{}", report.tables()?)?;
    let name = cli.name.as_deref().or((!cli.quick && cli.only.is_empty()).then_some("greeter"));
    name.map_or(Ok(()), |name| keep(&report, &given.home.join("results"), name))
}

/// Two measurements at once would measure each other.
fn alone() -> anyhow::Result<File> {
    let lock = std::env::temp_dir().join("wharf-bench.lock");
    let lock = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    lock.try_lock().context("another measurement is running on this machine")?;
    Ok(lock)
}

fn measure(scene: &Scene, load: &Load<'_>, place: &Place, seconds: u32, warm_up: u32) -> anyhow::Result<Vec<Measured>> {
    let servers = &scene.servers;
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
                "{}, round {round} of {}: {:>7.0} requests/s, {:>6.1} µs of CPU each  {}",
                place.title,
                place.rounds,
                sample.requests_per_second,
                sample.cpu_micros_per_request,
                server.target.title
            ));
            samples.push(sample);
        }
    }
    let targets = servers.iter().zip(idle).zip(samples).filter_map(|((server, idle), samples)| {
        let target = &server.target;
        Measured::new(target.key, target.title, target.settings.clone(), idle, samples)
    });
    Ok(targets.collect())
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

fn keep(report: &Report, folder: &Path, name: &str) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{name}.md")), report.page()?)?;
    fs::write(folder.join(format!("{name}.json")), serde_json::to_string_pretty(report)? + "\n")?;
    say(&format!("written to bench/results/{name}.md and .json"));
    Ok(())
}
