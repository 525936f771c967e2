//! What other services are told of an order: `order.created`, `order.confirmed`, `order.cancelled`, `order.shipped` and
//! `order.delivered`, in the transaction in which it happens.
//!
//! Every event has the whole order with it, and its version, by which a reader who gets them in another order knows the
//! newest. Ids are made of order and version, so an event is known however often it is published.

use serde::Serialize;
use wharf_sdk::es::Loaded;
use wharf_sdk::{Error, Event};

use crate::order::{Draft, Happened, Order};

/// The data of every event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    order_id: &'a str,
    version: u64,
    created_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    order: &'a Draft,
}

/// What is told of the events that led to this state.
pub(crate) fn all(order: &Loaded<Order>, happened: &[Happened]) -> Result<Vec<Event>, Error> {
    let before = order.version.saturating_sub(happened.len() as u64);
    let numbered = (before.saturating_add(1)..).zip(happened);
    let paid = order.state.payment_id.as_deref();
    numbered.map(|(version, event)| told(&order.state, topic(event), version, &version.to_string(), paid)).collect()
}

/// That it is cancelled, once more: for who took money after that.
pub(crate) fn cancelled_again(order: &Loaded<Order>, payment_id: &str) -> Result<Event, Error> {
    told(&order.state, "order.cancelled", order.version, &format!("cancelled-{payment_id}"), Some(payment_id))
}

fn topic(event: &Happened) -> &'static str {
    match event {
        Happened::Created { .. } => "order.created",
        Happened::Confirmed { .. } => "order.confirmed",
        Happened::Cancelled { .. } => "order.cancelled",
        Happened::Shipped { .. } => "order.shipped",
        Happened::Delivered => "order.delivered",
    }
}

fn told(order: &Order, topic: &str, version: u64, name: &str, payment_id: Option<&str>) -> Result<Event, Error> {
    let id = &order.draft.id;
    let told = Told {
        order_id: id,
        version,
        created_at: &order.created_at,
        payment_id,
        tracking_number: order.tracking.as_deref(),
        reason: order.reason.as_deref(),
        order: &order.draft,
    };
    Ok(Event::json(topic, &told)?.id(format!("order-{id}-{name}")).key(id.as_str()).subject(id.as_str()))
}
