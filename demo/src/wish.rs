//! An order that somebody wants, and what came of asking for it.
//!
//! Whoever wants something asks with a key of idempotency, and asks again with the same until there is an answer that
//! counts: the host may be killed at any moment, and an answer that was lost is an answer that was given.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, text};

/// Who does what an order needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The services, by events: 202 at once.
    Saga,
    /// The service `orders`, by calls: 201 when all is done.
    Sync,
}

/// What is special about an order, and so what must become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing: it is sent.
    Plain,
    /// With a coupon: it is sent.
    Coupon,
    /// More than there is.
    SoldOut,
    /// The card is declined.
    Declined,
    /// More than is on the card.
    Insufficient,
    /// The card works at the third try: soon enough for a saga, too late for who waits.
    Flaky,
    /// The card takes three seconds.
    Slow,
}

/// See the module header.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its key of idempotency.
    pub key: String,
    /// Who does it.
    pub mode: Mode,
    /// What is special about it.
    pub kind: Kind,
    /// Products and how many of each.
    pub items: Vec<(String, i64)>,
    /// The currency that is paid in.
    pub currency: &'static str,
    /// A coupon.
    pub coupon: Option<&'static str>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The status of the answer.
    pub status: u16,
    /// The order, if one was made.
    pub order: Option<String>,
    /// What the client was told of a failure.
    pub detail: String,
    /// How often it was asked.
    pub tries: u32,
    /// From the first time on.
    pub took: Duration,
}

impl Mode {
    /// For a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::Sync => "workflow",
        }
    }
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Plain, Self::Coupon, Self::SoldOut, Self::Declined, Self::Insufficient, Self::Flaky, Self::Slow];

    /// What is paid with.
    pub fn card(self) -> &'static str {
        match self {
            Self::Plain | Self::Coupon | Self::SoldOut => "tok_visa",
            Self::Declined => "tok_declined",
            Self::Insufficient => "tok_insufficient",
            Self::Flaky => "tok_flaky",
            Self::Slow => "tok_slow",
        }
    }

    /// Whether it must never be confirmed, whatever else happens.
    pub fn is_hopeless(self) -> bool {
        matches!(self, Self::SoldOut | Self::Declined | Self::Insufficient)
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "a plain order",
            Self::Coupon => "with a coupon",
            Self::SoldOut => "more than there is",
            Self::Declined => "a declined card",
            Self::Insufficient => "a card without enough on it",
            Self::Flaky => "a card that works at the third try",
            Self::Slow => "a card that takes three seconds",
        }
    }
}

impl Wish {
    /// Where it is asked for.
    pub fn path(&self) -> &'static str {
        match self.mode {
            Mode::Saga => "/api/orders",
            Mode::Sync => "/api/orders?mode=sync",
        }
    }

    /// The body of the request.
    pub fn body(&self) -> Value {
        let items: Vec<_> =
            self.items.iter().map(|(id, quantity)| json!({ "productId": id, "quantity": quantity })).collect();
        let mut body = json!({
            "items": items,
            "currency": self.currency,
            "card": self.kind.card(),
            "shippingAddress": { "line1": "1 High Street", "city": "London", "postalCode": "N1 9GU", "country": "GB" },
        });
        if let (Some(coupon), Some(members)) = (self.coupon, body.as_object_mut()) {
            members.insert("coupon".to_owned(), coupon.into());
        }
        body
    }
}

impl Placed {
    /// What an answer means, if it is the last word. Everything else (nobody serves, a fault, a breaker that is open,
    /// "it is being worked on") is worth asking again.
    pub fn of(answer: &Answer, tries: u32, began: Instant) -> Option<Self> {
        let (json, detail) = (answer.json(), answer.detail());
        let order = match answer.status {
            201 | 202 => Some(text(&json, "id")),
            // An order was made and cancelled: its id stands in the sentence.
            402 | 409 | 422 | 503 if detail.contains("is cancelled") => {
                let mut words = detail.split_whitespace().skip_while(|word| *word != "order");
                words.nth(1).map(str::to_owned)
            }
            422 => None,
            _ => return None,
        };
        Some(Self { status: answer.status, order, detail, tries, took: began.elapsed() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn placed(status: u16, body: &Value) -> Option<Placed> {
        let body = body.to_string().into();
        Placed::of(&Answer { what: String::new(), status, location: None, etag: None, body }, 1, Instant::now())
    }

    #[test]
    fn an_answer_is_the_last_word_or_worth_asking_again() {
        assert_eq!(placed(202, &json!({ "id": "7" })).unwrap().order.as_deref(), Some("7"));
        let declined = placed(402, &json!({ "detail": "payment: the card is declined; order 7-a is cancelled" }));
        assert_eq!(declined.unwrap().order.as_deref(), Some("7-a"));
        let swept = placed(409, &json!({ "detail": "order 7 is cancelled: nothing was heard of it for 1m" }));
        assert_eq!(swept.unwrap().order.as_deref(), Some("7"));
        let unavailable =
            placed(503, &json!({ "detail": "payment: the service is not available; order 7 is cancelled" }));
        assert_eq!(unavailable.unwrap().order.as_deref(), Some("7"));
        assert!(placed(422, &json!({ "errors": [] })).unwrap().order.is_none());
        for (status, detail) in
            [(409, "a request with this Idempotency-Key is being worked on"), (503, "no"), (500, "")]
        {
            assert!(placed(status, &json!({ "detail": detail })).is_none());
        }
    }
}
