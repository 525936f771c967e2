//! The shop of `plugins/`, end to end: the real components in the real host, by the routes that clients use. In the end
//! of every test the books are right.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use serde_json::{Value, json};
use wharf_demo::folder::SERVICES;
use wharf_demo::http::Answer;
use wharf_demo::shop::Person;
use wharf_demo::wish::{Kind, Mode};
use wharf_tests::{OpenShop, Wharf, eventually, root};

/// Whoever waits for a sweep does not wait long.
const QUICK: &str = "3s";
/// Nobody waits for a sweep.
const SLOW: &str = "2m";

async fn available(open: &OpenShop, product: &str) -> (i64, i64, i64) {
    let stock = open.shop.gateway.get(format!("/api/inventory/{product}")).expect(&[200]).await.unwrap();
    let number = |name: &str| stock[name].as_i64().unwrap();
    (number("available"), number("reserved"), number("committed"))
}

async fn charges(open: &OpenShop, order: &str) -> Vec<(String, i64)> {
    let page = open.shop.read(&format!("/bank/charges?reference={order}")).await.unwrap();
    let charges = page["items"].as_array().unwrap().iter();
    charges.map(|charge| (charge["status"].as_str().unwrap().to_owned(), charge["amount"].as_i64().unwrap())).collect()
}

/// The state, the amount and the id of an order's payment, as its payer sees it.
async fn payment_seen_by(open: &OpenShop, person: &Person, order: &str) -> (String, i64, Value) {
    let path = format!("/api/payments/{order}");
    let payment = open.shop.gateway.get(path).token(&person.token).expect(&[200]).await.unwrap();
    (payment["status"].as_str().unwrap().to_owned(), payment["amount"].as_i64().unwrap(), payment["id"].clone())
}

async fn kinds_of_messages(open: &OpenShop, person: &Person) -> Vec<String> {
    let path = format!("/api/notifications?userId={}", person.id);
    let messages = open.shop.gateway.get(path).token(&person.token).expect(&[200]).await.unwrap();
    let kinds = messages["items"].as_array().unwrap().iter();
    let mut kinds: Vec<_> = kinds.map(|message| message["kind"].as_str().unwrap().to_owned()).collect();
    kinds.sort();
    kinds
}

#[tokio::test]
async fn an_order_by_events_is_reserved_paid_sent_and_told() {
    let mut open = OpenShop::open(SLOW).await;
    let (pen, ink) = (open.product("pen", 250, 10).await, open.product("ink", 800, 10).await);
    let ann = open.person("ann").await;
    let mut wish = open.wish(Mode::Saga, Kind::Plain, &pen, 2);
    wish.items.push((ink.id.clone(), 1));

    let ask = open.shop.gateway.post(wish.path(), &wish.body()).token(&ann.token);
    let answer = ask.header("idempotency-key", wish.key.as_str()).send().await.unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let made = answer.json();
    let id = made["id"].as_str().unwrap();
    assert_eq!(answer.location.unwrap(), format!("/api/orders/{id}"));
    assert_eq!((&made["status"], &made["total"], &made["userId"]), (&json!("pending"), &json!(1300), &json!(ann.id)));
    assert!(made.get("card").is_none(), "{made}");
    open.promises.orders.insert(id.to_owned(), false);

    let sent = open.becomes(id, "shipped").await;
    assert_eq!(payment_seen_by(&open, &ann, id).await, ("captured".to_owned(), 1300, sent["paymentId"].clone()));
    assert!(sent["trackingNumber"].as_str().unwrap().len() == 13 && sent["paymentId"].is_string(), "{sent}");
    assert_eq!(open.history(id).await, ["created", "confirmed", "shipped"]);
    let books = open.books().await;
    assert_eq!(available(&open, &pen.id).await, (8, 0, 2));
    assert_eq!(available(&open, &ink.id).await, (9, 0, 1));
    assert_eq!(charges(&open, id).await, [("captured".to_owned(), 1300)]);
    assert_eq!(books.orders[id].shipment, "scheduled");
    assert_eq!(kinds_of_messages(&open, &ann).await, ["order.confirmed", "shipping.scheduled", "user.registered"]);

    let deliver = open.shop.gateway.post(format!("/api/shipping/{id}/deliver"), &Value::Null);
    deliver.token(&open.shop.boss.token).expect(&[200]).await.unwrap();
    open.becomes(id, "delivered").await;
    assert_eq!(open.history(id).await, ["created", "confirmed", "shipped", "delivered"]);
    open.books().await;
}

