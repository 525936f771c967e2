//! The saga: what is heard, in any order and any number of times, and the sweep.

use wharf_sdk::set_config;

use super::*;

fn pending() -> String {
    let seen = order("/");
    assert_eq!((seen.status, seen.json["status"].as_str()), (202, Some("pending")));
    seen.id()
}

fn paid(id: &str) -> Result<(), Failure> {
    hear("payment.completed", &json!({ "orderId": id, "paymentId": "pay-1", "amount": 750, "currency": "EUR" }))
}

fn shipped(id: &str) -> Result<(), Failure> {
    hear("shipping.scheduled", &json!({ "orderId": id, "trackingNumber": "T1" }))
}

fn delivered(id: &str) -> Result<(), Failure> {
    hear("shipping.delivered", &json!({ "orderId": id, "trackingNumber": "T1" }))
}

#[test]
fn an_order_is_told_with_all_that_others_need() {
    let world = World::new();
    let id = pending();
    assert_eq!(world.calls(), [""; 0], "nobody is asked for what events do");
    let events = published();
    let event = Delivery::from(events[0].clone());
    assert_eq!((event.topic.as_str(), event.key.as_deref()), ("order.created", Some(id.as_str())));
    assert_eq!((events.len(), event.id.clone()), (1, format!("order-{id}-1")));
    let data: Value = event.json().unwrap();
    let mut draft = body();
    draft["id"] = json!(id);
    draft["userId"] = json!(USER);
    draft["mode"] = json!("saga");
    draft["total"] = json!(750);
    draft["items"][0]["unitPrice"] = json!(250);
    draft["items"][1]["unitPrice"] = json!(250);
    let created_at = &read(&format!("/{id}"))["createdAt"];
    assert_eq!(data, json!({ "orderId": id, "version": 1, "createdAt": created_at, "order": draft }));
    assert!(!read(&format!("/{id}")).to_string().contains("tok_visa"), "clients do not see cards");
}

