mod model;
mod saga;

use serde_json::{Value, json};
use shop::testing::{inside, open_to_strangers, stranger};
use wharf_sdk::{Delivery, Event, Failure, Method, Request, migrate, published};

use super::*;

fn setup() {
    migrate(include_str!("../migrations/0001_create_stock.sql")).unwrap();
}

fn send(request: Request) -> (u16, Value) {
    let response = ROUTER.handle(inside(request));
    let status = response.status();
    (status, serde_json::from_slice(&response.into_bytes()).unwrap_or_default())
}

fn post_to(target: &str, value: &Value) -> (u16, Value) {
    send(Request::new(Method::Post, target).with_body(value.to_string()))
}

fn put_to(target: &str, value: &Value) -> (u16, Value) {
    send(Request::new(Method::Put, target).with_body(value.to_string()))
}

fn stocked(product: &str, available: i64) {
    let (status, body) = put_to(&format!("/{product}"), &json!({ "available": available }));
    assert_eq!(status, 200, "{body}");
}

/// Available, reserved, committed.
fn numbers(product: &str) -> (i64, i64, i64) {
    let (status, body) = send(Request::get(&format!("/{product}")));
    assert_eq!(status, 200, "{body}");
    let number = |name: &str| body[name].as_i64().unwrap();
    (number("available"), number("reserved"), number("committed"))
}

fn wish(order: &str, items: &[(&str, i64)]) -> Value {
    let items: Vec<_> = items.iter().map(|(id, n)| json!({"productId": id, "quantity": n})).collect();
    json!({ "orderId": order, "items": items })
}

/// An event of `orders`, as it is delivered.
fn told(topic: &str, order: &Value) -> Result<(), Failure> {
    let data = json!({ "orderId": order["id"], "version": 1, "order": order });
    EVENTS.handle(Event::json(topic, &data).unwrap().id("x").into())
}

fn order(id: &str, mode: &str, items: &[(&str, i64)]) -> Value {
    let items: Vec<_> = items.iter().map(|(id, n)| json!({"productId": id, "quantity": n, "unitPrice": 5})).collect();
    json!({"id": id, "userId": "u", "mode": mode, "items": items, "currency": "EUR", "total": 5, "card": "tok_visa"})
}

/// What was published since the last time: topic, id, data.
fn answers() -> Vec<(String, String, Value)> {
    let deliveries = published().into_iter().map(Delivery::from);
    deliveries.map(|event| (event.topic.clone(), event.id.clone(), event.json().unwrap())).collect()
}

#[test]
fn stock_is_counted_and_adjusted_and_every_change_has_its_reason() {
    setup();
    assert_eq!(send(Request::get("/p")).0, 404);
    assert_eq!(
        put_to("/p", &json!({"available": 5})).1,
        json!({"productId": "p", "available": 5, "reserved": 0, "committed": 0})
    );
    assert_eq!(post_to("/p/adjust", &json!({"delta": 3, "reason": "delivery"})).1["available"], json!(8));
    assert_eq!(post_to("/p/adjust", &json!({"delta": -2, "reason": "broken"})).1["available"], json!(6));
    let (status, refused) = post_to("/p/adjust", &json!({"delta": -7, "reason": "theft"}));
    assert_eq!(status, 409, "{refused}");
    stocked("p", 6);
    stocked("p", 1);
    let (_, list) = send(Request::get("/movements?product=p"));
    let movement = |item: &Value| (item["delta"].as_i64().unwrap(), item["reason"].as_str().unwrap().to_owned());
    let movements: Vec<_> = list["items"].as_array().unwrap().iter().map(movement).collect();
    let expected = [(5, "counted"), (3, "delivery"), (-2, "broken"), (-5, "counted")];
    assert_eq!(movements, expected.map(|(delta, reason)| (delta, reason.to_owned())));
    let (_, page) = send(Request::get("/movements?product=p&limit=3"));
    let (_, rest) = send(Request::get(&format!("/movements?product=p&after={}", page["next"].as_str().unwrap())));
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
}

#[test]
fn an_adjustment_with_a_key_is_made_once() {
    setup();
    let adjust = |key: &str, delta: i64| {
        let body = json!({"delta": delta, "reason": "delivery"}).to_string();
        send(Request::new(Method::Post, "/p/adjust").with_header("idempotency-key", key).with_body(body))
    };
    let first = adjust("a", 5);
    assert_eq!((first.0, &first.1["available"]), (200, &json!(5)));
    assert_eq!(adjust("b", 2).1["available"], json!(7));
    assert_eq!(adjust("a", 5), first, "the same answer");
    assert_eq!(adjust("a", 6).0, 422);
    assert_eq!(adjust("", 6).0, 422);
    assert_eq!(numbers("p"), (7, 0, 0));
}

