//! What a basket costs, as a function of products and rules and nothing else.
//!
//! 1. A product's price is converted into the currency of the quote and rounded: the unit price.
//! 2. A line is the unit price times the quantity. From a quantity on, of all lines with the product together, so many
//!    percent are taken off, rounded for each line.
//! 3. A coupon takes off percent of what is left of all lines, or a fixed sum, but never more than that. It is divided
//!    among the lines in proportion, so that each line says what is paid for it.
//!
//! So for each line `unit price × quantity = discount + total`, the same for the whole, and the lines sum to the whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::{self, Rate, TooMuch};

/// A product as the catalog has it.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) price: i64,
}

/// What is bought: a product, how often, and the rate of its currency to that of the quote.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) product: Product,
    pub(crate) quantity: i64,
    pub(crate) rate: Rate,
}

/// From this quantity on so many percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tier {
    pub(crate) quantity: i64,
    pub(crate) percent: i64,
}

/// What a coupon takes off, in the currency of the quote.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reduction {
    Percent(i64),
    Fixed(i64),
}

/// A coupon that may be used, in the currency of the quote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coupon {
    pub(crate) reduction: Reduction,
    /// What has to be paid without it, at least.
    pub(crate) minimum: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quote {
    pub(crate) currency: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) subtotal: i64,
    pub(crate) discount: i64,
    pub(crate) total: i64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub(crate) product_id: String,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) quantity: i64,
    pub(crate) unit_price: i64,
    pub(crate) discount: i64,
    pub(crate) total: i64,
}

/// Why there is no quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The sum is no amount any more.
    TooMuch,
    /// The coupon asks for more than this basket costs: its minimum.
    BelowMinimum(i64),
}

impl From<TooMuch> for Refusal {
    fn from(_: TooMuch) -> Self {
        Self::TooMuch
    }
}

pub(crate) fn quote(
    currency: &str,
    wanted: &[Wanted],
    tiers: &[Tier],
    coupon: Option<&Coupon>,
) -> Result<Quote, Refusal> {
    let mut of_product: BTreeMap<&str, i64> = BTreeMap::new();
    for one in wanted {
        let sum = of_product.entry(&one.product.id).or_default();
        *sum = sum.saturating_add(one.quantity);
    }
    let mut lines = Vec::with_capacity(wanted.len());
    for Wanted { product, quantity, rate } in wanted {
        let unit_price = rate.convert(product.price)?;
        let gross = money::times(unit_price, *quantity)?;
        let bought = of_product.get(product.id.as_str()).copied().unwrap_or_default();
        let discount = money::percent_of(gross, percent(tiers, bought));
        lines.push(Line {
            product_id: product.id.clone(),
            sku: product.sku.clone(),
            name: product.name.clone(),
            quantity: *quantity,
            unit_price,
            discount,
            total: gross - discount,
        });
    }
    if let Some(coupon) = coupon {
        take_off(&mut lines, coupon)?;
    }
    let discount = money::sum(lines.iter().map(|line| line.discount))?;
    let total = money::sum(lines.iter().map(|line| line.total))?;
    let subtotal = money::sum([discount, total])?;
    Ok(Quote { currency: currency.to_owned(), lines, subtotal, discount, total })
}

/// The highest tier that is reached.
fn percent(tiers: &[Tier], quantity: i64) -> i64 {
    let reached = tiers.iter().filter(|tier| tier.quantity <= quantity);
    reached.max_by_key(|tier| tier.quantity).map_or(0, |tier| tier.percent)
}

fn take_off(lines: &mut [Line], coupon: &Coupon) -> Result<(), Refusal> {
    let totals: Vec<_> = lines.iter().map(|line| line.total).collect();
    let total = money::sum(totals.iter().copied())?;
    if total < coupon.minimum {
        return Err(Refusal::BelowMinimum(coupon.minimum));
    }
    let off = match coupon.reduction {
        Reduction::Percent(percent) => money::percent_of(total, percent),
        Reduction::Fixed(amount) => amount.min(total),
    };
    for (line, part) in lines.iter_mut().zip(money::divide(off, &totals)) {
        line.discount += part;
        line.total -= part;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
