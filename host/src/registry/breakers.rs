//! How the circuit breaker of each version stands, as whoever runs it tells.
//!
//! For people only: nothing is decided by this. A breaker is here for as long as its version gets requests, and only if
//! the configuration has not turned it off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::records::whole;
use super::watch::{EventKind, Subject};
use super::{Inner, Registry};
use crate::config;

/// Whether requests to a version pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakerWord {
    /// All do.
    Closed,
    /// A few do, to see how it is.
    HalfOpen,
    /// None does.
    Open {
        /// From the moment in which it is told.
        for_time: Duration,
        /// Why.
        reason: String,
    },
}

/// The circuit breaker of one version of a service, as people see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BreakerRecord {
    /// Label of the version; none for instances of no known version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The first 8 hex digits of its component's digest, if it has one here: two versions may have one label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whether requests pass: `closed` (all), `halfOpen` (a few, to see how it is) or `open` (none).
    pub state: BreakerStateWord,
    /// Why it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time until it is half open, if it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_open_in: Option<config::Duration>,
    /// Since when it is like that.
    pub since: Timestamp,
}

/// One word for each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BreakerStateWord {
    /// All requests pass.
    Closed,
    /// A few do.
    HalfOpen,
    /// None does.
    Open,
}

/// A breaker's place in the registry, for whoever runs it. Dropped, it is not there any more.
#[derive(Debug)]
pub struct BreakerEntry {
    registry: Arc<Registry>,
    service: Arc<str>,
    key: Arc<str>,
    id: u64,
}

/// What is kept of one.
#[derive(Debug)]
pub(super) struct Breaker {
    /// A version that comes back before the old one is quite gone has another one of the same key.
    id: u64,
    /// Of the last change.
    number: u64,
    shown: bool,
    version: Option<String>,
    digest: Option<String>,
    word: BreakerWord,
    told: Instant,
    since: Timestamp,
}

/// All of them: by service, then by the key of the version.
pub(super) type Breakers = BTreeMap<Arc<str>, BTreeMap<Arc<str>, Breaker>>;

impl BreakerStateWord {
    /// For people.
    pub fn shown(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half open",
            Self::Open => "open",
        }
    }
}

impl Breaker {
    /// For people, if they see it.
    pub(super) fn shown(&self, now: Instant) -> Option<BreakerRecord> {
        self.shown.then(|| self.record(now))
    }

    fn record(&self, now: Instant) -> BreakerRecord {
        let (state, reason, half_open_in) = match &self.word {
            BreakerWord::Closed => (BreakerStateWord::Closed, None, None),
            BreakerWord::HalfOpen => (BreakerStateWord::HalfOpen, None, None),
            BreakerWord::Open { for_time, reason } => {
                let left = for_time.saturating_sub(now.saturating_duration_since(self.told));
                (BreakerStateWord::Open, Some(reason.clone()), Some(whole(left)))
            }
        };
        let (version, digest) = (self.version.clone(), self.digest.clone());
        BreakerRecord { version, digest, state, reason, half_open_in, since: self.since }
    }
}

impl Registry {
    /// A circuit breaker for a version, which is found by its key and shown by label and digest. It is closed, and
    /// nobody sees it before [`BreakerEntry::show`].
    pub fn breaker(
        self: &Arc<Self>,
        service: &Arc<str>,
        key: &Arc<str>,
        (version, digest): (Option<&str>, Option<&str>),
    ) -> BreakerEntry {
        let mut inner = self.lock();
        inner.last_breaker += 1;
        let id = inner.last_breaker;
        let breaker = Breaker {
            id,
            number: 0,
            shown: false,
            version: version.map(str::to_owned),
            digest: digest.map(str::to_owned),
            word: BreakerWord::Closed,
            told: Instant::now(),
            since: Timestamp::now(),
        };
        inner.breakers.entry(Arc::clone(service)).or_default().insert(Arc::clone(key), breaker);
        let (service, key) = (Arc::clone(service), Arc::clone(key));
        BreakerEntry { registry: Arc::clone(self), service, key, id }
    }
}

impl BreakerEntry {
    /// Whether people see it.
    pub fn show(&self, shown: bool) {
        if let Some(breaker) = self.find(&mut self.registry.lock()) {
            breaker.shown = shown;
        }
    }

    /// It stands otherwise now, unless something with a greater number was said before.
    pub fn changed(&self, word: BreakerWord, number: u64, now: Instant) {
        let mut inner = self.registry.lock();
        let Some(breaker) = self.find(&mut inner).filter(|breaker| breaker.number < number) else { return };
        let old = breaker.record(now);
        breaker.number = number;
        (breaker.word, breaker.told, breaker.since) = (word, now, Timestamp::now());
        let subjects = breaker.shown.then(|| [old, breaker.record(now)].map(Subject::Breaker));
        if let Some([old, new]) = subjects {
            self.registry.emit(&mut inner, EventKind::BreakerChanged, &self.service, Some(old), Some(new));
        }
    }

