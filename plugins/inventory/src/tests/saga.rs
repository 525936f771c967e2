//! What the events of an order do, and what is answered.

use serde_json::json;
use wharf_sdk::{Delivery, Failure, Request};

use super::{EVENTS, answers, numbers, order, post_to, send, setup, stocked, told, wish};

#[test]
fn a_saga_is_told_that_its_order_is_reserved() {
    setup();
    stocked("a", 5);
    let made = order("o1", "saga", &[("a", 2)]);
    for _ in 0..2 {
        told("order.created", &made).unwrap();
    }
    let reserved =
        ("inventory.reserved".to_owned(), "inventory-o1-reserved".to_owned(), json!({"orderId": "o1", "order": made}));
    assert_eq!(answers(), [reserved], "once, with the order as it came");
    assert_eq!(numbers("a"), (3, 2, 0));
    for _ in 0..2 {
        told("order.confirmed", &made).unwrap();
    }
    assert_eq!(numbers("a"), (3, 0, 2));
    for _ in 0..2 {
        told("order.cancelled", &made).unwrap();
    }
    told("order.confirmed", &made).unwrap();
    assert_eq!((numbers("a"), answers()), ((5, 0, 0), vec![]), "what had left is back, and stays");
}

#[test]
fn a_saga_is_told_what_is_missing_and_keeps_that_answer() {
    setup();
    stocked("a", 1);
    let made = order("o1", "saga", &[("a", 2)]);
    told("order.created", &made).unwrap();
    let missing = json!([{"productId": "a", "requested": 2, "available": 1}]);
    let data = json!({"orderId": "o1", "reason": "out of stock", "missing": missing, "order": made});
    assert_eq!(answers(), [("inventory.rejected".to_owned(), "inventory-o1-rejected".to_owned(), data)]);
    stocked("a", 5);
    told("order.created", &made).unwrap();
    assert_eq!((numbers("a"), answers()), ((5, 0, 0), vec![]));
    assert_eq!(post_to("/reservations", &wish("o1", &[("a", 2)])).0, 409);
    assert_eq!(send(Request::get("/reservations/o1")).1["status"], json!("rejected"));
}

#[test]
fn an_order_that_is_cancelled_before_it_comes_is_rejected() {
    setup();
    stocked("a", 5);
    let made = order("o1", "saga", &[("a", 2)]);
    told("order.cancelled", &json!({"id": "o1"})).unwrap();
    told("order.created", &made).unwrap();
    let answers = answers();
    assert_eq!(
        (answers.len(), &answers[0].0, &answers[0].2["reason"]),
        (1, &"inventory.rejected".to_owned(), &json!("order cancelled"))
    );
    assert_eq!(numbers("a"), (5, 0, 0));
    assert_eq!(post_to("/reservations", &wish("o1", &[("a", 2)])).0, 409);
}

#[test]
fn an_order_that_asks_by_call_is_left_alone_until_it_is_confirmed() {
    setup();
    stocked("a", 5);
    let made = order("o1", "sync", &[("a", 2)]);
    told("order.created", &made).unwrap();
    assert_eq!((numbers("a"), answers()), ((5, 0, 0), vec![]));
    assert!(matches!(told("order.confirmed", &made), Err(Failure::Retry(_))), "its reservation may still come");
    post_to("/reservations", &wish("o1", &[("a", 2)]));
    told("order.confirmed", &made).unwrap();
    assert_eq!(numbers("a"), (3, 0, 2));
}

#[test]
fn an_event_that_can_never_be_read_is_rejected() {
    setup();
    let many: Vec<_> = (0..101).map(|_| ("a", 1)).collect();
    for bad in [
        json!({}),
        json!({"id": "no id"}),
        order("o1", "saga", &[]),
        order("o1", "saga", &[("a", 0)]),
        order("o1", "saga", &[("a", -1)]),
        order("o1", "saga", &[("a", i64::MAX)]),
        order("o1", "saga", &[("a b", 1)]),
        order("o1", "saga", &many),
    ] {
        assert!(matches!(told("order.created", &bad), Err(Failure::Reject(_))), "{bad}");
    }
    let text = Delivery { topic: "order.cancelled".to_owned(), data: b"?".to_vec(), ..Delivery::default() };
    assert!(matches!(EVENTS.handle(text), Err(Failure::Reject(_))));
}
