//! The tables of the queues.
//!
//! What changes with each receive is in `messages`, whose rows are small; `bodies` are written once. `queues` counts
//! messages and bytes. `visible` is the time from which a message can be received, and with the number orders them.
//! `receipt` is a random number, none as long as nobody has the message. `since` is the time from which its age counts,
//! and `expired` how many became too old.

use rusqlite::Connection;

use crate::state::sqlite::database::Ledger;
use crate::state::sqlite::open::Format;

/// Where the queues lie in the state directory.
pub(super) const FILE: &str = "events/queues.sqlite3";

pub(in crate::state::sqlite) const FORMAT: Format = Format {
    what: "a file of queues",
    application: 0x5748_5155, // WHQU
    steps: &[FORMAT_1, FORMAT_2],
    synchronous: "FULL",
    cache_kib: 8 << 10,
    checkpoint_pages: 4096,
    log_bytes: 32 << 20,
};

const FORMAT_1: &str = "
    CREATE TABLE queues (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        bytes INTEGER NOT NULL,
        dead_bytes INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue INTEGER NOT NULL,
        visible INTEGER NOT NULL,
        sent INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        receipt INTEGER,
        bytes INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX messages_by_time ON messages (queue, visible);
    CREATE TABLE bodies (
        id INTEGER PRIMARY KEY,
        content_type TEXT,
        body BLOB NOT NULL
    ) STRICT;
    CREATE TABLE dead (
        id INTEGER PRIMARY KEY,
        queue INTEGER NOT NULL,
        sent INTEGER NOT NULL,
        died INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX dead_by_queue ON dead (queue);
    CREATE TABLE sent (
        queue INTEGER NOT NULL,
        deduplication TEXT NOT NULL,
        id INTEGER NOT NULL,
        sent INTEGER NOT NULL,
        PRIMARY KEY (queue, deduplication)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sent_by_time ON sent (sent);
";

/// Retention by age. Messages of before count from when they were sent.
const FORMAT_2: &str = "
    ALTER TABLE queues ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE messages ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
    UPDATE messages SET since = sent;
    CREATE INDEX messages_by_age ON messages (queue, since);
";

/// Each queue's sums are a row of its own, so there is nothing to keep for all of them.
#[derive(Debug)]
pub(super) struct NoLedger;

impl Ledger for NoLedger {
    fn load(_: &Connection) -> rusqlite::Result<Self> {
        Ok(Self)
    }

    fn store(&mut self, _: &Connection) -> rusqlite::Result<()> {
        Ok(())
    }
}
