//! What the log does not know yet of a subscription: where it stands, its rows, and what it has given up.

use std::time::SystemTime;

use super::Book;
use crate::state::{Offset, Progress, Waiting};

/// So many events may be done before one that is still on its way; then that one gets a row, so that a crash does not
/// deliver all of them again.
const MAX_AHEAD: usize = 1000;

#[derive(Debug)]
pub(super) enum Change {
    Waits(Waiting),
    Handled,
    Dead(u32, String),
}

impl Book {
    /// Where the subscription stands.
    pub(in super::super) fn position(&self) -> Offset {
        self.fresh.first().map_or(self.read_to, |first| Offset(first.0.saturating_sub(1))).max(self.position)
    }

    /// Whether the log knows less than this, be it only that events for others went by.
    pub(in super::super) fn is_behind(&self) -> bool {
        !self.changes.is_empty() || self.position() > self.position
    }

    /// How much there is to note, if it matters soon.
    pub(in super::super) fn unnoted(&self) -> usize {
        self.changes.len() + if self.moved { self.ahead.max(1) } else { 0 }
    }

    /// What is to be noted now, if anything.
    pub(in super::super) fn take(&mut self) -> Option<Progress> {
        if self.ahead >= MAX_AHEAD
            && let Some(first) = self.fresh.first().copied()
        {
            self.note(first, None, String::new());
        }
        let position = self.position();
        if position > self.position {
            self.ahead = 0;
        }
        if position == self.position && self.changes.is_empty() {
            self.moved = false;
            return None;
        }
        let mut progress = Progress { position: Some(position), ..Progress::default() };
        for (offset, change) in std::mem::take(&mut self.changes) {
            match change {
                Change::Waits(row) => progress.waiting.push(row),
                Change::Handled => progress.handled.push(offset),
                Change::Dead(attempts, error) => progress.dead.push((offset, attempts, error)),
            }
        }
        self.position = position;
        self.moved = false;
        Some(progress)
    }

    /// That is noted.
    pub(in super::super) fn noted(&mut self, progress: Progress) {
        for row in progress.waiting {
            if self.items.get_mut(&row.offset).and_then(|item| item.event.take()).is_some() {
                self.in_memory -= 1;
            }
        }
        for (offset, ..) in progress.dead {
            self.leave(offset);
        }
    }

    /// That could not be noted, and still has to be.
    pub(in super::super) fn not_noted(&mut self, progress: Progress) {
        for row in progress.waiting {
            self.changes.entry(row.offset).or_insert(Change::Waits(row));
        }
        for offset in progress.handled {
            self.changes.entry(offset).or_insert(Change::Handled);
        }
        for (offset, attempts, error) in progress.dead {
            self.changes.entry(offset).or_insert(Change::Dead(attempts, error));
        }
        // Whatever the position is then, it is written with them.
        self.position = Offset(0);
        self.moved = true;
    }

    /// Gives it a row.
    pub(super) fn note(&mut self, offset: Offset, due: Option<SystemTime>, error: String) {
        let Some(item) = self.items.get_mut(&offset) else { return };
        self.fresh.remove(&offset);
        let lane = item.lane.as_deref().cloned();
        let row = Waiting { offset, lane, attempts: item.attempts, due, error };
        self.changes.insert(offset, Change::Waits(row));
    }
}
