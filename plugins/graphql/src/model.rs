//! What the services say, as far as the schema shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::schema::OrderStatus;

/// One page of anything.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) name: Option<String>,
    pub(crate) created_at: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) category: String,
    pub(crate) price: Price,
    pub(crate) active: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Price {
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) status: OrderStatus,
    pub(crate) items: Vec<Item>,
    pub(crate) currency: String,
    pub(crate) total: i64,
    pub(crate) tracking_number: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) created_at: String,
}

/// Pages of the orders of several users, one after the other.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pages {
    pub(crate) items: Vec<Order>,
    pub(crate) users: Vec<OfUser>,
}

/// Where the page of a user among others goes on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OfUser {
    pub(crate) user_id: String,
    pub(crate) next: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    pub(crate) product_id: String,
    pub(crate) quantity: i32,
    pub(crate) unit_price: i64,
}

/// The entries of a page by their ids.
pub(crate) fn by_id<T>(page: Page<T>, id: impl Fn(&T) -> &str) -> BTreeMap<String, T> {
    page.items.into_iter().map(|item| (id(&item).to_owned(), item)).collect()
}

/// The page of each user.
pub(crate) fn by_user(Pages { items, users }: Pages) -> BTreeMap<String, Arc<Page<Order>>> {
    let empty = |OfUser { user_id, next }| (user_id, Page { items: Vec::new(), next });
    let mut pages: BTreeMap<_, _> = users.into_iter().map(empty).collect();
    for order in items {
        if let Some(page) = pages.get_mut(&order.user_id) {
            page.items.push(order);
        }
    }
    pages.into_iter().map(|(user, page)| (user, Arc::new(page))).collect()
}
