//! Streams: events in their order, added to by whoever saw the version that is there.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{EsError, form, integer};
use crate::params;
use crate::sql::{self, SqlError, Transaction};

/// Which version of a stream a writer relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It does not matter.
    Any,
    /// The stream has so many events; 0 if there is none yet.
    Version(u64),
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
