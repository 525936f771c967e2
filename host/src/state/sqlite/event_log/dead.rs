//! Dead letters: copies of events that a subscription gave up.

use rusqlite::{Connection, OptionalExtension, Row};

use super::row::{self, COLUMNS, cut};
use super::schema::LogLedger;
use crate::state::event_log::{DeadLetter, EventLogError, SubscriptionId};
use crate::state::sqlite::clock;
use crate::state::sqlite::database::{Step, Transaction};

/// Copies an event that is there, and says how many bytes it has.
pub(super) fn bury(
    connection: &Connection,
    id: &SubscriptionId,
    offset: i64,
    attempts: u32,
    error: &str,
    now: i64,
) -> rusqlite::Result<i64> {
    connection
        .prepare_cached(&format!(
            "INSERT INTO dead (service, name, died, attempts, error, {COLUMNS})
             SELECT ?2, ?3, ?4, ?5, ?6, {COLUMNS} FROM events WHERE offset = ?1 RETURNING bytes"
        ))?
        .query_row((offset, &id.service, &id.name, now, attempts, cut(error)), |row| row.get(0))
}

fn letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.get::<_, i64>(0)?.unsigned_abs(),
        subscription: SubscriptionId { service: row.get(1)?, name: row.get(2)? },
        died: clock::time(row.get(3)?),
        attempts: row.get(4)?,
        error: row.get(5)?,
        event: row::event(row, 6)?,
    })
}

fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

pub(super) fn list(
    connection: &Connection,
    id: Option<&SubscriptionId>,
    after: u64,
    limit: usize,
    bytes: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut statement = connection.prepare_cached(&list_sql(id.is_some()))?;
    let (after, limit) = (number(after), i64::try_from(limit).unwrap_or(i64::MAX));
    let mut rows = match id {
        Some(id) => statement.query((after, limit, &id.service, &id.name))?,
        None => statement.query((after, limit))?,
    };
    let mut letters = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        size += usize::try_from(row.get::<_, i64>(8)?).unwrap_or(usize::MAX);
        if size > bytes && !letters.is_empty() {
            break;
        }
        letters.push(letter(row)?);
    }
    Ok(letters)
}

pub(super) fn list_sql(of_one: bool) -> String {
    let whose = if of_one { "service = ?3 AND name = ?4 AND" } else { "" };
    format!(
        "SELECT number, service, name, died, attempts, error, {COLUMNS} FROM dead
         WHERE {whose} number > ?1 ORDER BY number LIMIT ?2"
    )
}

pub(super) fn purge(transaction: &mut Transaction<'_, LogLedger>, ids: &[u64]) -> Step<u64, EventLogError> {
    let mut statement = transaction.connection.prepare_cached("DELETE FROM dead WHERE number = ?1 RETURNING bytes")?;
    let mut gone = 0;
    for id in ids {
        let bytes: Option<i64> = statement.query_row([number(*id)], |row| row.get(0)).optional()?;
        if let Some(bytes) = bytes {
            transaction.ledger.sums.dead_bytes -= bytes;
            gone += 1;
        }
    }
    Ok(Ok(gone))
}
