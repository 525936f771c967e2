use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::lane::READERS;
use super::{STREAMS, SqliteSql};
use crate::state::sql_contract::{self as contract, ENDLESS, SETTINGS, all, execute, number, query};
use crate::state::sqlite::SqliteState;
use crate::state::{Migrated, Outboxes, SqlDatabase, SqlEngine, SqlError, SqlSettings};

const FILE: &str = "state/services/orders/data.sqlite3";

fn fixture() -> (TempDir, SqliteState) {
    let root = tempfile::tempdir().unwrap();
    let state = SqliteState::new(root.path().join("state"));
    (root, state)
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let (_root, state) = fixture();
    contract::holds(&state).await;
}

#[tokio::test]
async fn nothing_is_created_before_the_first_use() {
    let (root, state) = fixture();
    let database = state.database("orders", SETTINGS);
    assert_eq!(database.migrate(Vec::new()).await.unwrap(), Migrated::default());
    assert_eq!(state.outbox("orders").waiting(1).await.unwrap(), []);
    assert!(!root.path().join("state").exists());
    assert_eq!(query(&database, "SELECT 1").await.unwrap().len(), 1);
    assert!(root.path().join(FILE).exists());
}

#[tokio::test]
async fn a_database_that_nobody_holds_closes() {
    let (root, state) = fixture();
    let database = state.sql("orders", Some(SETTINGS));
    let shared = Arc::clone(&database) as Arc<dyn SqlDatabase>;
    execute(&shared, "CREATE TABLE t (a)").await.unwrap();
    number(&shared, "SELECT count(*) FROM t").await;
    // Threads hold it as long as they are there.
    let held = Arc::downgrade(&database.shared);
    drop((database, shared));
    eventually("its threads end", || held.strong_count() == 0).await;
    // What a host finds when it starts.
    let next = SqliteState::new(root.path().join("state"));
    assert_eq!(next.take_changed(), ["orders"]);
}

#[tokio::test]
async fn one_after_the_other_uses_one_connection() {
    let (_root, state) = fixture();
    let database = state.sql("orders", Some(SETTINGS));
    let shared = Arc::clone(&database) as Arc<dyn SqlDatabase>;
    for _ in 0..50 {
        number(&shared, "SELECT 1").await;
        execute(&shared, "CREATE TABLE IF NOT EXISTS t (a)").await.unwrap();
    }
    assert_eq!((database.readers.idle_count(), database.writer.idle_count()), (1, 1));
}

#[tokio::test]
async fn files_that_are_something_else_are_left_alone_and_named() {
    let (root, state) = fixture();
    let file = root.path().join(FILE);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    rusqlite::Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let database = state.database("orders", SETTINGS);
    let error = query(&database, "SELECT 1").await.unwrap_err();
    assert!(error.to_string().contains("is not a service's database"), "{error}");
    std::fs::remove_file(&file).unwrap();
    number(&database, "SELECT 1").await;
    drop(database);

    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.execute_batch("UPDATE _wharf_meta SET format = 99").unwrap();
    drop(connection);
    let (_other, state) = (state, SqliteState::new(root.path().join("state")));
    let error = query(&state.database("orders", SETTINGS), "SELECT 1").await.unwrap_err();
    assert!(error.to_string().contains("format 99"), "{error}");
}

