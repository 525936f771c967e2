use serde_json::{Value, json};
use shop::testing::{inside, open_to_strangers};
use wharf_sdk::{Delivery, Failure, Method, migrate, published};

use super::*;

fn database() {
    migrate(include_str!("../migrations/0001_messages.sql")).unwrap();
}

fn send(request: Request) -> (u16, Value) {
    let response = ROUTER.handle(inside(request));
    (response.status(), serde_json::from_slice(&response.into_bytes()).unwrap_or(Value::Null))
}

fn post(body: &Value) -> (u16, Value) {
    send(Request::new(Method::Post, "/").with_body(body.to_string()))
}

fn hear(topic: &str, data: &Value) -> Result<(), Failure> {
    EVENTS.handle(Delivery { topic: topic.to_owned(), data: data.to_string().into_bytes(), ..Delivery::default() })
}

fn order(id: &str) -> Value {
    let order = json!({ "id": id, "userId": "ann", "total": 750, "currency": "EUR", "card": "tok_visa", "items": [] });
    json!({ "orderId": id, "version": 2, "reason": "stock: none left", "order": order })
}

fn shipment(id: &str) -> Value {
    json!({ "orderId": id, "userId": "ann", "trackingNumber": "CP000000014DE", "status": "scheduled" })
}

fn messages(target: &str) -> Vec<Value> {
    send(Request::get(target)).1["items"].as_array().unwrap().clone()
}

#[test]
fn every_occasion_is_one_message_however_often_it_is_heard() {
    database();
    let user = json!({ "id": "ann", "username": "ann", "email": "ann@example.com", "name": "Ann" });
    let occasions = [
        ("user.registered", user, "Welcome", "Hello Ann, good to have you here."),
        ("order.confirmed", order("o1"), "Order o1 is confirmed", "We received 7.50 EUR."),
        (
            "order.cancelled",
            order("o1"),
            "Order o1 is cancelled",
            "Why: stock: none left. If you paid, the money comes back to your card.",
        ),
        ("shipping.scheduled", shipment("o1"), "Order o1 is on its way", "Its tracking number is CP000000014DE."),
        ("shipping.delivered", shipment("o1"), "Order o1 has arrived", "Enjoy it."),
    ];
    for _ in 0..2 {
        for (topic, data, ..) in &occasions {
            hear(topic, data).unwrap();
        }
    }
    let kept = messages("/");
    assert_eq!(kept.len(), occasions.len());
    for (topic, _, subject, text) in &occasions {
        let message = kept.iter().find(|message| message["kind"] == *topic).unwrap();
        assert_eq!((&message["subject"], &message["text"]), (&json!(subject), &json!(text)));
        assert_eq!(message["userId"], "ann");
    }
    let events: Vec<_> = published().into_iter().map(Delivery::from).collect();
    assert_eq!(events.len(), occasions.len());
    assert_eq!(
        (events[1].topic.as_str(), events[1].id.as_str()),
        ("notification.sent", "notification-order.confirmed-o1")
    );
    let said: Value = events[1].json().unwrap();
    assert_eq!((&said["userId"], &said["reference"]), (&json!("ann"), &json!("o1")));
    hear("order.confirmed", &order("o2")).unwrap();
    assert_eq!(messages("/").len(), occasions.len() + 1, "another order is another message");
}

#[test]
fn a_call_and_an_event_make_one_message() {
    database();
    let data = json!({ "orderId": "o1", "total": 750, "currency": "EUR" });
    let body = json!({ "userId": "ann", "kind": "order.confirmed", "data": data });
    let (status, first) = post(&body);
    hear("order.confirmed", &order("o1")).unwrap();
    assert_eq!((status, post(&body)), (201, (201, first.clone())));
    assert_eq!((messages("/"), published().len()), (vec![first], 1));
}

