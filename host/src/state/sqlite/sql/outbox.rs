//! The outbox: events in the host's table `_wharf_outbox`, beside the service's own rows.
//!
//! Each has a number that is never used again, so that forgetting one twice forgets no other.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rusqlite::{Connection, Row, params};

use super::open::{bound_values, host_length};
use super::work::Lane;
use crate::state::{Event, SqlError, SqlSettings};

/// Most bytes of events that are given to the relay at once.
const PAGE_BYTES: usize = 1 << 20;

/// Writes events in the transaction in progress.
pub(super) fn put(lane: &Lane, settings: &SqlSettings, events: &[Event]) -> Result<(), SqlError> {
    lane.host(|connection| {
        bound_values(connection, host_length(settings))?;
        let written = insert(connection, events);
        bound_values(connection, settings.max_row_size)?;
        written
    })
}

fn insert(connection: &Connection, events: &[Event]) -> rusqlite::Result<()> {
    let mut number: i64 = connection
        .prepare("UPDATE _wharf_meta SET outbox = outbox + ?1 RETURNING outbox - ?1")?
        .query_row([events.len().cast_signed()], |row| row.get(0))?;
    let mut insert =
        connection.prepare("INSERT INTO _wharf_outbox VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?;
    for event in events {
        number += 1;
        let micros = event.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        // A map of texts always has a JSON form.
        let extensions = serde_json::to_string(&event.extensions).unwrap_or_default();
        insert.execute(params![
            number,
            event.id,
            event.source,
            event.kind,
            event.topic,
            event.subject,
            event.key,
            i64::try_from(micros).unwrap_or(i64::MAX),
            event.content_type,
            event.schema,
            extensions,
            &event.data[..],
        ])?;
    }
    Ok(())
}

/// The oldest events.
pub(super) fn page(lane: &Lane, settings: &SqlSettings, limit: usize) -> Result<Vec<(u64, Event)>, SqlError> {
    lane.host(|connection| {
        bound_values(connection, host_length(settings))?;
        let read = select(connection, limit);
        bound_values(connection, settings.max_row_size)?;
        read
    })
}

fn select(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<(u64, Event)>> {
    let mut select = connection.prepare("SELECT * FROM _wharf_outbox ORDER BY number LIMIT ?1")?;
    let mut rows = select.query([limit.cast_signed()])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let (number, event) = event(row)?;
        bytes += event.data.len();
        events.push((number, event));
    }
    Ok(events)
}

fn event(row: &Row<'_>) -> rusqlite::Result<(u64, Event)> {
    let number: i64 = row.get(0)?;
    let micros: i64 = row.get(7)?;
    let extensions: String = row.get(10)?;
    let extensions: BTreeMap<String, String> = serde_json::from_str(&extensions).unwrap_or_default();
    let data: Vec<u8> = row.get(11)?;
    let event = Event {
        id: row.get(1)?,
        source: row.get(2)?,
        kind: row.get(3)?,
        topic: row.get(4)?,
        subject: row.get(5)?,
        key: row.get(6)?,
        time: SystemTime::UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs()),
        content_type: row.get(8)?,
        schema: row.get(9)?,
        extensions,
        data: Bytes::from(data),
    };
    Ok((number.unsigned_abs(), event))
}

/// Forgets events, in a transaction of its own.
pub(super) fn forget(lane: &Lane, numbers: &[u64]) -> Result<(), SqlError> {
    lane.begin()?;
    lane.host(|connection| {
        let mut delete = connection.prepare("DELETE FROM _wharf_outbox WHERE number = ?1")?;
        numbers.iter().try_for_each(|number| delete.execute([number.cast_signed()]).map(drop))
    })?;
    lane.commit()
}
