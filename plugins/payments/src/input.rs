//! What is to be paid, by a call or by the order in an event.

use serde::Deserialize;
use wharf_sdk::{Error, FieldError, Request};

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
        let wrong = ask.faults();
        if wrong.is_empty() { Ok(ask) } else { Err(Error::unprocessable(wrong)) }
    }

    /// What is wrong with it.
    pub(crate) fn faults(&self) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        let mut check = |field: &str, holds: bool, detail: &str| {
            if !holds {
                wrong.push(FieldError { field: field.to_owned(), detail: detail.to_owned() });
            }
        };
        check("orderId", is_id(&self.order_id), "is not 1 to 64 letters, digits, `-` and `_`");
        check("amount", (0..=MOST).contains(&self.amount), "is not from 0 to 1000000000000 minor units");
        check("currency", ["EUR", "USD", "GBP"].contains(&self.currency.as_str()), "is not EUR, USD or GBP");
        let is_token = (1..=64).contains(&self.card.len()) && self.card.bytes().all(|byte| byte.is_ascii_graphic());
        check("userId", self.user_id.as_deref().is_none_or(is_id), "is not 1 to 64 letters, digits, `-` and `_`");
        check("card", is_token, "is not the token of a card: 1 to 64 visible characters");
        wrong
    }
}

/// Whether an order can be called this. It becomes a part of addresses and keys.
pub(crate) fn is_id(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(known)
}
