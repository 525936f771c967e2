//! What is known of rows whose entries have ended: how many there are, what they take, and when the next one ends.
//!
//! Each row is counted once, when its moment has passed, by an index on ends; from then on the sums are kept exact by
//! whoever takes such a row away. So the quota is exact at any moment, and nothing is counted row by row twice. Copied at
//! the start of a transaction and kept only when that commits.

use rusqlite::Connection;

/// Most rows that one transaction takes away before its jobs.
pub(super) const SWEEP: i64 = 256;

/// See the module. In the beginning nothing is known, and the first transaction counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expired {
    /// Rows that ended until then are counted.
    until: i64,
    /// No other row ends before this.
    next: Option<i64>,
    /// Rows that are not there any more for anybody.
    pub(super) keys: i64,
    /// Bytes of their keys and values.
    pub(super) bytes: i64,
}

/// Rows that were taken away.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Swept {
    pub(super) keys: i64,
    pub(super) bytes: i64,
}

impl Default for Expired {
    fn default() -> Self {
        Self { until: i64::MIN, next: Some(i64::MIN), keys: 0, bytes: 0 }
    }
}

impl Expired {
    /// Counts what has ended since the last time.
    pub(super) fn advance(&mut self, connection: &Connection, now: i64) -> rusqlite::Result<()> {
        if self.next.is_none_or(|next| next > now) {
            return Ok(());
        }
        let (keys, bytes): (i64, i64) = connection
            .prepare_cached(
                "SELECT count(*), coalesce(sum(length(key) + length(value)), 0) FROM entries
                 WHERE expires > ?1 AND expires <= ?2",
            )?
            .query_row([self.until, now], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.keys += keys;
        self.bytes += bytes;
        self.until = now;
        self.next = connection
            .prepare_cached("SELECT min(expires) FROM entries WHERE expires > ?1")?
            .query_row([now], |row| row.get(0))?;
        Ok(())
    }

    /// A row was written that ends then, if ever.
    pub(super) fn will_end(&mut self, end: Option<i64>) {
        self.next = match (self.next, end) {
            (Some(next), Some(end)) => Some(next.min(end)),
            (next, end) => next.or(end),
        };
    }

    /// Takes some of the counted rows away.
    pub(super) fn sweep(&mut self, connection: &Connection) -> rusqlite::Result<Swept> {
        let mut swept = Swept::default();
        if self.keys == 0 {
            return Ok(swept);
        }
        let mut statement = connection.prepare_cached(
            "DELETE FROM entries WHERE position IN
                 (SELECT position FROM entries WHERE expires <= ?1 ORDER BY expires LIMIT ?2)
             RETURNING length(key) + length(value)",
        )?;
        let mut rows = statement.query([self.until, SWEEP])?;
        while let Some(row) = rows.next()? {
            swept.keys += 1;
            swept.bytes += row.get::<_, i64>(0)?;
        }
        self.keys -= swept.keys;
        self.bytes -= swept.bytes;
        Ok(swept)
    }
}
