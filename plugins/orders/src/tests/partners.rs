//! What partners answer that nobody expects.

use super::*;

#[test]
fn a_user_that_is_not_there_is_a_mistake_of_the_client() {
    let world = World::new();
    world.answers("Get users/", 404, json!({}));
    let seen = order("/");
    assert_eq!((seen.status, &seen.json["errors"][0]["field"]), (422, &json!("userId")));
    world.answers("Get users/", 500, json!({}));
    assert_eq!(order("/").status, 503);
}

#[test]
fn a_quote_for_something_else_is_not_believed() {
    let world = World::new();
    let line = |id: &str, quantity: i64| json!({ "productId": id, "quantity": quantity, "unitPrice": 1 });
    let quote =
        |currency: &str, total: i64, lines: Vec<Value>| json!({ "currency": currency, "total": total, "lines": lines });
    let right = || vec![line(PEN, 2), line(INK, 1)];
    for wrong in [
        quote("USD", 3, right()),
        quote("EUR", -1, right()),
        quote("EUR", 3, vec![line(PEN, 2)]),
        quote("EUR", 3, vec![line(PEN, 2), line(INK, 2)]),
        quote("EUR", 3, vec![line(INK, 1), line(PEN, 2)]),
        json!("text"),
    ] {
        world.answers("Post pricing/quote", 200, wrong.clone());
        assert_eq!(order("/").status, 503, "{wrong}");
    }
    world.answers("Post pricing/quote", 200, quote("EUR", 3, right()));
    assert_eq!(order("/").status, 202);
}

#[test]
fn a_refused_price_says_which_fields_are_wrong() {
    let world = World::new();
    let errors = json!([{ "field": "items[0].productId", "detail": "is not sold" }]);
    world.answers("Post pricing/quote", 422, json!({ "detail": "d", "errors": errors }));
    let seen = order("/");
    assert_eq!((seen.status, &seen.json["errors"]), (422, &errors));
    world.answers("Post pricing/quote", 409, json!({ "detail": "the coupon is used up" }));
    let seen = order("/");
    assert_eq!((seen.status, seen.detail()), (422, "price: the coupon is used up"));
}

#[test]
fn the_steps_tell_partners_what_they_need() {
    let world = World::new();
    let id = order("/?mode=sync").id();
    let calls = world.calls.borrow().clone();
    let sent = |name: &str| calls.iter().find(|(call, _)| call == name).unwrap().1.clone();
    let items = json!([{ "productId": PEN, "quantity": 2 }, { "productId": INK, "quantity": 1 }]);
    assert_eq!(sent("Post pricing/quote"), json!({ "currency": "EUR", "items": items, "userId": USER }));
    assert_eq!(sent("Post inventory/reservations"), json!({ "orderId": id, "items": items }));
    let payment = json!({ "orderId": id, "userId": USER, "amount": 750, "currency": "EUR", "card": "tok_visa" });
    assert_eq!(sent("Post payments/"), payment);
    let parcel = json!({ "orderId": id, "userId": USER, "address": body()["shippingAddress"], "items": items });
    assert_eq!(sent("Post shipping/"), parcel);
    let data = json!({ "orderId": id, "total": 750, "currency": "EUR" });
    assert_eq!(sent("Post notifications/"), json!({ "userId": USER, "kind": "order.confirmed", "data": data }));
    assert!(calls.iter().any(|(call, _)| *call == format!("Get users/{USER}")));
}

#[test]
fn a_coupon_is_asked_for_and_told() {
    let world = World::new();
    let mut with = body();
    with["coupon"] = json!("SPRING");
    let seen = send(by(USER, Method::Post, "/").with_body(with.to_string()));
    assert_eq!((seen.status, &seen.json["coupon"]), (202, &json!("SPRING")));
    let calls = world.calls.borrow().clone();
    let quote = calls.iter().find(|(call, _)| call == "Post pricing/quote").unwrap();
    assert_eq!((&quote.1["coupon"], &told()[0].1["order"]["coupon"]), (&json!("SPRING"), &json!("SPRING")));
}
