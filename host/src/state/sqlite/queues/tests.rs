use std::sync::Arc;

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
            for sql in [messages::VISIBLE, "SELECT min(visible) FROM messages WHERE queue = ?1"] {
                plans.push(super::super::tests::plan(connection, sql)?);
            }
            Ok(plans)
        })
        .await;
    for plan in plans.unwrap() {
        assert!(plan.contains("INDEX messages_by_time (queue=?"), "{plan}");
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
