//! What becomes of what a guest hands over, with a bus that remembers.

use std::sync::Arc;
use std::time::Duration;

use crate::capability::bindings::events::wharf::service::{events as wit, queues};
use crate::capability::bus::NewMessage;
use crate::capability::fake_bus::{FakeBus, message};
use crate::capability::http::{Caller, Cause, Trace};
use crate::capability::tests::{Fixture, Slot, fixture};
use crate::capability::{HasCapabilities, InRequest, ServiceCapabilities};

#[derive(Debug)]
struct Handling;

impl InRequest for Handling {
    fn caller(&self) -> Caller {
        let cause = Cause { event: "e-1".into(), correlation: "c-1".into(), depth: 3 };
        Caller {
            service: "orders".into(),
            version: "1".into(),
            request_id: "request-1".into(),
            deadline: None,
            trace: Trace { parent: Some(http::HeaderValue::from_static("00-trace")), state: None },
            identity: http::HeaderMap::new(),
            path: Vec::new(),
            cause: Some(Arc::new(cause)),
        }
    }
}

fn slot() -> (Fixture, Arc<FakeBus>, Slot) {
    let fixture = fixture(1 << 20);
    let bus = Arc::<FakeBus>::default();
    let service = ServiceCapabilities::clone(&fixture.service).with_bus(Arc::clone(&bus) as _);
    let mut slot = Slot::new(&Arc::new(service));
    slot.ctx.serving(Some(Arc::new(Handling)));
    (fixture, bus, slot)
}

fn event(topic: &str) -> wit::Event {
    wit::Event {
        topic: topic.to_owned(),
        id: Some("known".into()),
        type_: Some("made".into()),
        subject: Some("order/1".into()),
        key: Some("1".into()),
        time: Some("2026-03-01T10:00:00Z".into()),
        datacontenttype: Some("text/plain".into()),
        dataschema: Some("https://example.org".into()),
        extensions: vec![("tenant".into(), "blue".into())],
        data: b"hello".to_vec(),
    }
}

#[tokio::test]
async fn an_event_is_published_in_the_name_of_the_service_and_its_request() {
    let (_fixture, bus, mut slot) = slot();
    let receipts = wit::Host::publish(&mut slot.capabilities(), vec![event("order.created")]).await.unwrap();
    assert_eq!(receipts.len(), 1);
    assert_eq!((receipts[0].id.as_str(), receipts[0].offset, receipts[0].duplicate), ("known", 1, true));
    let published = bus.published.lock().unwrap();
    let (publisher, events) = &published[0];
    assert_eq!(&*publisher.service, "orders");
    assert_eq!((publisher.correlation.as_deref(), publisher.causation.as_deref()), (Some("c-1"), Some("e-1")));
    assert_eq!(publisher.trace.parent.as_ref().unwrap(), "00-trace");
    let given = &events[0];
    assert_eq!((given.topic.as_str(), given.kind.as_deref()), ("order.created", Some("made")));
    assert_eq!((given.subject.as_deref(), given.key.as_deref()), (Some("order/1"), Some("1")));
    assert_eq!((given.time.as_deref(), &*given.data), (Some("2026-03-01T10:00:00Z"), &b"hello"[..]));
    assert_eq!(
        (given.content_type.as_deref(), given.schema.as_deref()),
        (Some("text/plain"), Some("https://example.org"))
    );
    assert_eq!(given.extensions, [("tenant".to_owned(), "blue".to_owned())]);
}

#[tokio::test]
async fn every_refusal_is_an_error_of_the_interface() {
    let (_fixture, _bus, mut slot) = slot();
    for (name, expected) in [
        ("denied", "denied"),
        ("invalid", "invalid"),
        ("full", "full"),
        ("toofast", "full"),
        ("unavailable", "unavailable"),
    ] {
        let error = wit::Host::publish(&mut slot.capabilities(), vec![event(name)]).await.unwrap_err();
        let (kind, text) = match error {
            wit::Error::Denied(text) => ("denied", text),
            wit::Error::Invalid(text) => ("invalid", text),
            wit::Error::Full(text) => ("full", text),
            wit::Error::Unavailable(text) => ("unavailable", text),
        };
        assert_eq!(kind, expected, "{name}");
        assert!(text.contains("because") || name == "toofast", "{text}");
        if name == "toofast" {
            continue;
        }
        let error = queues::Host::send(&mut slot.capabilities(), name.to_owned(), Vec::new()).await.unwrap_err();
        let kind = match error {
            queues::Error::Denied(_) => "denied",
            queues::Error::Invalid(_) => "invalid",
            queues::Error::Expired => "expired",
            queues::Error::Full(_) => "full",
            queues::Error::Unavailable(_) => "unavailable",
        };
        assert_eq!(kind, expected, "{name}");
    }
    let deleted = queues::Host::delete(&mut slot.capabilities(), "expired".to_owned(), "r".to_owned()).await;
    assert!(matches!(deleted, Err(queues::Error::Expired)), "{deleted:?}");
}

#[tokio::test]
async fn a_host_without_events_says_so() {
    let mut fixture = fixture(1 << 20);
    let error = wit::Host::publish(&mut fixture.slot.capabilities(), vec![event("a")]).await.unwrap_err();
    assert!(matches!(error, wit::Error::Unavailable(_)), "{error:?}");
    let error = queues::Host::receive(&mut fixture.slot.capabilities(), "q".to_owned(), 1, None, 0).await.unwrap_err();
    assert!(matches!(error, queues::Error::Unavailable(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn queues_take_milliseconds_and_waiting_can_be_ended() {
    let (_fixture, bus, mut slot) = slot();
    let sent = wit_message(Some("d"));
    let ids = queues::Host::send(&mut slot.capabilities(), "mails".to_owned(), vec![sent]).await.unwrap();
    assert_eq!(ids, [7]);
    let expected = NewMessage {
        body: "hello".into(),
        content_type: None,
        delay: Duration::from_millis(1500),
        deduplication: Some("d".into()),
    };
    assert_eq!(*bus.sent.lock().unwrap(), [expected]);
    *bus.waiting.lock().unwrap() = vec![message(3, b"text")];
    let mut view = slot.capabilities();
    let received = queues::Host::receive(&mut view, "mails".to_owned(), 5, Some(250), 1000).await.unwrap();
    assert_eq!((received[0].id, received[0].receipt.as_str(), &*received[0].body), (3, "r/3", &b"text"[..]));
    queues::Host::extend(&mut view, "mails".to_owned(), "r".to_owned(), 10).await.unwrap();

    let waiting = queues::Host::receive(&mut view, "silent".to_owned(), 1, None, 20_000);
    assert!(tokio::time::timeout(Duration::from_millis(10), waiting).await.is_err(), "it ends with its request");
    let expected = [
        "orders send mails",
        "orders receive mails 5 Some(250ms) 1s",
        "orders extend mails r 10ms",
        "orders receive silent 1 None 20s",
    ];
    assert_eq!(*bus.asked.lock().unwrap(), expected);
}

fn wit_message(deduplication_id: Option<&str>) -> queues::Message {
    queues::Message {
        body: b"hello".to_vec(),
        content_type: None,
        delay: 1500,
        deduplication_id: deduplication_id.map(str::to_owned),
    }
}