#[test]
fn a_reservation_is_all_or_nothing() {
    setup();
    stocked("a", 5);
    stocked("b", 1);
    let (status, refused) = post_to("/reservations", &wish("o1", &[("a", 2), ("b", 2), ("none", 1)]));
    assert_eq!(status, 409);
    assert_eq!(
        refused["missing"],
        json!([{"productId": "b", "requested": 2, "available": 1}, {"productId": "none", "requested": 1, "available": 0}])
    );
    assert!(refused["detail"].as_str().unwrap().contains("2 of b are wanted, 1 available"), "{refused}");
    assert_eq!((numbers("a"), numbers("b")), ((5, 0, 0), (1, 0, 0)));
    assert_eq!(send(Request::get("/reservations/o1")).0, 404, "it can be tried again");

    let (status, made) = post_to("/reservations", &wish("o1", &[("a", 1), ("b", 1), ("a", 1)]));
    assert_eq!((status, &made["status"]), (201, &json!("reserved")));
    assert_eq!(made["items"], json!([{"productId": "a", "quantity": 2}, {"productId": "b", "quantity": 1}]));
    assert_eq!((numbers("a"), numbers("b")), ((3, 2, 0), (0, 1, 0)));
    assert_eq!(post_to("/reservations", &wish("o1", &[("b", 1), ("a", 2)])), (201, made.clone()), "once");
    assert_eq!(post_to("/reservations", &wish("o1", &[("a", 2)])).0, 409, "other items");
    assert_eq!(numbers("a"), (3, 2, 0));
    assert_eq!(send(Request::get("/reservations/o1")), (200, made));
    assert_eq!(published().len(), 0, "who asks by call is answered");
}

#[test]
fn what_is_reserved_leaves_or_comes_back() {
    setup();
    stocked("a", 5);
    let step = |order: &str, step: &str| post_to(&format!("/reservations/{order}/{step}"), &json!({})).0;
    assert_eq!((step("o1", "commit"), step("o1", "release")), (404, 404));
    post_to("/reservations", &wish("o1", &[("a", 2)]));
    post_to("/reservations", &wish("o2", &[("a", 1)]));
    assert_eq!((step("o1", "commit"), step("o1", "commit")), (200, 200));
    assert_eq!(numbers("a"), (2, 1, 2));
    assert_eq!((step("o2", "release"), step("o2", "release")), (200, 200));
    assert_eq!(numbers("a"), (3, 0, 2));
    assert_eq!(step("o2", "commit"), 409);
    assert_eq!(post_to("/reservations", &wish("o2", &[("a", 1)])).0, 409, "it was released");
    assert_eq!(step("o1", "release"), 200, "it comes back");
    assert_eq!(numbers("a"), (5, 0, 0));
    stocked("a", 7);
    assert_eq!(numbers("a"), (7, 0, 0));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    setup();
    let (status, refused) = post_to("/reservations", &wish("o 1", &[("a b", 0), ("a", 1_000_001)]));
    let fields: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!((status, fields.len()), (422, 4), "{refused}");
    assert_eq!(post_to("/reservations", &wish("o1", &[])).0, 422);
    assert_eq!(put_to("/a", &json!({"available": -1})).0, 422);
    assert_eq!(put_to("/a", &json!({"available": 1_000_000_001})).0, 422);
    assert_eq!(put_to("/a", &json!({"available": 1, "reserved": 1})).0, 400);
    assert_eq!(put_to("/info", &json!({"available": 1})).0, 404, "a path is no product");
    assert_eq!(post_to("/a/adjust", &json!({"delta": 0, "reason": " "})).1["errors"].as_array().unwrap().len(), 2);
    for target in ["/?limit=0", "/?limit=101", "/?below=x", "/?below=-1", "/movements?after=x"] {
        assert_eq!(send(Request::get(target)).0, 422, "{target}");
    }
}

#[test]
fn what_there_is_little_of_is_listed() {
    setup();
    for (product, available) in [("a", 5), ("b", 0), ("c", 2), ("d", 3)] {
        stocked(product, available);
    }
    let ids = |target: &str| {
        let (_, list) = send(Request::get(target));
        let ids = list["items"].as_array().unwrap().iter().map(|item| item["productId"].as_str().unwrap().to_owned());
        (ids.collect::<Vec<_>>().concat(), list["next"].as_str().map(str::to_owned))
    };
    assert_eq!(ids("/"), ("abcd".to_owned(), None));
    assert_eq!(ids("/?below=3"), ("bc".to_owned(), None));
    assert_eq!(ids("/?below=4&limit=2"), ("bc".to_owned(), Some("c".to_owned())));
    assert_eq!(ids("/?below=4&limit=2&after=c"), ("d".to_owned(), None));
}

#[test]
fn customers_see_the_stock_of_a_product_and_nothing_else() {
    setup();
    stocked("a", 5);
    post_to("/reservations", &wish("o1", &[("a", 1)]));
    let all = [
        (Method::Get, "/"),
        (Method::Get, "/movements?product=a"),
        (Method::Put, "/a"),
        (Method::Post, "/a/adjust"),
        (Method::Post, "/reservations"),
        (Method::Get, "/reservations/o1"),
        (Method::Post, "/reservations/o1/commit"),
        (Method::Post, "/reservations/o1/release"),
    ];
    for (method, target) in all {
        let customer = Request::new(method, target).with_header("x-wharf-user-id", "u");
        assert_eq!(send(customer).0, 403, "{target}");
        let admin =
            Request::new(method, target).with_header("x-wharf-user-id", "u").with_header("x-wharf-user-roles", "admin");
        assert_ne!(send(admin).0, 403, "{target}");
    }
    assert_eq!(open_to_strangers(&ROUTER, &all), []);
    assert_eq!(stranger(&ROUTER, Method::Get, "/a"), 200);
    assert_eq!(send(Request::get("/a").with_header("x-wharf-user-id", "u")).0, 200);
}

#[test]
fn it_is_healthy_when_its_database_answers_and_says_what_it_is() {
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 500, "no tables");
    setup();
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 200);
    let (_, info) = send(Request::get("/info"));
    assert_eq!((&info["name"], &info["handles"][2]), (&json!("inventory"), &json!("order.cancelled")));
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
