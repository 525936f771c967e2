//! Events and queues, as the host gives them, and as it calls a handler.

use std::time::Duration;

use super::bindings::publishing::wharf::service::{events, queues};
use super::bindings::subscribing::exports::wharf::service::event_handler;
use crate::{Delivery, Event, EventError, Events, Failure, Message, Receipt, Received};

pub(crate) fn publish(all: Vec<Event>) -> Result<Vec<Receipt>, EventError> {
    let all: Vec<_> = all.into_iter().map(to_wit).collect();
    let receipts = events::publish(&all).map_err(|error| match error {
        events::Error::Denied(why) => EventError::Denied(why),
        events::Error::Invalid(why) => EventError::Invalid(why),
        events::Error::Full(why) => EventError::Full(why),
        events::Error::Unavailable(why) => EventError::Unavailable(why),
    })?;
    let receipt = |events::Receipt { id, offset, duplicate }| Receipt { id, offset, duplicate };
    Ok(receipts.into_iter().map(receipt).collect())
}

pub(super) fn to_wit(event: Event) -> events::Event {
    let Event { topic, id, kind, subject, key, time, content_type, schema, extensions, data } = event;
    events::Event {
        topic,
        id,
        type_: kind,
        subject,
        key,
        time,
        datacontenttype: content_type,
        dataschema: schema,
        extensions,
        data,
    }
}

/// Has the service handle an event that the host calls it with.
pub fn handle(routes: &Events, event: event_handler::Delivery) -> Result<(), event_handler::Failure> {
    let event_handler::Delivery {
        subscription,
        offset,
        attempt,
        id,
        source,
        type_,
        topic,
        subject,
        key,
        time,
        datacontenttype,
        dataschema,
        extensions,
        data,
    } = event;
    let delivery = Delivery {
        subscription,
        offset,
        attempt,
        id,
        source,
        kind: type_,
        topic,
        subject,
        key,
        time,
        content_type: datacontenttype,
        schema: dataschema,
        extensions,
        data,
    };
    routes.handle(delivery).map_err(|failure| match failure {
        Failure::Retry(why) => event_handler::Failure::Retry(why),
        Failure::Reject(why) => event_handler::Failure::Reject(why),
    })
}

fn failure(error: queues::Error) -> EventError {
    match error {
        queues::Error::Denied(why) => EventError::Denied(why),
        queues::Error::Invalid(why) => EventError::Invalid(why),
        queues::Error::Expired => EventError::Expired,
        queues::Error::Full(why) => EventError::Full(why),
        queues::Error::Unavailable(why) => EventError::Unavailable(why),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn send(queue: &str, messages: Vec<Message>) -> Result<Vec<u64>, EventError> {
    let to_wit = |Message { body, content_type, delay, deduplication_id }| queues::Message {
        body,
        content_type,
        delay: millis(delay),
        deduplication_id,
    };
    let messages: Vec<_> = messages.into_iter().map(to_wit).collect();
    queues::send(queue, &messages).map_err(failure)
}

pub(crate) fn receive(
    queue: &str,
    max: u32,
    visibility: Option<Duration>,
    wait: Duration,
) -> Result<Vec<Received>, EventError> {
    let received = queues::receive(queue, max, visibility.map(millis), millis(wait)).map_err(failure)?;
    let from_wit = |queues::Received { id, receipt, body, content_type, attempt, sent }| Received {
        id,
        receipt,
        body,
        content_type,
        attempt,
        sent,
    };
    Ok(received.into_iter().map(from_wit).collect())
}

pub(crate) fn delete(queue: &str, receipt: &str) -> Result<(), EventError> {
    queues::delete(queue, receipt).map_err(failure)
}

pub(crate) fn extend(queue: &str, receipt: &str, visibility: Duration) -> Result<(), EventError> {
    queues::extend(queue, receipt, millis(visibility)).map_err(failure)
}
