//! Senders of numbered batches, and receivers that delete most of what they get.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::{Subject, say};
use crate::state::queues::{Message, QueueError, QueueSettings, Queues as _, Receive};
use crate::state::sqlite::SqliteQueues;

const SENDERS: usize = 2;
const RECEIVERS: usize = 2;
const MAX_RECEIVES: u32 = 3;

pub(super) struct Queues;

#[derive(Debug, Default)]
pub(super) struct Said {
    /// Batches that were answered, for each sender.
    sent: [usize; SENDERS],
    /// Messages whose deletion was tried, and answered.
    tried: HashSet<String>,
    deleted: HashSet<String>,
    answers: usize,
}

fn batch_of(sender: usize, batch: usize) -> impl Iterator<Item = String> {
    (0..1 + (sender + batch) % 4).map(move |index| format!("{sender}.{batch}.{index}"))
}

/// Nobody deletes these.
fn is_never_handled(body: &str) -> bool {
    body.ends_with("7.0")
}

/// Uses the queue until it is killed.
pub(super) async fn child(root: &Path, next: &str) {
    let queues = Arc::new(SqliteQueues::open(root));
    crate::state::Queues::configure(
        &*queues,
        "q",
        QueueSettings { max_receives: MAX_RECEIVES, ..QueueSettings::default() },
    );
    let mut tasks = Vec::new();
    for (sender, first) in next.split(',').map(|next| next.parse::<usize>().unwrap()).enumerate() {
        let queues = Arc::clone(&queues);
        tasks.push(tokio::spawn(async move {
            for batch in first.. {
                let messages = batch_of(sender, batch).map(|body| Message {
                    deduplication: Some(body.clone()),
                    body: body.into(),
                    ..Message::default()
                });
                queues.send("q", messages.collect()).await.unwrap();
                say(&format!("s {sender} {batch}"));
            }
        }));
    }
    for _ in 0..RECEIVERS {
        let queues = Arc::clone(&queues);
        tasks.push(tokio::spawn(async move {
            let receive = Receive { max: 4, visibility: Duration::from_millis(30), wait: Duration::from_millis(100) };
            loop {
                for message in queues.receive("q", receive).await.unwrap() {
                    let body = std::str::from_utf8(&message.body).unwrap();
                    if is_never_handled(body) {
                        continue;
                    }
                    say(&format!("t {body}"));
                    match queues.delete("q", &message.receipt).await {
                        Ok(()) => say(&format!("x {body}")),
                        Err(QueueError::Expired) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

impl Subject for Queues {
    const ROLE: &'static str = "queues";
    type Said = Said;

    fn next(said: &Said) -> String {
        said.sent.map(|next| next.to_string()).join(",")
    }

    fn hear(said: &mut Said, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[0] {
            "s" => {
                let next = &mut said.sent[words[1].parse::<usize>().unwrap()];
                assert_eq!(words[2], next.to_string());
                *next += 1;
            }
            "t" => drop(said.tried.insert(words[1].to_owned())),
            "x" => drop(said.deleted.insert(words[1].to_owned())),
            other => panic!("{other}"),
        }
        said.answers += 1;
    }

    fn count(said: &Said) -> usize {
        said.answers
    }

    fn check(root: &Path, said: &Said) {
        let file = Connection::open(root.join("events/queues.sqlite3")).unwrap();
        let text = |sql: &str| file.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(text("PRAGMA integrity_check"), "ok");
        if text("SELECT format('%d', count(*)) FROM sqlite_schema WHERE name = 'queues'") == "0" {
            assert_eq!(said.answers, 0);
            return;
        }
        let bodies = |sql: &str| -> Vec<String> {
            let mut statement = file.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
            rows.map(|body| String::from_utf8(body.unwrap()).unwrap()).collect()
        };
        let alive = bodies("SELECT body FROM bodies JOIN messages USING (id)");
        let dead = bodies("SELECT body FROM bodies JOIN dead USING (id) WHERE attempts = 3");
        let there: HashSet<&String> = alive.iter().chain(&dead).collect();
        assert_eq!(there.len(), alive.len() + dead.len(), "each message is there once");
        assert_eq!(text("SELECT format('%d', count(*)) FROM bodies"), there.len().to_string(), "no body is left over");

        for deleted in &said.deleted {
            assert!(!there.contains(deleted), "{deleted} was deleted and is there again");
        }
        let known = |body: &String| there.contains(body) || said.tried.contains(body);
        for (sender, sent) in said.sent.iter().enumerate() {
            for body in (0..*sent).flat_map(|batch| batch_of(sender, batch)) {
                assert!(known(&body), "{body} was sent and is lost");
                assert!(!is_never_handled(&body) || there.contains(&body), "{body} is lost");
            }
            // One batch may be there though nobody was told, and then all of it.
            let next: Vec<_> = batch_of(sender, *sent).collect();
            let here = next.iter().filter(|body| known(body)).count();
            assert!(here == 0 || here == next.len(), "{next:?} is there in part");
            assert!(!batch_of(sender, sent + 1).any(|body| known(&body)));
        }
        assert_eq!(
            text("SELECT ifnull(max(format('%d %d', bytes, dead_bytes)), '0 0') FROM queues"),
            text(
                "SELECT format('%d %d', (SELECT ifnull(sum(bytes), 0) FROM messages),
                    (SELECT ifnull(sum(bytes), 0) FROM dead))"
            )
        );
    }
}
