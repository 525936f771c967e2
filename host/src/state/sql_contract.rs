//! What every SQL engine must keep, as tests that any engine can run, in words of SQL that all of them know.
//!
//! An engine's own tests call [`holds`] with an empty engine of theirs. Each function here uses services of its own
//! name, so they don't meet.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::{
    Durability, Event, Migrated, Migration, MigrationError, Outboxes, SqlDatabase, SqlEngine, SqlError, SqlRow,
    SqlRows, SqlSettings, SqlTransaction, SqlValue,
};

/// Bounds that nothing here meets by accident.
pub(super) const SETTINGS: SqlSettings = SqlSettings {
    quota: 64 << 20,
    statement_timeout: Duration::from_secs(10),
    transaction_timeout: Duration::from_secs(20),
    migration_timeout: Duration::from_secs(20),
    max_row_size: 2 << 20,
    durability: Durability::Normal,
};

/// Runs every check against the engine.
pub(super) async fn holds(engine: &(impl SqlEngine + Outboxes)) {
    values_come_back_as_they_were(engine).await;
    services_never_see_each_other(engine).await;
    errors_say_what_is_wrong(engine).await;
    a_transaction_happens_completely_or_not_at_all(engine).await;
    a_dropped_transaction_did_not_happen(engine).await;
    transactions_wait_for_each_other_in_order(engine).await;
    a_transaction_that_is_held_too_long_is_over(engine).await;
    a_result_is_one_view_of_the_database(engine).await;
    large_results_come_in_pieces(engine).await;
    the_quota_holds_and_changes_live(engine).await;
    rows_that_are_too_large_are_refused(engine).await;
    events_are_there_if_their_transaction_is(engine).await;
    migrations_are_applied_once_and_in_order(engine).await;
}

pub(super) async fn execute(database: &Arc<dyn SqlDatabase>, statement: &str) -> Result<u64, SqlError> {
    database.execute(statement.to_owned(), Vec::new()).await.map(|changes| changes.rows)
}

pub(super) async fn all(rows: &Arc<dyn SqlRows>) -> Result<Vec<SqlRow>, SqlError> {
    let mut all = Vec::new();
    loop {
        let piece = rows.next(1000).await?;
        if piece.is_empty() {
            return Ok(all);
        }
        all.extend(piece);
    }
}

pub(super) async fn query(database: &Arc<dyn SqlDatabase>, statement: &str) -> Result<Vec<SqlRow>, SqlError> {
    all(&database.query(statement.to_owned(), Vec::new()).await?).await
}

pub(super) async fn number(database: &Arc<dyn SqlDatabase>, statement: &str) -> i64 {
    match query(database, statement).await.unwrap()[0][0] {
        SqlValue::Integer(number) => number,
        ref other => panic!("{statement}: {other:?}"),
    }
}

async fn in_transaction(transaction: &Arc<dyn SqlTransaction>, statement: &str) -> Result<u64, SqlError> {
    transaction.execute(statement.to_owned(), Vec::new()).await.map(|changes| changes.rows)
}

async fn database(engine: &impl SqlEngine, service: &str) -> Arc<dyn SqlDatabase> {
    let database = engine.database(service, SETTINGS);
    execute(&database, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)").await.unwrap();
    database
}

async fn values_come_back_as_they_were(engine: &impl SqlEngine) {
    let database = engine.database("values", SETTINGS);
    execute(&database, "CREATE TABLE v (a, b, c, d, e)").await.unwrap();
    let texts = ["", "a\0b", "'; DROP TABLE v; --", "\u{1f980} \u{e9}"];
    let numbers = [0, -1, i64::MAX, i64::MIN];
    let reals = [0.5, -1e300, f64::MIN_POSITIVE, f64::INFINITY];
    for ((text, number), real) in texts.iter().zip(numbers).zip(reals) {
        let row = vec![
            SqlValue::Null,
            SqlValue::Integer(number),
            SqlValue::Real(real),
            SqlValue::Text((*text).to_owned()),
            SqlValue::Blob((0..=255).collect()),
        ];
        let changes = database.execute("INSERT INTO v VALUES (?1, ?2, ?3, ?4, ?5)".to_owned(), row.clone()).await;
        assert_eq!(changes.unwrap().rows, 1);
        let rows = database.query("SELECT * FROM v WHERE b = ?1".to_owned(), vec![row[1].clone()]).await.unwrap();
        assert_eq!(rows.columns(), ["a", "b", "c", "d", "e"]);
        assert_eq!(rows.next(10).await.unwrap(), [row]);
        assert!(rows.next(10).await.unwrap().is_empty());
    }
    assert_eq!(execute(&database, "UPDATE v SET a = 1").await, Ok(4));
    assert_eq!(execute(&database, "SELECT 1").await, Ok(0));
}

