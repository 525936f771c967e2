//! For tests: an event that was published, as it is delivered.

use crate::{Delivery, Event};

/// As the host would deliver it the first time, by a subscription without a name; what a test has not said is empty.
impl From<Event> for Delivery {
    fn from(event: Event) -> Self {
        let Event { topic, id, kind, subject, key, time, content_type, schema, extensions, data } = event;
        Self {
            subscription: String::new(),
            offset: 0,
            attempt: 1,
            id: id.unwrap_or_default(),
            source: String::new(),
            kind: kind.unwrap_or_else(|| topic.clone()),
            topic,
            subject,
            key,
            time: time.unwrap_or_default(),
            content_type,
            schema,
            extensions,
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_can_be_delivered() {
        let event = Event::json("order.created", &[7]).unwrap().id("a").key("k").extension("tenant", "blue");
        let delivery = Delivery::from(event);
        assert_eq!((delivery.topic.as_str(), delivery.kind.as_str()), ("order.created", "order.created"));
        assert_eq!((delivery.id.as_str(), delivery.key.as_deref(), delivery.attempt), ("a", Some("k"), 1));
        assert_eq!(delivery.json::<Vec<u8>>().unwrap(), [7]);
        assert_eq!(delivery.extension("tenant"), Some("blue"));
    }
}
