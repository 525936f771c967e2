//! Each check finds what it is there for: books that are right, and one thing after the other that is not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use serde_json::json;

use super::*;
use crate::books::{Charge, Stock};

fn order(status: &str, payment: &str, shipment: &str) -> Order {
    Order {
        status: status.to_owned(),
        total: 500,
        currency: "EUR".to_owned(),
        items: vec![("pen".to_owned(), 2)],
        was_confirmed: status != "cancelled",
        payment: payment.to_owned(),
        shipment: shipment.to_owned(),
    }
}

fn charge(reference: &str, status: &str) -> Charge {
    Charge { reference: reference.to_owned(), status: status.to_owned(), amount: 500, currency: "EUR".to_owned() }
}

/// One order that was sent, one that was refused.
fn books() -> (Books, Promises) {
    let messages = [("order.cancelled", "no"), ("order.confirmed", "yes"), ("shipping.scheduled", "yes")];
    let mut messages: Vec<_> = messages.map(|(kind, about)| (kind.to_owned(), about.to_owned())).into();
    messages.push(("user.registered".to_owned(), "ann".to_owned()));
    let books = Books {
        orders: BTreeMap::from([
            ("yes".to_owned(), order("shipped", "captured", "scheduled")),
            ("no".to_owned(), order("cancelled", "failed", "")),
        ]),
        stock: BTreeMap::from([("pen".to_owned(), Stock { available: 8, reserved: 0, committed: 2 })]),
        charges: vec![charge("yes", "captured"), charge("no", "declined")],
        messages,
        summary: json!({
            "users": { "registered": 1 },
            "orders": [{ "name": "cancelled", "count": 1 }, { "name": "shipped", "count": 1 }],
            "revenue": [{ "currency": "EUR", "revenue": 500 }],
        }),
        top: json!({}),
        users: vec!["ann".to_owned()],
        dead: Vec::new(),
    };
    let promises = Promises {
        stock: BTreeMap::from([("pen".to_owned(), 10)]),
        orders: BTreeMap::from([("yes".to_owned(), false), ("no".to_owned(), true)]),
        wishes: 2,
        sent: BTreeSet::from(["yes".to_owned()]),
    };
    (books, promises)
}

fn found(change: impl FnOnce(&mut Books, &mut Promises)) -> String {
    let (mut books, mut promises) = books();
    change(&mut books, &mut promises);
    broken(&all(&books, &promises)).join("\n")
}

fn of<'a>(books: &'a mut Books, id: &str) -> &'a mut Order {
    books.orders.get_mut(id).unwrap()
}

#[test]
fn books_that_are_right_are_found_to_be() {
    assert_eq!(found(|_, _| {}), "");
}

#[test]
fn an_order_that_is_lost_or_made_twice_is_found() {
    let lost = found(|_, promises| promises.orders.extend([("lost".to_owned(), false)]));
    assert!(lost.contains("nobody knows order lost"));
    assert!(found(|_, promises| promises.wishes = 1).contains("2 orders came of 1 wishes"));
}

#[test]
fn an_order_that_does_not_end_as_it_must_is_found() {
    assert!(found(|books, _| of(books, "no").status = "pending".to_owned()).contains("order no is pending"));
    let hopeless = found(|books, _| *of(books, "no") = order("shipped", "captured", "scheduled"));
    assert!(hopeless.contains("order no could not be paid or sent, and is shipped"));
    let promised = found(|books, _| *of(books, "yes") = order("cancelled", "refunded", "cancelled"));
    assert!(promised.contains("order yes was promised, and is cancelled"));
}

#[test]
fn stock_that_is_lost_held_or_sold_twice_is_found() {
    for (available, reserved, committed) in [(7, 0, 2), (9, 0, 2), (7, 1, 2), (9, 0, 1), (12, 0, -2), (6, 0, 4)] {
        let stock = Stock { available, reserved, committed };
        let found = found(|books, _| books.stock.extend([("pen".to_owned(), stock)]));
        assert!(found.contains("of each product"), "{stock:?}: {found}");
    }
    assert!(found(|books, _| books.stock.clear()).contains("of pen there were 10"));
}

#[test]
fn money_that_is_kept_lost_or_taken_twice_is_found() {
    let kept = found(|books, _| books.charges[1].status = "captured".to_owned());
    assert!(kept.contains("the bank has {\"EUR\": 1000}") && kept.contains("order no is cancelled, and the bank has"));
    assert!(found(|books, _| books.charges[0].status = "refunded".to_owned()).contains("captured − refunded"));
    assert!(found(|books, _| books.charges[0].amount = 499).contains("captured − refunded"));
    assert!(found(|books, _| books.charges[0].currency = "USD".to_owned()).contains("captured − refunded"));
    assert!(found(|books, _| books.charges.push(charge("yes", "refunded"))).contains("order yes is charged 2 times"));
    assert!(found(|books, _| books.charges.push(charge("who", "declined"))).contains("no such order"));
    let authorized = found(|books, _| books.charges[1].status = "authorized".to_owned());
    assert!(authorized.contains("order no is cancelled, and the bank has"));
    assert!(found(|books, _| of(books, "yes").payment = "pending".to_owned()).contains("its payment pending"));
    assert!(found(|books, _| of(books, "no").payment = "captured".to_owned()).contains("its payment captured"));
}

#[test]
fn what_is_sent_though_it_is_cancelled_or_not_sent_is_found() {
    assert!(found(|books, _| of(books, "no").shipment = "scheduled".to_owned()).contains("order no is cancelled, its"));
    assert!(
        found(|books, _| of(books, "yes").shipment = String::new()).contains("order yes is shipped, its shipment ``")
    );
    assert!(found(|books, _| of(books, "yes").status = "delivered".to_owned()).contains("its shipment `scheduled`"));
}

#[test]
fn a_message_that_is_missing_or_there_twice_is_found() {
    for place in 0..4 {
        assert!(found(|books, _| drop(books.messages.remove(place))).contains("customers are told"), "{place}");
        let twice = found(|books, _| books.messages.push(books.messages[place].clone()));
        assert!(twice.contains("customers are told"), "{place}");
    }
    let never = found(|books, _| books.messages.push(("order.confirmed".to_owned(), "no".to_owned())));
    assert!(never.contains("never happened"), "{never}");
}

#[test]
fn numbers_that_are_others_and_events_that_were_given_up_are_found() {
    assert!(found(|books, _| books.summary["orders"][0]["count"] = json!(2)).contains("analytics"));
    assert!(found(|books, _| books.summary["revenue"][0]["revenue"] = json!(0)).contains("analytics"));
    assert!(found(|books, _| books.summary["users"]["registered"] = json!(3)).contains("users: 3"));
    assert!(found(|books, _| books.dead.push("orders payment.completed: no".to_owned())).contains("given up"));
}
