//! What a charge may look like. All that is wrong is said at once.

use serde::Deserialize;
use shop::{Wrong, currencies, is_currency};
use wharf_sdk::{Error, Request};

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
        let mut wrong = Wrong::default();
        let amount = (1..=MOST).contains(&order.amount);
        wrong.unless(amount, "amount", format!("is not from 1 to {MOST} minor units"));
        wrong.unless(is_currency(&order.currency), "currency", currencies());
        let card = verdict(&order.card, order.amount, 1).is_some();
        wrong.unless(card, "card", "is no token that this bank has given out");
        wrong.unless(is_word(&order.reference), "reference", "is not 1 to 100 visible characters");
        wrong.end()?;
        Ok(order)
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
