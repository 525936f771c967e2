//! Event sourcing on the service's own database: what happened is kept, and everything else is made of it.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use wharf_sdk::es::{self, Aggregate, EsError};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Account {
//!     balance: i64,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! enum Moved {
//!     In(i64),
//!     Out(i64),
//! }
//!
//! impl Aggregate for Account {
//!     type Event = Moved;
//!     const KIND: &'static str = "account";
//!
//!     fn apply(&mut self, event: &Moved) {
//!         match event {
//!             Moved::In(amount) => self.balance += amount,
//!             Moved::Out(amount) => self.balance -= amount,
//!         }
//!     }
//! }
//!
//! /// A command: decides on the state, and says what happened.
//! fn withdraw(id: &str, amount: i64) -> Result<u64, EsError> {
//!     es::command::<Account>(id, |account| {
//!         if account.balance < amount {
//!             return Err(EsError::refused("the balance is too low"));
//!         }
//!         Ok(vec![Moved::Out(amount)])
//!     })
//! }
//! ```
//!
//! - A *stream* (`account/7`) has events with versions from 1. [`append`] adds to it if it still has the version that the
//!   writer saw, else it is a [`EsError::Conflict`].
//! - [`load`] makes an aggregate of its stream, beginning with its last snapshot; [`command`] does so, decides and appends
//!   in one transaction, and makes a snapshot every [`Aggregate::SNAPSHOT_EVERY`] events.
//! - Events that others shall hear of are published in the same transaction ([`Aggregate::publish`]), through the outbox.
//! - A [`Projection`] reads all events in order into tables that are good to ask, with a checkpoint of its own. It can be
//!   dropped and made again of the events ([`Projection::rebuild`]): they are never changed.
//!
//! The tables are `es_events`, `es_snapshots` and `es_checkpoints`; [`SCHEMA`] makes them, in a migration or by [`setup`].

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sql::{self, SqlError, Transaction};
use crate::{Event, params};

/// Makes the tables. The text of a migration.
pub const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS es_events (
    position INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    version INTEGER NOT NULL,
    data TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
    UNIQUE (stream, version)
) STRICT;
CREATE TABLE IF NOT EXISTS es_snapshots (
    stream TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    state TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS es_checkpoints (
    projection TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;
";

/// What is made of a stream of events.
pub trait Aggregate: Default + Serialize + DeserializeOwned {
    /// What can happen to it.
    type Event: Serialize + DeserializeOwned;
    /// The first part of the names of its streams.
    const KIND: &'static str;
    /// After how many events [`command`] keeps the state, so that loading stays quick; never with 0.
    const SNAPSHOT_EVERY: u64 = 100;

    /// Takes in what happened. It did happen, so this cannot refuse.
    fn apply(&mut self, event: &Self::Event);

    /// What others are told of an event; nothing if it is the service's own business. Give it an id made of stream and
    /// version, so that it is published once.
    fn publish(_id: &str, _version: u64, _event: &Self::Event) -> Option<Event> {
        None
    }
}

/// Which version of a stream a writer relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It does not matter.
    Any,
    /// The stream has so many events; 0 if there is none yet.
    Version(u64),
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum EsError {
    /// Somebody else wrote to the stream. Load it again and decide again.
    #[error("the stream {stream} has version {found} and not {expected}")]
    Conflict {
        /// Its name.
        stream: String,
        /// The version that the writer saw.
        expected: u64,
        /// The version that it has.
        found: u64,
    },
    /// A command's own reason.
    #[error("{0}")]
    Refused(String),
    /// An event or a snapshot has another form than the code expects.
    #[error("{stream}, version {version}: {why}")]
    Form {
        /// The stream.
        stream: String,
        /// The version.
        version: u64,
        /// What the JSON reader says.
        why: String,
    },
    /// The database did not do it.
    #[error(transparent)]
    Sql(#[from] SqlError),
}

impl EsError {
    /// A command that cannot be done.
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into())
    }
}

/// An event in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place among all events.
    pub position: u64,
    /// The stream.
    pub stream: String,
    /// Its place in the stream, from 1.
    pub version: u64,
    /// The event as JSON.
    pub data: String,
    /// When it was appended, RFC 3339.
    pub at: String,
}

