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

/// What is kept of one.
#[derive(Debug)]
pub(super) struct Breaker {
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
    pub(super) fn record(&self, now: Instant) -> BreakerRecord {
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
    /// There is a circuit breaker for a version, by its key; it is closed, unless it is known already.
    pub fn put_breaker(&self, service: &Arc<str>, key: &Arc<str>, of: (Option<&str>, Option<&str>), now: Instant) {
        let mut inner = self.lock();
        let known = inner.breakers.entry(Arc::clone(service)).or_default();
        known.entry(Arc::clone(key)).or_insert_with(|| Breaker {
            version: of.0.map(str::to_owned),
            digest: of.1.map(str::to_owned),
            word: BreakerWord::Closed,
            told: now,
            since: Timestamp::now(),
        });
    }

    /// It stands otherwise now.
    pub fn breaker_changed(&self, service: &str, key: &str, word: BreakerWord, now: Instant) {
        let mut inner = self.lock();
        let Some(breaker) = find(&mut inner, service, key) else { return };
        let old = breaker.record(now);
        (breaker.word, breaker.told, breaker.since) = (word, now, Timestamp::now());
        let new = breaker.record(now);
        let [old, new] = [old, new].map(|record| Some(Subject::Breaker(record)));
        self.emit(&mut inner, EventKind::BreakerChanged, service, old, new);
    }

    /// An open one lets requests through sooner than it was told.
    pub fn breaker_shortened(&self, service: &str, key: &str, left: Duration, now: Instant) {
        let mut inner = self.lock();
        let Some(breaker) = find(&mut inner, service, key) else { return };
        if let BreakerWord::Open { for_time, .. } = &mut breaker.word {
            (*for_time, breaker.told) = (left, now);
        }
    }

    /// There is none any more.
    pub fn remove_breaker(&self, service: &str, key: &str) {
        let mut inner = self.lock();
        let Some(known) = inner.breakers.get_mut(service) else { return };
        known.remove(key);
        if known.is_empty() {
            inner.breakers.remove(service);
        }
    }
}

fn find<'a>(inner: &'a mut Inner, service: &str, key: &str) -> Option<&'a mut Breaker> {
    inner.breakers.get_mut(service)?.get_mut(key)
}

#[cfg(test)]
mod tests {
    use super::super::watch::Update;
    use super::*;

    const TIME: Duration = Duration::from_secs(5);

    fn open() -> BreakerWord {
        BreakerWord::Open { for_time: TIME, reason: "5 failures in a row".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn people_see_how_a_breaker_stands_and_how_long_it_is_open() {
        let registry = Arc::new(Registry::default());
        let (service, key): (Arc<str>, Arc<str>) = ("orders".into(), "orders/1@abcd".into());
        registry.breaker_changed(&service, &key, open(), Instant::now());
        assert!(registry.services().is_empty(), "of one that nobody put there nothing is told");
        registry.put_breaker(&service, &key, (Some("1"), Some("abcd")), Instant::now());
        let told = || registry.service("orders").map(|service| service.breakers).unwrap_or_default();
        assert_eq!(told().first().map(|record| record.state), Some(BreakerStateWord::Closed));

        let mut watcher = registry.watch();
        watcher.next().await;
        registry.breaker_changed(&service, &key, open(), Instant::now());
        let Update::Event(event) = watcher.next().await else { panic!("no event") };
        assert_eq!(event.kind.as_str(), "breaker.changed");
        let event = serde_json::to_value(&*event).unwrap();
        assert_eq!((&event["old"]["state"], &event["new"]["state"]), (&"closed".into(), &"open".into()));
        assert_eq!((&event["new"]["version"], &event["new"]["halfOpenIn"]), (&"1".into(), &"5s".into()));

        tokio::time::advance(Duration::from_secs(2)).await;
        // Another snapshot puts it again.
        registry.put_breaker(&service, &key, (Some("1"), Some("abcd")), Instant::now());
        let record = told().remove(0);
        assert_eq!(record.half_open_in, Some(config::Duration::secs(3)));
        assert_eq!(record.reason.as_deref(), Some("5 failures in a row"));
        tokio::time::advance(TIME).await;
        assert_eq!(told().remove(0).half_open_in, Some(config::Duration::ZERO));
        registry.breaker_changed(&service, &key, BreakerWord::HalfOpen, Instant::now());
        let record = told().remove(0);
        assert_eq!((record.state, record.reason, record.half_open_in), (BreakerStateWord::HalfOpen, None, None));
        registry.remove_breaker(&service, &key);
        assert!(registry.services().is_empty());
    }
}
