use serde_json::{Value, json};
use shop::testing::{inside, open_to_strangers};
use wharf_sdk::{Delivery, Failure, Method, migrate};

use super::*;

fn database() {
    migrate(include_str!("../migrations/0001_projections.sql")).unwrap();
}

fn send(request: Request) -> (u16, Value) {
    let response = ROUTER.handle(inside(request));
    (response.status(), serde_json::from_slice(&response.into_bytes()).unwrap_or(Value::Null))
}

fn read(target: &str) -> Value {
    let (status, seen) = send(Request::get(target));
    assert_eq!(status, 200, "{target}: {seen}");
    seen
}

fn event(topic: &str, time: &str, data: Value) -> Delivery {
    let (topic, time, data) = (topic.to_owned(), time.to_owned(), data.to_string().into_bytes());
    Delivery { topic, time, data, ..Delivery::default() }
}

fn order(topic: &str, id: &str, version: u64, items: Value) -> Delivery {
    let order = json!({ "id": id, "userId": "ann", "items": items, "currency": "EUR", "total": 700, "card": "t" });
    let data = json!({ "orderId": id, "version": version, "createdAt": "2026-03-01T08:00:00.000Z", "order": order });
    event(topic, "2026-03-01T09:00:00Z", data)
}

fn paid(topic: &str, id: &str, time: &str, amount: i64, currency: &str) -> Delivery {
    event(topic, time, json!({ "orderId": id, "paymentId": "p", "amount": amount, "currency": currency }))
}

/// A day in the shop.
fn day() -> Vec<Delivery> {
    let pens = |quantity: u64| json!([{ "productId": "pen", "quantity": quantity, "unitPrice": 100 }]);
    let both = || json!([{ "productId": "pen", "quantity": 1 }, { "productId": "ink", "quantity": 9 }]);
    let user = |id: &str, at: &str| event("user.registered", at, json!({ "id": id, "username": id, "createdAt": at }));
    vec![
        user("ann", "2026-02-28T23:59:59.999Z"),
        user("bob", "2026-03-01T00:00:00.000Z"),
        user("eve", "2026-03-01T10:00:00.000Z"),
        event("user.deleted", "2026-03-02T10:00:00Z", json!({ "id": "eve", "deletedAt": "2026-03-02T10:00:00Z" })),
        order("order.created", "o1", 1, pens(2)),
        order("order.confirmed", "o1", 2, pens(2)),
        order("order.shipped", "o1", 3, pens(2)),
        order("order.delivered", "o1", 4, pens(2)),
        order("order.created", "o2", 1, both()),
        order("order.confirmed", "o2", 2, both()),
        order("order.created", "o3", 1, pens(50)),
        order("order.confirmed", "o3", 2, pens(50)),
        order("order.cancelled", "o3", 3, pens(50)),
        order("order.created", "o4", 1, pens(70)),
        order("order.created", "o5", 1, pens(90)),
        order("order.cancelled", "o5", 2, pens(90)),
        paid("payment.completed", "o1", "2026-03-01T09:00:00Z", 200, "EUR"),
        paid("payment.completed", "o2", "2026-03-01T09:00:00Z", 1000, "USD"),
        paid("payment.completed", "o3", "2026-03-01T23:00:00Z", 5000, "EUR"),
        paid("payment.refunded", "o3", "2026-03-02T01:00:00Z", 5000, "EUR"),
        event("payment.failed", "2026-03-02T01:00:00Z", json!({ "orderId": "o5", "reason": "declined" })),
    ]
}

fn all() -> [Value; 3] {
    ["/summary", "/revenue?from=2026-02-01&to=2026-03-31", "/products/top"].map(read)
}

fn hear(events: &[Delivery]) {
    for event in events {
        assert_eq!(EVENTS.handle(event.clone()), Ok(()), "{event:?}");
    }
}

#[test]
fn the_numbers_are_those_of_the_events() {
    database();
    hear(&day());
    let [summary, revenue, products] = all();
    let count = |name: &str, count: u64| json!({ "name": name, "count": count });
    assert_eq!(
        summary,
        json!({
            "users": {
                "registered": 3, "deleted": 1, "byDay": [count("2026-03-01", 2), count("2026-02-28", 1)],
            },
            "orders": [count("cancelled", 2), count("confirmed", 1), count("delivered", 1), count("pending", 1)],
            "payments": [count("captured", 3), count("failed", 1), count("refunded", 1)],
            "revenue": [
                { "currency": "EUR", "captured": 5200, "refunded": 5000, "revenue": 200 },
                { "currency": "USD", "captured": 1000, "refunded": 0, "revenue": 1000 },
            ],
        })
    );
    assert_eq!(
        revenue["items"],
        json!([
            { "day": "2026-03-02", "currency": "EUR", "captured": 0, "refunded": 5000, "revenue": -5000 },
            { "day": "2026-03-01", "currency": "EUR", "captured": 5200, "refunded": 0, "revenue": 5200 },
            { "day": "2026-03-01", "currency": "USD", "captured": 1000, "refunded": 0, "revenue": 1000 },
        ])
    );
    assert_eq!(
        products["items"],
        json!([{ "productId": "ink", "quantity": 9, "orders": 1 }, { "productId": "pen", "quantity": 3, "orders": 2 }])
    );
    assert_eq!(read("/products/top?limit=1")["items"].as_array().unwrap().len(), 1);
}

