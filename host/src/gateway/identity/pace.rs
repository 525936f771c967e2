//! When a provider's keys are fetched, as plain arithmetic: the times of `source`, and nothing of its tasks.
//!
//! ```text
//! never had ──(50 ms, 100 ms, … 1 s, for 5 s)──→ (1 s, 2 s, … 30 s) ──first success──→ had: cacheFor, staleFor
//! ```
//!
//! Keys that were never had are another matter than keys that grow old: whoever shows them may be behind this very
//! gateway, which serves nothing yet when it asks for the first time. So the first fetches come quickly, one after the
//! other, and for [`PATIENCE`] a failure is no news. That counts from when the host is ready: until every component of
//! the plugins folder is compiled, its services cannot be expected to answer.

use std::time::Duration;

use crate::config::{JwksSource, JwtProvider, SecretRef};

/// Least time between two fetches that unknown keys cause (what the `jose` library calls `cooldownDuration`).
pub(super) const UNKNOWN_PAUSE: Duration = Duration::from_secs(30);
/// How long keys that were never had may fail to come before that is worth a warning and refusals at once.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// A file is not read more often than this.
const FILE_PAUSE: Duration = Duration::from_secs(1);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// The first pause of keys that were never had, and the shortest that requests make of it.
const FIRST_KEYS_RETRY: Duration = Duration::from_millis(50);
/// No longer than this while somebody waits.
const WANTED_RETRY: Duration = Duration::from_millis(100);

/// When things are due, counted from the last fetch that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// From here on a request starts a fetch.
    pub(super) refresh: Duration,
    /// From here on a request waits for it.
    pub(super) fresh: Duration,
    /// From here on the keys are not used any more.
    pub(super) usable: Duration,
    /// Between two fetches for unknown keys.
    pub(super) unknown: Duration,
    /// Whether the first keys are fetched again and again without a request. A file or a variable is there or not.
    pub(super) persists: bool,
}

impl Pace {
    pub(super) fn of(settings: &JwtProvider) -> Self {
        let (cache, stale) = (settings.cache_for.get(), settings.stale_for.get());
        let never = Duration::MAX;
        match &settings.jwks {
            JwksSource::Url(_) => Self {
                refresh: cache.saturating_mul(4) / 5,
                fresh: cache,
                usable: cache.saturating_add(stale),
                unknown: UNKNOWN_PAUSE,
                persists: true,
            },
            JwksSource::File(_) | JwksSource::Secret(SecretRef::File(_)) => {
                Self { refresh: FILE_PAUSE, fresh: FILE_PAUSE, usable: never, unknown: FILE_PAUSE, persists: false }
            }
            // A variable does not change while the host runs.
            JwksSource::Secret(SecretRef::Env(_)) => {
                Self { refresh: never, fresh: never, usable: never, unknown: never, persists: false }
            }
        }
    }
}

/// How long to leave a provider alone that was asked in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pause {
    /// Before a request makes it be asked again.
    pub(super) for_requests: Duration,
    /// Before it is asked without one.
    pub(super) for_itself: Duration,
}

impl Pause {
    /// After so many failures in a row, of keys that were there before.
    pub(super) fn of_old_keys(failures: u32) -> Self {
        let pause = doubled(FIRST_RETRY, failures).min(LAST_RETRY);
        Self { for_requests: pause, for_itself: pause }
    }

    /// After so many failures, of keys that were never there. `late` are those after the time in which nobody wonders,
    /// and somebody waits if they are `wanted`.
    pub(super) fn of_first_keys(failures: u32, late: Option<u32>, wanted: bool) -> Self {
        match late {
            None => {
                let longest = if wanted { WANTED_RETRY } else { FIRST_RETRY };
                let pause = doubled(FIRST_KEYS_RETRY, failures).min(longest);
                Self { for_requests: FIRST_KEYS_RETRY, for_itself: pause }
            }
            Some(late) => Self { for_requests: FIRST_RETRY, for_itself: doubled(FIRST_RETRY, late).min(LAST_RETRY) },
        }
    }
}

/// The pause after this many others, each twice as long as the one before.
fn doubled(first: Duration, before: u32) -> Duration {
    first.saturating_mul(2u32.saturating_pow(before.min(16)))
}
