//! The workflow: the order of its calls, and what each failing step undoes.

use super::*;

const ALL: [&str; 4] = ["Post inventory/reservations", "Post payments/", "Post shipping/", "Post notifications/"];

/// Answers a step so, and says what the client saw, with the calls and events.
fn failing(call: &str, status: u16, answer: Value) -> (Seen, Vec<String>, Vec<(String, Value)>) {
    let world = World::new();
    world.answers(call, status, answer);
    let seen = order("/?mode=sync");
    let told = told();
    let id = told[0].1["orderId"].as_str().unwrap().to_owned();
    assert!(seen.detail().ends_with(&format!("order {id} is cancelled")), "{}", seen.detail());
    assert_eq!((self::status(&id), seen.location.as_deref()), ("cancelled".to_owned(), None));
    assert_rows_are_the_streams();
    let calls = world.calls().iter().map(|call| call.replace(&id, "ID")).collect();
    (seen, calls, told)
}

fn names(told: &[(String, Value)]) -> Vec<&str> {
    told.iter().map(|(topic, _)| topic.as_str()).collect()
}

#[test]
fn all_steps_are_done_one_after_the_other() {
    let world = World::new();
    let seen = order("/?mode=sync");
    assert_eq!((seen.status, seen.json["status"].as_str()), (201, Some("shipped")));
    assert_eq!(seen.json["trackingNumber"], "CP000000018DE");
    assert_eq!(seen.location, Some(format!("/api/orders/{}", seen.id())));
    assert_eq!(world.calls(), ALL);
    let told = told();
    assert_eq!(names(&told), ["order.created", "order.confirmed", "order.shipped"]);
    assert_eq!(told[0].1["order"]["mode"], "sync", "so that nobody does by events what is done by calls");
    assert_rows_are_the_streams();
}

#[test]
fn without_stock_nothing_is_to_be_undone() {
    let (seen, calls, told) = failing("Post inventory/", 409, json!({ "detail": "2 are wanted and 1 is there" }));
    assert_eq!(seen.status, 409);
    assert!(seen.detail().starts_with("stock: 2 are wanted and 1 is there; "));
    assert_eq!((calls, names(&told)), (vec![ALL[0].to_owned()], vec!["order.created", "order.cancelled"]));
    assert_eq!(told[1].1["reason"], "stock: 2 are wanted and 1 is there");
}

#[test]
fn a_reservation_that_may_have_been_made_is_released() {
    let (seen, calls, _) = failing("Post inventory/reservations", 503, json!({}));
    assert_eq!((seen.status, calls), (503, vec![ALL[0].into(), "Post inventory/reservations/ID/release".into()]));
    assert!(seen.detail().starts_with("stock: "));
}

#[test]
fn a_card_that_is_declined_releases_the_reservation() {
    let (seen, calls, told) = failing("Post payments/", 402, json!({ "detail": "the card was declined" }));
    assert_eq!(seen.status, 402);
    assert!(seen.detail().starts_with("payment: the card was declined; "));
    assert_eq!(calls, [ALL[0], ALL[1], "Post inventory/reservations/ID/release"]);
    assert_eq!(names(&told), ["order.created", "order.cancelled"]);
}

#[test]
fn a_payment_that_may_have_been_made_is_refunded() {
    for status in [500, 502, 503, 504] {
        let (seen, calls, _) = failing("Post payments/", status, json!({}));
        assert_eq!(seen.status, 503);
        let undone = ["Post payments/ID/refund", "Post inventory/reservations/ID/release"];
        assert_eq!(calls, [ALL[0], ALL[1], undone[0], undone[1]]);
        sql::execute("DROP TABLE es_events", &[]).unwrap();
        for table in ["es_snapshots", "es_checkpoints", "orders", "requests"] {
            sql::execute(&format!("DROP TABLE {table}"), &[]).unwrap();
        }
    }
}

