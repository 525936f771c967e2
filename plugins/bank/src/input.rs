//! What a charge may look like. All that is wrong is said at once.

use serde::Deserialize;
use wharf_sdk::{Error, FieldError, Request};

use crate::charge::verdict;

/// The most that a charge may be, in minor units: nothing overflows with it.
const MOST: i64 = 1_000_000_000_000;

/// A charge that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) card: String,
    pub(crate) reference: String,
}

impl Order {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let order: Self = request.json()?;
        let mut wrong = Vec::new();
        let mut check = |field: &str, holds: bool, detail: &str| {
            if !holds {
                wrong.push(FieldError { field: field.to_owned(), detail: detail.to_owned() });
            }
        };
        check("amount", (1..=MOST).contains(&order.amount), "is not from 1 to 1000000000000 minor units");
        check("currency", ["EUR", "USD", "GBP"].contains(&order.currency.as_str()), "is not EUR, USD or GBP");
        check("card", verdict(&order.card, order.amount, 1).is_some(), "is no token that this bank has given out");
        check("reference", is_word(&order.reference), "is not 1 to 100 visible characters");
        if wrong.is_empty() { Ok(order) } else { Err(Error::unprocessable(wrong)) }
    }
}

/// The key under which a charge is asked for, however often.
pub(crate) fn idempotency_key(request: &Request) -> Result<String, Error> {
    let key = request.header("idempotency-key").filter(|key| is_word(key));
    key.ok_or_else(|| Error::bad_request("a charge needs an Idempotency-Key of 1 to 100 visible characters"))
}

fn is_word(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
