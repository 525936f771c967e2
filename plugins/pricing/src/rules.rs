//! The rules of the shop in its own database: rates, quantity discounts, coupons.
//!
//! A rate is what was said for the way from one currency to the other, else the exact inverse of what was said for the way
//! back. Rates are not chained.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use shop::rfc3339;
use wharf_sdk::sql::{self, FromRow, Row, SqlError};
use wharf_sdk::{Error, params};

use crate::basket::Tier;
use crate::input::{CouponInput, Price};
use crate::money::Rate;

#[derive(Debug, Serialize)]
pub(crate) struct NamedRate {
    pub(crate) from: String,
    pub(crate) to: String,
    #[serde(flatten)]
    pub(crate) rate: Rate,
}

/// A coupon as it is kept.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Coupon {
    pub(crate) code: String,
    #[serde(flatten)]
    pub(crate) rule: CouponInput,
    /// Orders that were made with it and not cancelled.
    pub(crate) uses: i64,
}

impl FromRow for Coupon {
    fn from_row(row: &Row) -> Result<Self, SqlError> {
        let currency: Option<String> = row.get("currency")?;
        let price = |amount: Option<i64>| Some(Price { amount: amount?, currency: currency.clone()? });
        let minimum: i64 = row.get("minimum")?;
        let rule = CouponInput {
            percent: row.get("percent")?,
            fixed: price(row.get("amount")?),
            minimum: price(Some(minimum).filter(|minimum| *minimum > 0)),
            valid_from: row.get("valid_from")?,
            valid_to: row.get("valid_to")?,
            max_uses: row.get("max_uses")?,
            max_uses_per_user: row.get("max_uses_per_user")?,
            active: row.get("active")?,
        };
        Ok(Self { code: row.get("code")?, rule, uses: row.get("uses")? })
    }
}

/// The rates into a currency.
pub(crate) fn rates_to(currency: &str) -> Result<BTreeMap<String, Rate>, Error> {
    let statement = "SELECT from_currency, to_currency, numerator, denominator FROM rates \
        WHERE to_currency = ?1 OR from_currency = ?1";
    let rows: Vec<(String, String, i64, i64)> = sql::all(statement, params![currency])?;
    let (said, back): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, to, ..)| to == currency);
    let rate = |numerator, denominator| Rate { numerator, denominator };
    let mut rates = BTreeMap::from([(currency.to_owned(), Rate::ONE)]);
    rates.extend(back.into_iter().map(|(_, other, n, d)| (other, rate(n, d).inverse())));
    // What was said wins over what follows from it.
    rates.extend(said.into_iter().map(|(other, _, n, d)| (other, rate(n, d))));
    Ok(rates)
}

/// All that were said.
pub(crate) fn rates() -> Result<Vec<NamedRate>, Error> {
    let statement = "SELECT from_currency, to_currency, numerator, denominator FROM rates \
        ORDER BY from_currency, to_currency";
    let rows: Vec<(String, String, i64, i64)> = sql::all(statement, &[])?;
    let named = |(from, to, numerator, denominator)| NamedRate { from, to, rate: Rate { numerator, denominator } };
    Ok(rows.into_iter().map(named).collect())
}

pub(crate) fn set_rate(from: &str, to: &str, rate: Rate, now: SystemTime) -> Result<(), Error> {
    sql::execute(
        "INSERT INTO rates VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET \
         numerator = excluded.numerator, denominator = excluded.denominator, updated_at = excluded.updated_at",
        params![from, to, rate.numerator, rate.denominator, rfc3339(now)],
    )?;
    Ok(())
}

pub(crate) fn tiers() -> Result<Vec<Tier>, Error> {
    let rows = sql::all("SELECT quantity, percent FROM quantity_discounts ORDER BY quantity", &[])?;
    Ok(rows.into_iter().map(|(quantity, percent)| Tier { quantity, percent }).collect())
}

/// These and no others.
pub(crate) fn set_tiers(tiers: &[Tier]) -> Result<(), Error> {
    sql::transaction(|tx| {
        tx.execute("DELETE FROM quantity_discounts", &[])?;
        for tier in tiers {
            tx.execute("INSERT INTO quantity_discounts VALUES (?1, ?2)", params![tier.quantity, tier.percent])?;
        }
        Ok(())
    })
}

pub(crate) fn coupon(code: &str) -> Result<Option<Coupon>, Error> {
    let statement = "SELECT c.*, (SELECT count(*) FROM coupon_uses WHERE code = c.code AND NOT cancelled) AS uses \
        FROM coupons AS c WHERE c.code = ?1";
    Ok(sql::first(statement, params![code])?)
}

/// How many orders of this user were made with the coupon.
pub(crate) fn uses_by(code: &str, user: &str) -> Result<i64, Error> {
    let statement = "SELECT count(*) FROM coupon_uses WHERE code = ?1 AND user_id = ?2 AND NOT cancelled";
    let count: Option<(i64,)> = sql::first(statement, params![code, user])?;
    Ok(count.map_or(0, |(count,)| count))
}

/// Says whether it is a new one.
pub(crate) fn set_coupon(code: &str, rule: &CouponInput) -> Result<bool, Error> {
    let currency = rule.fixed.as_ref().or(rule.minimum.as_ref()).map(|price| price.currency.as_str());
    sql::transaction(|tx| {
        let there: Option<(i64,)> = tx.first("SELECT 1 FROM coupons WHERE code = ?1", params![code])?;
        tx.execute(
            "INSERT OR REPLACE INTO coupons (code, percent, amount, currency, minimum, valid_from, valid_to, max_uses, \
             max_uses_per_user, active) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                code,
                rule.percent,
                rule.fixed.as_ref().map(|price| price.amount),
                currency,
                rule.minimum.as_ref().map_or(0, |price| price.amount),
                rule.valid_from.as_deref(),
                rule.valid_to.as_deref(),
                rule.max_uses,
                rule.max_uses_per_user,
                rule.active
            ],
        )?;
        Ok(there.is_none())
    })
}

/// An order was made with the coupon, or was cancelled. Any number of times and in any order: a cancelled order is no use
/// of it, also if that is heard of first.
pub(crate) fn used(order: &str, code: &str, user: &str, cancelled: bool, now: SystemTime) -> Result<(), SqlError> {
    sql::execute(
        "INSERT INTO coupon_uses VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT DO UPDATE SET cancelled = max(cancelled, excluded.cancelled)",
        params![order, code, user, cancelled, rfc3339(now)],
    )?;
    Ok(())
}
