//! Bulkhead: how many requests of one service run at once, and how many may wait for a place.
//!
//! `maxConcurrent` places; a request that finds none waits, at most `maxWait`, if fewer than `maxPending` others do.
//! Everything beyond is refused at once, so an overloaded service costs its callers little and its neighbours
//! nothing. Places are given in order of arrival. A [`Permit`] gives its place back when it is dropped, which the
//! caller arranges to be when the last byte of the response is gone.
//!
//! The limits can change while requests run: more places are there at once, fewer come into force as permits return.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The numbers of a bulkhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkheadLimits {
    /// Places.
    pub max_concurrent: usize,
    /// Requests that may wait.
    pub max_pending: usize,
    /// How long each may wait.
    pub max_wait: Duration,
}

/// No place, and no place to wait, or waited too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bulkhead is full")]
pub struct BulkheadFull;

/// A place in the bulkhead.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit);

/// See the module.
#[derive(Debug)]
pub struct Bulkhead {
    places: Arc<Semaphore>,
    pending: AtomicUsize,
    limits: Mutex<BulkheadLimits>,
}

impl Bulkhead {
    /// A bulkhead with these limits.
    pub fn new(limits: BulkheadLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.max_concurrent)),
            pending: AtomicUsize::new(0),
            limits: Mutex::new(limits),
        }
    }

    /// A place, now or within `maxWait`.
    ///
    /// # Errors
    /// [`BulkheadFull`] when too many wait already or the wait was too long.
    pub async fn admit(&self) -> Result<Permit, BulkheadFull> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(Permit(permit));
        }
        let limits = *self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let _waiting = Waiting::enter(&self.pending, limits.max_pending)?;
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(limits.max_wait, place).await {
            Ok(Ok(permit)) => Ok(Permit(permit)),
            Ok(Err(_)) | Err(_) => Err(BulkheadFull),
        }
    }

    /// Changes the limits; permits already given stay valid.
    pub fn resize(&self, limits: BulkheadLimits) {
        let mut current = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let (old, new) = (current.max_concurrent, limits.max_concurrent);
        *current = limits;
        if new > old {
            self.places.add_permits(new - old);
        } else if new < old {
            let surplus = u32::try_from(old - new).unwrap_or(u32::MAX);
            let places = Arc::clone(&self.places);
            // Takes the surplus out of circulation as it comes back.
            tokio::spawn(async move {
                if let Ok(permits) = places.acquire_many_owned(surplus).await {
                    permits.forget();
                }
            });
        }
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
mod tests {
    use super::*;

    fn bulkhead(max_concurrent: usize, max_pending: usize) -> Bulkhead {
        Bulkhead::new(BulkheadLimits { max_concurrent, max_pending, max_wait: Duration::from_secs(1) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_place_and_gets_it() {
        let bulkhead = Arc::new(bulkhead(1, 1));
        let first = bulkhead.admit().await.unwrap();
        let second = tokio::spawn({
            let bulkhead = Arc::clone(&bulkhead);
            async move { bulkhead.admit().await }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_max_wait() {
        let bulkhead = bulkhead(1, 1);
        let _first = bulkhead.admit().await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(bulkhead.admit().await.unwrap_err(), BulkheadFull);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_max_pending_are_refused_at_once() {
        let bulkhead = bulkhead(1, 0);
        let _first = bulkhead.admit().await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(bulkhead.admit().await.unwrap_err(), BulkheadFull);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_gives_up_leaves_the_waiting_room() {
        let bulkhead = bulkhead(1, 1);
        let first = bulkhead.admit().await.unwrap();
        let _ = tokio::time::timeout(Duration::from_millis(10), bulkhead.admit()).await;
        drop(first);
        let _second = bulkhead.admit().await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(bulkhead.admit().await.is_err());
        assert_eq!(began.elapsed(), Duration::from_secs(1), "it was let into the waiting room");
    }

    #[tokio::test(start_paused = true)]
    async fn resizing_counts_the_permits_that_are_out() {
        let bulkhead = bulkhead(2, 0);
        let (first, second) = (bulkhead.admit().await.unwrap(), bulkhead.admit().await.unwrap());
        let limits = BulkheadLimits { max_concurrent: 1, max_pending: 0, max_wait: Duration::ZERO };
        bulkhead.resize(limits);
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(bulkhead.admit().await.is_err(), "one place, and the second request has it");
        drop(second);
        let _third = bulkhead.admit().await.unwrap();
        bulkhead.resize(BulkheadLimits { max_concurrent: 2, ..limits });
        assert!(bulkhead.admit().await.is_ok());
    }
}
