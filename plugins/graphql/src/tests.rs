use std::cell::RefCell;
use std::rc::Rc;

use serde_json::{Value, json};
use wharf_sdk::{Error, Method, Request, Response, answer_calls, set_config};

use super::*;

mod batches;
mod http;

/// What the services were asked, in order: host, path with query as it came.
pub(super) type Asked = Rc<RefCell<Vec<String>>>;

fn order(number: usize) -> Value {
    let item = |product: usize| json!({ "productId": format!("p{product}"), "quantity": 2, "unitPrice": 500 });
    json!({
        "id": format!("o{number}"), "userId": format!("u{}", number % 3), "status": "pending", "mode": "saga",
        "items": [item(number % 4), item(number % 4 + 10)], "currency": "EUR", "total": 3_000_000_000_i64,
        "trackingNumber": null, "reason": null, "createdAt": "2026-01-01T00:00:00Z"
    })
}

fn user(id: &str) -> Value {
    json!({ "id": id, "username": format!("name-{id}"), "email": "a@b.example", "name": null, "createdAt": "x" })
}

fn product(id: &str) -> Value {
    json!({
        "id": id, "sku": id, "name": format!("product {id}"), "description": "", "category": "books",
        "price": { "amount": 500, "currency": "EUR" }, "active": true, "version": 1
    })
}

/// The three services, and what they were asked. A service that is named in `down` answers 503.
pub(super) fn services(down: &'static [&'static str]) -> Asked {
    let asked = Asked::default();
    let log = Rc::clone(&asked);
    answer_calls(move |mut request| {
        let host = request.header("host").unwrap();
        let query: Vec<_> = request.queries().map(|(name, value)| format!("{name}={value}")).collect();
        log.borrow_mut().push(format!("{host} {} {}", request.path(), query.join("&")).trim_end().to_owned());
        if down.iter().any(|name| host.starts_with(name)) {
            return Err(Error::new(503, "no place"));
        }
        let ids: Vec<_> = request.query("ids").unwrap_or_default().split(',').map(str::to_owned).collect();
        let page = |items: Vec<Value>| Ok(Response::json(&json!({ "items": items, "next": null })));
        match (host.as_str(), request.path()) {
            ("users.internal", "/") if request.query("ids").is_some() => page(ids.iter().map(|id| user(id)).collect()),
            ("users.internal", "/") => {
                let count = if request.query("limit").as_deref() == Some("100") { 100 } else { 3 };
                page((1..=count).map(|number| user(&format!("u{number}"))).collect())
            }
            ("users.internal", path) => Ok(Response::json(&user(&path[1..]))),
            ("catalog.internal", "/") if request.query("ids").is_some() => {
                page(ids.iter().filter(|id| *id != "p13").map(|id| product(id)).collect())
            }
            ("catalog.internal", "/") => {
                let items = vec![product("p1")];
                Ok(Response::json(&json!({ "items": items, "next": "p1" })))
            }
            ("orders.internal", "/") if request.method() == Method::Post => {
                let body: Value = request.json().unwrap();
                assert_eq!(request.header("x-wharf-user-id").as_deref(), Some("u1"));
                if body["card"] == "bad" {
                    let wrong = wharf_sdk::FieldError { field: "card".to_owned(), detail: "is bad".to_owned() };
                    return Err(Error::unprocessable(vec![wrong]));
                }
                assert_eq!(request.header("idempotency-key").as_deref(), Some("k1"));
                assert_eq!(body["items"], json!([{ "productId": "p1", "quantity": 2 }]));
                assert_eq!(body.get("userId"), None);
                Ok(Response::json(&order(1)).with_status(202))
            }
            ("orders.internal", "/") if request.query("userIds").is_some() => {
                let users = request.query("userIds").unwrap();
                let known: Vec<_> = users.split(',').filter(|user| *user != "u3").collect();
                let one = |user: &&str| {
                    let mut one = order(1);
                    one["userId"] = json!(user);
                    one
                };
                let items: Vec<_> = known.iter().map(one).collect();
                let next = |user: &&str| json!({ "userId": user, "next": format!("after-{user}") });
                let users: Vec<_> = known.iter().map(next).collect();
                Ok(Response::json(&json!({ "items": items, "next": null, "users": users })))
            }
            ("orders.internal", "/") => page((0..12).map(order).collect()),
            ("orders.internal", "/o1") => Ok(Response::json(&order(1))),
            _ => Err(Error::not_found("no such thing")),
        }
    });
    asked
}

pub(super) fn as_admin(request: Request) -> Request {
    request.with_header("x-wharf-user-id", "boss").with_header("x-wharf-user-roles", "admin")
}

pub(super) fn as_user(request: Request) -> Request {
    request.with_header("x-wharf-user-id", "u1").with_header("x-wharf-user-roles", "")
}