#[tokio::test]
async fn answered_commits_survive_a_crash_and_others_do_not() {
    let (root, state) = fixture();
    let database = state.database("orders", SETTINGS);
    execute(&database, "CREATE TABLE t (a)").await.unwrap();
    execute(&database, "INSERT INTO t VALUES (1)").await.unwrap();
    let transaction = database.begin().await.unwrap();
    transaction.execute("INSERT INTO t VALUES (2)".to_owned(), Vec::new()).await.unwrap();
    // What a process that is killed now leaves behind.
    let left = tempfile::tempdir().unwrap();
    let copy = left.path().join(FILE);
    std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
    for end in ["", "-wal"] {
        std::fs::copy(root.path().join(format!("{FILE}{end}")), format!("{}{end}", copy.display())).unwrap();
    }
    let after = SqliteState::new(left.path().join("state"));
    assert_eq!(number(&after.database("orders", SETTINGS), "SELECT sum(a) FROM t").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_ever_and_the_queue_is_bounded() {
    let (_root, state) = fixture();
    let brief = SqlSettings { statement_timeout: Duration::from_millis(200), ..SETTINGS };
    let database = state.database("orders", brief);
    let held = database.begin().await.unwrap();
    let waiting: Vec<_> = (0..400)
        .map(|_| {
            let database = Arc::clone(&database);
            tokio::spawn(async move { database.begin().await.map(drop) })
        })
        .collect();
    let (mut refused, mut timed_out) = (0, 0);
    for task in waiting {
        match task.await.unwrap() {
            Err(SqlError::Timeout(why)) if why.contains("others wait") => refused += 1,
            Err(SqlError::Timeout(_)) => timed_out += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((refused, timed_out), (144, 256));
    held.commit().await.unwrap();
    database.begin().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_leave_room_for_short_results() {
    let (_root, state) = fixture();
    let database = state.database("orders", SETTINGS);
    let many = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 5000) SELECT n FROM c";
    let mut held = Vec::new();
    for _ in 0..STREAMS {
        held.push(database.query(many.to_owned(), Vec::new()).await.unwrap());
    }
    let one_more = database.query(many.to_owned(), Vec::new()).await;
    assert!(matches!(one_more, Err(SqlError::Timeout(_))), "{one_more:?}");
    number(&database, "SELECT 1").await;
    held.pop();
    eventually("its place is free", || Arc::strong_count(&database) > 0).await;
    let again = loop {
        match database.query(many.to_owned(), Vec::new()).await {
            Ok(rows) => break rows,
            Err(SqlError::Timeout(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(all(&again).await.unwrap().len(), 5000);
    const { assert!(READERS > STREAMS) };
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_not_read_ends_and_says_so() {
    let (_root, state) = fixture();
    let brief = SqlSettings { transaction_timeout: Duration::from_millis(100), ..SETTINGS };
    let database = state.database("orders", brief);
    let many = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 5000) SELECT n FROM c";
    let rows = database.query(many.to_owned(), Vec::new()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let error = all(&rows).await.unwrap_err();
    assert!(matches!(&error, SqlError::Closed(why) if why.contains("transactionTimeout")), "{error:?}");
}

fn log_bytes(root: &Path) -> u64 {
    std::fs::metadata(root.join(format!("{FILE}-wal"))).map_or(0, |file| file.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_bounded_while_somebody_reads() {
    let (root, state) = fixture();
    let settings = SqlSettings {
        statement_timeout: Duration::from_secs(20),
        transaction_timeout: Duration::from_millis(700),
        ..SETTINGS
    };
    let database = state.database("orders", settings);
    execute(&database, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)").await.unwrap();
    execute(
        &database,
        "INSERT INTO t WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 1000)
        SELECT n, zeroblob(1000) FROM c",
    )
    .await
    .unwrap();
    let mut largest = 0;
    let mut held = Vec::new();
    let begun = Instant::now();
    let mut writes = 0;
    // 300 MB go through the log, while at every moment somebody holds an older state.
    while writes < 30 && begun.elapsed() < Duration::from_secs(60) {
        if let Ok(rows) = database.query("SELECT * FROM t".to_owned(), Vec::new()).await {
            rows.next(1).await.unwrap();
            held.push(rows);
        }
        if held.len() > 3 {
            held.remove(0);
        }
        for _ in 0..10 {
            execute(&database, "UPDATE t SET v = randomblob(1000)").await.unwrap();
        }
        writes += 1;
        largest = largest.max(log_bytes(root.path()));
    }
    assert!(largest > 4 << 20, "there was a log to speak of: {largest}");
    assert!(largest < super::LOG_BYTES + (16 << 20), "{largest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_not_run_on() {
    let (_root, state) = fixture();
    let database = state.sql("orders", Some(SETTINGS));
    let shared = Arc::clone(&database) as Arc<dyn SqlDatabase>;
    for _ in 0..READERS {
        let endless = shared.query(ENDLESS.to_owned(), Vec::new());
        assert!(tokio::time::timeout(Duration::from_millis(20), endless).await.is_err());
    }
    eventually("all connections are free again", || database.readers.idle_count() > 0).await;
    let begun = Instant::now();
    number(&shared, "SELECT 1").await;
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_handle_is_what_the_engine_gives() {
    fn shared<T: Send + Sync>() {}
    shared::<SqliteSql>();
}