impl Recorded {
    /// The event itself.
    ///
    /// # Errors
    /// When it has another form.
    pub fn read<E: DeserializeOwned>(&self) -> Result<E, EsError> {
        serde_json::from_str(&self.data).map_err(|why| form(&self.stream, self.version, &why))
    }
}

impl sql::FromRow for Recorded {
    fn from_row(row: &sql::Row) -> Result<Self, SqlError> {
        Ok(Self { position: row.at(0)?, stream: row.at(1)?, version: row.at(2)?, data: row.at(3)?, at: row.at(4)? })
    }
}

/// An aggregate and the version of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded<A> {
    /// The state.
    pub state: A,
    /// How many events it is made of; 0 if there is none.
    pub version: u64,
}

/// Makes the tables if they are not there. Better done by a migration.
///
/// # Errors
/// When the database does not do it.
pub fn setup() -> Result<(), SqlError> {
    sql::transaction(|tx| {
        SCHEMA.split_inclusive(';').filter(|text| text.contains("CREATE")).try_for_each(|statement| {
            tx.execute(statement, &[])?;
            Ok(())
        })
    })
}

/// Adds events to a stream, and says its version then.
///
/// # Errors
/// [`EsError::Conflict`] when the stream has another version.
pub fn append<E: Serialize>(tx: &Transaction, stream: &str, expected: Expected, events: &[E]) -> Result<u64, EsError> {
    let found: Option<(u64,)> =
        tx.first("SELECT max(version) FROM es_events WHERE stream = ?1 HAVING max(version) > 0", params![stream])?;
    let mut version = found.map_or(0, |(version,)| version);
    if let Expected::Version(expected) = expected
        && expected != version
    {
        return Err(EsError::Conflict { stream: stream.to_owned(), expected, found: version });
    }
    for event in events {
        version = version.saturating_add(1);
        let data = serde_json::to_string(event).map_err(|why| form(stream, version, &why))?;
        let insert = "INSERT INTO es_events (stream, version, data) VALUES (?1, ?2, ?3)";
        tx.execute(insert, params![stream, integer(version), data])?;
    }
    Ok(version)
}

/// The events of a stream after this version, in order.
///
/// # Errors
/// When the database does not do it.
pub fn read(tx: &Transaction, stream: &str, after: u64) -> Result<Vec<Recorded>, SqlError> {
    let select =
        "SELECT position, stream, version, data, at FROM es_events WHERE stream = ?1 AND version > ?2 ORDER BY version";
    tx.all(select, params![stream, integer(after)])
}

/// An aggregate as it is now, of its snapshot and the events since; the default if there is none.
///
/// # Errors
/// When an event has another form than the code expects. A snapshot that has is left aside.
pub fn load<A: Aggregate>(tx: &Transaction, id: &str) -> Result<Loaded<A>, EsError> {
    let stream = stream::<A>(id);
    let snapshot = "SELECT version, state FROM es_snapshots WHERE stream = ?1";
    let snapshot: Option<(u64, String)> = tx.first(snapshot, params![&stream])?;
    let mut loaded = snapshot
        .and_then(|(version, state)| Some(Loaded { state: serde_json::from_str(&state).ok()?, version }))
        .unwrap_or_else(|| Loaded { state: A::default(), version: 0 });
    for event in read(tx, &stream, loaded.version)? {
        loaded.state.apply(&event.read()?);
        loaded.version = event.version;
    }
    Ok(loaded)
}

/// Appends events of an aggregate that was loaded, publishes what others are told, and keeps a snapshot when it is time.
///
/// # Errors
/// [`EsError::Conflict`] when the stream has another version by now.
pub fn save<A: Aggregate>(
    tx: &Transaction,
    id: &str,
    loaded: &mut Loaded<A>,
    events: &[A::Event],
) -> Result<u64, EsError> {
    let stream = stream::<A>(id);
    let before = loaded.version;
    let after = append(tx, &stream, Expected::Version(before), events)?;
    let mut published = Vec::new();
    for (version, event) in (before.saturating_add(1)..).zip(events) {
        loaded.state.apply(event);
        loaded.version = version;
        published.extend(A::publish(id, version, event));
    }
    if !published.is_empty() {
        tx.publish(published)?;
    }
    let due = |version: u64| version.checked_div(A::SNAPSHOT_EVERY);
    if due(before) < due(after) {
        snapshot(tx, id, loaded)?;
    }
    Ok(after)
}

