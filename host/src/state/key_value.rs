//! Key-value storage of one service: the contract that every engine keeps.
//!
//! A store belongs to one service and is shared by all of its slots, over hot reloads too. Each method is one atomic
//! step: it happens completely or not at all, also for batches, also when the process dies in the middle. A write that
//! was answered with `Ok` is seen by every later read of any slot and survives the end of the process.
//!
//! Bounds: keys up to [`MAX_KEY_BYTES`], values up to [`MAX_VALUE_BYTES`], batches up to [`MAX_BATCH_KEYS`] and
//! [`MAX_BATCH_BYTES`], pages up to [`MAX_PAGE_KEYS`], the sum of all keys and values up to the quota. The quota is
//! exact: replacing a value counts the difference, and a write that does not grow the store is never refused, so that a
//! store whose quota was lowered can be emptied.
//!
//! Each write gives a key a new [`Revision`] that is never used again in that store. Compare-and-swap works on
//! revisions, not on values: a handle costs eight bytes instead of a copy of the value, and "changed and changed back"
//! counts as changed.
//!
//! A key may have an end. From that moment on it is not there, for every method: not read, not listed, not counted. The
//! space of what has ended is given back in bounded steps, beside other writes and while the store is idle. Ends are
//! moments of the wall clock, because they must mean the same after a restart; within one process the clock never runs
//! backwards, so that what has ended does not come back.
//!
//! Keys are listed in the order in which they were first written and the cursor is a position in that order, because a
//! number is the only cursor that both drafts of `wasi:keyvalue` can carry and that still works in the next request.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

/// Longest key in bytes of UTF-8. An empty key is a key.
pub const MAX_KEY_BYTES: usize = 1024;
/// Largest value in bytes.
pub const MAX_VALUE_BYTES: usize = 4 << 20;
/// Most keys in one batch.
pub const MAX_BATCH_KEYS: usize = 1000;
/// Most bytes of keys and values that one batch may carry, in either direction.
pub const MAX_BATCH_BYTES: usize = 16 << 20;
/// Most keys in one page of a listing.
pub const MAX_PAGE_KEYS: usize = 1000;

/// Shortest time after which a key can end.
pub const MIN_TTL: Duration = Duration::from_millis(1);
/// Longest: ten years.
pub const MAX_TTL: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// How long a key stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// There is no such key.
    Missing,
    /// Until it is deleted.
    Unlimited,
    /// This much longer, in whole milliseconds.
    Left(Duration),
}

/// The state of one key: changes with every write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision(u64);

impl Revision {
    /// The revision of a key that is not there.
    pub const ABSENT: Self = Self(0);

    /// The revision with this number; 0 means that the key is not there.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Whether a key with this revision is there.
    pub fn exists(self) -> bool {
        self != Self::ABSENT
    }
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value as it was written.
    pub value: Vec<u8>,
    /// The revision that this value was written with.
    pub revision: Revision,
}

/// One page of a listing.
///
/// A key that is there during the whole listing is in exactly one page. A key that is written or deleted meanwhile may
/// be missing; one that is deleted and written again may come twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// Keys in the order in which they were first written.
    pub keys: Vec<String>,
    /// Where the next page starts; none after the last page.
    pub next: Option<u64>,
}

/// The answer to a compare-and-swap that found the store working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The revision was the expected one and the value is written.
    Done,
    /// Nothing is written: the key has this revision now.
    Changed(Revision),
}

/// How full a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Number of keys.
    pub keys: u64,
    /// Bytes of all keys and values together.
    pub bytes: u64,
    /// Bytes allowed.
    pub quota: u64,
}

/// Why a store did not do what it was asked to. Except for [`Unavailable`](Self::Unavailable), nothing has changed and
/// the text may be shown to the guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyValueError {
    /// The key is longer than [`MAX_KEY_BYTES`].
    #[error("key has {bytes} bytes, at most {MAX_KEY_BYTES} are allowed")]
    KeyTooLong {
        /// Bytes of the key.
        bytes: usize,
    },
    /// The value is larger than [`MAX_VALUE_BYTES`].
    #[error("value has {bytes} bytes, at most {MAX_VALUE_BYTES} are allowed; split it over several keys")]
    ValueTooLarge {
        /// Bytes of the value.
        bytes: usize,
    },
    /// The batch names more than [`MAX_BATCH_KEYS`] keys.
    #[error("batch has {keys} keys, at most {MAX_BATCH_KEYS} are allowed; use several batches")]
    BatchTooLong {
        /// Keys in the batch.
        keys: usize,
    },
    /// The keys and values of the batch, or of its answer, exceed [`MAX_BATCH_BYTES`].
    #[error("batch has more than {MAX_BATCH_BYTES} bytes of keys and values; use several batches")]
    BatchTooLarge,
    /// The write would take the store over its quota.
    #[error("store is full: {needed} bytes would be needed and the quota is {quota} bytes; delete keys or raise it")]
    QuotaExceeded {
        /// Bytes of keys and values after the write.
        needed: u64,
        /// Bytes allowed.
        quota: u64,
    },
    /// The engine's own limit on space is reached before the quota is.
    #[error("store is full: no more space for it on the host; delete keys")]
    NoSpace,
    /// The time to live is shorter than [`MIN_TTL`] or longer than [`MAX_TTL`].
    #[error("a key can end in one millisecond to ten years, not in {} ms", .ttl.as_millis())]
    TtlOutOfBounds {
        /// What was asked for.
        ttl: Duration,
    },
    /// An increment met a value that is not a decimal 64-bit number.
    #[error("value is not a decimal 64-bit number and cannot be incremented")]
    NotACounter,
    /// An increment would leave the range that the caller can represent.
    #[error("increment would leave the range of the counter, nothing was changed")]
    CounterRange,
    /// The engine cannot work at all, or failed in the middle. The text is for the host's log, not for guests.
    #[error("key-value store is not available: {detail}")]
    Unavailable {
        /// What the engine said.
        detail: String,
    },
}

