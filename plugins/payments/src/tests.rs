use serde_json::{Value, json};
use shop::testing::{inside, open_to_strangers};
use wharf_sdk::{Delivery, Event, Failure, Method, migrate, published, sql};

use super::*;
use bank::{Bank, Fault};

mod bank;
mod saga;

fn start(faults: &[Fault]) -> Bank {
    migrate(include_str!("../migrations/0001_create_payments.sql")).unwrap();
    Bank::open(faults)
}

fn call_as(who: Option<(&str, &str)>, method: Method, target: &str, body: &Value) -> (u16, Value) {
    let mut request = Request::new(method, target).with_header("x-forwarded-prefix", "/api/payments");
    if let Some((id, roles)) = who {
        request = request.with_header("x-wharf-user-id", id).with_header("x-wharf-user-roles", roles);
    }
    let response = ROUTER.handle(inside(request.with_body(body.to_string())));
    (response.status(), serde_json::from_slice(&response.into_bytes()).unwrap_or(Value::Null))
}

/// As another service.
fn call(method: Method, target: &str, body: &Value) -> (u16, Value) {
    call_as(None, method, target, body)
}

fn ask(card: &str, amount: i64) -> Value {
    json!({ "orderId": "o1", "amount": amount, "currency": "EUR", "card": card })
}

fn pay(card: &str, amount: i64) -> (u16, Value) {
    call(Method::Post, "/", &ask(card, amount))
}

fn refund() -> (u16, Value) {
    call(Method::Post, "/o1/refund", &Value::Null)
}

fn status() -> String {
    call(Method::Get, "/o1", &Value::Null).1["status"].as_str().unwrap().to_owned()
}

/// Topics and data of what was published since the last time.
fn told() -> Vec<(String, Value)> {
    let delivered = |event: Event| {
        let event = Delivery::from(event);
        assert_eq!(event.key.as_deref(), Some("o1"));
        (event.topic.clone(), event.json().unwrap())
    };
    published().into_iter().map(delivered).collect()
}

/// The lease of who was cut off is over.
fn later() {
    sql::execute("UPDATE payments SET busy_until = 0", &[]).unwrap();
}

fn charged(status: &str) -> Vec<(String, i64, String)> {
    vec![("o1".to_owned(), 1999, status.to_owned())]
}

#[test]
fn an_order_is_paid_once_however_often_it_is_asked() {
    let bank = start(&[]);
    let (status, first) = pay("tok_visa", 1999);
    assert_eq!(
        (status, &first["status"], &first["orderId"], &first["amount"]),
        (201, &json!("captured"), &json!("o1"), &json!(1999))
    );
    assert_eq!(first.get("card"), None);
    let completed = json!({ "orderId": "o1", "paymentId": first["id"], "amount": 1999, "currency": "EUR" });
    assert_eq!(told(), [("payment.completed".to_owned(), completed)]);
    assert_eq!(pay("tok_visa", 1999), (201, first.clone()));
    assert_eq!(call(Method::Get, "/o1", &Value::Null), (200, first));
    assert_eq!((told().len(), bank.charges()), (0, charged("captured")));
    for (card, amount) in [("tok_visa", 2000), ("tok_other", 1999)] {
        assert_eq!(pay(card, amount).0, 422, "that is another payment");
    }
}

#[test]
fn what_is_declined_stays_declined() {
    let bank = start(&[]);
    for _ in 0..2 {
        let (status, problem) = pay("tok_declined", 1999);
        assert_eq!((status, &problem["detail"]), (402, &json!("the card is declined")));
    }
    assert_eq!(told(), [("payment.failed".to_owned(), json!({ "orderId": "o1", "reason": "the card is declined" }))]);
    assert_eq!((status(), bank.requests()), ("failed".to_owned(), 1));
    assert_eq!(refund().0, 409);
}

#[test]
fn a_provider_says_no_in_its_words_but_within_bounds() {
    start(&[]);
    let (status, problem) = pay("tok_rude", 1);
    let detail = problem["detail"].as_str().unwrap();
    assert_eq!((status, detail.len(), &detail[..4]), (402, 200, "noxx"));
}

#[test]
fn a_card_that_the_provider_does_not_know_fails() {
    start(&[]);
    assert_eq!((pay("tok_unknown", 1).0, status()), (402, "failed".to_owned()));
}