async fn services_never_see_each_other(engine: &impl SqlEngine) {
    let (one, two) = (database(engine, "one").await, engine.database("two", SETTINGS));
    execute(&one, "INSERT INTO t VALUES (1, 'secret')").await.unwrap();
    assert!(matches!(query(&two, "SELECT * FROM t").await, Err(SqlError::Statement(_))));
    let same = engine.database("one", SETTINGS);
    assert_eq!(number(&same, "SELECT count(*) FROM t").await, 1);
}

async fn errors_say_what_is_wrong(engine: &impl SqlEngine) {
    let database = database(engine, "errors").await;
    execute(&database, "CREATE TABLE c (a INTEGER NOT NULL UNIQUE CHECK (a > 0))").await.unwrap();
    execute(&database, "INSERT INTO c VALUES (1)").await.unwrap();
    for (statement, expected) in [
        ("INSERT INTO c VALUES (1)", "UNIQUE"),
        ("INSERT INTO c VALUES (0)", "CHECK"),
        ("INSERT INTO c VALUES (NULL)", "NOTNULL"),
    ] {
        match execute(&database, statement).await {
            Err(SqlError::Constraint { kind, message }) => assert_eq!(kind, expected, "{message}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
    for statement in
        ["SELEC 1", "SELECT * FROM nothing", "SELECT 1; SELECT 2", "SELECT nothing(1)", "", " -- nothing\n", ";"]
    {
        let error = query(&database, statement).await.unwrap_err();
        assert!(matches!(error, SqlError::Statement(_)), "{statement}: {error:?}");
    }
    let missing = database.execute("INSERT INTO t VALUES (?1, ?2)".to_owned(), vec![SqlValue::Null]).await;
    assert!(matches!(missing, Err(SqlError::Parameter(_))), "{missing:?}");
    let writes = query(&database, "INSERT INTO t VALUES (1, 'a') RETURNING id").await;
    assert!(matches!(writes, Err(SqlError::Statement(_))), "{writes:?}");
    assert_eq!(number(&database, "SELECT count(*) FROM t").await, 0);
}

async fn a_transaction_happens_completely_or_not_at_all(engine: &impl SqlEngine) {
    let database = database(engine, "atomic").await;
    let transaction = database.begin().await.unwrap();
    for id in 0..10 {
        in_transaction(&transaction, &format!("INSERT INTO t VALUES ({id}, 'a')")).await.unwrap();
    }
    // It sees what it did, and nobody else does.
    let rows = transaction.query("SELECT count(*) FROM t".to_owned(), Vec::new()).await.unwrap();
    assert_eq!(all(&rows).await.unwrap(), [[SqlValue::Integer(10)]]);
    assert_eq!(number(&database, "SELECT count(*) FROM t").await, 0);
    // An error in a statement undoes the statement.
    assert!(in_transaction(&transaction, "INSERT INTO t VALUES (20, 'a'), (1, 'b')").await.is_err());
    transaction.commit().await.unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM t").await, 10);
    for late in [in_transaction(&transaction, "DELETE FROM t").await.map(drop), transaction.commit().await] {
        assert!(matches!(late, Err(SqlError::Closed(_))), "{late:?}");
    }

    let transaction = database.begin().await.unwrap();
    let rows = transaction.query("DELETE FROM t RETURNING id".to_owned(), Vec::new()).await.unwrap();
    assert_eq!(all(&rows).await.unwrap().len(), 10);
    transaction.rollback().await.unwrap();
    assert_eq!(number(&database, "SELECT count(*) FROM t").await, 10);
}

async fn a_dropped_transaction_did_not_happen(engine: &impl SqlEngine) {
    let database = database(engine, "dropped").await;
    for _ in 0..20 {
        let transaction = database.begin().await.unwrap();
        in_transaction(&transaction, "INSERT INTO t VALUES (1, 'a')").await.unwrap();
        // In the middle of a statement, too.
        let endless = transaction.query(ENDLESS.to_owned(), Vec::new());
        assert!(tokio::time::timeout(Duration::from_millis(5), endless).await.is_err());
        drop(transaction);
    }
    let begun = Instant::now();
    assert_eq!(execute(&database, "INSERT INTO t VALUES (1, 'b')").await, Ok(1));
    assert!(begun.elapsed() < Duration::from_secs(5), "nothing is waited for");
}

/// A statement that gives nothing for ever.
pub(super) const ENDLESS: &str =
    "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c";

async fn transactions_wait_for_each_other_in_order(engine: &impl SqlEngine) {
    let database = database(engine, "order").await;
    execute(&database, "INSERT INTO t VALUES (1, '0')").await.unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let database = Arc::clone(&database);
            tokio::spawn(async move {
                let transaction = database.begin().await.unwrap();
                let rows = transaction.query("SELECT CAST(v AS INTEGER) FROM t".to_owned(), Vec::new()).await.unwrap();
                let SqlValue::Integer(count) = all(&rows).await.unwrap()[0][0] else { panic!("a number") };
                tokio::task::yield_now().await;
                in_transaction(&transaction, &format!("UPDATE t SET v = '{}'", count + 1)).await.unwrap();
                transaction.commit().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(number(&database, "SELECT CAST(v AS INTEGER) FROM t").await, 20);
}

async fn a_transaction_that_is_held_too_long_is_over(engine: &impl SqlEngine) {
    let database = database(engine, "held").await;
    let brief = SqlSettings { transaction_timeout: Duration::from_millis(100), ..SETTINGS };
    let database_now = engine.database("held", brief);
    let transaction = database_now.begin().await.unwrap();
    in_transaction(&transaction, "INSERT INTO t VALUES (1, 'a')").await.unwrap();
    // The next one gets its turn without the first one being dropped.
    assert_eq!(execute(&database, "INSERT INTO t VALUES (1, 'b')").await, Ok(1));
    for late in [in_transaction(&transaction, "DELETE FROM t").await.map(drop), transaction.commit().await] {
        match late {
            Err(SqlError::Closed(why)) => assert!(why.contains("transactionTimeout"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    // A statement in it ends with it.
    let transaction = database_now.begin().await.unwrap();
    let begun = Instant::now();
    let endless = transaction.query(ENDLESS.to_owned(), Vec::new()).await;
    assert!(matches!(endless, Err(SqlError::Closed(_))), "{endless:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(number(&database, "SELECT count(*) FROM t").await, 1);
    engine.database("held", SETTINGS);
}

async fn fill(database: &Arc<dyn SqlDatabase>, rows: u32, bytes: usize) {
    let transaction = database.begin().await.unwrap();
    for _ in 0..rows {
        let text = SqlValue::Text("x".repeat(bytes));
        transaction.execute("INSERT INTO t (v) VALUES (?1)".to_owned(), vec![text]).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

async fn a_result_is_one_view_of_the_database(engine: &impl SqlEngine) {
    let database = database(engine, "view").await;
    fill(&database, 3000, 10).await;
    let rows = database.query("SELECT id FROM t".to_owned(), Vec::new()).await.unwrap();
    let mut count = rows.next(100).await.unwrap().len();
    execute(&database, "DELETE FROM t").await.unwrap();
    count += all(&rows).await.unwrap().len();
    assert_eq!(count, 3000);
    assert_eq!(number(&database, "SELECT count(*) FROM t").await, 0);
}

async fn large_results_come_in_pieces(engine: &impl SqlEngine) {
    let database = database(engine, "pieces").await;
    fill(&database, 40, 500_000).await;
    let transaction = database.begin().await.unwrap();
    for rows in [
        database.query("SELECT v FROM t".to_owned(), Vec::new()).await.unwrap(),
        transaction.query("SELECT v FROM t".to_owned(), Vec::new()).await.unwrap(),
    ] {
        let mut count = 0;
        loop {
            let piece = rows.next(1000).await.unwrap();
            assert!(piece.len() <= 3, "a piece has about a megabyte, not {} rows", piece.len());
            if piece.is_empty() {
                break;
            }
            count += piece.len();
        }
        assert_eq!(count, 40);
    }
    // Several results of one transaction are read side by side, and one that is dropped leaves the others alone.
    let one = transaction.query("SELECT id FROM t, (SELECT 1 UNION SELECT 2)".to_owned(), Vec::new()).await.unwrap();
    let two = transaction.query("SELECT id, v FROM t".to_owned(), Vec::new()).await.unwrap();
    let three = transaction.query("SELECT v FROM t".to_owned(), Vec::new()).await.unwrap();
    assert_eq!(three.next(1).await.unwrap().len(), 1);
    drop(three);
    assert_eq!((all(&two).await.unwrap().len(), all(&one).await.unwrap().len()), (40, 80));
    transaction.commit().await.unwrap();
}

async fn the_quota_holds_and_changes_live(engine: &impl SqlEngine) {
    let database = database(engine, "quota").await;
    let small = SqlSettings { quota: 1 << 20, ..SETTINGS };
    engine.database("quota", small);
    let insert =
        || database.execute("INSERT INTO t (v) VALUES (?1)".to_owned(), vec![SqlValue::Text("x".repeat(50_000))]);
    let mut written = 0;
    let full = loop {
        match insert().await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&full, SqlError::Full(why) if why.contains("1048576")), "{full:?}");
    assert!((10..=20).contains(&written), "{written}");
    let usage = database.usage().await.unwrap();
    assert!(usage.quota == 1 << 20 && usage.bytes <= 1 << 20 && usage.bytes > 1 << 19, "{usage:?}");
    // A full database is read, and made smaller.
    assert_eq!(number(&database, "SELECT count(*) FROM t").await, written);
    assert_eq!(execute(&database, "DELETE FROM t WHERE id = 1").await, Ok(1));
    insert().await.unwrap();
    engine.database("quota", SETTINGS);
    insert().await.unwrap();
    // One whose quota is lowered below what it has only gets no larger.
    engine.database("quota", small);
    for _ in 0..40 {
        let _ = insert().await;
    }
    assert!(database.usage().await.unwrap().bytes < 3 << 19);
    assert!(execute(&database, "DELETE FROM t").await.unwrap() > 10);
    insert().await.unwrap();
}

async fn rows_that_are_too_large_are_refused(engine: &impl SqlEngine) {
    let database = database(engine, "rows").await;
    let settings = SqlSettings { max_row_size: 100_000, ..SETTINGS };
    engine.database("rows", settings);
    let insert = |bytes: usize| {
        database.execute("INSERT INTO t (v) VALUES (?1)".to_owned(), vec![SqlValue::Text("x".repeat(bytes))])
    };
    insert(90_000).await.unwrap();
    assert!(matches!(insert(100_001).await, Err(SqlError::TooLarge(_))));
    let twice = query(&database, "SELECT v, v FROM t").await;
    assert!(matches!(twice, Err(SqlError::TooLarge(_))), "{twice:?}");
    engine.database("rows", SETTINGS);
    insert(1_000_000).await.unwrap();
    assert_eq!(query(&database, "SELECT v, v FROM t").await.unwrap().len(), 2);
}

pub(super) fn event(id: &str) -> Event {
    Event {
        id: id.to_owned(),
        source: "/services/orders".to_owned(),
        kind: "order.created".to_owned(),
        topic: "order.created".to_owned(),
        subject: Some("42".to_owned()),
        key: None,
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456),
        content_type: Some("application/json".to_owned()),
        schema: None,
        extensions: [("correlationid".to_owned(), "\"a\" b".to_owned())].into(),
        data: Bytes::from_static(b"{\"id\":42}\0"),
    }
}

async fn events_are_there_if_their_transaction_is(engine: &(impl SqlEngine + Outboxes)) {
    let database = database(engine, "outbox").await;
    let outbox = engine.outbox("outbox");
    let mut changed = engine.changed();
    engine.take_changed();
    changed.mark_unchanged();

    let transaction = database.begin().await.unwrap();
    transaction.publish(vec![event("lost")]).await.unwrap();
    transaction.rollback().await.unwrap();
    let transaction = database.begin().await.unwrap();
    transaction.publish(vec![event("dropped")]).await.unwrap();
    drop(transaction);
    assert_eq!(outbox.waiting(10).await.unwrap(), []);
    assert!(!changed.has_changed().unwrap() && engine.take_changed().is_empty());

    let transaction = database.begin().await.unwrap();
    transaction.publish(vec![event("a"), event("b")]).await.unwrap();
    in_transaction(&transaction, "INSERT INTO t VALUES (1, 'a')").await.unwrap();
    transaction.publish(vec![event("c")]).await.unwrap();
    transaction.commit().await.unwrap();
    assert!(changed.has_changed().unwrap());
    assert_eq!(engine.take_changed(), ["outbox"]);
    let waiting = outbox.waiting(2).await.unwrap();
    let events: Vec<_> = waiting.iter().map(|(_, event)| event.clone()).collect();
    assert_eq!(events, [event("a"), event("b")]);
    let numbers: Vec<_> = waiting.iter().map(|(number, _)| *number).collect();
    outbox.published(numbers.clone()).await.unwrap();
    let rest = outbox.waiting(10).await.unwrap();
    assert_eq!(rest.iter().map(|(_, event)| event.id.as_str()).collect::<Vec<_>>(), ["c"]);
    outbox.published(vec![rest[0].0]).await.unwrap();

    // A number is never used again, so what is forgotten twice is forgotten once.
    let transaction = database.begin().await.unwrap();
    transaction.publish(vec![event("d")]).await.unwrap();
    transaction.commit().await.unwrap();
    outbox.published(numbers).await.unwrap();
    outbox.published(vec![rest[0].0]).await.unwrap();
    assert_eq!(outbox.waiting(10).await.unwrap()[0].1, event("d"));
}

pub(super) fn migration(number: u32, sql: &str) -> Migration {
    Migration { number, name: format!("{number:04}_step.sql"), sql: sql.to_owned() }
}

async fn migrations_are_applied_once_and_in_order(engine: &impl SqlEngine) {
    let database = engine.database("migrations", SETTINGS);
    let one = migration(1, "-- orders\nCREATE TABLE o (id INTEGER PRIMARY KEY);\nINSERT INTO o VALUES (1);");
    let two = migration(2, "ALTER TABLE o ADD COLUMN n INTEGER DEFAULT 7;\n\n");
    assert_eq!(database.migrate(Vec::new()).await.unwrap(), Migrated::default());
    let done = database.migrate(vec![one.clone()]).await.unwrap().done;
    assert_eq!(done.iter().map(|had| had.number).collect::<Vec<_>>(), [1]);
    let done = database.migrate(vec![one.clone(), two.clone()]).await.unwrap().done;
    assert_eq!(done.iter().map(|had| had.number).collect::<Vec<_>>(), [2]);
    assert_eq!(database.migrate(vec![one.clone(), two.clone()]).await.unwrap(), Migrated::default());
    // An earlier version of the service comes back.
    let back = database.migrate(vec![one.clone()]).await.unwrap();
    assert_eq!((back.done.len(), back.unknown.len()), (0, 1));
    assert_eq!(number(&database, "SELECT sum(n) FROM o").await, 7);

    let changed = Migration { sql: format!("{} ", one.sql), ..one.clone() };
    let error = database.migrate(vec![changed, two.clone()]).await.unwrap_err();
    assert!(matches!(error, MigrationError::Changed { .. }), "{error:?}");

    // A step that fails leaves nothing of itself, and the steps before it.
    let three = migration(3, "INSERT INTO o VALUES (3, 3);");
    let four =
        migration(4, "INSERT INTO o VALUES (4, 4);\n/* a\n comment */\n-- one more;\nINSERT INTO nothing\nVALUES (1);");
    let all = vec![one.clone(), two.clone(), three.clone(), four];
    match database.migrate(all).await.unwrap_err() {
        MigrationError::Statement { name, line, message } => {
            assert_eq!((name.as_str(), line), ("0004_step.sql", 5), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(number(&database, "SELECT sum(n) FROM o").await, 10);
    let failing = "SELECT 1;\n\nINSERT INTO o\n VALUES (1, 1);\nSELECT 2;";
    match database.migrate(vec![one.clone(), two.clone(), three, migration(4, failing)]).await.unwrap_err() {
        MigrationError::Statement { line, message, .. } => assert_eq!(line, 3, "{message}"),
        other => panic!("{other:?}"),
    }
    // Versions that come at the same time do not meet.
    let five = migration(4, "CREATE TABLE five (a);");
    let steps = vec![one, two, migration(3, "INSERT INTO o VALUES (3, 3);"), five];
    let (left, right) = tokio::join!(database.migrate(steps.clone()), database.migrate(steps));
    assert_eq!(left.unwrap().done.len() + right.unwrap().done.len(), 1);
    let applied = database.applied().await.unwrap();
    assert_eq!(applied.iter().map(|had| had.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
}
