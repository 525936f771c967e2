//! What a subscription does, as the configuration says it.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Service, StartAt, Subscription};
use crate::policy::Backoff;
use crate::state::{Offset, Start, SubscriptionId, TopicPattern};

/// Two that are equal need no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::events) struct Terms {
    pub(in crate::events) id: SubscriptionId,
    pub(in crate::events) service: Arc<str>,
    pub(in crate::events) name: Arc<str>,
    pub(in crate::events) topics: Vec<TopicPattern>,
    pub(in crate::events) start: Start,
    pub(in crate::events) path: String,
    /// Deliveries of an event, the first one too.
    pub(in crate::events) attempts: u32,
    pub(in crate::events) backoff: Backoff,
    /// No event waits for longer, whatever its row says.
    pub(in crate::events) longest_wait: Duration,
    pub(in crate::events) ordered: bool,
    pub(in crate::events) max_in_flight: usize,
    pub(in crate::events) timeout: Option<Duration>,
}

impl Terms {
    /// All subscriptions of a service.
    pub(in crate::events) fn of(service: &str, settings: &Service) -> Vec<Self> {
        settings.subscriptions.iter().map(|subscription| Self::new(service, subscription)).collect()
    }

    fn new(service: &str, subscription: &Subscription) -> Self {
        let retry = &subscription.retry;
        Self {
            id: SubscriptionId { service: service.to_owned(), name: subscription.name().to_owned() },
            service: service.into(),
            name: subscription.name().into(),
            topics: subscription.topics().cloned().collect(),
            start: match subscription.from {
                StartAt::Latest => Start::Latest,
                StartAt::Earliest => Start::Earliest,
                StartAt::Time(time) => Start::Time(time.into()),
                StartAt::Offset(offset) => Start::Offset(Offset(offset)),
            },
            path: subscription.path.clone(),
            attempts: retry.attempts,
            backoff: Backoff::new(retry.backoff.get(), retry.max_backoff.get()),
            // `Retry-After` may ask for more than the own longest.
            longest_wait: retry.max_backoff.get().max(Duration::from_secs(3600)),
            ordered: subscription.ordered,
            max_in_flight: usize::try_from(subscription.max_in_flight).unwrap_or(usize::MAX),
            timeout: subscription.timeout.map(crate::config::Duration::get),
        }
    }
}
