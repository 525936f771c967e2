//! `wharf:service/events`: publishing.
//!
//! Nothing is decided here. What a guest hands over goes to the [`EventBus`](super::bus::EventBus) with the name of its
//! service and the request that it serves, and every refusal comes back as the interface's own error. The guest waits
//! until the events are on disk; when its request ends before, it is not told, and they may be published all the same.

use std::sync::Arc;

use bytes::Bytes;

use super::CapabilityView;
use super::bindings::events::wharf::service::events as wit;
use super::bus::{NewEvent, PublishError, Publisher, Receipt};

impl CapabilityView<'_> {
    /// In whose name something is published now.
    pub(super) fn publisher(&self) -> Publisher {
        match &self.ctx.request {
            Some(request) => request.caller().publisher(),
            None => Publisher {
                service: Arc::clone(&self.ctx.service.service),
                correlation: None,
                causation: None,
                depth: 0,
                trace: super::http::Trace::default(),
            },
        }
    }
}

impl wit::Host for CapabilityView<'_> {
    async fn publish(&mut self, events: Vec<wit::Event>) -> Result<Vec<wit::Receipt>, wit::Error> {
        let bus = self.ctx.service.bus().ok_or_else(|| wit::Error::Unavailable(NO_BUS.to_owned()))?;
        let receipts = bus.publish(&self.publisher(), events.into_iter().map(NewEvent::from).collect()).await?;
        Ok(receipts.into_iter().map(wit::Receipt::from).collect())
    }
}

/// What a guest is told where no events are kept.
pub(super) const NO_BUS: &str = "this host keeps no events";

impl From<wit::Event> for NewEvent {
    fn from(event: wit::Event) -> Self {
        let wit::Event { topic, id, type_, subject, key, time, datacontenttype, dataschema, extensions, data } = event;
        Self {
            topic,
            id,
            kind: type_,
            subject,
            key,
            time,
            content_type: datacontenttype,
            schema: dataschema,
            extensions,
            data: Bytes::from(data),
        }
    }
}

impl From<Receipt> for wit::Receipt {
    fn from(Receipt { id, offset, duplicate }: Receipt) -> Self {
        Self { id, offset, duplicate }
    }
}

impl From<PublishError> for wit::Error {
    fn from(error: PublishError) -> Self {
        let text = error.to_string();
        match error {
            PublishError::Denied(_) => Self::Denied(text),
            PublishError::Invalid(_) | PublishError::ChainTooLong(_) => Self::Invalid(text),
            PublishError::Full(_) | PublishError::TooFast(_) => Self::Full(text),
            PublishError::Unavailable(_) => Self::Unavailable(text),
        }
    }
}

#[cfg(test)]
mod tests;