#[test]
fn whatever_is_lost_on_the_way_a_card_is_charged_once() {
    use Fault::{Down, Lost, None};
    for faults in [&[Down][..], &[Lost], &[None, Down], &[None, Lost], &[Lost, Lost], &[Down, Lost, Down, Lost]] {
        std::thread::spawn(move || {
            let bank = start(faults);
            let mut tries = 1;
            while pay("tok_visa", 1999).0 == 503 {
                assert_eq!((status(), told().len()), ("pending".to_owned(), 0), "{faults:?}");
                tries += 1;
            }
            assert_eq!(bank.charges(), charged("captured"), "{faults:?}");
            let topics: Vec<_> = told().into_iter().map(|(topic, _)| topic).collect();
            assert_eq!(topics, ["payment.completed"], "{faults:?}");
            assert_eq!(tries, 1 + faults.iter().filter(|fault| **fault != None).count(), "{faults:?}");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn the_operator_says_where_the_provider_is() {
    let bank = start(&[]);
    wharf_sdk::set_config("provider", "nowhere");
    assert_eq!((pay("tok_visa", 1999).0, bank.requests()), (503, 0));
    wharf_sdk::set_config("provider", "http://127.0.0.1:8080/bank/");
    assert_eq!((pay("tok_visa", 1999).0, bank.charges()), (201, charged("captured")));
}

#[test]
fn what_was_paid_is_given_back_once() {
    let bank = start(&[]);
    let (_, payment) = pay("tok_visa", 1999);
    told();
    bank.fail(&[Fault::Down]);
    assert_eq!((refund().0, status()), (503, "refunding".to_owned()));
    for _ in 0..2 {
        let (status, answer) = refund();
        assert_eq!((status, &answer["status"]), (200, &json!("refunded")));
    }
    let refunded = json!({ "orderId": "o1", "paymentId": payment["id"], "amount": 1999, "currency": "EUR" });
    assert_eq!(told(), [("payment.refunded".to_owned(), refunded)]);
    assert_eq!(bank.charges(), charged("refunded"));
    let (status, problem) = pay("tok_visa", 1999);
    assert_eq!((status, &problem["detail"]), (409, &json!("the order is cancelled")));
    assert_eq!(call(Method::Post, "/none/refund", &Value::Null).0, 404);
}

#[test]
fn nothing_to_pay_needs_no_provider() {
    let bank = start(&[]);
    assert_eq!((pay("tok_declined", 0).0, told().len()), (201, 1));
    assert_eq!((refund().1["status"].clone(), told().len(), bank.requests()), (json!("refunded"), 1, 0));
}

#[test]
fn what_makes_no_sense_is_refused_field_by_field() {
    let bank = start(&[]);
    let body = json!({ "orderId": "a/b", "amount": -1, "currency": "CHF", "card": "" });
    let (status, problem) = call(Method::Post, "/", &body);
    let errors = problem["errors"].as_array().unwrap();
    let fields: Vec<_> = errors.iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!((status, fields), (422, vec!["orderId", "amount", "currency", "card"]));
    assert_eq!(pay("tok_visa", 1_000_000_000_001).0, 422);
    let mut more = ask("tok_visa", 1);
    more["tip"] = json!(1);
    assert_eq!(call(Method::Post, "/", &more).0, 400);
    assert_eq!((bank.requests(), call(Method::Get, "/o1", &Value::Null).0), (0, 404));
}

#[test]
fn users_neither_pay_nor_refund_by_themselves() {
    start(&[]);
    let user = Some(("ann", "customer"));
    assert_eq!(call_as(user, Method::Post, "/", &ask("tok_visa", 1)).0, 403);
    assert_eq!(call_as(user, Method::Post, "/o1/refund", &Value::Null).0, 403);
    assert_eq!(call_as(user, Method::Get, "/o1", &Value::Null).0, 403, "nor learn what orders there are");
    assert_eq!(call_as(Some(("root", "customer,admin")), Method::Post, "/", &ask("tok_visa", 1)).0, 201);
    assert_eq!(call_as(user, Method::Get, "/o1", &Value::Null).0, 403);
}

#[test]
fn a_stranger_learns_nothing_and_changes_nothing() {
    let bank = start(&[]);
    assert_eq!(pay("tok_visa", 1999).0, 201);
    let closed = [(Method::Post, "/"), (Method::Post, "/o1/refund"), (Method::Get, "/o1"), (Method::Get, "/none")];
    assert_eq!(open_to_strangers(&ROUTER, &closed), []);
    assert_eq!(bank.charges(), charged("captured"));
}

#[test]
fn a_payment_by_call_is_seen_by_who_pays() {
    start(&[]);
    let mut ask = ask("tok_visa", 1);
    ask["userId"] = json!("a n n");
    assert_eq!(call(Method::Post, "/", &ask).1["errors"][0]["field"], "userId");
    ask["userId"] = json!("ann");
    assert_eq!(call(Method::Post, "/", &ask).0, 201);
    let seen = |user: &str| call_as(Some((user, "customer")), Method::Get, "/o1", &Value::Null).0;
    assert_eq!((seen("ann"), seen("bob")), (200, 403));
}

#[test]
fn it_is_healthy_with_its_tables_and_says_what_it_is() {
    assert_eq!(call(Method::Get, "/health", &Value::Null).0, 500);
    start(&[]);
    assert_eq!(call(Method::Get, "/health", &Value::Null).0, 200);
    assert_eq!(call(Method::Get, "/info", &Value::Null).1["handles"][0], "inventory.reserved");
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
