//! What orders hold of the stock.
//!
//! ```text
//!            reserve                commit
//!   (none) ───────────▶ reserved ───────────▶ committed
//!     │ │                  │                      │
//!     │ │ too little       ├──── release ─────────┤
//!     │ ▼ (saga)           ▼                      ▼
//!     │ rejected        released ◀────────────────┘
//!     │    │               │
//!     └────┴── cancel ─────┴──▶ cancelled      (cancel also from reserved and committed)
//! ```
//!
//! Reserving moves from available to reserved, committing from reserved to committed; releasing and cancelling give back
//! what the order holds, wherever it is. Each step is one transaction and a step that was taken before does nothing, so
//! all of them can come any number of times. `cancelled` is for good and needs no reservation before: a reservation that
//! comes after it, because its event was late, is refused. A refused reservation by call leaves nothing behind, so it can
//! be tried again; by event it is `rejected`, because the order was told so.
//!
//! Nothing here can make a number negative: the tables refuse it, and with it the whole transaction.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use shop::rfc3339;
use wharf_sdk::params;
use wharf_sdk::sql::{self, SqlError, Transaction};

/// What there is too little of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Missing {
    pub(crate) product_id: String,
    pub(crate) requested: i64,
    pub(crate) available: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Reserved,
    Committed,
    Released,
    Rejected,
    Cancelled,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reservation {
    pub(crate) order_id: String,
    pub(crate) status: Status,
    pub(crate) items: Vec<Item>,
    pub(crate) created_at: String,
    pub(crate) updated_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) product_id: String,
    pub(crate) quantity: i64,
}

/// What became of a wish to reserve.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reserved(Reservation),
    /// It was there before, with the same items.
    Known(Reservation),
    Short(Vec<Missing>),
    /// The order's reservation has ended, or has other items.
    Refused(Reservation),
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    fn read(text: &str) -> Result<Self, SqlError> {
        let all = [Self::Reserved, Self::Committed, Self::Released, Self::Rejected, Self::Cancelled];
        let found = all.into_iter().find(|status| status.text() == text);
        found.ok_or_else(|| SqlError::Column(format!("no reservation has the status `{text}`")))
    }
}

/// A reservation with its items, one a row; one row without an item if it has none.
const READ: &str = "SELECT r.status, r.created_at, r.updated_at, i.product_id, i.quantity FROM reservations AS r \
    LEFT JOIN reservation_items AS i USING (order_id) WHERE order_id = ?1 ORDER BY i.product_id";

type Joined = (String, String, String, Option<String>, Option<i64>);

pub(crate) fn get(order: &str) -> Result<Option<Reservation>, SqlError> {
    made_of(order, sql::all(READ, params![order])?)
}

pub(crate) fn read(tx: &Transaction, order: &str) -> Result<Option<Reservation>, SqlError> {
    made_of(order, tx.all(READ, params![order])?)
}

fn made_of(order: &str, rows: Vec<Joined>) -> Result<Option<Reservation>, SqlError> {
    let Some((status, created_at, updated_at, ..)) = rows.first().cloned() else { return Ok(None) };
    let status = Status::read(&status)?;
    let item = |(.., product, quantity): Joined| Some(Item { product_id: product?, quantity: quantity? });
    let items = rows.into_iter().filter_map(item).collect();
    Ok(Some(Reservation { order_id: order.to_owned(), status, items, created_at, updated_at }))
}

