use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::select::{Direction, Lead};
use super::*;
use crate::state::contract::TestClock;
use crate::state::contract::event_log::{Fixture, holds};
use crate::state::contract::event_log_model;
use crate::state::sqlite::tests::plan;

fn with_clock(root: &Path, clock: &TestClock) -> SqliteEventLog {
    let clock = clock.clone();
    SqliteEventLog::with_clock(root, Clock::new(move || clock.now()))
}

/// Empty logs in directories that stay until the end.
#[derive(Default)]
struct Directories(Mutex<Vec<TempDir>>);

impl Fixture for Directories {
    fn empty(&self, clock: &TestClock) -> Arc<dyn EventLog> {
        let root = tempfile::tempdir().unwrap();
        let log = with_clock(root.path(), clock);
        self.0.lock().unwrap().push(root);
        Arc::new(log)
    }
}

fn event(id: &str) -> Event {
    Event {
        id: id.to_owned(),
        source: "/services/orders".to_owned(),
        kind: "order.created".to_owned(),
        topic: "order.created".to_owned(),
        subject: None,
        key: None,
        time: SystemTime::UNIX_EPOCH,
        content_type: None,
        schema: None,
        extensions: std::collections::BTreeMap::new(),
        data: bytes::Bytes::from_static(b"data"),
    }
}

fn everything() -> Vec<Retention> {
    vec![Retention { topics: "#".parse().unwrap(), age: None, bytes: Some(0) }]
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    holds(&Directories::default()).await;
}

#[test]
fn sqlite_does_as_the_model() {
    event_log_model::holds(&Directories::default());
}

