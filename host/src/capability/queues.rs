//! `wharf:service/queues`: sending to queues, and receiving from them.
//!
//! Nothing is decided here, as in `events`. Waiting for a message is a future of the guest's own: it holds no thread, its
//! CPU time stands still, and it ends with the request.

use std::time::Duration;

use bytes::Bytes;

use super::CapabilityView;
use super::bindings::events::wharf::service::queues as wit;
use super::bus::{EventBus, NewMessage, QueueFailure, ReceivedMessage};
use super::events::NO_BUS;

impl CapabilityView<'_> {
    fn queues(&self) -> Result<&dyn EventBus, wit::Error> {
        let bus = self.ctx.service.bus().ok_or_else(|| wit::Error::Unavailable(NO_BUS.to_owned()))?;
        Ok(&**bus)
    }
}

impl wit::Host for CapabilityView<'_> {
    async fn send(&mut self, queue: String, messages: Vec<wit::Message>) -> Result<Vec<u64>, wit::Error> {
        let messages = messages.into_iter().map(NewMessage::from).collect();
        Ok(self.queues()?.send(self.ctx.service.service(), &queue, messages).await?)
    }

    async fn receive(
        &mut self,
        queue: String,
        max: u32,
        visibility: Option<u64>,
        wait: u64,
    ) -> Result<Vec<wit::Received>, wit::Error> {
        let (visibility, wait) = (visibility.map(Duration::from_millis), Duration::from_millis(wait));
        let received = self.queues()?.receive(self.ctx.service.service(), &queue, max, visibility, wait).await?;
        Ok(received.into_iter().map(wit::Received::from).collect())
    }

    async fn delete(&mut self, queue: String, receipt: String) -> Result<(), wit::Error> {
        Ok(self.queues()?.delete(self.ctx.service.service(), &queue, &receipt).await?)
    }

    async fn extend(&mut self, queue: String, receipt: String, visibility: u64) -> Result<(), wit::Error> {
        let visibility = Duration::from_millis(visibility);
        Ok(self.queues()?.extend(self.ctx.service.service(), &queue, &receipt, visibility).await?)
    }
}

impl From<wit::Message> for NewMessage {
    fn from(wit::Message { body, content_type, delay, deduplication_id }: wit::Message) -> Self {
        Self {
            body: Bytes::from(body),
            content_type,
            delay: Duration::from_millis(delay),
            deduplication: deduplication_id,
        }
    }
}

impl From<ReceivedMessage> for wit::Received {
    fn from(message: ReceivedMessage) -> Self {
        let ReceivedMessage { id, receipt, body, content_type, attempt, sent } = message;
        Self { id, receipt, body: body.to_vec(), content_type, attempt, sent: super::rfc3339(sent) }
    }
}

impl From<QueueFailure> for wit::Error {
    fn from(failure: QueueFailure) -> Self {
        match failure {
            QueueFailure::Denied(text) => Self::Denied(text),
            QueueFailure::Invalid(text) => Self::Invalid(text),
            QueueFailure::Expired => Self::Expired,
            QueueFailure::Full(text) => Self::Full(text),
            QueueFailure::Unavailable(text) => Self::Unavailable(text),
        }
    }
}
