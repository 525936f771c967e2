use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::clock::Clock;
use super::{SqliteState, service_directory};
use crate::state::contract;
use crate::state::key_value::{KeyValueEngine, KeyValueError, KeyValueStore, Lifetime, Revision, Usage};

const QUOTA: u64 = 1 << 20;
const FILE: &str = "services/orders/key-value.sqlite3";

/// How SQLite would run a statement.
pub(super) fn plan(connection: &Connection, sql: &str) -> rusqlite::Result<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next()? {
        plan.push(row.get::<_, String>(3)?);
    }
    Ok(plan.join("; "))
}

fn fixture() -> (TempDir, SqliteState) {
    let root = tempfile::tempdir().unwrap();
    let state = SqliteState::new(root.path().join("state"));
    (root, state)
}

fn connect(root: &Path) -> Connection {
    Connection::open(root.join("state").join(FILE)).unwrap()
}

/// Waits until the thread of a dropped store has closed its file.
async fn closed(root: &Path) {
    let log = root.join("state").join(format!("{FILE}-wal"));
    let start = Instant::now();
    while log.exists() {
        assert!(start.elapsed() < Duration::from_secs(10), "the store does not close");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn unavailable(store: &dyn KeyValueStore) -> String {
    match store.get("a".to_owned()).await {
        Err(KeyValueError::Unavailable { detail }) => detail,
        other => panic!("the store should not work: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_contract() {
    let (_root, state) = fixture();
    contract::key_value::holds(&state).await;
    let (root, time) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(1_000_000)));
    let state = state_at(root.path(), &time);
    let pass = |ms: i64| {
        time.fetch_add(ms, Ordering::SeqCst);
    };
    contract::key_value::keys_end(&state, &pass).await;
}

fn state_at(root: &Path, time: &Arc<AtomicI64>) -> SqliteState {
    let time = Arc::clone(time);
    let now = move || UNIX_EPOCH + Duration::from_millis(time.load(Ordering::SeqCst).unsigned_abs());
    SqliteState::with_clock(root.join("state"), Clock::new(now))
}

fn rows(root: &Path) -> i64 {
    connect(root).query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn ends_survive_a_restart_and_the_clock_does_not_bring_keys_back() {
    let (root, _) = fixture();
    let time = Arc::new(AtomicI64::new(1_000_000));
    let state = state_at(root.path(), &time);
    let store = state.store("orders", QUOTA);
    for (key, ttl) in [("short", 1000), ("long", 60_000)] {
        store.set_expiring(key.to_owned(), vec![0; 10], Duration::from_millis(ttl)).await.unwrap();
    }
    drop((store, state));
    closed(root.path()).await;

    time.fetch_add(1000, Ordering::SeqCst);
    let store = state_at(root.path(), &time).store("orders", QUOTA);
    assert_eq!(store.usage().await.unwrap(), Usage { keys: 1, bytes: 14, quota: QUOTA });
    assert_eq!(store.get("short".to_owned()).await.unwrap(), None);
    time.fetch_add(-5000, Ordering::SeqCst);
    assert_eq!(store.get("short".to_owned()).await.unwrap(), None, "in one process time only goes forward");
    let left = store.lifetime("long".to_owned()).await.unwrap();
    assert_eq!(left, Lifetime::Left(Duration::from_millis(59_000)));
}

#[tokio::test]
async fn the_space_of_what_has_ended_is_given_back_without_a_write() {
    let (root, _) = fixture();
    let time = Arc::new(AtomicI64::new(1_000_000));
    let store = state_at(root.path(), &time).store("orders", QUOTA);
    let all: Vec<_> = (0..1000).map(|number| format!("key {number}")).collect();
    for key in &all {
        store.set_expiring(key.clone(), vec![0; 10], Duration::from_secs(1)).await.unwrap();
    }
    store.set("stays".to_owned(), vec![1]).await.unwrap();
    assert_eq!(rows(root.path()), 1001);
    time.fetch_add(1000, Ordering::SeqCst);
    assert_eq!(store.usage().await.unwrap(), Usage { keys: 1, bytes: 6, quota: QUOTA });
    let start = Instant::now();
    while rows(root.path()) > 1 {
        assert!(start.elapsed() < Duration::from_secs(10), "{} rows are left", rows(root.path()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(store.usage().await.unwrap(), Usage { keys: 1, bytes: 6, quota: QUOTA });
}

#[tokio::test]
async fn a_refused_write_over_an_ended_key_changes_nothing() {
    let (root, _) = fixture();
    let time = Arc::new(AtomicI64::new(1_000_000));
    let store = state_at(root.path(), &time).store("orders", 100);
    store.get("open it".to_owned()).await.unwrap();
    store.set_expiring("k".to_owned(), vec![0; 50], Duration::from_secs(1)).await.unwrap();
    store.set("other".to_owned(), vec![0; 40]).await.unwrap();
    // Nothing can be given back while somebody else has the file, so the row is still there for what comes.
    let (lock, waiting) = hold(root.path(), &store).await;
    time.fetch_add(1000, Ordering::SeqCst);
    let write = |bytes: usize| store.set("k".to_owned(), vec![1; bytes]);
    let (refused, full, ()) = tokio::join!(write(100), write(54), async { lock.execute_batch("COMMIT").unwrap() });
    waiting.await.unwrap().unwrap();
    assert_eq!(refused, Err(KeyValueError::QuotaExceeded { needed: 146, quota: 100 }));
    full.unwrap();
    assert_eq!(store.usage().await.unwrap(), Usage { keys: 2, bytes: 100, quota: 100 });
}

/// A file as the first version wrote it.
const FORMAT_1: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE entries (position INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL,
        revision INTEGER NOT NULL) STRICT;
    CREATE TABLE totals (keys INTEGER NOT NULL, bytes INTEGER NOT NULL, revision INTEGER NOT NULL) STRICT;
    INSERT INTO entries VALUES (3, CAST('a' AS BLOB), x'0102', 7), (5, CAST('b' AS BLOB), x'', 9);
    INSERT INTO totals VALUES (2, 4, 9);
    PRAGMA application_id = 0x57484b56;
    PRAGMA user_version = 1;
";

#[tokio::test]
async fn a_file_of_format_1_is_brought_to_format_2_with_all_that_is_in_it() {
    let (root, state) = fixture();
    std::fs::create_dir_all(root.path().join("state/services/orders")).unwrap();
    connect(root.path()).execute_batch(FORMAT_1).unwrap();
    let store = state.store("orders", QUOTA);
    assert_eq!(store.get("a".to_owned()).await.unwrap().unwrap().value, [1, 2]);
    assert_eq!(store.revision("b".to_owned()).await.unwrap(), Revision::new(9));
    assert_eq!(store.lifetime("a".to_owned()).await.unwrap(), Lifetime::Unlimited);
    assert_eq!(store.usage().await.unwrap(), Usage { keys: 2, bytes: 4, quota: QUOTA });
    store.set_expiring("a".to_owned(), vec![3], Duration::from_secs(1000)).await.unwrap();
    assert!(matches!(store.lifetime("a".to_owned()).await.unwrap(), Lifetime::Left(_)));
    let version: i64 = connect(root.path()).query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
}

#[tokio::test]
async fn nothing_is_created_before_the_first_use() {
    let (root, state) = fixture();
    let store = state.store("orders", QUOTA);
    assert!(!root.path().join("state").exists());
    store.get("a".to_owned()).await.unwrap();
    assert!(root.path().join("state").join(FILE).exists());
}

#[tokio::test]
async fn a_store_is_shared_while_somebody_holds_it_and_closes_after() {
    let (root, state) = fixture();
    let store = state.store("orders", QUOTA);
    let same = state.store("orders", QUOTA);
    store.set("a".to_owned(), vec![1]).await.unwrap();
    drop(store);
    assert_eq!(same.get("a".to_owned()).await.unwrap().unwrap().value, [1]);
    assert_eq!(state.stores.lock().unwrap().len(), 1);
    drop(same);
    closed(root.path()).await;

    let again = state.store("orders", QUOTA);
    assert_eq!(again.get("a".to_owned()).await.unwrap().unwrap().value, [1]);
    assert_eq!(again.usage().await.unwrap(), Usage { keys: 1, bytes: 2, quota: QUOTA });
}

#[tokio::test]
async fn answered_writes_survive_a_crash() {
    let (root, state) = fixture();
    let store = state.store("orders", QUOTA);
    for n in 0..100_u8 {
        store.set(format!("key {n}"), vec![n; 100]).await.unwrap();
    }
    // What a process that is killed now leaves behind: the file and its log, nothing flushed or closed.
    let left = tempfile::tempdir().unwrap();
    let directory = left.path().join("services/orders");
    std::fs::create_dir_all(&directory).unwrap();
    for name in ["key-value.sqlite3", "key-value.sqlite3-wal"] {
        std::fs::copy(root.path().join("state/services/orders").join(name), directory.join(name)).unwrap();
    }
    let crashed = SqliteState::new(left.path()).store("orders", QUOTA);
    for n in 0..100_u8 {
        assert_eq!(crashed.get(format!("key {n}")).await.unwrap().unwrap().value, [n; 100]);
    }
    assert_eq!(crashed.usage().await.unwrap(), store.usage().await.unwrap());
}

#[tokio::test]
async fn a_write_in_the_middle_of_a_crash_is_gone_completely() {
    let (root, state) = fixture();
    let store = state.store("orders", QUOTA);
    store.set("a".to_owned(), vec![1]).await.unwrap();
    drop(store);
    closed(root.path()).await;
    // Another process dies between two writes of a transaction: its uncommitted pages are in the log.
    let dying = connect(root.path());
    dying.pragma_update(None, "cache_size", 1).unwrap();
    dying.execute_batch("BEGIN IMMEDIATE; UPDATE totals SET bytes = 999;").unwrap();
    dying.execute("INSERT INTO entries (key, value, revision) VALUES (x'62', zeroblob(1000000), 9)", []).unwrap();
    let left = tempfile::tempdir().unwrap();
    let directory = left.path().join("services/orders");
    std::fs::create_dir_all(&directory).unwrap();
    for name in ["key-value.sqlite3", "key-value.sqlite3-wal"] {
        let from = root.path().join("state/services/orders").join(name);
        assert!(from.exists(), "{name}");
        std::fs::copy(from, directory.join(name)).unwrap();
    }
    let store = SqliteState::new(left.path()).store("orders", QUOTA);
    assert_eq!(store.get("b".to_owned()).await, Ok(None));
    assert_eq!(store.usage().await.unwrap(), Usage { keys: 1, bytes: 2, quota: QUOTA });
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_untouched() {
    let (root, state) = fixture();
    let store = state.store("orders", QUOTA);
    store.set("a".to_owned(), vec![1]).await.unwrap();
    drop(store);
    closed(root.path()).await;
    connect(root.path()).pragma_update(None, "user_version", 3).unwrap();
    let before = std::fs::read(root.path().join("state").join(FILE)).unwrap();

    let detail = unavailable(&*state.store("orders", QUOTA)).await;
    assert!(detail.contains("has format 3 and this version of wharf reads formats up to 2"), "{detail}");
    assert!(std::fs::read(root.path().join("state").join(FILE)).unwrap() == before, "the file is untouched");

    // When the operator has put that right, the store works again without a restart.
    let store = state.store("orders", QUOTA);
    unavailable(&*store).await;
    connect(root.path()).pragma_update(None, "user_version", 2).unwrap();
    assert_eq!(store.get("a".to_owned()).await.unwrap().unwrap().value, [1]);
}

#[tokio::test]
async fn a_foreign_file_is_refused() {
    let (root, state) = fixture();
    let directory = root.path().join("state/services/orders");
    std::fs::create_dir_all(&directory).unwrap();
    connect(root.path()).execute_batch("CREATE TABLE other (a);").unwrap();
    let store = state.store("orders", QUOTA);
    assert!(unavailable(&*store).await.contains("is not a key-value store of wharf"));

    std::fs::write(directory.join("key-value.sqlite3"), [b'x'; 4096]).unwrap();
    assert!(unavailable(&*store).await.contains("file is not a database"));
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_why_a_store_does_not_open() {
    let (root, state) = fixture();
    std::fs::create_dir_all(root.path().join("state/services/orders")).unwrap();
    connect(root.path()).execute_batch("CREATE TABLE other (a);").unwrap();
    let store = state.store("orders", QUOTA);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..50 {
                    let detail = unavailable(&*store).await;
                    assert!(detail.contains("is not a key-value store of wharf"), "{detail}");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn another_service_works_while_one_does_not_open() {
    let (root, state) = fixture();
    std::fs::create_dir_all(root.path().join("state/services")).unwrap();
    std::fs::write(root.path().join("state/services/orders"), "a file in the way").unwrap();
    let broken = state.store("orders", QUOTA);
    let (one, two) = tokio::join!(broken.get("a".to_owned()), broken.set("a".to_owned(), vec![]));
    assert!(matches!(one, Err(KeyValueError::Unavailable { .. })), "{one:?}");
    assert!(matches!(two, Err(KeyValueError::Unavailable { .. })), "{two:?}");
    state.store("users", QUOTA).set("a".to_owned(), vec![]).await.unwrap();

    std::fs::remove_file(root.path().join("state/services/orders")).unwrap();
    broken.set("a".to_owned(), vec![]).await.unwrap();
}

#[tokio::test]
async fn very_many_tiny_entries_meet_the_limit_of_the_file() {
    let (root, state) = fixture();
    let store = state.store("orders", 2 << 20);
    // Five bytes of quota each, about ten times that in the file.
    let mut next = 0_u32;
    let full = loop {
        let batch = (0..1000).map(|_| {
            next += 1;
            (char::from_u32(0x2_0000 + next % 0x8000).unwrap().to_string() + &(next / 0x8000).to_string(), vec![])
        });
        if let Err(error) = store.set_many(batch.collect()).await {
            break error;
        }
    };
    assert_eq!(full, KeyValueError::NoSpace);
    let usage = store.usage().await.unwrap();
    assert_eq!(usage.keys, u64::from(next) - 1000, "the refused batch left nothing");

    // A transaction that is lost is lost for all jobs in it, those before the failure and those after it.
    let (lock, waiting) = hold(root.path(), &store).await;
    let batch = (0..1000).map(|number| (format!("a longer key {number}"), vec![0; 1000])).collect();
    let (first, failed, after) =
        tokio::join!(store.increment("first".to_owned(), 1, 0..=9), store.set_many(batch), async {
            lock.execute_batch("COMMIT").unwrap();
            store.set("after".to_owned(), vec![]).await
        });
    waiting.await.unwrap().unwrap();
    assert_eq!((first, failed, after), (Err(full.clone()), Err(full.clone()), Err(full)));
    assert_eq!(store.usage().await.unwrap(), usage);
    for key in ["first", "after"] {
        assert_eq!(store.get(key.to_owned()).await, Ok(None), "{key}");
    }
    store.delete_many(store.list_keys(None, 1000).await.unwrap().keys).await.unwrap();
    store.set("a".to_owned(), vec![1]).await.unwrap();
}

/// Holds the file locked, so that the first write waits in its transaction and what comes after it in the queue.
async fn hold(root: &Path, store: &Arc<dyn KeyValueStore>) -> (Connection, JoinHandle<Result<(), KeyValueError>>) {
    let other = connect(root);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = Arc::clone(store);
    let waiting = tokio::spawn(async move { store.delete("not there".to_owned()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    (other, waiting)
}

#[tokio::test]
async fn a_guest_that_is_gone_costs_no_work() {
    let (root, state) = fixture();
    let store = state.store("orders", QUOTA);
    store.get("a".to_owned()).await.unwrap();
    let (lock, waiting) = hold(root.path(), &store).await;
    let gone = tokio::time::timeout(Duration::from_millis(20), store.set("a".to_owned(), vec![1])).await;
    assert!(gone.is_err(), "the write waits in the queue");
    lock.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(store.get("a".to_owned()).await, Ok(None));
}

#[tokio::test]
async fn operations_wait_for_another_process_instead_of_failing() {
    let (root, state) = fixture();
    let store = state.store("orders", QUOTA);
    store.set("a".to_owned(), vec![1]).await.unwrap();
    let other = connect(root.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let write = tokio::spawn(async move { store.set("a".to_owned(), vec![2]).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!write.is_finished());
    other.execute_batch("COMMIT").unwrap();
    write.await.unwrap().unwrap();
}

#[test]
fn no_service_name_leaves_the_state_directory_or_meets_another() {
    let place = |name: &str| service_directory(Path::new("/s"), name).display().to_string();
    assert_eq!(place("orders"), "/s/services/orders");
    assert_eq!(place("orders-v1.2_b"), "/s/services/orders-v1.2_b");
    assert_eq!(place("Orders"), "/s/services/%4frders");
    assert_eq!(place(".."), "/s/services/%2e.");
    assert_eq!(place("../x"), "/s/services/%2e.%2fx");
    assert_eq!(place("%2e"), "/s/services/%252e");
    assert_eq!(place("a\0b"), "/s/services/a%00b");
    assert_eq!(place(""), "/s/services/%");
    assert_eq!(place("%"), "/s/services/%25");
}

#[tokio::test]
async fn only_the_owner_may_read_the_directory() {
    use std::os::unix::fs::PermissionsExt;
    let (root, state) = fixture();
    state.store("orders", QUOTA).get("a".to_owned()).await.unwrap();
    let mode = std::fs::metadata(root.path().join("state/services/orders")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
