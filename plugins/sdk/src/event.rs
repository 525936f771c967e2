//! Publishing events (`wharf:service/events`).
//!
//! ```
//! use wharf_sdk::{Error, Event, Request, Response};
//!
//! fn order(_: Request) -> Result<Response, Error> {
//!     let event = Event::json("order.created", &serde_json::json!({ "id": 7 }))?.key("7");
//!     event.publish()?;
//!     Ok(Response::empty(202))
//! }
//! ```
//!
//! The operator has to grant the topic (`grants: { publish: [order.created] }` in the service's file). When `publish`
//! answers, the event is on disk; who subscribes gets it at least once. Correlation, causation and trace are set by the
//! host from the request, or the event, that is being handled.

use serde::Serialize;

use crate::{Error, platform};

/// An event to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub(crate) topic: String,
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) extensions: Vec<(String, String)>,
    pub(crate) data: Vec<u8>,
}

/// What became of a published event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: String,
    /// Its place in the log.
    pub offset: u64,
    /// It had been published before and was not published again.
    pub duplicate: bool,
}

/// Why nothing was published, or a queue did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The operator has not granted the topic or the queue.
    #[error("not granted: {0}")]
    Denied(String),
    /// An attribute is not valid, or something is too large. Trying again does not help.
    #[error("not valid: {0}")]
    Invalid(String),
    /// The receipt of a message is no longer valid: somebody else may have it.
    #[error("the receipt is no longer valid")]
    Expired,
    /// There is no room, or the service publishes too fast. Try again later.
    #[error("no room: {0}")]
    Full(String),
    /// The host cannot at the moment. It may have, all the same; an event with an id is safe to publish again.
    #[error("not available: {0}")]
    Unavailable(String),
}

impl Event {
    /// An event without data. The topic is words with dots between them, `order.created`.
    pub fn new(topic: impl Into<String>) -> Self {
        Self { topic: topic.into(), ..Self::default() }
    }

    /// An event with a value as JSON.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn json<T: Serialize + ?Sized>(topic: impl Into<String>, value: &T) -> Result<Self, Error> {
        Ok(Self::new(topic).data("application/json", serde_json::to_vec(value)?))
    }

    /// The same with these bytes.
    #[must_use]
    pub fn data(mut self, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.content_type = Some(content_type.to_owned());
        self.data = bytes.into();
        self
    }

    /// The same with an id. One that this service published within a day is not published again, so an id that is made
    /// from what happened (`order-7-paid`) makes publishing safe to repeat.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same with a type that is not the topic.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// The same with what it is about.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The same with a key. Events of one topic and key are delivered in the order in which they were published.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same with the time when it happened, RFC 3339.
    #[must_use]
    pub fn time(mut self, time: impl Into<String>) -> Self {
        self.time = Some(time.into());
        self
    }

    /// The same with the address of its data's schema.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// The same with one more attribute: a name of 1 to 20 lower-case letters and digits.
    #[must_use]
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extensions.push((name.into(), value.into()));
        self
    }

    /// Publishes it. When this answers, it is on disk.
    ///
    /// # Errors
    /// When it was not published.
    pub fn publish(self) -> Result<Receipt, EventError> {
        let receipt = publish_all(vec![self])?.pop();
        receipt.ok_or_else(|| EventError::Unavailable("the host gave no receipt".to_owned()))
    }
}

/// Publishes all of these or none, in this order, and gives a receipt for each.
///
/// # Errors
/// When none was published.
pub fn publish_all(events: Vec<Event>) -> Result<Vec<Receipt>, EventError> {
    platform::publish(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::published;

    #[test]
    fn a_test_sees_what_was_published() {
        let event = Event::json("order.created", &[1]).unwrap().id("a").kind("k").subject("s").key("7");
        let event = event.time("2026-03-01T10:00:00Z").schema("https://example.org").extension("tenant", "blue");
        let receipt = event.clone().publish().unwrap();
        assert_eq!(receipt, Receipt { id: "a".into(), offset: 1, duplicate: false });
        assert!(event.clone().publish().unwrap().duplicate);
        let receipts = publish_all(vec![Event::new("a"), Event::new("b")]).unwrap();
        assert_eq!(receipts.iter().map(|receipt| receipt.offset).collect::<Vec<_>>(), [2, 3]);
        let seen = published();
        assert_eq!(seen.len(), 3);
        assert_eq!(seen.first(), Some(&event));
        assert_eq!(published(), [], "each is seen once");
    }
}