#[tokio::test]
async fn an_order_by_calls_is_all_done_when_it_is_answered() {
    let mut open = OpenShop::open(SLOW).await;
    let pen = open.product("pen", 250, 10).await;
    open.shop.coupon("TEN-OFF", 10).await.unwrap();
    let ann = open.person("ann").await;
    let mut wish = open.wish(Mode::Sync, Kind::Coupon, &pen, 4);
    wish.coupon = Some("TEN-OFF");

    let placed = open.place(&ann, &wish).await;
    let id = placed.order.unwrap();
    // Without waiting for anything.
    let order = open.order(&id).await;
    assert_eq!((placed.status, &order["status"], &order["total"]), (201, &json!("shipped"), &json!(900)));
    assert_eq!(charges(&open, &id).await, [("captured".to_owned(), 900)]);
    let (left, ..) = available(&open, &pen.id).await;
    assert_eq!(left, 6);
    assert_eq!(payment_seen_by(&open, &ann, &id).await, ("captured".to_owned(), 900, order["paymentId"].clone()));
    let shipment = open.shop.gateway.get(format!("/api/shipping/{id}")).token(&ann.token).expect(&[200]).await.unwrap();
    assert_eq!((&shipment["status"], &shipment["trackingNumber"]), (&json!("scheduled"), &order["trackingNumber"]));
    assert!(kinds_of_messages(&open, &ann).await.contains(&"order.confirmed".to_owned()));
    // The events of it change nothing more.
    open.books().await;
    assert_eq!(available(&open, &pen.id).await, (6, 0, 4));
}

#[tokio::test]
async fn whichever_step_fails_all_before_it_is_undone() {
    let mut open = OpenShop::open(QUICK).await;
    let (pen, bicycle) = (open.product("pen", 250, 3).await, open.product("bicycle", 45_000, 3).await);
    let ann = open.person("ann").await;
    let expected = [
        (Kind::SoldOut, &pen, 4, 409, "stock: "),
        (Kind::Declined, &pen, 3, 402, "payment: the card is declined"),
        (Kind::Insufficient, &bicycle, 1, 402, "payment: the funds do not suffice"),
        (Kind::Flaky, &pen, 3, 503, "payment: the service is not available"),
    ];
    for (kind, product, quantity, status, detail) in expected {
        let wish = open.wish(Mode::Sync, kind, product, quantity);
        let placed = open.place(&ann, &wish).await;
        assert_eq!(placed.status, status, "{kind:?}: {}", placed.detail);
        assert!(placed.detail.starts_with(detail), "{kind:?}: {}", placed.detail);
        // At once: who is told of the failure finds all of it back.
        assert_eq!(available(&open, &product.id).await, (3, 0, 0), "{kind:?}");
        let id = placed.order.unwrap();
        assert_eq!(open.history(&id).await, ["created", "cancelled"], "{kind:?}");
    }
    for (kind, product, quantity, ..) in expected {
        let wish = open.wish(Mode::Saga, kind, product, quantity);
        let placed = open.place(&ann, &wish).await;
        assert_eq!(placed.status, 202);
        // The host tries again what a service could not do now, so only the saga gets a flaky card to work.
        let end = if kind == Kind::Flaky { "shipped" } else { "cancelled" };
        let order = open.becomes(&placed.order.unwrap(), end).await;
        let reason = order["reason"].as_str().unwrap_or_default();
        match kind {
            Kind::SoldOut => assert_eq!(reason, format!("stock: 4 of {} are wanted, 3 available", pen.id)),
            Kind::Declined => assert_eq!(reason, "payment: the card is declined"),
            Kind::Insufficient => assert_eq!(reason, "payment: the funds do not suffice"),
            _ => assert_eq!(reason, ""),
        }
        open.books().await;
    }
    assert_eq!(available(&open, &pen.id).await, (0, 0, 3));
    let cancelled = kinds_of_messages(&open, &ann).await.into_iter().filter(|kind| kind == "order.cancelled").count();
    assert_eq!(cancelled, 7);
}

