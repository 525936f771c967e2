mod callers;

use serde_json::{Value, json};
use shop::testing::inside;
use wharf_sdk::{Event, Failure, Method, Request, answer_calls, migrate};

use super::*;

fn setup() {
    migrate(include_str!("../migrations/0001_create_rules.sql")).unwrap();
    answer_calls(|request| {
        assert_eq!((request.header("host").as_deref(), request.path()), (Some("catalog.internal"), "/"));
        let ids = request.query("ids").unwrap();
        let product = |id: &str, amount: i64, currency: &str, active: bool| {
            json!({"id": id, "sku": id.to_uppercase(), "name": format!("Product {id}"), "description": "", "active": active,
                "price": {"amount": amount, "currency": currency}, "version": 3})
        };
        let all = [
            product("tea", 1250, "EUR", true),
            product("cup", 305, "EUR", true),
            product("pot", 1000, "USD", true),
            product("old", 100, "EUR", false),
        ];
        let items: Vec<_> = all.into_iter().filter(|one| ids.split(',').any(|id| one["id"] == *id)).collect();
        Ok(Response::json(&json!({"items": items, "next": null})))
    });
}

fn send(request: Request) -> (u16, Value) {
    let response = ROUTER.handle(inside(request));
    let status = response.status();
    (status, serde_json::from_slice(&response.into_bytes()).unwrap_or_default())
}

fn put_to(target: &str, value: &Value) -> (u16, Value) {
    send(Request::new(Method::Put, target).with_body(value.to_string()))
}

fn ask(question: &Value) -> (u16, Value) {
    send(Request::new(Method::Post, "/quote").with_body(question.to_string()))
}

fn basket(currency: &str, items: &[(&str, i64)]) -> Value {
    let items: Vec<_> = items.iter().map(|(id, n)| json!({"productId": id, "quantity": n})).collect();
    json!({ "currency": currency, "items": items })
}

fn with_coupon(currency: &str, items: &[(&str, i64)], coupon: &str) -> (u16, Value) {
    let mut question = basket(currency, items);
    question["coupon"] = json!(coupon);
    ask(&question)
}

fn set_coupon(code: &str, rule: &Value) {
    let (status, body) = put_to(&format!("/coupons/{code}"), rule);
    assert!(status == 200 || status == 201, "{body}");
}

/// The sentence about the one field that is wrong.
fn refusal(answer: &(u16, Value)) -> String {
    assert_eq!((answer.0, answer.1["errors"].as_array().map(Vec::len)), (422, Some(1)), "{answer:?}");
    format!(
        "{} {}",
        answer.1["errors"][0]["field"].as_str().unwrap(),
        answer.1["errors"][0]["detail"].as_str().unwrap()
    )
}

fn told(topic: &str, order: &Value) -> Result<(), Failure> {
    EVENTS.handle(Event::json(topic, &json!({"orderId": order["id"], "order": order})).unwrap().into())
}

#[test]
fn a_quote_has_lines_and_sums() {
    setup();
    let (status, quote) = ask(&basket("EUR", &[("tea", 2), ("cup", 1)]));
    let line = |id: &str, quantity: i64, unit: i64| {
        json!({"productId": id, "sku": id.to_uppercase(), "name": format!("Product {id}"), "quantity": quantity,
            "unitPrice": unit, "discount": 0, "total": unit * quantity})
    };
    let lines = [line("tea", 2, 1250), line("cup", 1, 305)];
    assert_eq!(status, 200);
    assert_eq!(quote, json!({"currency": "EUR", "lines": lines, "subtotal": 2805, "discount": 0, "total": 2805}));
}

#[test]
fn a_product_that_is_not_to_be_had_is_named() {
    setup();
    let (status, refused) = ask(&basket("EUR", &[("tea", 1), ("none", 1), ("old", 1), ("pot", 1)]));
    assert_eq!(status, 422);
    let expected = [
        ("items[1].productId", "there is no product none"),
        ("items[2].productId", "product old is not for sale"),
        ("items[3].productId", "product pot is sold in USD, of which there is no rate to EUR"),
    ];
    assert_eq!(refused["errors"], json!(expected.map(|(field, detail)| json!({"field": field, "detail": detail}))));
}

#[test]
fn a_catalog_that_does_not_answer_is_said_so() {
    setup();
    let question = basket("EUR", &[("tea", 1)]);
    answer_calls(|_| Err(Error::new(503, "no")));
    assert_eq!(ask(&question).0, 503);
    answer_calls(|_| Ok(Response::text("odd")));
    assert_eq!(ask(&question).0, 503);
    let negative = r#"{"items": [{"id": "tea", "sku": "", "name": "", "active": true, "price": {"amount": -1, "currency": "EUR"}}]}"#;
    answer_calls(move |_| Ok(Response::text(negative)));
    assert_eq!(ask(&question).0, 503);
}

