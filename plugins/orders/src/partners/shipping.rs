//! `shipping`: sends it. A shipment is known by the order's id.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_sdk::Error;

use super::{post, read, refused, unexpected};
use crate::order::{Address, Draft};

const STEP: &str = "shipping";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Parcel<'a> {
    order_id: &'a str,
    user_id: &'a str,
    address: &'a Address,
    items: Vec<Content<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    product_id: &'a str,
    quantity: i64,
}

/// Its answer, `shipping.scheduled` and `shipping.delivered`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shipment {
    pub(crate) order_id: String,
    pub(crate) tracking_number: String,
}

/// Says the tracking number.
pub(crate) fn schedule(order: &Draft) -> Result<String, Error> {
    let Draft { id: order_id, user_id, shipping_address: address, .. } = order;
    let items = order.items.iter();
    let items = items.map(|item| Content { product_id: &item.product_id, quantity: item.quantity }).collect();
    let parcel = Parcel { order_id, user_id, address, items };
    let answer = post(STEP, "http://shipping.internal/", &parcel, Duration::from_secs(5))?;
    match answer.status() {
        200 | 201 => Ok(read::<Shipment>(STEP, answer)?.tracking_number),
        409 | 422 => Err(refused(STEP, answer)),
        _ => Err(unexpected(STEP, &answer)),
    }
}
