//! What is to be sent, and where. All that is wrong is said at once.

use serde::{Deserialize, Serialize};
use shop::{Wrong, is_id};
use wharf_sdk::Error;

const MOST_ITEMS: usize = 100;

/// The body of `POST /`. `userId` is optional: without it only administrators see the shipment.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Parcel {
    pub(crate) order_id: String,
    pub(crate) user_id: Option<String>,
    pub(crate) address: Address,
    pub(crate) items: Vec<Item>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Address {
    line1: String,
    city: String,
    postal_code: String,
    country: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    product_id: String,
    quantity: i64,
}

impl Parcel {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Address { line1, city, postal_code, country } = &self.address;
        let is_country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        let checks = [
            ("orderId", is_id(&self.order_id), "is to be the id of an order"),
            ("userId", self.user_id.as_deref().is_none_or(is_id), "is to be the id of a user"),
            ("items", (1..=MOST_ITEMS).contains(&self.items.len()), "are to be from 1 to 100"),
            (
                "items",
                self.items.iter().all(|item| is_id(&item.product_id) && (1..=1_000_000).contains(&item.quantity)),
                "are to have a product and a quantity from 1 to 1000000 each",
            ),
            ("address.line1", is_text(line1, 200), "is to have 1 to 200 characters"),
            ("address.city", is_text(city, 100), "is to have 1 to 100 characters"),
            ("address.postalCode", is_text(postal_code, 20), "is to have 1 to 20 characters"),
            ("address.country", is_country, "is to be two capital letters (ISO 3166)"),
        ];
        let mut wrong = Wrong::default();
        for (field, holds, detail) in checks {
            wrong.unless(holds, field, detail);
        }
        wrong.end()
    }
}

fn is_text(text: &str, most: usize) -> bool {
    let length = text.chars().count();
    (1..=most).contains(&length) && text.trim() == text && !text.chars().any(char::is_control)
}
