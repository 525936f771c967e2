//! What a hostile service may try, and that nothing comes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::state::sql_contract::{ENDLESS, SETTINGS, event, execute, migration, number, query};
use crate::state::sqlite::SqliteState;
use crate::state::{Outboxes, SqlDatabase, SqlEngine, SqlError, SqlSettings, SqlValue};

/// Within this time a statement has ended that would take minutes, or for ever; on a busy machine too.
const ENDED: Duration = Duration::from_secs(25);

struct Fixture {
    root: TempDir,
    state: SqliteState,
    database: Arc<dyn SqlDatabase>,
}

async fn fixture(settings: SqlSettings) -> Fixture {
    let root = tempfile::tempdir().unwrap();
    let state = SqliteState::new(root.path().join("state"));
    let database = state.database("orders", settings);
    execute(&database, "CREATE TABLE t (id INTEGER PRIMARY KEY, v)").await.unwrap();
    Fixture { root, state, database }
}

/// By every way that there is, each of which must refuse it with a statement error.
async fn refused(database: &Arc<dyn SqlDatabase>, statement: &str) {
    let is_refusal = |error: &SqlError| matches!(error, SqlError::Statement(_));
    let by_query = database.query(statement.to_owned(), Vec::new()).await;
    assert!(by_query.as_ref().is_err_and(is_refusal), "query: {statement}: {by_query:?}");
    let by_execute = database.execute(statement.to_owned(), Vec::new()).await;
    assert!(by_execute.as_ref().is_err_and(is_refusal), "execute: {statement}: {by_execute:?}");
    let transaction = database.begin().await.unwrap();
    let inside = transaction.execute(statement.to_owned(), Vec::new()).await;
    assert!(inside.as_ref().is_err_and(is_refusal), "transaction: {statement}: {inside:?}");
    drop(transaction);
    let migrated = database.migrate(vec![migration(1, statement)]).await;
    assert!(migrated.is_err(), "migration: {statement}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_reaches_another_file_or_the_settings() {
    let Fixture { root, state: _state, database } = fixture(SETTINGS).await;
    let other = root.path().join("state/services/users");
    std::fs::create_dir_all(&other).unwrap();
    let other = other.join("data.sqlite3");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE secrets (a)").unwrap();
    let path = other.display();
    for statement in [
        format!("ATTACH '{path}' AS other"),
        format!("ATTACH 'file:{path}?mode=ro' AS other"),
        "ATTACH ':memory:' AS other".to_owned(),
        "DETACH main".to_owned(),
        format!("VACUUM INTO '{path}.copy'"),
        "VACUUM".to_owned(),
        "SELECT load_extension('/tmp/x.so')".to_owned(),
        "SELECT writefile('/tmp/wharf-hostile', 'x')".to_owned(),
        "SELECT readfile('/etc/passwd')".to_owned(),
        "SELECT fts3_tokenizer('simple')".to_owned(),
        "SELECT json_patch('{}', '{}')".to_owned(),
        "CREATE VIRTUAL TABLE x USING csv(filename = '/etc/passwd')".to_owned(),
        "CREATE VIRTUAL TABLE x USING fts3(a)".to_owned(),
        "CREATE VIRTUAL TABLE x USING dbstat".to_owned(),
        "SELECT * FROM dbstat".to_owned(),
        "BEGIN".to_owned(),
        "COMMIT".to_owned(),
        "END".to_owned(),
        "ROLLBACK".to_owned(),
        "SAVEPOINT a".to_owned(),
        "RELEASE a".to_owned(),
        "CREATE TEMP TABLE x (a)".to_owned(),
        "CREATE TEMP VIEW x AS SELECT 1".to_owned(),
        "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END".to_owned(),
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE t (id)' WHERE name = 't'".to_owned(),
        "DELETE FROM sqlite_schema".to_owned(),
        "INSERT INTO sqlite_schema VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x (a)')".to_owned(),
    ] {
        refused(&database, &statement).await;
    }
    for pragma in [
        "writable_schema = ON",
        "foreign_keys = OFF",
        "journal_mode = DELETE",
        "synchronous = OFF",
        "cache_size = -9999999",
        "max_page_count = 4294967294",
        "temp_store_directory = '/etc'",
        "data_store_directory = '/etc'",
        "temp_store = 2",
        "mmap_size = 1000000000000",
        "hard_heap_limit = 1",
        "soft_heap_limit = 1",
        "query_only = OFF",
        "trusted_schema = ON",
        "locking_mode = EXCLUSIVE",
        "wal_autocheckpoint = 0",
        "wal_checkpoint(TRUNCATE)",
        "user_version = 7",
        "application_id = 7",
        "encoding = 'UTF-16'",
        "page_size = 512",
        "secure_delete = ON",
        "threads = 8",
        "busy_timeout = 999999",
        "optimize",
        "database_list",
        "compile_options",
        "module_list",
        "recursive_triggers = ON",
        "ignore_check_constraints = ON",
        "legacy_alter_table = ON",
        "cell_size_check = OFF",
        "journal_size_limit = -1",
        "incremental_vacuum",
        "shrink_memory",
        "function_list",
        "table_info(_wharf_outbox)",
    ] {
        refused(&database, &format!("PRAGMA {pragma}")).await;
        refused(&database, &format!("PRAGMA main.{pragma}")).await;
    }
    assert!(!other.with_extension("sqlite3.copy").exists());
    // What only tells about the service's own tables is there.
    for pragma in
        ["table_info(t)", "table_xinfo('t')", "index_list(t)", "foreign_key_list(t)", "integrity_check", "page_count"]
    {
        query(&database, &format!("PRAGMA {pragma}")).await.unwrap();
    }
    assert_eq!(number(&database, "SELECT count(*) FROM pragma_table_info('t')").await, 2);
    let hidden = query(&database, "SELECT * FROM pragma_database_list").await;
    assert!(matches!(hidden, Err(SqlError::Statement(_))), "{hidden:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_the_host_are_not_read_or_changed() {
    let Fixture { root: _root, state, database } = fixture(SETTINGS).await;
    let transaction = database.begin().await.unwrap();
    transaction.publish(vec![event("a")]).await.unwrap();
    transaction.commit().await.unwrap();
    for statement in [
        "SELECT * FROM _wharf_outbox",
        "SELECT * FROM main._WHARF_OUTBOX",
        "SELECT * FROM \"_wharf_meta\"",
        "SELECT (SELECT max(number) FROM _wharf_migrations)",
        "INSERT INTO _wharf_outbox (id) VALUES ('x')",
        "UPDATE _wharf_meta SET outbox = 0",
        // The words of the host's own statements.
        "SELECT * FROM _wharf_outbox ORDER BY number LIMIT 1",
        "DELETE FROM _wharf_outbox WHERE number = 1",
        "DELETE FROM _wharf_outbox",
        "DROP TABLE _wharf_outbox",
        "ALTER TABLE _wharf_outbox RENAME TO mine",
        "ALTER TABLE t RENAME TO _wharf_mine",
        "CREATE INDEX mine ON _wharf_outbox (id)",
        "CREATE INDEX _wharf_mine ON t (v)",
        "CREATE TABLE _wharf_mine (a)",
        "CREATE TABLE _WhArF_mine (a)",
        "CREATE VIEW _wharf_mine AS SELECT 1",
        "CREATE TRIGGER mine AFTER INSERT ON _wharf_outbox BEGIN DELETE FROM t; END",
        "CREATE TRIGGER _wharf_mine AFTER INSERT ON t BEGIN DELETE FROM t; END",
        "CREATE VIRTUAL TABLE _wharf_mine USING fts5(a)",
        "CREATE TABLE copy AS SELECT * FROM _wharf_outbox",
        "ANALYZE _wharf_outbox",
    ] {
        let by_execute = database.execute(statement.to_owned(), Vec::new()).await;
        assert!(matches!(by_execute, Err(SqlError::Statement(_))), "{statement}: {by_execute:?}");
        assert!(database.migrate(vec![migration(1, statement)]).await.is_err(), "{statement}");
        assert_eq!(state.outbox("orders").waiting(10).await.unwrap().len(), 1, "{statement}");
    }
    // By way of what is only compiled when it is used.
    execute(&database, "CREATE VIEW w AS SELECT id FROM _wharf_outbox").await.unwrap_or_default();
    execute(&database, "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM _wharf_outbox; END")
        .await
        .unwrap_or_default();
    assert!(query(&database, "SELECT * FROM w").await.is_err());
    let triggered = execute(&database, "INSERT INTO t (v) VALUES (1)").await;
    assert!(matches!(triggered, Err(SqlError::Statement(_))), "{triggered:?}");
    assert_eq!(state.outbox("orders").waiting(10).await.unwrap().len(), 1);
    // The schema tells their names and nothing else.
    assert_eq!(number(&database, "SELECT count(*) FROM sqlite_schema WHERE name = '_wharf_outbox'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_statements_end_on_time_and_give_their_thread_back() {
    let settings = SqlSettings { statement_timeout: Duration::from_millis(300), max_row_size: 2 << 20, ..SETTINGS };
    let Fixture { root: _root, state: _state, database } = fixture(settings).await;
    let views: String = (1..=40).fold("CREATE VIEW v0 AS SELECT 1 AS a;\n".to_owned(), |sql, n| {
        sql + &format!("CREATE VIEW v{n} AS SELECT x.a FROM v{0} x UNION ALL SELECT y.a FROM v{0} y;\n", n - 1)
    });
    for view in views.lines() {
        execute(&database, view).await.unwrap();
    }
    let mut statements: Vec<String> = [
        ENDLESS,
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c ORDER BY n DESC",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION SELECT n + 1 FROM c) SELECT max(n) FROM c",
        "WITH RECURSIVE c (n, b) AS (SELECT 1, randomblob(1000000) UNION ALL SELECT n + 1, randomblob(1000000) FROM c)
         SELECT n FROM c ORDER BY b",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 100000)
         SELECT count(*) FROM c a, c b, c d, c e WHERE a.n + b.n + d.n + e.n = -1",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
         SELECT sum(instr(zeroblob(2000000), zeroblob(1000000) || x'01')) FROM c",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
         SELECT sum(length(replace(hex(zeroblob(900000)), hex(zeroblob(400000)) || '1', 'x'))) FROM c",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
         SELECT sum(length(trim(hex(zeroblob(900000)), hex(zeroblob(900000)) || '1'))) FROM c",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c)
         SELECT sum(hex(zeroblob(900000)) LIKE '%' || hex(zeroblob(100)) || '1') FROM c",
        "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 10000000)
         SELECT sum(s) FROM (SELECT sum(n) OVER (ORDER BY n ROWS BETWEEN 100000 PRECEDING AND 100000 FOLLOWING) AS s FROM c)",
        "SELECT count(*) FROM v40",
    ]
    .map(str::to_owned)
    .into();
    statements.push(format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)));
    statements.push(format!("SELECT {}1", "1+".repeat(50_000)));
    statements.push(format!("SELECT {}", vec!["(SELECT count(*) FROM t)"; 3000].join(" + ")));
    for statement in &statements {
        let shown: String = statement.chars().take(120).collect();
        let begun = Instant::now();
        let error = query(&database, statement).await.expect_err(&shown);
        let took = begun.elapsed();
        assert!(!matches!(error, SqlError::Unavailable(_)), "{shown}: {error:?}");
        assert!(took < ENDED, "{shown}: {took:?} {error:?}");
        let begun = Instant::now();
        let by_execute = execute(&database, &format!("CREATE TABLE made AS {statement}")).await;
        assert!(by_execute.is_err(), "{shown}");
        assert!(begun.elapsed() < ENDED, "{shown}: {:?}", begun.elapsed());
    }
    // Nothing runs on: the threads are there for others at once.
    let begun = Instant::now();
    for _ in 0..20 {
        number(&database, "SELECT 1").await;
        execute(&database, "INSERT INTO t (v) VALUES (1)").await.unwrap();
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_temporary_files_are_bounded() {
    let settings = SqlSettings { statement_timeout: Duration::from_secs(20), quota: 16 << 20, ..SETTINGS };
    let Fixture { root: _root, state: _state, database } = fixture(settings).await;
    let before = resident_bytes();
    for statement in [
        "SELECT randomblob(1000000000)",
        "SELECT length(zeroblob(1000000000) || 'x')",
        "SELECT hex(zeroblob(2000000))",
        "SELECT printf('%*d', 1000000000, 1)",
        "SELECT printf('%.*c', 1000000000, 'x')",
        "SELECT replace(hex(zeroblob(1000000)), '0', hex(zeroblob(1000000)))",
        "SELECT group_concat(hex(randomblob(500000))) FROM (WITH RECURSIVE c (n) AS
            (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 1000) SELECT n FROM c)",
        "WITH RECURSIVE c (x) AS (SELECT 'ab' UNION ALL SELECT x || x FROM c) SELECT max(length(x)) FROM c",
        "SELECT json_group_array(n) FROM (WITH RECURSIVE c (n) AS
            (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 10000000) SELECT n FROM c)",
        // More temporary bytes than any statement may write: a sort of gigabytes.
        "WITH RECURSIVE c (n, b) AS (SELECT 1, randomblob(500000) UNION ALL SELECT n + 1, randomblob(500000) FROM c
            LIMIT 4000) SELECT n FROM c ORDER BY b",
    ] {
        let error = query(&database, statement).await.expect_err(statement);
        assert!(matches!(error, SqlError::TooLarge(_)), "{statement}: {error:?}");
        let grown = resident_bytes().saturating_sub(before);
        assert!(grown < 256 << 20, "{statement}: {} MiB", grown >> 20);
    }
    // Many columns of many bytes: within SQLite's bounds, and beyond those of a row.
    let columns = vec!["randomblob(1000000)"; 150].join(", ");
    let error = query(&database, &format!("SELECT {columns}")).await.unwrap_err();
    assert!(matches!(error, SqlError::TooLarge(_)), "{error:?}");
    let too_many = vec!["1"; 201].join(", ");
    assert!(query(&database, &format!("SELECT {too_many}")).await.is_err());
    let long = format!("SELECT '{}'", "x".repeat(300_000));
    assert!(matches!(query(&database, &long).await, Err(SqlError::TooLarge(_))));
    let parameters = vec![SqlValue::Integer(1); 5000];
    let marks = vec!["?"; 5000].join(", ");
    let error = database.query(format!("SELECT 1 WHERE 1 IN ({marks})"), parameters).await.unwrap_err();
    assert!(matches!(error, SqlError::Statement(_) | SqlError::Parameter(_)), "{error:?}");
    // A schema is held in memory by each connection.
    let mut made = 0;
    while made < 3000 && execute(&database, &format!("CREATE TABLE many_{made} (a)")).await.is_ok() {
        made += 1;
    }
    assert!((1000..2000).contains(&made), "{made}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_transaction_holds_a_bounded_number_of_results_and_events() {
    let Fixture { root: _root, state: _state, database } = fixture(SETTINGS).await;
    let many = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 5000) SELECT n FROM c";
    let transaction = database.begin().await.unwrap();
    let mut held = Vec::new();
    let error = loop {
        match transaction.query(many.to_owned(), Vec::new()).await {
            Ok(rows) => held.push(rows),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SqlError::TooLarge(_)), "{error:?}");
    assert_eq!(held.len(), crate::state::MAX_OPEN_ROWS);
    held.pop();
    transaction.query(many.to_owned(), Vec::new()).await.unwrap();

    let events: Vec<_> = (0..crate::state::MAX_TRANSACTION_EVENTS + 1).map(|n| event(&n.to_string())).collect();
    let error = transaction.publish(events).await.unwrap_err();
    assert!(matches!(error, SqlError::TooLarge(_)), "{error:?}");
    assert!(transaction.commit().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_in_place_of_sqlites_own_mean_the_same() {
    let Fixture { root: _root, state: _state, database } = fixture(SETTINGS).await;
    let plain = rusqlite::Connection::open_in_memory().unwrap();
    for expression in [
        "instr('h\u{e9}llo', 'llo')",
        "instr('abc', '')",
        "instr('', 'a')",
        "instr(x'010203', x'0203')",
        "instr(x'0102', '')",
        "instr(NULL, 'a')",
        "instr('a', NULL)",
        "instr(12345, 34)",
        "instr('abc', x'62')",
        "replace('aXbXc', 'X', '--')",
        "replace('abc', '', 'x')",
        "replace('aaa', 'aa', 'b')",
        "replace(NULL, 'a', 'b')",
        "replace(1223, 2, 0)",
        "trim('  a ', ' ')",
        "trim('xxyaxy', 'xy')",
        "ltrim('xxa', 'x')",
        "rtrim('axx', 'x')",
        "trim('\u{e9}a\u{e9}', '\u{e9}')",
        "trim('abc', '')",
        "trim(NULL, 'a')",
        "trim(' a ')",
        "hex(unhex('0a 0B', ' '))",
        "unhex('0', ' ')",
        "unhex('0 a', ' ') IS NULL",
        "unhex('zz', ' ')",
        "hex(unhex('0a-0b', '-'))",
        "typeof(unhex('', ' '))",
    ] {
        let text = |value: SqlValue| format!("{value:?}");
        let ours = text(query(&database, &format!("SELECT {expression}")).await.unwrap()[0][0].clone());
        let theirs = plain
            .query_row(&format!("SELECT {expression}"), [], |row| row.get::<_, rusqlite::types::Value>(0))
            .unwrap();
        assert_eq!(ours, format!("{theirs:?}"), "{expression}");
    }
}