#[test]
fn a_rate_holds_for_its_way_and_its_inverse_for_the_way_back() {
    setup();
    let unit = |currency: &str, product: &str| {
        let (status, quote) = ask(&basket(currency, &[(product, 3)]));
        (status == 200).then(|| (quote["lines"][0]["unitPrice"].as_i64().unwrap(), quote["total"].as_i64().unwrap()))
    };
    assert_eq!((unit("USD", "pot"), unit("EUR", "pot")), (Some((1000, 3000)), None));
    assert_eq!(put_to("/rates/EUR/USD", &json!({"numerator": 27, "denominator": 25})).0, 200);
    assert_eq!(unit("USD", "tea"), Some((1350, 4050)));
    assert_eq!(unit("USD", "cup"), Some((329, 987)), "329.4 for each of them");
    assert_eq!(unit("EUR", "pot"), Some((926, 2778)), "925.93 by the inverse");
    put_to("/rates/USD/EUR", &json!({"numerator": 9, "denominator": 10}));
    put_to("/rates/EUR/USD", &json!({"numerator": 1, "denominator": 2}));
    assert_eq!((unit("EUR", "pot"), unit("USD", "cup")), (Some((900, 2700)), Some((152, 456))), "152.5 is a half");
    let rate = |from: &str, to: &str, n: i64, d: i64| json!({"from": from, "to": to, "numerator": n, "denominator": d});
    let (_, rates) = send(Request::get("/rates"));
    assert_eq!(rates, json!({"items": [rate("EUR", "USD", 1, 2), rate("USD", "EUR", 9, 10)]}));
    assert_eq!(put_to("/rates/EUR/EUR", &json!({"numerator": 1, "denominator": 1})).0, 422);
    assert_eq!(
        put_to("/rates/eur/XXX", &json!({"numerator": 0, "denominator": -1})).1["errors"].as_array().unwrap().len(),
        4
    );
}

#[test]
fn many_of_one_are_cheaper() {
    setup();
    let tiers = json!({"tiers": [{"quantity": 10, "percent": 5}, {"quantity": 100, "percent": 20}]});
    assert_eq!(put_to("/quantity-discounts", &tiers), (200, tiers.clone()));
    assert_eq!(send(Request::get("/quantity-discounts")), (200, tiers));
    let total = |quantity: i64| ask(&basket("EUR", &[("tea", quantity)])).1["total"].clone();
    assert_eq!([total(9), total(10), total(100)], [json!(11250), json!(11875), json!(100_000)]);
    assert_eq!(put_to("/quantity-discounts", &json!({"tiers": []})).0, 200);
    assert_eq!(total(10), json!(12500));
    let twice = json!({"tiers": [{"quantity": 2, "percent": 5}, {"quantity": 2, "percent": 6}]});
    assert_eq!(put_to("/quantity-discounts", &twice).0, 422);
}

#[test]
fn a_coupon_takes_percent_or_a_sum_in_its_currency() {
    setup();
    set_coupon("spring", &json!({"percent": 10}));
    let (_, quote) = with_coupon("EUR", &[("tea", 2), ("cup", 1)], "Spring");
    assert_eq!((&quote["subtotal"], &quote["discount"], &quote["total"]), (&json!(2805), &json!(280), &json!(2525)));
    assert_eq!(quote["lines"][0]["discount"].as_i64().unwrap() + quote["lines"][1]["discount"].as_i64().unwrap(), 280);

    let five = json!({"fixed": {"amount": 500, "currency": "USD"}, "minimum": {"amount": 2000, "currency": "USD"}});
    set_coupon("FIVE", &five);
    assert_eq!(refusal(&with_coupon("EUR", &[("tea", 2)], "FIVE")), "coupon cannot be used in EUR");
    put_to("/rates/USD/EUR", &json!({"numerator": 1, "denominator": 2}));
    assert_eq!(with_coupon("EUR", &[("tea", 2)], "FIVE").1["total"], json!(2250));
    assert_eq!(refusal(&with_coupon("EUR", &[("cup", 3)], "FIVE")), "coupon is for baskets from 10.00 EUR on");
    assert_eq!(refusal(&with_coupon("EUR", &[("tea", 2)], "SIX")), "coupon there is no such coupon");
    assert_eq!(refusal(&with_coupon("EUR", &[("tea", 2)], "' OR 1")), "coupon there is no such coupon");

    let (status, kept) = send(Request::get("/coupons/five"));
    assert_eq!(
        (status, &kept["code"], &kept["fixed"], &kept["uses"]),
        (200, &json!("FIVE"), &five["fixed"], &json!(0))
    );
    assert_eq!((&kept["minimum"], kept.get("percent")), (&five["minimum"], None));
    assert_eq!(send(Request::get("/coupons/none")).0, 404);
}

#[test]
fn a_coupon_has_its_time() {
    setup();
    for (rule, expected) in [
        (json!({"percent": 10, "validFrom": "2999-01-01T00:00:00Z"}), Some("coupon is not valid yet")),
        (json!({"percent": 10, "validTo": "2020-01-01T00:00:00Z"}), Some("coupon is not valid any more")),
        (json!({"percent": 10, "active": false}), Some("coupon there is no such coupon")),
        (json!({"percent": 10, "validFrom": "2020-01-01T00:00:00Z", "validTo": "2999-01-01T00:00:00Z"}), None),
    ] {
        set_coupon("TIMED", &rule);
        let answer = with_coupon("EUR", &[("tea", 1)], "TIMED");
        match expected {
            Some(expected) => assert_eq!(refusal(&answer), expected, "{rule}"),
            None => assert_eq!(answer.0, 200, "{rule}"),
        }
    }
}

