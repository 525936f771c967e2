//! The one change that can be made here: an order. What is wrong with it, the service `orders` says.

use async_graphql::{Context, ID, InputObject, Object};
use serde::Serialize;
use wharf_sdk::{Call, Method};

use super::{or_null, session};
use crate::failure::Failure;
use crate::model::Order;
use crate::session::{ORDERS, Session};

#[derive(Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderInput {
    /// Oneself, if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<ID>,
    items: Vec<OrderItemInput>,
    /// EUR, GBP or USD
    currency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    coupon: Option<String>,
    /// The token of a card.
    card: String,
    shipping_address: AddressInput,
}

#[derive(Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderItemInput {
    product_id: ID,
    quantity: i32,
}

#[derive(Debug, InputObject, Serialize)]
#[serde(rename_all = "camelCase")]
struct AddressInput {
    line1: String,
    city: String,
    postal_code: String,
    /// ISO 3166, two letters
    country: String,
}

#[derive(Debug)]
pub(crate) struct Mutation;

#[Object]
impl Mutation {
    /// Orders, as a saga: the order is pending, and what becomes of it is seen in its status.
    #[graphql(complexity = "50 + child_complexity")]
    async fn place_order(
        &self,
        context: &Context<'_>,
        input: OrderInput,
        #[graphql(desc = "The same key and input make one order, however often they are sent.")]
        idempotency_key: Option<String>,
    ) -> Option<Order> {
        or_null(context, async { place(session(context)?, &input, idempotency_key.as_deref()).map(Some) }).await
    }
}

fn place(session: &Session, input: &OrderInput, key: Option<&str>) -> Result<Order, Failure> {
    session.caller.check_known()?;
    let mut call = Call::new(Method::Post, format!("http://{ORDERS}.internal/"));
    if let Some(key) = key {
        if !(1..=128).contains(&key.len()) || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::input("an idempotency key has 1 to 128 visible characters"));
        }
        call = call.header("idempotency-key", key);
    }
    let call = call.json(input).map_err(|_| Failure::new("INTERNAL", 500, "the order cannot be written"))?;
    // Also if there is no answer: it may have been made.
    session.forget_orders();
    session.send(ORDERS, call)
}
