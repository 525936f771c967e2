//! `events`: durable publishes and deliveries of Wharf's event log beside Redis Streams, on the same disk.
//!
//! A closed loop: so many publishers, each of which publishes its next event when the last one is answered, and an answer
//! means that it is on the disk: Wharf's log in this process, as services use it; Redis with `appendfsync always` over
//! loopback, a connection for each publisher. Both are measured in turn, and ratios are formed within a round.
//!
//! A delivery is an event that was read and noted as handled, in pages of [`PAGE`].

mod redis;
mod wharf_log;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

/// Publishers at a time.
const PUBLISHERS: [usize; 3] = [1, 16, 64];
/// Events that are read and noted at a time.
const PAGE: usize = 100;
/// Bytes of an event's data.
const DATA: usize = 256;

/// Measures the event log beside Redis Streams.
#[derive(Debug, Parser)]
struct Cli {
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    #[arg(long, conflicts_with_all = ["rounds", "seconds"])]
    quick: bool,
    /// Name of the files in the results
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    redis: PathBuf,
    /// The folder `bench`; what is measured lies under it, on its disk
    #[arg(long)]
    home: PathBuf,
    /// Commit of what is measured
    #[arg(long)]
    revision: String,
}

/// What is measured in one place, per second: in each round Wharf and Redis.
struct Row {
    title: String,
    rounds: Vec<(f64, f64)>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    tokio::select! {
        done = run(&cli) => done,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

async fn run(cli: &Cli) -> anyhow::Result<()> {
    let (rounds, seconds) = if cli.quick { (2, 1) } else { (cli.rounds, cli.seconds) };
    let span = Duration::from_secs(seconds.into());
    // Not the folder for temporary files: it may be in memory, where nothing is ever synced.
    let under = cli.home.join("target");
    let scratch = tempfile::tempdir_in(&under).with_context(|| format!("cannot write in {}", under.display()))?;
    let log = wharf_log::Log::open(&scratch.path().join("wharf"));
    let redis = redis::Server::start(&cli.redis, &scratch.path().join("redis")).await?;

    let mut rows = Vec::new();
    for publishers in PUBLISHERS {
        let title = format!("publishes, {publishers} at a time");
        let mut row = Row { title, rounds: Vec::new() };
        log.publish(publishers, span.min(Duration::from_secs(1))).await?;
        redis.publish(publishers, span.min(Duration::from_secs(1))).await?;
        for round in 1..=rounds {
            let pair = (log.publish(publishers, span).await?, redis.publish(publishers, span).await?);
            row.push(round, rounds, pair);
        }
        rows.push(row);
    }
    let mut row = Row { title: format!("deliveries, {PAGE} at a time"), rounds: Vec::new() };
    for round in 1..=rounds {
        let pair = (log.deliver(round, span).await?, redis.deliver(round, span).await?);
        row.push(round, rounds, pair);
    }
    rows.push(row);

    let report = Report { rows, rounds, seconds, versions: redis.version().await?, revision: &cli.revision };
    write!(std::io::stdout(), "\n{}", report.page())?;
    if let Some(name) = &cli.name {
        let results = cli.home.join("results");
        std::fs::write(results.join(format!("{name}-events.md")), report.page())?;
        std::fs::write(results.join(format!("{name}-events.json")), report.samples().to_string() + "\n")?;
    }
    Ok(())
}

struct Report<'a> {
    rows: Vec<Row>,
    rounds: u32,
    seconds: u32,
    versions: String,
    revision: &'a str,
}

impl Report<'_> {
    fn page(&self) -> String {
        let mut page = format!(
            "# Events beside Redis Streams\n\nWharf at commit {}; {}, `appendfsync always`. {DATA} bytes of data. \
             Medians of {} rounds of {} s; in brackets the smallest and the largest ratio.\n\n\
             | per second | Wharf | Redis | ratio |\n|---|---|---|---|\n",
            self.revision, self.versions, self.rounds, self.seconds
        );
        for row in &self.rows {
            let ratios: Vec<f64> = row.rounds.iter().map(|(wharf, redis)| wharf / redis).collect();
            let (smallest, largest) =
                ratios.iter().fold((f64::MAX, f64::MIN), |(low, high), ratio| (low.min(*ratio), high.max(*ratio)));
            let wharf = median(row.rounds.iter().map(|(wharf, _)| *wharf));
            let redis = median(row.rounds.iter().map(|(_, redis)| *redis));
            let ratio = median(ratios.into_iter());
            let _ =
                writeln!(page, "| {} | {wharf:.0} | {redis:.0} | {ratio:.2} ({smallest:.2}–{largest:.2}) |", row.title);
        }
        page
    }

    fn samples(&self) -> serde_json::Value {
        let rows = self.rows.iter().map(|row| {
            let samples = row.rounds.iter().map(|(wharf, redis)| serde_json::json!({ "wharf": wharf, "redis": redis }));
            serde_json::json!({ "title": row.title, "perSecond": samples.collect::<Vec<_>>() })
        });
        serde_json::json!({
            "revision": self.revision,
            "redis": self.versions,
            "secondsPerRound": self.seconds,
            "dataBytes": DATA,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn push(&mut self, round: u32, rounds: u32, pair: (f64, f64)) {
        let (wharf, redis) = pair;
        // Progress, for whoever watches.
        let _ = writeln!(
            std::io::stderr(),
            "bench: {}, round {round} of {rounds}: Wharf {wharf:.0}/s, Redis {redis:.0}/s",
            self.title
        );
        self.rounds.push(pair);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.wrapping_sub(1)), at(middle)) }
}
