//! What is read of the events of `users`, `orders` and `payments`, and into which rows.
//!
//! Rows are known by what they are about (the user, the order, the payment of an order), and of an order the newest
//! version counts. So events may come in any order and any number of times, and a replay from the beginning ends with
//! the same rows.

use serde::Deserialize;
use wharf_sdk::sql::{self, SqlError, Transaction};
use wharf_sdk::{Delivery, Events, Failure, on, params};

pub(crate) static EVENTS: Events = Events::new(&[
    on("user.registered", |event| user(&event, false)),
    on("user.deleted", |event| user(&event, true)),
    on("order.created", |event| order(&event, "pending")),
    on("order.confirmed", |event| order(&event, "confirmed")),
    on("order.cancelled", |event| order(&event, "cancelled")),
    on("order.shipped", |event| order(&event, "shipped")),
    on("order.delivered", |event| order(&event, "delivered")),
    on("payment.completed", |event| payment(&event, "captured")),
    on("payment.refunded", |event| payment(&event, "refunded")),
    on("payment.failed", |event| payment(&event, "failed")),
    // The subscription selects what is new on these topics, too. It counts for nothing until a version knows it.
    on("user.*", |_| Ok(())),
    on("order.*", |_| Ok(())),
    on("payment.*", |_| Ok(())),
]);

/// `users`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct User {
    id: String,
    created_at: Option<String>,
}

/// `orders`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OrderTold {
    order_id: String,
    version: i64,
    created_at: String,
    order: Order,
}

#[derive(Deserialize)]
struct Order {
    currency: String,
    total: i64,
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    product_id: String,
    quantity: i64,
}

/// `payments`. A charge that failed has moved nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    order_id: String,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    currency: String,
}

fn user(event: &Delivery, deleted: bool) -> Result<(), Failure> {
    let User { id, created_at } = event.json()?;
    let registered = if deleted { None } else { Some(day(created_at.as_deref().unwrap_or(&event.time))?) };
    let write = "INSERT INTO users (id, registered_on, deleted) VALUES (?1, ?2, ?3)
        ON CONFLICT (id) DO UPDATE SET registered_on = coalesce(excluded.registered_on, registered_on),
            deleted = max(deleted, excluded.deleted)";
    sql::execute(write, params![id, registered, deleted])?;
    Ok(())
}

fn order(event: &Delivery, status: &str) -> Result<(), Failure> {
    let told: OrderTold = event.json()?;
    let created_on = day(&told.created_at)?;
    Ok(sql::transaction(|tx| write_order(tx, &told, status, created_on))?)
}

fn write_order(tx: &Transaction, told: &OrderTold, status: &str, created_on: &str) -> Result<(), SqlError> {
    let OrderTold { order_id, version, order, .. } = told;
    let write = "INSERT INTO orders (id, version, status, created_on, currency, total) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
        ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status
            WHERE excluded.version > version";
    tx.execute(write, params![order_id, *version, status, created_on, &order.currency, order.total])?;
    for Item { product_id, quantity } in &order.items {
        let write = "INSERT INTO order_items VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        tx.execute(write, params![order_id, product_id, *quantity])?;
    }
    Ok(())
}

fn payment(event: &Delivery, kind: &str) -> Result<(), Failure> {
    let Payment { order_id, amount, currency } = event.json()?;
    let day = day(&event.time)?;
    if kind != "failed" && currency.is_empty() {
        return Err(Failure::reject("the data: it has no currency"));
    }
    let write = "INSERT INTO payments VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    sql::execute(write, params![order_id, kind, day, currency, amount])?;
    Ok(())
}

/// The day of a time of RFC 3339 in UTC, as all of the shop are.
fn day(time: &str) -> Result<&str, Failure> {
    let day = time.split_once('T').map(|(day, _)| day);
    day.filter(|day| is_day(day)).ok_or_else(|| Failure::reject(format_args!("`{time}` is no time")))
}

/// Whether it is written like `2026-01-31`.
pub(crate) fn is_day(text: &str) -> bool {
    let digits = |part: Option<&str>, length: usize| {
        part.is_some_and(|part| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut parts = text.split('-');
    digits(parts.next(), 4) && digits(parts.next(), 2) && digits(parts.next(), 2) && parts.next().is_none()
}