#[test]
fn only_services_and_administrators_write_and_everybody_reads_their_own() {
    database();
    hear("order.confirmed", &order("o1")).unwrap();
    let as_user = |request: Request, user: &str| request.with_header("x-wharf-user-id", user);
    let body = json!({ "userId": "ann", "kind": "user.registered", "data": { "name": "Ann" } }).to_string();
    let write = || Request::new(Method::Post, "/").with_body(body.clone());
    assert_eq!(send(as_user(write(), "ann")).0, 403);
    assert_eq!(send(as_user(write(), "root").with_header("x-wharf-user-roles", "admin")).0, 201);
    let count = |user: &str, target: &str| {
        let (status, seen) = send(as_user(Request::get(target), user));
        (status, seen["items"].as_array().map_or(0, Vec::len))
    };
    assert_eq!((count("ann", "/"), count("ann", "/?userId=ann"), count("bob", "/")), ((200, 2), (200, 2), (200, 0)));
    assert_eq!(count("bob", "/?userId=ann"), (403, 0));
    let admin =
        Request::get("/?userId=ann").with_header("x-wharf-user-id", "root").with_header("x-wharf-user-roles", "admin");
    assert_eq!(send(admin).1["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_stranger_writes_and_reads_nothing() {
    database();
    hear("order.confirmed", &order("o1")).unwrap();
    let closed = [(Method::Post, "/"), (Method::Get, "/"), (Method::Get, "/?userId=ann")];
    assert_eq!(open_to_strangers(&ROUTER, &closed), []);
}

#[test]
fn messages_come_in_pages() {
    database();
    for n in 0..5 {
        hear("order.confirmed", &order(&format!("o{n}"))).unwrap();
    }
    let (mut seen, mut target, mut pages) = (Vec::new(), "/?limit=2".to_owned(), 0);
    loop {
        let page = send(Request::get(&target)).1;
        seen.extend(page["items"].as_array().unwrap().iter().map(|message| message["id"].to_string()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => target = format!("/?limit=2&after={next}"),
            None => break,
        }
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!((pages, seen.len()), (3, 5));
    assert_eq!(seen, sorted);
    assert_eq!(send(Request::get("/?limit=0")).0, 422);
}

#[test]
fn what_cannot_be_written_is_refused_by_its_field_and_rejected_as_an_event() {
    database();
    let field = |body: Value| {
        let (status, seen) = post(&body);
        (status, seen["errors"][0]["field"].as_str().unwrap_or_default().to_owned())
    };
    let body = |kind: &str, data: Value| json!({ "userId": "ann", "kind": kind, "data": data });
    assert_eq!(field(body("lottery.won", json!({}))), (422, "kind".to_owned()));
    assert_eq!(field(body("order.confirmed", json!({ "orderId": "o1" }))), (422, "data.total".to_owned()));
    assert_eq!(field(body("shipping.delivered", json!({ "orderId": "a b" }))), (422, "data.orderId".to_owned()));
    assert_eq!(field(json!({ "userId": "", "kind": "user.registered" })), (422, "userId".to_owned()));
    assert_eq!(field(body("user.registered", json!({ "html": "x" }))).0, 400);
    for (topic, data) in [
        ("user.registered", json!({ "id": "ann" })),
        ("order.confirmed", json!({ "orderId": "o1" })),
        ("shipping.scheduled", json!({ "orderId": "o1", "userId": "ann" })),
        ("user.deleted", json!({ "id": "ann" })),
    ] {
        assert!(matches!(hear(topic, &data), Err(Failure::Reject(_))), "{topic}");
    }
    assert_eq!(hear("shipping.scheduled", &json!({ "orderId": "o1", "userId": null })), Ok(()), "nobody to write to");
    assert_eq!((messages("/").len(), published().len()), (0, 0));
}

#[test]
fn without_its_database_it_is_not_healthy_and_events_come_again() {
    assert_eq!(send(Request::get("/health")).0, 500);
    assert!(matches!(hear("order.confirmed", &order("o1")), Err(Failure::Retry(_))));
    database();
    assert_eq!(send(Request::get("/health")).0, 200);
    assert_eq!(send(Request::get("/info")).1["publishes"], json!(["notification.sent"]));
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
