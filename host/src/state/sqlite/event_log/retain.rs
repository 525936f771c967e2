//! Retention: which events go, a piece at a time.
//!
//! What may go is looked up by a reader, so that publishers don't wait for it, and checked again by the writer before it
//! is deleted: a subscription may have been set back in between. An event is held by every subscription that selects its
//! topic and stands before it, and by every one in which it waits.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use rusqlite::{Connection, OptionalExtension};

use super::schema::LogLedger;
use super::{select, subscription};
use crate::state::TopicPattern;
use crate::state::event_log::{DEDUPLICATION, EventLogError, MAX_REMEMBERED, Retention};
use crate::state::sqlite::clock;
use crate::state::sqlite::database::{Step, Transaction};

/// Most events that go in one step.
pub(super) const PIECE: usize = 1000;

/// Most sources and ids that are forgotten in one step: more than can come in one.
const FORGET: i64 = 2000;

/// The next event of a topic that nobody waits for.
pub(super) const NEXT: &str = "
    SELECT offset, bytes FROM events WHERE topic = ?1 AND offset > ?2 AND offset <= ?3
        AND NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.offset = events.offset)
    ORDER BY offset LIMIT 1";

/// A topic that has events.
struct Topic {
    name: String,
    bytes: i64,
    /// Events up to here are held by nobody who reads on.
    had: i64,
}

/// Places of events that may go, [`PIECE`] at most.
pub(super) fn plan(connection: &Connection, rules: &[Retention], now: i64) -> rusqlite::Result<Vec<i64>> {
    let positions = subscription::positions(connection)?;
    let mut by_rule: Vec<Vec<Topic>> = rules.iter().map(|_| Vec::new()).collect();
    let mut topics = connection.prepare_cached("SELECT topic, bytes FROM topics")?;
    let mut rows = topics.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let rule = rules.iter().zip(&mut by_rule).find(|(rule, _)| rule.topics.matches(&name));
        if let Some((_, topics)) = rule {
            topics.push(Topic { bytes: row.get(1)?, had: had(&positions, &name), name });
        }
    }
    let mut plan = Vec::new();
    for (rule, topics) in rules.iter().zip(&by_rule) {
        if let Some(age) = rule.age {
            let old = select::before(connection, clock::time(now.saturating_sub(clock::span(age))))?;
            oldest(connection, topics, old, i64::MAX, &mut plan)?;
        }
        if let Some(bytes) = rule.bytes {
            let sum: i64 = topics.iter().map(|topic| topic.bytes).sum();
            let excess = sum.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
            oldest(connection, topics, i64::MAX, excess, &mut plan)?;
        }
        if plan.len() >= PIECE {
            break;
        }
    }
    plan.sort_unstable();
    plan.dedup();
    Ok(plan)
}

/// Adds the oldest events of these topics, up to this place and until they have so many bytes.
fn oldest(
    connection: &Connection,
    topics: &[Topic],
    up_to: i64,
    mut bytes: i64,
    plan: &mut Vec<i64>,
) -> rusqlite::Result<()> {
    let mut next = connection.prepare_cached(NEXT)?;
    let mut find = |topic: &Topic, after: i64| -> rusqlite::Result<Option<(i64, i64)>> {
        next.query_row((&topic.name, after, topic.had.min(up_to)), |row| Ok((row.get(0)?, row.get(1)?))).optional()
    };
    let mut heap = BinaryHeap::new();
    if bytes > 0 {
        for (number, topic) in topics.iter().enumerate() {
            heap.extend(find(topic, 0)?.map(|(offset, size)| Reverse((offset, size, number))));
        }
    }
    while bytes > 0
        && plan.len() < PIECE
        && let Some(Reverse((offset, size, number))) = heap.pop()
    {
        plan.push(offset);
        bytes -= size;
        if let Some(topic) = topics.get(number) {
            heap.extend(find(topic, offset)?.map(|(offset, size)| Reverse((offset, size, number))));
        }
    }
    Ok(())
}

/// Up to where every subscription that selects the topic has had it.
fn had(positions: &[(Vec<TopicPattern>, i64)], topic: &str) -> i64 {
    let selecting = |topics: &[TopicPattern]| topics.is_empty() || topics.iter().any(|pattern| pattern.matches(topic));
    positions.iter().filter(|(topics, _)| selecting(topics)).map(|(_, position)| *position).min().unwrap_or(i64::MAX)
}

/// Deletes the planned events that nobody holds, and forgets sources and ids whose time is over.
pub(super) fn delete(transaction: &mut Transaction<'_, LogLedger>, plan: &[i64], now: i64) -> Step<u64, EventLogError> {
    let connection = transaction.connection;
    let remembered = now.saturating_sub(clock::span(DEDUPLICATION));
    let positions = subscription::positions(connection)?;
    let mut had_by_topic: HashMap<String, i64> = HashMap::new();
    let mut find = connection.prepare_cached(
        "SELECT topic, bytes, published FROM events WHERE offset = ?1
            AND NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.offset = ?1)",
    )?;
    let mut remember = connection.prepare_cached(
        "INSERT OR REPLACE INTO forgotten SELECT offset, published, source, id FROM events WHERE offset = ?1",
    )?;
    let mut delete = connection.prepare_cached("DELETE FROM events WHERE offset = ?1")?;
    let mut gone = 0;
    for offset in plan {
        let found: Option<(String, i64, i64)> =
            find.query_row([offset], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        let Some((topic, bytes, published)) = found else { continue };
        let had = match had_by_topic.get(&topic) {
            Some(had) => *had,
            None => *had_by_topic.entry(topic.clone()).or_insert(had(&positions, &topic)),
        };
        if *offset > had {
            continue;
        }
        if published > remembered {
            remember.execute([offset])?;
            transaction.ledger.sums.forgotten += 1;
        }
        delete.execute([offset])?;
        transaction.ledger.count(&topic, bytes, -1);
        gone += 1;
    }
    forget(transaction, remembered)?;
    Ok(Ok(gone))
}

/// Forgets what is over, and the oldest of too many.
fn forget(transaction: &mut Transaction<'_, LogLedger>, remembered: i64) -> rusqlite::Result<()> {
    let sums = &mut transaction.ledger.sums;
    let excess = sums.forgotten - i64::try_from(MAX_REMEMBERED).unwrap_or(i64::MAX);
    let oldest: Vec<(i64, i64)> = transaction
        .connection
        .prepare_cached("SELECT offset, published FROM forgotten ORDER BY offset LIMIT ?1")?
        .query_map([FORGET], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delete = transaction.connection.prepare_cached("DELETE FROM forgotten WHERE offset = ?1")?;
    for (number, (offset, published)) in (0..).zip(oldest) {
        if published > remembered && number >= excess {
            break;
        }
        delete.execute([offset])?;
        sums.forgotten -= 1;
    }
    Ok(())
}
