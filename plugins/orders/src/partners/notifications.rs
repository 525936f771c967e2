//! `notifications`: tells the customer. A message is known by its kind and order: the event of the same kind makes no
//! second one.

use std::time::Duration;

use serde::Serialize;
use wharf_sdk::Error;

use super::{post, unexpected};
use crate::order::Draft;

const STEP: &str = "notification";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    user_id: &'a str,
    kind: &'static str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    order_id: &'a str,
    total: i64,
    currency: &'a str,
}

pub(crate) fn confirmed(order: &Draft) -> Result<(), Error> {
    let data = Data { order_id: &order.id, total: order.total, currency: &order.currency };
    let message = Message { user_id: &order.user_id, kind: "order.confirmed", data };
    let answer = post(STEP, "http://notifications.internal/", &message, Duration::from_secs(3))?;
    match answer.status() {
        200 | 201 => Ok(()),
        _ => Err(unexpected(STEP, &answer)),
    }
}
