//! Charges: what a card says to one, and what becomes of it.
//!
//! ```text
//! authorized → captured → refunded
//!            ↘ voided               declined
//! ```
//!
//! A charge is known by its idempotency key: asked for again, there is still one, also when two ask at once. Each step
//! is one update on the condition of the state before, and a step that was done already is done.

use serde::Serialize;
use shop::{Listing, Page};
use uuid::Uuid;
use wharf_sdk::sql::{self, FromRow, Row, SqlError};
use wharf_sdk::{Error, params};

use crate::input::Order;

/// A charge.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Charge {
    pub(crate) id: String,
    reference: String,
    amount: i64,
    currency: String,
    card: String,
    pub(crate) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    created_at: String,
}

const COLUMNS: &str = "id, reference, amount, currency, card, status, reason, created_at";

impl FromRow for Charge {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.get("id")?,
            reference: row.get("reference")?,
            amount: row.get("amount")?,
            currency: row.get("currency")?,
            card: row.get("card")?,
            status: row.get("status")?,
            reason: row.get("reason")?,
            created_at: row.get("created_at")?,
        })
    }
}

/// What a card says to a charge.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Authorized,
    Declined(&'static str),
    /// This time.
    Unavailable,
}

/// What this card says to the `count`th try of a charge. None for a card that nobody has.
pub(crate) fn verdict(card: &str, amount: i64, count: i64) -> Option<Verdict> {
    Some(match card {
        "tok_visa" | "tok_slow" => Verdict::Authorized,
        "tok_declined" => Verdict::Declined("the card is declined"),
        "tok_insufficient" if amount > 10_000 => Verdict::Declined("the funds do not suffice"),
        "tok_insufficient" => Verdict::Authorized,
        "tok_flaky" if count <= 2 => Verdict::Unavailable,
        "tok_flaky" => Verdict::Authorized,
        _ => return None,
    })
}

/// The charge of this key, made now if it is new. Declined ones are kept, too: a key has one answer.
pub(crate) fn create(key: &str, order: &Order) -> Result<Charge, Error> {
    let found = sql::transaction(|tx| {
        let found: Option<Charge> = tx.first(&format!("SELECT {COLUMNS} FROM charges WHERE key = ?1"), params![key])?;
        if let Some(found) = found {
            return Ok(Some(found));
        }
        let count =
            "INSERT INTO tries VALUES (?1, 1) ON CONFLICT (key) DO UPDATE SET count = count + 1 RETURNING count";
        let (count,): (i64,) = tx.first(count, params![key])?.unwrap_or((1,));
        let verdict = verdict(&order.card, order.amount, count);
        let (status, reason) = match verdict.ok_or_else(|| Error::internal("a card was not checked"))? {
            Verdict::Authorized => ("authorized", None),
            Verdict::Declined(reason) => ("declined", Some(reason)),
            // The try counts: it is not undone.
            Verdict::Unavailable => return Ok(None),
        };
        let insert = format!(
            "INSERT INTO charges (id, key, reference, amount, currency, card, status, reason, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING {COLUMNS}"
        );
        let id = Uuid::now_v7().to_string();
        let Order { reference, amount, currency, card } = order;
        let values = params![id, key, reference, *amount, currency, card, status, reason, shop::now()];
        Ok::<_, Error>(tx.first(&insert, values)?)
    })?;
    let charge = found.ok_or_else(|| Error::new(503, "the bank does not answer: try again"))?;
    let same = charge.reference == order.reference
        && charge.amount == order.amount
        && charge.currency == order.currency
        && charge.card == order.card;
    if same { Ok(charge) } else { Err(Error::new(422, "this idempotency key belongs to another charge")) }
}

/// Takes the money that was authorized.
pub(crate) fn capture(id: &str) -> Result<Charge, Error> {
    step(id, "UPDATE charges SET status = 'captured' WHERE id = ?1 AND status = 'authorized'", &["captured"])
}

/// Gives back what was taken, or gives up what was authorized.
pub(crate) fn refund(id: &str) -> Result<Charge, Error> {
    let update = "UPDATE charges SET status = CASE status WHEN 'captured' THEN 'refunded' ELSE 'voided' END
                  WHERE id = ?1 AND status IN ('authorized', 'captured')";
    step(id, update, &["refunded", "voided"])
}

/// The charge after a step, which may have been done before: `done` are the states that it leads to.
fn step(id: &str, update: &str, done: &[&str]) -> Result<Charge, Error> {
    sql::execute(update, params![id])?;
    let charge = get(id)?;
    if done.contains(&charge.status.as_str()) {
        return Ok(charge);
    }
    Err(Error::conflict(format!("the charge is {}", charge.status)))
}

pub(crate) fn get(id: &str) -> Result<Charge, Error> {
    let charge = sql::first(&format!("SELECT {COLUMNS} FROM charges WHERE id = ?1"), params![id])?;
    charge.ok_or_else(|| Error::not_found("no charge has this id"))
}

/// Charges in the order in which they were made, of this reference if there is one.
pub(crate) fn page(reference: Option<&str>, listing: &Listing) -> Result<Page<Charge>, Error> {
    let query =
        format!("SELECT {COLUMNS} FROM charges WHERE (?1 IS NULL OR reference = ?1) AND id > ?2 ORDER BY id LIMIT ?3");
    let charges = sql::all(&query, params![reference, listing.after(), listing.with_one_more()])?;
    Ok(listing.page(charges, |charge: &Charge| charge.id.clone()))
}
