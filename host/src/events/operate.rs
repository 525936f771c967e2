//! What operators ask and order: history, how subscriptions stand, dead letters, beginning again somewhere else.
//!
//! A dead letter is replayed by delivering it once more, now, and it is deleted when that was handled and not before: so
//! neither a crash nor a service that still fails loses it. It does not wait for its key, whose later events have long
//! gone on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::deliver::Outcome;
use super::record::{
    DeadLetterList, DeadLetterRecord, DeadMessageList, EventList, EventRecord, QueueList, Replayed, SubscriptionList,
    SubscriptionRecord,
};
use super::subscription::{Command, Terms, deliver_once};
use super::{Events, Known};
use crate::capability::bus::{NewEvent, PublishError, Receipt};
use crate::capability::delivery::Delivery;
use crate::state::{
    DeadLetter, EventLogError, Offset, QueueError, Selection, Start, StoredEvent, SubscriptionId, SubscriptionState,
};

/// Longest page.
pub(crate) const MAX_PAGE: usize = 1000;
/// A search that finds little goes on elsewhere after this time.
const SEARCH: Duration = Duration::from_secs(2);
/// Dead letters of one step of a purge.
const PURGED: usize = 1000;

/// A question about the past.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// What is looked for.
    pub selection: Selection,
    /// Only before this place.
    pub before: Option<u64>,
    /// Most events of a page.
    pub limit: usize,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// There is no such thing.
    #[error("there is no such {0}")]
    Unknown(&'static str),
    /// The subscription is in no file, so nobody knows where its events go.
    #[error("the subscription is in no file any more: nobody knows how its events are delivered")]
    Gone,
    /// The log does not do it.
    #[error(transparent)]
    Log(EventLogError),
}

impl From<EventLogError> for OperateError {
    fn from(error: EventLogError) -> Self {
        match error {
            EventLogError::NotFound { what } => Self::Unknown(what),
            error => Self::Log(error),
        }
    }
}

