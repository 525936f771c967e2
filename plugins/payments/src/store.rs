//! Payments in the database: one for each order, and the states that it goes through.
//!
//! ```text
//! pending ──→ captured ──→ refunding ──→ refunded
//!    │ └────→ failed        ↑      └───→ cancelled     it was never told to be paid
//!    └──────────────────────┘
//! (nothing) ─────────────────────────→ cancelled       an order that is cancelled before it is paid
//! ```
//!
//! What is to be done at the provider stands here before it is done, and each step is an update on the condition of the
//! state before, in one transaction with the event that tells of it. So whatever is cut off at any point is taken up
//! again, and told once.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};
use shop::rfc3339;
use uuid::Uuid;
use wharf_sdk::sql::{self, FromRow, Row, SqlError, Transaction};
use wharf_sdk::{Error, Event, params};

use crate::input::Ask;

/// Milliseconds that somebody who begins to charge a card may be at it: well above the longest request.
const LEASE: i64 = 20_000;

/// What a payment is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Pending,
    Captured,
    Failed,
    Refunding,
    Refunded,
    Cancelled,
}

/// The payment of an order.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Payment {
    pub(crate) id: String,
    pub(crate) order_id: String,
    #[serde(skip)]
    pub(crate) user_id: Option<String>,
    pub(crate) amount: Option<i64>,
    pub(crate) currency: Option<String>,
    #[serde(skip)]
    pub(crate) card: Option<String>,
    pub(crate) status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip)]
    pub(crate) charge_id: Option<String>,
    #[serde(skip)]
    busy_until: i64,
    created_at: String,
    updated_at: String,
}

const COLUMNS: &str =
    "id, order_id, user_id, amount, currency, card, status, reason, charge_id, busy_until, created_at, updated_at";

