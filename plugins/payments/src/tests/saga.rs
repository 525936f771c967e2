//! The events, in every order in which they can come.

use super::*;

fn order(card: &str) -> Value {
    json!({
        "id": "o1", "userId": "ann", "mode": "saga", "items": [{ "productId": "p1", "quantity": 1, "unitPrice": 1999 }],
        "currency": "EUR", "total": 1999, "card": card, "shippingAddress": { "line1": "1 High St" },
    })
}

fn deliver(topic: &str, data: &Value) -> Result<(), Failure> {
    EVENTS.handle(Delivery::from(Event::json(topic, data).unwrap().id("e1").key("o1")))
}

fn reserved(card: &str) -> Result<(), Failure> {
    deliver("inventory.reserved", &json!({ "orderId": "o1", "order": order(card) }))
}

fn cancelled() -> Result<(), Failure> {
    deliver("order.cancelled", &json!({ "orderId": "o1", "version": 2, "reason": "no", "order": order("tok_visa") }))
}

fn sweep() -> Result<(), Failure> {
    deliver("payments.sweep", &Value::Null)
}

fn is_retry(result: Result<(), Failure>) -> bool {
    matches!(result, Err(Failure::Retry(_)))
}

fn failed(reason: &str) -> (String, Value) {
    ("payment.failed".to_owned(), json!({ "orderId": "o1", "reason": reason, "order": order("tok_visa") }))
}

#[test]
fn an_order_whose_goods_are_reserved_is_paid_and_that_is_told_with_the_order() {
    let bank = start(&[]);
    reserved("tok_visa").unwrap();
    let [(topic, data)] = told().try_into().unwrap();
    assert_eq!(
        (topic.as_str(), &data["order"], &data["amount"]),
        ("payment.completed", &order("tok_visa"), &json!(1999))
    );
    let own = call_as(Some(("ann", "customer")), Method::Get, "/o1", &Value::Null);
    assert_eq!((own.0, &own.1["id"]), (200, &data["paymentId"]));
    assert_eq!(call_as(Some(("bob", "customer")), Method::Get, "/o1", &Value::Null).0, 403);
    reserved("tok_visa").unwrap();
    assert_eq!((told().len(), bank.charges()), (0, charged("captured")));
}

#[test]
fn a_declined_card_is_told_and_no_reason_to_try_again() {
    start(&[]);
    reserved("tok_declined").unwrap();
    reserved("tok_declined").unwrap();
    let [(topic, data)] = told().try_into().unwrap();
    assert_eq!((topic.as_str(), &data["reason"]), ("payment.failed", &json!("the card is declined")));
    assert_eq!(data["order"], order("tok_declined"));
}

#[test]
fn a_provider_that_is_away_is_a_reason_to_try_again() {
    let bank = start(&[Fault::Down, Fault::Lost, Fault::None, Fault::Lost]);
    for _ in 0..3 {
        assert!(is_retry(reserved("tok_visa")));
    }
    reserved("tok_visa").unwrap();
    assert_eq!((told().len(), bank.charges()), (1, charged("captured")));
}

#[test]
fn an_order_that_is_cancelled_after_it_was_paid_gets_its_money_back_once() {
    let bank = start(&[]);
    reserved("tok_visa").unwrap();
    told();
    bank.fail(&[Fault::Lost]);
    assert!(is_retry(cancelled()));
    cancelled().unwrap();
    cancelled().unwrap();
    let [(topic, data)] = told().try_into().unwrap();
    assert_eq!(
        (topic.as_str(), &data["amount"], &data["order"]),
        ("payment.refunded", &json!(1999), &order("tok_visa"))
    );
    assert_eq!((status(), bank.charges()), ("refunded".to_owned(), charged("refunded")));
    reserved("tok_visa").unwrap();
    assert_eq!((told(), bank.charges()), (vec![], charged("refunded")), "what was told is not told otherwise");
}

#[test]
fn an_order_that_is_cancelled_before_it_is_paid_is_never_charged() {
    let bank = start(&[]);
    cancelled().unwrap();
    assert_eq!(told(), []);
    for _ in 0..2 {
        reserved("tok_visa").unwrap();
    }
    assert_eq!((told(), bank.requests()), (vec![failed("order cancelled")], 0));
    assert_eq!((pay("tok_visa", 1999).0, refund().0), (409, 200));
}

#[test]
fn an_order_that_is_cancelled_while_it_is_paid_gets_its_money_back() {
    for place in 0..2 {
        std::thread::spawn(move || {
            let mut faults = vec![Fault::None; 2];
            faults[place] = Fault::Cancelled;
            let bank = start(&faults);
            reserved("tok_visa").unwrap();
            assert_eq!((status(), bank.charges()), ("cancelled".to_owned(), charged("refunded")));
            assert_eq!(told(), [failed("order cancelled")], "nobody was told that it is paid, so not of a refund");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn money_that_was_taken_by_somebody_who_was_cut_off_is_found_and_given_back() {
    for (faults, left) in [(&[Fault::Lost][..], "voided"), (&[Fault::None, Fault::Lost], "refunded")] {
        std::thread::spawn(move || {
            let bank = start(faults);
            assert!(is_retry(reserved("tok_visa")));
            let requests = bank.requests();
            cancelled().unwrap();
            sweep().unwrap();
            assert_eq!((status(), bank.requests()), ("refunding".to_owned(), requests), "somebody may be at it");
            assert_eq!(refund().0, 202);
            later();
            bank.fail(&[Fault::Down]);
            sweep().unwrap();
            assert_eq!(status(), "refunding");
            sweep().unwrap();
            assert_eq!(status(), "refunding", "not at once again");
            later();
            sweep().unwrap();
            assert_eq!((status(), bank.charges()), ("cancelled".to_owned(), charged(left)));
            assert_eq!(told(), []);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn the_next_delivery_gives_back_what_was_left_behind() {
    let bank = start(&[Fault::Lost]);
    assert!(is_retry(reserved("tok_visa")));
    cancelled().unwrap();
    later();
    reserved("tok_visa").unwrap();
    assert_eq!((status(), bank.charges()), ("cancelled".to_owned(), charged("voided")));
    assert_eq!(told(), [failed("order cancelled")]);
}

#[test]
fn what_can_never_be_done_is_rejected() {
    start(&[]);
    let is_reject = |result| matches!(result, Err(Failure::Reject(_)));
    let mut negative = order("tok_visa");
    negative["total"] = json!(-1);
    let mut other = order("tok_visa");
    other["id"] = json!("o2");
    for data in [json!({}), json!({ "orderId": "o1", "order": {} }), json!({ "orderId": "o1", "order": negative })] {
        assert!(is_reject(deliver("inventory.reserved", &data)), "{data}");
    }
    assert!(is_reject(deliver("inventory.reserved", &json!({ "orderId": "o1", "order": other }))));
    assert!(is_reject(deliver("order.cancelled", &json!({ "orderId": "a/b", "order": {} }))));
    assert!(is_reject(deliver("order.created", &json!({}))), "nothing here is for that");
    reserved("tok_visa").unwrap();
    let mut dearer = order("tok_visa");
    dearer["total"] = json!(2000);
    assert!(is_reject(deliver("inventory.reserved", &json!({ "orderId": "o1", "order": dearer }))));
}
