//! What can be asked. Every answer is made of the rows at that moment; sums of money are of one currency each.

use serde::Serialize;
use wharf_sdk::sql::{self, FromRow, Row, SqlError};
use wharf_sdk::{Error, params};

/// Days of registrations in the summary, the latest.
const DAYS: u32 = 366;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    users: Users,
    /// Orders by status.
    orders: Vec<Count>,
    payments: Vec<Count>,
    revenue: Vec<Money>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Users {
    registered: i64,
    deleted: i64,
    by_day: Vec<Count>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Count {
    name: String,
    count: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Money {
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    currency: String,
    captured: i64,
    refunded: i64,
    /// What is left of it.
    revenue: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Product {
    product_id: String,
    quantity: i64,
    orders: i64,
}

pub(crate) fn summary() -> Result<Summary, Error> {
    let counts = |statement: &str| sql::all::<Count>(statement, &[]);
    let users = sql::first("SELECT count(registered_on), coalesce(sum(deleted), 0) FROM users", &[])?;
    let (registered, deleted) = users.unwrap_or_default();
    let by_day = "SELECT registered_on, count(*) FROM users WHERE registered_on IS NOT NULL
        GROUP BY registered_on ORDER BY registered_on DESC LIMIT ?1";
    Ok(Summary {
        users: Users { registered, deleted, by_day: sql::all(by_day, params![DAYS])? },
        orders: counts("SELECT status, count(*) FROM orders GROUP BY status ORDER BY status")?,
        payments: counts("SELECT kind, count(*) FROM payments GROUP BY kind ORDER BY kind")?,
        revenue: sql::all(&money("NULL", "1"), &[])?,
    })
}

/// By day and currency, the latest first; both days are in it.
pub(crate) fn revenue(from: &str, to: &str) -> Result<Vec<Money>, Error> {
    Ok(sql::all(&money("day", "day BETWEEN ?1 AND ?2"), params![from, to])?)
}

fn money(day: &str, condition: &str) -> String {
    format!(
        "SELECT {day}, currency, sum(CASE kind WHEN 'captured' THEN amount ELSE 0 END),
            sum(CASE kind WHEN 'refunded' THEN amount ELSE 0 END)
        FROM payments WHERE kind <> 'failed' AND {condition} GROUP BY 1, 2 ORDER BY 1 DESC, 2"
    )
}

/// Products of orders that were confirmed and not cancelled since, those of which most are sold first.
pub(crate) fn top_products(limit: u32) -> Result<Vec<Product>, Error> {
    let select = "SELECT product_id, sum(quantity) AS sold, count(*) FROM order_items
        JOIN orders ON orders.id = order_id WHERE status IN ('confirmed', 'shipped', 'delivered')
        GROUP BY product_id ORDER BY sold DESC, product_id LIMIT ?1";
    Ok(sql::all(select, params![limit])?)
}

/// Forgets everything. Handled events are not remembered but by these rows.
pub(crate) fn reset() -> Result<(), SqlError> {
    sql::transaction(|tx| {
        for table in ["users", "orders", "order_items", "payments"] {
            tx.execute(&format!("DELETE FROM {table}"), &[])?;
        }
        Ok(())
    })
}

/// How many days it is from one to the other, if both are days.
pub(crate) fn span(from: &str, to: &str) -> Result<Option<i64>, SqlError> {
    let select = "SELECT CAST(julianday(?2) - julianday(?1) AS INTEGER) WHERE date(?1) = ?1 AND date(?2) = ?2";
    Ok(sql::first::<(i64,)>(select, params![from, to])?.map(|(days,)| days))
}

impl FromRow for Count {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(Self { name: row.at(0)?, count: row.at(1)? })
    }
}

impl FromRow for Money {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        let (captured, refunded) = (row.at::<i64>(2)?, row.at::<i64>(3)?);
        let revenue = captured.saturating_sub(refunded);
        Ok(Self { day: row.at(0)?, currency: row.at(1)?, captured, refunded, revenue })
    }
}

impl FromRow for Product {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        Ok(Self { product_id: row.at(0)?, quantity: row.at(1)?, orders: row.at(2)? })
    }
}