#[test]
fn an_answer_without_a_payment_counts_as_none() {
    let (seen, calls, _) = failing("Post payments/", 201, json!({ "what": "ever" }));
    assert_eq!((seen.status, calls.len()), (503, 4));
}

#[test]
fn a_shipment_that_fails_gives_back_money_and_stock() {
    let (seen, calls, told) = failing("Post shipping/", 503, json!({}));
    assert_eq!(seen.status, 503);
    assert!(seen.detail().starts_with("shipping: "));
    let undone = ["Post payments/ID/refund", "Post inventory/reservations/ID/release"];
    assert_eq!(calls, [ALL[0], ALL[1], ALL[2], undone[0], undone[1]]);
    assert_eq!(names(&told), ["order.created", "order.confirmed", "order.cancelled"]);
}

#[test]
fn a_message_that_fails_undoes_everything_the_shipment_too() {
    let (seen, calls, told) = failing("Post notifications/", 503, json!({}));
    assert_eq!(seen.status, 503);
    assert_eq!(calls.len(), 6);
    // shipping hears of this and takes its shipment back.
    assert_eq!(names(&told), ["order.created", "order.confirmed", "order.shipped", "order.cancelled"]);
}

#[test]
fn what_cannot_be_undone_by_a_call_is_left_to_the_event() {
    let world = World::new();
    world.answers("Post shipping/", 503, json!({}));
    world.answers("Post payments/01", 503, json!({}));
    let seen = order("/?mode=sync");
    assert!(seen.detail().starts_with("shipping: "), "the client is told of the step: {}", seen.detail());
    assert_eq!(world.calls().len(), 5, "the reservation is released all the same");
    assert_eq!(topics(), ["order.created", "order.confirmed", "order.cancelled"]);
}

#[test]
fn a_service_that_is_not_there_at_all_fails_its_step() {
    database();
    let seen = order("/?mode=sync");
    assert_eq!((seen.status, seen.detail()), (503, "user: the service is not available, try again later"));
    assert_eq!(topics(), [""; 0], "nothing has happened yet");
}

#[test]
fn an_order_that_is_cancelled_meanwhile_is_not_confirmed() {
    let world = World::new();
    world.meanwhile("Post payments/", |body| {
        commands::cancel(body["orderId"].as_str().unwrap(), &[Status::Pending], "no more").unwrap();
    });
    let seen = order("/?mode=sync");
    assert_eq!(seen.status, 409);
    assert!(seen.detail().starts_with("confirmation: the order was cancelled meanwhile (no more)"));
    let calls = world.calls();
    assert!(calls[2].ends_with("/refund") && calls[3].ends_with("/release"), "{calls:?}");
    assert_eq!(topics(), ["order.created", "order.cancelled", "order.cancelled"], "once more, for the money");
}

#[test]
fn an_order_that_is_confirmed_by_the_event_of_its_payment_goes_on() {
    let world = World::new();
    world.meanwhile("Post payments/", |body| {
        hear("payment.completed", &json!({ "orderId": body["orderId"], "paymentId": "pay-1" })).unwrap();
    });
    let seen = order("/?mode=sync");
    assert_eq!((seen.status, world.calls().len()), (201, 4));
    assert_eq!(topics(), ["order.created", "order.confirmed", "order.shipped"]);
}

#[test]
fn what_has_arrived_is_not_taken_back_when_the_message_fails() {
    let world = World::new();
    world.answers("Post notifications/", 503, json!({}));
    world.meanwhile("Post notifications/", |body| {
        let data = json!({ "orderId": body["data"]["orderId"], "trackingNumber": "T1" });
        hear("shipping.delivered", &data).unwrap();
    });
    let seen = order("/?mode=sync");
    assert_eq!((seen.status, seen.detail()), (503, "notification: the service is not available, try again later"));
    assert_eq!(world.calls().len(), 4, "nothing is undone");
    assert_eq!(topics(), ["order.created", "order.confirmed", "order.shipped", "order.delivered"]);
}
