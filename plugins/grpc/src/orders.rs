//! `wharf.shop.v1.Orders`
//!
//! Who watches an order sees each thing that happened to it once, in order: they are numbered, and the service tells
//! all of them. It is asked again and again, more and more seldom.

use std::time::Duration;

use serde::Deserialize;

use crate::deadline::{Deadline, pause};
use crate::partner::{Page, Partners, check_id};
use crate::pb::shop::{GetOrderRequest, Money, Order, OrderItem, OrderState, OrderStatus, WatchOrderRequest};
use crate::rpc::{Out, Stream};
use crate::status::{Code, Status};

const ORDERS: &str = "orders";

/// The first wait and the longest; each is half as long again as the one before it.
const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(2);

/// What the service says of an order, as far as it is shown.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    id: String,
    user_id: String,
    status: String,
    items: Vec<Item>,
    currency: String,
    total: i64,
    tracking_number: Option<String>,
    reason: Option<String>,
    created_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    product_id: String,
    quantity: u32,
    unit_price: i64,
}

/// Something that happened to an order.
#[derive(Deserialize)]
struct Happened {
    version: u64,
    event: String,
    at: String,
    data: Details,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    tracking_number: Option<String>,
    reason: Option<String>,
}

pub(crate) fn get(request: GetOrderRequest, partners: &Partners) -> Result<Order, Status> {
    partners.check_known()?;
    check_id(&request.id)?;
    let known: Known = partners.get(ORDERS, &format!("/{}", request.id))?;
    let money = |amount| Some(Money { amount, currency: known.currency.clone() });
    let item = |item: Item| OrderItem {
        product_id: item.product_id,
        quantity: item.quantity,
        unit_price: money(item.unit_price),
    };
    Ok(Order {
        id: known.id,
        user_id: known.user_id,
        status: status(&known.status).into(),
        total: money(known.total),
        items: known.items.into_iter().map(item).collect(),
        tracking_number: known.tracking_number.unwrap_or_default(),
        reason: known.reason.unwrap_or_default(),
        created_at: known.created_at,
    })
}

pub(crate) fn watch(request: WatchOrderRequest, partners: Partners) -> Result<Stream, Status> {
    partners.check_known()?;
    check_id(&request.id)?;
    let path = format!("/{}/history", request.id);
    let deadline = partners.deadline;
    let history = move || partners.get::<Page<Happened>>(ORDERS, &path).map(|page| page.items);
    // Before the first message: who asks for an order that is not there is told at once.
    let mut events = history()?;
    Ok(Box::new(move |out: &mut Out| {
        let (mut seen, mut wait) = (0, SHORT);
        loop {
            for event in events {
                if event.version <= seen {
                    continue;
                }
                seen = event.version;
                let state = state(event);
                out.send(&state)?;
                if matches!(state.status(), OrderStatus::Delivered | OrderStatus::Cancelled) {
                    return Ok(());
                }
                wait = SHORT;
            }
            pause(wait.min(deadline.left()?));
            wait = LONG.min(wait.saturating_mul(3) / 2);
            events = again(&history, deadline)?;
        }
    }))
}

/// A service that is busy for a moment ends nobody's watch: the next look is soon.
fn again<T>(history: impl Fn() -> Result<T, Status>, deadline: Deadline) -> Result<T, Status> {
    for _ in 0..3 {
        match history() {
            Err(status) if matches!(status.code, Code::Unavailable | Code::ResourceExhausted) => {
                pause(LONG.min(deadline.left()?));
            }
            other => return other,
        }
    }
    history()
}

fn state(event: Happened) -> OrderState {
    let Happened { version, event, at, data: Details { tracking_number, reason } } = event;
    let status = if event == "created" { OrderStatus::Pending } else { status(&event) };
    OrderState {
        version,
        status: status.into(),
        at,
        tracking_number: tracking_number.unwrap_or_default(),
        reason: reason.unwrap_or_default(),
    }
}

fn status(name: &str) -> OrderStatus {
    match name {
        "pending" => OrderStatus::Pending,
        "confirmed" => OrderStatus::Confirmed,
        "shipped" => OrderStatus::Shipped,
        "delivered" => OrderStatus::Delivered,
        "cancelled" => OrderStatus::Cancelled,
        _ => OrderStatus::Unspecified,
    }
}
