//! Everything read back, from every service that knows something: what the checks are made on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Trouble;
use crate::http::{list, number, text};
use crate::shop::Shop;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// Between two sweeps: what is left behind is taken up at the next.
const SWEEP: Duration = Duration::from_secs(2);

/// An order, and what the services that take part in it know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its state, by `orders`.
    pub status: String,
    /// What it costs.
    pub total: i64,
    /// In which currency.
    pub currency: String,
    /// Products and how many of each.
    pub items: Vec<(String, i64)>,
    /// Whether it was confirmed once.
    pub was_confirmed: bool,
    /// The state of its payment; empty if `payments` has none.
    pub payment: String,
    /// The state of its shipment; empty if `shipping` has none.
    pub shipment: String,
}

/// Stock of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stock {
    /// To be had.
    pub available: i64,
    /// Held for orders that are not confirmed.
    pub reserved: i64,
    /// Gone with orders.
    pub committed: i64,
}

/// A charge, by the bank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The order it is for.
    pub reference: String,
    /// `authorized`, `captured`, `refunded`, `voided` or `declined`.
    pub status: String,
    /// How much.
    pub amount: i64,
    /// Of which currency.
    pub currency: String,
}

/// See the module header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    /// By id.
    pub orders: BTreeMap<String, Order>,
    /// By product.
    pub stock: BTreeMap<String, Stock>,
    /// All of the bank.
    pub charges: Vec<Charge>,
    /// What customers were told: kind, and what about. Sorted.
    pub messages: Vec<(String, String)>,
    /// What analytics counts.
    pub summary: Value,
    /// What analytics says sells best.
    pub top: Value,
    /// Ids of users.
    pub users: Vec<String>,
    /// Events that were given up: service, topic and why.
    pub dead: Vec<String>,
}

impl Order {
    /// Whether it is paid, and stays so.
    pub fn is_alive(&self) -> bool {
        matches!(self.status.as_str(), "confirmed" | "shipped" | "delivered")
    }
}

impl Books {
    /// Reads all of them.
    ///
    /// # Errors
    /// When a service does not answer.
    pub async fn read(shop: &Shop) -> Result<Self, Trouble> {
        let mut orders = BTreeMap::new();
        for order in shop.all("/api/orders").await? {
            let id = text(&order, "id");
            let payment = state(shop, &format!("/api/payments/{id}")).await?;
            let shipment = state(shop, &format!("/api/shipping/{id}")).await?;
            let item = |item: &Value| (text(item, "productId"), number(item, "quantity"));
            let read = Order {
                status: text(&order, "status"),
                total: number(&order, "total"),
                currency: text(&order, "currency"),
                items: list(&order, "items").iter().map(item).collect(),
                was_confirmed: order.get("paymentId").is_some_and(Value::is_string),
                payment,
                shipment,
            };
            orders.insert(id, read);
        }
        let stock = |stock: &Value| Stock {
            available: number(stock, "available"),
            reserved: number(stock, "reserved"),
            committed: number(stock, "committed"),
        };
        let charge = |charge: &Value| Charge {
            reference: text(charge, "reference"),
            status: text(charge, "status"),
            amount: number(charge, "amount"),
            currency: text(charge, "currency"),
        };
        let shelves = shop.all("/api/inventory").await?;
        let messages = shop.all("/api/notifications").await?;
        let mut messages: Vec<_> =
            messages.iter().map(|message| (text(message, "kind"), text(message, "reference"))).collect();
        messages.sort();
        let letters = shop.admin.get("/api/dead-letters?limit=100").expect(&[200]).await?;
        let letter = |letter: &Value| {
            format!("{} {}: {}", text(letter, "service"), text(letter, "topic"), text(letter, "error"))
        };
        Ok(Self {
            orders,
            stock: shelves.iter().map(|shelf| (text(shelf, "productId"), stock(shelf))).collect(),
            charges: shop.all("/bank/charges").await?.iter().map(charge).collect(),
            messages,
            summary: shop.read("/api/analytics/summary").await?,
            top: shop.read("/api/analytics/products/top").await?,
            users: shop.all("/api/users").await?.iter().map(|user| text(user, "id")).collect(),
            dead: list(&letters, "deadLetters").iter().map(letter).collect(),
        })
    }

    /// Reads them when nothing goes on any more: nothing is pending, nobody is still to be told something, nothing
    /// waits to be given back.
    ///
    /// # Errors
    /// When something still goes on after this time: what.
    pub async fn settled(shop: &Shop, patience: Duration) -> Result<Self, Trouble> {
        let began = Instant::now();
        let (mut swept, mut quiet) = (None::<Instant>, 0);
        loop {
            if swept.is_none_or(|at| at.elapsed() > SWEEP) {
                swept = Some(Instant::now());
                shop.tick("orders.sweep").await?;
                shop.tick("payments.sweep").await?;
            }
            let mut open = open(shop).await?;
            quiet = if open.is_none() { quiet + 1 } else { 0 };
            // Twice: what a service has published a moment ago is on its way to the log.
            if quiet > 1 {
                let books = Self::read(shop).await?;
                open = books.unsettled();
                if open.is_none() {
                    return Ok(books);
                }
                quiet = 0;
            }
            if let Some(what) = open
                && began.elapsed() > patience
            {
                return Err(Trouble::Host(format!("after {patience:?} it still goes on: {what}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn unsettled(&self) -> Option<String> {
        let mut orders = self.orders.iter();
        orders.find_map(|(id, order)| {
            let Order { status, payment, shipment, .. } = order;
            let waits = matches!(status.as_str(), "pending" | "confirmed")
                || payment == "refunding"
                || (status == "cancelled" && payment == "captured");
            waits.then(|| format!("order {id} is {status}, its payment `{payment}`, its shipment `{shipment}`"))
        })
    }
}

/// What is not done yet, by those who know it without much reading.
async fn open(shop: &Shop) -> Result<Option<String>, Trouble> {
    for (service, name, left) in shop.subscriptions().await? {
        if left > 0 {
            return Ok(Some(format!("{left} events of {name} are on their way to {service}")));
        }
    }
    for status in ["pending", "confirmed"] {
        let page = shop.read(&format!("/api/orders?limit=1&status={status}")).await?;
        if let Some(order) = list(&page, "items").first() {
            return Ok(Some(format!("order {} is {status}", text(order, "id"))));
        }
    }
    Ok(None)
}

/// The `status` in an answer; empty if there is nothing.
async fn state(shop: &Shop, path: &str) -> Result<String, Trouble> {
    let answer = shop.gateway.get(path).token(&shop.boss.token).send().await?;
    match answer.status {
        200 => Ok(text(&answer.json(), "status")),
        404 => Ok(String::new()),
        _ => Err(answer.unexpected()),
    }
}
