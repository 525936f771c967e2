//! How much there is of each product, and what came in or went out by hand.
//!
//! Each change by hand is a row of `movements` with its reason. With an idempotency key it is made once: who repeats it is
//! told what was said the first time.

use std::time::SystemTime;

use serde::Serialize;
use shop::{Listing, Page, rfc3339, unprocessable};
use wharf_sdk::sql::{self, FromRow, Row, SqlError, Transaction};
use wharf_sdk::{Error, params};

use crate::input::HIGHEST;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stock {
    pub(crate) product_id: String,
    pub(crate) available: i64,
    pub(crate) reserved: i64,
    pub(crate) committed: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Movement {
    pub(crate) id: i64,
    pub(crate) product_id: String,
    pub(crate) delta: i64,
    pub(crate) reason: String,
    pub(crate) at: String,
}

impl FromRow for Stock {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            product_id: row.get("product_id")?,
            available: row.get("available")?,
            reserved: row.get("reserved")?,
            committed: row.get("committed")?,
        })
    }
}

impl FromRow for Movement {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.get("id")?,
            product_id: row.get("product_id")?,
            delta: row.get("delta")?,
            reason: row.get("reason")?,
            at: row.get("at")?,
        })
    }
}

pub(crate) fn get(product: &str) -> Result<Stock, Error> {
    let stock = sql::first("SELECT * FROM stock WHERE product_id = ?1", params![product])?;
    stock.ok_or_else(|| Error::not_found("nothing is known of the stock of this product"))
}

/// One page by the ids of products; with `below`, only those of which fewer than that are available.
pub(crate) fn page(below: Option<i64>, listing: &Listing) -> Result<Page<Stock>, Error> {
    let (after, limit) = (listing.after(), listing.with_one_more());
    let items = match below {
        None => {
            let statement = "SELECT * FROM stock WHERE product_id > ?1 ORDER BY product_id LIMIT ?2";
            sql::all(statement, params![after, limit])?
        }
        Some(below) => {
            let statement = "SELECT * FROM stock WHERE product_id > ?1 AND available < ?3 ORDER BY product_id LIMIT ?2";
            sql::all(statement, params![after, limit, below])?
        }
    };
    Ok(listing.page(items, |stock: &Stock| stock.product_id.clone()))
}

/// What came in and went out by hand, the first first.
pub(crate) fn movements(product: &str, listing: &Listing) -> Result<Page<Movement>, Error> {
    let after: Result<i64, _> = if listing.after().is_empty() { Ok(0) } else { listing.after().parse() };
    let after = after.map_err(|_| unprocessable("after", "is no place in this list"))?;
    let statement = "SELECT * FROM movements WHERE product_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
    let items = sql::all(statement, params![product, after, listing.with_one_more()])?;
    Ok(listing.page(items, |movement: &Movement| movement.id.to_string()))
}

/// Makes this many available, whatever is reserved.
pub(crate) fn set(product: &str, available: i64, now: SystemTime) -> Result<Stock, Error> {
    sql::transaction(|tx| {
        let old = open(tx, product)?;
        let delta = available.checked_sub(old.available).ok_or_else(|| Error::internal("an impossible stock"))?;
        if delta == 0 {
            return Ok(old);
        }
        change(tx, old, delta, "counted", None, now)
    })
}

/// Adds or takes away. With a key once: the same again is answered as before, something else by that key is refused.
pub(crate) fn adjust(
    product: &str,
    delta: i64,
    reason: &str,
    key: Option<&str>,
    now: SystemTime,
) -> Result<Stock, Error> {
    sql::transaction(|tx| {
        if let Some(key) = key {
            let before: Option<(i64, String, i64, i64, i64)> = tx.first(
                "SELECT delta, reason, available, reserved, committed FROM movements \
                 WHERE product_id = ?1 AND idempotency_key = ?2",
                params![product, key],
            )?;
            if let Some((was, why, available, reserved, committed)) = before {
                if (was, why.as_str()) != (delta, reason) {
                    return Err(Error::new(422, "this idempotency key was used for another change"));
                }
                return Ok(Stock { product_id: product.to_owned(), available, reserved, committed });
            }
        }
        let old = open(tx, product)?;
        change(tx, old, delta, reason, key, now)
    })
}

/// The stock of a product, which there is from now on.
fn open(tx: &Transaction, product: &str) -> Result<Stock, SqlError> {
    tx.execute("INSERT INTO stock (product_id, available) VALUES (?1, 0) ON CONFLICT DO NOTHING", params![product])?;
    let stock = tx.first("SELECT * FROM stock WHERE product_id = ?1", params![product])?;
    stock.ok_or_else(|| SqlError::Closed("the stock is gone".to_owned()))
}

fn change(
    tx: &Transaction,
    mut stock: Stock,
    delta: i64,
    reason: &str,
    key: Option<&str>,
    now: SystemTime,
) -> Result<Stock, Error> {
    let available = stock.available.checked_add(delta).filter(|available| (0..=HIGHEST).contains(available));
    let Some(available) = available else {
        return Err(Error::conflict(format!(
            "{} are available: none can be below 0 or above {HIGHEST}",
            stock.available
        )));
    };
    stock.available = available;
    tx.execute("UPDATE stock SET available = ?2 WHERE product_id = ?1", params![&stock.product_id, available])?;
    tx.execute(
        "INSERT INTO movements (product_id, delta, reason, idempotency_key, available, reserved, committed, at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![&stock.product_id, delta, reason, key, stock.available, stock.reserved, stock.committed, rfc3339(now)],
    )?;
    Ok(stock)
}
