//! What `events.internal` makes of requests, with a bus that remembers.

use std::time::Duration;

use http_body_util::{Full, StreamBody};
use serde_json::{Value, json};

use super::*;
use crate::capability::bus::NewMessage;
use crate::capability::fake_bus::{FakeBus, message};
use crate::capability::http::{Cause, Trace};

fn caller() -> Caller {
    Caller {
        service: "orders".into(),
        version: "1".into(),
        request_id: "request-1".into(),
        deadline: None,
        trace: Trace::default(),
        identity: HeaderMap::new(),
        path: Vec::new(),
        cause: None,
    }
}

fn body(bytes: impl Into<Bytes>) -> WasiBody {
    WasiBody::new(Full::new(bytes.into()).map_err(|never| match never {}))
}

struct Answered {
    status: u16,
    body: Value,
    retry_after: Option<String>,
}

async fn ask(bus: &Arc<FakeBus>, request: Request<WasiBody>) -> Answered {
    let (parts, body) = request.into_parts();
    let bus: Arc<dyn EventBus> = Arc::clone(bus) as _;
    let response = answer(Some(bus), &caller(), &parts, body).await;
    let response = response.unwrap_or_else(|error| error.to_response("request-1"));
    let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = response.into_body();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Answered { status, body, retry_after }
}

