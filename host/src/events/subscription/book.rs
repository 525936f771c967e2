//! What a subscription has in hand: which events may be delivered now, which wait, and what is to be noted of it.
//!
//! ```text
//! read ─→ ready ─→ in flight ─→ handled
//!   └→ held ↗          ├──→ due (a row) ─→ ready …
//!     (its key)        └──→ dying ─→ noted as dead ─→ gone
//! ```
//!
//! An event is *fresh* until it is done or has a *row* (`Waiting` in the log). The position stands before the first fresh
//! event, so whatever has no row is read again after a crash. An event that has to be tried again gets a row, and with
//! it all that it holds back: those of its topic and key, its *lane*. Of a lane only the first event is ever on its way,
//! and the next follows when that one is handled, or noted as dead: had the next one been delivered before, a crash
//! could bring the first one back behind it.
//!
//! No clock, no I/O: times are passed in, and what is to be written is taken out with [`Book::take`]. Bounds: [`WINDOW`]
//! events in memory, which are those whose row (if they have one) is not noted yet, and [`MAX_WAITING`] rows; when either
//! is reached nothing more is read. What is to be noted is kept in `noting`.

mod noting;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use self::noting::Change;
use crate::state::{Event, EventPage, Offset, StoredEvent, Waiting};

/// Events in memory at most, whatever `maxInFlight` is.
pub(super) const WINDOW: usize = 1024;
/// Rows at most; as many more as are fresh may come on top when a key begins to be held back.
pub(super) const MAX_WAITING: usize = 10_000;
/// Topic and key.
type Lane = Arc<(String, String)>;

/// An event to deliver.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) offset: Offset,
    /// From 1.
    pub(super) attempt: u32,
    /// Not there when the log has a row of it: then it is read by that.
    pub(super) event: Option<StoredEvent>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Behind an earlier one of its lane.
    Held,
    InFlight,
    Due(Instant),
    /// Given up, and not yet noted.
    Dying,
}

#[derive(Debug)]
struct Item {
    lane: Option<Lane>,
    attempts: u32,
    state: State,
    /// As long as the log has no row of it: it could not be read again by that.
    event: Option<StoredEvent>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    ordered: bool,
    read_to: Offset,
    /// What was noted last.
    position: Offset,
    items: BTreeMap<Offset, Item>,
    /// Those without a row.
    fresh: BTreeSet<Offset>,
    ready: BTreeSet<Offset>,
    due: BTreeSet<(Instant, Offset)>,
    lanes: HashMap<Lane, BTreeSet<Offset>>,
    changes: BTreeMap<Offset, Change>,
    /// Items that have their event.
    in_memory: usize,
    /// Fresh events that are done, and that the position is not yet past.
    ahead: usize,
    /// Whether one is done since the last note.
    moved: bool,
}

impl Book {
    pub(super) fn new(ordered: bool, position: Offset) -> Self {
        Self {
            ordered,
            read_to: position,
            position,
            items: BTreeMap::new(),
            fresh: BTreeSet::new(),
            ready: BTreeSet::new(),
            due: BTreeSet::new(),
            lanes: HashMap::new(),
            changes: BTreeMap::new(),
            in_memory: 0,
            ahead: 0,
            moved: false,
        }
    }

    /// A row that was there. In the order of the log, before anything is read.
    pub(super) fn restore(&mut self, row: Waiting, due: Option<Instant>) {
        let lane = row.lane.filter(|_| self.ordered).map(Arc::new);
        let state = match due {
            _ if !self.enter(lane.as_ref(), row.offset) => State::Held,
            None => State::Ready,
            Some(due) => State::Due(due),
        };
        self.items.insert(row.offset, Item { lane, attempts: row.attempts, state: State::Held, event: None });
        self.set(row.offset, state);
    }

    /// How far the log was read.
    pub(super) fn read_to(&self) -> Offset {
        self.read_to
    }

    /// How many more events may be read.
    pub(super) fn room(&self) -> usize {
        if self.waiting() >= MAX_WAITING { 0 } else { WINDOW.saturating_sub(self.in_memory) }
    }

    /// Events with a row.
    pub(super) fn waiting(&self) -> usize {
        self.items.len() - self.fresh.len()
    }

