//! Aggregates: the state that is made of a stream, commands that decide on it, and snapshots that spare reading it all.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{EsError, Expected, append, form, integer, read};
use crate::sql::{self, Transaction};
use crate::{Event, params};

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

/// An aggregate and the version of its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded<A> {
    /// The state.
    pub state: A,
    /// How many events it is made of; 0 if there is none.
    pub version: u64,
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

/// The name of an aggregate's stream.
pub fn stream<A: Aggregate>(id: &str) -> String {
    format!("{}/{id}", A::KIND)
}
