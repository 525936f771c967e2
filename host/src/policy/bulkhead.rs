//! Bulkhead: how many requests of one service, or of one rule, run at once, and how many may wait for a place.
//!
//! `maxConcurrent` places; a request that finds none waits, at most `maxWait`, if fewer than `maxPending` others do.
//! Everything beyond is refused at once, so an overloaded service costs its callers little and its neighbours
//! nothing. Places are given in order of arrival. A [`Permit`] gives its place back when it is dropped, which the
//! caller arranges to be when the last byte of the response is gone.
//!
//! A few places more are [`Class::Reserved`]: for health checks, which would otherwise find a busy service dead. They
//! never wait.
//!
//! The limits can change while requests run: more places are there at once, fewer come into force as permits return.
//! With an adaptive limit, how long answers took moves the number of places below `maxConcurrent`.

mod places;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::places::{Place, Places};
use super::adaptive::Adaptive;
use crate::config;

/// The numbers of a bulkhead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkheadLimits {
    /// Places.
    pub max_concurrent: usize,
    /// Requests that may wait.
    pub max_pending: usize,
    /// How long each may wait.
    pub max_wait: Duration,
    /// Places on top, for [`Class::Reserved`].
    pub reserved: usize,
    /// Whether and how the number of places moves.
    pub adaptive: config::AdaptiveLimit,
}

/// Who asks for a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A request of a client or of another service.
    Request,
    /// A health check, or an operator: gets a reserved place, or else one that is free, and never waits.
    Reserved,
}

/// No place, and no place to wait, or waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bulkhead is full")]
pub struct BulkheadFull;

/// A place in the bulkhead.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its Drop")] Place);

/// See the module.
#[derive(Debug)]
pub struct Bulkhead {
    places: Arc<Places>,
    reserved: Arc<Places>,
    pending: AtomicUsize,
    /// Whether anybody wants to know how long answers took.
    adapts: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limits: BulkheadLimits,
    adaptive: Option<Adaptive>,
    /// Places there are now.
    size: usize,
}

impl From<&config::Bulkhead> for BulkheadLimits {
    fn from(config: &config::Bulkhead) -> Self {
        Self {
            max_concurrent: config.max_concurrent as usize,
            max_pending: config.max_pending as usize,
            max_wait: config.max_wait.get(),
            reserved: config.reserved as usize,
            adaptive: config.adaptive.clone(),
        }
    }
}

impl From<&config::RuleBulkhead> for BulkheadLimits {
    fn from(config: &config::RuleBulkhead) -> Self {
        Self {
            max_concurrent: config.max_concurrent as usize,
            max_pending: config.max_pending as usize,
            max_wait: config.max_wait.get(),
            reserved: 0,
            adaptive: config::AdaptiveLimit::default(),
        }
    }
}

impl Bulkhead {
    /// A bulkhead with these limits.
    pub fn new(limits: BulkheadLimits) -> Self {
        let bulkhead = Self {
            places: Places::new(limits.max_concurrent),
            reserved: Places::new(limits.reserved),
            pending: AtomicUsize::new(0),
            adapts: AtomicBool::new(false),
            state: Mutex::new(State { size: limits.max_concurrent, limits: limits.clone(), adaptive: None }),
        };
        bulkhead.resize(limits);
        bulkhead
    }

    /// A place, now or within `maxWait`.
    ///
    /// # Errors
    /// [`BulkheadFull`] when too many wait already or the wait was too long.
    pub async fn admit(&self, class: Class) -> Result<Permit, BulkheadFull> {
        if class == Class::Reserved {
            let place = self.reserved.try_take().or_else(|| self.places.try_take());
            return place.map(Permit).ok_or(BulkheadFull);
        }
        if let Some(place) = self.places.try_take() {
            return Ok(Permit(place));
        }
        let (max_pending, max_wait) = self.crowded(Instant::now());
        let _waiting = Waiting::enter(&self.pending, max_pending)?;
        match tokio::time::timeout(max_wait, self.places.take()).await {
            Ok(Some(place)) => Ok(Permit(place)),
            Ok(None) | Err(_) => Err(BulkheadFull),
        }
    }

    /// An answer came after `took` (until its head, or until it was given up). Moves an adaptive limit; without one it
    /// costs nothing. Returns the number of places if that has changed.
    pub fn observe(&self, took: Duration, now: Instant) -> Option<usize> {
        if !self.adapts.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.lock();
        let out = self.places.out(state.size);
        let size = state.adaptive.as_mut()?.sample(took, out, now)?;
        self.set_size(&mut state, size);
        Some(size)
    }

    /// Changes the limits; permits already given stay valid. An adaptive limit stays where it is, as far as it may.
    pub fn resize(&self, limits: BulkheadLimits) {
        let mut state = self.lock();
        self.reserved.resize(state.limits.reserved, limits.reserved);
        if !limits.adaptive.enabled {
            state.adaptive = None;
        } else if let Some(adaptive) = &mut state.adaptive {
            adaptive.reconfigure(&limits.adaptive, limits.max_concurrent);
        } else {
            state.adaptive = Some(Adaptive::new(&limits.adaptive, limits.max_concurrent));
        }
        self.adapts.store(state.adaptive.is_some(), Ordering::Relaxed);
        let size = state.adaptive.as_ref().map_or(limits.max_concurrent, Adaptive::limit);
        self.set_size(&mut state, size);
        state.limits = limits;
    }

    /// Places there are now, without the reserved ones.
    pub fn limit(&self) -> usize {
        self.lock().size
    }

    /// Places that are taken now, without the reserved ones.
    pub fn in_flight(&self) -> usize {
        let state = self.lock();
        self.places.out(state.size)
    }

    /// Requests that wait for a place now.
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Somebody found no place: how many may wait, and how long.
    fn crowded(&self, now: Instant) -> (usize, Duration) {
        let mut state = self.lock();
        if let Some(size) = state.adaptive.as_mut().and_then(|adaptive| adaptive.crowded(now)) {
            self.set_size(&mut state, size);
        }
        (state.limits.max_pending, state.limits.max_wait)
    }

    fn set_size(&self, state: &mut State, size: usize) {
        self.places.resize(state.size, size);
        state.size = size;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What is inside is numbers; there is no half-done change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in the waiting room; leaves it by `Drop`, also when its client gives up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(pending: &'a AtomicUsize, max: usize) -> Result<Self, BulkheadFull> {
        let entered = pending.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        entered.map(|_| Self(pending)).map_err(|_| BulkheadFull)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
