//! `pricing`: what does it cost?

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_sdk::Error;

use super::{post, read, refused, unavailable, unexpected};
use crate::input::{Input, Wanted};
use crate::order::Item;

const STEP: &str = "price";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    currency: &'a str,
    items: &'a [Wanted],
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<&'a str>,
    user_id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quote {
    currency: String,
    lines: Vec<Line>,
    total: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    product_id: String,
    quantity: i64,
    unit_price: i64,
}

/// The items with their prices, and the total.
pub(crate) fn quote(input: &Input, user_id: &str) -> Result<(Vec<Item>, i64), Error> {
    let Input { currency, items, coupon, .. } = input;
    let question = Question { currency, items, coupon: coupon.as_deref(), user_id };
    let answer = post(STEP, "http://pricing.internal/quote", &question, Duration::from_secs(5))?;
    match answer.status() {
        200 => {}
        400 | 404 | 409 | 422 => {
            let refusal = refused(STEP, answer);
            // To the client of an order, whatever pricing does not take is wrong input.
            let words = refusal.detail().unwrap_or_default();
            return Err(if refusal.fields().is_empty() { Error::new(422, words) } else { refusal });
        }
        _ => return Err(unexpected(STEP, &answer)),
    }
    let quote: Quote = read(STEP, answer)?;
    let asked = items.iter().map(|item| (&item.product_id, item.quantity));
    let same = quote.currency == *currency
        && quote.total >= 0
        && quote.lines.iter().map(|line| (&line.product_id, line.quantity)).eq(asked);
    if !same {
        return Err(unavailable(STEP, "the quote is for something else than what was asked"));
    }
    let item = |line: Line| Item { product_id: line.product_id, quantity: line.quantity, unit_price: line.unit_price };
    Ok((quote.lines.into_iter().map(item).collect(), quote.total))
}
