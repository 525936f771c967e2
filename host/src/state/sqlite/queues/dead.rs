//! Messages that were received too often, or became too old. Their bodies stay where they are.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use super::receive::ANSWER_BYTES;
use super::schema::NoLedger;
use super::send::{count, find};
use crate::state::queues::{DeadMessage, QueueError};
use crate::state::sqlite::clock;
use crate::state::sqlite::database::{Step, Transaction};

/// Makes a message a dead letter.
pub(super) fn bury(connection: &Connection, queue: i64, id: i64, bytes: i64, now: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO dead (id, queue, sent, died, attempts, bytes)
             SELECT id, queue, sent, ?2, attempts, bytes FROM messages WHERE id = ?1",
        )?
        .execute((id, now))?;
    connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
    count(connection, queue, -bytes, bytes)
}

pub(super) fn list(
    connection: &Connection,
    name: &str,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<DeadMessage>> {
    let Some(queue) = find(connection, name)? else { return Ok(Vec::new()) };
    let mut statement = connection.prepare_cached(
        "SELECT dead.id, content_type, body, attempts, sent, died, bytes FROM dead JOIN bodies ON bodies.id = dead.id
         WHERE queue = ?1 AND dead.id > ?2 ORDER BY dead.id LIMIT ?3",
    )?;
    let (after, limit) = (i64::try_from(after).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
    let mut rows = statement.query((queue.number, after, limit))?;
    let mut letters = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        size += usize::try_from(row.get::<_, i64>(6)?).unwrap_or(usize::MAX);
        if size > ANSWER_BYTES && !letters.is_empty() {
            break;
        }
        letters.push(DeadMessage {
            id: row.get::<_, i64>(0)?.unsigned_abs(),
            content_type: row.get(1)?,
            body: Bytes::copy_from_slice(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?),
            attempts: row.get(3)?,
            sent: clock::time(row.get(4)?),
            died: clock::time(row.get(5)?),
        });
    }
    Ok(letters)
}

/// Takes dead letters of this queue away, and hands them to `each` with the number of the queue and their bytes.
fn take(
    connection: &Connection,
    name: &str,
    ids: &[u64],
    mut each: impl FnMut(i64, i64, i64) -> rusqlite::Result<()>,
) -> rusqlite::Result<u64> {
    let Some(queue) = find(connection, name)? else { return Ok(0) };
    let mut gone = 0;
    let mut statement = connection.prepare_cached("SELECT bytes FROM dead WHERE id = ?1 AND queue = ?2")?;
    for id in ids {
        let id = i64::try_from(*id).unwrap_or(i64::MAX);
        let bytes: Option<i64> = statement.query_row((id, queue.number), |row| row.get(0)).optional()?;
        if let Some(bytes) = bytes {
            each(queue.number, id, bytes)?;
            connection.prepare_cached("DELETE FROM dead WHERE id = ?1")?.execute([id])?;
            gone += 1;
        }
    }
    Ok(gone)
}

pub(super) fn revive(
    transaction: &mut Transaction<'_, NoLedger>,
    name: &str,
    ids: &[u64],
    now: i64,
) -> Step<u64, QueueError> {
    let connection = transaction.connection;
    let revived = take(connection, name, ids, |queue, id, bytes| {
        connection
            .prepare_cached(
                "INSERT INTO messages (id, queue, visible, since, sent, attempts, bytes)
                 SELECT id, queue, ?2, ?2, sent, 0, bytes FROM dead WHERE id = ?1",
            )?
            .execute((id, now))?;
        count(connection, queue, bytes, -bytes)
    })?;
    Ok(Ok(revived))
}

pub(super) fn purge(transaction: &mut Transaction<'_, NoLedger>, name: &str, ids: &[u64]) -> Step<u64, QueueError> {
    let connection = transaction.connection;
    let gone = take(connection, name, ids, |queue, id, bytes| {
        connection.prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute([id])?;
        count(connection, queue, 0, -bytes)
    })?;
    Ok(Ok(gone))
}
