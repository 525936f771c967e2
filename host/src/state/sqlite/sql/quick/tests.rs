use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::super::SqliteSql;
use super::super::lane::READERS;
use super::*;
use crate::state::SqlDatabase;
use crate::state::sql_contract::{SETTINGS, execute, query};
use crate::state::sqlite::SqliteState;

const TABLE: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, size INTEGER)";
const POINT: &str = "SELECT name, size FROM t WHERE id = ?1";

struct Fixture {
    sql: Arc<SqliteSql>,
    database: Arc<dyn SqlDatabase>,
    _root: TempDir,
}

/// A table of a hundred rows.
async fn fixture() -> Fixture {
    let root = tempfile::tempdir().unwrap();
    let sql = SqliteState::new(root.path().join("state")).sql("orders", Some(SETTINGS));
    let database = Arc::clone(&sql) as Arc<dyn SqlDatabase>;
    execute(&database, TABLE).await.unwrap();
    execute(&database, "CREATE INDEX by_size ON t (size)").await.unwrap();
    let rows = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100)
        INSERT INTO t SELECT n, 'name ' || n, n % 10 FROM c";
    execute(&database, rows).await.unwrap();
    Fixture { sql, database, _root: root }
}

impl Fixture {
    /// The number of rows that a statement gives on this very thread; how long the one before took on this machine is
    /// not what these tests are about.
    fn quickly(&self, text: &str, parameters: &[SqlValue]) -> Option<usize> {
        *self.sql.shared.gate.pause() = None;
        self.quickly_unless_paused(text, parameters)
    }

    fn quickly_unless_paused(&self, text: &str, parameters: &[SqlValue]) -> Option<usize> {
        let begun = self.sql.readers.lend(|lane| lane.quick(text, parameters, &SETTINGS));
        begun.flatten().map(|begun| begun.first.rows.len())
    }

    async fn rows(&self, text: &str, parameters: &[SqlValue]) -> usize {
        let rows = self.database.query(text.to_owned(), parameters.to_vec()).await.unwrap();
        let mut count = 0;
        loop {
            match rows.next(1000).await.unwrap().len() {
                0 => return count,
                more => count += more,
            }
        }
    }
}

#[test]
fn the_steps_are_in_order() {
    assert!(STEPS.is_sorted_by(|one, next| one < next));
    for heavy in ["Function", "PureFunc", "VFilter", "VOpen", "Count", "Program", "OpenWrite", "AggStep", "Vacuum"] {
        assert!(STEPS.binary_search(&heavy).is_err(), "{heavy}");
    }
}

#[tokio::test]
async fn what_reads_a_few_rows_is_quick_when_it_comes_again() {
    let fixture = fixture().await;
    let number = SqlValue::Integer;
    for (text, parameters, rows) in [
        (POINT, vec![number(7)], 1),
        ("SELECT name FROM t WHERE id IN (SELECT ?1)", vec![number(7)], 1),
        ("SELECT * FROM t WHERE size = ?1 ORDER BY id LIMIT 3", vec![number(3)], 3),
        ("SELECT * FROM t WHERE size = ?1 ORDER BY name DESC", vec![number(3)], 10),
        ("SELECT a.id FROM t a JOIN t b ON b.id = a.size WHERE a.id = ?1", vec![number(12)], 1),
        ("-- a key\nSELECT 1 FROM t WHERE id = ?1", vec![number(1000)], 0),
    ] {
        assert_eq!(fixture.quickly(text, &parameters), None, "{text}: it has never run");
        assert_eq!(fixture.rows(text, &parameters).await, rows, "{text}");
        let quickly = fixture.quickly(text, &parameters);
        if text.contains(" IN ") {
            assert_eq!(quickly, None, "it makes a table of its own");
        } else {
            assert_eq!(quickly, Some(rows), "{text}");
        }
        assert_eq!(fixture.rows(text, &parameters).await, rows, "{text}");
    }
    let rows = fixture.database.query(POINT.to_owned(), vec![number(7)]).await.unwrap();
    assert_eq!(rows.columns(), ["name", "size"]);
    assert_eq!(rows.next(9).await.unwrap(), [[SqlValue::Text("name 7".to_owned()), number(7)]]);
    assert!(!rows.is_open());
}

