use std::cell::RefCell;
use std::rc::Rc;

use prost::Message;
use serde_json::{Value, json};
use wharf_sdk::{Error, Method, Request, Response, Trailers, answer_calls, set_config};

use super::*;
use pb::shop::{
    GetOrderRequest, GetProductRequest, ListProductsRequest, Order, OrderState, OrderStatus, Product, WatchOrderRequest,
};

mod protocol;
mod standard;

pub(super) const PRODUCT: &str = "/wharf.shop.v1.Catalog/GetProduct";
const LIST: &str = "/wharf.shop.v1.Catalog/ListProducts";
const ORDER: &str = "/wharf.shop.v1.Orders/GetOrder";
const WATCH: &str = "/wharf.shop.v1.Orders/WatchOrder";

pub(super) fn framed(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, message).unwrap();
    bytes
}

pub(super) fn request(path: &str, body: Vec<u8>) -> Request {
    Request::new(Method::Post, path).with_header("content-type", "application/grpc").with_body(body)
}

fn as_user(request: Request) -> Request {
    request.with_header("x-wharf-user-id", "u1").with_header("x-wharf-user-roles", "")
}

/// The messages of an answer, its status, and what it says.
pub(super) fn answer<M: Message + Default>(request: Request) -> (Vec<M>, i32, String) {
    let response = ROUTER.handle(request);
    assert_eq!((response.status(), response.header_value("content-type")), (200, Some("application/grpc")));
    assert_eq!(response.header_value("grpc-accept-encoding"), Some("identity"));
    let named = |name: &str| response.header_value(name).map(str::to_owned);
    let head: Trailers =
        ["grpc-status", "grpc-message"].iter().filter_map(|name| Some(((*name).to_owned(), named(name)?))).collect();
    let (bytes, trailers) = response.into_bytes_and_trailers();
    assert!(head.is_empty() != trailers.is_empty(), "the status is said once: {head:?} {trailers:?}");
    let all: Trailers = head.into_iter().chain(trailers).collect();
    let found = |wanted: &str| all.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let mut from = bytes.as_slice();
    let mut messages = Vec::new();
    while let Some(message) = frame::read(&mut from).unwrap() {
        messages.push(message);
    }
    (messages, found("grpc-status").unwrap().parse().unwrap(), found("grpc-message").unwrap_or_default())
}

pub(super) fn code<M: Message + Default>(request: Request) -> i32 {
    answer::<M>(request).1
}

fn product(number: usize) -> Value {
    json!({
        "id": format!("p{number}"), "sku": "s", "name": format!("product {number}"), "description": "", "active": true,
        "category": "books", "price": { "amount": 5_000_000_000_i64, "currency": "EUR" }, "version": 1
    })
}

/// All services are this one, and what they were asked.
fn answered_by(answer: impl Fn(&str, &Request) -> Result<Response, Error> + 'static) -> Rc<RefCell<Vec<String>>> {
    let asked = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&asked);
    answer_calls(move |request| {
        let host = request.header("host").unwrap();
        let query: Vec<_> = request.queries().map(|(name, value)| format!("{name}={value}")).collect();
        log.borrow_mut().push(format!("{host} {} {}", request.path(), query.join("&")).trim_end().to_owned());
        answer(&host, &request)
    });
    asked
}

#[test]
fn a_product_is_given() {
    let asked = answered_by(|_, _| Ok(Response::json(&product(7))));
    let (products, status, _) = answer::<Product>(request(PRODUCT, framed(&GetProductRequest { id: "p7".to_owned() })));
    assert_eq!((status, products.len()), (0, 1));
    assert_eq!((products[0].name.as_str(), products[0].price.as_ref().unwrap().amount), ("product 7", 5_000_000_000));
    assert_eq!(*asked.borrow(), ["catalog.internal /p7"]);
    for id in ["", "a/b", "..", "a?b"] {
        let request = request(PRODUCT, framed(&GetProductRequest { id: id.to_owned() }));
        assert_eq!(code::<Product>(request), 3, "{id}");
    }
    assert_eq!(asked.borrow().len(), 1, "nobody is asked for what is no id");
}

