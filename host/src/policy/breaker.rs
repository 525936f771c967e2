//! Circuit breaker: whether a version of a service is called at all.
//!
//! ```text
//!            a row of failures, or a rate over its threshold
//!   Closed ───────────────────────────────────────────────────▶ Open ◀──┐
//!     ▲                                                          │ wait │ one probe is bad,
//!     │  all probes are good                                     ▼ over │ or none is answered
//!     └──────────────────────────────────────────────────────  HalfOpen ┘
//! ```
//!
//! Closed, calls are counted in two ways at once, because each is blind where the other sees: failures in a row notice
//! at once that nothing works and never that half fails; the rate over a window notices that and is slow. Only a failed
//! or slow call can open the breaker, never a good one. Open, all calls are refused, each time longer; half open, a few
//! are let through as probes (`machine` has these rules). When it closes, counting begins anew.
//!
//! What is counted: [`Outcome::Overloaded`] is a failure for the rate and as a probe, and is nothing in a row;
//! [`Outcome::Ignored`] is nothing at all. A [`BreakerPermit`] that is dropped without a word, because its call was
//! cancelled, counts nothing and gives a probe's place back. A call that began before the state last changed counts
//! nothing either: it tells of another time.
//!
//! Cost: closed, a call reads one word when it comes and changes one counter when it ends, without a lock. Everything
//! else is behind a lock for some ten nanoseconds. The clock is passed in and must be monotonic; nothing runs by
//! itself, so what time brings about is seen by the next call or question. Never decided here: what a failure is, and
//! what a caller gets instead.

mod count;
mod machine;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::Outcome;
use super::window::Counts;
use crate::config::CircuitBreaker;
use count::{Count, is_slow};
use machine::{Admitted, Machine};
pub use machine::{OpenReason, State as BreakerState, Transition};

/// Not closed: whoever comes asks the machine.
const ASK: u64 = 0;

/// Who is told of transitions.
type Told = Box<dyn Fn(&Transition) + Send + Sync>;

/// See the module. One for each version of a service, for as long as the version lives.
pub struct Breaker {
    /// The period that the breaker is closed for, or [`ASK`].
    gate: AtomicU64,
    count: ArcSwap<Count>,
    machine: Mutex<Machine>,
    told: Told,
}

/// The breaker is open: the call must not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct Open {
    /// When it is worth asking again.
    pub retry_after: Duration,
}

/// Leave to make one call. Dropped without [`record`](Self::record) it counts nothing.
#[derive(Debug)]
pub struct BreakerPermit {
    breaker: Arc<Breaker>,
    period: u64,
    begun: Instant,
    /// Whether it holds a probe's place.
    probe: bool,
}

/// What metrics and operators see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerStatus {
    /// The state.
    pub state: BreakerState,
    /// When that began.
    pub since: Instant,
    /// Calls in the window; of the last closed time when not closed.
    pub counts: Counts,
    /// Failures in a row, likewise.
    pub consecutive_failures: u32,
    /// When calls are let through again; zero unless open.
    pub retry_after: Duration,
}

impl Breaker {
    /// A closed breaker. `told` is called after each transition, by the thread that caused it, without a lock; two that
    /// follow each other within microseconds may be told in either order.
    pub fn new(config: &CircuitBreaker, now: Instant, told: impl Fn(&Transition) + Send + Sync + 'static) -> Self {
        Self::with_random(config, now, fastrand::Rng::new(), Box::new(told))
    }

    fn with_random(config: &CircuitBreaker, now: Instant, random: fastrand::Rng, told: Told) -> Self {
        let machine = Machine::new(now, random);
        let count = Count::new(machine.period(), config.clone(), now);
        Self {
            gate: AtomicU64::new(machine.period()),
            count: ArcSwap::from_pointee(count),
            machine: Mutex::new(machine),
            told,
        }
    }

    /// Leave to make a call, or word that it would be in vain.
    ///
    /// # Errors
    /// [`Open`] when it is open, or half open with all probes on their way.
    pub fn admit(self: &Arc<Self>, now: Instant) -> Result<BreakerPermit, Open> {
        let closed = self.gate.load(Ordering::Acquire);
        let (period, probe) = if closed == ASK { self.ask(now)? } else { (closed, false) };
        Ok(BreakerPermit { breaker: Arc::clone(self), period, begun: now, probe })
    }

