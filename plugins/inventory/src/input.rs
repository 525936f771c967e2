//! What clients and events may say. All that is wrong is said at once.

use std::collections::BTreeMap;

use serde::Deserialize;
use shop::{Wrong, is_id, unprocessable, wrong};
use wharf_sdk::{Error, FieldError, Request};

use crate::reservation::Item;

/// The most that there can be of a product, and that one order can have of it.
pub(crate) const HIGHEST: i64 = 1_000_000_000;
const LARGEST_QUANTITY: i64 = 1_000_000;
/// Products in one reservation.
const MOST_ITEMS: usize = 100;
/// Characters of a reason, and of an idempotency key.
const LONGEST_REASON: usize = 200;
const LONGEST_KEY: usize = 255;
/// Words that are paths of the service, and so no ids of products.
const PATHS: [&str; 4] = ["health", "info", "movements", "reservations"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Count {
    pub(crate) available: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Adjustment {
    pub(crate) delta: i64,
    pub(crate) reason: String,
    /// From the header `Idempotency-Key`.
    #[serde(skip)]
    pub(crate) key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wish {
    pub(crate) order_id: String,
    items: Vec<Item>,
}

impl Count {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let count: Self = request.json()?;
        let mut wrong = Wrong::default();
        wrong.unless((0..=HIGHEST).contains(&count.available), "available", format!("0 to {HIGHEST}"));
        wrong.end()?;
        Ok(count)
    }
}

impl Adjustment {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let mut input: Self = request.json()?;
        input.key = request.header("idempotency-key");
        let reason = (1..=LONGEST_REASON).contains(&input.reason.trim().chars().count());
        let reason = reason && !input.reason.chars().any(char::is_control);
        let key = input.key.as_ref().is_none_or(|key| (1..=LONGEST_KEY).contains(&key.len()));
        let delta = (-HIGHEST..=HIGHEST).contains(&input.delta) && input.delta != 0;
        let mut wrong = Wrong::default();
        wrong.unless(delta, "delta", "a number but 0");
        wrong.unless(reason, "reason", format!("1 to {LONGEST_REASON} characters"));
        wrong.unless(key, "idempotency-key", format!("1 to {LONGEST_KEY} characters"));
        wrong.end()?;
        input.reason = input.reason.trim().to_owned();
        Ok(input)
    }
}

impl Wish {
    /// The order and how many of which product.
    pub(crate) fn read(request: &mut Request) -> Result<(String, BTreeMap<String, i64>), Error> {
        let wish: Self = request.json()?;
        let items = quantities(&wish.items);
        let order = (!is_id(&wish.order_id)).then(|| wrong("orderId", "is no id"));
        match (order, items) {
            (None, Ok(items)) => Ok((wish.order_id, items)),
            (order, items) => {
                Err(Error::unprocessable(order.into_iter().chain(items.err().unwrap_or_default()).collect()))
            }
        }
    }
}

/// How many of each product, whether it was named once or more often.
pub(crate) fn quantities(items: &[Item]) -> Result<BTreeMap<String, i64>, Vec<FieldError>> {
    if items.is_empty() || items.len() > MOST_ITEMS {
        return Err(vec![wrong("items", format!("1 to {MOST_ITEMS}"))]);
    }
    let mut errors = Vec::new();
    let mut sums = BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        if !is_id(&item.product_id) {
            errors.push(wrong(format!("items[{place}].productId"), "is no id"));
        }
        let fits = (1..=LARGEST_QUANTITY).contains(&item.quantity);
        if !fits {
            errors.push(wrong(format!("items[{place}].quantity"), format!("1 to {LARGEST_QUANTITY}")));
        }
        let sum = sums.entry(item.product_id.clone()).or_insert(0_i64);
        *sum = sum.saturating_add(item.quantity);
    }
    if errors.is_empty() { Ok(sums) } else { Err(errors) }
}

/// The id of a product in a path.
pub(crate) fn product(request: &Request) -> Result<&str, Error> {
    let id = request.param("product");
    if is_id(id) && !PATHS.contains(&id) { Ok(id) } else { Err(Error::not_found("this is no id of a product")) }
}

/// `?below=`, if it is there.
pub(crate) fn below(request: &Request) -> Result<Option<i64>, Error> {
    let Some(text) = request.query("below") else { return Ok(None) };
    let below = text.parse().ok().filter(|below| (0..=HIGHEST).contains(below));
    below.map(Some).ok_or_else(|| unprocessable("below", format!("0 to {HIGHEST}")))
}
