//! Who may be used for one choice: the healthy, unless too few are, and nobody twice.
//!
//! Panic: when fewer than `panicThreshold` percent of the instances are healthy, health says more about the checks or
//! about the load than about the instances, and the few that are left would break down under the load of all. So all are
//! used, as Envoy does. What was tried already stays out, panic or not; weight 0 never comes here.
//!
//! Counting the healthy takes a look at every instance, so it is done at the first that is not healthy. While all are
//! well, a choice looks only at those it considers. Health may change during a choice; the answer is then as good as if
//! it had changed a moment before or after.

use std::time::Duration;

use tokio::time::Instant;

use super::Member;
use super::slow_start::{RAMPED, ramp};

/// See the module.
pub(super) struct Candidates<'a, H> {
    pub(super) members: &'a [Member],
    /// Those with a weight, which are counted.
    pub(super) active: &'a [usize],
    pub(super) healthy: H,
    pub(super) tried: &'a [usize],
    pub(super) panic_threshold: usize,
    pub(super) slow_start: Duration,
    pub(super) now: Instant,
    /// Once it was needed.
    pub(super) panic: Option<bool>,
}

impl<H: Fn(usize) -> bool> Candidates<'_, H> {
    pub(super) fn member(&self, index: usize) -> Option<&Member> {
        self.members.get(index)
    }

    /// Whether it may be used now.
    pub(super) fn may_use(&mut self, index: usize) -> bool {
        !self.tried.contains(&index) && ((self.healthy)(index) || self.panics())
    }

    /// Whether so few are healthy that all are used.
    pub(super) fn panics(&mut self) -> bool {
        if let Some(panic) = self.panic {
            return panic;
        }
        let healthy = self.active.iter().filter(|index| (self.healthy)(**index)).count();
        let panic = too_few(healthy, self.active.len(), self.panic_threshold);
        self.panic = Some(panic);
        panic
    }

    /// Its weight now, in parts of [`RAMPED`].
    pub(super) fn weight(&self, index: usize) -> u64 {
        self.member(index).map_or(0, |member| u64::from(member.weight) * u64::from(self.ramp(member)))
    }

    /// Whether one that was drawn by its weight may keep the draw while it starts slowly; `chance` is any number.
    pub(super) fn keeps_draw(&self, index: usize, chance: impl FnOnce() -> u64) -> bool {
        if self.slow_start.is_zero() {
            return true;
        }
        let Some(member) = self.member(index) else { return false };
        let ramp = self.ramp(member);
        ramp == RAMPED || chance() >> (u64::BITS - RAMPED.trailing_zeros()) < u64::from(ramp)
    }

    fn ramp(&self, member: &Member) -> u32 {
        if self.slow_start.is_zero() { RAMPED } else { ramp(member.load.available_for(self.now), self.slow_start) }
    }
}

/// The rule of panic.
pub(super) fn too_few(healthy: usize, all: usize, threshold: usize) -> bool {
    healthy * 100 < all * threshold
}
