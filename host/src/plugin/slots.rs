//! Slots: the live stores of a version, fresh for every request or kept for the next.
//!
//! A fresh slot shares nothing with the request before it and is the default for wasi:http 0.2. A reused slot serves
//! one request at a time, at most `maxRequests` of them, and is dropped after `idle`, after any failure, when its
//! guest holds more than half of its memory limit (a leak would otherwise end in a failed request), and when the
//! pool runs dry and another service needs the place.
//!
//! Every live slot holds a permit of the engine's pool, so wasmtime never refuses for lack of space: a request waits
//! for a permit instead, as long as its service's bulkhead lets it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;

use super::engine::Engines;
use super::linked::Guest;
use super::store::GuestState;
use crate::config::SlotReuse;

/// One live store with an instance in it.
pub(super) struct Slot {
    pub(super) store: Store<GuestState>,
    pub(super) guest: Guest,
    pub(super) served: u32,
    pub(super) generation: u64,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The idle slots of one version.
#[derive(Default)]
pub(super) struct IdleSlots {
    idle: Mutex<Vec<(Instant, Slot)>>,
}

impl IdleSlots {
    /// The slot used last, if one is there that may serve another request.
    pub(super) fn take(&self, reuse: SlotReuse, generation: u64) -> Option<Slot> {
        let mut idle = self.lock();
        while let Some((since, slot)) = idle.pop() {
            if since.elapsed() < reuse.idle.get() && slot.generation == generation {
                return Some(slot);
            }
        }
        None
    }

    /// Keeps a slot for later, or drops it if it has served its time or somebody waits for its permit.
    pub(super) fn put(&self, slot: Slot, reuse: SlotReuse, registry: &IdleRegistry) {
        if slot.served >= reuse.max_requests || slot.store.data().limiter.is_half_used() {
            return;
        }
        let mut idle = self.lock();
        // Asked under the lock: whoever begins to wait after this finds the slot when it reclaims.
        if registry.waiting.load(Ordering::SeqCst) == 0 {
            idle.push((Instant::now(), slot));
        } else {
            drop(idle);
            drop(slot);
        }
    }

    /// Drops what has been idle for longer than this; with zero, everything.
    pub(super) fn drop_idle(&self, longer_than: Duration) -> usize {
        let mut idle = self.lock();
        let before = idle.len();
        idle.retain(|(since, _)| since.elapsed() < longer_than);
        before - idle.len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Slot)>> {
        // A panic while holding the lock leaves at worst a slot less.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All versions' idle slots, so that one service's idle slots can make room for another's requests.
#[derive(Default, Clone)]
pub(super) struct IdleRegistry {
    all: Arc<Mutex<Vec<Weak<IdleSlots>>>>,
    /// Requests that wait for a permit. While there are any, no slot is kept idle.
    waiting: Arc<AtomicUsize>,
}

/// Counts one request as waiting for as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl std::fmt::Debug for IdleRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdleRegistry").finish_non_exhaustive()
    }
}

impl IdleRegistry {
    pub(super) fn add(&self, slots: &Arc<IdleSlots>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|slots| slots.strong_count() > 0);
        all.push(Arc::downgrade(slots));
    }

    /// Drops every idle slot of every version; says how many.
    fn reclaim(&self) -> usize {
        let all: Vec<_> = {
            let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        all.iter().map(|slots| slots.drop_idle(Duration::ZERO)).sum()
    }
}

/// A permit for one more live slot: at once if there is room or idle slots can make room, else within `max_wait`.
pub(super) async fn permit(engines: &Engines, max_wait: Duration) -> Option<OwnedSemaphorePermit> {
    let slots = engines.slots();
    if let Ok(permit) = Arc::clone(slots).try_acquire_owned() {
        return Some(permit);
    }
    let _waiting = Waiting::new(&engines.idle().waiting);
    if engines.idle().reclaim() > 0
        && let Ok(permit) = Arc::clone(slots).try_acquire_owned()
    {
        return Some(permit);
    }
    tokio::time::timeout(max_wait, Arc::clone(slots).acquire_owned()).await.ok()?.ok()
}
