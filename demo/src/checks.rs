//! What has to be true of the books when nothing goes on any more, whatever happened before: kills, faults, replays.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::books::{Books, Order};
use crate::http::{list, number, text};
use crate::shop::Product;

/// What was promised to somebody: the books have to keep it.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// Products and how many there were.
    pub stock: BTreeMap<String, i64>,
    /// Orders that somebody was told of, and whether they must not be confirmed.
    pub orders: BTreeMap<String, bool>,
    /// How often somebody has asked for an order. Each has one at most.
    pub wishes: usize,
    /// Orders that somebody was told are sent.
    pub sent: BTreeSet<String>,
}

/// One of them: its sentence, what was looked at, and what is wrong.
#[derive(Clone, Debug)]
pub struct Check {
    /// What has to be true.
    pub sentence: &'static str,
    /// What was looked at.
    pub seen: String,
    /// What is not so.
    pub broken: Vec<String>,
}

impl Promises {
    /// Nothing but what is in the shelves.
    pub fn of(products: &[Product]) -> Self {
        let stock = products.iter().map(|product| (product.id.clone(), product.stock)).collect();
        Self { stock, ..Self::default() }
    }
}

/// All of them.
pub fn all(books: &Books, promises: &Promises) -> Vec<Check> {
    vec![
        accepted(books, promises),
        ended(books, promises),
        stock(books, promises),
        money(books),
        charged_once(books),
        shipments(books),
        messages(books),
        numbers(books),
        nothing_given_up(books),
    ]
}

/// What is wrong, in all of them.
pub fn broken(checks: &[Check]) -> Vec<String> {
    let wrong = |check: &Check| check.broken.iter().map(|why| format!("{}: {why}", check.sentence)).collect::<Vec<_>>();
    checks.iter().flat_map(wrong).collect()
}

fn accepted(books: &Books, promises: &Promises) -> Check {
    let missing = promises.orders.keys().filter(|id| !books.orders.contains_key(*id));
    let mut broken: Vec<_> = missing.map(|id| format!("nobody knows order {id}")).collect();
    if books.orders.len() > promises.wishes {
        broken.push(format!("{} orders came of {} wishes", books.orders.len(), promises.wishes));
    }
    let seen = format!("{} orders, {} wishes", books.orders.len(), promises.wishes);
    Check { sentence: "every accepted order is there, once", seen, broken }
}

fn ended(books: &Books, promises: &Promises) -> Check {
    let mut broken = Vec::new();
    for (id, Order { status, .. }) in &books.orders {
        if !matches!(status.as_str(), "confirmed" | "shipped" | "delivered" | "cancelled") {
            broken.push(format!("order {id} is {status}"));
        }
        if promises.orders.get(id) == Some(&true) && status != "cancelled" {
            broken.push(format!("order {id} could not be paid or sent, and is {status}"));
        }
        if promises.sent.contains(id) && status == "cancelled" {
            broken.push(format!("order {id} was promised, and is cancelled"));
        }
    }
    let cancelled = books.orders.values().filter(|order| order.status == "cancelled").count();
    let seen = format!("{} sent, {cancelled} cancelled", books.orders.len().saturating_sub(cancelled));
    Check { sentence: "every order is confirmed (or later) or cancelled", seen, broken }
}

fn stock(books: &Books, promises: &Promises) -> Check {
    let mut sold = BTreeMap::<&str, i64>::new();
    for (product, quantity) in books.orders.values().filter(|order| order.is_alive()).flat_map(|order| &order.items) {
        *sold.entry(product).or_default() += quantity;
    }
    let mut broken = Vec::new();
    for (product, initial) in &promises.stock {
        let there = books.stock.get(product).copied().unwrap_or_default();
        let sold = sold.get(product.as_str()).copied().unwrap_or_default();
        if there.available + there.reserved + there.committed != *initial {
            broken.push(format!("of {product} there were {initial}, and now {there:?}"));
        }
        if there.committed != sold || there.reserved != 0 || there.available < 0 {
            broken.push(format!("of {product} {sold} are sold: {there:?}"));
        }
    }
    let seen = format!("{} products, {} pieces sold", promises.stock.len(), sold.values().sum::<i64>());
    Check { sentence: "of each product, initial = available + reserved + committed", seen, broken }
}

fn money(books: &Books) -> Check {
    let mut kept = BTreeMap::<&str, i64>::new();
    for charge in books.charges.iter().filter(|charge| charge.status == "captured") {
        *kept.entry(&charge.currency).or_default() += charge.amount;
    }
    let mut totals = BTreeMap::<&str, i64>::new();
    for order in books.orders.values().filter(|order| order.is_alive()) {
        *totals.entry(&order.currency).or_default() += order.total;
    }
    let mut broken = Vec::new();
    if kept != totals {
        broken.push(format!("the bank has {kept:?}, the orders amount to {totals:?}"));
    }
    for (id, order) in &books.orders {
        let fits = match order.status.as_str() {
            "cancelled" => matches!(order.payment.as_str(), "" | "failed" | "refunded" | "cancelled"),
            _ => order.payment == "captured",
        };
        if !fits {
            broken.push(format!("order {id} is {}, its payment {}", order.status, order.payment));
        }
    }
    let seen = kept.iter().map(|(currency, amount)| format!("{}.{:02} {currency}", amount / 100, amount % 100));
    let seen = seen.collect::<Vec<_>>().join(", ");
    Check { sentence: "captured − refunded = what the confirmed orders cost", seen, broken }
}

