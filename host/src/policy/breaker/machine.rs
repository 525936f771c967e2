//! The three states and what leads from one to the next; no threads here, no counting of closed times.
//!
//! Open: the wait doubles with each opening, up to a longest one, and is shortened by up to a fifth at random, so that
//! many hosts that saw one outage do not all try again at once. It is short again after the breaker was closed for a
//! whole window; a breaker that closes only to open again keeps its long wait, which is what bounds flapping.
//!
//! When health checks find that whoever failed is well again, the wait is over at once, but never before it was as long
//! as the first one. Envoy, Spring and resilience4j do not do that: their breakers know nothing of health checks, or
//! have none. It is done here because both are in one process, and a service that is back after a long outage would
//! otherwise be refused for up to the longest wait, with everybody seeing that it is healthy. A check is a hint and no
//! proof (its path may work where others do not), so it only leads to half open, where real calls decide; and a failed
//! probe doubles the next wait all the same. A check that flaps cannot make it open more often than without growth.
//!
//! Half open: so many probes, each a real call. All must be good; one that fails opens again at once, because each was
//! somebody's request (Hystrix and APISIX do the same; resilience4j takes the rate of its ten, which says little of
//! three). Slow ones are looked at together when all are back. A probe that was cancelled gives its place to another.
//! If probes are out and not one of them comes back for a time, they are lost and it opens again: no state waits for
//! ever. With no probe out there is nothing to wait for, however long nobody calls.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::super::Outcome;
use super::super::window::Counts;
use crate::config::CircuitBreaker;

/// The most that chance takes off a wait.
const JITTER: f64 = 0.2;
/// While probes are on their way it is soon known how things are; HTTP counts in seconds.
const SOON: Duration = Duration::from_secs(1);

/// Whether calls pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// All do.
    Closed,
    /// None does.
    Open,
    /// A few do, to see how it is.
    HalfOpen,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why it opened; nothing when it did not.
    pub reason: Option<OpenReason>,
    /// How long it stays open; zero when it did not open.
    pub wait: Duration,
    /// Grows from one transition of a breaker to the next: two may be told in either order.
    pub number: u64,
}

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenReason {
    /// So many failures in a row.
    ConsecutiveFailures(u32),
    /// Too many of the calls in the window failed.
    FailureRate(Counts),
    /// Too many of the calls in the window, or of the probes, were slow.
    SlowCallRate(Counts),
    /// A probe failed.
    ProbeFailed,
    /// Probes were sent, and none came back in time.
    ProbesLost,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to, self.reason) {
            (State::Closed, _) => f.write_str("closed: probes were answered well"),
            (State::HalfOpen, _) => f.write_str("half open: a few calls are let through"),
            (State::Open, Some(reason)) => write!(f, "open for {:.1?}: {reason}", self.wait),
            (State::Open, None) => write!(f, "open for {:.1?}", self.wait),
        }
    }
}

/// The answer to somebody who wants to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    Yes,
    AsProbe,
    No { retry_after: Duration },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Machine {
    phase: Phase,
    since: Instant,
    /// Counts the phases, from 1.
    period: u64,
    /// Openings since it was last closed for a whole window.
    openings: u32,
    random: fastrand::Rng,
    transitions: Vec<Transition>,
}

#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen(Probes),
}

#[derive(Debug)]
struct Probes {
    /// On their way.
    out: u32,
    good: u32,
    /// Of the good ones.
    slow: u32,
    /// Since when one is out and none has come back.
    silent_since: Instant,
}

