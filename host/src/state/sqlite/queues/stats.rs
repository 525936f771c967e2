//! What is in the queues, and emptying one, as SQL.

use rusqlite::Connection;

use super::schema::NoLedger;
use super::send::{count, find};
use crate::state::queues::{QueueError, QueueState};
use crate::state::sqlite::clock;
use crate::state::sqlite::database::{Step, Transaction};

/// Messages that one step of a purge deletes.
const PURGE: i64 = 1000;
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
                (SELECT min(sent) FROM messages WHERE queue = number),
                expired
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
                expired: number(7)?,
                quota: 0,
                oldest: row.get::<_, Option<i64>>(6)?.map(clock::time),
            })
        })?
        .collect()
}
