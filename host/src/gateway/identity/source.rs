//! A provider's keys as they are kept: when they are fetched, and what holds while they cannot be.
//!
//! Keys from a URL are fetched at the start, and until they are there for the first time again and again (`pace` says
//! how often). A request that needs keys which were never there has them fetched now, and waits: while nobody wonders
//! yet that they are missing, for several fetches if need be, afterwards for one.
//!
//! Later they are fetched in the background when four fifths of `cacheFor` are over and a request comes, so that
//! requests do not wait. Keys older than `cacheFor` are waited for; while the provider does not answer, they are used
//! for `staleFor` more, and attempts come after 1 s, 2 s, … 30 s. A file is read again when it is used and a second has
//! passed; a broken one leaves the keys as they were.
//!
//! A token of an unknown key asks for the keys again, at most once in 30 s however many such tokens come: a rotated
//! key is believed after 30 s at the latest, and nobody can make the gateway flood a provider. A key id that was asked
//! for in vain waits twice as long each time (128 ids are remembered), so that one bad client cannot use up the turns.
//!
//! There is one fetch at a time; it runs in a task of its own, so that no client ends it by going away. All times here
//! are monotonic: a jump of the wall clock changes nothing.

mod first;
mod unknown;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

pub(super) use self::first::Readiness;
use self::unknown::UnknownIds;
use super::fetch::{FetchError, Fetcher};
use super::jwks::KeySet;
use super::pace::{PATIENCE, Pace, Pause};
use crate::config::{JwksSource, JwtProvider};

/// Tells the time that never jumps.
pub(super) type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// There are no keys, and none can be had now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unavailable;

/// The keys of one provider.
pub(super) struct Source {
    provider: Arc<str>,
    from: JwksSource,
    timeout: Duration,
    pace: Pace,
    fetcher: Arc<Fetcher>,
    clock: Clock,
    host: Readiness,
    state: Mutex<State>,
    /// Changes when a fetch has ended.
    ended: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    fetching: bool,
    /// Fetches that failed since the last one that succeeded.
    failures: u32,
    /// Those of them that came too late to be nothing to wonder at.
    late: u32,
    /// No fetch for a request before, after one that failed.
    retry: Option<Instant>,
    /// The next fetch for no request, as long as there never were keys.
    again: Option<Instant>,
    /// When the host was first seen ready without keys.
    missing: Option<Instant>,
    /// Somebody waits for keys that were never there.
    wanted: bool,
    /// A task sees to it that there are keys one day.
    driven: bool,
    /// No fetch for an unknown key before.
    unknown: Option<Instant>,
    unknown_ids: UnknownIds,
}

impl Source {
    pub(super) fn new(
        provider: Arc<str>,
        settings: &JwtProvider,
        fetcher: Arc<Fetcher>,
        clock: Clock,
        host: Readiness,
    ) -> Arc<Self> {
        let pace = Pace::of(settings);
        let (from, timeout) = (settings.jwks.clone(), settings.fetch_timeout.get());
        let (state, ended) = (Mutex::default(), watch::Sender::new(()));
        Arc::new(Self { provider, from, timeout, pace, fetcher, clock, host, state, ended })
    }

    /// Whether a source made from `settings` would do the same.
    pub(super) fn suits(&self, settings: &JwtProvider) -> bool {
        self.from == settings.jwks && self.timeout == settings.fetch_timeout.get() && self.pace == Pace::of(settings)
    }

    /// Gets the keys before anybody needs them.
    pub(super) fn prefetch(self: &Arc<Self>) {
        let mut state = self.state();
        if state.keys.is_none() && !state.fetching {
            self.start(&mut state);
        }
        if state.keys.is_none() && self.pace.persists && !state.driven {
            state.driven = true;
            tokio::spawn(first::keys(Arc::downgrade(self), self.ended.subscribe()));
        }
    }

