//! The way in: who may publish what, how much of it, and how a full log is said.
//!
//! Every interface of a service ends here (`wharf:service/events`, `events.internal`, outboxes), so grants are checked
//! once, with the configuration in force at that moment. A service publishes under its own name only. A rate holds for
//! each service by itself: `limits.publishRate` on average, ten seconds of it at once.
//!
//! Services that publish in answer to each other's events would do so for ever, and each of them would be in the right. So
//! each event knows how many came before it, one out of the other, and beyond `events.maxChain` none is published.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::sync::Notify;

use super::attributes;
use super::queues::QueueRoom;
use crate::capability::bus::{
    EventBus, NewEvent, NewMessage, PublishError, Publisher, QueueFailure, Receipt, ReceivedMessage,
};
use crate::config::Config;
use crate::policy::{Limiter, Quota};
use crate::state::{Event, EventLog, EventLogError, MAX_PUBLISH_BYTES, MAX_PUBLISH_EVENTS, Published, Queues};

/// Seconds of its rate that a service may publish at once.
const BURST: u32 = 10;
/// Who publishes by the admin API.
const OPERATOR: &str = "/operator";

/// Takes events and messages of services.
pub struct Bus {
    log: Arc<dyn EventLog>,
    queues: QueueRoom,
    config: ArcSwap<Config>,
    /// By service, for those that have a grant.
    meters: Mutex<HashMap<String, Arc<Meter>>>,
    /// Somebody found the log full.
    full: Notify,
}

/// What one service publishes.
#[derive(Debug)]
struct Meter {
    limiter: Limiter,
    published: AtomicU64,
    /// Times that a chain of events came to its end here.
    cut: AtomicU64,
}

impl Bus {
    /// A bus to this log and these queues.
    pub fn new(log: Arc<dyn EventLog>, queues: Arc<dyn Queues>, config: Arc<Config>) -> Arc<Self> {
        let queues = QueueRoom::new(queues, &config);
        let config = ArcSwap::new(config);
        Arc::new(Self { log, queues, config, meters: Mutex::default(), full: Notify::new() })
    }

    /// Puts another configuration in force.
    pub(super) fn apply(&self, config: &Arc<Config>) {
        self.config.store(Arc::clone(config));
        self.queues.apply(config);
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.retain(|service, _| config.services.contains_key(service));
    }

    /// Queues, for operators.
    pub(super) fn queues(&self) -> &QueueRoom {
        &self.queues
    }

    /// Returns when somebody has found the log full.
    pub(super) async fn full(&self) {
        self.full.notified().await;
    }

    /// Events by the service that published them.
    pub(super) fn published(&self) -> Vec<(String, u64)> {
        self.counts(|meter| &meter.published)
    }

    /// Chains of events that were cut, by the service that would have gone on.
    pub(super) fn cut(&self) -> Vec<(String, u64)> {
        self.counts(|meter| &meter.cut)
    }

    fn counts(&self, which: fn(&Meter) -> &AtomicU64) -> Vec<(String, u64)> {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        meters.iter().map(|(service, meter)| (service.clone(), which(meter).load(Ordering::Relaxed))).collect()
    }

    /// Publishes in the name of the operator, who needs no grant.
    pub(super) async fn publish_as_operator(&self, event: NewEvent) -> Result<Receipt, PublishError> {
        let event = attributes::event(OPERATOR, None, event, self.config.load().gateway.events.max_event_size.get());
        let receipts = self.write(vec![event.map_err(PublishError::Invalid)?]).await?;
        receipts.into_iter().next().ok_or_else(|| PublishError::Unavailable("nothing was published".to_owned()))
    }

    /// Publishes what is complete and granted already: ticks of schedules.
    pub(super) async fn publish_for(&self, service: &str, events: Vec<Event>) -> Result<Vec<Receipt>, PublishError> {
        let receipts = self.write(events).await?;
        self.count(service, &receipts);
        Ok(receipts)
    }

    /// What was carried from an outbox.
    pub(super) fn carried(&self, service: &str, events: u64) {
        if let Some(meter) = self.meter(service) {
            meter.published.fetch_add(events, Ordering::Relaxed);
        }
    }

    fn count(&self, service: &str, receipts: &[Receipt]) {
        let new = receipts.iter().filter(|receipt| !receipt.duplicate).count() as u64;
        self.carried(service, new);
    }

    /// That of a service that may publish anything at all: so there are not more than the configuration has services.
    fn meter(&self, service: &str) -> Option<Arc<Meter>> {
        let config = self.config.load();
        config.services.get(service).filter(|service| !service.grants.publish.is_empty())?;
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = meters.get(service) {
            return Some(Arc::clone(meter));
        }
        let quota = quota(config.service(service).limits.publish_rate);
        let limiter = Limiter::new(quota, Instant::now());
        let meter = Arc::new(Meter { limiter, published: AtomicU64::new(0), cut: AtomicU64::new(0) });
        meters.insert(service.to_owned(), Arc::clone(&meter));
        Some(meter)
    }

