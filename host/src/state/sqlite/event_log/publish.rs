//! Publishing: what is known already, whether there is room, then the rows.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::row;
use super::schema::LogLedger;
use super::subscription;
use crate::state::event_log::{
    DEDUPLICATION, Event, EventLogError, MAX_ATTRIBUTE_BYTES, MAX_EVENT_BYTES, MAX_PUBLISH_BYTES, MAX_PUBLISH_EVENTS,
    Offset, Published,
};
use crate::state::sqlite::clock;
use crate::state::sqlite::database::{Step, Transaction};

/// A clock that was set back by less than this does not make times in the log go back. One that was wrong for longer
/// does: else a day in the far future would be the time of all events from then on.
const SET_BACK_NANOS: i64 = 60_000_000_000;

/// Refuses what no log has to take; otherwise the bytes of all events.
pub(super) fn check(events: &[Event]) -> Result<usize, EventLogError> {
    if events.len() > MAX_PUBLISH_EVENTS {
        return Err(EventLogError::BatchTooLarge);
    }
    let mut sum = 0;
    for event in events {
        if event.data.len() > MAX_EVENT_BYTES {
            return Err(EventLogError::EventTooLarge { bytes: event.data.len() });
        }
        let bytes = row::attribute_bytes(event);
        if bytes > MAX_ATTRIBUTE_BYTES {
            return Err(EventLogError::AttributesTooLarge { bytes });
        }
        sum += bytes + event.data.len();
    }
    if sum > MAX_PUBLISH_BYTES { Err(EventLogError::BatchTooLarge) } else { Ok(sum) }
}

pub(super) fn publish(
    transaction: &mut Transaction<'_, LogLedger>,
    events: &[Event],
    now: i64,
    quota: u64,
) -> Step<Vec<Published>, EventLogError> {
    let ledger = &mut transaction.ledger;
    let last = ledger.sums.published;
    let now = if (0..SET_BACK_NANOS).contains(&last.saturating_sub(now)) { last } else { now };

    let mut known = HashMap::with_capacity(if events.len() > 1 { events.len() } else { 0 });
    let mut results = Vec::with_capacity(events.len());
    let mut next = ledger.sums.last;
    let mut bytes = 0;
    for event in events {
        let name = (event.source.as_str(), event.id.as_str());
        if let Some(offset) = known.get(&name) {
            results.push(Published::Duplicate(*offset));
        } else if let Some(offset) = find(transaction.connection, event, now)? {
            results.push(Published::Duplicate(offset));
        } else {
            next += 1;
            bytes += row::event_bytes(event);
            let offset = Offset(next.unsigned_abs());
            if events.len() > 1 {
                known.insert(name, offset);
            }
            results.push(Published::New(offset));
        }
    }
    let sums = &mut ledger.sums;
    let used = sums.bytes.saturating_add(sums.dead_bytes).unsigned_abs();
    if bytes > 0 && used.saturating_add(bytes as u64) > quota {
        let behind = behind(transaction)?;
        return Ok(Err(EventLogError::Full { quota, behind }));
    }
    if bytes > 0 {
        sums.published = now;
        sums.last = next;
    }

    let mut statement = transaction.connection.prepare_cached(INSERT)?;
    for (event, result) in events.iter().zip(&results) {
        if let Published::New(offset) = result {
            let bytes = i64::try_from(row::event_bytes(event)).unwrap_or(i64::MAX);
            row::insert(&mut statement, row::place(*offset), now, bytes, event)?;
            ledger.count(&event.topic, bytes, 1);
        }
    }
    Ok(Ok(results))
}

const INSERT: &str = "
    INSERT INTO events (offset, published, bytes, topic, kind, source, id, subject, correlation, key, seconds, nanos,
        content_type, schema, extensions, data)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

/// The newest event with this source and id.
pub(super) const FIND: &str =
    "SELECT offset, published FROM events WHERE id = ?1 AND source = ?2 ORDER BY offset DESC LIMIT 1";
pub(super) const FIND_FORGOTTEN: &str =
    "SELECT offset, published FROM forgotten WHERE id = ?1 AND source = ?2 ORDER BY offset DESC LIMIT 1";

/// The place of an event with this source and id that was published lately.
fn find(connection: &Connection, event: &Event, now: i64) -> rusqlite::Result<Option<Offset>> {
    for sql in [FIND, FIND_FORGOTTEN] {
        let found: Option<(i64, i64)> = connection
            .prepare_cached(sql)?
            .query_row((&event.id, &event.source), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        if let Some((offset, published)) = found
            && published > now.saturating_sub(clock::span(DEDUPLICATION))
        {
            return Ok(Some(Offset(offset.unsigned_abs())));
        }
    }
    Ok(None)
}

/// Why the log is full.
fn behind(transaction: &Transaction<'_, LogLedger>) -> rusqlite::Result<String> {
    let sums = &transaction.ledger.sums;
    if sums.dead_bytes > sums.bytes {
        let most: Option<(String, String, i64)> = transaction
            .connection
            .prepare_cached(
                "SELECT service, name, sum(bytes) FROM dead GROUP BY service, name ORDER BY sum(bytes) DESC LIMIT 1",
            )?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        if let Some((service, name, bytes)) = most {
            return Ok(format!("dead letters of {service}/{name} have {bytes} of them: replay or purge them"));
        }
    }
    Ok(match subscription::furthest_behind(transaction.connection, sums.last)? {
        Some((id, events)) => format!("{}/{} is furthest behind, by {events} events", id.service, id.name),
        None => "no subscription is behind: its retention keeps what is in it".to_owned(),
    })
}