    /// The keys that hold now. Waits for a fetch only when there are none, or they are too old and nothing has failed.
    ///
    /// # Errors
    /// When there are none and they cannot be fetched.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Arc<KeySet>, Unavailable> {
        let longest = tokio::time::Instant::now() + self.timeout.max(PATIENCE);
        loop {
            let mut ended = {
                let mut state = self.state();
                let now = (self.clock)();
                let age = state.keys.as_ref().map(|(_, at)| now.saturating_duration_since(*at));
                let due = age.is_none_or(|age| age >= self.pace.refresh);
                if due && !state.fetching && state.retry.is_none_or(|retry| now >= retry) {
                    self.start(&mut state);
                }
                let fresh = age.is_some_and(|age| age < self.pace.fresh);
                let patient = self.is_patient(&mut state, now);
                if !patient && (fresh || state.failures > 0 || !state.fetching) {
                    if let Some(keys) = self.usable(&state, now) {
                        return Ok(keys);
                    }
                    if !state.fetching {
                        return Err(Unavailable);
                    }
                }
                state.wanted = true;
                // Under the lock: the end of the running fetch comes after this.
                self.ended.subscribe()
            };
            // No end of a fetch within the time is as good as one that brought nothing.
            let _ = tokio::time::timeout_at(longest, ended.changed()).await;
            let mut state = self.state();
            let now = (self.clock)();
            if let Some(keys) = self.usable(&state, now) {
                return Ok(keys);
            }
            if !self.is_patient(&mut state, now) || tokio::time::Instant::now() >= longest {
                return Err(Unavailable);
            }
        }
    }

    /// Keys other than `seen`, for a token that none of these could verify. Waits for a fetch if one is due.
    pub(super) async fn newer(self: &Arc<Self>, key_id: Option<&str>, seen: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let mut ended = {
            let mut state = self.state();
            let now = (self.clock)();
            let keys = self.usable(&state, now)?;
            if !Arc::ptr_eq(&keys, seen) {
                return Some(keys);
            }
            if !state.fetching {
                let early = |until: Instant| now < until;
                if state.unknown.is_some_and(early) || key_id.is_some_and(|id| state.unknown_ids.contains(id, now)) {
                    return None;
                }
                // A pause that the clock cannot express lasts for ever.
                state.unknown = Some(now.checked_add(self.pace.unknown)?);
                self.start(&mut state);
            }
            self.ended.subscribe()
        };
        let _ = ended.changed().await;
        let mut state = self.state();
        let now = (self.clock)();
        let keys = self.usable(&state, now)?;
        if !Arc::ptr_eq(&keys, seen) {
            return Some(keys);
        }
        // A provider that did not answer knows this key or not.
        if let Some(id) = key_id.filter(|_| state.failures == 0) {
            state.unknown_ids.remember(id, now, self.pace.unknown);
        }
        None
    }

    /// Changes with the end of every fetch from now on.
    #[cfg(test)]
    pub(super) fn ends(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    fn usable(&self, state: &State, now: Instant) -> Option<Arc<KeySet>> {
        let (keys, at) = state.keys.as_ref()?;
        (now.saturating_duration_since(*at) < self.pace.usable).then(|| Arc::clone(keys))
    }

    fn start(self: &Arc<Self>, state: &mut State) {
        state.fetching = true;
        let fetching = Fetching { source: Arc::clone(self), done: false };
        tokio::spawn(async move {
            let source = &fetching.source;
            let result = source.fetcher.fetch(&source.from, source.timeout).await;
            fetching.end(result);
        });
    }

    fn ended(&self, result: Result<KeySet, FetchError>) {
        {
            let mut state = self.state();
            let now = (self.clock)();
            state.fetching = false;
            match result {
                Ok(keys) => self.succeeded(&mut state, keys, now),
                Err(error) => self.failed(&mut state, &error, now),
            }
        }
        self.ended.send_replace(());
    }

    fn succeeded(&self, state: &mut State, keys: KeySet, now: Instant) {
        (state.failures, state.late, state.retry, state.again) = (0, 0, None, None);
        match &mut state.keys {
            // The same keys stay the same object: what was verified with them holds on.
            Some((old, at)) if old.same_as(&keys) => *at = now,
            _ => {
                tracing::info!(provider = &*self.provider, keys = keys.len(), "has new keys");
                state.keys = Some((Arc::new(keys), now));
            }
        }
    }

    fn failed(&self, state: &mut State, error: &FetchError, now: Instant) {
        let wanted = std::mem::take(&mut state.wanted);
        let (patient, first) = (self.is_patient(state, now), state.keys.is_none() && self.pace.persists);
        let pause = if first {
            Pause::of_first_keys(state.failures, (!patient).then_some(state.late), wanted)
        } else {
            Pause::of_old_keys(state.failures)
        };
        (state.retry, state.again) = (now.checked_add(pause.for_requests), now.checked_add(pause.for_itself));
        state.failures = state.failures.saturating_add(1);
        state.late = state.late.saturating_add(u32::from(!patient));
        let (provider, old) = (&*self.provider, state.keys.is_some());
        // A file is read every second: one line for a row of failures.
        if patient {
            tracing::debug!(provider, %error, "keys cannot be fetched yet");
        } else if state.late == 1 {
            tracing::warn!(provider, %error, keeps_old_keys = old, "keys cannot be fetched");
        } else {
            tracing::debug!(provider, %error, failures = state.failures, "keys still cannot be fetched");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock leaves the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch that runs. However it ends, whoever waits for it must be told.
struct Fetching {
    source: Arc<Source>,
    done: bool,
}

impl Fetching {
    fn end(mut self, result: Result<KeySet, FetchError>) {
        self.done = true;
        self.source.ended(result);
    }
}

impl Drop for Fetching {
    fn drop(&mut self) {
        if !self.done {
            self.source.ended(Err(FetchError::Aborted));
        }
    }
}
