//! What clients and events may say. All that is wrong is said at once.

use std::collections::BTreeMap;

use serde::Deserialize;
use wharf_sdk::{Error, FieldError, Request};

use crate::reservation::Item;

/// The most that there can be of a product, and that one order can have of it.
pub(crate) const HIGHEST: i64 = 1_000_000_000;
const LARGEST_QUANTITY: i64 = 1_000_000;
/// Products in one reservation.
const MOST_ITEMS: usize = 100;
/// Characters of an id, a reason, an idempotency key.
const LONGEST_ID: usize = 64;
const LONGEST_REASON: usize = 200;
const LONGEST_KEY: usize = 255;
/// Items on one page, unless the client says another number, and the most that it gets.
const PAGE: i64 = 20;
const LARGEST_PAGE: i64 = 100;
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

/// A part of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) after: String,
    limit: i64,
}

impl Count {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let count: Self = request.json()?;
        let fits = (0..=HIGHEST).contains(&count.available);
        all_right(vec![(fits, wrong("available", format!("0 to {HIGHEST}")))])?;
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
        all_right(vec![
            ((-HIGHEST..=HIGHEST).contains(&input.delta) && input.delta != 0, wrong("delta", "a number but 0")),
            (reason, wrong("reason", format!("1 to {LONGEST_REASON} characters"))),
            (key, wrong("idempotency-key", format!("1 to {LONGEST_KEY} characters"))),
        ])?;
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

impl Page {
    pub(crate) fn read(request: &Request) -> Result<Self, Error> {
        let limit = request.query("limit").map_or(Some(PAGE), |text| text.parse().ok());
        let limit = limit.filter(|limit| (1..=LARGEST_PAGE).contains(limit));
        all_right(vec![(limit.is_some(), wrong("limit", format!("1 to {LARGEST_PAGE}")))])?;
        Ok(Self { after: request.query("after").unwrap_or_default(), limit: limit.unwrap_or(PAGE) })
    }

    /// One more than asked for tells whether there are more.
    pub(crate) fn with_one_more(&self) -> i64 {
        self.limit.saturating_add(1)
    }

    /// What is asked for, and where the next page begins.
    pub(crate) fn cut<T>(&self, mut items: Vec<T>, cursor: fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let limit = usize::try_from(self.limit).unwrap_or_default();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(cursor);
        (items, next)
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
    all_right(vec![(below.is_some(), wrong("below", format!("0 to {HIGHEST}")))])?;
    Ok(below)
}

pub(crate) fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

pub(crate) fn wrong(field: impl Into<String>, detail: impl Into<String>) -> FieldError {
    FieldError { field: field.into(), detail: detail.into() }
}

fn all_right(checks: Vec<(bool, FieldError)>) -> Result<(), Error> {
    let errors: Vec<_> = checks.into_iter().filter(|(fine, _)| !fine).map(|(_, error)| error).collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::unprocessable(errors)) }
}
