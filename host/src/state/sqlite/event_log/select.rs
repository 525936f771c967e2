//! Reading the log: which index leads to the selected events, and how much of it one call looks at.
//!
//! The most telling condition leads: a correlation or subject, else the topics, else the type, else the source. A
//! pattern is resolved to the topics that there are. Each index is in the order of the log, so the candidates of several
//! topics are merged, and what else is asked for is checked on the candidate's row. When nothing leads, or a pattern
//! fits more than [`MAX_LED`] topics, every event is a candidate. A call looks at no more than [`MAX_LOOKS`].
//!
//! Why not one SQL statement with all conditions: it could stop after so many results, but not after so many looks.

use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row};

use super::row::{self, place};
use super::schema::sums;
use crate::state::TopicPattern;
use crate::state::event_log::{EventPage, Offset, Selection};
use crate::state::sqlite::clock;

/// Topics that a pattern is resolved among; if there are more, it is checked on each event instead.
const MAX_TOPICS: u32 = 1000;
/// Topics that lead through the index.
const MAX_LED: usize = 64;
/// Candidates of one call.
pub(super) const MAX_LOOKS: usize = 2000;

/// What leads to the candidates.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lead {
    All,
    Column(&'static str, Vec<String>),
}

/// Whose turn is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Back,
}

/// Selected events after this place.
pub(super) fn read(
    connection: &Connection,
    selection: &Selection,
    after: Offset,
    limit: usize,
    bytes: usize,
) -> rusqlite::Result<EventPage> {
    let last = sums(connection)?.last;
    let mut low = place(after);
    if let Some(since) = selection.since {
        low = low.max(before(connection, since)?);
    }
    let high = match selection.until {
        Some(until) => before(connection, until)?,
        None => last,
    };
    if low >= high {
        return Ok(EventPage { events: Vec::new(), read_to: Offset(low.unsigned_abs()).max(after), more: false });
    }
    page(connection, selection, (low, high), Direction::Forward, limit, bytes)
}

/// Selected events before this place, the newest first.
pub(super) fn history(
    connection: &Connection,
    selection: &Selection,
    before_place: Option<Offset>,
    limit: usize,
    bytes: usize,
) -> rusqlite::Result<EventPage> {
    let mut high = sums(connection)?.last;
    if let Some(before_place) = before_place {
        high = high.min(place(before_place) - 1);
    }
    if let Some(until) = selection.until {
        high = high.min(before(connection, until)?);
    }
    let low = match selection.since {
        Some(since) => before(connection, since)?,
        None => 0,
    };
    if low >= high {
        return Ok(EventPage { read_to: Offset(low.unsigned_abs() + 1), ..EventPage::default() });
    }
    page(connection, selection, (low, high), Direction::Back, limit, bytes)
}

/// Selected events after the first and up to the second place.
fn page(
    connection: &Connection,
    selection: &Selection,
    (low, high): (i64, i64),
    direction: Direction,
    limit: usize,
    bytes: usize,
) -> rusqlite::Result<EventPage> {
    let limit = limit.max(1);
    let lead = lead(connection, selection)?;
    let looks = if leads_alone(&lead, selection) { limit.min(MAX_LOOKS) } else { MAX_LOOKS };
    let mut candidates = candidates(connection, &lead, (low, high), direction, looks)?;
    let cut_off = candidates.len() > looks;
    candidates.truncate(looks);

    let mut page = EventPage::default();
    let mut statement = connection.prepare_cached(&format!("SELECT {} FROM events WHERE offset = ?1", row::COLUMNS))?;
    let mut size = 0;
    let mut left = candidates.iter();
    let mut looked_to = None;
    for candidate in left.by_ref() {
        let mut rows = statement.query([candidate])?;
        if let Some(row) = rows.next()?
            && is_selected(row, selection)?
        {
            size += usize::try_from(row.get::<_, i64>(2)?).unwrap_or(usize::MAX);
            if size > bytes && !page.events.is_empty() {
                page.more = true;
                break;
            }
            page.events.push(row::event(row, 0)?);
        }
        looked_to = Some(*candidate);
        if page.events.len() == limit {
            break;
        }
    }
    page.more |= cut_off || left.next().is_some();
    page.read_to = Offset(
        match (page.more, looked_to, direction) {
            (true, Some(looked_to), _) => looked_to,
            (_, _, Direction::Forward) => high,
            (_, _, Direction::Back) => low + 1,
        }
        .unsigned_abs(),
    );
    Ok(page)
}

/// What leads to the events of this selection.
pub(super) fn lead(connection: &Connection, selection: &Selection) -> rusqlite::Result<Lead> {
    if let Some(correlation) = &selection.correlation {
        return Ok(Lead::Column("correlation", vec![correlation.clone()]));
    }
    if let Some(subject) = &selection.subject {
        return Ok(Lead::Column("subject", vec![subject.clone()]));
    }
    if let Some(topics) = resolve(connection, &selection.topics)? {
        return Ok(Lead::Column("topic", topics));
    }
    if let Some(kind) = &selection.kind {
        return Ok(Lead::Column("kind", vec![kind.clone()]));
    }
    if let Some(source) = &selection.source {
        return Ok(Lead::Column("source", vec![source.clone()]));
    }
    Ok(Lead::All)
}

