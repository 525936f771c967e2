//! A question with all that is needed to answer it: products of the catalog, rules of the database, the time.

use std::collections::BTreeMap;
use std::time::SystemTime;

use shop::{Wrong, unprocessable, wrong};
use wharf_sdk::Error;

use crate::basket::{self, Coupon, Product, Quote, Reduction, Refusal, Wanted};
use crate::input::{CouponInput, Price, Question};
use crate::money::Rate;
use crate::{products, rules};

/// Rates into the currency of the quote.
type Rates = BTreeMap<String, Rate>;

pub(crate) fn of(question: &Question, now: SystemTime) -> Result<Quote, Error> {
    let rates = rules::rates_to(&question.currency)?;
    // Before the catalog is asked: a coupon that is not valid needs no products.
    let coupon = match &question.coupon {
        None => None,
        Some(code) => Some(coupon(code, question, &rates, now)?),
    };
    let wanted = wanted(question, &rates)?;
    let quote = basket::quote(&question.currency, &wanted, &rules::tiers()?, coupon.as_ref());
    quote.map_err(|refusal| match refusal {
        Refusal::TooMuch => unprocessable("items", "cost more than can be counted"),
        Refusal::BelowMinimum(minimum) => {
            let currency = &question.currency;
            unprocessable("coupon", format!("is for baskets from {}.{:02} {currency} on", minimum / 100, minimum % 100))
        }
    })
}

fn wanted(question: &Question, rates: &Rates) -> Result<Vec<Wanted>, Error> {
    let found = products::get(question.items.iter().map(|item| item.product_id.as_str()))?;
    let mut lines = Vec::with_capacity(question.items.len());
    let mut errors = Wrong::default();
    for (place, item) in question.items.iter().enumerate() {
        let id = &item.product_id;
        let name = format!("items[{place}].productId");
        match found.get(id) {
            None => errors.add(wrong(name, format!("there is no product {id}"))),
            Some(product) if !product.active => errors.add(wrong(name, format!("product {id} is not for sale"))),
            Some(product) => match rates.get(&product.price.currency) {
                None => {
                    let (from, to) = (&product.price.currency, &question.currency);
                    errors
                        .add(wrong(name, format!("product {id} is sold in {from}, of which there is no rate to {to}")));
                }
                Some(rate) => {
                    let products::Product { id, sku, name, price, .. } = product.clone();
                    let product = Product { id, sku, name, price: price.amount };
                    lines.push(Wanted { product, quantity: item.quantity, rate: *rate });
                }
            },
        }
    }
    errors.end()?;
    Ok(lines)
}

/// The coupon in the currency of the quote, if it may be used now.
fn coupon(code: &str, question: &Question, rates: &Rates, now: SystemTime) -> Result<Coupon, Error> {
    let refuse = |why: &str| Err(unprocessable("coupon", why));
    let Some(kept) = rules::coupon(code)?.filter(|coupon| coupon.rule.active) else {
        return refuse("there is no such coupon");
    };
    let CouponInput { percent, fixed, minimum, valid_from, valid_to, max_uses, max_uses_per_user, .. } = &kept.rule;
    let time = |text: &Option<String>| text.as_ref().and_then(|text| humantime::parse_rfc3339(text).ok());
    if time(valid_from).is_some_and(|from| now < from) {
        return refuse("is not valid yet");
    }
    if time(valid_to).is_some_and(|to| now >= to) {
        return refuse("is not valid any more");
    }
    if max_uses.is_some_and(|most| kept.uses >= most) {
        return refuse("is used up");
    }
    // Without a user it is a preview; the order says whose it is.
    if let (Some(most), Some(user)) = (max_uses_per_user, &question.user_id)
        && rules::uses_by(code, user)? >= *most
    {
        return refuse("was used by this user");
    }
    let reduction = match (percent, fixed) {
        (Some(percent), _) => Reduction::Percent(*percent),
        (None, Some(fixed)) => Reduction::Fixed(converted(fixed, rates, question)?),
        (None, None) => return Err(Error::internal(format_args!("coupon {code} has no worth"))),
    };
    let minimum = minimum.as_ref().map_or(Ok(0), |minimum| converted(minimum, rates, question))?;
    Ok(Coupon { reduction, minimum })
}

fn converted(price: &Price, rates: &Rates, question: &Question) -> Result<i64, Error> {
    let rate = rates.get(&price.currency);
    let amount = rate.and_then(|rate| rate.convert(price.amount).ok());
    amount.ok_or_else(|| unprocessable("coupon", format!("cannot be used in {}", question.currency)))
}
