//! Subscriptions: where they stand, and what waits.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use super::row::{self, cut, place};
use super::schema::LogLedger;
use super::{dead, select};
use crate::state::TopicPattern;
use crate::state::event_log::{
    EventLogError, Offset, Progress, Start, StoredEvent, SubscriptionId, SubscriptionState, Waiting,
};
use crate::state::sqlite::clock;
use crate::state::sqlite::database::{Step, Transaction};

const NO_SUBSCRIPTION: EventLogError = EventLogError::NotFound { what: "subscription" };

const STATE: &str = "
    SELECT service, name, topics, position,
        (SELECT count(*) FROM waiting WHERE subscription = number),
        (SELECT count(*) FROM dead WHERE dead.service = subscriptions.service AND dead.name = subscriptions.name)
    FROM subscriptions";

fn state(row: &Row<'_>) -> rusqlite::Result<SubscriptionState> {
    Ok(SubscriptionState {
        id: SubscriptionId { service: row.get(0)?, name: row.get(1)? },
        topics: patterns(row, 2)?,
        position: Offset(row.get::<_, i64>(3)?.unsigned_abs()),
        waiting: row.get::<_, i64>(4)?.unsigned_abs(),
        dead: row.get::<_, i64>(5)?.unsigned_abs(),
    })
}

fn patterns(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<TopicPattern>> {
    let damaged = |error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error)
    };
    let texts = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    let texts: Vec<String> = serde_json::from_str(texts).map_err(|error| damaged(error.into()))?;
    texts.iter().map(|text| text.parse().map_err(|error: crate::state::TopicError| damaged(error.into()))).collect()
}

