//! Kills a process in the middle of transactions, again and again: what it answered is there, what it did not is there
//! completely or not at all.
//!
//! The process is this test binary, which runs [`child`] and nothing else.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a process of its own, and one thread that waits for it"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::state::sql_contract::{SETTINGS, event, execute, number, query};
use crate::state::sqlite::SqliteState;
use crate::state::{Outboxes, SqlEngine, SqlValue};

const KILLS: u32 = 250;
/// The test is over after this time, however many kills there were.
const TIME: Duration = Duration::from_secs(90);
const DIRECTORY: &str = "WHARF_TEST_SQL_CRASH";
const ACCOUNTS: i64 = 10;

/// Moves money until it is killed, and says each move that was committed. Does nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let state = SqliteState::new(directory);
    let database = state.database("orders", SETTINGS);
    for n in number(&database, "SELECT coalesce(max(id), 0) + 1 FROM moves").await.. {
        let transaction = database.begin().await.unwrap();
        let id = [SqlValue::Integer(n)];
        for statement in [
            "UPDATE accounts SET balance = balance - 1 WHERE id = ?1 % 10",
            "INSERT INTO moves VALUES (?1, zeroblob(5000))",
            "UPDATE accounts SET balance = balance + 1 WHERE id = (?1 + 1) % 10",
        ] {
            transaction.execute(statement.to_owned(), id.to_vec()).await.unwrap();
        }
        transaction.publish(vec![event(&n.to_string())]).await.unwrap();
        transaction.commit().await.unwrap();
        println!("\ncommitted {n}");
    }
}

/// Starts the child, kills it after a while, and says what it had committed.
fn run_and_kill(directory: &Path, after: Duration) -> BTreeSet<i64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["state::sqlite::sql::crash::child", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reader = std::thread::spawn(move || {
        lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("committed ").and_then(|n| n.parse().ok()))
            .collect::<BTreeSet<i64>>()
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_survives_hundreds_of_kills() {
    if std::env::var(DIRECTORY).is_ok() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let state = SqliteState::new(root.path());
    let database = state.database("orders", SETTINGS);
    execute(&database, "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)").await.unwrap();
    execute(&database, "CREATE TABLE moves (id INTEGER PRIMARY KEY, filler BLOB)").await.unwrap();
    for id in 0..ACCOUNTS {
        execute(&database, &format!("INSERT INTO accounts VALUES ({id}, 1000)")).await.unwrap();
    }
    drop(database);
    let begun = Instant::now();
    let (mut kills, mut committed) = (0, 0);
    while kills < KILLS && begun.elapsed() < TIME {
        let after = Duration::from_millis(15 + u64::from(kills * 7919 % 60));
        let directory = root.path().to_path_buf();
        let said = tokio::task::spawn_blocking(move || run_and_kill(&directory, after)).await.unwrap();
        committed += said.len();
        kills += 1;

        let database = state.database("orders", SETTINGS);
        let there: BTreeSet<i64> = query(&database, "SELECT id FROM moves")
            .await
            .unwrap()
            .iter()
            .map(|row| match row[0] {
                SqlValue::Integer(id) => id,
                ref other => panic!("{other:?}"),
            })
            .collect();
        assert!(said.is_subset(&there), "kill {kills}: {:?} are lost", said.difference(&there).collect::<Vec<_>>());
        // At most the one in the middle of its commit is there without having been answered.
        let last = said.last().copied();
        assert!(last.is_none_or(|last| there.range(last + 1..).count() <= 1), "kill {kills}");
        assert_eq!(number(&database, "SELECT sum(balance) FROM accounts").await, ACCOUNTS * 1000, "kill {kills}");
        assert_eq!(
            number(&database, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'").await,
            0
        );
        // The outbox has the events of exactly those moves.
        let outbox = state.outbox("orders");
        let mut events = BTreeSet::new();
        loop {
            let waiting = outbox.waiting(1000).await.unwrap();
            if waiting.is_empty() {
                break;
            }
            events.extend(waiting.iter().map(|(_, event)| event.id.parse::<i64>().unwrap()));
            outbox.published(waiting.iter().map(|(number, _)| *number).collect()).await.unwrap();
        }
        assert_eq!(events, there, "kill {kills}");
        // The child counts on from the last one, which needs an event again.
        if let Some(last) = there.last() {
            let transaction = database.begin().await.unwrap();
            transaction.execute(format!("DELETE FROM moves WHERE id < {last}"), Vec::new()).await.unwrap();
            transaction.publish(vec![event(&last.to_string())]).await.unwrap();
            transaction.commit().await.unwrap();
        }
    }
    assert!(kills > 20 && committed > 20, "{kills} kills in {:?}, {committed} commits", begun.elapsed());
    println!("{kills} kills, {committed} commits");
}
