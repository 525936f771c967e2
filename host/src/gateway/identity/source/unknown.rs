//! Key ids that a provider did not know: whoever asks for one again and again loses its turns.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many are remembered.
const MOST: usize = 128;
/// The longest that one waits for its next turn.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The last of them.
#[derive(Default)]
pub(super) struct UnknownIds(VecDeque<UnknownId>);

struct UnknownId {
    id: String,
    until: Instant,
    pause: Duration,
}

impl UnknownIds {
    /// Whether nobody is to be asked about this one now.
    pub(super) fn contains(&self, id: &str, now: Instant) -> bool {
        self.0.iter().any(|unknown| unknown.id == id && now < unknown.until)
    }

    /// It was asked for in vain: not before `pause`, or twice as long as the last time.
    pub(super) fn remember(&mut self, id: &str, now: Instant, pause: Duration) {
        let at = self.0.iter().position(|unknown| unknown.id == id);
        let before = at.and_then(|at| self.0.remove(at));
        let pause = before.map_or(pause, |before| before.pause.saturating_mul(2).min(LONGEST_PAUSE));
        let Some(until) = now.checked_add(pause) else { return };
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(UnknownId { id: id.to_owned(), until, pause });
    }
}