/// Number and position of a subscription.
fn find(connection: &Connection, id: &SubscriptionId) -> rusqlite::Result<Option<(i64, i64)>> {
    connection
        .prepare_cached("SELECT number, position FROM subscriptions WHERE service = ?1 AND name = ?2")?
        .query_row((&id.service, &id.name), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<SubscriptionState>> {
    connection.prepare_cached(&format!("{STATE} ORDER BY service, name"))?.query_map([], state)?.collect()
}

/// Which topics each subscription selects, and where it stands.
pub(super) fn positions(connection: &Connection) -> rusqlite::Result<Vec<(Vec<TopicPattern>, i64)>> {
    connection
        .prepare_cached("SELECT topics, position FROM subscriptions")?
        .query_map([], |row| Ok((patterns(row, 0)?, row.get(1)?)))?
        .collect()
}

/// Who has the most of the log before it.
pub(super) fn furthest_behind(connection: &Connection, last: i64) -> rusqlite::Result<Option<(SubscriptionId, i64)>> {
    connection
        .prepare_cached("SELECT service, name, position FROM subscriptions ORDER BY position, service, name LIMIT 1")?
        .query_row([], |row| {
            Ok((SubscriptionId { service: row.get(0)?, name: row.get(1)? }, last - row.get::<_, i64>(2)?))
        })
        .optional()
        .map(|found| found.filter(|(_, events)| *events > 0))
}

pub(super) fn subscribe(
    transaction: &mut Transaction<'_, LogLedger>,
    id: &SubscriptionId,
    topics: &[TopicPattern],
    start: Start,
) -> Step<SubscriptionState, EventLogError> {
    let connection = transaction.connection;
    let topics = serde_json::Value::from_iter(topics.iter().map(TopicPattern::as_str)).to_string();
    if let Some((number, _)) = find(connection, id)? {
        connection
            .prepare_cached("UPDATE subscriptions SET topics = ?2 WHERE number = ?1")?
            .execute((number, &topics))?;
    } else {
        let position = position(connection, start, transaction.ledger.sums.last)?;
        connection
            .prepare_cached("INSERT INTO subscriptions (service, name, topics, position) VALUES (?1, ?2, ?3, ?4)")?
            .execute((&id.service, &id.name, &topics, position))?;
    }
    let state = connection
        .prepare_cached(&format!("{STATE} WHERE service = ?1 AND name = ?2"))?
        .query_row((&id.service, &id.name), state)?;
    Ok(Ok(state))
}

/// The position from which `start` is next.
fn position(connection: &Connection, start: Start, last: i64) -> rusqlite::Result<i64> {
    Ok(match start {
        Start::Latest => last,
        Start::Earliest => 0,
        Start::Time(time) => select::before(connection, time)?,
        Start::Offset(offset) => place(offset).saturating_sub(1).clamp(0, last),
    })
}

pub(super) fn unsubscribe(
    transaction: &mut Transaction<'_, LogLedger>,
    id: &SubscriptionId,
) -> Step<(), EventLogError> {
    let gone = transaction
        .connection
        .prepare_cached("DELETE FROM subscriptions WHERE service = ?1 AND name = ?2")?
        .execute((&id.service, &id.name))?;
    Ok(if gone == 0 { Err(NO_SUBSCRIPTION) } else { Ok(()) })
}

pub(super) fn seek(
    transaction: &mut Transaction<'_, LogLedger>,
    id: &SubscriptionId,
    start: Start,
) -> Step<Offset, EventLogError> {
    let connection = transaction.connection;
    let Some((number, _)) = find(connection, id)? else { return Ok(Err(NO_SUBSCRIPTION)) };
    let position = position(connection, start, transaction.ledger.sums.last)?;
    connection
        .prepare_cached("UPDATE subscriptions SET position = ?2 WHERE number = ?1")?
        .execute((number, position))?;
    connection.prepare_cached("DELETE FROM waiting WHERE subscription = ?1")?.execute([number])?;
    Ok(Ok(Offset(position.unsigned_abs())))
}

pub(super) fn progress(
    transaction: &mut Transaction<'_, LogLedger>,
    id: &SubscriptionId,
    progress: &Progress,
    now: i64,
) -> Step<(), EventLogError> {
    let connection = transaction.connection;
    let Some((number, position)) = find(connection, id)? else { return Ok(Err(NO_SUBSCRIPTION)) };
    let mut exists = connection.prepare_cached("SELECT 1 FROM events WHERE offset = ?1")?;
    let named = progress.waiting.iter().map(|waiting| waiting.offset);
    for offset in named.chain(progress.dead.iter().map(|(offset, ..)| *offset)) {
        if !exists.exists([place(offset)])? {
            return Ok(Err(EventLogError::NotFound { what: "event" }));
        }
    }

    if let Some(to) = progress.position.map(|to| place(to).min(transaction.ledger.sums.last))
        && to > position
    {
        connection.prepare_cached("UPDATE subscriptions SET position = ?2 WHERE number = ?1")?.execute((number, to))?;
    }
    let mut wait = connection.prepare_cached(
        "INSERT OR REPLACE INTO waiting (subscription, offset, lane_topic, lane_key, attempts, due, error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for waiting in &progress.waiting {
        let (topic, key) = waiting.lane.as_ref().map(|(topic, key)| (topic, key)).unzip();
        let due = waiting.due.map(clock::nanos);
        wait.execute((number, place(waiting.offset), topic, key, waiting.attempts, due, cut(&waiting.error)))?;
    }
    let mut done = connection.prepare_cached("DELETE FROM waiting WHERE subscription = ?1 AND offset = ?2")?;
    for offset in progress.handled.iter().chain(progress.dead.iter().map(|(offset, ..)| offset)) {
        done.execute((number, place(*offset)))?;
    }
    for (offset, attempts, error) in &progress.dead {
        transaction.ledger.sums.dead_bytes += dead::bury(connection, id, place(*offset), *attempts, error, now)?;
    }
    Ok(Ok(()))
}

/// What waits, after this place; none if there is no such subscription.
pub(super) fn waiting(
    connection: &Connection,
    id: &SubscriptionId,
    after: Offset,
    limit: usize,
    bytes: usize,
) -> rusqlite::Result<Option<Vec<(Waiting, StoredEvent)>>> {
    let Some((number, _)) = find(connection, id)? else { return Ok(None) };
    let columns = row::COLUMNS.replace("offset", "events.offset");
    let mut statement = connection.prepare_cached(&format!(
        "SELECT waiting.offset, lane_topic, lane_key, attempts, due, error, {columns}
         FROM waiting JOIN events ON events.offset = waiting.offset
         WHERE subscription = ?1 AND waiting.offset > ?2 ORDER BY waiting.offset LIMIT ?3"
    ))?;
    let mut rows = statement.query((number, place(after), i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let mut page = Vec::new();
    let mut size = 0;
    while let Some(row) = rows.next()? {
        size += usize::try_from(row.get::<_, i64>(8)?).unwrap_or(usize::MAX);
        if size > bytes && !page.is_empty() {
            break;
        }
        let waiting = Waiting {
            offset: Offset(row.get::<_, i64>(0)?.unsigned_abs()),
            lane: row.get::<_, Option<_>>(1)?.zip(row.get(2)?),
            attempts: row.get(3)?,
            due: row.get::<_, Option<_>>(4)?.map(clock::time),
            error: row.get(5)?,
        };
        page.push((waiting, row::event(row, 6)?));
    }
    Ok(Some(page))
}
