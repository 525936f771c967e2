//! `mirror`: whether a request is copied for another service, and what became of copies.
//!
//! A [`Ticket`] is one copy from the draw to the last byte of its answer. It holds a place of `maxConcurrent`, so that
//! a target that hangs, or clients that send slowly, hold at most that many copies of at most `maxBodySize` in memory;
//! when all are taken, no copy is made and the request goes on as if there were no mirror. Each ticket is counted once,
//! under how it ended. How a copy is made and sent is in `gateway/mirror.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::kept::{Kept, Place, Places};
use crate::config::{self, Percent};

/// Of copies that were not answered, one in so many is logged, and the first.
const LOG_EVERY: u64 = 1000;

/// `mirror`, ready to draw.
#[derive(Debug)]
pub(crate) struct Mirror {
    target: Arc<Target>,
    percent: Percent,
    max_concurrent: usize,
}

/// Where copies go and within which bounds.
#[derive(Debug)]
pub(crate) struct Target {
    /// The service's name.
    pub(crate) service: Box<str>,
    /// A version's label; without one, the version that the service's plain file gives.
    pub(crate) version: Option<Box<str>>,
    /// Bytes of body that are copied at most.
    pub(crate) max_body: usize,
    /// From sending a copy to the last byte of its answer.
    pub(crate) timeout: Duration,
    /// For people.
    name: Box<str>,
    state: Arc<MirrorState>,
}

/// How a copy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Answered, whatever the answer was.
    Sent,
    /// Not answered: there is no such service or version, or it failed.
    Failed,
    /// Not answered in time.
    TimedOut,
    /// Not sent: the body is too long.
    TooLarge,
    /// Not made: as many are on their way as may be.
    Busy,
    /// Not sent: the whole body never came.
    Incomplete,
}

/// What outlasts a change of the configuration.
#[derive(Debug, Default)]
pub(crate) struct MirrorState {
    active: Arc<Places>,
    counts: [AtomicU64; Fate::ALL.len()],
}

/// A copy on its way.
#[derive(Debug)]
pub(crate) struct Ticket {
    target: Arc<Target>,
    fate: Fate,
    _place: Place,
}

impl Fate {
    /// All, in their order.
    pub(crate) const ALL: [Self; 6] =
        [Self::Sent, Self::Failed, Self::TimedOut, Self::TooLarge, Self::Busy, Self::Incomplete];

    /// The word for logs and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::Incomplete => "incomplete",
        }
    }
}

impl MirrorState {
    /// How many copies ended so.
    pub(crate) fn counter(&self, fate: Fate) -> Option<&AtomicU64> {
        Fate::ALL.iter().zip(&self.counts).find_map(|(one, count)| (*one == fate).then_some(count))
    }

    /// How many are on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.active.taken()
    }
}

impl Mirror {
    /// `place` is where the filter stands; with the target it names the filter from one configuration to the next.
    pub(super) fn new(config: &config::Mirror, place: &str, states: &Kept<MirrorState>) -> Self {
        let name = format!("{place} to {}", config.target());
        Self {
            percent: config.percent,
            max_concurrent: usize::try_from(config.max_concurrent).unwrap_or(usize::MAX),
            target: Arc::new(Target {
                service: config.service.as_str().into(),
                version: config.version.as_deref().map(Into::into),
                max_body: usize::try_from(config.max_body_size.get()).unwrap_or(usize::MAX),
                timeout: config.timeout.get(),
                state: states.get(&name),
                name: name.into(),
            }),
        }
    }

    /// Whether a request whose body has at least `length` bytes is copied; `random` is uniform over all of `u64`.
    pub(crate) fn draw(&self, length: u64, random: u64) -> Option<Ticket> {
        if !self.percent.hits(random) {
            return None;
        }
        let Some(place) = self.target.state.active.enter(self.max_concurrent) else {
            self.target.count(Fate::Busy);
            return None;
        };
        let mut ticket = Ticket { target: Arc::clone(&self.target), fate: Fate::Incomplete, _place: place };
        ticket.fits(usize::try_from(length).unwrap_or(usize::MAX)).then_some(ticket)
    }
}

