use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::restore::restore_with;
use super::{BackupError, StateLock, check, restore, take};
use crate::state::sqlite::SqliteState;
use crate::state::{KeyValueEngine, KeyValueStore};

const QUOTA: u64 = 64 << 20;

struct Place {
    dir: TempDir,
    state: SqliteState,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("state");
        std::fs::create_dir(&root).unwrap();
        Self { state: SqliteState::new(&root), dir }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn to(&self, name: &str) -> PathBuf {
        self.dir.path().join("backups").join(name)
    }

    async fn set(&self, service: &str, value: &[u8]) {
        let store = self.state.store(service, QUOTA);
        store.set("key".to_owned(), value.to_vec()).await.unwrap();
        self.close(service, store).await;
    }

    async fn get(&self, service: &str) -> Option<Vec<u8>> {
        let store = self.state.store(service, QUOTA);
        let value = store.get("key".to_owned()).await.unwrap().map(|entry| entry.value);
        self.close(service, store).await;
        value
    }

    /// Drops the store and waits until its file is closed.
    async fn close(&self, service: &str, store: Arc<dyn KeyValueStore>) {
        drop(store);
        let log = self.root().join(format!("services/{service}/key-value.sqlite3-wal"));
        for _ in 0..2000 {
            if !log.exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the store of {service} does not close");
    }
}

/// Everything in a directory: path and content, without the lock.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(dir: &Path, below: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let below = below.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &below, found);
            } else if below != Path::new("lock") {
                found.insert(below, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(dir, Path::new(""), &mut found);
    found
}

/// A file of another engine in the directory of a service, with one counter.
fn other_file(root: &Path, service: &str) -> Connection {
    let dir = root.join("services").join(service);
    std::fs::create_dir_all(&dir).unwrap();
    let connection = Connection::open(dir.join("sql.sqlite3")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 5000;
             CREATE TABLE counter (count INTEGER); INSERT INTO counter VALUES (0);",
        )
        .unwrap();
    connection
}

fn number(file: &Path, sql: &str) -> i64 {
    Connection::open(file).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_writes_is_of_one_moment() {
    let place = Place::new();
    let stop = Arc::new(AtomicBool::new(false));
    let store = place.state.store("orders", QUOTA);
    let pair = |number: i64| {
        let text = |number: i64| number.to_string().into_bytes();
        vec![("a".to_owned(), text(number)), ("b".to_owned(), text(1000 - number))]
    };
    store.set_many(pair(0)).await.unwrap();
    store.set("count".to_owned(), b"0".to_vec()).await.unwrap();
    let other = other_file(&place.root(), "orders");
    // Counts here, and only then there: at each moment, here is there or one more.
    let writer = {
        let (stop, store) = (Arc::clone(&stop), Arc::clone(&store));
        tokio::spawn(async move {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                store.set_many(pair(number)).await.unwrap();
                store.increment("count".to_owned(), 1, 0..=i64::MAX).await.unwrap();
                other.execute("UPDATE counter SET count = count + 1", []).unwrap();
                store.set(format!("filler {}", number % 500), vec![0; 5000]).await.unwrap();
            }
            number
        })
    };
    for round in 0..8 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (root, to) = (place.root(), place.to(&round.to_string()));
        tokio::task::spawn_blocking(move || take(&root, &to).unwrap()).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();
    assert!(written > 50, "{written} writes are no load");
    let mut before = 0;
    for round in 0..8 {
        let backup = place.to(&round.to_string());
        check(&backup).unwrap();
        let file = |name: &str| backup.join("services/orders").join(name);
        let value = |key: &str| {
            let sql =
                format!("SELECT CAST(CAST(value AS TEXT) AS INTEGER) FROM entries WHERE key = CAST('{key}' AS BLOB)");
            number(&file("key-value.sqlite3"), &sql)
        };
        assert_eq!(value("a") + value("b"), 1000, "a batch is whole");
        let (here, there) = (value("count"), number(&file("sql.sqlite3"), "SELECT count FROM counter"));
        assert!(here == there || here == there + 1, "two moments: {here} and {there}");
        assert!(here > before, "the writer went on");
        before = here;
        let ok = "SELECT count(*) FROM pragma_integrity_check() WHERE integrity_check != 'ok'";
        assert_eq!(number(&file("key-value.sqlite3"), ok), 0);
    }
}

#[tokio::test]
async fn a_restore_brings_back_exactly_what_was_there() {
    let place = Place::new();
    place.set("orders", b"first").await;
    place.set("users", b"first").await;
    drop(other_file(&place.root(), "orders"));
    std::fs::create_dir_all(place.root().join("compiled")).unwrap();
    std::fs::write(place.root().join("compiled/x.sqlite3"), "no state").unwrap();
    std::fs::create_dir_all(place.root().join("somebody's")).unwrap();
    std::fs::write(place.root().join("somebody's/notes"), "no state").unwrap();
    let manifest = take(&place.root(), &place.to("one")).unwrap();
    let paths: Vec<_> = manifest.files.iter().map(|file| file.path.as_str()).collect();
    let files =
        ["services/orders/key-value.sqlite3", "services/orders/sql.sqlite3", "services/users/key-value.sqlite3"];
    assert_eq!(paths, files);
    assert_eq!((manifest.files[0].kind, manifest.files[0].version), (0x5748_4b56, 2));

    place.set("orders", b"second").await;
    place.set("users", b"second").await;
    place.set("later", b"second").await;
    let before = tree(&place.root());
    let restored = restore(&place.root(), &place.to("one"), &[]).unwrap();
    assert_eq!(restored.parts.len(), 2);
    let aside = tree(&restored.aside.unwrap());
    let changed: BTreeMap<_, _> = before.into_iter().filter(|(path, _)| path.starts_with("services")).collect();
    assert!(aside == changed, "what was there is kept as it was: {:?}", aside.keys());
    assert_eq!(tree(&place.root().join("services")), tree(&place.to("one").join("services")));
    assert!(place.root().join("somebody's/notes").exists());
    assert!(place.root().join("compiled/x.sqlite3").exists() && !place.root().join(".restore").exists());
    assert_eq!((place.get("orders").await, place.get("later").await), (Some(b"first".to_vec()), None));
}

#[tokio::test]
async fn one_service_is_restored_and_the_others_stay() {
    let place = Place::new();
    place.set("orders", b"first").await;
    place.set("users", b"first").await;
    take(&place.root(), &place.to("one")).unwrap();
    place.set("orders", b"second").await;
    place.set("users", b"second").await;
    restore(&place.root(), &place.to("one"), &["orders".to_owned()]).unwrap();
    assert_eq!(place.get("orders").await, Some(b"first".to_vec()));
    assert_eq!(place.get("users").await, Some(b"second".to_vec()));
    let error = restore(&place.root(), &place.to("one"), &["other".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "the backup has nothing of service `other`; it has: orders, users");
}

#[tokio::test]
async fn a_backup_is_restored_where_there_was_nothing() {
    let place = Place::new();
    place.set("orders", b"first").await;
    take(&place.root(), &place.to("one")).unwrap();
    let elsewhere = place.dir.path().join("new/state");
    let restored = restore(&elsewhere, &place.to("one"), &[]).unwrap();
    assert_eq!(restored.aside, None);
    let store = SqliteState::new(&elsewhere).store("orders", QUOTA);
    assert_eq!(store.get("key".to_owned()).await.unwrap().unwrap().value, b"first");
}

#[tokio::test]
async fn what_is_damaged_or_too_new_is_refused_and_nothing_has_changed() {
    type Damage = (&'static str, fn(&Path));
    fn edit(backup: &Path, from: &str, to: &str) {
        let path = backup.join("manifest.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
    const FILE: &str = "services/orders/key-value.sqlite3";
    let damages: &[Damage] = &[
        ("its content is not what the manifest says", |backup| {
            let mut bytes = std::fs::read(backup.join(FILE)).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(backup.join(FILE), bytes).unwrap();
        }),
        ("it has another size", |backup| {
            let bytes = std::fs::read(backup.join(FILE)).unwrap();
            std::fs::write(backup.join(FILE), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("there is no such file", |backup| std::fs::remove_file(backup.join(FILE)).unwrap()),
        ("there is no such file", |backup| {
            std::fs::rename(backup.join(FILE), backup.join("elsewhere")).unwrap();
            std::os::unix::fs::symlink(backup.join("elsewhere"), backup.join(FILE)).unwrap();
        }),
        ("it is no backup", |backup| std::fs::remove_file(backup.join("manifest.json")).unwrap()),
        ("expected value", |backup| std::fs::write(backup.join("manifest.json"), "x").unwrap()),
        ("it has no format", |backup| edit(backup, "\"format\": 1", "\"format\": 0")),
        ("the backup has format 2 and this version", |backup| edit(backup, "\"format\": 1", "\"format\": 2")),
        ("has format 3 and this version of wharf reads formats up to 2", |backup| {
            edit(backup, "\"version\": 2", "\"version\": 3");
        }),
        ("another kind of file", |backup| edit(backup, "\"version\": 2", "\"version\": 1")),
        ("which is no file of state", |backup| edit(backup, FILE, "../../x.sqlite3")),
        ("which is no file of state", |backup| edit(backup, FILE, "/tmp/x.sqlite3")),
        ("which is no file of state", |backup| edit(backup, FILE, "services/orders/x.wasm")),
        ("which is no file of state", |backup| edit(backup, FILE, "compiled/x.sqlite3")),
        ("which is no file of state", |backup| edit(backup, FILE, "services/.hidden/x.sqlite3")),
        ("which is no file of state", |backup| edit(backup, FILE, "services/x.sqlite3")),
        ("twice", |backup| edit(backup, "services/users/", "services/orders/")),
    ];
    for (said, damage) in damages {
        let place = Place::new();
        place.set("orders", b"first").await;
        place.set("users", b"first").await;
        take(&place.root(), &place.to("one")).unwrap();
        place.set("orders", b"second").await;
        let before = tree(&place.root());
        damage(&place.to("one"));
        let error = restore(&place.root(), &place.to("one"), &[]).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert!(check(&place.to("one")).unwrap_err().to_string().contains(said));
        assert!(tree(&place.root()) == before, "{said}: something has changed");
    }
}

#[tokio::test]
async fn hosts_share_the_state_and_a_restore_has_it_alone() {
    let place = Place::new();
    place.set("orders", b"first").await;
    let host = StateLock::shared(&place.root()).unwrap();
    let _second = StateLock::shared(&place.root()).unwrap();
    take(&place.root(), &place.to("one")).unwrap();
    let before = tree(&place.root());
    let refused = restore(&place.root(), &place.to("one"), &[]).unwrap_err();
    assert!(matches!(refused, BackupError::InUse { .. }), "{refused}");
    assert!(tree(&place.root()) == before);
    drop((host, _second));
    let alone = StateLock::alone(&place.root()).unwrap();
    for refused in [StateLock::shared(&place.root()).map(drop), take(&place.root(), &place.to("two")).map(drop)] {
        assert!(matches!(refused, Err(BackupError::InUse { .. })), "{refused:?}");
    }
    drop(alone);
    restore(&place.root(), &place.to("one"), &[]).unwrap();
}

#[tokio::test]
async fn a_restore_that_breaks_off_anywhere_leaves_the_old_or_finishes_the_new() {
    let broken = || Err(BackupError::NoState { path: "broken off".into() });
    let mut finished = 0;
    for break_at in 0.. {
        let place = Place::new();
        for service in ["orders", "users"] {
            place.set(service, b"first").await;
        }
        take(&place.root(), &place.to("one")).unwrap();
        for service in ["orders", "users", "later"] {
            place.set(service, b"second").await;
        }
        let mut step = 0;
        let result = restore_with(&place.root(), &place.to("one"), &[], &mut |_| {
            step += 1;
            if step > break_at { broken() } else { Ok(()) }
        });
        // Twice broken off at the same place, and then not.
        if super::restore::is_unfinished(&place.root()) {
            assert!(matches!(result, Err(BackupError::Unfinished(_))), "{result:?}");
            finished += 1;
        }
        drop(StateLock::shared(&place.root()).unwrap());
        let now = [place.get("orders").await, place.get("users").await, place.get("later").await];
        let (first, second) = (Some(b"first".to_vec()), Some(b"second".to_vec()));
        let old = [second.clone(), second.clone(), second];
        let new = [first.clone(), first, None];
        match &result {
            Ok(_) => assert!(now == new),
            Err(BackupError::Unfinished(_)) => assert!(now == new, "broken off at {break_at}: {now:?}"),
            Err(_) => assert!(now == old, "broken off at {break_at}: {now:?}"),
        }
        if result.is_ok() {
            break;
        }
        restore(&place.root(), &place.to("one"), &[]).unwrap();
        assert_eq!(tree(&place.root().join("services")), tree(&place.to("one").join("services")));
    }
    assert!(finished >= 6, "two services are put aside and brought, one is put aside, and the plan goes: {finished}");
}

#[tokio::test]
async fn a_backup_takes_no_place_that_is_taken_and_leaves_nothing_when_it_fails() {
    let place = Place::new();
    place.set("orders", b"first").await;
    std::fs::create_dir_all(place.to("one")).unwrap();
    assert!(matches!(take(&place.root(), &place.to("one")), Err(BackupError::Exists { .. })));
    let nowhere = take(&place.dir.path().join("nowhere"), &place.to("two"));
    assert!(matches!(nowhere, Err(BackupError::NoState { .. })), "{nowhere:?}");
    std::fs::create_dir_all(place.root().join("services/broken")).unwrap();
    std::fs::write(place.root().join("services/broken/x.sqlite3"), [b'x'; 4096]).unwrap();
    let error = take(&place.root(), &place.to("two")).unwrap_err().to_string();
    assert!(error.contains("services/broken/x.sqlite3: file is not a database"), "{error}");
    let names: Vec<_> = std::fs::read_dir(place.to("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_open_for_a_while_is_waited_for() {
    let place = Place::new();
    place.set("orders", b"first").await;
    let other = other_file(&place.root(), "users");
    other.execute_batch("BEGIN IMMEDIATE; UPDATE counter SET count = 7").unwrap();
    let (root, to) = (place.root(), place.to("one"));
    let backup = tokio::task::spawn_blocking(move || take(&root, &to));
    tokio::time::sleep(Duration::from_millis(600)).await;
    // Meanwhile the others are not held up for long.
    tokio::time::timeout(Duration::from_secs(4), place.set("orders", b"second")).await.unwrap();
    other.execute_batch("COMMIT").unwrap();
    backup.await.unwrap().unwrap();
    assert_eq!(number(&place.to("one").join("services/users/sql.sqlite3"), "SELECT count FROM counter"), 7);
}