/// The key-value store of one service. See the module for what every method promises.
#[async_trait]
pub trait KeyValueStore: Send + Sync + fmt::Debug {
    /// What the key holds, if it is there.
    async fn get(&self, key: String) -> Result<Option<Entry>, KeyValueError>;

    /// The revision of the key, without reading its value.
    async fn revision(&self, key: String) -> Result<Revision, KeyValueError>;

    /// The values of several keys at one moment, in the order of `keys`.
    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, KeyValueError>;

    /// Writes all entries or none, without an end. Of two entries with one key the later one wins.
    async fn set_many(&self, entries: Vec<(String, Vec<u8>)>) -> Result<(), KeyValueError>;

    /// Deletes all these keys; one that is not there is skipped.
    async fn delete_many(&self, keys: Vec<String>) -> Result<(), KeyValueError>;

    /// Up to `limit` keys (at least 1, at most [`MAX_PAGE_KEYS`]) after the cursor, which is the `next` of an earlier
    /// page, or none to start. A cursor that was never given out is a position like any other, never an error.
    async fn list_keys(&self, cursor: Option<u64>, limit: usize) -> Result<KeyPage, KeyValueError>;

    /// Adds `delta` to the decimal number that the key holds and returns the sum; a missing key holds 0. A sum outside
    /// `range` is refused. The key keeps its end.
    async fn increment(&self, key: String, delta: i64, range: RangeInclusive<i64>) -> Result<i64, KeyValueError>;

    /// Writes the value, without an end, if the key still has the expected revision ([`Revision::ABSENT`]: is still
    /// missing).
    async fn compare_and_swap(&self, key: String, expected: Revision, value: Vec<u8>) -> Result<Swap, KeyValueError>;

    /// Writes one entry that ends after this time, from [`MIN_TTL`] to [`MAX_TTL`]; parts of a millisecond don't count.
    async fn set_expiring(&self, key: String, value: Vec<u8>, ttl: Duration) -> Result<(), KeyValueError>;

    /// Lets a key end after this time, or stay until it is deleted if there is none; false when it is not there. Neither
    /// its value nor its revision change.
    async fn expire(&self, key: String, ttl: Option<Duration>) -> Result<bool, KeyValueError>;

    /// How long a key stays.
    async fn lifetime(&self, key: String) -> Result<Lifetime, KeyValueError>;

    /// How full the store is.
    async fn usage(&self) -> Result<Usage, KeyValueError>;

    /// Writes one entry.
    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), KeyValueError> {
        self.set_many(vec![(key, value)]).await
    }

    /// Deletes one key; does nothing when it is not there.
    async fn delete(&self, key: String) -> Result<(), KeyValueError> {
        self.delete_many(vec![key]).await
    }
}

/// Gives every service its store.
pub trait KeyValueEngine: Send + Sync + fmt::Debug {
    /// The store of this service with this quota in bytes. Cheap, and does no I/O: the store opens at its first use.
    ///
    /// As long as somebody holds the store of a service, the same one is returned and takes over the new quota; when
    /// the last holder drops it, it closes.
    fn store(&self, service: &str, quota: u64) -> Arc<dyn KeyValueStore>;
}

/// Refuses a key that no engine has to accept.
pub(super) fn check_key(key: &str) -> Result<(), KeyValueError> {
    if key.len() > MAX_KEY_BYTES { Err(KeyValueError::KeyTooLong { bytes: key.len() }) } else { Ok(()) }
}

/// Refuses a value that no engine has to accept.
pub(super) fn check_value(value: &[u8]) -> Result<(), KeyValueError> {
    if value.len() > MAX_VALUE_BYTES { Err(KeyValueError::ValueTooLarge { bytes: value.len() }) } else { Ok(()) }
}

/// Refuses a time to live that no engine has to accept; otherwise its whole milliseconds.
pub(super) fn check_ttl(ttl: Duration) -> Result<i64, KeyValueError> {
    let refused = KeyValueError::TtlOutOfBounds { ttl };
    if !(MIN_TTL..=MAX_TTL).contains(&ttl) {
        return Err(refused);
    }
    i64::try_from(ttl.as_millis()).map_err(|_| refused)
}

/// Refuses a batch of keys that no engine has to accept.
pub(super) fn check_keys(keys: &[String]) -> Result<(), KeyValueError> {
    if keys.len() > MAX_BATCH_KEYS {
        return Err(KeyValueError::BatchTooLong { keys: keys.len() });
    }
    keys.iter().try_for_each(|key| check_key(key))
}

/// Refuses a batch of entries that no engine has to accept; otherwise the bytes in it.
pub(super) fn check_entries(entries: &[(String, Vec<u8>)]) -> Result<usize, KeyValueError> {
    if entries.len() > MAX_BATCH_KEYS {
        return Err(KeyValueError::BatchTooLong { keys: entries.len() });
    }
    let mut bytes = 0;
    for (key, value) in entries {
        check_key(key)?;
        check_value(value)?;
        bytes += key.len() + value.len();
    }
    if bytes > MAX_BATCH_BYTES { Err(KeyValueError::BatchTooLarge) } else { Ok(bytes) }
}
