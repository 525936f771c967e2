//! Sending as SQL, and the sums of queues.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::schema::NoLedger;
use crate::state::queues::{
    MAX_QUEUES, MESSAGE_DEDUPLICATION, MESSAGE_OVERHEAD_BYTES, Message, QueueError, QueueSettings,
};
use crate::state::sqlite::clock::span;
use crate::state::sqlite::database::{Step, Transaction};

/// Deduplication ids that one send forgets, besides as many as it has messages.
const FORGET: usize = 10;

/// A queue's number and sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    pub(super) number: i64,
    pub(super) bytes: i64,
    pub(super) dead_bytes: i64,
}

pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<Queue>> {
    connection
        .prepare_cached("SELECT number, bytes, dead_bytes FROM queues WHERE name = ?1")?
        .query_row([name], |row| Ok(Queue { number: row.get(0)?, bytes: row.get(1)?, dead_bytes: row.get(2)? }))
        .optional()
}

/// Adds to the sums of a queue.
pub(super) fn count(connection: &Connection, queue: i64, bytes: i64, dead_bytes: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE queues SET bytes = bytes + ?2, dead_bytes = dead_bytes + ?3 WHERE number = ?1")?
        .execute((queue, bytes, dead_bytes))
        .map(drop)
}

/// The queue, which is made if there is room for one.
fn make(connection: &Connection, name: &str) -> rusqlite::Result<Option<Queue>> {
    if let Some(queue) = find(connection, name)? {
        return Ok(Some(queue));
    }
    let is_room = || -> rusqlite::Result<bool> {
        let queues: i64 = connection.query_row("SELECT count(*) FROM queues", [], |row| row.get(0))?;
        Ok(queues.unsigned_abs() < MAX_QUEUES)
    };
    if !is_room()? {
        connection.execute_batch(
            "DELETE FROM queues WHERE bytes = 0 AND dead_bytes = 0
                AND NOT EXISTS (SELECT 1 FROM sent WHERE queue = number)",
        )?;
        if !is_room()? {
            return Ok(None);
        }
    }
    connection.prepare_cached("INSERT INTO queues (name, bytes, dead_bytes) VALUES (?1, 0, 0)")?.execute([name])?;
    find(connection, name)
}

fn message_bytes(message: &Message) -> i64 {
    let texts = message.content_type.as_ref().map_or(0, String::len);
    i64::try_from(message.body.len() + texts + MESSAGE_OVERHEAD_BYTES).unwrap_or(i64::MAX)
}

pub(super) fn send(
    transaction: &mut Transaction<'_, NoLedger>,
    name: &str,
    messages: &[Message],
    settings: QueueSettings,
    now: i64,
) -> Step<Vec<u64>, QueueError> {
    let connection = transaction.connection;
    let Some(queue) = make(connection, name)? else { return Ok(Err(QueueError::TooMany)) };
    forget(connection, messages.len(), now)?;

    // Where a duplicate leads: to a message that is there, or to one of this batch by its place in it.
    let mut first_here = HashMap::new();
    let mut known = Vec::with_capacity(messages.len());
    let mut bytes = 0;
    for (place, message) in messages.iter().enumerate() {
        let original = match &message.deduplication {
            None => None,
            Some(deduplication) => match find_sent(connection, queue.number, deduplication, now)? {
                Some(id) => Some(Ok(id)),
                None => match *first_here.entry(deduplication).or_insert(place) {
                    first if first < place => Some(Err(first)),
                    _ => None,
                },
            },
        };
        if original.is_none() {
            bytes += message_bytes(message);
        }
        known.push(original);
    }
    let used = queue.bytes.saturating_add(queue.dead_bytes);
    if bytes > 0 && used.saturating_add(bytes).unsigned_abs() > settings.quota {
        return Ok(Err(QueueError::Full { quota: settings.quota, dead: queue.dead_bytes.unsigned_abs() }));
    }

    let mut ids: Vec<u64> = Vec::with_capacity(messages.len());
    for (message, original) in messages.iter().zip(known) {
        ids.push(match original {
            Some(Ok(id)) => id,
            Some(Err(place)) => ids.get(place).copied().unwrap_or_default(),
            None => insert(connection, queue.number, message, now)?,
        });
    }
    if bytes > 0 {
        count(connection, queue.number, bytes, 0)?;
    }
    Ok(Ok(ids))
}

fn insert(connection: &Connection, queue: i64, message: &Message, now: i64) -> rusqlite::Result<u64> {
    let visible = now.saturating_add(span(message.delay));
    connection
        .prepare_cached(
            "INSERT INTO messages (queue, visible, since, sent, attempts, bytes) VALUES (?1, ?2, ?2, ?3, 0, ?4)",
        )?
        .execute((queue, visible, now, message_bytes(message)))?;
    let id = connection.last_insert_rowid();
    connection.prepare_cached("INSERT INTO bodies (id, content_type, body) VALUES (?1, ?2, ?3)")?.execute((
        id,
        &message.content_type,
        &message.body[..],
    ))?;
    if let Some(deduplication) = &message.deduplication {
        connection
            .prepare_cached("INSERT OR REPLACE INTO sent (queue, deduplication, id, sent) VALUES (?1, ?2, ?3, ?4)")?
            .execute((queue, deduplication, id, now))?;
    }
    Ok(id.unsigned_abs())
}

fn find_sent(connection: &Connection, queue: i64, deduplication: &str, now: i64) -> rusqlite::Result<Option<u64>> {
    let found: Option<(i64, i64)> = connection
        .prepare_cached("SELECT id, sent FROM sent WHERE queue = ?1 AND deduplication = ?2")?
        .query_row((queue, deduplication), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let lately = now.saturating_sub(span(MESSAGE_DEDUPLICATION));
    Ok(found.filter(|(_, sent)| *sent > lately).map(|(id, _)| id.unsigned_abs()))
}

/// Forgets deduplication ids whose time is over, more than come.
fn forget(connection: &Connection, coming: usize, now: i64) -> rusqlite::Result<()> {
    let most = i64::try_from(coming + FORGET).unwrap_or(i64::MAX);
    let over = now.saturating_sub(span(MESSAGE_DEDUPLICATION));
    connection
        .prepare_cached(
            "DELETE FROM sent WHERE (queue, deduplication) IN
                (SELECT queue, deduplication FROM sent WHERE sent <= ?1 ORDER BY sent LIMIT ?2)",
        )?
        .execute((over, most))
        .map(drop)
}