impl Target {
    fn count(&self, fate: Fate) {
        let Some(counter) = self.state.counter(fate) else { return };
        let before = counter.fetch_add(1, Ordering::Relaxed);
        if fate != Fate::Sent && before.is_multiple_of(LOG_EVERY) {
            tracing::info!(mirror = &*self.name, reason = fate.word(), count = before + 1, "a copy was not answered");
        }
    }
}

impl Ticket {
    /// Where it goes.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether a body of so many bytes is copied; if not, that is how it ends.
    pub(crate) fn fits(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.target.max_body;
        if !fits {
            self.fate = Fate::TooLarge;
        }
        fits
    }

    /// It has ended.
    pub(crate) fn ended(mut self, fate: Fate) {
        self.fate = fate;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.target.count(self.fate);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A mirror to `orders@2` with these fields besides.
    pub(crate) fn mirror(mut json: serde_json::Value, states: &Mirrors) -> Mirror {
        json["service"] = "orders".into();
        json["version"] = "2".into();
        Mirror::new(&serde_json::from_value(json).unwrap(), "rule a", &states.0)
    }

    /// What is kept of mirrors, to be looked at.
    #[derive(Default)]
    pub(crate) struct Mirrors(Kept<MirrorState>);

    impl Mirrors {
        /// Copies on their way.
        pub(crate) fn active(&self) -> usize {
            self.0.get("rule a to orders@2").active.taken()
        }

        /// How copies ended, those that did at all.
        pub(crate) fn ended(&self) -> Vec<(&'static str, u64)> {
            let state = self.0.get("rule a to orders@2");
            let counts = Fate::ALL.map(|fate| (fate.word(), state.counter(fate).unwrap().load(Ordering::Relaxed)));
            counts.into_iter().filter(|(_, count)| *count > 0).collect()
        }
    }

    #[test]
    fn each_field_decides_what_is_copied() {
        let states = Mirrors::default();
        let half = mirror(serde_json::json!({ "percent": 50 }), &states);
        assert!(half.draw(0, 499_999).is_some() && half.draw(0, 500_000).is_none());
        assert!(mirror(serde_json::json!({}), &states).draw(0, 999_999).is_some(), "all, if nothing is said");
        let small = mirror(serde_json::json!({ "maxBodySize": "10B" }), &states);
        assert!(small.draw(10, 0).is_some() && small.draw(11, 0).is_none() && small.draw(u64::MAX, 0).is_none());
        assert!(mirror(serde_json::json!({}), &states).draw(65_537, 0).is_none(), "64KiB, if nothing is said");
        let ticket = small.draw(0, 0).unwrap();
        assert_eq!((&*ticket.target().service, ticket.target().version.as_deref()), ("orders", Some("2")));
        assert_eq!(ticket.target().timeout, Duration::from_secs(5));
    }

    #[test]
    fn every_copy_is_counted_once_and_gives_its_place_back() {
        let states = Mirrors::default();
        let one = mirror(serde_json::json!({ "maxConcurrent": 1 }), &states);
        let ticket = one.draw(0, 0).unwrap();
        assert!(one.draw(0, 0).is_none());
        // A changed filter counts on.
        let two = mirror(serde_json::json!({ "maxConcurrent": 2 }), &states);
        let second = two.draw(0, 0).unwrap();
        assert!(two.draw(0, 0).is_none());
        ticket.ended(Fate::Sent);
        drop(second);
        assert!(one.draw(1 << 20, 0).is_none());
        assert_eq!(states.ended(), [("sent", 1), ("too_large", 1), ("busy", 2), ("incomplete", 1)]);
        assert!(one.draw(0, 0).is_some());
    }
}
