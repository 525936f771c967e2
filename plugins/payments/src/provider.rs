//! The payment provider, by HTTP. A charge is asked for under a key that is made of the order's id alone: whatever this
//! service has lost or forgotten, the same charge is found, and a card is not charged twice for an order.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_sdk::{Answer, Call, CallError, Error, config};

use crate::input::Ask;

/// What the operator need not say.
const PROVIDER: &str = "http://127.0.0.1:8080/bank";

/// How long the provider may take for one step. A payment has two, and they have to fit into `timeouts.request`.
const PATIENCE: Duration = Duration::from_secs(6);

/// Bytes of an answer that are read.
const MOST: usize = 256 * 1024;

/// A charge, as the provider tells of it.
#[derive(Debug, Deserialize)]
pub(crate) struct Charge {
    pub(crate) id: String,
    pub(crate) status: String,
}

/// Why the provider has not done it.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It will not, for this reason.
    Refused(String),
    /// Perhaps it has, perhaps it will later: the same has to be asked again.
    Unavailable(String),
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Has the card charged, or finds that it is.
pub(crate) fn charge(ask: &Ask) -> Result<Charge, Trouble> {
    #[derive(Serialize)]
    struct Body<'a> {
        amount: i64,
        currency: &'a str,
        card: &'a str,
        reference: &'a str,
    }
    let Ask { order_id, amount, currency, card, .. } = ask;
    let body = Body { amount: *amount, currency, card, reference: order_id };
    let call = Call::post(address("/charges")).header("idempotency-key", &format!("order-{order_id}")).json(&body)?;
    let charge: Charge = read(call)?;
    match charge.status.as_str() {
        "captured" => Ok(charge),
        "authorized" => read(Call::post(address(&format!("/charges/{}/capture", charge.id)))),
        _ => Err(Trouble::Refused("the provider has given the money back".to_owned())),
    }
}

/// Has the money of a charge given back, taken or only authorized.
pub(crate) fn refund(id: &str) -> Result<(), Trouble> {
    read::<Charge>(Call::post(address(&format!("/charges/{id}/refund")))).map(drop)
}

/// The charges of an order of which something is to be given back.
pub(crate) fn find(order: &str) -> Result<Vec<String>, Trouble> {
    #[derive(Deserialize)]
    struct Page {
        items: Vec<Charge>,
    }
    // An id of an order has nothing in it that would have to be encoded, and there is one charge of an order.
    let page: Page = read(Call::get(address(&format!("/charges?reference={order}&limit=100"))))?;
    let open = |charge: &Charge| matches!(charge.status.as_str(), "authorized" | "captured");
    Ok(page.items.into_iter().filter(open).map(|charge| charge.id).collect())
}

fn address(path: &str) -> String {
    let provider = config::get_or("provider", PROVIDER);
    format!("{}{path}", provider.trim_end_matches('/'))
}

fn read<T: serde::de::DeserializeOwned>(call: Call) -> Result<T, Trouble> {
    let mut answer = call.timeout(PATIENCE).send()?;
    match answer.status() {
        200..=299 => {
            let body = answer.body(MOST)?;
            let read = serde_json::from_slice(&body);
            read.map_err(|error| Trouble::Unavailable(format!("the provider's answer: {error}")))
        }
        402 => Err(Trouble::Refused(reason(&mut answer).unwrap_or_else(|| "the card is declined".to_owned()))),
        409 => Err(Trouble::Refused("the provider has given the money back".to_owned())),
        422 => Err(Trouble::Refused("the provider does not take this charge".to_owned())),
        // What is wrong with an address or a grant is mended by the operator, and the payment goes on.
        status => Err(Trouble::Unavailable(format!("the provider answers {status}"))),
    }
}

/// What the provider says of a refusal: text of a stranger, so in bounds.
fn reason(answer: &mut Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let Problem { detail } = serde_json::from_slice(&answer.body(MOST).ok()?).ok()?;
    let text: String = detail.chars().filter(|character| !character.is_control()).take(200).collect();
    (!text.trim().is_empty()).then_some(text)
}