    async fn write(&self, events: Vec<Event>) -> Result<Vec<Receipt>, PublishError> {
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let published = self.log.publish(events).await.map_err(|error| self.refused(error))?;
        let receipt = |(id, published)| match published {
            Published::New(offset) => Receipt { id, offset: offset.0, duplicate: false },
            Published::Duplicate(offset) => Receipt { id, offset: offset.0, duplicate: true },
        };
        Ok(ids.into_iter().zip(published).map(receipt).collect())
    }

    fn refused(&self, error: EventLogError) -> PublishError {
        match error {
            EventLogError::Full { quota, behind } => {
                // What may go, goes now, not at the next round.
                self.full.notify_one();
                tracing::warn!(quota, behind, "an event was not published: the event log is full");
                PublishError::Full("the event log is full".to_owned())
            }
            EventLogError::EventTooLarge { .. }
            | EventLogError::AttributesTooLarge { .. }
            | EventLogError::BatchTooLarge => PublishError::Invalid(error.to_string()),
            EventLogError::NotFound { .. } | EventLogError::Unavailable { .. } => {
                tracing::error!(%error, "an event was not published");
                PublishError::Unavailable("the event log is not available".to_owned())
            }
        }
    }
}

impl Meter {
    /// Counts a chain that ends here. A handler that tries without end does not fill the log: each line stands for twice
    /// as many as the one before.
    fn cut_short(&self, publisher: &Publisher, events: &[Event]) {
        let times = self.cut.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if times.is_power_of_two() {
            let topic = events.first().map(|event| event.topic.as_str());
            let (service, depth, cause) = (&*publisher.service, publisher.depth, publisher.causation.as_deref());
            tracing::warn!(service, topic, depth, ?cause, times, "a chain of events was cut: see events.maxChain");
        }
    }
}

fn quota(rate: u32) -> Quota {
    Quota { requests: rate, per: Duration::from_secs(1), burst: rate.saturating_mul(BURST), max_keys: 1 }
}

#[async_trait]
impl EventBus for Bus {
    fn prepare(&self, publisher: &Publisher, events: Vec<NewEvent>) -> Result<Vec<Event>, PublishError> {
        let config = self.config.load();
        let service = &*publisher.service;
        let settings = config.services.get(service);
        if let Some(event) =
            events.iter().find(|event| settings.is_none_or(|settings| !settings.grants.may_publish(&event.topic)))
        {
            let topic: String = event.topic.chars().take(100).collect();
            let why = format!("`{}` is not in grants.publish of the service", topic.escape_debug());
            return Err(PublishError::Denied(why));
        }
        let bytes: usize = events.iter().map(|event| event.data.len()).sum();
        if events.len() > MAX_PUBLISH_EVENTS || bytes > MAX_PUBLISH_BYTES {
            let why = format!("a batch has at most {MAX_PUBLISH_EVENTS} events and {MAX_PUBLISH_BYTES} bytes");
            return Err(PublishError::Invalid(why));
        }
        let (source, max) = (format!("/services/{service}"), config.gateway.events.max_event_size.get());
        let events: Result<Vec<Event>, String> =
            events.into_iter().map(|event| attributes::event(&source, Some(publisher), event, max)).collect();
        let events = events.map_err(PublishError::Invalid)?;
        let (Some(settings), Some(meter)) = (settings, self.meter(service)) else { return Ok(events) };
        let max_chain = config.gateway.events.max_chain;
        if publisher.depth > max_chain && !events.is_empty() {
            meter.cut_short(publisher, &events);
            return Err(PublishError::ChainTooLong(max_chain));
        }
        let quota = quota(settings.limits.publish_rate);
        let count = u32::try_from(events.len()).unwrap_or(u32::MAX);
        if count > quota.burst {
            let why = format!("{count} events at once, limits.publishRate allows {}", quota.burst);
            return Err(PublishError::Invalid(why));
        }
        let decision = meter.limiter.check_many((), count, quota, Instant::now());
        if decision.admitted { Ok(events) } else { Err(PublishError::TooFast(decision.retry_after)) }
    }

    async fn publish(&self, publisher: &Publisher, events: Vec<NewEvent>) -> Result<Vec<Receipt>, PublishError> {
        let events = self.prepare(publisher, events)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        self.publish_for(&publisher.service, events).await
    }

    async fn send(&self, service: &str, queue: &str, messages: Vec<NewMessage>) -> Result<Vec<u64>, QueueFailure> {
        self.queues.send(service, queue, messages).await
    }

    async fn receive(
        &self,
        service: &str,
        queue: &str,
        max: u32,
        visibility: Option<Duration>,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, QueueFailure> {
        self.queues.receive(service, queue, max, visibility, wait).await
    }

    async fn delete(&self, service: &str, queue: &str, receipt: &str) -> Result<(), QueueFailure> {
        self.queues.delete(service, queue, receipt).await
    }

    async fn extend(
        &self,
        service: &str,
        queue: &str,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), QueueFailure> {
        self.queues.extend(service, queue, receipt, visibility).await
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
