//! Sending, receiving and deleting as SQL.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::schema::NoLedger;
use crate::state::queues::{
    MAX_DELAY, MAX_QUEUES, MAX_VISIBILITY, MESSAGE_DEDUPLICATION, MESSAGE_OVERHEAD_BYTES, Message, QueueError,
    QueueSettings, QueueState, Receive, Received,
};
use crate::state::sqlite::clock::{self, span};
use crate::state::sqlite::database::{Step, Transaction};

/// Most messages that one receive looks at, those that become dead letters among them.
const LOOKS: usize = 1000;
/// About the most bytes of one answer.
pub(super) const ANSWER_BYTES: usize = 8 << 20;
/// Messages that one step of a purge deletes.
const PURGE: i64 = 1000;
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
        .prepare_cached("INSERT INTO messages (queue, visible, sent, attempts, bytes) VALUES (?1, ?2, ?3, 0, ?4)")?
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

/// What a receive came to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) messages: Vec<Received>,
    /// Whether there may be more for somebody else.
    pub(super) more: bool,
    /// When the next message becomes visible, from now on.
    pub(super) next: Option<Duration>,
}

/// Messages that are visible, in order.
pub(super) const VISIBLE: &str = "
    SELECT id, attempts, sent, bytes FROM messages WHERE queue = ?1 AND visible <= ?2 ORDER BY visible, id LIMIT ?3";
/// Messages that no delay or timeout can have made invisible for so long: the host's clock was set back.
const ASTRAY: &str = "UPDATE messages SET visible = ?2 WHERE queue = ?1 AND visible > ?3";

