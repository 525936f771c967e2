//! Queues (`wharf:service/queues`): each message goes to one receiver, who deletes it when it is done.
//!
//! ```
//! use std::time::Duration;
//! use wharf_sdk::{Error, Queue, Request, Response};
//!
//! fn work(_: Request) -> Result<Response, Error> {
//!     let mails = Queue::new("mails");
//!     mails.send("to: ann@example.org")?;
//!     for message in mails.receive(10, Duration::from_secs(5))? {
//!         println!("{}", String::from_utf8_lossy(&message.body));
//!         mails.delete(&message.receipt)?;
//!     }
//!     Ok(Response::empty(204))
//! }
//! ```

use std::time::Duration;

use crate::{EventError, platform};

/// A queue that the operator has granted (`grants: { queues: { send: [mails], receive: [mails] } }`).
#[derive(Clone, Debug)]
pub struct Queue {
    name: String,
}

/// A message to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The payload.
    pub body: Vec<u8>,
    /// Its media type.
    pub content_type: Option<String>,
    /// How long nobody can receive it.
    pub delay: Duration,
    /// A message with an id that was sent to the queue within the last five minutes is not sent again.
    pub deduplication_id: Option<String>,
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number in the queue.
    pub id: u64,
    /// Proves that this receiver has it.
    pub receipt: String,
    /// The payload.
    pub body: Vec<u8>,
    /// Its media type.
    pub content_type: Option<String>,
    /// 1 for the first time it was received.
    pub attempt: u32,
    /// When it was sent, RFC 3339.
    pub sent: String,
}

impl<B: Into<Vec<u8>>> From<B> for Message {
    fn from(body: B) -> Self {
        Self { body: body.into(), ..Self::default() }
    }
}

impl Queue {
    /// The queue of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }

    /// Sends a message and gives its number. When this answers, it is on disk.
    ///
    /// # Errors
    /// When it was not sent.
    pub fn send(&self, message: impl Into<Message>) -> Result<u64, EventError> {
        let id = self.send_all(vec![message.into()])?.pop();
        id.ok_or_else(|| EventError::Unavailable("the host gave no number".to_owned()))
    }

    /// Sends all of these or none.
    ///
    /// # Errors
    /// When none was sent.
    pub fn send_all(&self, messages: Vec<Message>) -> Result<Vec<u64>, EventError> {
        platform::send(&self.name, messages)
    }

    /// Up to `max` (1 to 100) messages that nobody else gets for as long as the queue's configuration says. Waits up to
    /// `wait` (at most 20 s) until there is one.
    ///
    /// # Errors
    /// When the queue is not granted or does not work.
    pub fn receive(&self, max: u32, wait: Duration) -> Result<Vec<Received>, EventError> {
        platform::receive(&self.name, max, None, wait)
    }

    /// The same for messages that nobody else gets for `visibility`.
    ///
    /// # Errors
    /// When the queue is not granted or does not work.
    pub fn receive_for(&self, max: u32, visibility: Duration, wait: Duration) -> Result<Vec<Received>, EventError> {
        platform::receive(&self.name, max, Some(visibility), wait)
    }

    /// The message is done.
    ///
    /// # Errors
    /// [`EventError::Expired`] when somebody else may have it.
    pub fn delete(&self, receipt: &str) -> Result<(), EventError> {
        platform::delete(&self.name, receipt)
    }

    /// Nobody else gets the message for so long from now; zero gives it back.
    ///
    /// # Errors
    /// [`EventError::Expired`] when somebody else may have it.
    pub fn extend(&self, receipt: &str, visibility: Duration) -> Result<(), EventError> {
        platform::extend(&self.name, receipt, visibility)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_receiver_until_it_is_given_back() {
        let queue = Queue::new("mails");
        let first = queue.send("a").unwrap();
        let message = Message { content_type: Some("text/plain".into()), ..Message::from("b") };
        assert_eq!(queue.send_all(vec![message, "c".into()]).unwrap(), [first + 1, first + 2]);
        let received = queue.receive(2, Duration::ZERO).unwrap();
        let bodies: Vec<_> = received.iter().map(|message| message.body.as_slice()).collect();
        assert_eq!(bodies, [b"a", b"b"]);
        assert_eq!(queue.receive(10, Duration::ZERO).unwrap().len(), 1);
        let [a, b] = received.as_slice() else { panic!("two were received") };
        queue.delete(&a.receipt).unwrap();
        assert_eq!(queue.delete(&a.receipt), Err(EventError::Expired));
        queue.extend(&b.receipt, Duration::ZERO).unwrap();
        let again = queue.receive_for(10, Duration::from_secs(1), Duration::ZERO).unwrap();
        assert_eq!(again.iter().map(|message| (message.id, message.attempt)).collect::<Vec<_>>(), [(b.id, 2)]);
        assert!(Queue::new("other").receive(1, Duration::ZERO).unwrap().is_empty());
    }
}