#[test]
fn orders_use_coupons_up_and_cancelled_ones_do_not() {
    setup();
    set_coupon("TWICE", &json!({"percent": 10, "maxUses": 2, "maxUsesPerUser": 1}));
    let ask_as = |user: &str| {
        let mut question = basket("EUR", &[("tea", 1)]);
        question["coupon"] = json!("twice");
        question["userId"] = json!(user);
        ask(&question)
    };
    let order = |id: &str, user: &str| json!({"id": id, "userId": user, "coupon": "twice", "total": 1});
    for _ in 0..3 {
        told("order.created", &order("o1", "ann")).unwrap();
    }
    assert_eq!(refusal(&ask_as("ann")), "coupon was used by this user");
    let mut outside = basket("EUR", &[("tea", 1)]);
    outside["coupon"] = json!("TWICE");
    let outside =
        Request::new(Method::Post, "/quote").with_header("x-wharf-user-id", "ann").with_body(outside.to_string());
    assert_eq!(refusal(&send(outside)), "coupon was used by this user");
    assert_eq!((ask_as("bob").0, with_coupon("EUR", &[("tea", 1)], "TWICE").0), (200, 200));

    told("order.cancelled", &order("o3", "carl")).unwrap();
    told("order.created", &order("o3", "carl")).unwrap();
    assert_eq!(ask_as("carl").0, 200, "cancelled, which came first");
    told("order.created", &order("o2", "bob")).unwrap();
    assert_eq!(refusal(&ask_as("carl")), "coupon is used up");
    for _ in 0..2 {
        told("order.cancelled", &order("o1", "ann")).unwrap();
    }
    assert_eq!((ask_as("ann").0, send(Request::get("/coupons/TWICE")).1["uses"].clone()), (200, json!(1)));
    set_coupon("TWICE", &json!({"percent": 20, "maxUses": 1}));
    assert_eq!(refusal(&ask_as("ann")), "coupon is used up", "a changed coupon keeps its uses");

    told("order.created", &json!({"id": "o9", "userId": "ann"})).unwrap();
    for bad in [json!({}), json!({"id": "o 9", "coupon": "TWICE"}), json!({"id": "o9", "coupon": "?"})] {
        assert!(matches!(told("order.created", &bad), Err(Failure::Reject(_))), "{bad}");
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    setup();
    let bad = json!({"currency": "XXX", "items": [{"productId": "a b", "quantity": 0}], "coupon": "?", "userId": ""});
    let (status, refused) = ask(&bad);
    let fields: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|error| error["field"].clone()).collect();
    let expected = ["currency", "items[0].productId", "items[0].quantity", "coupon", "userId"];
    assert_eq!((status, fields), (422, expected.map(Value::from).to_vec()));
    let many: Vec<_> = (0..101).map(|_| ("tea", 1)).collect();
    assert_eq!((ask(&basket("EUR", &[])).0, ask(&basket("EUR", &many)).0), (422, 422));
    assert_eq!(ask(&json!({"currency": "EUR", "items": [], "price": 1})).0, 400);
    assert_eq!(ask(&basket("EUR", &[("tea", 10_001)])).0, 422);
    let price = json!({"amount": 0, "currency": "XXX"});
    for (rule, errors) in [
        (json!({}), 1),
        (json!({"percent": 0}), 1),
        (json!({"percent": 101}), 1),
        (json!({"percent": 5, "fixed": {"amount": 1, "currency": "EUR"}}), 1),
        (json!({"fixed": price, "minimum": {"amount": 1, "currency": "EUR"}}), 3),
        (json!({"percent": 5, "validFrom": "tomorrow", "maxUses": 0, "maxUsesPerUser": -1}), 3),
        (json!({"percent": 5, "validFrom": "2026-01-02T00:00:00Z", "validTo": "2026-01-01T00:00:00Z"}), 1),
    ] {
        let (status, refused) = put_to("/coupons/BAD", &rule);
        assert_eq!((status, refused["errors"].as_array().unwrap().len()), (422, errors), "{rule}: {refused}");
    }
    assert_eq!(put_to("/coupons/a", &json!({"percent": 5})).0, 422);
}

#[test]
fn it_is_healthy_when_its_database_answers_and_says_what_it_is() {
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 500, "no tables");
    setup();
    assert_eq!(ROUTER.handle(Request::get("/health")).status(), 200);
    let (_, info) = send(Request::get("/info"));
    assert_eq!((&info["name"], &info["handles"]), (&json!("pricing"), &json!(["order.created", "order.cancelled"])));
}

#[test]
fn its_document_describes_its_routes() {
    let document = include_str!("../openapi.yaml");
    assert_eq!(shop::testing::differences(&ROUTER, &INFO, document), [""; 0]);
}
