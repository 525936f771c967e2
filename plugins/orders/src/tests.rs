//! The service as a whole, with the other services played by the tests.

mod events;
mod input;
mod lists;
mod partners;
mod sync;

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use shop::testing::{inside, open_to_strangers};
use wharf_sdk::{Delivery, Failure, Method, Request, answer_calls, migrate, published, sql};

use super::*;

const USER: &str = "0190a000-0000-7000-8000-000000000001";
const OTHER: &str = "0190a000-0000-7000-8000-000000000002";
const PEN: &str = "0190b000-0000-7000-8000-000000000001";
const INK: &str = "0190b000-0000-7000-8000-000000000002";

/// A database as the host makes it.
fn database() {
    migrate(include_str!("../migrations/0001_events.sql")).unwrap();
    migrate(include_str!("../migrations/0002_orders.sql")).unwrap();
}

/// The other services. Each does what it should, unless a test says another answer for the calls it fits.
#[derive(Clone, Default)]
struct World {
    calls: Rc<RefCell<Vec<(String, Value)>>>,
    instead: Rc<RefCell<Vec<(String, u16, Value)>>>,
    meanwhile: Rc<RefCell<Option<Meanwhile>>>,
}

/// What happens while a call is under way.
type Meanwhile = (&'static str, fn(&Value));

impl World {
    fn new() -> Self {
        database();
        let world = Self::default();
        let this = world.clone();
        answer_calls(move |mut request| {
            let host = request.header("host").unwrap();
            let name = format!("{:?} {}{}", request.method(), host.trim_end_matches(".internal"), request.path());
            let body = request.json().unwrap_or(Value::Null);
            this.calls.borrow_mut().push((name.clone(), body.clone()));
            if let Some((_, happen)) = this.meanwhile.borrow_mut().take_if(|(call, _)| name == *call) {
                happen(&body);
            }
            let instead = this.instead.borrow().iter().find(|(prefix, ..)| name.starts_with(prefix)).cloned();
            let (status, answer) = match instead {
                Some((_, status, answer)) => (status, answer),
                None => usual(&name, &body),
            };
            Ok(Response::json(&answer).with_status(status))
        });
        world
    }

    /// From now on, calls that begin like this are answered so.
    fn answers(&self, call: &str, status: u16, answer: Value) {
        self.instead.borrow_mut().insert(0, (call.to_owned(), status, answer));
    }

    /// Once, while this call is under way, this happens.
    fn meanwhile(&self, call: &'static str, happen: fn(&Value)) {
        *self.meanwhile.borrow_mut() = Some((call, happen));
    }

    /// The calls since the last time, without those that every order begins with.
    fn calls(&self) -> Vec<String> {
        let calls = std::mem::take(&mut *self.calls.borrow_mut());
        let names = calls.into_iter().map(|(name, _)| name);
        names.filter(|name| !name.starts_with("Get users/") && name != "Post pricing/quote").collect()
    }
}

fn usual(name: &str, body: &Value) -> (u16, Value) {
    match name {
        "Post pricing/quote" => {
            let line = |item: &Value| {
                let quantity = item["quantity"].as_i64().unwrap();
                json!({
                    "productId": item["productId"], "sku": "S", "name": "N", "quantity": quantity,
                    "unitPrice": 250, "discount": 0, "total": 250 * quantity,
                })
            };
            let items = body["items"].as_array().unwrap();
            let total: i64 = items.iter().map(|item| 250 * item["quantity"].as_i64().unwrap()).sum();
            let lines: Vec<_> = items.iter().map(line).collect();
            let currency = &body["currency"];
            (200, json!({ "currency": currency, "lines": lines, "subtotal": total, "discount": 0, "total": total }))
        }
        "Post payments/" => (201, json!({ "id": "pay-1", "orderId": body["orderId"], "status": "captured" })),
        "Post shipping/" => {
            (201, json!({ "orderId": body["orderId"], "trackingNumber": "CP000000018DE", "status": "scheduled" }))
        }
        _ if name.starts_with("Get users/") => (200, json!({ "id": USER })),
        _ => (201, json!({})),
    }
}

struct Seen {
    status: u16,
    location: Option<String>,
    json: Value,
}

impl Seen {
    fn detail(&self) -> &str {
        self.json["detail"].as_str().unwrap_or_default()
    }

    fn id(&self) -> String {
        self.json["id"].as_str().unwrap().to_owned()
    }
}

fn body() -> Value {
    json!({
        "items": [{ "productId": PEN, "quantity": 2 }, { "productId": INK, "quantity": 1 }],
        "currency": "EUR",
        "card": "tok_visa",
        "shippingAddress": { "line1": "1 High Street", "city": "London", "postalCode": "N1", "country": "GB" },
    })
}

fn send(request: Request) -> Seen {
    let response = ROUTER.handle(inside(request.with_header("x-forwarded-prefix", "/api/orders")));
    Seen {
        status: response.status(),
        location: response.header_value("location").map(str::to_owned),
        json: serde_json::from_slice(&response.into_bytes()).unwrap_or(Value::Null),
    }
}

fn by(user: &str, method: Method, target: &str) -> Request {
    Request::new(method, target).with_header("x-wharf-user-id", user).with_header("x-wharf-user-roles", "customer")
}

fn order(target: &str) -> Seen {
    send(by(USER, Method::Post, target).with_body(body().to_string()))
}

fn keyed(target: &str, key: &str, body: &Value) -> Seen {
    send(by(USER, Method::Post, target).with_header("idempotency-key", key).with_body(body.to_string()))
}

fn read(target: &str) -> Value {
    send(by(USER, Method::Get, target)).json
}

fn status(id: &str) -> String {
    read(&format!("/{id}"))["status"].as_str().unwrap().to_owned()
}

/// What was published since the last time: topics with their data.
fn told() -> Vec<(String, Value)> {
    let events = published().into_iter().map(Delivery::from);
    events.map(|event| (event.topic.clone(), event.json().unwrap())).collect()
}

/// The topics alone.
fn topics() -> Vec<String> {
    told().into_iter().map(|(topic, _)| topic).collect()
}

fn hear(topic: &str, data: &Value) -> Result<(), Failure> {
    let data = data.to_string().into_bytes();
    EVENTS.handle(Delivery { topic: topic.to_owned(), id: "e".to_owned(), data, ..Delivery::default() })
}

/// The rows for questions are what the streams say, for every order.
fn assert_rows_are_the_streams() {
    let rows: Vec<(String, String)> = sql::all("SELECT id, view FROM orders", &[]).unwrap();
    let streams: Vec<(String,)> = sql::all("SELECT DISTINCT stream FROM es_events", &[]).unwrap();
    assert_eq!(rows.len(), streams.len());
    for (id, view) in rows {
        let order = commands::look(&id).unwrap();
        assert_eq!(view, serde_json::to_string(&order.state.view(order.version)).unwrap());
    }
}

#[test]
fn the_tables_of_events_are_those_of_the_sdk() {
    let lines = |text: &str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("--"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(include_str!("../migrations/0001_events.sql")), lines(es::SCHEMA));
}

#[test]
fn it_is_healthy_with_a_database_and_says_what_it_is() {
    assert_eq!(send(Request::get("/health")).status, 500);
    database();
    assert_eq!(send(Request::get("/health")).status, 200);
    let info = send(Request::get("/info")).json;
    assert_eq!((&info["name"], &info["publishes"][0]), (&json!("orders"), &json!("order.created")));
    for topic in info["handles"].as_array().unwrap() {
        let data = json!({ "orderId": "7", "reason": "r", "paymentId": "p", "trackingNumber": "t" });
        let outcome = hear(topic.as_str().unwrap(), &data);
        assert!(!format!("{outcome:?}").contains("handles no events"), "{topic}");
    }
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
