use super::*;
use crate::{Event, params, published};

#[test]
fn values_go_in_and_come_out() {
    execute("CREATE TABLE t (a, b, c, d, e)", &[]).unwrap();
    let changes = execute("INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)", params![7, 0.5, "x", vec![1_u8], None::<i64>]);
    assert_eq!(changes.unwrap(), Changes { rows: 1, last_insert_id: 1 });
    let (a, b, c, d, e): (u8, f64, String, Vec<u8>, Option<i64>) = first("SELECT * FROM t", &[]).unwrap().unwrap();
    assert_eq!((a, b, c.as_str(), d.as_slice(), e), (7, 0.5, "x", &[1_u8][..], None));
    let row: Row = first("SELECT a, c FROM t", &[]).unwrap().unwrap();
    assert_eq!(row.get::<i64>("a").unwrap(), 7);
    assert!(matches!(row.get::<i64>("c"), Err(SqlError::Column(_))));
    assert!(matches!(row.get::<i64>("z"), Err(SqlError::Column(_))));
    assert_eq!(first::<Row>("SELECT a FROM t WHERE a = 8", &[]).unwrap(), None);
}

#[test]
fn errors_are_those_of_the_host() {
    execute("CREATE TABLE t (a UNIQUE)", &[]).unwrap();
    execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    assert!(execute("INSERT INTO t VALUES (1)", &[]).unwrap_err().violates("UNIQUE"));
    assert!(matches!(execute("INSERT INTO t VALUES (?1)", &[]), Err(SqlError::Parameter(_))));
    assert!(matches!(query("SELEC", &[]), Err(SqlError::Statement(_))));
    assert!(matches!(query("DELETE FROM t RETURNING a", &[]), Err(SqlError::Statement(_))));
}

#[test]
fn a_transaction_happens_with_its_events_or_not_at_all() {
    execute("CREATE TABLE t (a)", &[]).unwrap();
    let failed: Result<(), SqlError> = transaction(|tx| {
        tx.execute("INSERT INTO t VALUES (1)", &[])?;
        tx.publish(vec![Event::new("a.b")])?;
        Err(SqlError::Full("no".to_owned()))
    });
    assert!(failed.is_err());
    assert_eq!((first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), published().len()), (Some((0,)), 0));
    let ids = transaction(|tx| -> Result<_, SqlError> {
        tx.execute("INSERT INTO t VALUES (1)", &[])?;
        tx.publish(vec![Event::new("a.b").id("7")])
    });
    assert_eq!(ids.unwrap(), ["7"]);
    assert_eq!((first::<(i64,)>("SELECT count(*) FROM t", &[]).unwrap(), published().len()), (Some((1,)), 1));
}

#[test]
fn what_was_handled_is_not_handled_again() {
    let handle = |id: &str| transaction(|tx| idempotent(tx, id)).unwrap();
    assert_eq!([handle("a"), handle("b"), handle("a")], [true, true, false]);
    let failed: Result<(), SqlError> = transaction(|tx| {
        idempotent(tx, "c")?;
        Err(SqlError::Full(String::new()))
    });
    assert!(failed.is_err() && handle("c"));
}

#[test]
fn a_migration_is_applied_as_a_whole() {
    let text = "CREATE TABLE a (id PRIMARY KEY);\n-- more\nCREATE TABLE b (a REFERENCES a (id) NOT NULL);\n";
    crate::migrate(text).unwrap();
    assert!(execute("INSERT INTO b VALUES (1)", &[]).unwrap_err().violates("FOREIGNKEY"));
    assert!(crate::migrate(text).is_err(), "it is there");
}

#[test]
fn rows_come_one_by_one() {
    let many = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 1000) SELECT n FROM c";
    assert_eq!(all::<(i64,)>(many, &[]).unwrap().len(), 1000);
    assert_eq!(query(many, &[]).unwrap().take(3).count(), 3);
}
