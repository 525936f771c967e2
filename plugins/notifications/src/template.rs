//! What is written to a user: a text for each kind, and what has to be known for it.

use serde::Deserialize;
use shop::unprocessable;
use wharf_sdk::Error;

/// The occasions, named like the events that they come with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Registered,
    Confirmed,
    Cancelled,
    Scheduled,
    Delivered,
}

/// What a text can have in it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) name: Option<String>,
    pub(crate) order_id: Option<String>,
    /// In minor units.
    pub(crate) total: Option<i64>,
    pub(crate) currency: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) tracking_number: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) subject: String,
    pub(crate) text: String,
}

/// Characters of a fact that are shown.
const LONGEST: usize = 500;

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Registered, Self::Confirmed, Self::Cancelled, Self::Scheduled, Self::Delivered];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Registered => "user.registered",
            Self::Confirmed => "order.confirmed",
            Self::Cancelled => "order.cancelled",
            Self::Scheduled => "shipping.scheduled",
            Self::Delivered => "shipping.delivered",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What the message is about: there is one of this kind.
    pub(crate) fn reference<'a>(self, user: &'a str, facts: &'a Facts) -> Result<&'a str, Error> {
        match self {
            Self::Registered => Ok(user),
            Self::Confirmed | Self::Cancelled | Self::Scheduled | Self::Delivered => needed("orderId", &facts.order_id),
        }
    }

    pub(crate) fn text(self, facts: &Facts) -> Result<Text, Error> {
        let order = || needed("orderId", &facts.order_id);
        let (subject, text) = match self {
            Self::Registered => {
                let name = needed("name", &facts.name)?;
                ("Welcome".to_owned(), format!("Hello {name}, good to have you here."))
            }
            Self::Confirmed => {
                let (total, currency) =
                    (facts.total.ok_or_else(|| missing("total"))?, needed("currency", &facts.currency)?);
                (format!("Order {} is confirmed", order()?), format!("We received {}.", money(total, currency)))
            }
            Self::Cancelled => {
                let reason = facts.reason.as_deref().unwrap_or("no reason was given");
                let money = "If you paid, the money comes back to your card.";
                (format!("Order {} is cancelled", order()?), format!("Why: {reason}. {money}"))
            }
            Self::Scheduled => {
                let number = needed("trackingNumber", &facts.tracking_number)?;
                (format!("Order {} is on its way", order()?), format!("Its tracking number is {number}."))
            }
            Self::Delivered => (format!("Order {} has arrived", order()?), "Enjoy it.".to_owned()),
        };
        Ok(Text { subject: clean(&subject), text: clean(&text) })
    }
}

/// Facts come from other services, and some of them once from users.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// All currencies of the shop have hundredths.
fn money(amount: i64, currency: &str) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let amount = amount.unsigned_abs();
    format!("{sign}{}.{:02} {currency}", amount / 100, amount % 100)
}

fn needed<'a>(field: &str, value: &'a Option<String>) -> Result<&'a str, Error> {
    value.as_deref().filter(|text| !text.is_empty()).ok_or_else(|| missing(field))
}

fn missing(field: &str) -> Error {
    unprocessable(format!("data.{field}"), "is needed for a message of this kind")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_shown_in_whole_units_and_hundredths() {
        for (amount, shown) in [(0, "0.00 EUR"), (5, "0.05 EUR"), (750, "7.50 EUR"), (-123, "-1.23 EUR")] {
            assert_eq!(money(amount, "EUR"), shown);
        }
        assert_eq!(money(i64::MIN, "EUR"), "-92233720368547758.08 EUR");
    }

    #[test]
    fn texts_are_of_one_line_and_bounded() {
        let reason = Some(format!("a\nb{}", "x".repeat(1000)));
        let facts = Facts { order_id: Some("7".to_owned()), reason, ..Facts::default() };
        let text = Kind::Cancelled.text(&facts).unwrap();
        assert!(text.text.starts_with("Why: abx") && text.text.chars().count() == LONGEST);
    }

    #[test]
    fn every_kind_says_what_it_lacks() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
            assert_eq!(kind.text(&Facts::default()).unwrap_err().status(), 422, "{kind:?}");
        }
    }
}