    /// Takes a new configuration on. The state stays, and so does what was counted; when the length of the window
    /// changes, all of it counts as if it had just happened. An open breaker stays open for at most the new longest
    /// time.
    pub fn reconfigure(&self, config: &CircuitBreaker, now: Instant) {
        let mut machine = self.machine();
        let old = self.count.load();
        if old.config == *config {
            return;
        }
        self.count.store(Arc::new(old.with(config.clone(), now)));
        machine.reconfigure(config, now);
        self.release(machine, now);
    }

    /// Health checks found that whoever failed is well again: an open breaker is half open as soon as it was open for
    /// the first, shortest wait. Returns how long it is still open, if it is.
    pub fn recovered(&self, now: Instant) -> Option<Duration> {
        let mut machine = self.machine();
        machine.recovered(&self.count.load().config, now);
        let left = machine.left_open(now);
        self.release(machine, now);
        (!left.is_zero()).then_some(left)
    }

    /// Whether all calls pass. Costs one load of an atomic.
    pub fn is_closed(&self) -> bool {
        self.gate.load(Ordering::Acquire) != ASK
    }

    /// How it stands.
    pub fn status(&self, now: Instant) -> BreakerStatus {
        let mut machine = self.machine();
        let count = self.count.load();
        machine.advance(&count.config, now);
        let status = BreakerStatus {
            state: machine.state(),
            since: machine.since(),
            counts: count.counts(now),
            consecutive_failures: count.row(),
            retry_after: machine.left_open(now),
        };
        self.release(machine, now);
        status
    }

    #[cold]
    fn ask(&self, now: Instant) -> Result<(u64, bool), Open> {
        let mut machine = self.machine();
        let answer = machine.admit(&self.count.load().config, now);
        let period = machine.period();
        self.release(machine, now);
        match answer {
            Admitted::Yes => Ok((period, false)),
            Admitted::AsProbe => Ok((period, true)),
            Admitted::No { retry_after } => Err(Open { retry_after }),
        }
    }

    /// A call of a closed time has ended.
    fn closed(&self, period: u64, outcome: Outcome, begun: Instant, now: Instant) {
        let count = self.count.load();
        if count.period != period || !count.config.enabled {
            return;
        }
        if let Some(reason) = count.add(outcome, now.saturating_duration_since(begun), now) {
            let mut machine = self.machine();
            machine.trip(period, reason, &self.count.load().config, now);
            self.release(machine, now);
        }
    }

    /// A probe has ended.
    fn probed(&self, period: u64, outcome: Outcome, begun: Instant, now: Instant) {
        let mut machine = self.machine();
        let count = self.count.load();
        let slow = is_slow(&count.config, now.saturating_duration_since(begun));
        machine.answered(period, outcome, slow, &count.config, now);
        self.release(machine, now);
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // Each change of the machine is whole before anything can panic.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens or shuts the gate as the machine stands now, and tells of it.
    fn release(&self, mut machine: MutexGuard<'_, Machine>, now: Instant) {
        let transitions = machine.take_transitions();
        if transitions.is_empty() {
            return;
        }
        if machine.state() == BreakerState::Closed {
            let config = self.count.load().config.clone();
            self.count.store(Arc::new(Count::new(machine.period(), config, now)));
            self.gate.store(machine.period(), Ordering::Release);
        } else {
            self.gate.store(ASK, Ordering::Release);
        }
        drop(machine);
        for transition in &transitions {
            (self.told)(transition);
        }
    }
}

impl BreakerPermit {
    /// Says what the call came to. Its time is what passed since it was admitted.
    pub fn record(mut self, outcome: Outcome, now: Instant) {
        if std::mem::take(&mut self.probe) {
            self.breaker.probed(self.period, outcome, self.begun, now);
        } else {
            self.breaker.closed(self.period, outcome, self.begun, now);
        }
    }

    /// Whether this is one of the few calls that decide whether the breaker closes.
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.machine().cancelled(self.period);
        }
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("count", &self.count).field("machine", &self.machine).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
