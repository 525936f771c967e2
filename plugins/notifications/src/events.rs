//! What users are told of, and what is read of the events of other services.

use serde::Deserialize;
use wharf_sdk::{Delivery, Events, Failure, log, on};

use crate::messages;
use crate::template::{Facts, Kind};

pub(crate) static EVENTS: Events = Events::new(&[
    on("user.registered", registered),
    on("order.confirmed", |event| order(event, Kind::Confirmed)),
    on("order.cancelled", |event| order(event, Kind::Cancelled)),
    on("shipping.scheduled", |event| shipment(event, Kind::Scheduled)),
    on("shipping.delivered", |event| shipment(event, Kind::Delivered)),
]);

/// `users`
#[derive(Deserialize)]
struct User {
    id: String,
    username: String,
    name: Option<String>,
}

/// `orders`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderTold {
    order_id: String,
    reason: Option<String>,
    order: Order,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    user_id: String,
    total: i64,
    currency: String,
}

/// `shipping`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shipment {
    order_id: String,
    user_id: Option<String>,
    tracking_number: Option<String>,
}

fn registered(event: Delivery) -> Result<(), Failure> {
    let User { id, username, name } = event.json()?;
    let name = name.filter(|name| !name.is_empty()).unwrap_or(username);
    write(&id, Kind::Registered, Facts { name: Some(name), ..Facts::default() })
}

fn order(event: Delivery, kind: Kind) -> Result<(), Failure> {
    let OrderTold { order_id, reason, order } = event.json()?;
    let Order { user_id, total, currency } = order;
    let (order_id, total, currency) = (Some(order_id), Some(total), Some(currency));
    write(&user_id, kind, Facts { order_id, reason, total, currency, ..Facts::default() })
}

fn shipment(event: Delivery, kind: Kind) -> Result<(), Failure> {
    let Shipment { order_id, user_id, tracking_number } = event.json()?;
    let Some(user_id) = user_id else {
        log::info(format_args!("nobody is told of {}: whose order {order_id} is, is not known", kind.name()));
        return Ok(());
    };
    write(&user_id, kind, Facts { order_id: Some(order_id), tracking_number, ..Facts::default() })
}

/// What has not all that its text needs never will.
fn write(user: &str, kind: Kind, facts: Facts) -> Result<(), Failure> {
    match messages::write(user, kind, &facts) {
        Ok(_) => Ok(()),
        Err(error) if error.status() == 422 => Err(Failure::reject(error)),
        Err(error) => Err(Failure::retry(error)),
    }
}
