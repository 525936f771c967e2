//! Services with a database of their own: what they keep, what they share with nobody, and what ends when.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use wharf_tests::{Answer, Builder, Wharf, eventually, guest, with_section, within};

const ACCOUNTS: &str = "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE moves (id INTEGER NOT NULL);
INSERT INTO accounts WITH RECURSIVE n (id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM n LIMIT 10) SELECT id, 1000 FROM n;
";

fn migration(dir: &Path, folder: &str, name: &str, sql: &str) {
    let folder = dir.join("plugins").join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), sql).unwrap();
}

fn ledger() -> Builder {
    let builder = Wharf::builder().plugin("ledger");
    migration(builder.dir(), "ledger.migrations", "0001_accounts.sql", ACCOUNTS);
    builder
}

async fn execute(wharf: &Wharf, statement: &str) -> Answer {
    wharf.send("POST", "/ledger/execute", statement.to_owned()).await
}

async fn query(wharf: &Wharf, statement: &str) -> Value {
    let answer = wharf.send("POST", "/ledger/query", statement.to_owned()).await;
    answer.assert_status(200);
    answer.json()
}

#[tokio::test]
async fn values_come_back_as_they_were() {
    let wharf = ledger().start().await;
    execute(&wharf, "CREATE TABLE v (a, b, c, d, e)").await.assert_status(200);
    let parameters = "%5Bnull%2C%20-9007199254740993%2C%200.5%2C%20%22%C3%A9%20%5Cu0000%22%2C%20%5B0%2C255%5D%5D";
    let insert = wharf
        .send("POST", &format!("/ledger/execute?parameters={parameters}"), "INSERT INTO v VALUES (?1, ?2, ?3, ?4, ?5)")
        .await;
    assert_eq!(insert.json(), json!({ "rows": 1, "id": 1 }));
    let expected = json!([[null, -9_007_199_254_740_993_i64, 0.5, "\u{e9} \0", [0, 255]]]);
    assert_eq!(query(&wharf, "SELECT * FROM v").await, expected);
    assert_eq!(query(&wharf, "SELECT sum(balance) FROM accounts").await, json!([[10000]]));
}

#[tokio::test]
async fn errors_have_their_kinds() {
    let wharf = ledger().start().await;
    for (statement, status, text) in [
        ("SELEC 1", 400, "statement: "),
        ("INSERT INTO accounts VALUES (0, 0)", 409, "PRIMARYKEY"),
        ("INSERT INTO accounts VALUES (20, NULL)", 409, "NOTNULL"),
        ("INSERT INTO accounts VALUES (?1, ?2)", 400, "parameter: "),
        ("ATTACH '/etc/passwd' AS x", 400, "ATTACH"),
        ("PRAGMA journal_mode = DELETE", 400, "PRAGMA"),
        ("DELETE FROM _wharf_migrations", 400, "_wharf_"),
        ("SELECT randomblob(100000000)", 413, "too-large: "),
    ] {
        let answer = execute(&wharf, statement).await;
        answer.assert_status(status);
        assert!(answer.text().contains(text), "{statement}: {}", answer.text());
    }
}

#[tokio::test]
async fn services_share_nothing() {
    let builder = ledger().plugin_as("ledger", "other");
    let other = builder.dir().join("state/services/ledger/data.sqlite3");
    let wharf = builder.start().await;
    for statement in [
        "SELECT * FROM accounts".to_owned(),
        format!("ATTACH '{}' AS ledger", other.display()),
        "SELECT * FROM ledger.accounts".to_owned(),
        format!("VACUUM INTO '{}'", other.display()),
        "CREATE VIRTUAL TABLE x USING csv(filename = '../ledger/data.sqlite3')".to_owned(),
    ] {
        let answer = wharf.send("POST", "/other/query", statement.clone()).await;
        assert_eq!(answer.status, 400, "{statement}: {}", answer.text());
    }
    assert_eq!(query(&wharf, "SELECT count(*) FROM accounts").await, json!([[10]]));
}