#[tokio::test]
async fn what_is_looked_for_has_an_index() {
    let root = tempfile::tempdir().unwrap();
    let log = SqliteEventLog::open(root.path());
    log.publish(vec![event("1")]).await.unwrap();
    let mut statements = vec![
        (publish::FIND.to_owned(), "COVERING INDEX by_id (id=? AND source=?)|INDEX by_id (id=? AND source=?)"),
        (publish::FIND_FORGOTTEN.to_owned(), "INDEX forgotten_by_id (id=? AND source=?)"),
        (retain::NEXT.to_owned(), "INDEX by_topic (topic=? AND rowid>? AND rowid<?)"),
        (retain::NEXT.to_owned(), "COVERING INDEX waiting_by_event (offset=?)"),
        (dead::list_sql(true), "INDEX dead_by_subscription (service=? AND name=? AND rowid>?)"),
        (dead::list_sql(false), "INTEGER PRIMARY KEY (rowid>?)"),
    ];
    for direction in [Direction::Forward, Direction::Back] {
        for (column, place) in [
            ("topic", "COVERING INDEX by_topic (topic=? AND rowid>? AND rowid<?)"),
            ("kind", "COVERING INDEX by_kind (kind=? AND rowid>? AND rowid<?)"),
            ("source", "COVERING INDEX by_source (source=? AND rowid>? AND rowid<?)"),
            ("subject", "COVERING INDEX by_subject (subject=? AND rowid>? AND rowid<?)"),
            ("correlation", "COVERING INDEX by_correlation (correlation=? AND rowid>? AND rowid<?)"),
        ] {
            statements.push((select::candidate_sql(&Lead::Column(column, vec![]), direction), place));
        }
        statements.push((select::candidate_sql(&Lead::All, direction), "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"));
    }
    for (sql, expected) in statements {
        let text = sql.clone();
        let plan: Result<String, EventLogError> = log.database.read(move |connection| plan(connection, &text)).await;
        let plan = plan.unwrap();
        assert!(expected.split('|').any(|expected| plan.contains(expected)), "{sql}: {plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[tokio::test]
async fn the_most_telling_condition_leads() {
    let root = tempfile::tempdir().unwrap();
    let log = SqliteEventLog::open(root.path());
    for batch in 0..4 {
        let events = (0..300).map(|number| {
            let number = batch * 300 + number;
            Event { topic: format!("t.{}.{}", number % 100, number), ..event(&number.to_string()) }
        });
        log.publish(events.collect()).await.unwrap();
    }
    let lead = async |topics: &[&str], kind: Option<&str>, correlation: Option<&str>| {
        let selection = Selection {
            topics: topics.iter().map(|topic| topic.parse().unwrap()).collect(),
            kind: kind.map(str::to_owned),
            correlation: correlation.map(str::to_owned),
            ..Selection::default()
        };
        let lead: Result<Lead, EventLogError> =
            log.database.read(move |connection| select::lead(connection, &selection)).await;
        lead.unwrap()
    };
    let column =
        |column, values: &[&str]| Lead::Column(column, values.iter().map(|value| (*value).to_owned()).collect());
    assert_eq!(lead(&["b", "a", "b"], None, None).await, column("topic", &["a", "b"]));
    assert_eq!(lead(&["a"], Some("k"), Some("c")).await, column("correlation", &["c"]));
    assert_eq!(lead(&["a"], Some("k"), None).await, column("topic", &["a"]));
    assert_eq!(lead(&["#"], Some("k"), None).await, column("kind", &["k"]));
    // 1200 topics are too many to look through for a pattern.
    assert_eq!(lead(&["t.7.*"], None, None).await, Lead::All);
    while log.retain(everything()).await.unwrap() > 0 {}
    log.publish(vec![
        Event { topic: "t.7.1".to_owned(), ..event("a") },
        Event { topic: "t.7.2".to_owned(), ..event("b") },
    ])
    .await
    .unwrap();
    assert_eq!(lead(&["t.7.*"], None, None).await, column("topic", &["t.7.1", "t.7.2"]), "topics go with their events");
}

#[tokio::test]
async fn nothing_is_created_before_the_first_use() {
    let root = tempfile::tempdir().unwrap();
    let state = root.path().join("state");
    let log = SqliteEventLog::open(&state);
    assert!(!state.exists());
    log.usage().await.unwrap();
    assert!(state.join(schema::FILE).exists());
}

#[tokio::test]
async fn a_log_that_is_opened_again_goes_on() {
    let root = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let id = SubscriptionId { service: "a".to_owned(), name: "s".to_owned() };
    let log = with_clock(root.path(), &clock);
    log.publish(vec![event("1"), event("2"), event("3")]).await.unwrap();
    log.subscribe(&id, vec![], Start::Earliest).await.unwrap();
    let noted = Progress {
        position: Some(Offset(2)),
        waiting: vec![Waiting { offset: Offset(1), lane: None, attempts: 1, due: None, error: String::new() }],
        ..Progress::default()
    };
    log.progress(&id, noted).await.unwrap();
    let (usage, states) = (log.usage().await.unwrap(), log.subscriptions().await.unwrap());
    drop(log);

    let log = with_clock(root.path(), &clock);
    assert_eq!(log.usage().await.unwrap(), usage);
    assert_eq!(*log.newest().borrow(), Offset(3));
    assert_eq!(log.subscriptions().await.unwrap(), states);
    assert_eq!(
        log.publish(vec![event("2"), event("4")]).await.unwrap(),
        [Published::Duplicate(Offset(2)), Published::New(Offset(4)),]
    );
    // When all is deleted, places still go on.
    log.unsubscribe(&id).await.unwrap();
    while log.retain(everything()).await.unwrap() > 0 {}
    assert_eq!(log.usage().await.unwrap().events, 0, "what waited for the subscription no longer holds anything");
    drop(log);
    let log = with_clock(root.path(), &clock);
    assert_eq!(
        log.publish(vec![event("4"), event("5")]).await.unwrap(),
        [Published::Duplicate(Offset(4)), Published::New(Offset(5)),]
    );
}

#[tokio::test]
async fn only_what_publishers_wait_for_is_synced() {
    let root = tempfile::tempdir().unwrap();
    let log = SqliteEventLog::open(root.path());
    let id = SubscriptionId { service: "a".to_owned(), name: "s".to_owned() };
    log.publish(vec![event("1")]).await.unwrap();
    log.subscribe(&id, vec![], Start::Earliest).await.unwrap();
    let synchronous = async |sync| {
        let level: Result<i64, EventLogError> = log
            .database
            .write(sync, 0, |transaction| {
                transaction.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map(Ok)
            })
            .await;
        level.unwrap()
    };
    // 2 is FULL, 1 is NORMAL.
    assert_eq!(synchronous(Sync::Now).await, 2);
    assert_eq!(synchronous(Sync::Later).await, 1);
    assert_eq!(synchronous(Sync::Now).await, 2);
}

async fn detail(log: &SqliteEventLog) -> String {
    match log.publish(vec![event("x")]).await {
        Err(EventLogError::Unavailable { detail }) => detail,
        other => panic!("the log should not work: {other:?}"),
    }
}

fn connect(root: &Path) -> Connection {
    let file = root.join(schema::FILE);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    Connection::open(file).unwrap()
}

#[tokio::test]
async fn a_file_that_is_not_ours_or_newer_is_refused_and_untouched() {
    for (sql, text) in [
        ("CREATE TABLE other (a)", "is not an event log of wharf; move it away"),
        ("PRAGMA application_id = 1464355926; PRAGMA user_version = 1; CREATE TABLE a (a)", "is not an event log"),
        ("PRAGMA application_id = 1464354134; PRAGMA user_version = 2; CREATE TABLE a (a)", "has format 2"),
    ] {
        let root = tempfile::tempdir().unwrap();
        connect(root.path()).execute_batch(sql).unwrap();
        let before = std::fs::read(root.path().join(schema::FILE)).unwrap();
        let log = SqliteEventLog::open(root.path());
        for _ in 0..2 {
            let detail = detail(&log).await;
            assert!(detail.contains(text) && detail.contains("log.sqlite3"), "{detail}");
        }
        assert!(log.usage().await.is_err());
        assert!(std::fs::read(root.path().join(schema::FILE)).unwrap() == before, "{sql}");
        // When the operator has put that right, the log works without a restart.
        std::fs::remove_file(root.path().join(schema::FILE)).unwrap();
        assert_eq!(log.publish(vec![event("x")]).await.unwrap(), [Published::New(Offset(1))]);
    }
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_nothing_is_deleted() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join(schema::FILE);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, [b'x'; 8192]).unwrap();
    assert!(detail(&SqliteEventLog::open(root.path())).await.contains("file is not a database"));
    assert_eq!(std::fs::read(&file).unwrap(), [b'x'; 8192]);
    std::fs::remove_file(&file).unwrap();

    // The head is right and the rest is not.
    let log = SqliteEventLog::open(root.path());
    for number in 0..200 {
        log.publish(vec![event(&number.to_string())]).await.unwrap();
    }
    drop(log);
    let closed = async || {
        let wal = file.with_file_name("log.sqlite3-wal");
        for _ in 0..1000 {
            if !wal.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the log does not close");
    };
    closed().await;
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[4096..].fill(b'x');
    std::fs::write(&file, &bytes).unwrap();
    let log = SqliteEventLog::open(root.path());
    assert!(detail(&log).await.contains("malformed"));
    assert!(log.read(Selection::default(), Offset(0), 10, 100).await.is_err());
    drop(log);
    closed().await;
    assert!(std::fs::read(&file).unwrap() == bytes);
}

/// The tables of format 1 as they were when it was the newest. Never change this text: such files are out there.
const FORMAT_1: &str = include_str!("format-1.sql");

#[tokio::test]
async fn a_file_of_format_1_opens() {
    let root = tempfile::tempdir().unwrap();
    connect(root.path()).execute_batch(FORMAT_1).unwrap();
    let log = with_clock(root.path(), &TestClock::new());
    let read = log.read(Selection::default(), Offset(0), 10, 1000).await.unwrap();
    let expected = Event {
        id: "7".to_owned(),
        subject: Some("42".to_owned()),
        key: Some("k".to_owned()),
        time: SystemTime::UNIX_EPOCH + Duration::new(1_779_999_999, 5),
        content_type: Some("text/plain".to_owned()),
        schema: Some("s".to_owned()),
        extensions: [("correlationid", "c"), ("traceparent", "t")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..event("7")
    };
    assert_eq!((read.events.len(), read.read_to, &*read.events[0].event), (1, Offset(8), &expected));
    assert_eq!(
        log.usage().await.unwrap(),
        LogUsage { events: 1, bytes: 720, quota: QUOTA, first: Offset(7), last: Offset(8) }
    );
    let id = SubscriptionId { service: "mail".to_owned(), name: "s".to_owned() };
    let state = SubscriptionState {
        id: id.clone(),
        topics: vec!["order.*".parse().unwrap()],
        position: Offset(8),
        waiting: 1,
        dead: 1,
    };
    assert_eq!(log.subscriptions().await.unwrap(), [state]);
    let waiting = log.waiting(&id, Offset(0), 10).await.unwrap();
    let due = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_001));
    let lane = Some(("order.created".to_owned(), "k".to_owned()));
    assert_eq!(waiting[0].0, Waiting { offset: Offset(7), lane, attempts: 2, due, error: "later".to_owned() });
    let dead = log.dead_letters(None, 0, 10).await.unwrap();
    assert_eq!((dead[0].id, dead[0].attempts, dead[0].error.as_str(), dead[0].event.offset), (3, 5, "no", Offset(6)));
    // The id of a deleted event is known, and the next place is right.
    assert_eq!(
        log.publish(vec![event("8"), event("9")]).await.unwrap(),
        [Published::Duplicate(Offset(8)), Published::New(Offset(9)),]
    );
}

#[tokio::test]
async fn a_snapshot_is_the_state_of_one_moment() {
    let root = tempfile::tempdir().unwrap();
    let log = Arc::new(SqliteEventLog::open(&root.path().join("state")));
    log.publish(vec![event("first")]).await.unwrap();
    let publisher = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for number in 0..100 {
                log.publish(vec![event(&format!("{number} a")), event(&format!("{number} b"))]).await.unwrap();
            }
        })
    };
    for copy in 0..3 {
        let copy = root.path().join(format!("copy-{copy}"));
        let before = log.usage().await.unwrap();
        std::fs::create_dir_all(copy.join("events")).unwrap();
        log.snapshot(copy.join(schema::FILE)).await.unwrap();
        assert!(matches!(log.snapshot(copy.join(schema::FILE)).await, Err(SnapshotError::Exists { .. })));
        let copied = SqliteEventLog::open(&copy);
        let usage = copied.usage().await.unwrap();
        assert!(usage.last >= before.last && usage.events % 2 == 1, "{usage:?}");
        let next = copied.publish(vec![event("next")]).await.unwrap();
        assert_eq!(next, [Published::New(Offset(usage.last.0 + 1))]);
    }
    publisher.await.unwrap();
    let nowhere = log.snapshot(root.path().join("not there/copy")).await;
    assert!(matches!(nowhere, Err(SnapshotError::Sqlite { .. })), "{nowhere:?}");
}

#[tokio::test]
async fn a_publisher_that_is_gone_costs_no_work() {
    let root = tempfile::tempdir().unwrap();
    let log = Arc::new(SqliteEventLog::open(root.path()));
    log.publish(vec![event("1")]).await.unwrap();
    let lock = connect(root.path());
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.publish(vec![event("2")]).await })
    };
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished(), "it waits for the other process");
    assert_eq!(log.read(Selection::default(), Offset(0), 10, 1000).await.unwrap().events.len(), 1, "readers don't");
    let gone = tokio::time::timeout(Duration::from_millis(20), log.publish(vec![event("3")])).await;
    assert!(gone.is_err());
    lock.execute_batch("COMMIT").unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(vec![Published::New(Offset(2))]));
    assert_eq!(log.publish(vec![event("3")]).await.unwrap(), [Published::New(Offset(3))]);
}
