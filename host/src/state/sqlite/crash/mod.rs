//! Kills a process that uses the event log or the queues at random instants, hundreds of times, and looks at what it
//! leaves behind.
//!
//! The victim is this test binary, started again with the name of the hidden test [`child`]. It says on its standard
//! output what it was answered; the pipe keeps that when it dies. After each few kills the file is opened and compared
//! with what was said. The next victim goes on where the last one was, and begins with what was not answered.
//!
//! `WHARF_CRASH_KILLS` is the number of kills. Without it there are [`KILLS`], or as many as [`BUDGET`] is enough for.

mod events;
mod queues;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const KILLS: u32 = 300;
const BUDGET: Duration = Duration::from_secs(30);
/// Kills of processes that use the same file, one after the other.
const KILLS_OF_A_FILE: u32 = 20;
const CHILD: &str = "WHARF_CRASH_CHILD";

/// What is tested: who is started, and what must be true of what it leaves.
trait Subject {
    /// Which of the children it is.
    const ROLE: &'static str;
    /// Everything that was said about one file.
    type Said: Default;

    /// What the next child has to know.
    fn next(said: &Self::Said) -> String;
    /// A line that a child said.
    fn hear(said: &mut Self::Said, line: &str);
    /// Checks the file.
    fn check(root: &Path, said: &Self::Said);
    /// How much was said, to see that the test does something.
    fn count(said: &Self::Said) -> usize;
}

/// Says something to the parent.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@{line}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[test]
#[ignore = "the victim of the crash tests, which start it"]
fn child() {
    let Some(task) = std::env::var_os(CHILD) else { return };
    let task = task.into_string().unwrap();
    let mut words = task.splitn(3, '|');
    let (role, root, next) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match role {
        events::Events::ROLE => runtime.block_on(events::child(Path::new(root), next)),
        queues::Queues::ROLE => runtime.block_on(queues::child(Path::new(root), next)),
        other => panic!("{other}"),
    }
}

/// Kills children until it is enough.
fn kill_many<S: Subject>() {
    let asked: Option<u32> =
        std::env::var_os("WHARF_CRASH_KILLS").map(|kills| kills.to_str().unwrap().parse().unwrap());
    let start = Instant::now();
    let (mut kills, mut count) = (0, 0);
    let enough = |kills: u32| match asked {
        Some(asked) => kills >= asked,
        None => kills >= KILLS || start.elapsed() > BUDGET,
    };
    while !enough(kills) {
        let root = tempfile::tempdir().unwrap();
        let mut said = S::Said::default();
        for kill in 1..=KILLS_OF_A_FILE {
            run_and_kill::<S>(root.path(), &mut said);
            kills += 1;
            // Not after every kill: opening the file brings it in order, and the next victim should find it as it is.
            if kill % 4 == 0 || enough(kills) {
                S::check(root.path(), &said);
            }
            if enough(kills) {
                break;
            }
        }
        count += S::count(&said);
    }
    println_count(kills, count);
    assert!(kills >= asked.unwrap_or(20), "only {kills} kills in {BUDGET:?}");
    assert!(count > kills as usize, "{kills} kills of processes that got nothing done: {count}");
}

#[expect(clippy::print_stdout, reason = "shown when the test is run by hand")]
fn println_count(kills: u32, count: usize) {
    println!("{kills} kills, {count} answers");
}

fn run_and_kill<S: Subject>(root: &Path, said: &mut S::Said) {
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("{module}::child"), "--exact", "--ignored", "--nocapture"])
        .env(CHILD, format!("{}|{}|{}", S::ROLE, root.display(), S::next(said)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut hear = |line: &str| {
        let said_line = line.strip_suffix('\n').and_then(|line| line.strip_prefix('@'));
        // A line counts only if it was said to its end.
        said_line.inspect(|line| S::hear(said, line)).is_some()
    };
    // One in four dies while it starts, the others some time after their first answer.
    if fastrand::u8(..4) > 0 {
        let mut line = String::new();
        while out.read_line(&mut line).unwrap() > 0 && !hear(&line) {
            line.clear();
        }
    }
    std::thread::scope(|scope| {
        let heard = scope.spawn(move || {
            let mut all = String::new();
            out.read_to_string(&mut all).unwrap();
            all
        });
        #[expect(clippy::disallowed_methods, reason = "a thread of its own")]
        std::thread::sleep(Duration::from_micros(fastrand::u64(..40_000)));
        assert!(child.try_wait().unwrap().is_none(), "the victim ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        for line in heard.join().unwrap().split_inclusive('\n') {
            hear(line);
        }
    });
}

#[test]
fn killed_publishers_and_subscribers_lose_nothing() {
    kill_many::<events::Events>();
}

#[test]
fn killed_senders_and_receivers_lose_nothing() {
    kill_many::<queues::Queues>();
}
