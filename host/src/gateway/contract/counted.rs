//! What was found, for metrics and the log.
//!
//! A client can break promises as fast as it can send, so a service's log gets at most [`LINES`] lines a second of
//! them. The counters have them all.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use crate::contract::{Direction, Kind, Skipped, Violation};

/// Lines a second.
const LINES: u64 = 10;

/// Counters of one service.
#[derive(Debug)]
pub(crate) struct ContractCounters {
    violations: [[AtomicU64; Kind::ALL.len()]; 2],
    skipped: [[AtomicU64; Skipped::ALL.len()]; 2],
    began: Instant,
    /// The second that lines are counted in, and how many there were, in one number.
    lines: AtomicU64,
}

/// What is known of the message that they are about.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) service: &'a str,
    pub(super) version: &'a str,
    pub(super) operation: &'a str,
    pub(super) direction: Direction,
    pub(super) request_id: &'a str,
}

impl Default for ContractCounters {
    fn default() -> Self {
        Self {
            violations: Default::default(),
            skipped: Default::default(),
            began: Instant::now(),
            lines: AtomicU64::new(0),
        }
    }
}

impl ContractCounters {
    /// Counts what is wrong with one message, each kind once.
    pub(super) fn count(&self, direction: Direction, violations: &[Violation]) {
        for (kind, counter) in Kind::ALL.iter().zip(row(&self.violations, direction)) {
            if violations.iter().any(|violation| violation.kind == *kind) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Counts a body that nobody looked at.
    pub(super) fn skip(&self, direction: Direction, why: Skipped) {
        let index = Skipped::ALL.iter().position(|one| *one == why);
        if let Some(counter) = index.and_then(|index| row(&self.skipped, direction).get(index)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says it in the log, unless there was much to say in this second already.
    pub(super) fn log(&self, about: About<'_>, violations: &[Violation]) {
        let Some(first) = violations.first() else { return };
        if !self.may_log(Instant::now()) {
            return;
        }
        tracing::warn!(
            service = about.service,
            version = about.version,
            operation = about.operation,
            direction = about.direction.word(),
            kind = first.kind.word(),
            faults = violations.len(),
            request_id = about.request_id,
            "contract broken: {first}"
        );
    }

    fn may_log(&self, now: Instant) -> bool {
        let second = now.saturating_duration_since(self.began).as_secs() + 1;
        let counted = |lines: u64| {
            let (of, count) = (lines >> 8, lines & 0xff);
            if of != second { Some(second << 8 | 1) } else { (count < LINES).then_some(lines + 1) }
        };
        self.lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted).is_ok()
    }

    /// All of them: direction, kind, how many.
    pub(crate) fn violations(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        [Direction::Request, Direction::Response].into_iter().flat_map(|direction| {
            let counters = Kind::ALL.iter().zip(row(&self.violations, direction));
            counters.map(move |(kind, counter)| (direction.word(), kind.word(), counter.load(Ordering::Relaxed)))
        })
    }

    /// All of them: direction, why, how many.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        [Direction::Request, Direction::Response].into_iter().flat_map(|direction| {
            let counters = Skipped::ALL.iter().zip(row(&self.skipped, direction));
            counters.map(move |(why, counter)| (direction.word(), why.word(), counter.load(Ordering::Relaxed)))
        })
    }
}

fn row<const N: usize>([request, response]: &[[AtomicU64; N]; 2], direction: Direction) -> &[AtomicU64; N] {
    match direction {
        Direction::Request => request,
        Direction::Response => response,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::contract::Place;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_faults_is_counted_and_not_logged() {
        let counters = ContractCounters::default();
        let now = Instant::now();
        let logged = |now| (0..1000).filter(|_| counters.may_log(now)).count();
        assert_eq!(logged(now), 10);
        assert_eq!(logged(now + Duration::from_millis(999)), 0);
        assert_eq!(logged(now + Duration::from_secs(1)), 10);
        let body = Violation { kind: Kind::Body, place: Place::Head, message: String::new() };
        counters.count(Direction::Response, &[body.clone(), body]);
        counters.skip(Direction::Request, Skipped::TooLarge);
        counters.skip(Direction::Request, Skipped::NotDescribed);
        let found: Vec<_> = counters.violations().filter(|(.., count)| *count > 0).collect();
        assert_eq!(found, [("response", "body", 1)]);
        let found: Vec<_> = counters.skipped().filter(|(.., count)| *count > 0).collect();
        assert_eq!(found, [("request", "too_large", 1)]);
    }
}
