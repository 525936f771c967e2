//! `wharf:service/event-handler`: calling a component with an event itself, instead of by HTTP.
//!
//! The one interface here that a component exports. Found once when it is loaded, called inside a slot like an HTTP
//! handler and under the same limits; here an event becomes what the WIT says, and the answer a [`Verdict`].
//!
//! `handle` is a synchronous function. A component of WASI 0.3 may export it (its compiler lifts it synchronously), but
//! nothing in it can wait for an asynchronous import: that traps. What a guest says of a failure is text for people, and
//! nobody's but the guest's: it is cut to [`MAX_FAILURE_BYTES`] and loses its control characters.

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Result, Store};

use super::bindings::event_handler::exports::wharf::service::event_handler as wit;
use super::bindings::event_handler::{Subscriber, SubscriberIndices};
use super::delivery::{Delivery, MAX_FAILURE_BYTES, Verdict};
use crate::state::Event;

/// Name and line of the interface, as a component's export begins.
pub const EVENT_HANDLER: &str = "wharf:service/event-handler@0.1.";

/// Where a component has its typed handler.
#[derive(Clone)]
pub struct EventHandler(SubscriberIndices);

impl EventHandler {
    /// Looks for it in a linked component.
    ///
    /// # Errors
    /// When there is none, or it has other types.
    pub fn find<T>(component: &InstancePre<T>) -> Result<Self> {
        SubscriberIndices::new(component).map(Self)
    }

    /// Has an instance of the component handle the event.
    ///
    /// # Errors
    /// When the guest traps or is stopped.
    pub async fn handle<T: Send>(
        &self,
        store: &mut Store<T>,
        instance: &Instance,
        delivery: &Delivery,
    ) -> Result<Verdict> {
        let subscriber: Subscriber = self.0.load(&mut *store, instance)?;
        let handled = subscriber.wharf_service_event_handler().call_handle(store, &told(delivery)).await?;
        Ok(match handled {
            Ok(()) => Verdict::Handled,
            Err(wit::Failure::Retry(why)) => Verdict::Retry(clean(&why)),
            Err(wit::Failure::Reject(why)) => Verdict::Reject(clean(&why)),
        })
    }
}

impl std::fmt::Debug for EventHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventHandler").finish_non_exhaustive()
    }
}

/// An event as a guest is told of it.
fn told(delivery: &Delivery) -> wit::Delivery {
    let Event { id, source, kind, topic, subject, key, time, content_type, schema, extensions, data } =
        &*delivery.event.event;
    wit::Delivery {
        subscription: delivery.subscription.to_string(),
        offset: delivery.event.offset.0,
        attempt: delivery.attempt,
        id: id.clone(),
        source: source.clone(),
        type_: kind.clone(),
        topic: topic.clone(),
        subject: subject.clone(),
        key: key.clone(),
        time: super::rfc3339(*time),
        datacontenttype: content_type.clone(),
        dataschema: schema.clone(),
        extensions: extensions.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        data: data.to_vec(),
    }
}

/// A guest's words, short and in one line.
fn clean(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_FAILURE_BYTES);
    text.get(..end).unwrap_or_default().replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_guest_are_short_and_in_one_line() {
        assert_eq!(clean("no\nsuch\x1b[31m user"), "no such [31m user");
        assert_eq!(clean(&"ä".repeat(2000)).len(), MAX_FAILURE_BYTES);
        assert_eq!(clean(&format!("x{}", "ä".repeat(2000))).len(), MAX_FAILURE_BYTES - 1);
    }
}
