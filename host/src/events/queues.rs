//! Queues, with grants: who may send and receive is asked here, everything else is the store's.
//!
//! A queue is there as soon as somebody sends to it. `grants.queues` says who may, separately for both ends; settings of
//! a queue come from `queues` in `gateway.yaml`, and change live.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::record::{DeadMessageList, DeadMessageRecord, QueueList, QueueRecord};
use crate::capability::bus::{NewMessage, QueueFailure, ReceivedMessage};
use crate::config::{self, Config, check_topic};
use crate::state::{Message, QueueError, QueueSettings, Queues, Receive, Received};

/// Dead letters of one step.
const STEP: usize = 100;

/// Which end of a queue.
#[derive(Debug, Clone, Copy)]
enum End {
    Send,
    Receive,
}

/// The queues of services.
#[derive(Debug)]
pub(super) struct QueueRoom {
    queues: Arc<dyn Queues>,
    config: ArcSwap<Config>,
    /// As they were told to the store.
    told: Mutex<BTreeMap<String, config::QueueSettings>>,
}

impl QueueRoom {
    pub(super) fn new(queues: Arc<dyn Queues>, config: &Arc<Config>) -> Self {
        let room = Self { queues, config: ArcSwap::new(Arc::clone(config)), told: Mutex::default() };
        room.tell(config);
        room
    }

    pub(super) fn apply(&self, config: &Arc<Config>) {
        self.config.store(Arc::clone(config));
        self.tell(config);
    }

