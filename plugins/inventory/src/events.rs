//! The part of the stock in the saga of an order. Each event may come any number of times and in any order: a step that
//! was taken does nothing ([`crate::reservation`]).
//!
//! ```text
//! order.created    reserves, if the order is a saga    → inventory.reserved | inventory.rejected
//! order.confirmed  what is reserved has left
//! order.cancelled  gives back what the order holds; a later order.created of it is rejected
//! ```
//!
//! The order itself goes through as it came, so that nobody after this has to ask for it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shop::is_id;
use wharf_sdk::sql::{self, Transaction};
use wharf_sdk::{Delivery, Error, Event, Events, Failure, log, on};

use crate::input;
use crate::reservation::{self, Item, Missing, Outcome, Status};

pub(crate) static EVENTS: Events =
    Events::new(&[on("order.created", created), on("order.confirmed", confirmed), on("order.cancelled", cancelled)]);

/// The data of an event of `orders`.
#[derive(Deserialize)]
struct Told {
    order: Value,
}

/// What the stock has to know of an order.
#[derive(Deserialize)]
struct Order {
    id: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    items: Vec<Line>,
}

/// As orders have it, with a price and whatever else comes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    product_id: String,
    quantity: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reserved<'a> {
    order_id: &'a str,
    order: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rejected<'a> {
    order_id: &'a str,
    reason: &'static str,
    missing: &'a [Missing],
    order: &'a Value,
}

/// An order, and its JSON as it came. What cannot be read will never be.
fn read(event: &Delivery) -> Result<(Order, Value), Failure> {
    let Told { order: json } = event.json()?;
    let order = Order::deserialize(&json).map_err(|error| Failure::reject(format_args!("the order: {error}")))?;
    if is_id(&order.id) { Ok((order, json)) } else { Err(Failure::reject("the order's id is no id")) }
}

fn created(event: Delivery) -> Result<(), Failure> {
    let (Order { id, mode, items }, json) = read(&event)?;
    if mode != "saga" {
        // Who makes it asks for its reservation by call.
        return Ok(());
    }
    let items: Vec<_> =
        items.into_iter().map(|line| Item { product_id: line.product_id, quantity: line.quantity }).collect();
    let items = input::quantities(&items).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.detail)).collect();
        Failure::reject(format_args!("the order: {}", errors.join("; ")))
    })?;
    let now = SystemTime::now();
    done(sql::transaction(|tx| match reservation::reserve(tx, &id, &items, now)? {
        Outcome::Reserved(_) => tell(tx, &id, "reserved", &Reserved { order_id: &id, order: &json }),
        Outcome::Short(missing) => {
            reservation::reject(tx, &id, now)?;
            reject(tx, &id, "out of stock", &missing, &json)
        }
        Outcome::Refused(there) if there.status == Status::Cancelled => reject(tx, &id, "order cancelled", &[], &json),
        // It was told what became of it.
        Outcome::Known(_) | Outcome::Refused(_) => Ok(()),
    }))
}

fn confirmed(event: Delivery) -> Result<(), Failure> {
    let (Order { id, .. }, _) = read(&event)?;
    match sql::transaction(|tx| reservation::commit(tx, &id, SystemTime::now()))? {
        Some(there) if there.status == Status::Committed => Ok(()),
        Some(there) => {
            // Cancelled meanwhile, and that came first.
            log::warn(format_args!("order {id} is confirmed, and holds nothing: {:?}", there.status));
            Ok(())
        }
        None => Err(Failure::retry("nothing is reserved for the order yet")),
    }
}

fn cancelled(event: Delivery) -> Result<(), Failure> {
    let (Order { id, .. }, _) = read(&event)?;
    Ok(sql::transaction(|tx| reservation::cancel(tx, &id, SystemTime::now()))?)
}

fn reject(tx: &Transaction, id: &str, reason: &'static str, missing: &[Missing], order: &Value) -> Result<(), Error> {
    tell(tx, id, "rejected", &Rejected { order_id: id, reason, missing, order })
}

fn tell<T: Serialize>(tx: &Transaction, order: &str, what: &str, data: &T) -> Result<(), Error> {
    let event = Event::json(format!("inventory.{what}"), data)?.id(format!("inventory-{order}-{what}"));
    tx.publish(vec![event.key(order).subject(order)])?;
    Ok(())
}

/// An error of the database may not come again.
fn done(outcome: Result<(), Error>) -> Result<(), Failure> {
    outcome.map_err(Failure::retry)
}