/// Keeps the state of an aggregate.
///
/// # Errors
/// When it has no JSON form, or the database does not do it.
pub fn snapshot<A: Aggregate>(tx: &Transaction, id: &str, loaded: &Loaded<A>) -> Result<(), EsError> {
    let stream = stream::<A>(id);
    let state = serde_json::to_string(&loaded.state).map_err(|why| form(&stream, loaded.version, &why))?;
    let write = "INSERT INTO es_snapshots VALUES (?1, ?2, ?3)
        ON CONFLICT (stream) DO UPDATE SET version = excluded.version, state = excluded.state";
    tx.execute(write, params![&stream, integer(loaded.version), state])?;
    Ok(())
}

/// Loads an aggregate, has `decide` say what happens, and appends that: all in one transaction. Says the new version.
///
/// # Errors
/// That of `decide`, after which nothing has happened, or of the database.
pub fn command<A: Aggregate>(
    id: &str,
    decide: impl FnOnce(&A) -> Result<Vec<A::Event>, EsError>,
) -> Result<u64, EsError> {
    sql::transaction(|tx| {
        let mut loaded = load::<A>(tx, id)?;
        let events = decide(&loaded.state)?;
        save(tx, id, &mut loaded, &events)
    })
}

/// What makes tables of events, for questions.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// Names its checkpoint.
    pub name: &'static str,
    /// Empties its tables.
    pub clear: fn(&Transaction) -> Result<(), EsError>,
    /// Takes in one event.
    pub apply: fn(&Transaction, &Recorded) -> Result<(), EsError>,
}

impl Projection {
    /// Takes in up to `limit` events that it has not had, in one transaction with its checkpoint, and says how many
    /// there were.
    ///
    /// # Errors
    /// That of an event, after which nothing of this call is kept.
    pub fn catch_up(&self, limit: u32) -> Result<u64, EsError> {
        sql::transaction(|tx| self.catch_up_in(tx, limit))
    }

    /// The same in a transaction that is there, with the command for one: then questions see at once what was commanded.
    ///
    /// # Errors
    /// That of an event.
    pub fn catch_up_in(&self, tx: &Transaction, limit: u32) -> Result<u64, EsError> {
        let checkpoint = "SELECT position FROM es_checkpoints WHERE projection = ?1";
        let from = tx.first::<(i64,)>(checkpoint, params![self.name])?.map_or(0, |(position,)| position);
        let select =
            "SELECT position, stream, version, data, at FROM es_events WHERE position > ?1 ORDER BY position LIMIT ?2";
        let events: Vec<Recorded> = tx.all(select, params![from, limit])?;
        for event in &events {
            (self.apply)(tx, event)?;
        }
        if let Some(last) = events.last() {
            let write = "INSERT INTO es_checkpoints VALUES (?1, ?2)
                ON CONFLICT (projection) DO UPDATE SET position = excluded.position";
            tx.execute(write, params![self.name, integer(last.position)])?;
        }
        Ok(events.len() as u64)
    }

    /// Empties its tables and forgets its checkpoint; [`catch_up`](Self::catch_up) makes them again.
    ///
    /// # Errors
    /// When the database does not do it.
    pub fn rebuild(&self) -> Result<(), EsError> {
        sql::transaction(|tx| {
            (self.clear)(tx)?;
            tx.execute("DELETE FROM es_checkpoints WHERE projection = ?1", params![self.name])?;
            Ok(())
        })
    }
}

/// The name of an aggregate's stream.
pub fn stream<A: Aggregate>(id: &str) -> String {
    format!("{}/{id}", A::KIND)
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn form(stream: &str, version: u64, why: &serde_json::Error) -> EsError {
    EsError::Form { stream: stream.to_owned(), version, why: why.to_string() }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::published;

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
                let write = "INSERT INTO totals VALUES (?1, ?2) ON CONFLICT (stream) DO UPDATE SET total = total + excluded.total";
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
}
