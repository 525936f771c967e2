//! What an order may ask for. All that is wrong is said at once.

use serde::{Deserialize, Serialize};
use shop::{Caller, LARGEST_PAGE, Listing, Wrong, currencies, is_currency, is_id, unprocessable};
use wharf_sdk::{Error, Request};

use crate::order::Address;

const MOST_ITEMS: usize = 50;
const MOST_OF_ONE: i64 = 1000;
/// Orders in one answer about several users, if each of them has as many as are asked for. The largest ones have
/// 10 KiB, and services read 4 MiB of JSON.
pub(crate) const MOST_ORDERS: usize = 400;

/// The body of `POST /`. Written again as JSON it is what a repetition is compared with.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) user_id: Option<String>,
    pub(crate) items: Vec<Wanted>,
    pub(crate) currency: String,
    pub(crate) coupon: Option<String>,
    pub(crate) card: String,
    pub(crate) shipping_address: Address,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) product_id: String,
    pub(crate) quantity: i64,
}

impl Input {
    /// Whose order it is to be, when everything else is in order, too.
    pub(crate) fn check(&self, caller: &Caller) -> Result<String, Error> {
        let mut wrong = Wrong::default();
        let user = match (&self.user_id, caller) {
            (Some(user), _) => user.clone(),
            (None, Caller::User { id, .. }) => id.clone(),
            (None, Caller::Service(_) | Caller::Nobody) => String::new(),
        };
        wrong.unless(is_id(&user), "userId", "is to be the id of a user");
        let count = self.items.len();
        let detail = format!("has {count}, from 1 to {MOST_ITEMS} can be ordered");
        wrong.unless((1..=MOST_ITEMS).contains(&count), "items", detail);
        for (at, item) in self.items.iter().take(MOST_ITEMS).enumerate() {
            let field = |name: &str| format!("items[{at}].{name}");
            wrong.unless(is_id(&item.product_id), field("productId"), "is to be the id of a product");
            let again = self.items.iter().take(at).any(|other| other.product_id == item.product_id);
            wrong.unless(!again, field("productId"), "is there twice");
            let fits = (1..=MOST_OF_ONE).contains(&item.quantity);
            wrong.unless(fits, field("quantity"), format!("is to be from 1 to {MOST_OF_ONE}"));
        }
        wrong.unless(is_currency(&self.currency), "currency", currencies());
        let coupon = self.coupon.as_deref().is_none_or(|text| is_text(text, 64));
        wrong.unless(coupon, "coupon", "is to have 1 to 64 characters");
        wrong.unless(is_word(&self.card), "card", "is to be the token of a card");
        let Address { line1, city, postal_code, country } = &self.shipping_address;
        for (name, text, most) in [("line1", line1, 200), ("city", city, 100), ("postalCode", postal_code, 20)] {
            let field = format!("shippingAddress.{name}");
            wrong.unless(is_text(text, most), field, format!("is to have 1 to {most} characters"));
        }
        let is_country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        wrong.unless(is_country, "shippingAddress.country", "is to be two capital letters (ISO 3166)");
        wrong.end()?;
        caller.check_may_act_for(user.as_str())?;
        Ok(user)
    }
}

/// Whose orders are to be listed.
pub(crate) enum Whose {
    /// Those of a user; of all, if it is none.
    Of(Option<String>),
    /// Of each of these users, a page of its own: who asks for many users does not ask once for each.
    OfEach(Vec<String>),
}

impl Whose {
    /// Whose the request says, if the caller may see them.
    pub(crate) fn read(request: &Request) -> Result<Self, Error> {
        let caller = Caller::known(request)?;
        let Some(text) = request.query("userIds") else {
            return Ok(Self::Of(caller.whose(request.query("userId"))?));
        };
        let mut users = Vec::<String>::new();
        let mut wrong = Wrong::default();
        wrong.unless(request.query("userId").is_none(), "userId", "is not to be there together with `userIds`");
        for user in text.split(',') {
            if !is_id(user) {
                wrong.add(shop::wrong("userIds", "are to be ids of users with commas between them"));
                break;
            }
            if !users.iter().any(|known| known == user) {
                users.push(user.to_owned());
            }
            if users.len() > usize::try_from(LARGEST_PAGE)? {
                wrong.add(shop::wrong("userIds", format!("are to be {LARGEST_PAGE} at most")));
                break;
            }
        }
        wrong.end()?;
        users.iter().try_for_each(|user| caller.check_may_act_for(user.as_str()))?;
        Ok(Self::OfEach(users))
    }
}

/// Whether the pages of so many users fit into an answer.
pub(crate) fn check_size(users: &[String], listing: &Listing) -> Result<(), Error> {
    let most = MOST_ORDERS.checked_div(users.len()).unwrap_or(MOST_ORDERS);
    if usize::try_from(listing.limit)? <= most {
        return Ok(());
    }
    Err(unprocessable("limit", format!("is to be {most} at most for {} users", users.len())))
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn is_text(text: &str, most: usize) -> bool {
    let length = text.chars().count();
    (1..=most).contains(&length) && text.trim() == text && !text.chars().any(char::is_control)
}
