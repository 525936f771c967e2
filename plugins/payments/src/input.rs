//! What is to be paid, by a call or by the order in an event.

use serde::Deserialize;
use shop::{Wrong, currencies, is_currency, is_id};
use wharf_sdk::{Error, Request};

/// The most that a payment may be, in minor units: nothing overflows with it.
const MOST: i64 = 1_000_000_000_000;

/// A payment that is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Ask {
    pub(crate) order_id: String,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) card: String,
    /// Who pays, and may look at it. Not always known.
    pub(crate) user_id: Option<String>,
}

impl Ask {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let ask: Self = request.json()?;
        ask.check().end()?;
        Ok(ask)
    }

    /// What is wrong with it.
    pub(crate) fn check(&self) -> Wrong {
        let mut wrong = Wrong::default();
        let id = "is not 1 to 64 letters, digits, `-` and `_`";
        wrong.unless(is_id(&self.order_id), "orderId", id);
        let amount = (0..=MOST).contains(&self.amount);
        wrong.unless(amount, "amount", format!("is not from 0 to {MOST} minor units"));
        wrong.unless(is_currency(&self.currency), "currency", currencies());
        wrong.unless(self.user_id.as_deref().is_none_or(is_id), "userId", id);
        let is_token = (1..=64).contains(&self.card.len()) && self.card.bytes().all(|byte| byte.is_ascii_graphic());
        wrong.unless(is_token, "card", "is not the token of a card: 1 to 64 visible characters");
        wrong
    }
}