#[test]
fn products_stream_over_all_pages_up_to_the_limit() {
    let asked = answered_by(|_, request| {
        let limit: usize = request.query_or("limit", 0).unwrap();
        let from: usize = request.query_or("after", 0).unwrap();
        let items: Vec<_> = (from..from + limit).map(product).collect();
        Ok(Response::json(&json!({ "items": items, "next": (from + limit).to_string() })))
    });
    let list = |limit: u32| {
        let wanted = ListProductsRequest { query: "a b".to_owned(), category: String::new(), limit };
        answer::<Product>(request(LIST, framed(&wanted)))
    };
    let (products, status, _) = list(230);
    assert_eq!((products.len(), status), (230, 0));
    assert_eq!(products[229].id, "p229");
    assert_eq!(
        *asked.borrow(),
        [
            "catalog.internal / limit=100&q=a b",
            "catalog.internal / limit=100&q=a b&after=100",
            "catalog.internal / limit=30&q=a b&after=200"
        ]
    );
    assert_eq!(list(0).0.len(), 100);
    assert_eq!(list(1001).1, 3);
}

#[test]
fn what_breaks_in_the_middle_of_a_stream_is_its_end() {
    answered_by(|_, request| {
        if request.query("after").is_some() {
            return Err(Error::new(503, "no place"));
        }
        Ok(Response::json(&json!({ "items": [product(1)], "next": "x" })))
    });
    let (products, status, message) = answer::<Product>(request(LIST, framed(&ListProductsRequest::default())));
    assert_eq!((products.len(), status), (1, 14));
    assert_eq!(message, "catalog does not answer this now (503)");
}

#[test]
fn an_order_is_for_who_may_see_it() {
    let asked = answered_by(|_, request| {
        assert_eq!(request.header("x-wharf-user-id").as_deref(), Some("u1"));
        Ok(Response::json(&json!({
            "id": "o1", "userId": "u1", "mode": "saga", "status": "shipped", "currency": "EUR", "total": 990,
            "items": [{ "productId": "p1", "quantity": 3, "unitPrice": 330 }], "trackingNumber": "XX", "reason": null,
            "createdAt": "2026-01-01T00:00:00Z"
        })))
    });
    let body = framed(&GetOrderRequest { id: "o1".to_owned() });
    let (orders, status, _) = answer::<Order>(as_user(request(ORDER, body.clone())));
    assert_eq!((status, orders[0].status(), orders[0].items[0].quantity), (0, OrderStatus::Shipped, 3));
    assert_eq!(code::<Order>(request(ORDER, body)), 16, "nobody is no service");
    assert_eq!(code::<OrderState>(request(WATCH, framed(&WatchOrderRequest { id: "o1".to_owned() }))), 16);
    assert_eq!(asked.borrow().len(), 1);
}

/// A history that has one event more each time it is asked for, with a moment of trouble.
fn history(last: &'static str) -> Rc<RefCell<Vec<String>>> {
    let count = RefCell::new(0);
    answered_by(move |_, _| {
        *count.borrow_mut() += 1;
        let count = *count.borrow();
        if count == 3 {
            return Err(Error::new(503, "no place"));
        }
        let events = [("created", json!({ "total": 1 })), ("confirmed", json!({})), (last, json!({ "reason": "r" }))];
        let event = |(at, (event, data)): (usize, (&str, Value))| {
            let version = at + 1;
            json!({ "version": version, "event": event, "at": "2026-01-01T00:00:00Z", "data": data })
        };
        let items: Vec<_> = events.into_iter().take(count).enumerate().map(event).collect();
        Ok(Response::json(&json!({ "items": items, "next": null })))
    })
}

#[test]
fn an_order_is_watched_until_nothing_can_happen_any_more() {
    let asked = history("cancelled");
    let body = framed(&WatchOrderRequest { id: "o1".to_owned() });
    let (states, status, _) = answer::<OrderState>(as_user(request(WATCH, body)));
    let seen: Vec<_> = states.iter().map(|state| (state.version, state.status())).collect();
    let expected = [(1, OrderStatus::Pending), (2, OrderStatus::Confirmed), (3, OrderStatus::Cancelled)];
    assert_eq!((seen.as_slice(), status, states[2].reason.as_str()), (expected.as_slice(), 0, "r"));
    assert_eq!(asked.borrow().len(), 4, "and a moment of trouble ends nothing");
}

#[test]
fn a_watch_ends_at_the_deadline_of_the_client_or_of_the_operator() {
    for (timeout, longest) in [("300m", "50s"), ("1H", "300ms")] {
        history("shipped");
        set_config("longest", longest);
        let began = std::time::Instant::now();
        let body = framed(&WatchOrderRequest { id: "o1".to_owned() });
        let request = as_user(request(WATCH, body)).with_header("grpc-timeout", timeout);
        let (states, status, _) = answer::<OrderState>(request);
        assert_eq!((states.len(), status), (2, 4));
        assert!(began.elapsed().as_millis() < 2000, "{:?}", began.elapsed());
    }
    set_config("longest", "for ever");
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 500);
}