pub(super) fn question(query: &str) -> Request {
    let body = json!({ "query": query }).to_string();
    Request::new(Method::Post, "/").with_header("content-type", "application/json").with_body(body)
}

pub(super) fn answered(request: Request) -> Value {
    let response = ROUTER.handle(request);
    let status = response.status();
    let bytes = response.into_bytes();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    serde_json::from_slice(&bytes).unwrap()
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn a_service_that_is_down_takes_its_fields_with_it_and_no_more() {
    let asked = services(&["users"]);
    let answer = answered(as_admin(question(
        "{ orders { items { id user { username } items { product { name } } } } product(id: \"p1\") { name } }",
    )));
    let data = &answer["data"];
    let order = data["orders"]["items"][3].as_object().unwrap();
    assert_eq!((order.get("user"), order.get("id")), (Some(&Value::Null), Some(&json!("o3"))), "null, and there");
    assert_eq!(data["orders"]["items"][3]["items"][0]["product"]["name"], "product p3");
    assert_eq!(data["product"]["name"], "product p1");
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 12, "one for each field that is null");
    let third = errors.iter().find(|error| error["path"] == json!(["orders", "items", 3, "user"])).unwrap();
    assert_eq!(third["extensions"]["code"], "UNAVAILABLE");
    assert_eq!(third["extensions"]["service"], "users");
    assert_eq!(third["extensions"]["problem"]["status"], 503);
    assert_eq!(asked.borrow().iter().filter(|line| line.starts_with("users")).count(), 1);
}

#[test]
fn a_user_sees_itself_and_nobody_else() {
    let asked = services(&[]);
    let answer = answered(as_user(question("{ me { username } orders { items { userId user { id } } } }")));
    let data = &answer["data"];
    assert_eq!(data["me"]["username"], "name-u1");
    for order in data["orders"]["items"].as_array().unwrap() {
        let own = order["userId"] == "u1";
        assert_eq!(order["user"]["id"], if own { json!("u1") } else { Value::Null });
    }
    assert_eq!(code(&answer), "FORBIDDEN");
    assert_eq!(*asked.borrow(), ["orders.internal / limit=20", "users.internal /u1"], "never for others");
}

#[test]
fn who_has_no_token_sees_products_only_and_passes_for_no_service() {
    let asked = services(&[]);
    let query = "{ products(first: 3, search: \"a b&c\", category: \"x\") { items { name } next }
        me { id } user(id: \"u1\") { id } users { items { id } } order(id: \"o1\") { id } orders { items { id } } }";
    let answer = answered(question(query));
    let data = &answer["data"];
    assert_eq!(data["products"], json!({ "items": [{ "name": "product p1" }], "next": "p1" }));
    for name in ["me", "user", "users", "order", "orders"] {
        assert_eq!(data[name], Value::Null, "{name}");
    }
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 4);
    assert!(errors.iter().all(|error| error["extensions"]["code"] == "UNAUTHENTICATED"), "{answer}");
    assert_eq!(*asked.borrow(), ["catalog.internal / limit=3&q=a b&c&category=x"]);
    // Another service that calls on its own behalf does.
    let answer = answered(question("{ user(id: \"u7\") { id } }").with_header("x-wharf-caller", "reports"));
    assert_eq!(answer["data"]["user"]["id"], "u7", "{answer}");
}

#[test]
fn an_order_is_placed_as_the_client() {
    let asked = services(&[]);
    let place = |card: &str| {
        format!(
            "mutation {{ placeOrder(idempotencyKey: \"k1\", input: {{ items: [{{ productId: \"p1\", quantity: 2 }}],
            currency: \"EUR\", card: \"{card}\", shippingAddress: {{ line1: \"1\", city: \"c\", postalCode: \"p\",
            country: \"GB\" }} }}) {{ id status items {{ product {{ name }} }} }} }}"
        )
    };
    let answer = answered(as_user(question(&place("tok_visa"))));
    assert_eq!(answer["data"]["placeOrder"]["status"], "PENDING", "{answer}");
    assert_eq!(answer["data"]["placeOrder"]["items"][0]["product"]["name"], "product p1");
    assert_eq!(*asked.borrow(), ["orders.internal /", "catalog.internal / ids=p1,p11"]);
    // Who asks for orders after one is made sees it.
    let one =
        place("tok_visa").replace("mutation {", "").replace("{ id status", "{ user { orders { next } } id status");
    let one = one.trim_end().strip_suffix('}').unwrap();
    asked.borrow_mut().clear();
    let twice = format!("mutation {{ a: {one} b: {one} }}");
    assert_eq!(answered(as_user(question(&twice))).get("errors"), None);
    let lists = asked.borrow().iter().filter(|line| line.contains("userIds=u1")).count();
    assert_eq!(lists, 2, "{asked:?}");
    let answer = answered(as_user(question(&place("bad"))));
    assert_eq!(code(&answer), "BAD_USER_INPUT");
    let problem = &answer["errors"][0]["extensions"]["problem"];
    assert_eq!(problem["errors"], json!([{ "field": "card", "detail": "is bad" }]));
    assert_eq!(code(&answered(question(&place("tok_visa")))), "UNAUTHENTICATED");
}