    /// An open one lets requests through sooner than was said.
    pub fn shortened(&self, left: Duration, now: Instant) {
        if let Some(breaker) = self.find(&mut self.registry.lock())
            && let BreakerWord::Open { for_time, .. } = &mut breaker.word
        {
            (*for_time, breaker.told) = (left, now);
        }
    }

    fn find<'a>(&self, inner: &'a mut Inner) -> Option<&'a mut Breaker> {
        inner.breakers.get_mut(&self.service)?.get_mut(&self.key).filter(|breaker| breaker.id == self.id)
    }
}

impl Drop for BreakerEntry {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        if self.find(&mut inner).is_none() {
            return;
        }
        if let Some(known) = inner.breakers.get_mut(&self.service) {
            known.remove(&self.key);
            if known.is_empty() {
                inner.breakers.remove(&self.service);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::watch::Update;
    use super::super::{VersionRecord, VersionState};
    use super::*;

    const TIME: Duration = Duration::from_secs(5);

    fn open() -> BreakerWord {
        BreakerWord::Open { for_time: TIME, reason: "5 failures in a row".to_owned() }
    }

    fn registry() -> Arc<Registry> {
        let registry = Arc::new(Registry::default());
        let version = VersionRecord {
            label: "1".to_owned(),
            digest: "abcd".to_owned(),
            file: "orders.wasm".to_owned(),
            size: 1,
            http: String::new(),
            state: VersionState::Serving,
            since: Timestamp::now(),
            notes: Vec::new(),
        };
        registry.record("orders", version);
        registry
    }

    fn entry(registry: &Arc<Registry>) -> BreakerEntry {
        registry.breaker(&"orders".into(), &"orders/1@abcd".into(), (Some("1"), Some("abcd")))
    }

    #[tokio::test(start_paused = true)]
    async fn people_see_how_a_breaker_stands_and_how_long_it_is_open() {
        let registry = registry();
        let told = || registry.service("orders").unwrap().breakers;
        let entry = entry(&registry);
        assert_eq!(told(), [], "nobody has said that it is to be seen");
        entry.show(true);
        assert_eq!(told()[0].state, BreakerStateWord::Closed);

        let mut watcher = registry.watch();
        watcher.next().await;
        entry.changed(open(), 2, Instant::now());
        let Update::Event(event) = watcher.next().await else { panic!("no event") };
        assert_eq!(event.kind.as_str(), "breaker.changed");
        let event = serde_json::to_value(&*event).unwrap();
        assert_eq!((&event["old"]["state"], &event["new"]["state"]), (&"closed".into(), &"open".into()));
        assert_eq!((&event["new"]["version"], &event["new"]["halfOpenIn"]), (&"1".into(), &"5s".into()));

        tokio::time::advance(Duration::from_secs(2)).await;
        let record = told().remove(0);
        assert_eq!(record.half_open_in, Some(config::Duration::secs(3)));
        assert_eq!(record.reason.as_deref(), Some("5 failures in a row"));
        entry.shortened(Duration::from_secs(1), Instant::now());
        assert_eq!(told()[0].half_open_in, Some(config::Duration::secs(1)));
        tokio::time::advance(TIME).await;
        assert_eq!(told()[0].half_open_in, Some(config::Duration::ZERO));
        entry.changed(BreakerWord::HalfOpen, 4, Instant::now());
        entry.changed(open(), 3, Instant::now());
        let record = told().remove(0);
        assert_eq!((record.state, record.reason, record.half_open_in), (BreakerStateWord::HalfOpen, None, None));
        entry.show(false);
        assert_eq!(told(), []);
    }

    #[tokio::test]
    async fn a_version_that_comes_back_keeps_its_place_when_the_old_one_goes() {
        let registry = registry();
        let old = entry(&registry);
        let new = entry(&registry);
        new.show(true);
        old.changed(open(), 1, Instant::now());
        drop(old);
        assert_eq!(registry.service("orders").unwrap().breakers[0].state, BreakerStateWord::Closed);
        drop(new);
        assert_eq!(registry.service("orders").unwrap().breakers, []);
        assert!(registry.lock().breakers.is_empty());
    }

    #[tokio::test]
    async fn a_breaker_alone_makes_no_service() {
        let registry = Arc::new(Registry::default());
        let entry = entry(&registry);
        entry.show(true);
        assert!(registry.services().is_empty());
    }
}
