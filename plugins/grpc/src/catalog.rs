//! `wharf.shop.v1.Catalog`

use serde::Deserialize;

use crate::partner::{Page, Partners, check_id};
use crate::pb::shop::{GetProductRequest, ListProductsRequest, Money, Product};
use crate::rpc::{Out, Stream};
use crate::status::{Code, Status};

/// Products of one stream, unless the client says otherwise, and at most.
const USUAL: u32 = 100;
const MOST: u32 = 1000;
/// Products that the service gives at once.
const PAGE: u32 = 100;

const CATALOG: &str = "catalog";

/// What the service says of a product, as far as it is shown.
#[derive(Deserialize)]
struct Known {
    id: String,
    sku: String,
    name: String,
    description: String,
    category: String,
    price: Price,
    active: bool,
}

#[derive(Deserialize)]
struct Price {
    amount: i64,
    currency: String,
}

impl From<Known> for Product {
    fn from(known: Known) -> Self {
        let Known { id, sku, name, description, category, price: Price { amount, currency }, active } = known;
        Self { id, sku, name, description, category, price: Some(Money { amount, currency }), active }
    }
}

pub(crate) fn get(request: GetProductRequest, partners: &Partners) -> Result<Product, Status> {
    check_id(&request.id)?;
    Ok(partners.get::<Known>(CATALOG, &format!("/{}", request.id))?.into())
}

pub(crate) fn list(request: ListProductsRequest, partners: Partners) -> Result<Stream, Status> {
    let ListProductsRequest { query, category, limit } = request;
    let mut left = if limit == 0 { USUAL } else { limit };
    if left > MOST {
        return Err(Status::new(Code::InvalidArgument, format!("`limit` is at most {MOST}")));
    }
    let page = move |after: Option<&str>, left: u32| {
        let mut path = form_urlencoded::Serializer::new("/?".to_owned());
        path.append_pair("limit", &left.min(PAGE).to_string());
        for (name, value) in [("q", query.as_str()), ("category", &category), ("after", after.unwrap_or_default())] {
            if !value.is_empty() {
                path.append_pair(name, value);
            }
        }
        partners.get::<Page<Known>>(CATALOG, &path.finish())
    };
    // Before the first message: who asks for something wrong is told at once.
    let first = page(None, left)?;
    Ok(Box::new(move |out: &mut Out| {
        let Page { mut items, mut next } = first;
        loop {
            for item in items {
                out.send(&Product::from(item))?;
                left = left.saturating_sub(1);
            }
            let Some(after) = next.filter(|_| left > 0) else { return Ok(()) };
            Page { items, next } = page(Some(&after), left)?;
        }
    }))
}