#[test]
fn an_order_goes_its_way_by_events() {
    World::new();
    let id = pending();
    for (hear, now) in [(paid as fn(&str) -> _, "confirmed"), (shipped, "shipped"), (delivered, "delivered")] {
        for _ in 0..2 {
            hear(&id).unwrap();
            assert_eq!(status(&id), now);
            assert_rows_are_the_streams();
        }
    }
    let told = told();
    let topics: Vec<_> = told.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(topics, ["order.created", "order.confirmed", "order.shipped", "order.delivered"]);
    assert_eq!((&told[1].1["paymentId"], &told[2].1["trackingNumber"]), (&json!("pay-1"), &json!("T1")));
    let versions: Vec<_> = told.iter().map(|(_, data)| data["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2, 3, 4]);
}

#[test]
fn what_fails_cancels_a_pending_order_and_no_other() {
    World::new();
    let out = |id: &str| hear("inventory.rejected", &json!({ "orderId": id, "reason": "none left", "missing": [] }));
    let declined = |id: &str| hear("payment.failed", &json!({ "orderId": id, "reason": "declined" }));
    for (hear, reason) in [(&out as &dyn Fn(&str) -> _, "stock: none left"), (&declined, "payment: declined")] {
        let id = pending();
        for _ in 0..2 {
            hear(&id).unwrap();
        }
        assert_eq!(read(&format!("/{id}"))["reason"], reason);
        assert_eq!(topics(), ["order.created", "order.cancelled"]);
        let id = pending();
        paid(&id).unwrap();
        hear(&id).unwrap();
        assert_eq!(status(&id), "confirmed");
        published();
    }
}

#[test]
fn money_that_comes_after_the_end_is_sent_back_once_for_each_payment() {
    World::new();
    let id = pending();
    hear("payment.failed", &json!({ "orderId": id, "reason": "r" })).unwrap();
    published();
    for _ in 0..3 {
        paid(&id).unwrap();
    }
    let events: Vec<_> = published().into_iter().map(Delivery::from).collect();
    assert_eq!(events.len(), 1, "an id is published once");
    let data: Value = events[0].json().unwrap();
    assert_eq!((events[0].topic.as_str(), &data["paymentId"]), ("order.cancelled", &json!("pay-1")));
    assert_eq!((data["version"].as_u64(), status(&id)), (Some(2), "cancelled".to_owned()));
}

/// All orders of these five events: the order ends, and what was heard first decides how.
#[test]
fn events_come_in_any_order() {
    World::new();
    let hear = |what: usize, id: &str| match what {
        0 => paid(id),
        1 => shipped(id),
        2 => delivered(id),
        3 => hear("inventory.rejected", &json!({ "orderId": id, "reason": "r", "missing": [] })),
        _ => hear("payment.failed", &json!({ "orderId": id, "reason": "r" })),
    };
    for seed in 0..120 {
        let id = pending();
        let mut left: Vec<usize> = (0..5).collect();
        let mut rest = seed;
        let mut way = Vec::new();
        for choices in (1..=5).rev() {
            way.push(left.remove(rest % choices));
            rest /= choices;
        }
        for what in &way {
            // Twice, and everything from the beginning in between.
            let outcome = (hear(*what, &id), hear(*what, &id));
            assert_eq!(outcome, (Ok(()), Ok(())), "{way:?}");
        }
        let place = |what: usize| way.iter().position(|one| *one == what).unwrap();
        let is_paid = place(0) < place(3) && place(0) < place(4);
        // A parcel of which is heard before the payment is looked at again when the event comes again.
        for what in [1, 2] {
            hear(what, &id).unwrap();
        }
        assert_eq!(status(&id), if is_paid { "delivered" } else { "cancelled" }, "{way:?}");
        let cancelled = topics().iter().filter(|topic| *topic == "order.cancelled").count();
        // Once for the end, once more for the money.
        assert_eq!(cancelled, if is_paid { 0 } else { 2 }, "{way:?}");
    }
    assert_rows_are_the_streams();
}

#[test]
fn what_cannot_be_read_or_is_about_nothing_is_rejected() {
    World::new();
    for (topic, data) in [
        ("payment.completed", json!({ "orderId": 7 })),
        ("payment.completed", json!({ "orderId": "none", "paymentId": "p" })),
        ("inventory.rejected", json!("text")),
        ("order.created", json!({})),
    ] {
        assert!(matches!(hear(topic, &data), Err(Failure::Reject(_))), "{topic} {data}");
    }
}

#[test]
fn a_database_that_fails_is_a_reason_to_try_again() {
    assert!(matches!(paid("7"), Err(Failure::Retry(_))));
}

#[test]
fn while_the_database_is_busy_clients_and_events_come_again() {
    World::new();
    let id = pending();
    sql::transaction(|_| {
        let seen = order("/");
        assert_eq!((seen.status, seen.detail()), (503, "orders cannot be written now, try again later"));
        assert_eq!(send(by(USER, Method::Post, &format!("/{id}/cancel"))).status, 503);
        assert!(matches!(paid(&id), Err(Failure::Retry(_))));
        assert_eq!(status(&id), "pending", "who only looks does not wait");
        Ok::<_, sql::SqlError>(())
    })
    .unwrap();
    assert_eq!(paid(&id), Ok(()));
}

#[test]
fn the_sweep_cancels_what_is_pending_for_too_long() {
    World::new();
    let (young, old, confirmed) = (pending(), pending(), pending());
    paid(&confirmed).unwrap();
    published();
    for id in [&old, &confirmed] {
        let earlier = place::ago(std::time::Duration::from_secs(100));
        sql::execute("UPDATE orders SET created_at = ?2 WHERE id = ?1", wharf_sdk::params![id, earlier]).unwrap();
    }
    set_config("saga-timeout", "2m");
    hear("orders.sweep", &Value::Null).unwrap();
    assert_eq!(topics(), [""; 0]);
    for text in ["90s", "nonsense"] {
        set_config("saga-timeout", text);
        hear("orders.sweep", &Value::Null).unwrap();
    }
    let told = told();
    assert_eq!((told.len(), &told[0].1["orderId"]), (1, &json!(old)));
    assert_eq!(told[0].1["reason"], "nothing was heard of it for 1m 30s");
    assert_eq!((status(&young), status(&confirmed)), ("pending".to_owned(), "confirmed".to_owned()));
}

#[test]
fn a_customer_reads_what_is_missing() {
    World::new();
    let missing = |count: usize| vec![json!({ "productId": PEN, "requested": 5, "available": 2 }); count];
    for (count, reason) in [
        (0, "stock: out of stock".to_owned()),
        (1, format!("stock: 5 of {PEN} are wanted, 2 available")),
        (3, format!("stock: 5 of {PEN} are wanted, 2 available and 2 more")),
    ] {
        let id = pending();
        let data = json!({ "orderId": id, "reason": "out of stock", "missing": missing(count) });
        hear("inventory.rejected", &data).unwrap();
        assert_eq!(read(&format!("/{id}"))["reason"], reason);
    }
}