#[test]
fn any_order_any_number_of_times_and_a_replay_end_with_the_same_numbers() {
    database();
    let events = day();
    hear(&events);
    let wanted = all();
    // Once more, on top.
    hear(&events);
    assert_eq!(all(), wanted);
    for turn in 0..events.len() {
        assert_eq!(send(Request::new(Method::Post, "/reset")).0, 204);
        assert_eq!(read("/summary")["orders"], json!([]));
        assert_eq!(
            (read("/products/top")["items"].clone(), read("/summary")["users"]["registered"].clone()),
            (json!([]), json!(0))
        );
        let mut mixed = events.clone();
        // Backwards and from every place on, with some of them twice.
        mixed.reverse();
        mixed.rotate_left(turn);
        mixed.extend(events.iter().skip(turn).take(5).cloned());
        hear(&mixed);
        assert_eq!(all(), wanted, "turn {turn}");
    }
}

#[test]
fn topics_that_nobody_knows_yet_count_for_nothing_and_what_cannot_be_read_is_rejected() {
    database();
    for topic in ["user.updated", "order.returned", "payment.disputed"] {
        assert_eq!(EVENTS.handle(event(topic, "", json!(7))), Ok(()), "{topic}");
    }
    let mut without_version: Value = order("order.created", "o1", 1, json!([])).json().unwrap();
    without_version.as_object_mut().unwrap().remove("version");
    for event in [
        event("user.registered", "", json!({ "id": "ann" })),
        event("order.created", "", without_version),
        event("payment.completed", "2026-03-01T09:00:00Z", json!({ "orderId": "o1", "amount": 1 })),
        event("payment.completed", "soon", json!({ "orderId": "o1", "amount": 1, "currency": "EUR" })),
        event("shipping.scheduled", "", json!({})),
    ] {
        assert!(matches!(EVENTS.handle(event.clone()), Err(Failure::Reject(_))), "{event:?}");
    }
    assert_eq!(read("/summary")["payments"], json!([]));
}

#[test]
fn spans_are_days_and_bounded() {
    database();
    for target in [
        "/revenue?from=2026-02-30&to=2026-03-01",
        "/revenue?from=yesterday",
        "/revenue?from=2026-03-02&to=2026-03-01",
        "/revenue?from=2025-01-01&to=2026-03-01",
    ] {
        assert_eq!(send(Request::get(target)).0, 422, "{target}");
    }
    for target in ["/revenue", "/revenue?from=2026-03-01&to=2026-03-01", "/revenue?from=2025-01-01&to=2026-01-01"] {
        assert_eq!(send(Request::get(target)).0, 200, "{target}");
    }
    assert_eq!(send(Request::get("/products/top?limit=101")).0, 422);
}

#[test]
fn the_numbers_are_for_administrators() {
    database();
    let closed = [
        (Method::Get, "/summary"),
        (Method::Get, "/revenue"),
        (Method::Get, "/products/top"),
        (Method::Post, "/reset"),
    ];
    assert_eq!(open_to_strangers(&ROUTER, &closed), []);
    for (method, target) in closed {
        let with = |roles: &str| {
            send(
                Request::new(method, target)
                    .with_header("x-wharf-user-id", "ann")
                    .with_header("x-wharf-user-roles", roles),
            )
            .0
        };
        assert_eq!(with("customer"), 403, "{target}");
        assert!(with("customer,admin") < 300, "{target}");
        assert_eq!(
            send(Request::new(method, target).with_header("x-wharf-user-roles", "administrator")).0,
            403,
            "{target}"
        );
    }
}

#[test]
fn without_its_database_it_is_not_healthy_and_events_come_again() {
    assert_eq!(send(Request::get("/health")).0, 500);
    let event = order("order.created", "o1", 1, json!([]));
    assert!(matches!(EVENTS.handle(event), Err(Failure::Retry(_))));
    database();
    assert_eq!(send(Request::get("/health")).0, 200);
    assert_eq!(send(Request::get("/info")).1["handles"], json!(["user.*", "order.*", "payment.*"]));
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