fn charged_once(books: &Books) -> Check {
    let mut charges = BTreeMap::<&str, Vec<&str>>::new();
    for charge in &books.charges {
        charges.entry(&charge.reference).or_default().push(&charge.status);
    }
    let mut broken = Vec::new();
    for (id, states) in &charges {
        let order = books.orders.get(*id);
        if states.len() > 1 {
            broken.push(format!("order {id} is charged {} times: {states:?}", states.len()));
        }
        if order.is_none() {
            broken.push(format!("there is a charge for {id}, and no such order"));
        }
        if order.is_some_and(|order| !order.is_alive())
            && states.iter().any(|s| matches!(*s, "authorized" | "captured"))
        {
            broken.push(format!("order {id} is cancelled, and the bank has {states:?}"));
        }
    }
    Check {
        sentence: "no order is charged twice, no cancelled one at all",
        seen: format!("{} charges", charges.len()),
        broken,
    }
}

fn shipments(books: &Books) -> Check {
    let mut broken = Vec::new();
    for (id, Order { status, shipment, .. }) in &books.orders {
        let fits = match status.as_str() {
            "shipped" => shipment == "scheduled" || shipment == "delivered",
            "delivered" => shipment == "delivered",
            _ => shipment.is_empty() || shipment == "cancelled",
        };
        if !fits {
            broken.push(format!("order {id} is {status}, its shipment `{shipment}`"));
        }
    }
    let sent = books.orders.values().filter(|order| order.is_alive()).count();
    Check { sentence: "what is confirmed is sent, and nothing else", seen: format!("{sent} shipments"), broken }
}

fn messages(books: &Books) -> Check {
    let mut due = Vec::new();
    let mut say = |kind: &str, about: &str| due.push((kind.to_owned(), about.to_owned()));
    for (id, order) in &books.orders {
        if order.was_confirmed {
            say("order.confirmed", id);
        }
        match order.status.as_str() {
            "cancelled" => say("order.cancelled", id),
            "delivered" => say("shipping.delivered", id),
            _ => {}
        }
    }
    for id in &books.users {
        say("user.registered", id);
    }
    // Sent and cancelled meanwhile: both is true, and the first may have been told.
    let told: Vec<_> = books.messages.iter().filter(|(kind, _)| kind != "shipping.scheduled").cloned().collect();
    due.sort();
    let counts = |all: &[(String, String)]| {
        let mut counts = BTreeMap::<(String, String), i64>::new();
        all.iter().for_each(|one| *counts.entry(one.clone()).or_default() += 1);
        counts
    };
    let (due, told) = (counts(&due), counts(&told));
    let mut broken = Vec::new();
    for (what, count) in due.iter().filter(|(what, count)| told.get(*what) != Some(count)) {
        broken.push(format!("{what:?} is to be told {count} times, and was {:?}", told.get(what)));
    }
    broken.extend(told.keys().filter(|what| !due.contains_key(*what)).map(|what| format!("{what:?} never happened")));
    let scheduled: Vec<_> = books.messages.iter().filter(|(kind, _)| kind == "shipping.scheduled").collect();
    for (id, _) in books.orders.iter().filter(|(_, order)| order.is_alive()) {
        let count = scheduled.iter().filter(|(_, about)| about == id).count();
        if count != 1 {
            broken.push(format!("that order {id} is sent was told {count} times"));
        }
    }
    Check {
        sentence: "customers are told everything, once",
        seen: format!("{} messages", books.messages.len()),
        broken,
    }
}

fn numbers(books: &Books) -> Check {
    let mut orders = BTreeMap::<&str, i64>::new();
    books.orders.values().for_each(|order| *orders.entry(&order.status).or_default() += 1);
    let mut revenue = BTreeMap::<&str, i64>::new();
    books.orders.values().filter(|o| o.is_alive()).for_each(|o| *revenue.entry(&o.currency).or_default() += o.total);
    let counted = |name: &str, key: &str, value: &str| -> BTreeMap<String, i64> {
        let rows = list(&books.summary, name).iter();
        rows.map(|row| (text(row, key), number(row, value))).filter(|(_, count)| *count != 0).collect()
    };
    let same = |ours: BTreeMap<&str, i64>, theirs: BTreeMap<String, i64>, what: &str| {
        let ours: BTreeMap<_, _> = ours.into_iter().map(|(key, count)| (key.to_owned(), count)).collect();
        (ours != theirs).then(|| format!("{what}: {theirs:?}, and it is {ours:?}"))
    };
    let users = number(books.summary.get("users").unwrap_or(&Value::Null), "registered");
    let users = (usize::try_from(users) != Ok(books.users.len()))
        .then(|| format!("users: {users}, and it is {}", books.users.len()));
    let broken = [
        same(orders, counted("orders", "name", "count"), "orders"),
        same(revenue, counted("revenue", "currency", "revenue"), "revenue"),
        users,
    ];
    let seen = format!("{} rows", list(&books.summary, "orders").len() + list(&books.summary, "revenue").len());
    Check {
        sentence: "analytics, which only heard of it, has the same numbers",
        seen,
        broken: broken.into_iter().flatten().collect(),
    }
}

fn nothing_given_up(books: &Books) -> Check {
    Check { sentence: "no event was given up", seen: "no dead letters".to_owned(), broken: books.dead.clone() }
}

#[cfg(test)]
mod tests;
