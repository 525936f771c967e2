//! The operations of a key-value store as SQL.
//!
//! Everything that changes an entry goes through [`put`] and [`remove`], which keep the totals exact and check the
//! quota: `length(value)` of what is replaced is read from the row's header, so replacing a large value does not read
//! it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::types::ValueRef;

use super::clock::Clock;
use super::open::Format;
use super::session::{Kind, Session, failure, optional};
use super::worker::Worker;
use crate::state::key_value::{
    Entry, KeyPage, KeyValueError, KeyValueStore, Lifetime, MAX_BATCH_BYTES, MAX_PAGE_KEYS, Revision, Swap, Usage,
    check_entries, check_key, check_keys, check_ttl, check_value,
};

/// Keys are blobs, so that nothing but their bytes counts. `position` only grows while its key stays; it orders
/// listings. `totals` has one row with sums that every write keeps exact.
const TABLES: &str = "
    CREATE TABLE entries (
        position INTEGER PRIMARY KEY,
        key BLOB NOT NULL UNIQUE,
        value BLOB NOT NULL,
        revision INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE totals (
        keys INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        revision INTEGER NOT NULL
    ) STRICT;
    INSERT INTO totals VALUES (0, 0, 0);
";

/// Format 2: when an entry ends, in nanoseconds since 1970.
const ENDS: &str = "
    ALTER TABLE entries ADD COLUMN expires INTEGER;
    CREATE INDEX entries_by_end ON entries (expires) WHERE expires IS NOT NULL;
";

/// The file of a store.
pub(super) const FORMAT: Format = Format {
    what: "a key-value store",
    application: 0x5748_4b56, // WHKV
    steps: &[TABLES, ENDS],
    synchronous: "NORMAL",
    cache_kib: 2048,
    checkpoint_pages: 1000,
    log_bytes: 8 << 20,
};

/// The store of one service in one file.
#[derive(Debug)]
pub(super) struct SqliteKeyValue {
    worker: Worker,
}

impl SqliteKeyValue {
    pub(super) fn new(service: &str, file: PathBuf, quota: u64, clock: Clock) -> Self {
        Self { worker: Worker::new(service, file, quota, clock) }
    }

    pub(super) fn set_quota(&self, quota: u64) {
        self.worker.set_quota(quota);
    }
}

#[async_trait]
impl KeyValueStore for SqliteKeyValue {
    async fn get(&self, key: String) -> Result<Option<Entry>, KeyValueError> {
        check_key(&key)?;
        self.worker.run(Kind::Read, move |session| read(session, &key)).await
    }

    async fn revision(&self, key: String) -> Result<Revision, KeyValueError> {
        check_key(&key)?;
        self.worker
            .run(Kind::Read, move |session| Ok(find(session, &key)?.map_or(Revision::ABSENT, |found| found.revision)))
            .await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
        check_keys(&keys)?;
        self.worker
            .run(Kind::Read, move |session| {
                let mut left = MAX_BATCH_BYTES;
                let mut values = Vec::with_capacity(keys.len());
                for key in &keys {
                    let value = read(session, key)?.map(|entry| entry.value);
                    let bytes = key.len() + value.as_ref().map_or(0, Vec::len);
                    left = left.checked_sub(bytes).ok_or(KeyValueError::BatchTooLarge)?;
                    values.push(value);
                }
                Ok(values)
            })
            .await
    }

    async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), KeyValueError> {
        let bytes = check_entries(&entries)?;
        self.worker
            .run(Kind::Write(bytes), move |session| {
                entries.iter().try_for_each(|(key, value)| put(session, key, value, End::Never))?;
                check_quota(session)
            })
            .await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError> {
        check_keys(&keys)?;
        self.worker.run(Kind::Write(0), move |session| keys.iter().try_for_each(|key| remove(session, key))).await
    }

    async fn list_keys(&self, cursor: Option<u64>, limit: usize) -> Result<KeyPage, KeyValueError> {
        self.worker.run(Kind::Read, move |session| list(session, cursor, limit.clamp(1, MAX_PAGE_KEYS))).await
    }

    async fn increment(&self, key: String, delta: i64, range: RangeInclusive<i64>) -> Result<i64, KeyValueError> {
        check_key(&key)?;
        self.worker
            .run(Kind::Write(0), move |session| {
                let now = read(session, &key)?.map_or(Ok(0), |entry| number(&entry.value))?;
                let sum = now.checked_add(delta).filter(|sum| range.contains(sum));
                let sum = sum.ok_or(KeyValueError::CounterRange)?;
                put(session, &key, sum.to_string().as_bytes(), End::AsItIs)?;
                check_quota(session)?;
                Ok(sum)
            })
            .await
    }

    async fn compare_and_swap(&self, key: String, expected: Revision, value: Vec<u8>) -> Result<Swap, KeyValueError> {
        check_key(&key)?;
        check_value(&value)?;
        self.worker
            .run(Kind::Write(value.len()), move |session| {
                let revision = find(session, &key)?.map_or(Revision::ABSENT, |found| found.revision);
                if revision != expected {
                    return Ok(Swap::Changed(revision));
                }
                put(session, &key, &value, End::Never)?;
                check_quota(session)?;
                Ok(Swap::Done)
            })
            .await
    }

    async fn set_expiring(&self, key: String, value: Vec<u8>, ttl: Duration) -> Result<(), KeyValueError> {
        check_key(&key)?;
        check_value(&value)?;
        let ttl = check_ttl(ttl)?;
        self.worker
            .run(Kind::Write(value.len()), move |session| {
                let end = End::At(session.now.saturating_add(ttl));
                put(session, &key, &value, end)?;
                check_quota(session)
            })
            .await
    }

    async fn expire(&self, key: String, ttl: Option<Duration>) -> Result<bool, KeyValueError> {
        check_key(&key)?;
        let ttl = ttl.map(check_ttl).transpose()?;
        self.worker
            .run(Kind::Write(0), move |session| {
                let Some(found) = find(session, &key)? else { return Ok(false) };
                let end = ttl.map(|ttl| session.now.saturating_add(ttl));
                session
                    .connection
                    .prepare_cached("UPDATE entries SET expires = ?2 WHERE position = ?1")
                    .and_then(|mut statement| statement.execute((found.position, end)))
                    .map_err(failure)?;
                session.expired.will_end(end);
                Ok(true)
            })
            .await
    }

    async fn lifetime(&self, key: String) -> Result<Lifetime, KeyValueError> {
        check_key(&key)?;
        self.worker
            .run(Kind::Read, move |session| {
                let Some(found) = find(session, &key)? else { return Ok(Lifetime::Missing) };
                Ok(found.expires.map_or(Lifetime::Unlimited, |end| {
                    Lifetime::Left(Duration::from_millis((end - session.now).unsigned_abs()))
                }))
            })
            .await
    }

    async fn usage(&self) -> Result<Usage, KeyValueError> {
        self.worker
            .run(Kind::Read, |session| {
                Ok(Usage {
                    keys: (session.totals.keys - session.expired.keys).unsigned_abs(),
                    bytes: session.bytes().1.unsigned_abs(),
                    quota: session.quota,
                })
            })
            .await
    }
}

/// An entry without its value.
struct Found {
    position: i64,
    value_bytes: i64,
    revision: Revision,
    /// When it ends.
    expires: Option<i64>,
}

/// When an entry that is written ends.
#[derive(Clone, Copy)]
enum End {
    Never,
    At(i64),
    /// When it was to end before.
    AsItIs,
}

/// The entry of a key, if it is there and has not ended.
fn find(session: &Session<'_>, key: &str) -> Result<Option<Found>, KeyValueError> {
    let mut statement = session
        .connection
        .prepare_cached("SELECT position, length(value), revision, expires FROM entries WHERE key = ?1")
        .map_err(failure)?;
    let found = optional(statement.query_row([key.as_bytes()], |row| {
        let (position, value_bytes) = (row.get(0)?, row.get(1)?);
        Ok(Found { position, value_bytes, revision: revision(row.get(2)?), expires: row.get(3)? })
    }))?;
    Ok(found.filter(|found| found.expires.is_none_or(|end| end > session.now)))
}

const READ: &str = "SELECT value, revision FROM entries WHERE key = ?1 AND (expires IS NULL OR expires > ?2)";

fn read(session: &Session<'_>, key: &str) -> Result<Option<Entry>, KeyValueError> {
    let mut statement = session.connection.prepare_cached(READ).map_err(failure)?;
    optional(statement.query_row((key.as_bytes(), session.now), |row| {
        Ok(Entry { value: row.get(0)?, revision: revision(row.get(1)?) })
    }))
}

fn put(session: &mut Session<'_>, key: &str, value: &[u8], end: End) -> Result<(), KeyValueError> {
    let (key_bytes, value_bytes) = (size(key.as_bytes()), size(value));
    session.totals.revision += 1;
    let revision = session.totals.revision;
    let found = find(session, key)?;
    let expires = match end {
        End::Never => None,
        End::At(end) => Some(end),
        End::AsItIs => found.as_ref().and_then(|found| found.expires),
    };
    session.expired.will_end(expires);
    if let Some(found) = found {
        session
            .connection
            .prepare_cached("UPDATE entries SET value = ?2, revision = ?3, expires = ?4 WHERE position = ?1")
            .and_then(|mut statement| statement.execute((found.position, value, revision, expires)))
            .map_err(failure)?;
        session.totals.bytes += value_bytes - found.value_bytes;
    } else {
        // A new one, although the row of one that has ended may still be there.
        clear(session, key)?;
        session
            .connection
            .prepare_cached("INSERT INTO entries (key, value, revision, expires) VALUES (?1, ?2, ?3, ?4)")
            .and_then(|mut statement| statement.execute((key.as_bytes(), value, revision, expires)))
            .map_err(failure)?;
        session.totals.keys += 1;
        session.totals.bytes += key_bytes + value_bytes;
    }
    Ok(())
}

fn remove(session: &mut Session<'_>, key: &str) -> Result<(), KeyValueError> {
    if let Some(found) = find(session, key)? {
        session
            .connection
            .prepare_cached("DELETE FROM entries WHERE position = ?1")
            .and_then(|mut statement| statement.execute([found.position]))
            .map_err(failure)?;
        session.totals.keys -= 1;
        session.totals.bytes -= size(key.as_bytes()) + found.value_bytes;
    }
    Ok(())
}

const LIST: &str = "SELECT position, key FROM entries
    WHERE position > ?1 AND (expires IS NULL OR expires > ?3) ORDER BY position LIMIT ?2";

/// Takes the row of an entry away that has ended, if there is one.
fn clear(session: &mut Session<'_>, key: &str) -> Result<(), KeyValueError> {
    if session.expired.keys == 0 {
        return Ok(());
    }
    let mut statement = session
        .connection
        .prepare_cached("DELETE FROM entries WHERE key = ?1 AND expires <= ?2 RETURNING length(key) + length(value)")
        .map_err(failure)?;
    let bytes: Option<i64> = optional(statement.query_row((key.as_bytes(), session.now), |row| row.get(0)))?;
    if let Some(bytes) = bytes {
        session.totals.keys -= 1;
        session.totals.bytes -= bytes;
        session.expired.keys -= 1;
        session.expired.bytes -= bytes;
    }
    Ok(())
}

fn list(session: &Session<'_>, cursor: Option<u64>, limit: usize) -> Result<KeyPage, KeyValueError> {
    let Ok(after) = i64::try_from(cursor.unwrap_or(0)) else { return Ok(KeyPage::default()) };
    let mut statement = session.connection.prepare_cached(LIST).map_err(failure)?;
    // One more than asked for shows whether there is a next page.
    let most = i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1;
    let mut rows = statement.query([after, most, session.now]).map_err(failure)?;
    let mut page = KeyPage::default();
    let mut last = None;
    while let Some(row) = rows.next().map_err(failure)? {
        if page.keys.len() == limit {
            page.next = last;
            break;
        }
        last = Some(row.get::<_, i64>(0).map_err(failure)?.unsigned_abs());
        page.keys.push(row.get_ref(1).map_err(failure).and_then(text)?);
    }
    Ok(page)
}

/// The quota is checked after the change and inside its savepoint, so that a batch counts as a whole. A store that was
/// over its quota before may shrink.
fn check_quota(session: &Session<'_>) -> Result<(), KeyValueError> {
    let (before, now) = session.bytes();
    let needed = now.unsigned_abs();
    if needed > session.quota && now > before {
        return Err(KeyValueError::QuotaExceeded { needed, quota: session.quota });
    }
    Ok(())
}

/// A counter: a decimal number in ASCII, as other hosts and Redis keep it.
fn number(value: &[u8]) -> Result<i64, KeyValueError> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(KeyValueError::NotACounter)
}

fn text(value: ValueRef<'_>) -> Result<String, KeyValueError> {
    let damaged = || KeyValueError::Unavailable { detail: "a stored key is not text; restore a backup".to_owned() };
    let bytes = value.as_blob().map_err(|_| damaged())?;
    String::from_utf8(bytes.to_vec()).map_err(|_| damaged())
}

fn revision(stored: i64) -> Revision {
    Revision::new(stored.unsigned_abs())
}

/// Checked before: at most [`MAX_BATCH_BYTES`].
fn size(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}
