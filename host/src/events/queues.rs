//! Queues, with grants: who may send and receive is asked here, everything else is the store's.
//!
//! A queue is there as soon as somebody sends to it. `grants.queues` says who may, separately for both ends; settings of
//! a queue come from `queues` in `gateway.yaml`, and change live.

mod expired;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use self::expired::Expired;
use super::record::{DeadMessageList, DeadMessageRecord, QueueList, QueueRecord};
use crate::capability::bus::{NewMessage, QueueFailure, ReceivedMessage};
use crate::config::{self, Config, check_topic};
use crate::state::{Fate, Message, QueueError, QueueRetention, QueueSettings, QueueState, Queues, Receive, Received};

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
    expired: Expired,
}

impl QueueRoom {
    pub(super) fn new(queues: Arc<dyn Queues>, config: &Arc<Config>) -> Self {
        let room = Self {
            queues,
            config: ArcSwap::new(Arc::clone(config)),
            told: Mutex::default(),
            expired: Expired::default(),
        };
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
        drop(told);
        self.expired.only(now);
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
        let messages: Vec<Message> = messages.into_iter().map(message).collect();
        let config = self.config.load_full();
        let again = config.gateway.queues.get(queue).and_then(|queue| queue.retention.as_ref());
        let again = again.map(|_| messages.clone());
        let sent = match (self.queues.send(queue, messages).await, again) {
            // What is too old must not keep out what is new.
            (Err(QueueError::Full { .. }), Some(messages)) if self.expire(queue).await > 0 => {
                self.queues.send(queue, messages).await
            }
            (sent, _) => sent,
        };
        sent.map_err(|error| failure(queue, error))
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
        let config = self.config.load();
        let record = |state: &QueueState| {
            let settings = config.gateway.queues.get(&state.queue);
            QueueRecord::new(state, settings.and_then(|settings| settings.retention.clone()))
        };
        Ok(QueueList { queues: self.queues.queues().await?.iter().map(record).collect() })
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
    let retention = queue.retention.as_ref().map(|retention| QueueRetention {
        age: retention.age.get(),
        fate: match retention.expired {
            config::Expired::Drop => Fate::Dropped,
            config::Expired::DeadLetter => Fate::Dead,
        },
    });
    QueueSettings { quota: queue.quota.get(), max_receives: queue.max_receives, retention }
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
mod tests;