pub(super) fn receive(
    transaction: &mut Transaction<'_, NoLedger>,
    name: &str,
    receive: &Receive,
    max_receives: u32,
    now: i64,
) -> Step<Taken, QueueError> {
    let connection = transaction.connection;
    let mut taken = Taken::default();
    let Some(queue) = find(connection, name)? else { return Ok(Ok(taken)) };
    let furthest = now.saturating_add(span(MAX_DELAY.max(MAX_VISIBILITY)));
    connection.prepare_cached(ASTRAY)?.execute((queue.number, now, furthest))?;

    let visible: Vec<(i64, u32, i64, i64)> = connection
        .prepare_cached(VISIBLE)?
        .query_map((queue.number, now, i64::try_from(LOOKS).unwrap_or(i64::MAX)), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut size = 0;
    taken.more = visible.len() == LOOKS;
    for (id, attempts, sent, bytes) in visible {
        if taken.messages.len() == receive.max {
            taken.more = true;
            break;
        }
        if attempts >= max_receives.max(1) {
            super::dead::bury(connection, queue.number, id, bytes, now)?;
            continue;
        }
        size += usize::try_from(bytes).unwrap_or(usize::MAX);
        if size > ANSWER_BYTES && !taken.messages.is_empty() {
            taken.more = true;
            break;
        }
        taken.messages.push(take(connection, id, attempts + 1, sent, now.saturating_add(span(receive.visibility)))?);
    }
    if taken.messages.is_empty() && !taken.more {
        let next: Option<i64> = connection
            .prepare_cached("SELECT min(visible) FROM messages WHERE queue = ?1")?
            .query_row([queue.number], |row| row.get(0))?;
        taken.next = next.map(|next| Duration::from_nanos(next.saturating_sub(now).max(0).unsigned_abs()));
    }
    Ok(Ok(taken))
}

fn take(connection: &Connection, id: i64, attempt: u32, sent: i64, visible: i64) -> rusqlite::Result<Received> {
    // 62 random bits; the two others of this half say which kind of number it is.
    let secret = i64::from_ne_bytes((Uuid::new_v4().as_u64_pair().1 << 2).to_ne_bytes());
    connection
        .prepare_cached("UPDATE messages SET visible = ?2, attempts = ?3, receipt = ?4 WHERE id = ?1")?
        .execute((id, visible, attempt, secret))?;
    connection.prepare_cached("SELECT content_type, body FROM bodies WHERE id = ?1")?.query_row([id], |row| {
        Ok(Received {
            id: id.unsigned_abs(),
            receipt: format!("{id}-{secret:016x}"),
            body: Bytes::copy_from_slice(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?),
            content_type: row.get(0)?,
            attempt,
            sent: clock::time(sent),
        })
    })
}

/// Number of the queue, number and bytes of the message that the receipt is valid for.
fn held(connection: &Connection, name: &str, receipt: &str, now: i64) -> rusqlite::Result<Option<(i64, i64, i64)>> {
    let Some((id, secret)) = receipt.split_once('-') else { return Ok(None) };
    let (Ok(id), Ok(secret)) = (id.parse::<i64>(), u64::from_str_radix(secret, 16)) else { return Ok(None) };
    connection
        .prepare_cached(
            "SELECT number, id, messages.bytes FROM messages JOIN queues ON number = queue
             WHERE id = ?1 AND receipt = ?2 AND visible > ?3 AND name = ?4",
        )?
        .query_row((id, i64::from_ne_bytes(secret.to_ne_bytes()), now, name), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()
}

pub(super) fn delete(
    transaction: &mut Transaction<'_, NoLedger>,
    name: &str,
    receipt: &str,
    now: i64,
) -> Step<(), QueueError> {
    let connection = transaction.connection;
    let Some((queue, id, bytes)) = held(connection, name, receipt, now)? else { return Ok(Err(QueueError::Expired)) };
    connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
    connection.prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute([id])?;
    count(connection, queue, -bytes, 0)?;
    Ok(Ok(()))
}

pub(super) fn extend(
    transaction: &mut Transaction<'_, NoLedger>,
    name: &str,
    receipt: &str,
    visibility: Duration,
    now: i64,
) -> Step<(), QueueError> {
    let connection = transaction.connection;
    let Some((_, id, _)) = held(connection, name, receipt, now)? else { return Ok(Err(QueueError::Expired)) };
    connection
        .prepare_cached("UPDATE messages SET visible = ?2 WHERE id = ?1")?
        .execute((id, now.saturating_add(span(visibility))))?;
    Ok(Ok(()))
}

/// The number of the last message of all queues.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT ifnull(max(id), 0) FROM messages", [], |row| row.get(0))
}

/// Deletes some messages with numbers up to this one.
pub(super) fn purge(transaction: &mut Transaction<'_, NoLedger>, name: &str, last: i64) -> Step<u64, QueueError> {
    let connection = transaction.connection;
    let Some(queue) = find(connection, name)? else { return Ok(Ok(0)) };
    let going: Vec<(i64, i64)> = connection
        .prepare_cached("SELECT id, bytes FROM messages WHERE queue = ?1 AND id <= ?2 LIMIT ?3")?
        .query_map((queue.number, last, PURGE), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, _) in &going {
        connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
        connection.prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute([id])?;
    }
    count(connection, queue.number, -going.iter().map(|(_, bytes)| bytes).sum::<i64>(), 0)?;
    Ok(Ok(going.len() as u64))
}

/// All queues; the quota is the caller's to fill in.
pub(super) fn states(connection: &Connection, now: i64) -> rusqlite::Result<Vec<QueueState>> {
    connection
        .prepare_cached(
            "SELECT name, bytes + dead_bytes,
                (SELECT count(*) FROM messages WHERE queue = number AND visible <= ?1),
                (SELECT count(*) FROM messages WHERE queue = number AND visible > ?1 AND attempts = 0),
                (SELECT count(*) FROM messages WHERE queue = number AND visible > ?1 AND attempts > 0),
                (SELECT count(*) FROM dead WHERE queue = number),
                (SELECT min(sent) FROM messages WHERE queue = number)
             FROM queues ORDER BY name",
        )?
        .query_map([now], |row| {
            let number = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok(QueueState {
                queue: row.get(0)?,
                bytes: number(1)?,
                visible: number(2)?,
                delayed: number(3)?,
                invisible: number(4)?,
                dead: number(5)?,
                quota: 0,
                oldest: row.get::<_, Option<i64>>(6)?.map(clock::time),
            })
        })?
        .collect()
}
