use serde_json::{Value, json};
use shop::testing::{inside, open_to_strangers};
use wharf_sdk::{Delivery, Failure, Method, migrate, published, set_config};

use super::*;

fn database() {
    migrate(include_str!("../migrations/0001_shipments.sql")).unwrap();
}

fn send(request: Request) -> (u16, Value) {
    let response = ROUTER.handle(inside(request));
    (response.status(), serde_json::from_slice(&response.into_bytes()).unwrap_or(Value::Null))
}

fn parcel(order: &str) -> Value {
    json!({
        "orderId": order, "userId": "ann",
        "address": { "line1": "1 High Street", "city": "London", "postalCode": "N1", "country": "GB" },
        "items": [{ "productId": "pen", "quantity": 2 }],
    })
}

fn schedule(order: &str) -> (u16, Value) {
    send(Request::new(Method::Post, "/").with_body(parcel(order).to_string()))
}

fn deliver(order: &str) -> (u16, Value) {
    send(Request::new(Method::Post, &format!("/{order}/deliver")))
}

fn hear(topic: &str, order: &str) -> Result<(), Failure> {
    let items = json!([{ "productId": "pen", "quantity": 2, "unitPrice": 250 }]);
    let order_data = json!({
        "id": order, "userId": "ann", "mode": "saga", "items": items, "currency": "EUR", "total": 500,
        "card": "tok_visa", "shippingAddress": parcel(order)["address"],
    });
    let data = json!({ "orderId": order, "version": 2, "order": order_data }).to_string();
    EVENTS.handle(Delivery { topic: topic.to_owned(), data: data.into_bytes(), ..Delivery::default() })
}

fn status(order: &str) -> Value {
    send(Request::get(&format!("/{order}"))).1["status"].clone()
}

fn told() -> Vec<(String, Value)> {
    let events = published().into_iter().map(Delivery::from);
    events.map(|event| (event.id.clone(), event.json().unwrap())).collect()
}

#[test]
fn a_parcel_is_sent_once_however_often_it_is_asked() {
    database();
    let (code, first) = schedule("o1");
    assert_eq!((code, &first["status"], &first["trackingNumber"]), (201, &json!("scheduled"), &json!("CP000000014DE")));
    assert_eq!((schedule("o1"), hear("order.confirmed", "o1")), ((201, first), Ok(())));
    let data = json!({
        "orderId": "o1", "userId": "ann", "trackingNumber": "CP000000014DE", "status": "scheduled",
    });
    assert_eq!(told(), [("shipping-o1-scheduled".to_owned(), data)]);
    set_config("origin-country", "CH");
    assert_eq!(schedule("o2").1["trackingNumber"], "CP000000028CH");
    set_config("origin-country", "Mars");
    assert_eq!(schedule("o3").1["trackingNumber"], "CP000000031DE");
}

#[test]
fn a_call_and_an_event_make_the_same_shipment() {
    database();
    hear("order.confirmed", "o1").unwrap();
    schedule("o2");
    let seen = |order: &str| {
        let mut seen = send(Request::get(&format!("/{order}"))).1;
        assert_eq!(seen["address"], parcel(order)["address"]);
        seen["items"].take()
    };
    assert_eq!((seen("o1"), seen("o2")), (parcel("o")["items"].clone(), parcel("o")["items"].clone()));
}

#[test]
fn a_cancelled_order_takes_its_shipment_with_it() {
    database();
    hear("order.confirmed", "o1").unwrap();
    for _ in 0..2 {
        hear("order.cancelled", "o1").unwrap();
        assert_eq!(status("o1"), "cancelled");
    }
    let ids: Vec<_> = told().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["shipping-o1-scheduled", "shipping-o1-cancelled"]);
    assert_eq!((deliver("o1").0, schedule("o1").0), (409, 409));
}

#[test]
fn what_is_cancelled_before_it_is_confirmed_is_never_sent() {
    database();
    hear("order.cancelled", "o1").unwrap();
    hear("order.confirmed", "o1").unwrap();
    assert_eq!((schedule("o1").0, status("o1"), told().len()), (409, json!("cancelled"), 0));
}

#[test]
fn what_is_delivered_stays_delivered() {
    database();
    schedule("o1");
    assert_eq!(deliver("o1").1["status"], "delivered");
    assert_eq!(deliver("o1").0, 200);
    hear("order.cancelled", "o1").unwrap();
    hear("order.confirmed", "o1").unwrap();
    assert_eq!(status("o1"), "delivered");
    let ids: Vec<_> = told().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["shipping-o1-scheduled", "shipping-o1-delivered"]);
    assert_eq!(deliver("none").0, 404);
}

#[test]
fn only_services_and_administrators_send_and_only_the_owner_sees() {
    database();
    let as_user = |request: Request, user: &str| request.with_header("x-wharf-user-id", user);
    let post = || Request::new(Method::Post, "/").with_body(parcel("o1").to_string());
    assert_eq!(send(as_user(post(), "ann")).0, 403);
    assert_eq!(send(as_user(post(), "root").with_header("x-wharf-user-roles", "admin")).0, 201);
    assert_eq!(send(as_user(Request::new(Method::Post, "/o1/deliver"), "ann")).0, 403);
    let seen = |user: &str| send(as_user(Request::get("/o1"), user)).0;
    assert_eq!((seen("ann"), seen("bob")), (200, 404));
    assert_eq!(send(as_user(Request::get("/o1"), "root").with_header("x-wharf-user-roles", "a, admin")).0, 200);
}

#[test]
fn a_stranger_sends_and_sees_nothing() {
    database();
    schedule("o1");
    told();
    let closed = [(Method::Post, "/"), (Method::Get, "/o1"), (Method::Get, "/none"), (Method::Post, "/o1/deliver")];
    assert_eq!(open_to_strangers(&ROUTER, &closed), []);
    assert_eq!((status("o1"), told().len()), (json!("scheduled"), 0));
}

#[test]
fn every_mistake_is_named_and_what_is_no_order_is_rejected() {
    database();
    let mut bad = parcel("a/b");
    bad["items"] = json!([]);
    bad["address"]["country"] = json!("GBR");
    bad["address"]["city"] = json!("");
    let (code, seen) = send(Request::new(Method::Post, "/").with_body(bad.to_string()));
    let fields: Vec<_> = seen["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    assert_eq!(
        (code, fields),
        (422, vec![json!("orderId"), json!("items"), json!("address.city"), json!("address.country")])
    );
    bad["weight"] = json!(1);
    assert_eq!(send(Request::new(Method::Post, "/").with_body(bad.to_string())).0, 400);
    for topic in ["order.confirmed", "order.cancelled", "order.created"] {
        let event = Delivery { topic: topic.to_owned(), data: b"{}".to_vec(), ..Delivery::default() };
        assert!(matches!(EVENTS.handle(event), Err(Failure::Reject(_))), "{topic}");
    }
}

#[test]
fn without_its_database_it_is_not_healthy_and_events_come_again() {
    assert_eq!(send(Request::get("/health")).0, 500);
    assert!(matches!(hear("order.confirmed", "o1"), Err(Failure::Retry(_))));
    database();
    assert_eq!(send(Request::get("/health")).0, 200);
    assert_eq!(send(Request::get("/info")).1["handles"], json!(["order.confirmed", "order.cancelled"]));
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
