//! Messages that are too old: when they are looked for, and how many there were.
//!
//! The store gives nobody a message that is too old, so nothing depends on the moment at which it goes; a round comes
//! every few seconds, and when a queue is full. Only queues with `retention` are looked at, and only these are counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::QueueRoom;
use crate::config::{self, QueueSettings};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(2);
/// Pieces of one round for one queue; each is bounded by the store.
const PIECES: usize = 1000;

/// How many messages were too old since the host started, by queue and by what became of them.
#[derive(Debug, Default)]
pub(super) struct Expired(Mutex<BTreeMap<String, Counts>>);

/// One queue's.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    dropped: u64,
    dead: u64,
}

impl Expired {
    /// Counts for queues with a retention, from 0 if they are new, and for no others.
    pub(super) fn only(&self, queues: &BTreeMap<String, QueueSettings>) {
        let mut counts = self.counts();
        let is_kept = |name: &String| queues.get(name).is_some_and(|queue| queue.retention.is_some());
        counts.retain(|name, _| is_kept(name));
        for name in queues.keys().filter(|name| is_kept(name)) {
            counts.entry(name.clone()).or_default();
        }
    }

    fn add(&self, queue: &str, fate: config::Expired, messages: u64) {
        if let Some(counts) = self.counts().get_mut(queue) {
            let count = match fate {
                config::Expired::Drop => &mut counts.dropped,
                config::Expired::DeadLetter => &mut counts.dead,
            };
            *count = count.saturating_add(messages);
        }
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueRoom {
    /// Looks for messages that are too old, again and again. Works until dropped.
    pub(in crate::events) async fn keep_young(&self) {
        let mut round = interval(ROUND);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            let config = self.config.load_full();
            for (name, _) in config.gateway.queues.iter().filter(|(_, queue)| queue.retention.is_some()) {
                self.expire(name).await;
            }
        }
    }

    /// Has messages of this queue go that are too old, and says how many there were.
    pub(super) async fn expire(&self, queue: &str) -> u64 {
        let config = self.config.load_full();
        let settings = config.gateway.queues.get(queue);
        let Some(retention) = settings.and_then(|settings| settings.retention.as_ref()) else { return 0 };
        let mut messages = 0;
        for _ in 0..PIECES {
            match self.queues.expire(queue).await {
                Ok(0) => break,
                Ok(gone) => messages += gone,
                Err(error) => {
                    tracing::warn!(queue, %error, "messages that are too old cannot be looked for");
                    break;
                }
            }
        }
        if messages > 0 {
            self.expired.add(queue, retention.expired, messages);
            let became = match retention.expired {
                config::Expired::Drop => "dropped",
                config::Expired::DeadLetter => "dead letters",
            };
            tracing::info!(queue, messages, became, older_than = %retention.age, "messages were too old");
        }
        messages
    }

    /// How many were too old: queue, what became of them, number.
    pub(in crate::events) fn expired(&self) -> Vec<(String, &'static str, u64)> {
        let counts = self.expired.counts();
        let both = |(name, counts): (&String, &Counts)| {
            [(name.clone(), "dropped", counts.dropped), (name.clone(), "dead", counts.dead)]
        };
        counts.iter().flat_map(both).collect()
    }
}