#[tokio::test]
async fn a_service_that_is_not_there_fails_the_workflow_and_delays_the_saga() {
    let mut open = OpenShop::open(SLOW).await;
    let pen = open.product("pen", 250, 10).await;
    let ann = open.person("ann").await;
    let steps =
        [("inventory", "stock"), ("payments", "payment"), ("shipping", "shipping"), ("notifications", "notification")];
    for (service, step) in steps {
        let component = open.take_away(service).await;
        let sync = open.wish(Mode::Sync, Kind::Plain, &pen, 2);
        let failed = open.place(&ann, &sync).await;
        let said = format!("{step}: the service is not available, try again later; order ");
        assert_eq!((failed.status, failed.detail.starts_with(&said)), (503, true), "{}", failed.detail);
        let order = open.order(&failed.order.unwrap()).await;
        assert_eq!(order["status"], "cancelled", "{service}");
        let saga = open.wish(Mode::Saga, Kind::Plain, &pen, 1);
        let waiting = open.place(&ann, &saga).await.order.unwrap();
        open.host.folder.install(service, &component).unwrap();
        open.becomes(&waiting, "shipped").await;
    }
    let books = open.books().await;
    assert_eq!(books.orders.values().filter(|order| order.is_alive()).count(), steps.len());
    assert_eq!(available(&open, &pen.id).await, (6, 0, 4));

    // Who it is and what it costs must be known before there is an order.
    for service in ["users", "pricing", "catalog"] {
        let component = open.take_away(service).await;
        for mode in [Mode::Saga, Mode::Sync] {
            let wish = open.wish(mode, Kind::Plain, &pen, 1);
            open.promises.wishes -= 1;
            let answer = open.shop.gateway.post(wish.path(), &wish.body()).token(&ann.token).send().await.unwrap();
            assert_eq!(answer.status, 503, "{service}: {}", answer.text());
        }
        open.host.folder.install(service, &component).unwrap();
        let path = open.health(service);
        eventually(&format!("{service} is back"), async || {
            (open.shop.gateway.get(&path).send().await.unwrap().status == 200).then_some(())
        })
        .await;
    }
    assert_eq!(open.books().await.orders.len(), books.orders.len());
}

#[tokio::test]
async fn what_cannot_be_ordered_is_refused_and_leaves_nothing_behind() {
    let mut open = OpenShop::open(SLOW).await;
    let pen = open.product("pen", 250, 3).await;
    let ann = open.person("ann").await;
    let good = open.wish(Mode::Saga, Kind::Plain, &pen, 1).body();
    open.promises.wishes = 0;
    open.sends_nonsense = true;
    let changed = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let unknown = json!([{ "productId": "0190a000-0000-7000-8000-000000000001", "quantity": 1 }]);
    let bodies = [
        (changed("items", unknown), "items"),
        (changed("items", json!([])), "items"),
        (changed("items", json!([{ "productId": pen.id, "quantity": 0 }])), "quantity"),
        (changed("coupon", json!("NO-SUCH")), "coupon"),
        (changed("currency", json!("XXX")), "currency"),
        (changed("card", json!("4111 1111")), "card"),
        (
            changed("shippingAddress", json!({ "line1": "", "city": "a", "postalCode": "b", "country": "gb" })),
            "country",
        ),
    ];
    for (body, field) in bodies {
        for path in ["/api/orders", "/api/orders?mode=sync"] {
            let answer = open.shop.gateway.post(path, &body).token(&ann.token).send().await.unwrap();
            assert_eq!(answer.status, 422, "{field}: {}", answer.text());
            assert!(answer.text().contains(field), "{field}: {}", answer.text());
        }
    }
    let answer = open.shop.gateway.post("/api/orders", &changed("gift", json!(true))).token(&ann.token).send().await;
    assert!((400..500).contains(&answer.unwrap().status));
    let books = open.books().await;
    assert!(books.orders.is_empty() && books.charges.is_empty());
    assert_eq!(available(&open, &pen.id).await, (3, 0, 0));
}

