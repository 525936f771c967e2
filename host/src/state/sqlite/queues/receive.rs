//! Receiving, and what one may do with a receipt, as SQL.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use super::dead;
use super::schema::NoLedger;
use super::send::{count, find};
use crate::state::queues::{MAX_DELAY, MAX_VISIBILITY, QueueError, QueueSettings, Receive, Received};
use crate::state::sqlite::clock::{self, span};
use crate::state::sqlite::database::{Step, Transaction};

/// Most messages that one receive looks at, those that become dead letters among them.
const LOOKS: usize = 1000;
/// About the most bytes of one answer.
pub(super) const ANSWER_BYTES: usize = 8 << 20;
/// What a receive came to.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) messages: Vec<Received>,
    /// Whether there may be more for somebody else.
    pub(super) more: bool,
    /// When the next message becomes visible, from now on.
    pub(super) next: Option<Duration>,
}

/// Messages that are visible and young enough, in order. Those that are too old are gone before long, so few are passed
/// over; `+` has the other index left alone, which gives no order.
pub(super) const VISIBLE: &str = "
    SELECT id, attempts, sent, bytes FROM messages
    WHERE queue = ?1 AND visible <= ?2 AND +since > ?4 ORDER BY visible, id LIMIT ?3";
/// When the next message becomes visible.
pub(super) const NEXT: &str = "
    SELECT visible FROM messages WHERE queue = ?1 AND +since > ?2 ORDER BY visible LIMIT 1";
/// Messages that no delay or timeout can have made invisible for so long: the host's clock was set back.
const ASTRAY: &str = "UPDATE messages SET visible = ?2, since = min(since, ?2) WHERE queue = ?1 AND visible > ?3";

pub(super) fn receive(
    transaction: &mut Transaction<'_, NoLedger>,
    name: &str,
    receive: &Receive,
    settings: QueueSettings,
    now: i64,
) -> Step<Taken, QueueError> {
    let connection = transaction.connection;
    let mut taken = Taken::default();
    let Some(queue) = find(connection, name)? else { return Ok(Ok(taken)) };
    let furthest = now.saturating_add(span(MAX_DELAY.max(MAX_VISIBILITY)));
    connection.prepare_cached(ASTRAY)?.execute((queue.number, now, furthest))?;

    let too_old = settings.retention.map_or(i64::MIN, |retention| now.saturating_sub(span(retention.age)));
    let visible: Vec<(i64, u32, i64, i64)> = connection
        .prepare_cached(VISIBLE)?
        .query_map((queue.number, now, i64::try_from(LOOKS).unwrap_or(i64::MAX), too_old), |row| {
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
        if attempts >= settings.max_receives.max(1) {
            dead::bury(connection, queue.number, id, bytes, now)?;
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
        let next: Option<i64> =
            connection.prepare_cached(NEXT)?.query_row((queue.number, too_old), |row| row.get(0)).optional()?;
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
