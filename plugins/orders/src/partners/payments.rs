//! `payments`: takes the money, and gives it back. A payment is known by the order's id: taking it twice takes it once.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_sdk::{Call, Error};

use super::{ask, post, read, refused, unexpected};
use crate::order::Draft;

const STEP: &str = "payment";
/// The provider is outside and may be slow: as long as `payments` itself may take.
const WITHIN: Duration = Duration::from_secs(15);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Charge<'a> {
    order_id: &'a str,
    user_id: &'a str,
    amount: i64,
    currency: &'a str,
    card: &'a str,
}

#[derive(Deserialize)]
struct Payment {
    id: String,
}

/// Says the id of the payment.
pub(crate) fn charge(order: &Draft) -> Result<String, Error> {
    let Draft { id: order_id, user_id, total: amount, currency, card, .. } = order;
    let charge = Charge { order_id, user_id, amount: *amount, currency, card };
    let answer = post(STEP, "http://payments.internal/", &charge, WITHIN)?;
    match answer.status() {
        200 | 201 => Ok(read::<Payment>(STEP, answer)?.id),
        402 | 409 | 422 => Err(refused(STEP, answer)),
        _ => Err(unexpected(STEP, &answer)),
    }
}

/// Gives back what was taken. Nothing to give back is as well.
pub(crate) fn refund(order_id: &str) -> Result<(), Error> {
    let answer = ask(STEP, Call::post(format!("http://payments.internal/{order_id}/refund")), WITHIN)?;
    match answer.status() {
        200 | 201 | 202 | 204 | 404 | 409 => Ok(()),
        _ => Err(unexpected(STEP, &answer)),
    }
}

/// `payment.completed`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Completed {
    pub(crate) order_id: String,
    pub(crate) payment_id: String,
}

/// `payment.failed`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Failed {
    pub(crate) order_id: String,
    pub(crate) reason: String,
}