#[tokio::test]
async fn a_large_result_streams_through_a_small_guest() {
    let wharf = ledger().service("ledger", "limits: { memory: 8MiB, cpuTime: 20s }").start().await;
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) SELECT hex(zeroblob(20000)) FROM n";
    let answer = wharf.send("POST", "/ledger/stream", many).await;
    answer.assert_status(200);
    assert_eq!(answer.body.len(), 1000 * 40_001, "all of it, though it is five times the guest's memory");
}

#[tokio::test]
async fn concurrent_requests_lose_nothing() {
    let wharf = std::sync::Arc::new(ledger().service("ledger", "sql: { durability: normal }").start().await);
    let tasks: Vec<_> = (0..10)
        .map(|worker| {
            let wharf = std::sync::Arc::clone(&wharf);
            tokio::spawn(async move {
                for n in 0..10 {
                    wharf.send("POST", &format!("/ledger/move/{}", worker * 10 + n), "").await.assert_status(204);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let found =
        query(&wharf, "SELECT (SELECT sum(balance) FROM accounts), (SELECT count(DISTINCT id) FROM moves)").await;
    assert_eq!(found, json!([[10000, 100]]));
    // A request makes many queries; none of them keeps anything.
    assert_eq!(wharf.get("/ledger/points/50").await.text(), "50000");
    assert_eq!(wharf.get("/ledger/point/3").await.text(), "1000");
    wharf.get("/ledger/point/30").await.assert_status(404);
}

#[tokio::test]
async fn a_transaction_whose_events_are_refused_did_not_happen() {
    let wharf = ledger().start().await;
    let answer = wharf.send("POST", "/ledger/publish/money.moved", "").await;
    assert!(!answer.status.is_success(), "nobody granted the topic: {}", answer.text());
    assert_eq!(query(&wharf, "SELECT count(*) FROM moves").await, json!([[0]]));
    wharf.configure("services/ledger.yaml", "grants: { publish: [money.moved] }");
    eventually("it is granted, and rows and event are there", async || {
        (wharf.send("POST", "/ledger/publish/money.moved", "").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(query(&wharf, "SELECT count(*) FROM moves").await, json!([[1]]));
}

#[tokio::test]
async fn what_a_request_leaves_open_ends_with_it() {
    for slots in ["fresh", "{ reuse: { maxRequests: 100 } }"] {
        let service = format!(
            "slots: {slots}\nlimits: {{ cpuTime: 500ms }}\nsql: {{ transactionTimeout: 60s, statementTimeout: 10s }}"
        );
        let wharf = ledger().service("ledger", &service).start().await;
        for then in ["trap", "spin"] {
            let answer = wharf.send("POST", &format!("/ledger/hold?then={then}"), "").await;
            assert!(answer.status.is_server_error(), "{then}: {}", answer.status);
            let begun = Instant::now();
            execute(&wharf, "INSERT INTO moves VALUES (1)").await.assert_status(200);
            assert!(begun.elapsed() < Duration::from_secs(5), "nobody waits for what is over");
        }
        assert_eq!(query(&wharf, "SELECT DISTINCT id FROM moves").await, json!([[1]]));
        // A request that would wait for itself is told so at once.
        for then in ["outside", "again"] {
            let begun = Instant::now();
            let answer = wharf.send("POST", &format!("/ledger/hold?then={then}"), "").await;
            answer.assert_status(504);
            assert!(answer.text().contains("transaction open"), "{}", answer.text());
            assert!(begun.elapsed() < Duration::from_secs(5));
        }
        assert_eq!(query(&wharf, "SELECT DISTINCT id FROM moves").await, json!([[1]]));
    }
}

#[tokio::test]
async fn bounds_hold_and_change_live() {
    let wharf = ledger()
        .service("ledger", "sql: { quota: 1MiB, statementTimeout: 300ms, transactionTimeout: 1s, maxRowSize: 64KiB }")
        .start()
        .await;
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let begun = Instant::now();
    let answer = wharf.send("POST", "/ledger/query", endless).await;
    answer.assert_status(504);
    assert!(
        answer.text().contains("statementTimeout") && begun.elapsed() < Duration::from_secs(10),
        "{}",
        answer.text()
    );
    let held = wharf.send("POST", "/ledger/hold?then=sleep", "").await;
    held.assert_status(410);
    assert!(held.text().contains("transactionTimeout"), "{}", held.text());
    execute(&wharf, "CREATE TABLE f (a)").await.assert_status(200);
    execute(&wharf, "INSERT INTO f VALUES (zeroblob(70000))").await.assert_status(413);
    let fill = "INSERT INTO f VALUES (zeroblob(60000))";
    for _ in 0..15 {
        execute(&wharf, fill).await;
    }
    let full = execute(&wharf, "INSERT INTO f SELECT zeroblob(60000) FROM accounts, accounts b").await;
    full.assert_status(507);
    assert!(full.text().contains("sql.quota"), "{}", full.text());

    let roomy = "sql: { quota: 64MiB, statementTimeout: 10s, transactionTimeout: 20s, maxRowSize: 1MiB }";
    wharf.configure("services/ledger.yaml", roomy);
    eventually("a larger row fits", async || {
        (execute(&wharf, "INSERT INTO f VALUES (zeroblob(70000))").await.status == 200).then_some(())
    })
    .await;
    execute(&wharf, "INSERT INTO f SELECT zeroblob(60000) FROM accounts, accounts b").await.assert_status(200);
    wharf.send("POST", "/ledger/hold?then=sleep", "").await.assert_status(204);

    wharf.configure("services/ledger.yaml", "sql: false");
    eventually("it is withheld", async || (execute(&wharf, "SELECT 1").await.status == 403).then_some(())).await;
    wharf.configure("services/ledger.yaml", "sql: true");
    eventually("it is back", async || (execute(&wharf, "SELECT 1").await.status == 200).then_some(())).await;
    assert_eq!(query(&wharf, "SELECT count(*) > 100 FROM f").await, json!([[1]]));
}

#[tokio::test]
async fn migrations_are_applied_before_a_version_serves_and_a_bad_one_keeps_it_away() {
    let wharf = ledger().start().await;
    let next = with_section(guest("ledger"), "other", "2");
    migration(
        wharf.dir(),
        "ledger.migrations",
        "0002_notes.sql",
        "ALTER TABLE accounts ADD COLUMN note TEXT;\n\nINSERT INTO absent VALUES (1);",
    );
    wharf.install("ledger.wasm", &next);
    let reason = wharf.rejection("ledger").await;
    assert!(reason.contains("0002_notes.sql, line 3: no such table: absent"), "{reason}");
    // The old one serves, and nothing of the bad one is there.
    let columns = "SELECT count(*) FROM pragma_table_info('accounts')";
    assert_eq!(query(&wharf, columns).await, json!([[2]]));

    // Corrected, without touching the component.
    migration(wharf.dir(), "ledger.migrations", "0002_notes.sql", "ALTER TABLE accounts ADD COLUMN note TEXT;");
    eventually("it is tried again", async || (query(&wharf, columns).await == json!([[3]])).then_some(())).await;
    let serves = async || {
        let states = wharf.states("ledger").await;
        let is = |word: &str| states.iter().any(|state| state.ends_with(word));
        (is("serving") && !is("rejected")).then_some(())
    };
    within(Duration::from_secs(60), "it serves", serves).await;

    // What was applied cannot change.
    migration(wharf.dir(), "ledger.migrations", "0001_accounts.sql", &format!("{ACCOUNTS}-- one more line\n"));
    wharf.install("ledger.wasm", &with_section(guest("ledger"), "other", "3"));
    eventually("the changed one is named", async || {
        let reason = wharf.rejection("ledger").await;
        reason.contains("0001_accounts.sql is not what was applied").then_some(())
    })
    .await;
    migration(wharf.dir(), "ledger.migrations", "0001_accounts.sql", ACCOUNTS);
    migration(wharf.dir(), "ledger.migrations", "0004_gap.sql", "SELECT 1;");
    eventually("the gap is named", async || {
        wharf.rejection("ledger").await.contains("the migration 0003 is missing").then_some(())
    })
    .await;
    assert_eq!(query(&wharf, "SELECT sum(balance) FROM accounts").await, json!([[10000]]));
}

#[tokio::test]
async fn migrations_may_lie_inside_of_the_component() {
    let section = format!(
        "-- wharf:migration 0001_accounts.sql\n{ACCOUNTS}-- wharf:migration 0002_more.sql\nCREATE TABLE more (a);\n"
    );
    let wasm = with_section(guest("ledger"), "wharf:migrations", &section);
    let wharf = Wharf::builder().file("ledger", &wasm).start().await;
    assert_eq!(query(&wharf, "SELECT count(*) FROM more").await, json!([[0]]));
    // An older version comes back and finds a newer database.
    let section = format!("-- wharf:migration 0001_accounts.sql\n{ACCOUNTS}");
    wharf.install("ledger.wasm", &with_section(guest("ledger"), "wharf:migrations", &section));
    let warned = async || wharf.log().iter().any(|line| line.contains("does not know")).then_some(());
    within(Duration::from_secs(60), "the log says so", warned).await;
    // Without a database there is nothing to apply them to.
    let without = Wharf::builder().file("ledger", &wasm).service("ledger", "sql: false").start().await;
    let reason = without.rejection("ledger").await;
    assert!(reason.contains("sql: false"), "{reason}");
    without.configure("services/ledger.yaml", "sql: true");
    eventually("it serves", async || (without.get("/ledger/health").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_migration_that_does_not_end_is_ended() {
    let builder = Wharf::builder().plugin("ledger").service("ledger", "sql: { migrationTimeout: 300ms }");
    let endless = "CREATE TABLE a AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 30000000) \
                   SELECT count(*) FROM n;";
    migration(builder.dir(), "ledger.migrations", "0001_endless.sql", endless);
    let wharf = builder.start().await;
    let reason = wharf.rejection("ledger").await;
    assert!(reason.contains("0001_endless.sql, line 1") && reason.contains("migrationTimeout"), "{reason}");
    // With more time the same one is done.
    wharf.configure("services/ledger.yaml", "sql: { migrationTimeout: 10m }");
    let serves = async || (wharf.get("/ledger/health").await.status == 200).then_some(());
    within(Duration::from_secs(60), "it serves", serves).await;
}

#[tokio::test]
async fn answered_commits_survive_kills_of_the_host() {
    let mut builder = ledger();
    let mut committed: Vec<i64> = Vec::new();
    for kill in 0..6_u64 {
        let mut wharf = builder.start().await;
        let there: Vec<i64> = query(&wharf, "SELECT id FROM moves")
            .await
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row[0].as_i64().unwrap())
            .collect();
        for id in &committed {
            assert!(there.contains(id), "kill {kill}: {id} is lost");
        }
        assert_eq!(query(&wharf, "SELECT sum(balance) FROM accounts").await, json!([[10000]]), "kill {kill}");
        let base = i64::try_from(kill).unwrap() * 100_000;
        let until = Instant::now() + Duration::from_millis(200 + kill * 73);
        let mut n = base;
        while Instant::now() < until {
            n += 1;
            wharf.send("POST", &format!("/ledger/move/{n}"), "").await.assert_status(204);
            committed.push(n);
        }
        let client = wharf.client().clone();
        let url = wharf.url(&format!("/ledger/move/{}", n + 1));
        let last = tokio::spawn(async move { client.try_send("POST", &url, &[], "").await.map(drop) });
        tokio::time::sleep(Duration::from_millis(kill)).await;
        wharf.signal(Signal::KILL);
        wharf.ended().await;
        let _ = last.await;
        builder = wharf.again();
    }
    assert!(committed.len() > 20, "{}", committed.len());
}
