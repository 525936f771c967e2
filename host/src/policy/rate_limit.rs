//! Rate limits: the generic cell rate algorithm (GCRA, ITU-T I.371), one number for each key.
//!
//! The number is the theoretical arrival time: when the next request would come if they came evenly. A request may come
//! as long as that is at most the burst ahead of now. So a key's state is 8 bytes, nothing is done when time passes, and
//! a key whose time is past is as good as one that never came.
//!
//! Keys are bounded. When there are too many, of a few chosen at random the one goes that has used least: forgetting it
//! gives away least. Whoever floods a limit with new keys has them forgotten before that of somebody who has used up
//! his quota. Keys are kept as 128 bits of a keyed hash, so nobody can choose ones that collide, and what people send
//! (addresses, API keys) is not stored.
//!
//! Shards keep cores apart; the clock is passed in and must not go backwards (a monotonic one). Used quota outlasts a
//! change of the configuration: [`Limiters`] finds a limiter again by its id, and a changed quota keeps each key's share.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indexmap::IndexMap;

const SHARDS: usize = 16;
/// Keys looked at to find one to forget.
const CANDIDATES: usize = 8;

/// So many in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Requests, at least 1.
    pub requests: u32,
    /// Time for them.
    pub per: Duration,
    /// Requests at once, at least 1.
    pub burst: u32,
    /// Keys that are remembered, about.
    pub max_keys: usize,
}

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may go on.
    pub admitted: bool,
    /// Requests that could come at once after it.
    pub remaining: u32,
    /// Until all of the burst is there again.
    pub reset_after: Duration,
    /// Until the next may come; zero if one may come now.
    pub retry_after: Duration,
}

/// One limit over many keys.
#[derive(Debug)]
pub struct Limiter {
    hashers: [RandomState; 2],
    begun: Instant,
    shards: [Mutex<Shard>; SHARDS],
}

/// Arrival times by key, in nanoseconds since the limiter began.
#[derive(Debug)]
struct Shard {
    /// What arrival times are measured by.
    quota: Quota,
    arrivals: IndexMap<u128, u64>,
}

/// Limiters by id, for as long as somebody uses them.
#[derive(Debug, Default)]
pub struct Limiters {
    known: Mutex<HashMap<String, Arc<Limiter>>>,
}

impl Quota {
    /// Time from one request to the next, in nanoseconds; at least 1.
    fn interval(&self) -> u64 {
        nanos(self.per).checked_div(u64::from(self.requests)).unwrap_or(u64::MAX).max(1)
    }

    /// How far ahead of now the arrival time may be.
    fn tolerance(&self) -> u64 {
        self.interval().saturating_mul(u64::from(self.burst))
    }
}

impl Limiter {
    /// A limiter of which nothing is used yet.
    pub fn new(quota: Quota, now: Instant) -> Self {
        let shard = |_| Mutex::new(Shard { quota, arrivals: IndexMap::new() });
        Self { hashers: [RandomState::new(), RandomState::new()], begun: now, shards: std::array::from_fn(shard) }
    }

    /// Counts a request of a key. A quota other than that of the request before is taken on at once: who has used half of
    /// the old one has used half of the new one.
    pub fn check(&self, key: impl Hash, quota: Quota, now: Instant) -> Decision {
        self.check_many(key, 1, quota, now)
    }

    /// Counts so many requests at once; either all of them may go on, or none. More than a burst never may.
    pub fn check_many(&self, key: impl Hash, count: u32, quota: Quota, now: Instant) -> Decision {
        let [one, other] = &self.hashers;
        let (low, high) = (one.hash_one(&key), other.hash_one(&key));
        let now = nanos(now.saturating_duration_since(self.begun));
        let shard = usize::try_from(low % SHARDS as u64).unwrap_or_default();
        self.shards.get(shard).map_or(Decision::UNLIMITED, |shard| {
            let mut shard = lock(shard);
            shard.take_on(quota, now);
            shard.check(u128::from(high) << 64 | u128::from(low), count, now)
        })
    }

    /// Keys that are remembered now.
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).arrivals.len()).sum()
    }
}

impl Decision {
    const UNLIMITED: Self =
        Self { admitted: true, remaining: u32::MAX, reset_after: Duration::ZERO, retry_after: Duration::ZERO };
}

impl Shard {
    fn check(&mut self, key: u128, count: u32, now: u64) -> Decision {
        let (interval, tolerance) = (self.quota.interval(), self.quota.tolerance());
        let before = self.arrivals.get(&key).map_or(now, |arrival| now.max(*arrival));
        let cost = interval.saturating_mul(u64::from(count));
        let after = before.saturating_add(cost);
        let admitted = after - now <= tolerance;
        let arrival = if admitted { after } else { before };
        if admitted {
            self.make_room(key);
            self.arrivals.insert(key, arrival);
        }
        let ahead = arrival - now;
        let remaining = tolerance.saturating_sub(ahead) / interval;
        Decision {
            admitted,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset_after: Duration::from_nanos(ahead),
            retry_after: Duration::from_nanos(ahead.saturating_add(cost).saturating_sub(tolerance)),
        }
    }

    fn make_room(&mut self, key: u128) {
        if self.arrivals.len() < self.quota.max_keys.div_ceil(SHARDS) || self.arrivals.contains_key(&key) {
            return;
        }
        let chosen = (0..CANDIDATES).map(|_| fastrand::usize(..self.arrivals.len().max(1)));
        let least = chosen.filter_map(|index| Some((*self.arrivals.get_index(index)?.1, index))).min();
        if let Some((_, index)) = least {
            self.arrivals.swap_remove_index(index);
        }
    }

    fn take_on(&mut self, quota: Quota, now: u64) {
        if self.quota == quota {
            return;
        }
        let (old, new) = (self.quota.tolerance(), quota.tolerance());
        self.quota = quota;
        self.arrivals.retain(|_, arrival| *arrival > now);
        for arrival in self.arrivals.values_mut() {
            let share = u128::from(*arrival - now) * u128::from(new) / u128::from(old.max(1));
            *arrival = now.saturating_add(u64::try_from(share).unwrap_or(u64::MAX));
        }
        self.arrivals.truncate(quota.max_keys.div_ceil(SHARDS));
    }
}

impl Limiters {
    /// The limiter of this id; one that was there before keeps what was used.
    pub fn get(&self, id: &str, quota: Quota, now: Instant) -> Arc<Limiter> {
        let mut known = lock(&self.known);
        let limiter = known.entry(id.to_owned()).or_insert_with(|| Arc::new(Limiter::new(quota, now)));
        Arc::clone(limiter)
    }

    /// Forgets limiters that nobody uses any more.
    pub fn forget_unused(&self) {
        lock(&self.known).retain(|_, limiter| Arc::strong_count(limiter) > 1);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is numbers; there is no half-done change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
