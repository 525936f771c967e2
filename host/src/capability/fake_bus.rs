//! An [`EventBus`] for tests: it remembers what it was given, and refuses what is named after a refusal.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::bus::{EventBus, NewEvent, NewMessage, PublishError, Publisher, QueueFailure, Receipt, ReceivedMessage};
use crate::state::Event;

/// What it was asked for.
#[derive(Debug, Default)]
pub(crate) struct FakeBus {
    pub(crate) published: Mutex<Vec<(Publisher, Vec<NewEvent>)>>,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) sent: Mutex<Vec<NewMessage>>,
    /// What `receive` gives.
    pub(crate) waiting: Mutex<Vec<ReceivedMessage>>,
}

pub(crate) fn message(id: u64, body: &'static [u8]) -> ReceivedMessage {
    ReceivedMessage {
        id,
        receipt: format!("r/{id}"),
        body: body.into(),
        content_type: Some("text/plain".to_owned()),
        attempt: 1,
        sent: SystemTime::UNIX_EPOCH,
    }
}

impl FakeBus {
    fn queue(&self, asked: String, queue: &str) -> Result<(), QueueFailure> {
        self.asked.lock().unwrap().push(asked);
        let text = format!("because {queue}");
        match queue {
            "denied" => Err(QueueFailure::Denied(text)),
            "invalid" => Err(QueueFailure::Invalid(text)),
            "expired" => Err(QueueFailure::Expired),
            "full" => Err(QueueFailure::Full(text)),
            "unavailable" => Err(QueueFailure::Unavailable(text)),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl EventBus for FakeBus {
    fn prepare(&self, _: &Publisher, _: Vec<NewEvent>) -> Result<Vec<Event>, PublishError> {
        Err(PublishError::Unavailable("no test prepares events".to_owned()))
    }

    async fn publish(&self, publisher: &Publisher, events: Vec<NewEvent>) -> Result<Vec<Receipt>, PublishError> {
        let text = |topic: &str| format!("because {topic}");
        match events.first().map(|event| event.topic.as_str()) {
            Some(topic @ "denied") => return Err(PublishError::Denied(text(topic))),
            Some(topic @ "invalid") => return Err(PublishError::Invalid(text(topic))),
            Some(topic @ "full") => return Err(PublishError::Full(text(topic))),
            Some("toofast") => return Err(PublishError::TooFast(Duration::from_secs(7))),
            Some(topic @ "unavailable") => return Err(PublishError::Unavailable(text(topic))),
            _ => {}
        }
        let receipt = |(at, event): (usize, &NewEvent)| Receipt {
            id: event.id.clone().unwrap_or_else(|| format!("id-{at}")),
            offset: at as u64 + 1,
            duplicate: event.id.as_deref() == Some("known"),
        };
        let receipts = events.iter().enumerate().map(receipt).collect();
        self.published.lock().unwrap().push((publisher.clone(), events));
        Ok(receipts)
    }

    async fn send(&self, service: &str, queue: &str, messages: Vec<NewMessage>) -> Result<Vec<u64>, QueueFailure> {
        self.queue(format!("{service} send {queue}"), queue)?;
        let ids = (7..).take(messages.len()).collect();
        self.sent.lock().unwrap().extend(messages);
        Ok(ids)
    }

    async fn receive(
        &self,
        service: &str,
        queue: &str,
        max: u32,
        visibility: Option<Duration>,
        wait: Duration,
    ) -> Result<Vec<ReceivedMessage>, QueueFailure> {
        self.queue(format!("{service} receive {queue} {max} {visibility:?} {wait:?}"), queue)?;
        if queue == "silent" {
            tokio::time::sleep(wait).await;
        }
        Ok(self.waiting.lock().unwrap().clone())
    }

    async fn delete(&self, service: &str, queue: &str, receipt: &str) -> Result<(), QueueFailure> {
        self.queue(format!("{service} delete {queue} {receipt}"), queue)
    }

    async fn extend(
        &self,
        service: &str,
        queue: &str,
        receipt: &str,
        visibility: Duration,
    ) -> Result<(), QueueFailure> {
        self.queue(format!("{service} extend {queue} {receipt} {visibility:?}"), queue)
    }
}