impl Machine {
    pub(super) fn new(now: Instant, random: fastrand::Rng) -> Self {
        Self { phase: Phase::Closed, since: now, period: 1, openings: 0, random, transitions: Vec::new() }
    }

    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen(_) => State::HalfOpen,
        }
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn period(&self) -> u64 {
        self.period
    }

    pub(super) fn left_open(&self, now: Instant) -> Duration {
        match self.phase {
            Phase::Open { until } => until.saturating_duration_since(now),
            Phase::Closed | Phase::HalfOpen(_) => Duration::ZERO,
        }
    }

    /// What changed since this was last asked.
    pub(super) fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// Does what time brings about.
    pub(super) fn advance(&mut self, config: &CircuitBreaker, now: Instant) {
        match &self.phase {
            Phase::Open { until } if now >= *until => {
                let probes = Probes { out: 0, good: 0, slow: 0, silent_since: now };
                self.enter(Phase::HalfOpen(probes), None, now);
            }
            Phase::HalfOpen(probes) if probes.out > 0 => {
                let silent = now.saturating_duration_since(probes.silent_since);
                if silent >= config.max_wait_duration_in_half_open_state.get() {
                    self.open(OpenReason::ProbesLost, config, now);
                }
            }
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen(_) => {}
        }
    }

    /// Somebody who asked otherwise found that whoever failed is well again. Of an open time that had grown longer than
    /// the first one, only so much is left as the first one would have.
    pub(super) fn recovered(&mut self, config: &CircuitBreaker, now: Instant) {
        let soonest = self.since + config.wait_duration_in_open_state.get();
        if let Phase::Open { until } = &mut self.phase {
            *until = (*until).min(soonest.max(now));
        }
        self.advance(config, now);
    }

    pub(super) fn admit(&mut self, config: &CircuitBreaker, now: Instant) -> Admitted {
        self.advance(config, now);
        match &mut self.phase {
            Phase::Closed => Admitted::Yes,
            Phase::Open { until } => Admitted::No { retry_after: until.saturating_duration_since(now) },
            Phase::HalfOpen(probes) => {
                if probes.out + probes.good >= config.permitted_number_of_calls_in_half_open_state {
                    return Admitted::No { retry_after: SOON };
                }
                if probes.out == 0 {
                    probes.silent_since = now;
                }
                probes.out += 1;
                Admitted::AsProbe
            }
        }
    }

    /// A closed breaker must open, unless the word comes from an earlier time.
    pub(super) fn trip(&mut self, period: u64, reason: OpenReason, config: &CircuitBreaker, now: Instant) {
        if config.enabled && self.period == period && self.state() == State::Closed {
            self.open(reason, config, now);
        }
    }

    /// A probe came back.
    pub(super) fn answered(
        &mut self,
        period: u64,
        outcome: Outcome,
        slow: bool,
        config: &CircuitBreaker,
        now: Instant,
    ) {
        self.advance(config, now);
        let Some(probes) = self.probes(period) else { return };
        probes.out = probes.out.saturating_sub(1);
        probes.silent_since = now;
        match outcome {
            Outcome::Success => {
                probes.good += 1;
                probes.slow += u32::from(slow);
                self.conclude(config, now);
            }
            Outcome::Failure | Outcome::Overloaded => self.open(OpenReason::ProbeFailed, config, now),
            Outcome::Ignored => {}
        }
    }

    /// A probe will not come back.
    pub(super) fn cancelled(&mut self, period: u64) {
        if let Some(probes) = self.probes(period) {
            probes.out = probes.out.saturating_sub(1);
        }
    }

    pub(super) fn reconfigure(&mut self, config: &CircuitBreaker, now: Instant) {
        if !config.enabled {
            self.openings = 0;
            if self.state() != State::Closed {
                self.enter(Phase::Closed, None, now);
            }
            return;
        }
        if let Phase::Open { until } = &mut self.phase {
            *until = (*until).min(now + config.max_wait_duration_in_open_state.get());
        }
        // Fewer good probes may be enough now.
        self.conclude(config, now);
    }

    fn probes(&mut self, period: u64) -> Option<&mut Probes> {
        match &mut self.phase {
            Phase::HalfOpen(probes) if self.period == period => Some(probes),
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen(_) => None,
        }
    }

    /// Leaves the half-open state when enough probes were good.
    fn conclude(&mut self, config: &CircuitBreaker, now: Instant) {
        let Phase::HalfOpen(probes) = &self.phase else { return };
        if probes.good < config.permitted_number_of_calls_in_half_open_state {
            return;
        }
        let counts = Counts { calls: probes.good.into(), failures: 0, slow: probes.slow.into() };
        if counts.slow > 0 && counts.reach(counts.slow, config.slow_call_rate_threshold) {
            self.open(OpenReason::SlowCallRate(counts), config, now);
        } else {
            self.enter(Phase::Closed, None, now);
        }
    }

    fn open(&mut self, reason: OpenReason, config: &CircuitBreaker, now: Instant) {
        let closed_for = now.saturating_duration_since(self.since);
        if self.state() == State::Closed && closed_for >= config.sliding_window.get() {
            self.openings = 0;
        }
        self.openings = self.openings.saturating_add(1);
        let doubled = 1_u32.checked_shl(self.openings - 1).unwrap_or(u32::MAX);
        let wait = config.wait_duration_in_open_state.get().saturating_mul(doubled);
        let wait = wait.min(config.max_wait_duration_in_open_state.get());
        let wait = wait.mul_f64(1.0 - JITTER * self.random.f64());
        self.enter(Phase::Open { until: now + wait }, Some(reason), now);
    }

    fn enter(&mut self, phase: Phase, reason: Option<OpenReason>, now: Instant) {
        let from = self.state();
        self.phase = phase;
        self.since = now;
        self.period += 1;
        let transition = Transition { from, to: self.state(), reason, wait: self.left_open(now), number: self.period };
        self.transitions.push(transition);
    }
}

impl fmt::Display for OpenReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures(row) => write!(f, "{row} failures in a row"),
            Self::FailureRate(Counts { calls, failures, .. }) => write!(f, "{failures} of {calls} calls failed"),
            Self::SlowCallRate(Counts { calls, slow, .. }) => write!(f, "{slow} of {calls} calls were slow"),
            Self::ProbeFailed => f.write_str("a probe failed"),
            Self::ProbesLost => f.write_str("no probe was answered in time"),
        }
    }
}
