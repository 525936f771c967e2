//! Counts the uses of coupons: an order that is made with one uses it, one that is cancelled does not any more.
//!
//! A quote uses nothing, it may be asked for as often as one likes. So two orders in the same moment may both get the last
//! use of a coupon: it is counted when the order is there, not reserved before.

use std::time::SystemTime;

use serde::Deserialize;
use shop::is_id;
use wharf_sdk::{Delivery, Events, Failure, on};

use crate::{input, rules};

pub(crate) static EVENTS: Events =
    Events::new(&[on("order.created", |event| used(&event, false)), on("order.cancelled", |event| used(&event, true))]);

#[derive(Deserialize)]
struct Told {
    order: Order,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Order {
    id: String,
    #[serde(default)]
    user_id: String,
    coupon: Option<String>,
}

fn used(event: &Delivery, cancelled: bool) -> Result<(), Failure> {
    let Told { order } = event.json()?;
    let Some(coupon) = order.coupon else { return Ok(()) };
    let code = input::code(&coupon).ok_or_else(|| Failure::reject("the order's coupon is none"))?;
    if !is_id(&order.id) {
        return Err(Failure::reject("the order's id is no id"));
    }
    Ok(rules::used(&order.id, &code, &order.user_id, cancelled, SystemTime::now())?)
}
