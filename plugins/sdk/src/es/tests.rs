use serde::{Deserialize, Serialize};

use super::*;
use crate::sql;
use crate::{Event, params, published};

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    balance: i64,
}

#[derive(Serialize, Deserialize)]
enum Moved {
    In(i64),
    Out(i64),
}

impl Aggregate for Account {
    type Event = Moved;
    const KIND: &'static str = "account";
    const SNAPSHOT_EVERY: u64 = 3;

    fn apply(&mut self, event: &Moved) {
        match event {
            Moved::In(amount) => self.balance += amount,
            Moved::Out(amount) => self.balance -= amount,
        }
    }

    fn publish(id: &str, version: u64, event: &Moved) -> Option<Event> {
        matches!(event, Moved::Out(_)).then(|| Event::new("account.out").id(format!("{id}-{version}")))
    }
}

fn deposit(id: &str, amount: i64) -> Result<u64, EsError> {
    command::<Account>(id, |_| Ok(vec![Moved::In(amount)]))
}

fn withdraw(id: &str, amount: i64) -> Result<u64, EsError> {
    command::<Account>(id, |account| {
        if account.balance < amount {
            return Err(EsError::refused("too low"));
        }
        Ok(vec![Moved::Out(amount)])
    })
}

fn loaded(id: &str) -> Loaded<Account> {
    sql::transaction(|tx| load(tx, id)).unwrap()
}

#[test]
fn an_aggregate_is_made_of_what_happened() {
    setup().unwrap();
    assert_eq!(loaded("7"), Loaded::default());
    assert_eq!((deposit("7", 10).unwrap(), withdraw("7", 4).unwrap(), deposit("8", 1).unwrap()), (1, 2, 1));
    assert!(matches!(withdraw("7", 7), Err(EsError::Refused(_))));
    assert_eq!(loaded("7"), Loaded { state: Account { balance: 6 }, version: 2 });
    let ids: Vec<_> = published().into_iter().map(|event| event.id).collect();
    assert_eq!(ids, [Some("7-2".to_owned())]);
}

#[test]
fn a_writer_that_saw_an_older_version_is_refused() {
    setup().unwrap();
    deposit("7", 10).unwrap();
    let write = |expected| sql::transaction(|tx| append(tx, "account/7", expected, &[Moved::In(1)]));
    assert!(matches!(write(Expected::Version(0)), Err(EsError::Conflict { expected: 0, found: 1, .. })));
    assert_eq!((write(Expected::Version(1)).unwrap(), write(Expected::Any).unwrap()), (2, 3));
}

#[test]
fn snapshots_stand_for_the_events_before_them() {
    setup().unwrap();
    for _ in 0..7 {
        deposit("7", 1).unwrap();
    }
    let kept: Option<(u64,)> = sql::first("SELECT version FROM es_snapshots", &[]).unwrap();
    assert_eq!(kept, Some((6,)));
    // What is before a snapshot is not read.
    sql::execute("UPDATE es_events SET data = 'broken' WHERE version <= 6", &[]).unwrap();
    assert_eq!(loaded("7").state.balance, 7);
    sql::execute("UPDATE es_snapshots SET state = 'broken'", &[]).unwrap();
    assert!(matches!(sql::transaction(|tx| load::<Account>(tx, "7")), Err(EsError::Form { version: 1, .. })));
}

const TOTALS: Projection = Projection {
    name: "totals",
    clear: |tx| Ok(tx.execute("DELETE FROM totals", &[]).map(drop)?),
    apply: |tx, event| {
        if let Moved::In(amount) = event.read()? {
            let write =
                "INSERT INTO totals VALUES (?1, ?2) ON CONFLICT (stream) DO UPDATE SET total = total + excluded.total";
            tx.execute(write, params![&event.stream, amount])?;
        }
        Ok(())
    },
};

#[test]
fn a_projection_goes_on_where_it_was_and_can_be_made_again() {
    setup().unwrap();
    sql::execute("CREATE TABLE totals (stream TEXT PRIMARY KEY, total INTEGER)", &[]).unwrap();
    let total = || sql::first::<(i64,)>("SELECT sum(total) FROM totals", &[]).unwrap();
    for _ in 0..5 {
        deposit("7", 2).unwrap();
    }
    assert_eq!((TOTALS.catch_up(3).unwrap(), TOTALS.catch_up(3).unwrap(), TOTALS.catch_up(3).unwrap()), (3, 2, 0));
    assert_eq!(total(), Some((10,)));
    deposit("8", 1).unwrap();
    TOTALS.rebuild().unwrap();
    assert_eq!(TOTALS.catch_up(100).unwrap(), 6);
    assert_eq!(total(), Some((11,)));
}