#[test]
fn ids_and_pages_are_checked_before_anybody_is_asked() {
    let asked = services(&[]);
    for query in [
        "{ product(id: \"../users\") { id } }",
        "{ product(id: \"a,b\") { id } }",
        "{ user(id: \"\") { id } }",
        "{ order(id: \"a/history\") { id } }",
        "{ products(first: 101) { next } }",
        "{ products(first: 0) { next } }",
        "{ users(first: -5) { next } }",
    ] {
        let answer = answered(as_admin(question(query)));
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{query}");
    }
    assert!(asked.borrow().is_empty());
    let answer = answered(as_admin(question("{ order(id: \"o9\") { id } }")));
    assert_eq!(answer, json!({ "data": { "order": null } }), "what is not there is no failure");
}

#[test]
fn depth_and_cost_are_limited() {
    let asked = services(&[]);
    let deep = |levels: usize| {
        let open = "user { orders(first: 1) { items { ".repeat(levels);
        format!("{{ order(id: \"o1\") {{ {open} id {} }} }}", "} } }".repeat(levels))
    };
    let refused = |query: &str| {
        let answer = answered(as_admin(question(query)));
        assert_eq!(answer.get("data"), None, "{answer}");
        answer["errors"][0]["message"].as_str().unwrap().to_owned()
    };
    assert!(refused(&deep(5)).contains("deep"), "{}", refused(&deep(5)));
    assert!(refused("{ users(first: 100) { items { orders(first: 100) { items { id } } } } }").contains("complex"));
    // Also by variables.
    let body = json!({ "query": "query($n: Int!) { users(first: $n) { items { orders(first: $n) { next } } } }" });
    let with = |n: i32| {
        let mut body = body.clone();
        body["variables"] = json!({ "n": n });
        let request = Request::new(Method::Post, "/").with_header("content-type", "application/json");
        answered(as_admin(request.with_body(body.to_string())))
    };
    assert_eq!(with(100)["errors"].as_array().unwrap().len(), 1);
    assert!(asked.borrow().is_empty(), "nobody was asked");
    assert_eq!(with(3).get("errors"), None);
    assert_eq!(asked.borrow().len(), 2);
}

#[test]
fn the_operator_says_what_a_query_may_cost() {
    services(&[]);
    let refused = |query: &str| answered(question(query)).get("data").is_none();
    let (cheap, dear) = ("{ products(first: 1) { next } }", "{ products(first: 20) { items { name } } }");
    assert_eq!((refused(cheap), refused(dear)), (false, false));
    set_config("max-cost", "10");
    assert_eq!((refused(cheap), refused(dear)), (false, true), "also after it has served others");
    set_config("max-cost", "many");
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 500);
}

#[test]
fn questions_to_other_services_are_counted() {
    let asked = services(&[]);
    let many: Vec<_> = (0..100).map(|n| format!("o{n}: order(id: \"x{n}\") {{ id }}")).collect();
    let answer = answered(as_admin(question(&format!("{{ {} }}", many.join(" ")))));
    assert_eq!(asked.borrow().len(), usize::try_from(session::MOST_CALLS).unwrap());
    assert_eq!(code(&answer), "QUERY_TOO_EXPENSIVE");
    assert_eq!(answer["errors"].as_array().unwrap().len(), 20);
}

#[test]
fn a_short_document_that_means_a_long_one_is_refused_at_once() {
    services(&[]);
    let mut bomb = "{ ...f0 }".to_owned();
    for n in 0..40 {
        bomb.push_str(&format!(" fragment f{n} on Query {{ ...f{} ...f{} }}", n + 1, n + 1));
    }
    bomb.push_str(" fragment f40 on Query { __typename }");
    let began = std::time::Instant::now();
    assert_eq!(code(&answered(question(&bomb))), "QUERY_TOO_LARGE");
    let ring = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }";
    assert_eq!(code(&answered(question(ring))), "GRAPHQL_VALIDATION_FAILED");
    let spiral = "{ __schema { types { fields { type { fields { type { fields { type { name } } } } } } } } }";
    assert_eq!(code(&answered(question(spiral))), "QUERY_TOO_LARGE");
    let nested = format!("{{ a {} {}", "{ a ".repeat(5000), "}".repeat(5001));
    assert_eq!(code(&answered(question(&nested))), "GRAPHQL_PARSE_FAILED");
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
}
