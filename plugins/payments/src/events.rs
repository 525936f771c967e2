//! The part of the money in the saga of an order. Each event may come any number of times and in any order.
//!
//! ```text
//! inventory.reserved  charges the card of the order    → payment.completed | payment.failed
//! order.cancelled     gives back what was taken        → payment.refunded
//! payments.sweep      gives back what was left behind by somebody who was cut off
//! ```

use serde::Deserialize;
use serde_json::Value;
use shop::is_id;
use wharf_sdk::{Delivery, Events, Failure, on};

use crate::input::Ask;
use crate::process::{self, Stop};
use crate::store::{self, Status};

pub(crate) static EVENTS: Events = Events::new(&[
    on("inventory.reserved", reserved),
    on("order.cancelled", cancelled),
    on("payments.sweep", |_| process::sweep().map_err(failure)),
]);

/// The data of an event with an order in it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    order_id: String,
    order: Value,
}

/// What has to be known of an order to pay for it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    id: String,
    user_id: Option<String>,
    total: i64,
    currency: String,
    card: String,
}

fn reserved(event: Delivery) -> Result<(), Failure> {
    let told: Told = event.json()?;
    let order = Order::deserialize(&told.order).map_err(|error| Failure::reject(format_args!("the order: {error}")))?;
    if order.id != told.order_id {
        return Err(Failure::reject("the order has another id than the event says"));
    }
    let Order { id: order_id, user_id, total: amount, currency, card } = order;
    let ask = Ask { order_id, amount, currency, card, user_id };
    if let Some(wrong) = ask.check().into_fields().first() {
        return Err(Failure::reject(format_args!("the order: {} {}", wrong.field, wrong.detail)));
    }
    let payment = process::pay(&ask, Some(&told.order)).map_err(failure)?;
    match payment.status {
        // Told when it happened.
        Status::Captured | Status::Failed => Ok(()),
        Status::Pending | Status::Refunding | Status::Refunded | Status::Cancelled => {
            let event = store::failed(&ask.order_id, "order cancelled", Some(&told.order)).map_err(Failure::retry)?;
            event.publish()?;
            Ok(())
        }
    }
}

fn cancelled(event: Delivery) -> Result<(), Failure> {
    let Told { order_id, order } = event.json()?;
    if !is_id(&order_id) {
        return Err(Failure::reject("the order's id is no id"));
    }
    process::cancel(&order_id, Some(&order)).map_err(failure)?;
    Ok(())
}

fn failure(stop: Stop) -> Failure {
    match stop {
        Stop::Different => Failure::reject("the order has a payment of another amount, currency or card"),
        Stop::Unavailable(why) => Failure::retry(why),
        Stop::Internal(error) => Failure::retry(error),
    }
}
