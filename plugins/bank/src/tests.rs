use std::time::Instant;

use serde_json::{Value, json};
use wharf_sdk::{Method, migrate};

use super::*;

fn start() {
    migrate(include_str!("../migrations/0001_create_charges.sql")).unwrap();
}

fn call(method: Method, target: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
    let mut request = Request::new(method, target).with_body(body.to_string());
    if let Some(key) = key {
        request = request.with_header("idempotency-key", key);
    }
    let response = ROUTER.handle(request);
    (response.status(), serde_json::from_slice(&response.into_bytes()).unwrap_or(Value::Null))
}

fn order(card: &str, amount: i64) -> Value {
    json!({ "amount": amount, "currency": "EUR", "card": card, "reference": "order-1" })
}

fn charge(key: &str, card: &str, amount: i64) -> (u16, Value) {
    call(Method::Post, "/charges", Some(key), &order(card, amount))
}

fn step(charge: &Value, step: &str) -> (u16, Value) {
    call(Method::Post, &format!("/charges/{}/{step}", charge["id"].as_str().unwrap()), None, &Value::Null)
}

fn list(query: &str) -> Vec<Value> {
    call(Method::Get, &format!("/charges{query}"), None, &Value::Null).1["items"].as_array().unwrap().clone()
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}

#[test]
fn money_is_authorized_taken_and_given_back() {
    start();
    let (status, first) = charge("a", "tok_visa", 1999);
    assert_eq!((status, &first["status"], &first["amount"]), (201, &json!("authorized"), &json!(1999)));
    for _ in 0..2 {
        let (status, charge) = step(&first, "capture");
        assert_eq!((status, &charge["status"]), (200, &json!("captured")));
    }
    for _ in 0..2 {
        let (status, charge) = step(&first, "refund");
        assert_eq!((status, &charge["status"]), (200, &json!("refunded")));
    }
    assert_eq!(step(&first, "capture").0, 409, "what was given back is not taken again");
    assert_eq!(call(Method::Post, "/charges/none/capture", None, &Value::Null).0, 404);
}

#[test]
fn what_was_only_authorized_is_given_up() {
    start();
    let (_, first) = charge("a", "tok_visa", 1);
    assert_eq!(step(&first, "refund").1["status"], "voided");
    assert_eq!((step(&first, "refund").0, step(&first, "capture").0), (200, 409));
}

#[test]
fn a_key_makes_one_charge() {
    start();
    let (_, first) = charge("a", "tok_visa", 500);
    assert_eq!(charge("a", "tok_visa", 500), (201, first.clone()));
    step(&first, "capture");
    assert_eq!(charge("a", "tok_visa", 500).1["status"], "captured", "as it is now");
    assert_eq!((charge("a", "tok_visa", 501).0, charge("a", "tok_flaky", 500).0), (422, 422));
    assert_eq!(list("").len(), 1);
    assert_eq!(charge("b", "tok_visa", 500).0, 201);
    assert_eq!(list("").len(), 2);
}

#[test]
fn what_a_card_says_is_in_its_token() {
    start();
    for _ in 0..2 {
        let (status, problem) = charge("a", "tok_declined", 1);
        assert_eq!((status, &problem["detail"]), (402, &json!("the card is declined")));
    }
    assert_eq!((charge("b", "tok_insufficient", 10_000).0, charge("c", "tok_insufficient", 10_001).0), (201, 402));
    let tries: Vec<_> = (0..4).map(|_| charge("d", "tok_flaky", 1).0).collect();
    assert_eq!(tries, [503, 503, 201, 201]);
    assert_eq!(charge("e", "tok_flaky", 1).0, 503, "each charge has its own tries");
    let declined = list("").into_iter().find(|charge| charge["status"] == "declined").unwrap();
    assert_eq!((step(&declined, "capture").0, step(&declined, "refund").0), (409, 409));
}

#[test]
fn a_slow_card_takes_its_time() {
    start();
    let began = Instant::now();
    assert_eq!(charge("a", "tok_slow", 1).0, 201);
    assert!(began.elapsed() >= SLOW);
}

#[test]
fn a_charge_that_makes_no_sense_is_refused_field_by_field() {
    start();
    let body = json!({ "amount": 0, "currency": "CHF", "card": "4242", "reference": "" });
    let (status, problem) = call(Method::Post, "/charges", Some("a"), &body);
    let fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!((status, fields), (422, vec!["amount", "currency", "card", "reference"]));
    let mut body = order("tok_visa", 1);
    assert_eq!(call(Method::Post, "/charges", None, &body).0, 400, "no key");
    assert_eq!(call(Method::Post, "/charges", Some("a b"), &body).0, 400);
    body["more"] = json!(1);
    assert_eq!(call(Method::Post, "/charges", Some("a"), &body).0, 400);
    assert_eq!(call(Method::Post, "/charges", Some("a"), &order("tok_visa", i64::MAX)).0, 422);
    assert_eq!(list(""), [Value::Null; 0]);
}

#[test]
fn charges_are_found_by_reference_page_by_page() {
    start();
    let ids: Vec<_> = (0..3).map(|n| charge(&n.to_string(), "tok_visa", 1).1["id"].clone()).collect();
    let other = json!({ "amount": 1, "currency": "EUR", "card": "tok_visa", "reference": "order-2" });
    call(Method::Post, "/charges", Some("other"), &other);
    assert_eq!((list("").len(), list("?reference=order-1").len(), list("?reference=none").len()), (4, 3, 0));
    let (_, page) = call(Method::Get, "/charges?reference=order-1&limit=2", None, &Value::Null);
    let rest = list(&format!("?reference=order-1&limit=2&after={}", page["next"].as_str().unwrap()));
    let seen: Vec<_> = page["items"].as_array().unwrap().iter().chain(&rest).map(|charge| &charge["id"]).collect();
    assert_eq!(seen, ids.iter().collect::<Vec<_>>());
    assert_eq!(call(Method::Get, "/charges?limit=0", None, &Value::Null).0, 422);
    assert_eq!(call(Method::Get, &format!("/charges/{}", ids[0].as_str().unwrap()), None, &Value::Null).0, 200);
}

#[test]
fn it_is_healthy_with_its_tables_and_says_what_it_is() {
    assert_eq!(call(Method::Get, "/health", None, &Value::Null).0, 500);
    start();
    assert_eq!(call(Method::Get, "/health", None, &Value::Null).0, 200);
    assert_eq!(call(Method::Get, "/info", None, &Value::Null).1["name"], "bank");
}