async fn post(bus: &Arc<FakeBus>, target: &str, headers: &[(&str, &str)], bytes: &'static str) -> Answered {
    let mut request = Request::post(format!("http://events.internal{target}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(bus, request.body(body(bytes)).unwrap()).await
}

#[tokio::test]
async fn a_body_is_published_with_what_its_headers_say() {
    let bus = Arc::<FakeBus>::default();
    let headers = [("content-type", "text/plain"), ("ce-id", "known"), ("ce-source", "/services/orders")];
    let answered = post(&bus, "/topics/order.created", &headers, "hello").await;
    assert_eq!(answered.status, 201);
    assert_eq!(answered.body, json!({ "receipts": [{ "id": "known", "offset": 1, "duplicate": true }] }));
    let published = bus.published.lock().unwrap();
    let (publisher, events) = &published[0];
    assert_eq!((&*publisher.service, publisher.correlation.as_deref()), ("orders", Some("request-1")));
    assert_eq!(publisher.causation, None);
    let expected = NewEvent {
        topic: "order.created".into(),
        id: Some("known".into()),
        content_type: Some("text/plain".into()),
        data: "hello".into(),
        ..NewEvent::default()
    };
    assert_eq!(*events, [expected]);
}

#[tokio::test]
async fn a_batch_is_published_at_once_and_nothing_is_an_empty_batch() {
    let bus = Arc::<FakeBus>::default();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    let two = r#"[{"specversion":"1.0","id":"a"},{"specversion":"1.0","id":"b","data":1}]"#;
    let answered = post(&bus, "/topics/a", &headers, two).await;
    assert_eq!(answered.body["receipts"].as_array().unwrap().len(), 2);
    let answered = post(&bus, "/topics/a", &headers, "[]").await;
    assert_eq!((answered.status, answered.body), (201, json!({ "receipts": [] })));
    let published: Vec<_> = bus.published.lock().unwrap().iter().map(|(_, events)| events.len()).collect();
    assert_eq!(published, [2, 0]);
}

#[tokio::test]
async fn nobody_speaks_in_anothers_name() {
    let bus = Arc::<FakeBus>::default();
    for (headers, why) in [([("ce-source", "/services/payments")], "source is `/services/payments`")] {
        let answered = post(&bus, "/topics/order.created", &headers, "").await;
        let detail = answered.body["detail"].as_str().unwrap();
        assert!(answered.status == 400 && detail.contains(why), "{headers:?}: {detail}");
    }
    let headers = [("content-type", "application/cloudevents+json")];
    let forged = r#"{"specversion":"1.0","source":"\u001b[31mx"}"#;
    let answered = post(&bus, "/topics/a", &headers, forged).await;
    let detail = answered.body["detail"].as_str().unwrap();
    assert!(answered.status == 400 && !detail.contains('\u{1b}'), "{detail}");
    assert!(bus.published.lock().unwrap().is_empty());
}

#[tokio::test]
async fn each_refusal_is_a_problem_of_its_own() {
    let bus = Arc::<FakeBus>::default();
    for (name, status, reason, detail, retry_after) in [
        ("denied", 403, "grant_denied", "because denied", None),
        ("invalid", 400, "bad_request", "because invalid", None),
        ("full", 503, "events_full", "because full", Some("1")),
        ("unavailable", 503, "events_unavailable", "because unavailable", Some("1")),
        ("toofast", 429, "rate_limited", "the service publishes too fast: try again in 7 s", Some("7")),
    ] {
        let answered = post(&bus, &format!("/topics/{name}"), &[], "").await;
        let told = (answered.status, answered.body["reason"].as_str(), answered.body["detail"].as_str());
        assert_eq!(told, (status, Some(reason), Some(detail)), "{name}");
        assert_eq!(answered.retry_after.as_deref(), retry_after, "{name}");
        if name == "toofast" {
            continue;
        }
        let answered = post(&bus, &format!("/queues/{name}/messages"), &[], "").await;
        assert_eq!((answered.status, answered.body["reason"].as_str()), (status, Some(reason)), "{name}");
    }
    let answered = post(&bus, "/queues/expired/messages/x/extend?visibility=1s", &[], "").await;
    assert_eq!((answered.status, answered.body["reason"].as_str()), (410, Some("receipt_expired")));
}

#[tokio::test]
async fn what_is_too_large_is_not_read_to_its_end() {
    let bus = Arc::<FakeBus>::default();
    let piece = || Ok(http_body::Frame::data(Bytes::from(vec![b'x'; 64 << 10])));
    let endless = StreamBody::new(futures_util::stream::repeat_with(piece));
    for target in ["/topics/a", "/queues/a/messages"] {
        let request = Request::post(format!("http://events.internal{target}"));
        let answered = ask(&bus, request.body(WasiBody::new(endless.clone())).unwrap()).await;
        assert_eq!((answered.status, answered.body["reason"].as_str()), (413, Some("payload_too_large")));
    }
}

#[tokio::test]
async fn messages_are_sent_received_extended_and_deleted() {
    let bus = Arc::<FakeBus>::default();
    let target = "/queues/mails/messages?delay=5s&deduplicationId=a%20b";
    let answered = post(&bus, target, &[("content-type", "text/plain")], "hello").await;
    assert_eq!((answered.status, answered.body), (201, json!({ "id": 7 })));
    let expected = NewMessage {
        body: "hello".into(),
        content_type: Some("text/plain".into()),
        delay: Duration::from_secs(5),
        deduplication: Some("a b".into()),
    };
    assert_eq!(*bus.sent.lock().unwrap(), [expected]);

    *bus.waiting.lock().unwrap() = vec![message(1, b"text"), message(2, b"\xff")];
    let answered = post(&bus, "/queues/mails/receive?max=2&visibility=500ms&wait=1s", &[], "").await;
    let common = json!({ "attempt": 1, "sent": "1970-01-01T00:00:00Z", "contentType": "text/plain" });
    let with = |members: Value| {
        let mut message = common.clone();
        message.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        message
    };
    let first = with(json!({ "id": 1, "receipt": "r/1", "body": "text" }));
    let second = with(json!({ "id": 2, "receipt": "r/2", "bodyBase64": "/w==" }));
    assert_eq!((answered.status, answered.body), (200, json!({ "messages": [first, second] })));

    assert_eq!(post(&bus, "/queues/mails/messages/r%2F1/extend?visibility=0s", &[], "").await.status, 204);
    let request = Request::delete("http://events.internal/queues/mails/messages/r%2F1").body(body("")).unwrap();
    assert_eq!(ask(&bus, request).await.status, 204);
    post(&bus, "/queues/mails/receive", &[], "").await;
    assert_eq!(
        *bus.asked.lock().unwrap(),
        [
            "orders send mails",
            "orders receive mails 2 Some(500ms) 1s",
            "orders extend mails r/1 0ns",
            "orders delete mails r/1",
            "orders receive mails 1 None 0ns",
        ]
    );
}

#[tokio::test]
async fn what_is_misspelt_is_told() {
    let bus = Arc::<FakeBus>::default();
    for (target, status, why) in [
        ("/", 404, ""),
        ("/topics", 404, ""),
        ("/topics/", 404, ""),
        ("/topics/a/b", 404, ""),
        ("/queues/q", 404, ""),
        ("/queues//messages", 404, ""),
        ("/queues/q/messages/r/extend/x", 404, ""),
        ("/topics/%ff", 400, "UTF-8"),
        ("/queues/q/messages/r", 400, "takes DELETE"),
        ("/queues/q/messages?delya=5s", 400, "no parameter is called `delya`"),
        ("/queues/q/messages?delay=5", 400, "write a time"),
        ("/queues/q/messages?delay=1s&delay=2s", 400, "more than once"),
        ("/queues/q/receive?max=many", 400, "a number"),
        ("/queues/q/messages/r/extend", 400, "for how long"),
    ] {
        let answered = post(&bus, target, &[], "").await;
        let detail = answered.body["detail"].as_str().unwrap_or_default();
        assert!(answered.status == status && detail.contains(why), "{target}: {} {detail}", answered.status);
    }
    let request = Request::get("http://events.internal/topics/a").body(body("")).unwrap();
    let answered = ask(&bus, request).await;
    assert_eq!((answered.status, answered.body["detail"].as_str()), (400, Some("this address takes POST")));
    assert!(bus.asked.lock().unwrap().is_empty() && bus.published.lock().unwrap().is_empty());
}

#[test]
fn what_follows_from_an_event_names_it() {
    let cause = Cause { event: "e-1".into(), correlation: "c-1".into(), depth: 3 };
    let caller = Caller { cause: Some(Arc::new(cause)), ..caller() };
    let publisher = caller.publisher();
    assert_eq!((publisher.correlation.as_deref(), publisher.causation.as_deref()), (Some("c-1"), Some("e-1")));
    assert_eq!(publisher.depth, 4, "one more than the event has");
}
