//! What the catalog says of products: one call for a basket.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use wharf_sdk::{Call, Error, log};

/// A basket waits no longer than this for the catalog.
const WITHIN: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Page {
    items: Vec<Product>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) price: Price,
    pub(crate) active: bool,
}

/// As the catalog has it, with whatever else comes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Price {
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

/// Those of these products that there are, by id. Ids are letters, digits, `-` and `_`.
pub(crate) fn get<'a>(ids: impl Iterator<Item = &'a str>) -> Result<BTreeMap<String, Product>, Error> {
    let ids: Vec<_> = ids.collect();
    let answer = Call::get(format!("http://catalog.internal/?ids={}", ids.join(","))).timeout(WITHIN).send();
    let answer = answer.map_err(unavailable)?;
    if answer.status() != 200 {
        return Err(unavailable(format_args!("status {}", answer.status())));
    }
    let page: Page = answer.json().map_err(unavailable)?;
    if let Some(odd) = page.items.iter().find(|product| product.price.amount < 0) {
        return Err(unavailable(format_args!("product {} has a negative price", odd.id)));
    }
    Ok(page.items.into_iter().map(|product| (product.id.clone(), product)).collect())
}

fn unavailable(why: impl std::fmt::Display) -> Error {
    log::warn(format_args!("the catalog: {why}"));
    Error::new(503, "the catalog is not available, try again later")
}
