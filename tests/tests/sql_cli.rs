//! `wharf sql`: an operator's look into the databases of services, through the real binary, and what it must not do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::path::Path;

use serde_json::{Value, json};
use wharf_tests::{Wharf, binary};

const NOTES: &str = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, data BLOB, weight REAL);
INSERT INTO notes VALUES (1, 'one', x'00ff', 0.5), (2, 'two' || char(27) || '[31m', NULL, NULL);
CREATE VIEW light AS SELECT id FROM notes WHERE weight < 1;
";

async fn started() -> Wharf {
    let builder = Wharf::builder().plugin("ledger");
    let folder = builder.dir().join("plugins/ledger.migrations");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("0001_notes.sql"), NOTES).unwrap();
    builder.start().await
}

/// Exit code, standard output and standard error of `wharf sql …` beside this host, or where it was.
fn sql(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let state = dir.join("state");
    let mut command = std::process::Command::new(binary());
    let output = command.arg("sql").args(["--state", state.to_str().unwrap()]).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn prints(dir: &Path, arguments: &[&str]) -> String {
    let (code, out, errors) = sql(dir, arguments);
    assert_eq!((code, errors.as_str()), (0, ""), "{arguments:?}: {out}");
    out
}

fn rows(dir: &Path, statement: &str) -> Value {
    serde_json::from_str::<Value>(&prints(dir, &["ledger", statement, "--json"])).unwrap()["rows"].clone()
}

#[tokio::test]
async fn an_operator_looks_into_a_database_beside_the_host_and_without_it() {
    let wharf = started().await;
    let text = prints(wharf.dir(), &["ledger"]);
    assert!(text.contains("CREATE TABLE notes") && text.contains("light") && !text.contains("_wharf_"), "{text}");
    let text = prints(wharf.dir(), &["ledger", "SELECT * FROM notes"]);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["id", "text", "data", "weight"]);
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["1", "one", "x'00ff'", "0.5"]);
    assert!(lines[2].contains("two\\u{1b}[31m") && lines[2].contains("NULL") && lines[4] == "2 rows", "{text}");
    let of_light = "SELECT id, data, weight FROM notes WHERE id IN (SELECT id FROM light)";
    assert_eq!(rows(wharf.dir(), of_light), json!([[1, { "base64": "AP8=" }, 0.5]]));

    // It is as it is now, written by the running service.
    wharf.send("POST", "/ledger/execute", "INSERT INTO notes (id) VALUES (7)").await.assert_status(200);
    assert_eq!(rows(wharf.dir(), "SELECT max(id) FROM notes"), json!([[7]]));
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    let text = prints(wharf.dir(), &["ledger", many, "--limit", "5"]);
    assert!(text.contains("the first 5 rows; there are more") && text.lines().count() == 8, "{text}");
    let page: Value = serde_json::from_str(&prints(wharf.dir(), &["ledger", many, "--json"])).unwrap();
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["more"]), (100, &json!(true)));
    let large = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT hex(zeroblob(1000000)) FROM n";
    let text = prints(wharf.dir(), &["ledger", large, "--limit", "1000"]);
    assert!(text.contains("there are more") && text.lines().count() < 30, "bytes are bounded too");

    let builder = wharf.stop().await;
    assert_eq!(rows(builder.dir(), "SELECT count(*) FROM notes"), json!([[3]]));
}

#[tokio::test]
async fn it_reads_one_database_and_writes_nothing() {
    let wharf = started().await;
    let other = wharf.dir().join("state/services/other/data.sqlite3");
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    std::fs::copy(wharf.dir().join("state/services/ledger/data.sqlite3"), &other).unwrap();
    let attach = format!("ATTACH '{}' AS other", other.display());
    let into = format!("VACUUM INTO '{}'", wharf.dir().join("copy").display());
    for statement in [
        "DELETE FROM notes",
        "DELETE FROM notes RETURNING id",
        "INSERT INTO notes (id) VALUES (9)",
        "SELECT 1; DELETE FROM notes",
        "DROP TABLE notes",
        "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x (a)",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "SAVEPOINT a",
        "VACUUM",
        &into,
        &attach,
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA user_version = 9",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "SELECT load_extension('/tmp/x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('/tmp/x', 'y')",
        "SELECT * FROM _wharf_outbox",
        "SELECT * FROM \"_WHARF_migrations\"",
        "SELECT ?1",
        "",
        "SELEC",
        "SELECT '\u{1b}[31m' FROM nothing",
    ] {
        let (code, out, errors) = sql(wharf.dir(), &["ledger", statement]);
        assert!(code == 1 && out.is_empty() && errors.starts_with("wharf: "), "{statement}: {code} {out} {errors}");
        assert!(!errors.contains('\u{1b}'), "{statement}: {errors:?}");
    }
    // In words for whoever sits there, who has no `execute` and no transaction.
    for (statement, expected) in [
        ("DELETE FROM notes", "only statements that read are run here"),
        ("INSERT INTO notes (id) VALUES (9) RETURNING id", "data is changed by its service or a migration"),
        ("BEGIN", "there are no transactions here"),
        (attach.as_str(), "ATTACH, DETACH and VACUUM are not run here"),
        ("SELECT * FROM nowhere", "no such table: nowhere"),
    ] {
        let (_, _, errors) = sql(wharf.dir(), &["ledger", statement]);
        assert!(errors.contains(expected), "{statement}: {errors}");
        assert!(!errors.contains("use execute") && !errors.contains("use the transaction"), "{statement}: {errors}");
    }
    assert!(!wharf.dir().join("copy").exists());
    assert_eq!(rows(wharf.dir(), "SELECT count(*) FROM notes"), json!([[2]]));
    wharf.send("POST", "/ledger/execute", "INSERT INTO notes (id) VALUES (9)").await.assert_status(200);
}

#[tokio::test]
async fn what_is_not_there_is_said_and_not_made() {
    let wharf = started().await;
    for service in ["nobody", "../ledger", "", "ledger/../ledger", "a\u{1b}[31mb"] {
        let (code, _, errors) = sql(wharf.dir(), &[service, "SELECT 1"]);
        assert!(code == 1 && errors.contains("has no database") && errors.contains("ledger"), "{service}: {errors}");
        assert!(!errors.contains('\u{1b}'), "{errors:?}");
    }
    assert!(!wharf.dir().join("state/services/nobody").exists());
    let (code, _, errors) = sql(&wharf.dir().join("nowhere"), &["ledger"]);
    assert!(code == 1 && errors.contains("has no database") && !wharf.dir().join("nowhere").exists(), "{errors}");
    for (arguments, says) in [
        (&["ledger", "SELECT 1", "--limit", "0"][..], "0"),
        (&["ledger", "SELECT 1", "--limit", "100001"], "100001"),
        (&["ledger", "SELECT 1", "SELECT 2"], "unexpected argument"),
        (&[], "<SERVICE>"),
    ] {
        let (code, out, errors) = sql(wharf.dir(), arguments);
        assert!(code == 2 && out.is_empty() && errors.contains(says), "{arguments:?}: {errors}");
    }
}
