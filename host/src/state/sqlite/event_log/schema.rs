//! The tables of the event log, and the sums that every write keeps exact.
//!
//! Texts that events are looked for by stand in the indexes as they are: whoever opens the file with another program can
//! read it. An index entry ends with the place of its event, so each index is also in the order of the log. `by_id` has
//! the id first, because ids that the host makes grow with time and new entries meet in a few pages.
//!
//! `topics` counts events and bytes for each topic that has any: patterns are resolved by it and retention by size adds
//! it up. `forgotten` remembers source and id of events that are deleted before [`DEDUPLICATION`] is over. `dead` has
//! copies of events, with the same columns.
//!
//! [`DEDUPLICATION`]: crate::state::DEDUPLICATION

use std::collections::HashMap;

use rusqlite::Connection;

use crate::state::sqlite::database::Ledger;
use crate::state::sqlite::open::Format;

/// Where the log lies in the state directory.
pub(super) const FILE: &str = "events/log.sqlite3";

pub(in crate::state::sqlite) const FORMAT: Format = Format {
    what: "an event log",
    application: 0x5748_4556, // WHEV
    steps: &[FORMAT_1],
    synchronous: "FULL",
    cache_kib: 16 << 10,
    checkpoint_pages: 4096,
    log_bytes: 32 << 20,
};

const FORMAT_1: &str = "
    CREATE TABLE log (
        last INTEGER NOT NULL,
        published INTEGER NOT NULL,
        events INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        dead_bytes INTEGER NOT NULL,
        forgotten INTEGER NOT NULL
    ) STRICT;
    INSERT INTO log VALUES (0, 0, 0, 0, 0, 0);
    CREATE TABLE topics (
        topic TEXT PRIMARY KEY,
        events INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        offset INTEGER PRIMARY KEY,
        published INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        topic TEXT NOT NULL,
        kind TEXT NOT NULL,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        subject TEXT,
        correlation TEXT,
        key TEXT,
        seconds INTEGER NOT NULL,
        nanos INTEGER NOT NULL,
        content_type TEXT,
        schema TEXT,
        extensions TEXT,
        data BLOB NOT NULL
    ) STRICT;
    CREATE INDEX by_id ON events (id, source);
    CREATE INDEX by_topic ON events (topic);
    CREATE INDEX by_kind ON events (kind);
    CREATE INDEX by_source ON events (source);
    CREATE INDEX by_subject ON events (subject) WHERE subject IS NOT NULL;
    CREATE INDEX by_correlation ON events (correlation) WHERE correlation IS NOT NULL;
    CREATE TABLE forgotten (
        offset INTEGER PRIMARY KEY,
        published INTEGER NOT NULL,
        source TEXT NOT NULL,
        id TEXT NOT NULL
    ) STRICT;
    CREATE INDEX forgotten_by_id ON forgotten (id, source);
    CREATE TABLE subscriptions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        service TEXT NOT NULL,
        name TEXT NOT NULL,
        topics TEXT NOT NULL,
        position INTEGER NOT NULL,
        UNIQUE (service, name)
    ) STRICT;
    CREATE TABLE waiting (
        subscription INTEGER NOT NULL REFERENCES subscriptions (number) ON DELETE CASCADE,
        offset INTEGER NOT NULL,
        lane_topic TEXT,
        lane_key TEXT,
        attempts INTEGER NOT NULL,
        due INTEGER,
        error TEXT NOT NULL,
        PRIMARY KEY (subscription, offset)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX waiting_by_event ON waiting (offset);
    CREATE TABLE dead (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        service TEXT NOT NULL,
        name TEXT NOT NULL,
        died INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        error TEXT NOT NULL,
        offset INTEGER NOT NULL,
        published INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        topic TEXT NOT NULL,
        kind TEXT NOT NULL,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        subject TEXT,
        correlation TEXT,
        key TEXT,
        seconds INTEGER NOT NULL,
        nanos INTEGER NOT NULL,
        content_type TEXT,
        schema TEXT,
        extensions TEXT,
        data BLOB NOT NULL
    ) STRICT;
    CREATE INDEX dead_by_subscription ON dead (service, name);
";

/// Sums of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// The place of the last event that was ever published.
    pub(super) last: i64,
    /// When that was.
    pub(super) published: i64,
    pub(super) events: i64,
    pub(super) bytes: i64,
    pub(super) dead_bytes: i64,
    /// Rows of `forgotten`.
    pub(super) forgotten: i64,
}

/// The sums, and what the transaction has changed in `topics`.
#[derive(Debug)]
pub(super) struct LogLedger {
    pub(super) sums: Sums,
    stored: Sums,
    topics: HashMap<String, (i64, i64)>,
}

impl LogLedger {
    /// Counts an event that came (`sign` 1) or went (-1).
    pub(super) fn count(&mut self, topic: &str, bytes: i64, sign: i64) {
        self.sums.events += sign;
        self.sums.bytes += sign * bytes;
        if let Some((events, sum)) = self.topics.get_mut(topic) {
            *events += sign;
            *sum += sign * bytes;
        } else {
            self.topics.insert(topic.to_owned(), (sign, sign * bytes));
        }
    }
}

pub(super) fn sums(connection: &Connection) -> rusqlite::Result<Sums> {
    connection.prepare_cached("SELECT last, published, events, bytes, dead_bytes, forgotten FROM log")?.query_row(
        [],
        |row| {
            Ok(Sums {
                last: row.get(0)?,
                published: row.get(1)?,
                events: row.get(2)?,
                bytes: row.get(3)?,
                dead_bytes: row.get(4)?,
                forgotten: row.get(5)?,
            })
        },
    )
}

impl Ledger for LogLedger {
    fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let sums = sums(connection)?;
        Ok(Self { stored: sums.clone(), sums, topics: HashMap::new() })
    }

    fn store(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.sums != self.stored {
            let sums = &self.sums;
            connection
                .prepare_cached(
                    "UPDATE log SET last = ?1, published = ?2, events = ?3, bytes = ?4, dead_bytes = ?5, forgotten = ?6",
                )?
                .execute((sums.last, sums.published, sums.events, sums.bytes, sums.dead_bytes, sums.forgotten))?;
        }
        for (topic, (events, bytes)) in &self.topics {
            connection
                .prepare_cached(
                    "INSERT INTO topics VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET events = events + ?2, bytes = bytes + ?3",
                )?
                .execute((topic, events, bytes))?;
            if *events < 0 {
                connection
                    .prepare_cached("DELETE FROM topics WHERE topic = ?1 AND events = 0")?
                    .execute([topic.as_str()])?;
            }
        }
        Ok(())
    }
}
