//! Statements that are over before another thread would have begun with them: they run where they are asked for.
//!
//! Sending a statement to a thread and its answer back costs five times as much as reading a row by its key. So one that
//! is known to be *quick* runs on the executor's thread, with a reader's connection whose own thread rests meanwhile.
//! Nothing there may hold that thread up, whatever a service does:
//!
//! - Only a statement that has run before, on its thread, can be quick, and only if the program that SQLite makes of it
//!   has nothing but steps from [`STEPS`]. Each of those takes a time that the size of a row bounds. So there is no
//!   function, no virtual table, no count of a whole table in one step, and nothing is written.
//! - It has at most two [`OPS`](super::guard::OPS) steps and must be at its end then; else it is run from the
//!   beginning on a thread, and is not quick any more.
//! - The same text may mean something else when tables have changed. So a transaction that changes them forgets what is
//!   quick, and nothing runs in this way during its commit ([`Gate`]).
//! - It waits for no lock and for no connection: there is one that is free, or a thread takes it.
//! - What remains is the disk, and rows of megabytes. After a statement that took longer than [`SLOW`], not counting time
//!   without a core (`core`), all of the database are left to threads for [`PAUSE`] times as long, so that is the part of
//!   a thread's time that can be lost.

mod core;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::rows::{Begun, OpenRows};
use super::session::{FIRST_BYTES, FIRST_ROWS};
use super::work::Lane;
use crate::state::{SqlError, SqlSettings, SqlValue};

/// Longer statements are never quick: they may have to be compiled again.
const TEXT_BYTES: usize = 2 << 10;
/// Statements of a connection that are known.
const KNOWN: usize = 64;
/// How long a quick statement may take. A look at the disk takes as long or longer; all else takes a tenth of it.
const SLOW: Duration = Duration::from_micros(200);
/// How many times as long nothing is quick after one that took longer.
const PAUSE: u32 = 100;

/// The steps of a quick program, by SQLite's names (`EXPLAIN`).
#[rustfmt::skip]
const STEPS: &[&str] = &[
    "Affinity", "BeginSubrtn", "Blob", "Close", "Column", "Copy", "DecrJumpZero", "DeferredSeek", "Eq", "Explain",
    "FinishSeek", "Found", "Ge", "Gosub", "Goto", "Gt", "Halt", "IdxGE", "IdxGT", "IdxLE", "IdxLT", "IdxRowid", "If",
    "IfNot", "IfPos", "Init", "InitCoroutine", "Int64", "IntCopy", "Integer", "IsNull", "IsTrue", "Last", "Le", "Lt",
    "MakeRecord", "Move", "MustBeInt", "Ne", "Next", "NoConflict", "Noop", "NotExists", "NotFound", "NotNull", "Null",
    "NullRow", "OffsetLimit", "Once", "OpenPseudo", "OpenRead", "Prev", "Real", "RealAffinity", "ReopenIdx",
    "ResultRow", "Return", "Rewind", "Rowid", "SCopy", "SeekGE", "SeekGT", "SeekLE", "SeekLT", "SeekRowid", "SeekScan",
    "Sequence", "SoftNull", "SorterData", "SorterInsert", "SorterNext", "SorterOpen", "SorterSort", "String",
    "String8", "Transaction", "Variable", "Yield", "ZeroOrNull",
];

/// When quick statements of a database may run: not while a change of its tables is committed, nor for a while after one
/// that was not quick. Counts those changes, so that what was known before them is not believed after.
#[derive(Debug, Default)]
pub(super) struct Gate {
    changes: RwLock<u64>,
    /// Nothing is quick before then.
    pause: Mutex<Option<Instant>>,
}

impl Gate {
    /// How many changes there were.
    pub(super) fn count(&self) -> u64 {
        *self.changes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, and no change while it is held; nothing if one is on its way.
    fn still(&self) -> Option<RwLockReadGuard<'_, u64>> {
        self.changes.try_read().ok()
    }

    /// No quick statement runs while it is held. Whoever changes tables adds one.
    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, u64> {
        self.changes.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self) -> MutexGuard<'_, Option<Instant>> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pauses(&self, now: Instant) -> bool {
        self.pause().is_some_and(|until| now < until)
    }
}

/// What a connection knows about statements.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The changes of tables that it knows of.
    schema: u64,
    statements: HashMap<Box<str>, Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Quick,
    No,
}

impl Known {
    fn get(&mut self, text: &str, schema: u64) -> Option<Verdict> {
        if self.schema != schema {
            self.statements.clear();
            self.schema = schema;
        }
        self.statements.get(text).copied()
    }

    fn set(&mut self, text: &str, verdict: Verdict) {
        if self.statements.len() >= KNOWN && !self.statements.contains_key(text) {
            // Whoever makes up so many has not many that come again.
            self.statements.clear();
        }
        self.statements.insert(text.into(), verdict);
    }
}

impl Lane {
    /// Looks at a statement that has just run to its end, on its thread, when tables had changed `schema` times before
    /// it began.
    pub(super) fn learn(&self, text: &str, schema: u64) {
        let mut known = self.known.borrow_mut();
        if text.len() > TEXT_BYTES || known.get(text, schema).is_some() {
            return;
        }
        let is_quick = self.host(|connection| is_quick(connection, text)).unwrap_or_default();
        // The program that was looked at is the one of this schema, unless it has changed since.
        if self.gate.count() == schema {
            known.set(text, if is_quick { Verdict::Quick } else { Verdict::No });
        }
    }

    /// The whole result of a statement that is quick; nothing if a thread has to run it. Errors too are for threads to
    /// find.
    pub(super) fn quick(&mut self, text: &str, parameters: &[SqlValue], settings: &SqlSettings) -> Option<Begun> {
        let gate = Arc::clone(&self.gate);
        let changes = gate.still()?;
        let began = Instant::now();
        let is_quick = self.known.get_mut().get(text, *changes) == Some(Verdict::Quick);
        if !is_quick || gate.pauses(began) || !self.is_configured(settings) {
            return None;
        }
        self.rested = false;
        core::begins(began);
        self.guard.hurry();
        let begun = self.whole(text, parameters, settings);
        let stopped = self.guard.calm();
        let mut took = began.elapsed();
        if took > SLOW {
            took = core::without_waiting(took);
        }
        if took > SLOW {
            *gate.pause() = Instant::now().checked_add(took * PAUSE);
        }
        if stopped || matches!(begun, Ok(None)) {
            self.known.get_mut().set(text, Verdict::No);
        }
        begun.ok().flatten()
    }

    /// A result, if it ends within its first piece.
    fn whole(&self, text: &str, parameters: &[SqlValue], settings: &SqlSettings) -> Result<Option<Begun>, SqlError> {
        let mut open = OpenRows::default();
        let begun = self.query(&mut open, text, parameters, (FIRST_ROWS, FIRST_BYTES), settings)?;
        open.close_all();
        Ok(Some(begun).filter(|begun| begun.place.is_none()))
    }
}

fn is_quick(connection: &Connection, text: &str) -> rusqlite::Result<bool> {
    let mut program = connection.prepare(&format!("EXPLAIN {text}"))?;
    let mut steps = program.raw_query();
    while let Some(step) = steps.next()? {
        let name = step.get_ref("opcode")?.as_str()?;
        if STEPS.binary_search(&name).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