/// Reserves all of these for the order, or nothing.
pub(crate) fn reserve(
    tx: &Transaction,
    order: &str,
    items: &BTreeMap<String, i64>,
    now: SystemTime,
) -> Result<Outcome, SqlError> {
    if let Some(there) = read(tx, order)? {
        let same = there.items.iter().map(|item| (&item.product_id, &item.quantity)).eq(items);
        let holds = matches!(there.status, Status::Reserved | Status::Committed);
        return Ok(if same && holds { Outcome::Known(there) } else { Outcome::Refused(there) });
    }
    let mut missing = Vec::new();
    for (product, quantity) in items {
        let stock: Option<(i64,)> = tx.first("SELECT available FROM stock WHERE product_id = ?1", params![product])?;
        let available = stock.map_or(0, |(available,)| available);
        if available < *quantity {
            missing.push(Missing { product_id: product.clone(), requested: *quantity, available });
        }
    }
    if !missing.is_empty() {
        return Ok(Outcome::Short(missing));
    }
    add(tx, order, Status::Reserved, now)?;
    for (product, quantity) in items {
        tx.execute("INSERT INTO reservation_items VALUES (?1, ?2, ?3)", params![order, product, *quantity])?;
        let take = "UPDATE stock SET available = available - ?2, reserved = reserved + ?2 WHERE product_id = ?1";
        tx.execute(take, params![product, *quantity])?;
    }
    let made = read(tx, order)?.ok_or_else(|| SqlError::Closed("the reservation is gone".to_owned()))?;
    Ok(Outcome::Reserved(made))
}

/// Remembers that the order was told that there is too little.
pub(crate) fn reject(tx: &Transaction, order: &str, now: SystemTime) -> Result<(), SqlError> {
    add(tx, order, Status::Rejected, now)
}

/// What is reserved has left. Says how the reservation is afterwards: `committed`, or as it was if it does not hold
/// anything any more.
pub(crate) fn commit(tx: &Transaction, order: &str, now: SystemTime) -> Result<Option<Reservation>, SqlError> {
    let Some(there) = read(tx, order)? else { return Ok(None) };
    if there.status == Status::Reserved {
        let step = "UPDATE stock SET reserved = reserved - ?2, committed = committed + ?2 WHERE product_id = ?1";
        move_all(tx, &there, step)?;
        set(tx, order, Status::Committed, now)?;
    }
    read(tx, order)
}

/// Gives back what the order holds, also what was committed.
pub(crate) fn release(tx: &Transaction, order: &str, now: SystemTime) -> Result<Option<Reservation>, SqlError> {
    let Some(there) = read(tx, order)? else { return Ok(None) };
    if give_back(tx, &there)? {
        set(tx, order, Status::Released, now)?;
    }
    read(tx, order)
}

/// Gives back what the order holds and refuses whatever comes for it later.
pub(crate) fn cancel(tx: &Transaction, order: &str, now: SystemTime) -> Result<(), SqlError> {
    match read(tx, order)? {
        None => add(tx, order, Status::Cancelled, now),
        Some(there) if there.status == Status::Cancelled => Ok(()),
        Some(there) => {
            give_back(tx, &there)?;
            set(tx, order, Status::Cancelled, now)
        }
    }
}

/// Whether it held anything.
fn give_back(tx: &Transaction, there: &Reservation) -> Result<bool, SqlError> {
    let step = match there.status {
        Status::Reserved => {
            "UPDATE stock SET available = available + ?2, reserved = reserved - ?2 WHERE product_id = ?1"
        }
        Status::Committed => {
            "UPDATE stock SET available = available + ?2, committed = committed - ?2 WHERE product_id = ?1"
        }
        Status::Released | Status::Rejected | Status::Cancelled => return Ok(false),
    };
    move_all(tx, there, step)?;
    Ok(true)
}

fn move_all(tx: &Transaction, there: &Reservation, step: &str) -> Result<(), SqlError> {
    for item in &there.items {
        tx.execute(step, params![&item.product_id, item.quantity])?;
    }
    Ok(())
}

fn add(tx: &Transaction, order: &str, status: Status, now: SystemTime) -> Result<(), SqlError> {
    let now = rfc3339(now);
    tx.execute("INSERT INTO reservations VALUES (?1, ?2, ?3, ?3)", params![order, status.text(), now])?;
    Ok(())
}

fn set(tx: &Transaction, order: &str, status: Status, now: SystemTime) -> Result<(), SqlError> {
    let step = "UPDATE reservations SET status = ?2, updated_at = ?3 WHERE order_id = ?1";
    tx.execute(step, params![order, status.text(), rfc3339(now)])?;
    Ok(())
}