#[tokio::test]
async fn what_can_take_long_is_left_to_threads() {
    let fixture = fixture().await;
    execute(&fixture.database, "CREATE VIRTUAL TABLE words USING fts5 (word)").await.unwrap();
    for text in [
        "SELECT count(*) FROM t",
        "SELECT upper(name) FROM t WHERE id = 1",
        "SELECT replace(name, 'a', 'b') FROM t WHERE id = 1",
        "SELECT 1 WHERE 'a' LIKE 'A'",
        "SELECT * FROM words WHERE words MATCH 'x'",
        "SELECT value FROM json_each('[1]')",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 3) SELECT n FROM c",
        "PRAGMA page_count",
        "PRAGMA integrity_check",
    ] {
        let _ = fixture.rows(text, &[]).await;
        let _ = fixture.rows(text, &[]).await;
        assert_eq!(fixture.quickly(text, &[]), None, "{text}");
    }
    let long = format!("{POINT} {}", " ".repeat(TEXT_BYTES));
    let _ = fixture.rows(&long, &[SqlValue::Integer(1)]).await;
    assert_eq!(fixture.quickly(&long, &[SqlValue::Integer(1)]), None);
}

#[tokio::test]
async fn what_turns_out_to_be_long_is_not_quick_any_more() {
    let fixture = fixture().await;
    let rows = "WITH RECURSIVE c (n) AS (SELECT 101 UNION ALL SELECT n + 1 FROM c LIMIT 900)
        INSERT INTO t SELECT n, 'more', 1 FROM c";
    execute(&fixture.database, rows).await.unwrap();
    // Too many rows, and too many steps for a few rows.
    for (text, all) in [
        ("SELECT id FROM t WHERE id <= ?1", 1000),
        ("SELECT a.id FROM t a JOIN t b WHERE a.id <= ?1 AND b.id = a.id AND +b.size = 0", 10),
    ] {
        let few = fixture.rows(text, &[SqlValue::Integer(10)]).await;
        assert_eq!(fixture.quickly(text, &[SqlValue::Integer(10)]), Some(few), "{text}");
        assert_eq!(fixture.quickly(text, &[SqlValue::Integer(i64::MAX)]), None, "{text}");
        assert_eq!(fixture.rows(text, &[SqlValue::Integer(i64::MAX)]).await, all, "{text}");
        assert_eq!(fixture.quickly(text, &[SqlValue::Integer(10)]), None, "{text}");
    }
}

#[tokio::test]
async fn errors_are_those_of_threads() {
    let fixture = fixture().await;
    assert_eq!(fixture.rows(POINT, &[SqlValue::Integer(1)]).await, 1);
    for parameters in [vec![], vec![SqlValue::Null, SqlValue::Null]] {
        let error = fixture.database.query(POINT.to_owned(), parameters).await.unwrap_err();
        assert!(matches!(&error, SqlError::Parameter(why) if why.contains("1 parameters")), "{error}");
    }
    assert_eq!(fixture.quickly(POINT, &[SqlValue::Integer(1)]), Some(1), "and a mistake costs nothing");
}

#[tokio::test]
async fn a_slow_one_is_followed_by_a_pause() {
    let fixture = fixture().await;
    assert_eq!(fixture.rows(POINT, &[SqlValue::Integer(1)]).await, 1);
    *fixture.sql.shared.gate.pause() = Instant::now().checked_add(Duration::from_secs(3600));
    assert_eq!(fixture.quickly_unless_paused(POINT, &[SqlValue::Integer(1)]), None);
    assert_eq!(fixture.rows(POINT, &[SqlValue::Integer(1)]).await, 1);
    assert_eq!(fixture.quickly(POINT, &[SqlValue::Integer(1)]), Some(1));
}

