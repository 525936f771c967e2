//! An event as a row, and back.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use rusqlite::types::Type;
use rusqlite::{Row, Statement};

use crate::state::event_log::{EVENT_OVERHEAD_BYTES, Event, MAX_ERROR_BYTES, Offset, StoredEvent};
use crate::state::sqlite::clock;

/// The attribute that has a column of its own.
const CORRELATION: &str = "correlationid";

/// The columns of an event, in `events` and in `dead`.
pub(super) const COLUMNS: &str = "offset, published, bytes, topic, kind, source, id, subject, correlation, key, \
     seconds, nanos, content_type, schema, extensions, data";

/// Bytes of the attributes.
pub(super) fn attribute_bytes(event: &Event) -> usize {
    let texts = [&event.id, &event.source, &event.kind, &event.topic];
    let optional = [&event.subject, &event.key, &event.content_type, &event.schema];
    texts.iter().map(|text| text.len()).sum::<usize>()
        + optional.iter().filter_map(|text| text.as_ref()).map(String::len).sum::<usize>()
        + event.extensions.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}

/// What the event counts.
pub(super) fn event_bytes(event: &Event) -> usize {
    attribute_bytes(event) + event.data.len() + EVENT_OVERHEAD_BYTES
}

/// Inserts the event with a statement whose parameters are [`COLUMNS`].
pub(super) fn insert(
    statement: &mut Statement<'_>,
    offset: i64,
    published: i64,
    bytes: i64,
    event: &Event,
) -> rusqlite::Result<()> {
    let (seconds, nanos) = split(event.time);
    let mut others = event.extensions.iter().filter(|(name, _)| *name != CORRELATION).peekable();
    let extensions = match others.peek() {
        None => None,
        Some(_) => {
            let others: serde_json::Map<_, _> =
                others.map(|(name, value)| (name.clone(), serde_json::Value::from(value.as_str()))).collect();
            Some(serde_json::Value::Object(others).to_string())
        }
    };
    statement
        .execute(rusqlite::params![
            offset,
            published,
            bytes,
            event.topic,
            event.kind,
            event.source,
            event.id,
            event.subject,
            event.extensions.get(CORRELATION),
            event.key,
            seconds,
            nanos,
            event.content_type,
            event.schema,
            extensions,
            &event.data[..],
        ])
        .map(drop)
}

/// Reads [`COLUMNS`], which begin at this column.
pub(super) fn event(row: &Row<'_>, first: usize) -> rusqlite::Result<StoredEvent> {
    let extensions: Option<String> = row.get(first + 14)?;
    let mut extensions: std::collections::BTreeMap<String, String> = match extensions {
        None => Default::default(),
        Some(text) => serde_json::from_str(&text)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(first + 14, Type::Text, Box::new(error)))?,
    };
    if let Some(correlation) = row.get(first + 8)? {
        extensions.insert(CORRELATION.to_owned(), correlation);
    }
    let data = row.get_ref(first + 15)?.as_blob().map_err(rusqlite::Error::from)?;
    let event = Event {
        topic: row.get(first + 3)?,
        kind: row.get(first + 4)?,
        source: row.get(first + 5)?,
        id: row.get(first + 6)?,
        subject: row.get(first + 7)?,
        key: row.get(first + 9)?,
        time: join(row.get(first + 10)?, row.get(first + 11)?),
        content_type: row.get(first + 12)?,
        schema: row.get(first + 13)?,
        extensions,
        data: Bytes::copy_from_slice(data),
    };
    Ok(StoredEvent {
        offset: Offset(row.get::<_, i64>(first)?.unsigned_abs()),
        published: clock::time(row.get(first + 1)?),
        event: Arc::new(event),
    })
}

/// A place as it is stored; those that no log reaches are its end.
pub(super) fn place(offset: Offset) -> i64 {
    i64::try_from(offset.0).unwrap_or(i64::MAX)
}

/// A text of a guest's, of bounded size.
pub(super) fn cut(error: &str) -> &str {
    error.get(..error.floor_char_boundary(MAX_ERROR_BYTES)).unwrap_or(error)
}

/// A time as seconds since 1970, rounded down, and the nanoseconds after that: every `SystemTime` comes back exactly.
fn split(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = -i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (seconds, 0),
                nanos => (seconds - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

fn join(seconds: i64, nanos: u32) -> SystemTime {
    let span = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    whole.and_then(|whole| whole.checked_add(Duration::from_nanos(nanos.into()))).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_comes_back() {
        let second = Duration::from_secs(1);
        for span in [Duration::ZERO, second / 3, second, second * 5 / 2, Duration::from_secs(250_000_000_000)] {
            for time in [UNIX_EPOCH + span, UNIX_EPOCH - span.min(Duration::from_secs(60_000_000_000))] {
                let (seconds, nanos) = split(time);
                assert_eq!(join(seconds, nanos), time);
            }
        }
    }

    #[test]
    fn long_errors_are_cut_between_characters() {
        assert_eq!(cut("no"), "no");
        let long = "\u{1f980}".repeat(MAX_ERROR_BYTES);
        assert_eq!(cut(&format!("a{long}")).len(), MAX_ERROR_BYTES - 3);
    }
}