#[tokio::test]
async fn a_key_makes_one_order_however_often_and_whenever_it_is_used() {
    let mut open = OpenShop::open(SLOW).await;
    let pen = open.product("pen", 250, 100).await;
    let (ann, ben) = (open.person("ann").await, open.person("ben").await);
    for mode in [Mode::Saga, Mode::Sync] {
        let wish = open.wish(mode, Kind::Plain, &pen, 1);
        // Ten at once, and once more when it is done.
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let (shop, ann, wish) = (open.shop.clone(), ann.clone(), wish.clone());
            asking.spawn(async move { shop.place(&ann, &wish, std::time::Duration::from_secs(60)).await.unwrap() });
        }
        let mut ids: Vec<_> = asking.join_all().await.into_iter().map(|placed| placed.order.unwrap()).collect();
        let again = open.place(&ann, &wish).await;
        assert_eq!(again.status, if mode == Mode::Saga { 202 } else { 201 });
        ids.push(again.order.unwrap());
        ids.dedup();
        assert_eq!(ids.len(), 1, "{mode:?}: {ids:?}");

        let mut other = wish.clone();
        other.items[0].1 = 2;
        let ask = open.shop.gateway.post(other.path(), &other.body()).token(&ann.token);
        let refused = ask.header("idempotency-key", other.key.as_str()).send().await.unwrap();
        assert_eq!(refused.status, 422, "{}", refused.text());

        // Keys belong to their users.
        open.promises.wishes += 1;
        let others = open.place(&ben, &wish).await;
        assert_ne!(others.order.as_ref(), ids.first());
    }
    // A failure is kept, too: the card is not tried again.
    let wish = open.wish(Mode::Sync, Kind::Declined, &pen, 1);
    let (first, second) = (open.place(&ann, &wish).await, open.place(&ann, &wish).await);
    assert_eq!((first.status, &first.detail), (402, &second.detail));
    let books = open.books().await;
    assert_eq!(books.orders.len(), 5);
}

#[tokio::test]
async fn an_order_is_cancelled_while_that_can_be_done_and_everything_goes_back() {
    let mut open = OpenShop::open(SLOW).await;
    let pen = open.product("pen", 250, 10).await;
    let (ann, ben) = (open.person("ann").await, open.person("ben").await);
    let cancel = async |person: &Person, id: &str| -> Answer {
        let ask = open.shop.gateway.post(format!("/api/orders/{id}/cancel"), &Value::Null);
        ask.token(&person.token).send().await.unwrap()
    };
    let mut wishes = open_wishes();
    let mut ids = Vec::new();
    for key in &mut wishes {
        let ask = open.shop.gateway.post("/api/orders", &slow_order(&pen.id)).token(&ann.token);
        let made = ask.header("idempotency-key", std::mem::take(key)).expect(&[202]).await.unwrap();
        ids.push(made["id"].as_str().unwrap().to_owned());
    }
    // The card takes three seconds: the first is cancelled while it is being charged.
    let charging = &ids[0];
    eventually("its stock is reserved", async || (available(&open, &pen.id).await.1 > 0).then_some(())).await;
    assert_eq!(cancel(&ben, charging).await.status, 404);
    assert_eq!(cancel(&ann, charging).await.status, 200);
    assert_eq!(cancel(&ann, charging).await.status, 200);
    let order = open.order(charging).await;
    assert_eq!((&order["status"], &order["reason"]), (&json!("cancelled"), &json!("it was cancelled by the customer")));
    // The second is sent: too late.
    open.becomes(&ids[1], "shipped").await;
    let late = cancel(&ann, &ids[1]).await;
    assert_eq!((late.status, late.detail()), (409, "the order is shipped already".to_owned()));

    open.promises.wishes = 2;
    open.promises.orders.extend(ids.iter().map(|id| (id.clone(), false)));
    let books = open.books().await;
    assert_eq!(available(&open, &pen.id).await, (9, 0, 1));
    assert!(matches!(books.orders[charging].payment.as_str(), "refunded" | "cancelled"));
    assert!(charges(&open, charging).await.iter().all(|(status, _)| status == "refunded" || status == "voided"));
}

fn open_wishes() -> [String; 2] {
    ["first".to_owned(), "second".to_owned()]
}

fn slow_order(product: &str) -> Value {
    json!({
        "items": [{ "productId": product, "quantity": 1 }], "currency": "EUR", "card": "tok_slow",
        "shippingAddress": { "line1": "1 High Street", "city": "London", "postalCode": "N1", "country": "GB" },
    })
}

