use std::sync::Arc;

use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::state::contract::TestClock;
use crate::state::contract::queues::{Fixture, holds};
use crate::state::contract::queues_model;

/// Empty queues in directories that stay until the end.
#[derive(Default)]
struct Directories(Mutex<Vec<TempDir>>);

impl Fixture for Directories {
    fn empty(&self, clock: &TestClock) -> Arc<dyn Queues> {
        let root = tempfile::tempdir().unwrap();
        let clock = clock.clone();
        let queues = SqliteQueues::with_clock(root.path(), Clock::new(move || clock.now()));
        self.0.lock().unwrap().push(root);
        Arc::new(queues)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    holds(&Directories::default()).await;
}

#[test]
fn sqlite_does_as_the_model() {
    queues_model::holds(&Directories::default());
}

#[tokio::test]
async fn what_is_looked_for_has_an_index() {
    let root = tempfile::tempdir().unwrap();
    let queues = SqliteQueues::open(root.path());
    queues.send("q", vec![Message::default()]).await.unwrap();
    let plans: Result<Vec<String>, QueueError> = queues
        .database
        .read(|connection| {
            let mut plans = Vec::new();
            for sql in [receive::VISIBLE, receive::NEXT, expire::OLD] {
                plans.push(super::super::tests::plan(connection, sql)?);
            }
            Ok(plans)
        })
        .await;
    for plan in plans.unwrap() {
        assert!(plan.contains("INDEX messages_by_time (queue=?") || plan.contains("INDEX messages_by_age (queue=?"));
        assert!(!plan.contains("TEMP B-TREE FOR ORDER BY"), "{plan}");
    }
}

#[tokio::test]
async fn empty_queues_make_room_for_others() {
    let root = tempfile::tempdir().unwrap();
    let queues = SqliteQueues::open(root.path());
    queues.send("kept", vec![Message::default()]).await.unwrap();
    let many: Result<(), QueueError> = queues
        .database
        .write(Sync::Now, 0, |transaction| {
            let many = "WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
                INSERT INTO queues (name, bytes, dead_bytes) SELECT 'q' || n, 0, 0 FROM n";
            transaction.connection.execute_batch(many).map(Ok)
        })
        .await;
    many.unwrap();
    queues.send("one more", vec![Message::default()]).await.unwrap();
    let names: Vec<_> = queues.queues().await.unwrap().into_iter().map(|state| state.queue).collect();
    assert_eq!(names, ["kept", "one more"]);

    let full: Result<(), QueueError> = queues
        .database
        .write(Sync::Now, 0, |transaction| {
            let many = "WITH RECURSIVE n(n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM n WHERE n < 10000)
                INSERT INTO queues (name, bytes, dead_bytes) SELECT 'q' || n, 1, 0 FROM n";
            transaction.connection.execute_batch(many).map(Ok)
        })
        .await;
    full.unwrap();
    assert_eq!(queues.send("too many", vec![Message::default()]).await, Err(QueueError::TooMany));
    queues.send("kept", vec![Message::default()]).await.unwrap();
}

/// The tables of format 1 as they were when it was the newest. Never change this text: such files are out there.
const FORMAT_1: &str = include_str!("format-1.sql");

fn connect(root: &Path) -> Connection {
    let file = root.join(schema::FILE);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    Connection::open(file).unwrap()
}

#[tokio::test]
async fn a_file_of_format_1_opens() {
    let root = tempfile::tempdir().unwrap();
    connect(root.path()).execute_batch(FORMAT_1).unwrap();
    let clock = TestClock::new();
    let queues = SqliteQueues::with_clock(root.path(), Clock::new(move || clock.now()));
    let known = Message { deduplication: Some("known".to_owned()), ..Message::default() };
    assert_eq!(queues.send("q", vec![known, Message::default()]).await.unwrap(), [5, 7]);
    let receive = Receive { max: 10, visibility: Duration::ZERO, wait: Duration::ZERO };
    let received = queues.receive("q", receive).await.unwrap();
    assert_eq!(received.iter().map(|message| message.id).collect::<Vec<_>>(), [5, 7]);
    assert_eq!(received[0].body, Bytes::from_static(b"a"));
    let dead = queues.dead_letters("q", 0, 10).await.unwrap();
    assert_eq!((dead[0].id, dead[0].attempts, dead[0].content_type.as_deref()), (4, 5, Some("t")));
    queues.delete("q", "6-00000000000000ab").await.unwrap();
    let states = queues.queues().await.unwrap();
    assert_eq!((states[0].visible, states[0].invisible, states[0].bytes), (2, 0, 257 + 256 + 257));
}

#[tokio::test]
async fn a_file_of_another_kind_is_refused() {
    let root = tempfile::tempdir().unwrap();
    connect(root.path()).execute_batch("PRAGMA application_id = 1464354134; PRAGMA user_version = 1").unwrap();
    let queues = SqliteQueues::open(root.path());
    let refused = queues.send("q", vec![Message::default()]).await.unwrap_err().to_string();
    assert!(refused.contains("is not a file of queues of wharf; move it away"), "{refused}");
    assert!(queues.queues().await.is_err());
}

#[tokio::test]
async fn a_snapshot_opens_like_the_original() {
    let root = tempfile::tempdir().unwrap();
    let queues = SqliteQueues::open(&root.path().join("state"));
    let ids = queues.send("q", vec![Message::default(); 3]).await.unwrap();
    let copy = root.path().join("copy");
    std::fs::create_dir_all(copy.join("events")).unwrap();
    queues.snapshot(copy.join(schema::FILE)).await.unwrap();
    let receive = Receive { max: 10, visibility: Duration::from_secs(30), wait: Duration::ZERO };
    for queues in [&queues, &SqliteQueues::open(&copy)] {
        let received = queues.receive("q", receive).await.unwrap();
        assert_eq!(received.iter().map(|message| message.id).collect::<Vec<_>>(), ids);
    }
}
