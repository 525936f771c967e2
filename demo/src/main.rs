//! `just demo`: a day in the shop on a real `wharf`, told as it goes. The exit code is 0 if the books are right, 1 if
//! they are not, 2 if it could not be tried, 130 after ^C. Whatever the end, nothing is left behind.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use wharf_demo::Trouble;
use wharf_demo::checks;
use wharf_demo::day::{self, Settings};
use wharf_demo::folder::Folder;
use wharf_demo::host::Host;
use wharf_demo::story::Story;

/// A day in the shop: orders in two ways, failures on purpose, and the books afterwards.
#[derive(Debug, Parser)]
#[command(name = "wharf-demo", version)]
struct Arguments {
    /// Which orders: the same seed is the same baskets, cards and customers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many orders
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    orders: u64,
    /// Says only how it ended
    #[arg(long)]
    quiet: bool,
    /// Leaves the host running until ^C, so that its links can be opened
    #[arg(long)]
    keep: bool,
    /// The binary of the host; without it, the one beside this program
    #[arg(long, value_name = "FILE")]
    wharf: Option<PathBuf>,
    /// The repository
    #[arg(long, value_name = "DIR", default_value = ".")]
    root: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut story = Story::new(arguments.quiet);
    match run(&arguments, &mut story).await {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => {
            story.end(&format!("the demonstration could not go on: {trouble}"));
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: &Arguments, story: &mut Story) -> Result<u8, Trouble> {
    let io = |what: &'static str| move |source| Trouble::Io { what: what.to_owned(), source };
    let mut terminated = signal(SignalKind::terminate()).map_err(io("signals"))?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(io("signals"))?;
    let mut stopped = async || {
        tokio::select! { _ = terminated.recv() => {}, _ = interrupted.recv() => {} }
    };
    let dir = tempfile::Builder::new().prefix("wharf-demo-").tempdir().map_err(io("a temporary folder"))?;
    let beside = || std::env::current_exe().map(|own| own.with_file_name("wharf"));
    let binary = arguments.wharf.clone().map_or_else(beside, Ok).map_err(io("the binary of the host"))?;
    let binary = binary.canonicalize().map_err(io("the binary of the host (`--wharf FILE`)"))?;
    let mut folder = Folder::lay_out(dir.path(), &arguments.root, true)?;
    day::prepare(&mut folder)?;
    story.progress("the host starts, and compiles ten components");
    let started = tokio::select! {
        started = Host::start(&binary, folder) => started?,
        () = stopped() => return Ok(130),
    };
    let mut host = started;
    let settings = Settings { seed: arguments.seed, orders: usize::try_from(arguments.orders).unwrap_or(usize::MAX) };
    let outcome = tokio::select! {
        outcome = day::run(&mut host, story, settings) => outcome,
        () = stopped() => {
            story.end("stopped");
            host.stop().await?;
            return Ok(130);
        }
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(trouble) => {
            story.end(&host.last_lines(20));
            // What went wrong first is what is told; the host ends with this program in any case.
            let _ = host.kill().await;
            return Err(trouble);
        }
    };
    let broken = checks::broken(&outcome.checks);
    broken.iter().for_each(|why| story.end(&format!("BROKEN {why}")));
    let again = format!("--seed {} --orders {}", arguments.seed, arguments.orders);
    story.end(&match broken.len() {
        0 => format!("\nthe books are right: {} checks ({again})", outcome.checks.len()),
        count => format!("\nthe books are wrong in {count} places ({again})"),
    });
    if arguments.keep {
        story.end(&format!("\nthe shop stays open until ^C; its operators' side is {}", host.admin().url("/")));
        story.end(&format!("TOKEN={}", outcome.token));
        let orders = host.gateway().url("/api/orders");
        story.end(&format!("curl -H \"authorization: Bearer $TOKEN\" {orders}"));
        stopped().await;
    }
    host.stop().await?;
    Ok(u8::from(!broken.is_empty()))
}