impl FromRow for Payment {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        let status = match row.get::<String>("status")?.as_str() {
            "pending" => Status::Pending,
            "captured" => Status::Captured,
            "failed" => Status::Failed,
            "refunding" => Status::Refunding,
            "refunded" => Status::Refunded,
            "cancelled" => Status::Cancelled,
            other => return Err(SqlError::Column(format!("a payment is `{other}`"))),
        };
        Ok(Self {
            id: row.get("id")?,
            order_id: row.get("order_id")?,
            user_id: row.get("user_id")?,
            amount: row.get("amount")?,
            currency: row.get("currency")?,
            card: row.get("card")?,
            status,
            reason: row.get("reason")?,
            charge_id: row.get("charge_id")?,
            busy_until: row.get("busy_until")?,
            created_at: row.get("created_at")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

impl Payment {
    /// Whether it is for what is asked now.
    pub(crate) fn is_for(&self, ask: &Ask) -> bool {
        self.amount == Some(ask.amount)
            && self.currency.as_ref() == Some(&ask.currency)
            && self.card.as_ref() == Some(&ask.card)
    }

    /// Whether somebody may be charging the card now.
    pub(crate) fn is_busy(&self, now: SystemTime) -> bool {
        millis(now) < self.busy_until
    }
}

pub(crate) fn get(order: &str) -> Result<Option<Payment>, SqlError> {
    sql::first(&format!("SELECT {COLUMNS} FROM payments WHERE order_id = ?1"), params![order])
}

/// The payment of an order, a new one if there is none. One that is pending is in the hands of who calls this, for as
/// long as the lease is.
pub(crate) fn begin(ask: &Ask, now: SystemTime) -> Result<Payment, SqlError> {
    sql::transaction(|tx| {
        let insert =
            "INSERT INTO payments (order_id, id, user_id, amount, currency, card, status, created_at, updated_at)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', ?7, ?7) ON CONFLICT DO NOTHING";
        let id = Uuid::now_v7().to_string();
        let (user, currency, card) = (ask.user_id.as_deref(), &ask.currency, &ask.card);
        tx.execute(insert, params![&ask.order_id, id, user, ask.amount, currency, card, rfc3339(now)])?;
        let lease = "UPDATE payments SET busy_until = ?2 WHERE order_id = ?1 AND status = 'pending'";
        tx.execute(lease, params![&ask.order_id, millis(now).saturating_add(LEASE)])?;
        there(tx, &ask.order_id)
    })
}

/// The card was not charged, and will not be.
pub(crate) fn fail(order: &str, reason: &str, told: Option<&Value>, now: SystemTime) -> Result<Payment, Error> {
    sql::transaction(|tx| {
        let update = "UPDATE payments SET status = 'failed', reason = ?2, busy_until = 0, updated_at = ?3
                      WHERE order_id = ?1 AND status = 'pending'";
        if tx.execute(update, params![order, reason, rfc3339(now)])?.rows == 1 {
            tx.publish(vec![failed(order, reason, told)?])?;
        }
        Ok(there(tx, order)?)
    })
}

/// The card is charged. What the payment is then says whether that is still wanted.
pub(crate) fn complete(
    order: &str,
    charge: Option<&str>,
    told: Option<&Value>,
    now: SystemTime,
) -> Result<Payment, Error> {
    sql::transaction(|tx| {
        let update =
            "UPDATE payments SET status = 'captured', charge_id = ?2, told = 1, busy_until = 0, updated_at = ?3
                      WHERE order_id = ?1 AND status = 'pending'";
        let is_new = tx.execute(update, params![order, charge, rfc3339(now)])?.rows == 1;
        // Somebody wants it back meanwhile: whoever settles that knows now where it is, and need not wait.
        let note = "UPDATE payments SET charge_id = ?2, busy_until = 0 WHERE order_id = ?1 AND status = 'refunding'";
        tx.execute(note, params![order, charge])?;
        let payment = there(tx, order)?;
        if is_new {
            tx.publish(vec![moved("completed", &payment, told)?])?;
        }
        Ok(payment)
    })
}

/// Nothing is to be kept of an order's money, now or later: leaves a mark where there is no payment yet.
pub(crate) fn cancel(order: &str, now: SystemTime) -> Result<Payment, SqlError> {
    sql::transaction(|tx| {
        let mark = "INSERT INTO payments (order_id, id, status, created_at, updated_at)
                    VALUES (?1, ?2, 'cancelled', ?3, ?3) ON CONFLICT DO NOTHING";
        tx.execute(mark, params![order, Uuid::now_v7().to_string(), rfc3339(now)])?;
        give_back(tx, order, now)?;
        there(tx, order)
    })
}

/// What is taken of an order's money, or is being taken, is to be given back.
pub(crate) fn refund(order: &str, now: SystemTime) -> Result<Option<Payment>, SqlError> {
    sql::transaction(|tx| {
        give_back(tx, order, now)?;
        tx.first(&format!("SELECT {COLUMNS} FROM payments WHERE order_id = ?1"), params![order])
    })
}

fn give_back(tx: &Transaction, order: &str, now: SystemTime) -> Result<(), SqlError> {
    let update = "UPDATE payments SET status = 'refunding', updated_at = ?2
                  WHERE order_id = ?1 AND status IN ('pending', 'captured')";
    tx.execute(update, params![order, rfc3339(now)]).map(drop)
}

/// The provider has nothing of it any more.
pub(crate) fn settle(order: &str, told: Option<&Value>, now: SystemTime) -> Result<Payment, Error> {
    sql::transaction(|tx| {
        let update =
            "UPDATE payments SET status = CASE told WHEN 1 THEN 'refunded' ELSE 'cancelled' END, updated_at = ?2
                      WHERE order_id = ?1 AND status = 'refunding'";
        let is_new = tx.execute(update, params![order, rfc3339(now)])?.rows == 1;
        let payment = there(tx, order)?;
        if is_new && payment.status == Status::Refunded {
            tx.publish(vec![moved("refunded", &payment, told)?])?;
        }
        Ok(payment)
    })
}

/// Orders whose money is to be given back, and with which nobody is busy.
pub(crate) fn unsettled(now: SystemTime, limit: u32) -> Result<Vec<String>, SqlError> {
    let query =
        "SELECT order_id FROM payments WHERE status = 'refunding' AND busy_until <= ?1 ORDER BY busy_until LIMIT ?2";
    let orders: Vec<(String,)> = sql::all(query, params![millis(now), limit])?;
    Ok(orders.into_iter().map(|(order,)| order).collect())
}

/// Nobody tries to settle this payment for as long as a lease is.
pub(crate) fn postpone(order: &str, now: SystemTime) -> Result<(), SqlError> {
    let update = "UPDATE payments SET busy_until = ?2 WHERE order_id = ?1 AND status = 'refunding'";
    sql::execute(update, params![order, millis(now).saturating_add(LEASE)]).map(drop)
}

/// That an order is not paid.
pub(crate) fn failed(order: &str, reason: &str, told: Option<&Value>) -> Result<Event, Error> {
    event("failed", order, json!({ "orderId": order, "reason": reason }), told)
}

fn moved(what: &str, payment: &Payment, told: Option<&Value>) -> Result<Event, Error> {
    let Payment { id, order_id, amount, currency, .. } = payment;
    let data = json!({ "orderId": order_id, "paymentId": id, "amount": amount, "currency": currency });
    event(what, order_id, data, told)
}

/// With the order in it, if it was told with what came.
fn event(what: &str, order: &str, mut data: Value, told: Option<&Value>) -> Result<Event, Error> {
    if let (Some(told), Some(members)) = (told, data.as_object_mut()) {
        members.insert("order".to_owned(), told.clone());
    }
    let event = Event::json(format!("payment.{what}"), &data)?;
    Ok(event.id(format!("payment-{order}-{what}")).key(order).subject(order))
}

fn there(tx: &Transaction, order: &str) -> Result<Payment, SqlError> {
    let found = tx.first(&format!("SELECT {COLUMNS} FROM payments WHERE order_id = ?1"), params![order])?;
    found.ok_or_else(|| SqlError::Column(format!("the payment of {order} is gone")))
}

fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
