//! What the services of the shop rely on in each other, asked of the real ones: for each consumer the requests that it
//! makes and what it reads of the answers, and for each handler what it reads of events.
//!
//! A provider may answer more and differently in everything that is not here. Who makes a consumer read something new
//! adds it here, and who changes a provider is told here whom that breaks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use serde_json::{Value, json};
use wharf_demo::folder::SERVICES;
use wharf_demo::http::{Answer, text};
use wharf_demo::wish::{Kind, Mode};
use wharf_tests::{OpenShop, guest};

/// What a field is to be.
#[derive(Clone, Copy, Debug)]
enum Is {
    Text,
    Number,
    Flag,
    /// This text.
    Word(&'static str),
}
use Is::{Flag, Number, Text, Word};

impl Is {
    fn holds(self, value: Option<&Value>) -> bool {
        match self {
            Text => value.is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty())),
            Number => value.is_some_and(Value::is_i64),
            Flag => value.is_some_and(Value::is_boolean),
            Word(word) => value.is_some_and(|value| value == word),
        }
    }
}

/// Places in JSON, and what is to be there.
type Fields<'a> = &'a [(&'static str, Is)];

/// What of it is not so: pointers into the JSON.
fn missing(json: &Value, fields: Fields<'_>) -> Vec<String> {
    let wrong = fields.iter().filter(|(pointer, is)| !is.holds(json.pointer(pointer)));
    wrong.map(|(pointer, is)| format!("`{pointer}` is to be {is:?}, in {json}")).collect()
}

/// Who asks whom for what, the answers that it knows, and what it reads of them.
struct Call<'a> {
    consumer: &'static str,
    ask: (&'static str, String, Value),
    statuses: &'a [u16],
    fields: Fields<'a>,
}

/// A shop with another service in it that may call all of them, and so is as good as any of them.
async fn with_caller() -> OpenShop {
    OpenShop::open_with("2m", |folder| {
        folder.install("caller", &guest("caller")).unwrap();
        folder.set(&["services", "caller"], json!({ "grants": { "calls": SERVICES } })).unwrap();
    })
    .await
}

async fn call(open: &OpenShop, method: &str, url: &str, headers: &[&str], body: &Value) -> Answer {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let headers: String = headers.iter().map(|header| format!("&h={}", encoded(header))).collect();
    let path = format!("/caller/relay?method={method}&url={}{headers}", encoded(url));
    let ask = open.shop.gateway.ask("POST", path);
    if body.is_null() { ask } else { ask.json(body) }.send().await.unwrap()
}

#[tokio::test]
async fn each_service_answers_what_those_who_call_it_read() {
    let mut open = with_caller().await;
    let (pen, ann) = (open.product("pen", 250, 10).await, open.person("ann").await);
    let (none, order, other) = ("0190a000-0000-7000-8000-000000000001", "contract-1", "contract-2");
    let line = |quantity: i64| json!([{ "productId": pen.id, "quantity": quantity }]);
    let address = json!({ "line1": "1 High Street", "city": "London", "postalCode": "N1", "country": "GB" });
    let quote = |product: &str, coupon: Value| {
        let mut body = json!({
            "currency": "EUR", "items": [{ "productId": product, "quantity": 2 }], "userId": ann.id,
        });
        if !coupon.is_null() {
            body["coupon"] = coupon;
        }
        body
    };
    let charge = |order: &str, card: &str| json!({ "orderId": order, "amount": 500, "currency": "EUR", "card": card });
    let message = json!({
        "userId": ann.id, "kind": "order.confirmed", "data": { "orderId": order, "total": 500, "currency": "EUR" },
    });
    let parcel = |address: &Value| json!({ "orderId": order, "userId": ann.id, "address": address, "items": line(2) });
    let detail: Fields<'_> = &[("/detail", Text)];
    let errors: Fields<'_> = &[("/errors/0/field", Text), ("/errors/0/detail", Text)];
    let by_orders = |method, url: String, body, statuses, fields| Call {
        consumer: "orders",
        ask: (method, url, body),
        statuses,
        fields,
    };
    let calls = [
        by_orders("GET", format!("users/{}", ann.id), Value::Null, &[200], &[]),
        by_orders("GET", format!("users/{none}"), Value::Null, &[404], &[]),
        by_orders(
            "POST",
            "pricing/quote".into(),
            quote(&pen.id, Value::Null),
            &[200],
            &[
                ("/currency", Word("EUR")),
                ("/total", Number),
                ("/lines/0/productId", Text),
                ("/lines/0/quantity", Number),
                ("/lines/0/unitPrice", Number),
            ],
        ),
        by_orders("POST", "pricing/quote".into(), quote(none, Value::Null), &[422], errors),
        by_orders("POST", "pricing/quote".into(), quote(&pen.id, json!("NO-SUCH")), &[422], errors),
        by_orders("POST", "inventory/reservations".into(), json!({ "orderId": order, "items": line(2) }), &[201], &[]),
        // The same once more, as after an answer that was lost.
        by_orders(
            "POST",
            "inventory/reservations".into(),
            json!({ "orderId": order, "items": line(2) }),
            &[200, 201],
            &[],
        ),
        by_orders(
            "POST",
            "inventory/reservations".into(),
            json!({ "orderId": other, "items": line(99) }),
            &[409],
            detail,
        ),
        by_orders("POST", format!("inventory/reservations/{none}/release"), Value::Null, &[404, 409], &[]),
        by_orders("POST", "payments/".into(), charge(order, "tok_visa"), &[201], &[("/id", Text)]),
        by_orders("POST", "payments/".into(), charge(order, "tok_visa"), &[200, 201], &[("/id", Text)]),
        by_orders("POST", "payments/".into(), charge(other, "tok_declined"), &[402], detail),
        by_orders("POST", "payments/".into(), charge("contract-3", "tok_flaky"), &[503], &[]),
        by_orders(
            "POST",
            "shipping/".into(),
            parcel(&address),
            &[201],
            &[("/orderId", Word("contract-1")), ("/trackingNumber", Text)],
        ),
        by_orders(
            "POST",
            "shipping/".into(),
            parcel(&json!({ "line1": "", "city": "", "postalCode": "", "country": "" })),
            &[422],
            errors,
        ),
        by_orders("POST", "notifications/".into(), message.clone(), &[200, 201], &[]),
        by_orders("POST", "notifications/".into(), message, &[200, 201], &[]),
        by_orders("POST", format!("payments/{order}/refund"), Value::Null, &[200, 202], &[]),
        by_orders("POST", format!("payments/{none}/refund"), Value::Null, &[404, 409], &[]),
        by_orders("POST", format!("inventory/reservations/{order}/release"), Value::Null, &[200, 204], &[]),
        Call {
            consumer: "pricing",
            ask: ("GET", format!("catalog/?ids={},{none}", pen.id), Value::Null),
            statuses: &[200],
            fields: &[
                ("/items/0/id", Text),
                ("/items/0/sku", Text),
                ("/items/0/name", Text),
                ("/items/0/price/amount", Number),
                ("/items/0/price/currency", Word("EUR")),
                ("/items/0/active", Flag),
            ],
        },
    ];
    let mut broken = Vec::new();
    for Call { consumer, ask: (method, url, body), statuses, fields } in calls {
        let (provider, path) = url.split_once('/').unwrap();
        let answer = call(&open, method, &format!("http://{provider}.internal/{path}"), &[], &body).await;
        let what = format!("{consumer} asks {provider}: {method} /{path} {body}");
        if !statuses.contains(&answer.status) {
            broken.push(format!("{what}: {} and not {statuses:?}: {}", answer.status, answer.text()));
            continue;
        }
        broken.extend(missing(&answer.json(), fields).into_iter().map(|why| format!("{what}: {why}")));
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    // Some of that is nonsense, to hear what is said of it.
    open.sends_nonsense = true;
    open.assert_as_described().await;
}

#[tokio::test]
async fn the_bank_answers_what_payments_reads() {
    let mut open = OpenShop::open("2m").await;
    let charge =
        |card: &str, reference: &str| json!({ "amount": 500, "currency": "EUR", "card": card, "reference": reference });
    let post = async |path: &str, key: &str, body: &Value| {
        let ask = open.shop.gateway.post(format!("/bank{path}"), body);
        ask.header("idempotency-key", key).send().await.unwrap()
    };
    let made = post("/charges", "order-1", &charge("tok_visa", "1")).await;
    assert_eq!((made.status, missing(&made.json(), &[("/id", Text), ("/status", Word("authorized"))])), (201, vec![]));
    let id = text(&made.json(), "id");
    // Asked for again, it is the same one.
    assert_eq!(text(&post("/charges", "order-1", &charge("tok_visa", "1")).await.json(), "id"), id);
    for _ in 0..2 {
        let captured = post(&format!("/charges/{id}/capture"), "", &Value::Null).await;
        assert_eq!(
            (captured.status, missing(&captured.json(), &[("/id", Text), ("/status", Word("captured"))])),
            (200, vec![])
        );
    }
    let again = post("/charges", "order-1", &charge("tok_visa", "1")).await;
    assert_eq!(missing(&again.json(), &[("/status", Word("captured"))]), Vec::<String>::new());
    let found = open.shop.gateway.get("/bank/charges?reference=1&limit=100").expect(&[200]).await.unwrap();
    assert_eq!(missing(&found, &[("/items/0/id", Text), ("/items/0/status", Word("captured"))]), Vec::<String>::new());
    for _ in 0..2 {
        let refunded = post(&format!("/charges/{id}/refund"), "", &Value::Null).await;
        assert_eq!((refunded.status, missing(&refunded.json(), &[("/id", Text), ("/status", Text)])), (200, vec![]));
    }
    assert_eq!(post(&format!("/charges/{id}/capture"), "", &Value::Null).await.status, 409);
    let declined = post("/charges", "order-2", &charge("tok_declined", "2")).await;
    assert_eq!((declined.status, missing(&declined.json(), &[("/detail", Text)])), (402, vec![]));
    let mut tries = Vec::new();
    for _ in 0..3 {
        tries.push(post("/charges", "order-3", &charge("tok_flaky", "3")).await.status);
    }
    assert_eq!(tries, [503, 503, 201]);
    open.assert_as_described().await;
    assert_eq!(post("/charges", "order-4", &charge("no-such-card", "4")).await.status, 422);
    open.sends_nonsense = true;
    open.assert_as_described().await;
}

#[tokio::test]
async fn every_service_has_a_document_and_is_held_to_it() {
    let mut open = OpenShop::open("2m").await;
    let boss = open.shop.boss.token.clone();
    let mut public = Vec::new();
    for name in SERVICES {
        let base = open.health(name).replace("/health", "");
        let document = open.shop.gateway.get(format!("{base}/openapi.json")).expect(&[200]).await.unwrap();
        assert_eq!(document["servers"][0]["url"], json!(base), "{name}");
        assert!(document["paths"]["/info"]["get"].is_object(), "{name}");
        public.push(base);
    }
    // What no document describes is noticed of each of them, and nothing else was.
    open.books().await;
    for base in public {
        open.shop.gateway.get(format!("{base}/no/such/path/at/all")).token(&boss).expect(&[404]).await.unwrap();
    }
    let told = open.broken_promises().await;
    for name in SERVICES {
        let label = format!("service=\"{name}\",direction=\"request\",kind=\"path\"");
        assert!(told.iter().any(|one| one.contains(&label) && one.ends_with(" 1")), "{name}: {told:#?}");
        let logged = format!("{name} ");
        assert!(told.iter().any(|one| one.starts_with(&logged)), "{name}: {told:#?}");
    }
    assert_eq!(told.len(), SERVICES.len() * 2, "{told:#?}");
    // A host that is killed forgets its counters, and nothing is hidden by that.
    open.host.kill().await.unwrap();
    open.host.again().await.unwrap();
    let told = open.broken_promises().await;
    assert_eq!(told.len(), SERVICES.len(), "{told:#?}");
}

/// Who reads what of which event.
const HEARD: &[(&str, &str, Fields<'static>)] = &[
    (
        "inventory",
        "order.created",
        &[
            ("/order/id", Text),
            ("/order/mode", Text),
            ("/order/items/0/productId", Text),
            ("/order/items/0/quantity", Number),
        ],
    ),
    ("inventory", "order.confirmed", &[("/order/id", Text)]),
    ("inventory", "order.cancelled", &[("/order/id", Text)]),
    ("pricing", "order.created", &[("/order/id", Text), ("/order/userId", Text)]),
    ("pricing", "order.cancelled", &[("/order/id", Text)]),
    (
        "payments",
        "inventory.reserved",
        &[
            ("/orderId", Text),
            ("/order/id", Text),
            ("/order/userId", Text),
            ("/order/total", Number),
            ("/order/currency", Text),
            ("/order/card", Text),
        ],
    ),
    ("payments", "order.cancelled", &[("/orderId", Text), ("/order/id", Text)]),
    (
        "orders",
        "inventory.rejected",
        &[
            ("/orderId", Text),
            ("/reason", Text),
            ("/missing/0/productId", Text),
            ("/missing/0/requested", Number),
            ("/missing/0/available", Number),
        ],
    ),
    ("orders", "payment.completed", &[("/orderId", Text), ("/paymentId", Text)]),
    ("orders", "payment.failed", &[("/orderId", Text), ("/reason", Text)]),
    ("orders", "shipping.scheduled", &[("/orderId", Text), ("/trackingNumber", Text)]),
    ("orders", "shipping.delivered", &[("/orderId", Text), ("/trackingNumber", Text)]),
    (
        "shipping",
        "order.confirmed",
        &[
            ("/orderId", Text),
            ("/order/userId", Text),
            ("/order/items/0/productId", Text),
            ("/order/items/0/quantity", Number),
            ("/order/shippingAddress/line1", Text),
            ("/order/shippingAddress/city", Text),
            ("/order/shippingAddress/postalCode", Text),
            ("/order/shippingAddress/country", Text),
        ],
    ),
    ("shipping", "order.cancelled", &[("/orderId", Text), ("/order/userId", Text)]),
    ("notifications", "user.registered", &[("/id", Text), ("/username", Text)]),
    (
        "notifications",
        "order.confirmed",
        &[("/orderId", Text), ("/order/userId", Text), ("/order/total", Number), ("/order/currency", Text)],
    ),
    ("notifications", "order.cancelled", &[("/orderId", Text), ("/reason", Text), ("/order/userId", Text)]),
    ("notifications", "shipping.scheduled", &[("/orderId", Text), ("/userId", Text), ("/trackingNumber", Text)]),
    ("notifications", "shipping.delivered", &[("/orderId", Text), ("/userId", Text), ("/trackingNumber", Text)]),
    ("analytics", "user.registered", &[("/id", Text), ("/createdAt", Text)]),
    ("analytics", "user.deleted", &[("/id", Text)]),
    (
        "analytics",
        "order.created",
        &[
            ("/orderId", Text),
            ("/version", Number),
            ("/createdAt", Text),
            ("/order/currency", Text),
            ("/order/total", Number),
            ("/order/items/0/productId", Text),
            ("/order/items/0/quantity", Number),
        ],
    ),
    ("analytics", "order.confirmed", &[("/orderId", Text), ("/version", Number), ("/createdAt", Text)]),
    ("analytics", "order.cancelled", &[("/orderId", Text), ("/version", Number), ("/createdAt", Text)]),
    ("analytics", "order.shipped", &[("/orderId", Text), ("/version", Number), ("/createdAt", Text)]),
    ("analytics", "order.delivered", &[("/orderId", Text), ("/version", Number), ("/createdAt", Text)]),
    ("analytics", "payment.completed", &[("/orderId", Text), ("/amount", Number), ("/currency", Text)]),
    ("analytics", "payment.refunded", &[("/orderId", Text), ("/amount", Number), ("/currency", Text)]),
    ("analytics", "payment.failed", &[("/orderId", Text)]),
];

#[tokio::test]
async fn each_event_has_what_those_who_hear_it_read() {
    let mut open = OpenShop::open("3s").await;
    let (pen, ann) = (open.product("pen", 250, 10).await, open.person("ann").await);
    let ben = open.person("ben").await;
    for kind in [Kind::Plain, Kind::SoldOut, Kind::Declined] {
        let wish = open.wish(Mode::Saga, kind, &pen, if kind == Kind::SoldOut { 11 } else { 1 });
        let placed = open.place(&ann, &wish).await;
        open.becomes(&placed.order.clone().unwrap(), if kind == Kind::Plain { "shipped" } else { "cancelled" }).await;
        if kind == Kind::Plain {
            let deliver =
                open.shop.gateway.post(format!("/api/shipping/{}/deliver", placed.order.unwrap()), &Value::Null);
            deliver.token(&open.shop.boss.token).expect(&[200]).await.unwrap();
        }
    }
    // Money goes back of an order that is paid and cannot be sent: shipping is not there.
    let shipping = open.take_away("shipping").await;
    let wish = open.wish(Mode::Saga, Kind::Plain, &pen, 1);
    let paid = open.place(&ann, &wish).await.order.unwrap();
    open.becomes(&paid, "confirmed").await;
    let cancel = open.shop.gateway.post(format!("/api/orders/{paid}/cancel"), &Value::Null);
    cancel.token(&ann.token).expect(&[200]).await.unwrap();
    open.host.folder.install("shipping", &shipping).unwrap();
    let forget = open.shop.gateway.ask("DELETE", format!("/api/users/{}", ben.id));
    forget.token(&ben.token).expect(&[204]).await.unwrap();
    wharf_demo::books::Books::settled(&open.shop, std::time::Duration::from_secs(60)).await.unwrap();

    let mut broken = Vec::new();
    for (consumer, topic, fields) in HEARD {
        let page = open.shop.admin.get(format!("/api/events?topic={topic}&limit=100")).expect(&[200]).await.unwrap();
        let events = page["events"].as_array().unwrap();
        assert!(!events.is_empty(), "nothing was published on {topic}");
        for event in events {
            let event = open.shop.admin.get(format!("/api/events/{}", event["offset"])).expect(&[200]).await.unwrap();
            let data: Value = serde_json::from_str(event["data"].as_str().unwrap()).unwrap();
            let wrong = missing(&data, fields).into_iter();
            broken.extend(wrong.map(|why| format!("{consumer} hears {topic}: {why}")));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    open.assert_as_described().await;
}