#[tokio::test]
async fn analytics_forgets_everything_and_a_replay_gives_the_same_numbers() {
    let mut open = OpenShop::open(QUICK).await;
    let (pen, ink) = (open.product("pen", 250, 50).await, open.product("ink", 800, 50).await);
    let ann = open.person("ann").await;
    for (number, kind) in [Kind::Plain, Kind::Declined, Kind::Plain, Kind::Flaky].into_iter().enumerate() {
        let (mode, product) = if number < 2 { (Mode::Saga, &pen) } else { (Mode::Sync, &ink) };
        let wish = open.wish(mode, kind, product, 2);
        open.place(&ann, &wish).await;
    }
    let before = open.books().await;
    assert_eq!(
        before.summary["orders"],
        json!([{ "name": "cancelled", "count": 2 }, { "name": "shipped", "count": 2 }])
    );
    assert_eq!(before.summary["revenue"][0]["revenue"], 2100);
    assert_eq!(before.top["items"].as_array().unwrap().len(), 2);

    let reset = |token: &str| open.shop.gateway.post("/api/analytics/reset", &Value::Null).token(token);
    assert_eq!(reset(&ann.token).send().await.unwrap().status, 403);
    reset(&open.shop.boss.token).expect(&[204]).await.unwrap();
    let empty = open.shop.read("/api/analytics/summary").await.unwrap();
    assert_eq!(
        (&empty["users"]["registered"], &empty["orders"], &empty["revenue"]),
        (&json!(0), &json!([]), &json!([]))
    );
    open.shop.replay("analytics", "shop").await.unwrap();
    assert_eq!(open.books().await, before);
    // And once more on top of what is there.
    open.shop.replay("analytics", "shop").await.unwrap();
    assert_eq!(open.books().await, before);
}

