//! What clients may say. All that is wrong is said at once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use shop::{Caller, Wrong, currencies, is_currency, is_id};
use wharf_sdk::{Error, Request};

use crate::basket::Tier;
use crate::money::{HIGHEST, HIGHEST_FACTOR, Rate};

/// Lines of a basket: what the catalog tells of at once.
const MOST_LINES: usize = 100;
const LARGEST_QUANTITY: i64 = 10_000;
const MOST_TIERS: usize = 20;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Item {
    pub(crate) product_id: String,
    pub(crate) quantity: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Question {
    pub(crate) currency: String,
    pub(crate) items: Vec<Item>,
    pub(crate) coupon: Option<String>,
    /// Whose order it would be; one's own, if nothing is said.
    pub(crate) user_id: Option<String>,
}

/// Minor units of a currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) amount: i64,
    pub(crate) currency: String,
}

/// What a coupon is worth, to whom and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CouponInput {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) percent: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fixed: Option<Price>,
    /// What has to be paid without it, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minimum: Option<Price>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_from: Option<String>,
    /// From then on it is not valid any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) valid_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_uses: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_uses_per_user: Option<i64>,
    #[serde(default = "yes")]
    pub(crate) active: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tiers {
    tiers: Vec<Tier>,
}

impl Question {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let mut question: Self = request.json()?;
        let mut wrong = Wrong::default();
        wrong.unless(is_currency(&question.currency), "currency", currencies());
        wrong.unless((1..=MOST_LINES).contains(&question.items.len()), "items", format!("1 to {MOST_LINES}"));
        for (place, item) in question.items.iter().take(MOST_LINES).enumerate() {
            wrong.unless(is_id(&item.product_id), format!("items[{place}].productId"), "is no id");
            let quantity = (1..=LARGEST_QUANTITY).contains(&item.quantity);
            wrong.unless(quantity, format!("items[{place}].quantity"), format!("1 to {LARGEST_QUANTITY}"));
        }
        if let Some(coupon) = &mut question.coupon {
            match code(coupon) {
                Some(code) => *coupon = code,
                None => wrong.unless(false, "coupon", "there is no such coupon"),
            }
        }
        wrong.unless(question.user_id.as_deref().is_none_or(is_id), "userId", "is no id");
        wrong.end()?;
        // Whether somebody has used a coupon is nobody else's business.
        let caller = Caller::of(request);
        match (&question.user_id, &caller) {
            (Some(user), _) => caller.check_may_act_for(user.as_str())?,
            (None, Caller::User { id, .. }) => question.user_id = Some(id.clone()),
            (None, Caller::Service(_) | Caller::Nobody) => {}
        }
        Ok(question)
    }
}

impl CouponInput {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let rule: Self = request.json()?;
        let mut wrong = Wrong::default();
        let kinds = rule.percent.is_some() != rule.fixed.is_some();
        wrong.unless(kinds, "percent", "a coupon has either `percent` or `fixed`");
        wrong.unless(rule.percent.is_none_or(|percent| (1..=100).contains(&percent)), "percent", "1 to 100");
        for (field, price) in [("fixed", &rule.fixed), ("minimum", &rule.minimum)] {
            let Some(price) = price else { continue };
            wrong.unless((1..=HIGHEST).contains(&price.amount), format!("{field}.amount"), format!("1 to {HIGHEST}"));
            wrong.unless(is_currency(&price.currency), format!("{field}.currency"), currencies());
        }
        if let (Some(fixed), Some(minimum)) = (&rule.fixed, &rule.minimum) {
            wrong.unless(fixed.currency == minimum.currency, "minimum.currency", "is not that of `fixed`");
        }
        for (field, time) in [("validFrom", &rule.valid_from), ("validTo", &rule.valid_to)] {
            let fine = time.as_ref().is_none_or(|time| humantime::parse_rfc3339(time).is_ok());
            wrong.unless(fine, field, "is to be a time such as 2026-01-31T12:00:00Z");
        }
        let parsed = |time: &Option<String>| time.as_ref().and_then(|time| humantime::parse_rfc3339(time).ok());
        if let (Some(from), Some(to)) = (parsed(&rule.valid_from), parsed(&rule.valid_to)) {
            wrong.unless(from < to, "validTo", "is not after `validFrom`");
        }
        for (field, uses) in [("maxUses", rule.max_uses), ("maxUsesPerUser", rule.max_uses_per_user)] {
            let fine = uses.is_none_or(|uses| (1..=HIGHEST_FACTOR).contains(&uses));
            wrong.unless(fine, field, format!("1 to {HIGHEST_FACTOR}"));
        }
        wrong.end()?;
        Ok(rule)
    }
}

/// The currencies in the path and the rate in the body.
pub(crate) fn rate(request: &mut Request) -> Result<(String, String, Rate), Error> {
    let (from, to) = (request.param("from").to_owned(), request.param("to").to_owned());
    let rate: Rate = request.json()?;
    let mut wrong = Wrong::default();
    wrong.unless(is_currency(&from), "from", currencies());
    wrong.unless(is_currency(&to), "to", currencies());
    wrong.unless(from != to, "to", "a currency has no rate to itself");
    for (field, part) in [("numerator", rate.numerator), ("denominator", rate.denominator)] {
        wrong.unless((1..=HIGHEST_FACTOR).contains(&part), field, format!("1 to {HIGHEST_FACTOR}"));
    }
    wrong.end()?;
    Ok((from, to, rate))
}

pub(crate) fn tiers(request: &mut Request) -> Result<Vec<Tier>, Error> {
    let Tiers { tiers } = request.json()?;
    let mut wrong = Wrong::default();
    wrong.unless(tiers.len() <= MOST_TIERS, "tiers", format!("at most {MOST_TIERS}"));
    for (place, tier) in tiers.iter().take(MOST_TIERS).enumerate() {
        let quantity = (2..=LARGEST_QUANTITY).contains(&tier.quantity);
        wrong.unless(quantity, format!("tiers[{place}].quantity"), format!("2 to {LARGEST_QUANTITY}"));
        wrong.unless((1..=100).contains(&tier.percent), format!("tiers[{place}].percent"), "1 to 100");
    }
    let quantities: BTreeSet<_> = tiers.iter().map(|tier| tier.quantity).collect();
    wrong.unless(quantities.len() == tiers.len(), "tiers", "two begin at the same quantity");
    wrong.end()?;
    Ok(tiers)
}

/// A coupon's code as it is kept, if it can be one: 3 to 32 letters, digits and `-`, whose case does not count.
pub(crate) fn code(text: &str) -> Option<String> {
    let fits = (3..=32).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    fits.then(|| text.to_ascii_uppercase())
}

fn yes() -> bool {
    true
}
