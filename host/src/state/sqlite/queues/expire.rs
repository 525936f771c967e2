//! Messages that lie in a queue for longer than its retention allows.

use std::time::Duration;

use rusqlite::Connection;

use super::dead;
use super::schema::NoLedger;
use super::send::{count, find};
use crate::state::queues::{Fate, QueueError, QueueRetention};
use crate::state::sqlite::clock::span;
use crate::state::sqlite::database::{Step, Transaction};

/// Messages of one step.
const STEP: i64 = 1000;
/// Messages that are too old and that nobody has.
pub(super) const OLD: &str =
    "SELECT id, bytes FROM messages WHERE queue = ?1 AND since <= ?2 AND +visible <= ?3 LIMIT ?4";

fn old(connection: &Connection, queue: i64, age: Duration, now: i64, most: i64) -> rusqlite::Result<Vec<(i64, i64)>> {
    connection
        .prepare_cached(OLD)?
        .query_map((queue, now.saturating_sub(span(age)), now, most), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn are_some(connection: &Connection, name: &str, age: Duration, now: i64) -> rusqlite::Result<bool> {
    let Some(queue) = find(connection, name)? else { return Ok(false) };
    Ok(!old(connection, queue.number, age, now, 1)?.is_empty())
}

pub(super) fn expire(
    transaction: &mut Transaction<'_, NoLedger>,
    name: &str,
    retention: QueueRetention,
    now: i64,
) -> Step<u64, QueueError> {
    let connection = transaction.connection;
    let Some(queue) = find(connection, name)? else { return Ok(Ok(0)) };
    let old = old(connection, queue.number, retention.age, now, STEP)?;
    for (id, bytes) in &old {
        match retention.fate {
            Fate::Dead => dead::bury(connection, queue.number, *id, *bytes, now)?,
            Fate::Dropped => {
                connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
                connection.prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute([id])?;
                count(connection, queue.number, -bytes, 0)?;
            }
        }
    }
    let number = i64::try_from(old.len()).unwrap_or(i64::MAX);
    connection
        .prepare_cached("UPDATE queues SET expired = expired + ?2 WHERE number = ?1")?
        .execute((queue.number, number))?;
    Ok(Ok(old.len() as u64))
}