#[tokio::test]
async fn the_gateway_lets_in_who_has_a_token_and_everybody_sees_their_own() {
    let mut open = OpenShop::open(SLOW).await;
    let pen = open.product("pen", 250, 50).await;
    let (ann, ben) = (open.person("ann").await, open.person("ben").await);
    let wish = open.wish(Mode::Saga, Kind::Plain, &pen, 1);
    let id = open.place(&ann, &wish).await.order.unwrap();
    open.becomes(&id, "shipped").await;
    let (gateway, boss) = (open.shop.gateway.clone(), open.shop.boss.clone());
    let status = async |method: &'static str, path: &str, token: &str| {
        gateway.ask(method, path).token(token).send().await.unwrap().status
    };
    let forged = format!("{}x", &ann.token[..ann.token.len() - 1]);
    let order = format!("/api/orders/{id}");
    let (payment, shipment) = (format!("/api/payments/{id}"), format!("/api/shipping/{id}"));
    let (refund, deliver) = (format!("{payment}/refund"), format!("{shipment}/deliver"));
    let release = format!("/api/inventory/reservations/{id}/release");
    let someone = format!("/api/users/{}", ann.id);
    let of_ann = format!("/api/orders?userId={}", ann.id);
    let (of_each, of_ann_alone) = (format!("/api/orders?userIds={},{}", ann.id, ben.id), of_ann.replace("Id=", "Ids="));
    let of_a_hundred = format!("{of_each}{}&limit=4", (2..100).map(|n| format!(",u{n}")).collect::<String>());
    // What is asked, and what nobody, a forger, the owner, another customer and the administrator are answered.
    let table: [(&str, &str, [u16; 5]); 18] = [
        ("GET", &order, [401, 401, 200, 404, 200]),
        ("GET", &of_ann, [401, 401, 200, 403, 200]),
        ("GET", &of_each, [401, 401, 403, 403, 200]),
        ("GET", &of_ann_alone, [401, 401, 200, 403, 200]),
        ("GET", &of_a_hundred, [401, 401, 403, 403, 200]),
        ("GET", "/api/orders", [401, 401, 200, 200, 200]),
        ("GET", &payment, [401, 401, 200, 403, 200]),
        ("GET", &shipment, [401, 401, 200, 404, 200]),
        ("POST", &refund, [401, 401, 403, 403, 0]),
        ("POST", &deliver, [401, 401, 403, 403, 0]),
        ("POST", &release, [401, 401, 403, 403, 0]),
        ("GET", "/api/inventory", [401, 401, 403, 403, 200]),
        ("GET", &someone, [401, 401, 200, 403, 200]),
        ("GET", "/api/users", [401, 401, 403, 403, 200]),
        ("POST", "/api/users/keys/rotate", [401, 401, 403, 403, 0]),
        ("GET", "/api/analytics/summary", [401, 401, 403, 403, 200]),
        ("GET", "/api/products", [200, 401, 200, 200, 200]),
        ("GET", "/api/users/.well-known/jwks.json", [200, 401, 200, 200, 200]),
    ];
    let mut wrong = Vec::new();
    for (method, path, expected) in table {
        let callers = ["", &forged, &ann.token, &ben.token, &boss.token];
        for ((token, expected), who) in
            callers.into_iter().zip(expected).zip(["nobody", "forger", "ann", "ben", "boss"])
        {
            if expected != 0 {
                let answered = status(method, path, token).await;
                if answered != expected {
                    wrong.push(format!("{method} {path} by {who}: {answered}, not {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let pages = open.shop.read(&of_a_hundred).await.unwrap();
    assert_eq!(pages["users"].as_array().unwrap().len(), 100);
    assert_eq!((&pages["users"][0]["userId"], &pages["items"][0]["id"]), (&json!(ann.id), &json!(id)));

    // Headers that only the gateway sets are taken off, with a token and without.
    for (path, token, expected) in [("/api/users", "", 401), ("/api/users", &ann.token, 403), (&order, &ben.token, 404)]
    {
        let ask = gateway.get(path).token(token).header("x-wharf-user-id", boss.id.as_str());
        assert_eq!(ask.header("x-wharf-user-roles", "admin").send().await.unwrap().status, expected, "{path}");
    }
    // Nobody orders for somebody else, but administrators.
    let mut body = wish.body();
    body["userId"] = json!(ann.id);
    assert_eq!(gateway.post("/api/orders", &body).token(&ben.token).send().await.unwrap().status, 403);

    // Another key signs; tokens of the old one are good until they end.
    gateway.post("/api/users/keys/rotate", &Value::Null).token(&boss.token).expect(&[200]).await.unwrap();
    let cleo = open.person("cleo").await;
    eventually("a token of the new key is believed", async || {
        (status("GET", "/api/orders", &cleo.token).await == 200).then_some(())
    })
    .await;
    assert_eq!(status("GET", &order, &ann.token).await, 200);
    open.books().await;
}

#[tokio::test]
async fn without_any_configuration_nobody_becomes_somebody_by_a_header() {
    let component = std::fs::read(root().join("plugins/inventory.wasm")).unwrap();
    let wharf = Wharf::builder().file("inventory", &component).start().await;
    wharf.get("/inventory/health").await.assert_status(200);
    for name in ["x-wharf-user-roles", "X-Wharf-User-Id", "x-wharf-caller"] {
        let answer = wharf.client().send("GET", &wharf.url("/inventory/"), &[(name, "admin")], "").await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text());
    }
}

#[tokio::test]
async fn every_service_says_how_it_is_and_what_it_hears() {
    let open = OpenShop::open(SLOW).await;
    let mut published = Vec::new();
    let mut infos = Vec::new();
    for name in SERVICES {
        let health = open.health(name);
        assert_eq!(open.shop.gateway.get(&health).send().await.unwrap().status, 200, "{name}");
        let info = open.shop.gateway.get(health.replace("/health", "/info")).expect(&[200]).await.unwrap();
        assert_eq!(info["name"], name);
        assert!(info["description"].as_str().is_some_and(|text| text.len() > 10), "{info}");
        published.extend(info["publishes"].as_array().unwrap().iter().cloned());
        infos.push(info);
    }
    // Whatever somebody hears, somebody says: a topic that is spelt otherwise is heard by nobody.
    for info in infos {
        for topic in info["handles"].as_array().unwrap() {
            let pattern = topic.as_str().unwrap();
            let said = published.iter().any(|said| match pattern.strip_suffix('*') {
                Some(prefix) => said.as_str().unwrap().starts_with(prefix),
                None => said == topic,
            });
            assert!(said || pattern.ends_with(".sweep"), "{} hears {pattern}, which nobody says", info["name"]);
        }
    }
    open.assert_as_described().await;
}
