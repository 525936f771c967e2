//! What is asked for: bodies, keys, who may do what, lists.

use super::*;

#[test]
fn every_mistake_is_named() {
    World::new();
    let mut bad = body();
    bad["items"] = json!([
        { "productId": "a/b", "quantity": 0 }, { "productId": PEN, "quantity": 1001 },
        { "productId": PEN, "quantity": 1 },
    ]);
    bad["currency"] = json!("CHF");
    bad["card"] = json!("4111 1111");
    bad["coupon"] = json!("");
    bad["shippingAddress"] = json!({ "line1": " x", "city": "", "postalCode": "1\n", "country": "gb" });
    let seen = send(by(USER, Method::Post, "/").with_body(bad.to_string()));
    let fields: Vec<_> =
        seen.json["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert_eq!(seen.status, 422);
    assert_eq!(
        fields,
        [
            "items[0].productId",
            "items[0].quantity",
            "items[1].quantity",
            "items[2].productId",
            "currency",
            "coupon",
            "card",
            "shippingAddress.line1",
            "shippingAddress.city",
            "shippingAddress.postalCode",
            "shippingAddress.country",
        ]
    );
    for (field, value) in [("items", json!([])), ("items", json!(vec![body()["items"][0].clone(); 51]))] {
        let mut bad = body();
        bad[field] = value;
        assert_eq!(send(by(USER, Method::Post, "/").with_body(bad.to_string())).status, 422);
    }
    let mut unknown = body();
    unknown["price"] = json!(1);
    assert_eq!(send(by(USER, Method::Post, "/").with_body(unknown.to_string())).status, 400);
    assert_eq!(order("/?mode=fast").status, 400);
    assert_eq!(topics(), [""; 0]);
}

#[test]
fn an_order_is_for_oneself_unless_one_is_an_administrator_or_a_service() {
    World::new();
    let mut body = body();
    body["userId"] = json!(OTHER);
    let text = body.to_string();
    assert_eq!(send(by(USER, Method::Post, "/").with_body(text.clone())).status, 403);
    let admin = Request::new(Method::Post, "/").with_header("x-wharf-user-id", USER);
    let admin = send(admin.with_header("x-wharf-user-roles", "customer,admin").with_body(text.clone()));
    assert_eq!((admin.status, &admin.json["userId"]), (202, &json!(OTHER)));
    assert_eq!(send(Request::new(Method::Post, "/").with_body(text)).status, 202);
    let nobody = send(Request::new(Method::Post, "/").with_body(super::body().to_string()));
    assert_eq!((nobody.status, &nobody.json["errors"][0]["field"]), (422, &json!("userId")));
}

#[test]
fn the_same_key_and_body_is_one_order_with_one_answer() {
    let world = World::new();
    for (target, status) in [("/", 202), ("/?mode=sync", 201)] {
        let first = keyed(target, &format!("k{status}"), &body());
        let (calls, told) = (world.calls(), told());
        let again = keyed(target, &format!("k{status}"), &body());
        assert_eq!((first.status, again.status, &first.json), (status, status, &again.json));
        assert_eq!(first.location, again.location);
        assert!(!told.is_empty() && calls.len() == if status == 201 { 4 } else { 0 });
        assert_eq!((world.calls().len(), topics().len()), (0, 0), "nothing happens again");
    }
    let mut other = body();
    other["items"][0]["quantity"] = json!(3);
    assert_eq!(keyed("/", "k202", &other).status, 422);
    assert_eq!(keyed("/?mode=sync", "k202", &body()).status, 422, "the mode is asked for, too");
    assert_eq!(keyed("/", "a key", &body()).status, 400);
    let of_other = by(OTHER, Method::Post, "/").with_header("idempotency-key", "k202").with_body(other.to_string());
    assert_eq!(send(of_other).status, 202, "it is a key of somebody else");
}

#[test]
fn a_failure_is_answered_again_and_a_refusal_is_tried_again() {
    let world = World::new();
    world.answers("Post payments/", 402, json!({ "detail": "no" }));
    let first = keyed("/?mode=sync", "k", &body());
    world.instead.borrow_mut().clear();
    let again = keyed("/?mode=sync", "k", &body());
    assert_eq!((first.status, again.status, first.json), (402, 402, again.json));
    world.answers("Post pricing/quote", 422, json!({ "detail": "no such product", "errors": [] }));
    assert_eq!(keyed("/", "p", &body()).detail(), "price: no such product");
    world.instead.borrow_mut().clear();
    assert_eq!(keyed("/", "p", &body()).status, 202, "there was no order yet");
}

#[test]
fn a_request_that_was_broken_off_is_answered_by_its_order() {
    World::new();
    let seen = keyed("/?mode=sync", "k", &body());
    // As if the host had ended before the answer was written down.
    let again = || {
        sql::execute("UPDATE requests SET status = NULL, answer = NULL", &[]).unwrap();
        keyed("/?mode=sync", "k", &body())
    };
    let found = again();
    assert_eq!((found.status, &found.json), (201, &seen.json));
    let id = order("/").id();
    sql::execute("UPDATE requests SET order_id = ?1", wharf_sdk::params![&id]).unwrap();
    assert_eq!((again().status, again().detail().contains("is being worked on")), (409, true));
    commands::cancel(&id, &[Status::Pending], "too late").unwrap();
    assert_eq!(again().detail(), format!("order {id} is cancelled: too late"));
}

#[test]
fn of_two_requests_at_once_with_one_key_one_makes_the_order() {
    let world = World::new();
    // The other one is quicker: it has the key while this one asks for the price.
    world.meanwhile("Post pricing/quote", |_| {
        let input: crate::input::Input = serde_json::from_value(body()).unwrap();
        let asked = serde_json::to_string(&(order::Mode::Saga, &input)).unwrap();
        let request = Request::get("/").with_header("idempotency-key", "k");
        let key = requests::Key::of(&request, USER, asked).unwrap();
        let draft = order::Draft { id: "first".to_owned(), user_id: USER.to_owned(), ..Default::default() };
        assert!(place::keep(&draft, key.as_ref()).unwrap().is_some());
    });
    let second = keyed("/", "k", &body());
    assert_eq!((second.status, topics().len()), (202, 1));
    let orders = read("/")["items"].as_array().unwrap().clone();
    assert_eq!((orders.len(), second.id()), (1, "first".to_owned()));
}

#[test]
fn keys_are_forgotten_after_a_day() {
    World::new();
    keyed("/", "old", &body());
    sql::execute("UPDATE requests SET at = ?1", wharf_sdk::params![place::ago(std::time::Duration::from_secs(90_000))])
        .unwrap();
    keyed("/", "new", &body());
    hear("orders.sweep", &Value::Null).unwrap();
    assert_eq!(sql::all::<(String,)>("SELECT key FROM requests", &[]).unwrap(), [("new".to_owned(),)]);
}

#[test]
fn a_stranger_orders_and_sees_and_cancels_nothing() {
    let world = World::new();
    let id = order("/").id();
    world.calls.borrow_mut().clear();
    topics();
    let (one, history, cancel) = (format!("/{id}"), format!("/{id}/history"), format!("/{id}/cancel"));
    let of_user = format!("/?userId={USER}");
    let closed = [
        (Method::Post, "/"),
        (Method::Post, "/?mode=sync"),
        (Method::Get, "/"),
        (Method::Get, of_user.as_str()),
        (Method::Get, one.as_str()),
        (Method::Get, "/none"),
        (Method::Get, history.as_str()),
        (Method::Post, cancel.as_str()),
        (Method::Post, "/rebuild"),
    ];
    assert_eq!(open_to_strangers(&ROUTER, &closed), []);
    let mut body = body();
    body["userId"] = json!(USER);
    let response = ROUTER.handle(Request::new(Method::Post, "/").with_body(body.to_string()));
    assert_eq!((response.status(), status(&id)), (401, "pending".to_owned()));
    assert_eq!((world.calls.borrow().len(), topics().len()), (0, 0));
}

#[test]
fn a_customer_cancels_until_it_is_shipped() {
    World::new();
    let cancel = |id: &str| send(by(USER, Method::Post, &format!("/{id}/cancel")));
    for steps in 0..3 {
        let id = order("/").id();
        for topic in ["payment.completed", "shipping.scheduled"].into_iter().take(steps) {
            hear(topic, &json!({ "orderId": id, "paymentId": "p", "trackingNumber": "t" })).unwrap();
        }
        let seen = cancel(&id);
        assert_eq!(seen.status, if steps < 2 { 200 } else { 409 });
        if steps < 2 {
            assert_eq!((&seen.json["status"], cancel(&id).status), (&json!("cancelled"), 200));
        }
    }
    let cancelled = topics().iter().filter(|topic| *topic == "order.cancelled").count();
    assert_eq!((cancelled, cancel("none").status), (2, 404));
}

#[test]
fn the_table_for_questions_can_be_made_again_of_the_events() {
    World::new();
    for _ in 0..3 {
        let id = order("/").id();
        hear("payment.completed", &json!({ "orderId": id, "paymentId": "p" })).unwrap();
    }
    let before: Vec<(String, String)> = sql::all("SELECT id, view FROM orders", &[]).unwrap();
    sql::execute("UPDATE orders SET view = '{}', status = 'pending'", &[]).unwrap();
    let seen = send(Request::new(Method::Post, "/rebuild"));
    assert_eq!(seen.json, json!({ "events": 6, "complete": true }));
    assert_eq!(sql::all::<(String, String)>("SELECT id, view FROM orders", &[]).unwrap(), before);
    assert_rows_are_the_streams();
}

#[test]
fn a_rebuild_that_was_not_complete_goes_on_while_orders_change() {
    World::new();
    let ids: Vec<_> = (0..60).map(|_| order("/").id()).collect();
    for id in &ids {
        commands::confirm(id, "p").unwrap();
    }
    let count = || sql::first::<(i64,)>("SELECT count(*) FROM orders", &[]).unwrap().unwrap().0;
    assert_eq!((table::rebuild(false, 0).unwrap(), count()), ((0, false), 0));
    commands::cancel(&ids[59], &[Status::Confirmed], "r").unwrap();
    assert_eq!((count(), read("/?status=cancelled")["items"].as_array().unwrap().len()), (1, 1));
    assert_eq!(table::rebuild(true, 1).unwrap(), (100, false));
    assert_eq!(
        send(Request::new(Method::Post, "/rebuild?resume=true")).json,
        json!({ "events": 21, "complete": true })
    );
    assert_rows_are_the_streams();
}
