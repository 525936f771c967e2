//! Projections: tables that are good to ask, made of all events in order.

use super::{EsError, Recorded, integer};
use crate::params;
use crate::sql::{self, Transaction};

/// What makes tables of events, for questions.
#[derive(Clone, Copy, Debug)]
pub struct Projection {
    /// Names its checkpoint.
    pub name: &'static str,
    /// Empties its tables.
    pub clear: fn(&Transaction) -> Result<(), EsError>,
    /// Takes in one event.
    pub apply: fn(&Transaction, &Recorded) -> Result<(), EsError>,
}

impl Projection {
    /// Takes in up to `limit` events that it has not had, in one transaction with its checkpoint, and says how many
    /// there were.
    ///
    /// # Errors
    /// That of an event, after which nothing of this call is kept.
    pub fn catch_up(&self, limit: u32) -> Result<u64, EsError> {
        sql::transaction(|tx| self.catch_up_in(tx, limit))
    }

    /// The same in a transaction that is there, with the command for one: then questions see at once what was commanded.
    ///
    /// # Errors
    /// That of an event.
    pub fn catch_up_in(&self, tx: &Transaction, limit: u32) -> Result<u64, EsError> {
        let checkpoint = "SELECT position FROM es_checkpoints WHERE projection = ?1";
        let from = tx.first::<(i64,)>(checkpoint, params![self.name])?.map_or(0, |(position,)| position);
        let select =
            "SELECT position, stream, version, data, at FROM es_events WHERE position > ?1 ORDER BY position LIMIT ?2";
        let events: Vec<Recorded> = tx.all(select, params![from, limit])?;
        for event in &events {
            (self.apply)(tx, event)?;
        }
        if let Some(last) = events.last() {
            let write = "INSERT INTO es_checkpoints VALUES (?1, ?2)
                ON CONFLICT (projection) DO UPDATE SET position = excluded.position";
            tx.execute(write, params![self.name, integer(last.position)])?;
        }
        Ok(events.len() as u64)
    }

    /// Empties its tables and forgets its checkpoint; [`catch_up`](Self::catch_up) makes them again.
    ///
    /// # Errors
    /// When the database does not do it.
    pub fn rebuild(&self) -> Result<(), EsError> {
        sql::transaction(|tx| {
            (self.clear)(tx)?;
            tx.execute("DELETE FROM es_checkpoints WHERE projection = ?1", params![self.name])?;
            Ok(())
        })
    }
}
