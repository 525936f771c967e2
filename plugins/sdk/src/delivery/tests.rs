use serde_json::json;

use super::*;
use crate::Method;

static EVENTS: Events = Events::new(&[on("order.created", created), on("payment.#", paid), on("*.failed", failed)]);

fn created(event: Delivery) -> Result<(), Failure> {
    let order: Value = event.json()?;
    if order == json!({ "id": 7 }) { Ok(()) } else { Err(Failure::reject("another order")) }
}

fn paid(_: Delivery) -> Result<(), Failure> {
    let number: u8 = "x".parse()?;
    Err(Failure::retry(number))
}

fn failed(_: Delivery) -> Result<(), Failure> {
    Ok(())
}

fn event(topic: &str, data: &str) -> Delivery {
    Delivery { topic: topic.to_owned(), data: data.into(), ..Delivery::default() }
}

#[test]
fn the_first_that_fits_handles_an_event() {
    assert_eq!(EVENTS.handle(event("order.created", r#"{"id": 7}"#)), Ok(()));
    assert_eq!(EVENTS.handle(event("order.created", r#"{"id": 8}"#)), Err(Failure::reject("another order")));
    assert!(matches!(EVENTS.handle(event("order.created", "{")), Err(Failure::Reject(_))), "no try mends it");
    assert!(matches!(EVENTS.handle(event("payment.failed", "")), Err(Failure::Retry(_))));
    assert_eq!(EVENTS.handle(event("order.failed", "")), Ok(()));
    assert!(matches!(EVENTS.handle(event("order.lost", "")), Err(Failure::Reject(_))));
}

#[test]
fn patterns_are_read_as_the_host_reads_them() {
    for (pattern, topic, expected) in [
        ("order.created", "order.created", true),
        ("order.created", "order", false),
        ("order.*", "order", false),
        ("order.*", "order.item.added", false),
        ("order.#", "order", true),
        ("order.#", "order.item.added", true),
        ("#.failed", "failed", true),
        ("#.failed", "payment.card.failed", true),
        ("#.failed", "failed.payment", false),
        ("*.#.*", "a", false),
        ("*.#.*", "a.b", true),
        ("#", "anything.at.all", true),
    ] {
        assert_eq!(fits(pattern, topic), expected, "{pattern} {topic}");
    }
}

fn binary() -> Request {
    Request::new(Method::Post, "/events")
        .with_header("ce-specversion", "1.0")
        .with_header("ce-id", "1")
        .with_header("ce-source", "/services/orders")
        .with_header("ce-type", "made")
}

#[test]
fn a_request_in_binary_mode_is_an_event() {
    let request = binary()
        .with_header("CE-Subject", "%E2%82%AC%201")
        .with_header("ce-partitionkey", "7")
        .with_header("ce-time", "2026-03-01T10:00:00Z")
        .with_header("ce-correlationid", "c")
        .with_header("content-type", "text/plain")
        .with_header("x-wharf-topic", "order.created")
        .with_header("x-wharf-subscription", "order.#")
        .with_header("x-wharf-offset", "42")
        .with_header("x-wharf-attempt", "2")
        .with_body("hello");
    let event = Delivery::from_request(request).unwrap();
    assert_eq!((event.subscription.as_str(), event.offset, event.attempt), ("order.#", 42, 2));
    assert_eq!((event.topic.as_str(), event.kind.as_str()), ("order.created", "made"));
    assert_eq!((event.subject.as_deref(), event.key.as_deref()), (Some("€ 1"), Some("7")));
    assert_eq!((event.content_type.as_deref(), event.data.as_slice()), (Some("text/plain"), &b"hello"[..]));
    assert_eq!(event.extension("correlationid"), Some("c"));
    let foreign = Delivery::from_request(binary()).unwrap();
    assert_eq!((foreign.topic.as_str(), foreign.attempt), ("made", 1), "from elsewhere");
}

fn structured(body: &str) -> Result<Delivery, Error> {
    let request = Request::new(Method::Post, "/events")
        .with_header("content-type", "application/cloudevents+json; charset=utf-8")
        .with_body(body);
    Delivery::from_request(request)
}

#[test]
fn a_request_in_structured_mode_is_an_event() {
    let event = |members: &str| {
        structured(&format!(r#"{{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", {members}}}"#)).unwrap()
    };
    assert_eq!(event(r#""data": {"a": 1}, "n": 5, "subject": null"#).data, br#"{"a":1}"#);
    assert_eq!(event(r#""data": "x""#).data, br#""x""#);
    assert_eq!(event(r#""data": "x", "datacontenttype": "text/plain""#).data, b"x");
    assert_eq!(event(r#""data_base64": "/w==""#).data, b"\xff");
    assert_eq!(event(r#""n": 5"#).extension("n"), Some("5"));
}

#[test]
fn what_is_no_event_is_a_bad_request() {
    let missing = Request::new(Method::Post, "/").with_header("ce-id", "1").with_header("ce-source", "/s");
    assert_eq!(Delivery::from_request(missing).unwrap_err().status(), 400);
    assert_eq!(Delivery::from_request(binary().with_header("ce-x", "%ff")).unwrap_err().status(), 400);
    assert_eq!(Delivery::from_request(binary().with_body(vec![0; BODY_LIMIT + 1])).unwrap_err().status(), 413);
    for body in ["", "[]", "{}", r#"{"specversion": "0.3", "id": "1", "source": "/s", "type": "t"}"#] {
        assert_eq!(structured(body).unwrap_err().status(), 400, "{body}");
    }
}

#[test]
fn an_answer_says_whether_to_try_again() {
    let status = |topic: &str, body: &str| {
        let request = binary().with_header("x-wharf-topic", topic).with_body(body);
        EVENTS.answer(request).unwrap_or_else(Error::into_response).status()
    };
    assert_eq!(status("order.created", r#"{"id": 7}"#), 204);
    assert_eq!(status("order.created", "no JSON"), 422);
    assert_eq!(status("payment.done", ""), 503);
}