#[tokio::test]
async fn a_text_that_means_something_else_now_is_not_quick() {
    let fixture = fixture().await;
    let text = "SELECT word FROM words WHERE word = 'x'";
    execute(&fixture.database, "CREATE TABLE words (word TEXT)").await.unwrap();
    assert_eq!(fixture.rows(text, &[]).await, 0);
    assert_eq!(fixture.quickly(text, &[]), Some(0));
    let transaction = fixture.database.begin().await.unwrap();
    transaction.execute("DROP TABLE words".to_owned(), Vec::new()).await.unwrap();
    transaction.execute("CREATE VIRTUAL TABLE words USING fts5 (word)".to_owned(), Vec::new()).await.unwrap();
    transaction.execute("INSERT INTO words VALUES ('x')".to_owned(), Vec::new()).await.unwrap();
    assert_eq!(fixture.quickly(text, &[]), Some(0), "until it is committed");
    transaction.commit().await.unwrap();
    assert_eq!(fixture.quickly(text, &[]), None);
    assert_eq!(fixture.rows(text, &[]).await, 1);
    assert_eq!(fixture.quickly(text, &[]), None);
}

#[tokio::test]
async fn nothing_is_quick_while_tables_are_changed() {
    let fixture = fixture().await;
    assert_eq!(fixture.rows(POINT, &[SqlValue::Integer(1)]).await, 1);
    let gate = Arc::clone(&fixture.sql.shared.gate);
    let alone = gate.alone();
    assert_eq!(fixture.quickly(POINT, &[SqlValue::Integer(1)]), None);
    drop(alone);
    assert_eq!(fixture.quickly(POINT, &[SqlValue::Integer(1)]), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_before_is_seen() {
    let fixture = fixture().await;
    for size in 0..200 {
        execute(&fixture.database, &format!("UPDATE t SET size = {size} WHERE id = 1")).await.unwrap();
        let rows = fixture.database.query(POINT.to_owned(), vec![SqlValue::Integer(1)]).await.unwrap();
        assert_eq!(rows.next(1).await.unwrap()[0][1], SqlValue::Integer(size));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_get_what_they_asked_for() {
    let fixture = Arc::new(fixture().await);
    let tasks: Vec<_> = (0..8_i64)
        .map(|task| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move {
                for turn in 0..200 {
                    let id = (task * 31 + turn) % 100 + 1;
                    let rows = fixture.database.query(POINT.to_owned(), vec![SqlValue::Integer(id)]).await.unwrap();
                    assert_eq!(rows.next(1).await.unwrap()[0][0], SqlValue::Text(format!("name {id}")));
                    if turn % 50 == 0 {
                        execute(&fixture.database, &format!("CREATE TABLE t{task}x{turn} (a)")).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn bounds_that_changed_hold_at_once() {
    let fixture = fixture().await;
    let text = "SELECT name FROM t WHERE id = 1";
    assert_eq!(fixture.rows(text, &[]).await, 1);
    fixture.sql.configure(SqlSettings { max_row_size: 3, ..SETTINGS });
    let error = query(&fixture.database, text).await.unwrap_err();
    assert!(matches!(error, SqlError::TooLarge(_)), "{error}");
}

/// Connections that are open after many waited for one.
async fn connections_after_a_crowd() -> usize {
    let fixture = fixture().await;
    assert_eq!(fixture.rows(POINT, &[SqlValue::Integer(1)]).await, 1);
    assert_eq!(fixture.quickly(POINT, &[SqlValue::Integer(1)]), Some(1));
    let mut held = Vec::new();
    for _ in 0..READERS {
        held.push(fixture.sql.readers.permit(false, Duration::from_secs(1)).await.unwrap());
    }
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let database = Arc::clone(&fixture.database);
            tokio::spawn(async move { database.query(POINT.to_owned(), vec![SqlValue::Integer(2)]).await.map(drop) })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(|task| !task.is_finished()), "all connections are busy");
    drop(held);
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    fixture.sql.readers.idle_count()
}

#[tokio::test]
async fn who_waited_for_a_connection_needs_no_thread_either() {
    // A disk that is slow for a moment sends some of them to threads.
    for _ in 0..10 {
        if connections_after_a_crowd().await == 1 {
            return;
        }
    }
    panic!("a crowd keeps itself busy");
}
