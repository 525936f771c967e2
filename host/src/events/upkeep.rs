//! What is to be done now and then: events that are kept no longer, and subscriptions that are in no file any more.
//!
//! A subscription without a file keeps its place, and the events that it has not had, for `events.forgetAfter`; then it
//! is forgotten, or it would hold back retention for ever. Since when it is without one is noted, so that restarts do not
//! begin the time anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::sleep;

use super::bus::Bus;
use super::notes::Notes;
use super::subscription::Terms;
use crate::config::Config;
use crate::state::{EventLog, EventLogError, Retention, SubscriptionId};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(30);
/// Between two rounds because the log is full.
const NUDGED: Duration = Duration::from_secs(1);
/// Pieces of one round; each is bounded by the log.
const PIECES: usize = 1000;

/// Works until dropped.
pub(super) struct Upkeep {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) bus: Arc<Bus>,
    pub(super) notes: Notes,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) clock: fn() -> Timestamp,
}

impl Upkeep {
    pub(super) async fn run(mut self) {
        loop {
            let config = Arc::clone(&self.config.borrow_and_update());
            self.log.set_quota(config.gateway.events.quota.get());
            if let Err(error) = self.forget(&config).await {
                tracing::warn!(%error, "subscriptions cannot be looked through");
            }
            if let Err(error) = self.retain(&config).await {
                tracing::warn!(%error, "events that are kept no longer cannot be deleted");
            }
            tokio::select! {
                () = sleep(ROUND) => {}
                () = async { self.bus.full().await; sleep(NUDGED).await } => {}
                changed = self.config.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn retain(&self, config: &Config) -> Result<(), EventLogError> {
        let rules = rules(config);
        let mut events = 0;
        for _ in 0..PIECES {
            match self.log.retain(rules.clone()).await? {
                0 => break,
                gone => events += gone,
            }
        }
        if events > 0 {
            tracing::debug!(events, "deleted what is kept no longer");
        }
        Ok(())
    }

    async fn forget(&self, config: &Config) -> Result<(), EventLogError> {
        let wanted: BTreeSet<SubscriptionId> =
            config.services.iter().flat_map(|(name, service)| Terms::of(name, service)).map(|terms| terms.id).collect();
        let now = (self.clock)();
        let keep = SignedDuration::try_from(config.gateway.events.forget_after.get()).unwrap_or(SignedDuration::MAX);
        for subscription in self.log.subscriptions().await? {
            let id = subscription.id;
            let note = format!("gone/{}/{}", id.service, id.name);
            let Ok(since) = self.notes.read(&note).await else { continue };
            match since {
                _ if wanted.contains(&id) => {
                    if since.is_some() {
                        self.notes.forget(note).await;
                    }
                }
                None => {
                    tracing::info!(
                        service = id.service,
                        subscription = id.name,
                        "a subscription is in no file any more"
                    );
                    self.notes.write(note, now).await;
                }
                Some(since) if now.duration_since(since) >= keep => {
                    self.log.unsubscribe(&id).await?;
                    self.notes.forget(note).await;
                    tracing::info!(service = id.service, subscription = id.name, "a subscription is forgotten");
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// What is kept for how long, the rules of topics first.
fn rules(config: &Config) -> Vec<Retention> {
    let events = &config.gateway.events;
    let rule = |topics, retention: &crate::config::Retention| Retention {
        topics,
        age: Some(retention.age.get()),
        bytes: retention.size.map(crate::config::Size::get),
    };
    let mut rules: Vec<Retention> =
        events.topics.iter().map(|topic| rule(topic.topic.clone(), &topic.retention)).collect();
    // A pattern that is right.
    rules.extend("#".parse().map(|all| rule(all, &events.retention)));
    rules
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::events::fake::{FakeLog, no_queues};
    use crate::events::notes::tests::memory;
    use crate::state::Start;

    fn clock() -> Timestamp {
        static BEGAN: OnceLock<tokio::time::Instant> = OnceLock::new();
        let began = *BEGAN.get_or_init(tokio::time::Instant::now);
        Timestamp::UNIX_EPOCH + SignedDuration::try_from(began.elapsed()).unwrap()
    }

    #[test]
    fn the_rules_of_topics_come_before_that_of_all() {
        let mut config = Config::default();
        config.gateway.events.topics =
            serde_json::from_str(r#"[{ "topic": "a.*", "retention": { "age": "1h", "size": "1MiB" } }]"#).unwrap();
        let rules = rules(&config);
        assert_eq!(rules.iter().map(|rule| rule.topics.as_str()).collect::<Vec<_>>(), ["a.*", "#"]);
        assert_eq!((rules[0].age, rules[0].bytes), (Some(Duration::from_secs(3600)), Some(1 << 20)));
        assert_eq!((rules[1].age, rules[1].bytes), (Some(Duration::from_secs(7 * 86_400)), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_subscription_without_a_file_is_forgotten_when_its_time_is_over() {
        let log = Arc::new(FakeLog::default());
        let id = SubscriptionId { service: "mail".into(), name: "a".into() };
        log.subscribe(&id, vec!["a".parse().unwrap()], Start::Latest).await.unwrap();
        let with = || {
            let mut config = Config::default();
            let subscriptions = serde_json::from_str(r#"[{ "topic": "a" }]"#).unwrap();
            let service = crate::config::Service { subscriptions, ..Default::default() };
            config.services.insert("mail".into(), service);
            Arc::new(config)
        };
        let (config, receiver) = watch::channel(with());
        let bus = Bus::new(Arc::clone(&log) as _, no_queues(), with());
        let store = memory();
        let start = || {
            let notes = Notes::new(Arc::clone(&store));
            let (log, bus) = (Arc::clone(&log) as _, Arc::clone(&bus));
            tokio::spawn(Upkeep { log, bus, notes, config: receiver.clone(), clock }.run())
        };
        let day = Duration::from_secs(86_400);
        let there = || async { !log.subscriptions().await.unwrap().is_empty() };
        let task = start();
        sleep(day * 8).await;
        assert!(there().await, "it is in a file");
        config.send_replace(Arc::default());
        sleep(day * 6).await;
        // It comes back in time, and goes again: the time begins anew.
        config.send_replace(with());
        sleep(day).await;
        config.send_replace(Arc::default());
        sleep(day * 4).await;
        assert!(there().await);
        task.abort();
        // Restarts do not begin it anew.
        let task = start();
        sleep(day * 2).await;
        assert!(there().await);
        sleep(day * 2).await;
        assert!(!there().await);
        task.abort();
    }
}