impl Events {
    /// Events of the past, the newest first.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn history(&self, asked: History) -> Result<EventList, OperateError> {
        let limit = asked.limit.clamp(1, MAX_PAGE);
        let (mut before, end) = (asked.before.map(Offset), Instant::now() + SEARCH);
        let mut events = Vec::new();
        loop {
            let page = self.parts.log.history(asked.selection.clone(), before, limit - events.len()).await?;
            events.extend(page.events.iter().map(EventRecord::brief));
            before = Some(page.read_to);
            let next = page.more.then_some(page.read_to.0);
            if next.is_none() || events.len() >= limit || Instant::now() >= end {
                return Ok(EventList { events, next });
            }
        }
    }

    /// One event with its data.
    ///
    /// # Errors
    /// When it is not there, or no longer.
    pub async fn event(&self, offset: u64) -> Result<EventRecord, OperateError> {
        let before = Offset(offset.saturating_sub(1));
        let page = self.parts.log.read(Selection::default(), before, 1, 1).await?;
        let found = page.events.iter().find(|event| event.offset.0 == offset);
        found.map(EventRecord::whole).ok_or(OperateError::Unknown("event"))
    }

    /// All subscriptions that are at work or remembered.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn subscriptions(&self) -> Result<SubscriptionList, OperateError> {
        let noted = self.parts.log.subscriptions().await?;
        let usage = self.parts.log.usage().await?;
        let set = self.lock();
        let record = |state: SubscriptionState| record(set.known.get(&state.id), state, usage.last.0);
        let subscriptions = noted.into_iter().map(record).collect();
        let (events, bytes, quota) = (usage.events, usage.bytes, usage.quota);
        Ok(SubscriptionList { subscriptions, newest: usage.last.0, events, bytes, quota })
    }

    /// Dead letters after this number, without their data.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn dead_letters(
        &self,
        of: Option<&SubscriptionId>,
        after: u64,
        limit: usize,
    ) -> Result<DeadLetterList, OperateError> {
        let dead = self.parts.log.dead_letters(of, after, limit.clamp(1, MAX_PAGE)).await?;
        let next = dead.last().map(|dead| dead.id);
        let record = |dead: &DeadLetter| DeadLetterRecord::new(dead, EventRecord::brief(&dead.event));
        Ok(DeadLetterList { dead_letters: dead.iter().map(record).collect(), next })
    }

    /// One dead letter with its data.
    ///
    /// # Errors
    /// When it is not there, or no longer.
    pub async fn dead_letter(&self, id: u64) -> Result<DeadLetterRecord, OperateError> {
        let dead = self.find(id).await?;
        Ok(DeadLetterRecord::new(&dead, EventRecord::whole(&dead.event)))
    }

    /// Delivers a dead letter once more, and deletes it if that was handled.
    ///
    /// # Errors
    /// When it is not there, or nobody knows where it goes.
    pub async fn replay(&self, id: u64) -> Result<Replayed, OperateError> {
        let dead = self.find(id).await?;
        let terms = self.terms(&dead.subscription).ok_or(OperateError::Gone)?;
        let event = StoredEvent { event: Arc::clone(&dead.event.event), ..dead.event };
        let attempt = dead.attempts.saturating_add(1);
        let delivery = Delivery { subscription: Arc::clone(&terms.name), attempt, event };
        let error = match deliver_once(&*self.parts.deliver, &terms, delivery).await {
            Outcome::Handled => {
                self.parts.log.purge(vec![id]).await?;
                String::new()
            }
            Outcome::Again(_, error) | Outcome::Rejected(error) => error,
            Outcome::NotThere(reason, _) => reason.to_owned(),
        };
        Ok(Replayed { id, handled: error.is_empty(), error })
    }

    /// Deletes dead letters: one, or all of a subscription that are there now. Says how many there were.
    ///
    /// # Errors
    /// When the log does not answer.
    pub async fn purge(&self, of: &SubscriptionId) -> Result<u64, OperateError> {
        let (mut purged, mut after) = (0, 0);
        loop {
            let dead = self.parts.log.dead_letters(Some(of), after, PURGED).await?;
            let Some(last) = dead.last() else { return Ok(purged) };
            after = last.id;
            purged += self.parts.log.purge(dead.iter().map(|dead| dead.id).collect()).await?;
        }
    }

    /// Deletes one dead letter.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn purge_one(&self, id: u64) -> Result<(), OperateError> {
        match self.parts.log.purge(vec![id]).await? {
            0 => Err(OperateError::Unknown("dead letter")),
            _ => Ok(()),
        }
    }

    /// Has a subscription begin again there. Says which place that is.
    ///
    /// # Errors
    /// When there is no such subscription.
    pub async fn seek(&self, id: &SubscriptionId, start: Start) -> Result<u64, OperateError> {
        let commands = self.lock().known.get(id).map(|known| known.commands.clone());
        let Some(commands) = commands else {
            // Not at work: nobody is in the way.
            return Ok(self.parts.log.seek(id, start).await?.0);
        };
        let (reply, answer) = oneshot::channel();
        let unavailable = || EventLogError::Unavailable { detail: "the subscription is ending".to_owned() };
        commands.send(Command::Seek(start, reply)).await.map_err(|_| unavailable())?;
        tracing::info!(service = id.service, subscription = id.name, ?start, "a subscription begins again");
        Ok(answer.await.map_err(|_| unavailable())??.0)
    }

    /// Publishes an event in the name of the operator.
    ///
    /// # Errors
    /// When it is not right, or the log does not take it.
    pub async fn publish(&self, event: NewEvent) -> Result<Receipt, PublishError> {
        self.parts.bus.publish_as_operator(event).await
    }

    /// Messages that lay in a queue for too long since the host started: queue, what became of them, number.
    pub fn expired_messages(&self) -> Vec<(String, &'static str, u64)> {
        self.parts.bus.queues().expired()
    }

    /// How each queue stands.
    ///
    /// # Errors
    /// When the queues do not answer.
    pub async fn queues(&self) -> Result<QueueList, QueueError> {
        self.parts.bus.queues().list().await
    }

    /// Dead letters of a queue after this number.
    ///
    /// # Errors
    /// When the queues do not answer.
    pub async fn queue_dead_letters(
        &self,
        queue: &str,
        after: u64,
        limit: usize,
    ) -> Result<DeadMessageList, QueueError> {
        self.parts.bus.queues().dead_letters(queue, after, limit.clamp(1, MAX_PAGE)).await
    }

    /// Puts dead letters of a queue back: these, or all. Says how many there were.
    ///
    /// # Errors
    /// When the queues do not answer.
    pub async fn queue_revive(&self, queue: &str, ids: Option<Vec<u64>>) -> Result<u64, QueueError> {
        self.parts.bus.queues().revive(queue, ids).await
    }

    /// Deletes messages of a queue: dead letters (these, or all), or all others. Says how many there were.
    ///
    /// # Errors
    /// When the queues do not answer.
    pub async fn queue_purge(&self, queue: &str, dead: bool, ids: Option<Vec<u64>>) -> Result<u64, QueueError> {
        let queues = self.parts.bus.queues();
        if dead { queues.purge_dead(queue, ids).await } else { queues.purge(queue).await }
    }

    async fn find(&self, id: u64) -> Result<DeadLetter, OperateError> {
        let found = self.parts.log.dead_letters(None, id.saturating_sub(1), 1).await?;
        found.into_iter().find(|dead| dead.id == id).ok_or(OperateError::Unknown("dead letter"))
    }

    fn terms(&self, id: &SubscriptionId) -> Option<Arc<Terms>> {
        self.lock().known.get(id).map(|known| Arc::clone(&known.terms))
    }
}

fn record(known: Option<&Known>, noted: SubscriptionState, newest: u64) -> SubscriptionRecord {
    let SubscriptionState { id: SubscriptionId { service, name }, topics, position, waiting, dead } = noted;
    let mut record = SubscriptionRecord {
        service,
        name,
        topics: topics.iter().map(ToString::to_string).collect(),
        state: "gone".to_owned(),
        reason: String::new(),
        position: position.0,
        lag: newest.saturating_sub(position.0),
        in_flight: 0,
        waiting,
        dead,
        handled: 0,
        retried: 0,
    };
    let Some(known) = known else { return record };
    let (standing, reason) = known.shared.standing();
    let [handled, retried, ..] = known.shared.outcomes();
    record.state = standing.word().to_owned();
    record.reason = reason;
    record.position = record.position.max(known.shared.position().0);
    record.lag = newest.saturating_sub(record.position);
    record.in_flight = known.shared.in_flight();
    record.handled = handled.1;
    record.retried = retried.1;
    record
}