/// The topics that are meant; none if they are too many to go through one by one.
fn resolve(connection: &Connection, patterns: &[TopicPattern]) -> rusqlite::Result<Option<Vec<String>>> {
    if patterns.is_empty() || patterns.iter().any(|pattern| pattern.as_str() == "#") {
        return Ok(None);
    }
    let (plain, wild): (Vec<_>, Vec<_>) = patterns.iter().partition(|pattern| pattern.is_plain());
    let mut topics: Vec<String> = plain.into_iter().map(|topic| topic.as_str().to_owned()).collect();
    if !wild.is_empty() {
        let mut statement = connection.prepare_cached("SELECT topic FROM topics LIMIT ?1")?;
        let mut rows = statement.query([MAX_TOPICS + 1])?;
        let mut number = 0;
        while let Some(row) = rows.next()? {
            number += 1;
            let topic = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            if wild.iter().any(|pattern| pattern.matches(topic)) {
                topics.push(topic.to_owned());
            }
        }
        if number > MAX_TOPICS {
            return Ok(None);
        }
    }
    topics.sort_unstable();
    topics.dedup();
    Ok(Some(topics).filter(|topics| topics.len() <= MAX_LED))
}

/// Whether every candidate is selected.
fn leads_alone(lead: &Lead, selection: &Selection) -> bool {
    let Selection { topics, kind, source, subject, correlation, since: _, until: _ } = selection;
    let asked = [kind, source, subject, correlation].into_iter().flatten().count();
    match lead {
        Lead::All => asked == 0 && topics.iter().all(|topic| topic.as_str() == "#"),
        Lead::Column("topic", _) => asked == 0,
        Lead::Column(..) => asked == 1 && topics.is_empty(),
    }
}

/// The places of the first candidates in this direction, and one more if there are more.
fn candidates(
    connection: &Connection,
    lead: &Lead,
    (low, high): (i64, i64),
    direction: Direction,
    looks: usize,
) -> rusqlite::Result<Vec<i64>> {
    let most = i64::try_from(looks).unwrap_or(i64::MAX - 1) + 1;
    let mut statement = connection.prepare_cached(&candidate_sql(lead, direction))?;
    let mut places = Vec::new();
    match lead {
        Lead::All => {
            let rows = statement.query_map((low, high, most), |row| row.get::<_, i64>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        }
        Lead::Column(_, values) => {
            for value in values {
                for place in statement.query_map((low, high, most, value), |row| row.get::<_, i64>(0))? {
                    places.push(place?);
                }
            }
            match direction {
                Direction::Forward => places.sort_unstable(),
                Direction::Back => places.sort_unstable_by(|one, other| other.cmp(one)),
            }
            places.truncate(looks + 1);
            Ok(places)
        }
    }
}

pub(super) fn candidate_sql(lead: &Lead, direction: Direction) -> String {
    let order = if direction == Direction::Forward { "ASC" } else { "DESC" };
    let led = match lead {
        Lead::All => String::new(),
        Lead::Column(column, _) => format!("{column} = ?4 AND"),
    };
    format!("SELECT offset FROM events WHERE {led} offset > ?1 AND offset <= ?2 ORDER BY offset {order} LIMIT ?3")
}

/// Whether a row of `events` is selected.
fn is_selected(row: &Row<'_>, selection: &Selection) -> rusqlite::Result<bool> {
    let published: i64 = row.get(1)?;
    if selection.since.is_some_and(|since| published < clock::nanos(since))
        || selection.until.is_some_and(|until| published >= clock::nanos(until))
    {
        return Ok(false);
    }
    let asked = [(4, &selection.kind), (5, &selection.source), (7, &selection.subject), (8, &selection.correlation)];
    for (column, value) in asked {
        if let Some(value) = value
            && row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)? != Some(value.as_str())
        {
            return Ok(false);
        }
    }
    let topic = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(selection.topics.is_empty() || selection.topics.iter().any(|pattern| pattern.matches(topic)))
}

/// The place of the last event that was published before this time. Times grow with places, unless the host's clock
/// was set back; then this is one of the places where the time was passed.
pub(super) fn before(connection: &Connection, time: SystemTime) -> rusqlite::Result<i64> {
    let time = clock::nanos(time);
    let mut next = connection.prepare_cached(
        "SELECT offset, published FROM events WHERE offset >= ?1 AND offset <= ?2 ORDER BY offset LIMIT 1",
    )?;
    let (mut low, mut high) = (1, sums(connection)?.last);
    let mut found = 0;
    while low <= high {
        let middle = low + (high - low) / 2;
        let event: Option<(i64, i64)> =
            next.query_row((middle, high), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match event {
            Some((offset, published)) if published < time => (found, low) = (offset, offset + 1),
            _ => high = middle - 1,
        }
    }
    Ok(found)
}