    /// Whether anything could be delivered at once.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes events in.
    pub(super) fn read(&mut self, page: EventPage) {
        for event in page.events {
            let offset = event.offset;
            // A row may lie behind the position.
            if self.items.contains_key(&offset) {
                continue;
            }
            let lane = if self.ordered { lane(&event.event) } else { None };
            let is_first = self.enter(lane.as_ref(), offset);
            let behind_a_row = lane.as_ref().is_some_and(|lane| self.first_has_row(lane));
            self.items.insert(offset, Item { lane, attempts: 0, state: State::Held, event: Some(event) });
            self.in_memory += 1;
            self.fresh.insert(offset);
            if is_first {
                self.set(offset, State::Ready);
            } else if behind_a_row {
                self.note(offset, None, String::new());
            }
        }
        self.read_to = self.read_to.max(page.read_to);
    }

    /// The next event to deliver, which is on its way from now on.
    pub(super) fn next(&mut self, now: Instant) -> Option<Job> {
        while let Some((due, offset)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, offset));
            self.set(offset, State::Ready);
        }
        let offset = self.ready.first().copied()?;
        self.set(offset, State::InFlight);
        let item = self.items.get(&offset)?;
        Some(Job { offset, attempt: item.attempts.saturating_add(1), event: item.event.clone() })
    }

    /// It is done.
    pub(super) fn handled(&mut self, offset: Offset) {
        if self.fresh.remove(&offset) {
            self.moved = true;
            self.ahead += 1;
        } else {
            self.changes.insert(offset, Change::Handled);
        }
        self.leave(offset);
    }

    /// It is to be delivered again then, at this time of the clock on the wall.
    pub(super) fn again(&mut self, offset: Offset, due: Instant, at: SystemTime, error: String) {
        let Some(item) = self.items.get_mut(&offset) else { return };
        item.attempts = item.attempts.saturating_add(1);
        let lane = item.lane.clone();
        self.set(offset, State::Due(due));
        self.note(offset, Some(at), error);
        let held: Vec<Offset> = lane.and_then(|lane| self.lanes.get(&lane)).into_iter().flatten().copied().collect();
        for held in held {
            if self.fresh.contains(&held) {
                self.note(held, None, String::new());
            }
        }
    }

    /// It is given up. Its lane goes on when that is noted.
    pub(super) fn dead(&mut self, offset: Offset, error: String) {
        let Some(item) = self.items.get_mut(&offset) else { return };
        item.attempts = item.attempts.saturating_add(1);
        let attempts = item.attempts;
        self.fresh.remove(&offset);
        self.set(offset, State::Dying);
        self.changes.insert(offset, Change::Dead(attempts, error));
    }

    /// It was not delivered, which is no fault of its own.
    pub(super) fn put_back(&mut self, offset: Offset) {
        self.set(offset, State::Ready);
    }

    /// Attempts that count, so far.
    pub(super) fn attempts(&self, offset: Offset) -> u32 {
        self.items.get(&offset).map_or(0, |item| item.attempts)
    }

    /// Puts it in its lane; whether it is the only one there.
    fn enter(&mut self, lane: Option<&Lane>, offset: Offset) -> bool {
        let Some(lane) = lane else { return true };
        let lane = self.lanes.entry(Arc::clone(lane)).or_default();
        lane.insert(offset);
        lane.len() == 1
    }

    fn first_has_row(&self, lane: &Lane) -> bool {
        let first = self.lanes.get(lane).and_then(BTreeSet::first);
        first.is_some_and(|first| self.items.contains_key(first) && !self.fresh.contains(first))
    }

    /// It is gone, and the next one of its lane may go.
    fn leave(&mut self, offset: Offset) {
        self.unset(offset);
        let Some(item) = self.items.remove(&offset) else { return };
        self.in_memory -= usize::from(item.event.is_some());
        let Some(lane) = item.lane else { return };
        let Some(members) = self.lanes.get_mut(&lane) else { return };
        members.remove(&offset);
        match members.first().copied() {
            None => drop(self.lanes.remove(&lane)),
            Some(next) if self.items.get(&next).is_some_and(|item| item.state == State::Held) => {
                self.set(next, State::Ready);
            }
            Some(_) => {}
        }
    }

    fn set(&mut self, offset: Offset, state: State) {
        self.unset(offset);
        let Some(item) = self.items.get_mut(&offset) else { return };
        item.state = state;
        match state {
            State::Ready => drop(self.ready.insert(offset)),
            State::Due(due) => drop(self.due.insert((due, offset))),
            State::Held | State::InFlight | State::Dying => {}
        }
    }

    fn unset(&mut self, offset: Offset) {
        match self.items.get(&offset).map(|item| item.state) {
            Some(State::Ready) => drop(self.ready.remove(&offset)),
            Some(State::Due(due)) => drop(self.due.remove(&(due, offset))),
            _ => {}
        }
    }
}

fn lane(event: &Event) -> Option<Lane> {
    Some(Arc::new((event.topic.clone(), event.key.clone()?)))
}