    /// Those that have settings, and those that had some.
    fn tell(&self, config: &Config) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = &config.gateway.queues;
        for name in told.keys().filter(|name| !now.contains_key(*name)) {
            self.queues.configure(name, settings(&config::QueueSettings::default()));
        }
        for (name, queue) in now.iter().filter(|(name, queue)| told.get(*name) != Some(queue)) {
            self.queues.configure(name, settings(queue));
        }
        told.clone_from(now);
    }

    /// Whether a service may use this end of a queue.
    fn allowed(&self, service: &str, queue: &str, end: End) -> Result<(), QueueFailure> {
        let config = self.config.load();
        let grants = config.services.get(service).map(|service| &service.grants.queues);
        let (patterns, name) = match end {
            End::Send => (grants.map(|grants| &grants.send), "send"),
            End::Receive => (grants.map(|grants| &grants.receive), "receive"),
        };
        if patterns.is_some_and(|patterns| patterns.iter().any(|pattern| pattern.matches(queue))) {
            // A pattern could let a name pass that is none.
            return check_topic(queue).map_err(|_| QueueFailure::Invalid("this is no name of a queue".to_owned()));
        }
        let shown: String = queue.chars().take(100).collect();
        let shown = shown.escape_debug();
        Err(QueueFailure::Denied(format!("`{shown}` is not in grants.queues.{name} of the service")))
    }

    pub(super) async fn send(
        &self,
        service: &str,
        queue: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<u64>, QueueFailure> {
        self.allowed(service, queue, End::Send)?;
        let message = |new: NewMessage| {
            let NewMessage { body, content_type, delay, deduplication } = new;
            Message { body, content_type, delay, deduplication }
        };
        self.queues
            .send(queue, messages.into_iter().map(message).collect())
            .await
            .map_err(|error| failure(queue, error))
    }

    pub(super) async fn receive(
        &self,
        service: &str,
        queue: &str,
        max: u32,
        visibility: Option<Duration>,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, QueueFailure> {
        self.allowed(service, queue, End::Receive)?;
        let visibility = visibility.unwrap_or_else(|| {
            let config = self.config.load();
            config.gateway.queues.get(queue).cloned().unwrap_or_default().visibility_timeout.get()
        });
        let receive = Receive { max: usize::try_from(max).unwrap_or(usize::MAX), visibility, wait };
        let received = self.queues.receive(queue, receive).await.map_err(|error| failure(queue, error))?;
        let message = |received: Received| {
            let Received { id, receipt, body, content_type, attempt, sent } = received;
            ReceivedMessage { id, receipt, body, content_type, attempt, sent }
        };
        Ok(received.into_iter().map(message).collect())
    }

    pub(super) async fn delete(&self, service: &str, queue: &str, receipt: &str) -> Result<(), QueueFailure> {
        self.allowed(service, queue, End::Receive)?;
        self.queues.delete(queue, receipt).await.map_err(|error| failure(queue, error))
    }

    pub(super) async fn extend(
        &self,
        service: &str,
        queue: &str,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), QueueFailure> {
        self.allowed(service, queue, End::Receive)?;
        self.queues.extend(queue, receipt, visibility).await.map_err(|error| failure(queue, error))
    }

    /// How each queue stands.
    pub(super) async fn list(&self) -> Result<QueueList, QueueError> {
        let queues = self.queues.queues().await?.iter().map(QueueRecord::new).collect();
        Ok(QueueList { queues })
    }

    /// Dead letters after this number.
    pub(super) async fn dead_letters(
        &self,
        queue: &str,
        after: u64,
        limit: usize,
    ) -> Result<DeadMessageList, QueueError> {
        let dead = self.queues.dead_letters(queue, after, limit).await?;
        let next = dead.last().map(|dead| dead.id);
        Ok(DeadMessageList { dead_letters: dead.iter().map(DeadMessageRecord::new).collect(), next })
    }

    /// Puts dead letters back: these, or all.
    pub(super) async fn revive(&self, queue: &str, ids: Option<Vec<u64>>) -> Result<u64, QueueError> {
        let Some(ids) = ids else {
            let (mut revived, mut after) = (0, 0);
            while let Some(ids) = self.step(queue, &mut after).await? {
                revived += self.queues.revive(queue, ids).await?;
            }
            return Ok(revived);
        };
        self.queues.revive(queue, ids).await
    }

    /// Deletes dead letters: these, or all.
    pub(super) async fn purge_dead(&self, queue: &str, ids: Option<Vec<u64>>) -> Result<u64, QueueError> {
        let Some(ids) = ids else {
            let (mut purged, mut after) = (0, 0);
            while let Some(ids) = self.step(queue, &mut after).await? {
                purged += self.queues.purge_dead(queue, ids).await?;
            }
            return Ok(purged);
        };
        self.queues.purge_dead(queue, ids).await
    }

    /// Deletes all messages but dead letters.
    pub(super) async fn purge(&self, queue: &str) -> Result<u64, QueueError> {
        self.queues.purge(queue).await
    }

    async fn step(&self, queue: &str, after: &mut u64) -> Result<Option<Vec<u64>>, QueueError> {
        let dead = self.queues.dead_letters(queue, *after, STEP).await?;
        let ids: Vec<u64> = dead.iter().map(|dead| dead.id).collect();
        *after = ids.last().copied().unwrap_or(*after);
        Ok((!ids.is_empty()).then_some(ids))
    }
}

fn settings(queue: &config::QueueSettings) -> QueueSettings {
    QueueSettings { quota: queue.quota.get(), max_receives: queue.max_receives }
}

fn failure(queue: &str, error: QueueError) -> QueueFailure {
    match error {
        QueueError::Invalid { detail } => QueueFailure::Invalid(detail),
        QueueError::Expired => QueueFailure::Expired,
        QueueError::Full { .. } => {
            tracing::warn!(queue, %error, "a message was not sent");
            QueueFailure::Full("the queue is full".to_owned())
        }
        QueueError::TooMany => QueueFailure::Full("there are too many queues".to_owned()),
        QueueError::Unavailable { .. } => {
            tracing::error!(queue, %error, "a queue does not do what it is asked");
            QueueFailure::Unavailable("queues are not available".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Service;
    use crate::state::sqlite::SqliteQueues;

    fn config(queues: &str) -> Arc<Config> {
        let mut config = Config::default();
        let service = |send: &str, receive: &str| {
            let mut service = Service::default();
            let patterns = |text: &str| text.split_whitespace().map(|one| one.parse().unwrap()).collect::<Vec<_>>();
            service.grants.queues.send = patterns(send);
            service.grants.queues.receive = patterns(receive);
            service
        };
        config.services.insert("orders".into(), service("mails work.*", ""));
        config.services.insert("mail".into(), service("", "mails #.any"));
        config.gateway.queues = serde_json::from_str(queues).unwrap();
        Arc::new(config)
    }

    fn message(body: &'static str) -> Vec<NewMessage> {
        vec![NewMessage { body: body.into(), ..NewMessage::default() }]
    }

    #[tokio::test]
    async fn each_end_of_a_queue_is_granted_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let room = QueueRoom::new(Arc::new(SqliteQueues::open(dir.path())), &config("{}"));
        room.send("orders", "mails", message("1")).await.unwrap();
        room.send("orders", "work.a", message("1")).await.unwrap();
        let denied = |failure: QueueFailure| matches!(failure, QueueFailure::Denied(_));
        for (service, queue) in [("mail", "mails"), ("orders", "work"), ("orders", "other"), ("nobody", "mails")] {
            assert!(denied(room.send(service, queue, message("1")).await.unwrap_err()), "{service} {queue}");
        }
        let receive = async |service: &str, queue: &str| room.receive(service, queue, 10, None, Duration::ZERO).await;
        assert!(denied(receive("orders", "mails").await.unwrap_err()));
        assert!(denied(room.delete("orders", "mails", "x").await.unwrap_err()));
        assert!(denied(room.extend("orders", "mails", "x", Duration::ZERO).await.unwrap_err()));
        assert!(matches!(receive("mail", "a b.any").await.unwrap_err(), QueueFailure::Invalid(_)));
        let received = receive("mail", "mails").await.unwrap().remove(0);
        assert_eq!(receive("mail", "mails").await, Ok(Vec::new()), "somebody has it");
        room.delete("mail", "mails", &received.receipt).await.unwrap();
        assert_eq!(room.delete("mail", "mails", &received.receipt).await, Err(QueueFailure::Expired));
    }

    #[tokio::test]
    async fn settings_of_a_queue_hold_at_once_and_dead_letters_can_be_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let quick = r#"{ "mails": { "visibilityTimeout": "1s", "maxReceives": 1, "quota": "1MiB" } }"#;
        let room = QueueRoom::new(Arc::new(SqliteQueues::open(dir.path())), &config(quick));
        room.send("orders", "mails", message("1")).await.unwrap();
        let receive =
            async |wait: u64| room.receive("mail", "mails", 10, None, Duration::from_secs(wait)).await.unwrap().len();
        assert_eq!(receive(0).await, 1);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(receive(0).await, 0, "it was received as often as it may be");
        let dead = room.dead_letters("mails", 0, 10).await.unwrap();
        assert_eq!((dead.dead_letters.len(), dead.dead_letters[0].data.as_deref()), (1, Some("1")));
        // With other settings it may be received again, and stays invisible for longer.
        room.apply(&config("{}"));
        assert_eq!(room.list().await.unwrap().queues[0].quota, config::QueueSettings::default().quota.get());
        assert_eq!(room.revive("mails", None).await, Ok(1));
        assert_eq!(receive(0).await, 1);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(receive(0).await, 0);
        assert_eq!(room.list().await.unwrap().queues[0].invisible, 1);
        assert_eq!(room.purge("mails").await, Ok(1));
        assert_eq!(room.purge_dead("mails", None).await, Ok(0));
    }
}
