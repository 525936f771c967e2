//! `inventory`: is it there? Reserves all of an order or nothing; a reservation is known by the order's id.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_sdk::{Call, Error};

use super::{ask, post, refused, unexpected};
use crate::order::Draft;

const STEP: &str = "stock";
const WITHIN: Duration = Duration::from_secs(5);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reservation<'a> {
    order_id: &'a str,
    items: Vec<Reserved<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reserved<'a> {
    product_id: &'a str,
    quantity: i64,
}

pub(crate) fn reserve(order: &Draft) -> Result<(), Error> {
    let items = order.items.iter();
    let items = items.map(|item| Reserved { product_id: &item.product_id, quantity: item.quantity }).collect();
    let reservation = Reservation { order_id: &order.id, items };
    let answer = post(STEP, "http://inventory.internal/reservations", &reservation, WITHIN)?;
    match answer.status() {
        200 | 201 => Ok(()),
        409 | 422 => Err(refused(STEP, answer)),
        _ => Err(unexpected(STEP, &answer)),
    }
}

/// Gives back what is reserved. What was never reserved, or has been committed meanwhile, is as well: that the order is
/// cancelled is told by an event, too, which also returns what was committed.
pub(crate) fn release(order_id: &str) -> Result<(), Error> {
    let url = format!("http://inventory.internal/reservations/{order_id}/release");
    let answer = ask(STEP, Call::post(url), WITHIN)?;
    match answer.status() {
        200 | 201 | 204 | 404 | 409 => Ok(()),
        _ => Err(unexpected(STEP, &answer)),
    }
}

/// `inventory.rejected`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rejected {
    pub(crate) order_id: String,
    reason: String,
    #[serde(default)]
    missing: Vec<Missing>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Missing {
    product_id: String,
    requested: i64,
    available: i64,
}

impl Rejected {
    /// As the customer reads it.
    pub(crate) fn reason(&self) -> String {
        let Some(Missing { product_id, requested, available }) = self.missing.first() else {
            return format!("{STEP}: {}", self.reason);
        };
        let others = self.missing.len().saturating_sub(1);
        let more = if others == 0 { String::new() } else { format!(" and {others} more") };
        format!("{STEP}: {requested} of {product_id} are wanted, {available} available{more}")
    }
}
