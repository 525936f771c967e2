//! An order is what happened to it: the aggregate of `wharf_sdk::es`.
//!
//! ```text
//! Created → pending → Confirmed → confirmed → Shipped → shipped → Delivered → delivered
//!              │                      │
//!              └────── Cancelled ─────┴──→ cancelled
//! ```
//!
//! Only [`crate::commands`] decides what may happen; here is what it means. Events are kept for ever, so a field may be
//! added with a default and none be taken away.

use serde::{Deserialize, Serialize};
use wharf_sdk::es::Aggregate;

/// One product in an order, at the price of the day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    pub(crate) product_id: String,
    pub(crate) quantity: i64,
    /// In minor units of the order's currency.
    pub(crate) unit_price: i64,
}

/// Where it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Address {
    pub(crate) line1: String,
    pub(crate) city: String,
    pub(crate) postal_code: String,
    pub(crate) country: String,
}

/// Who does what an order needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// The services, told by events.
    #[default]
    Saga,
    /// This service, by calls, while the client waits.
    Sync,
}

/// What an order is from the beginning, and what events tell the other services of it: nobody has to ask back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) mode: Mode,
    pub(crate) items: Vec<Item>,
    pub(crate) currency: String,
    pub(crate) total: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coupon: Option<String>,
    /// A token of the payment provider, no card number.
    pub(crate) card: String,
    pub(crate) shipping_address: Address,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub(crate) enum Happened {
    Created { order: Box<Draft>, at: String },
    Confirmed { payment_id: String },
    Cancelled { reason: String },
    Shipped { tracking: String },
    Delivered,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    #[default]
    Pending,
    Confirmed,
    Shipped,
    Delivered,
    Cancelled,
}

impl Status {
    pub(crate) const ALL: [Self; 5] = [Self::Pending, Self::Confirmed, Self::Shipped, Self::Delivered, Self::Cancelled];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Confirmed => "confirmed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An order as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) draft: Draft,
    pub(crate) status: Status,
    pub(crate) created_at: String,
    pub(crate) payment_id: Option<String>,
    pub(crate) tracking: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Aggregate for Order {
    type Event = Happened;
    const KIND: &'static str = "order";
    /// A stream has five events at most: reading them is quicker than keeping states.
    const SNAPSHOT_EVERY: u64 = 0;

    fn apply(&mut self, event: &Happened) {
        match event {
            Happened::Created { order, at } => {
                self.draft = (**order).clone();
                self.created_at.clone_from(at);
            }
            Happened::Confirmed { payment_id } => {
                self.status = Status::Confirmed;
                self.payment_id = Some(payment_id.clone());
            }
            Happened::Cancelled { reason } => {
                self.status = Status::Cancelled;
                self.reason = Some(reason.clone());
            }
            Happened::Shipped { tracking } => {
                self.status = Status::Shipped;
                self.tracking = Some(tracking.clone());
            }
            Happened::Delivered => self.status = Status::Delivered,
        }
    }
}

/// An order as its customer sees it: everything but the card.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View<'a> {
    id: &'a str,
    user_id: &'a str,
    mode: Mode,
    status: Status,
    items: &'a [Item],
    currency: &'a str,
    total: i64,
    coupon: Option<&'a str>,
    shipping_address: &'a Address,
    payment_id: Option<&'a str>,
    tracking_number: Option<&'a str>,
    /// Why it was cancelled.
    reason: Option<&'a str>,
    created_at: &'a str,
    /// How many things have happened to it.
    version: u64,
}

impl Order {
    pub(crate) fn view(&self, version: u64) -> View<'_> {
        let Draft { id, user_id, mode, items, currency, total, coupon, card: _, shipping_address } = &self.draft;
        View {
            id,
            user_id,
            mode: *mode,
            status: self.status,
            items,
            currency,
            total: *total,
            coupon: coupon.as_deref(),
            shipping_address,
            payment_id: self.payment_id.as_deref(),
            tracking_number: self.tracking.as_deref(),
            reason: self.reason.as_deref(),
            created_at: &self.created_at,
            version,
        }
    }
}
