//! A component that only handles events, called with them and with requests.
//!
//! `handler.wat` looks at the attempt: 2 is "retry", 3 is "reject", 4 traps, 5 never ends, 6 takes all the memory there is,
//! 7 waits, where there is a clock of WASI 0.3 that it could wait for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use tokio::time::Instant;

use crate::capability::delivery::{Delivery, Event, Offset, StoredEvent, Verdict};
use crate::capability::{GuestLog, ServiceCapabilities, Values};
use crate::config::{self, Service, SlotReuse, Slots};
use crate::plugin::{
    CallContext, CallError, CompileIn, Compiler, Engines, HttpVersion, Inspection, Loader, Source, Version, probe,
};

fn wasm() -> Bytes {
    wat::parse_str(include_str!("handler.wat")).unwrap().into()
}

/// The same for WASI 0.3, with something to wait for.
fn wasm_of_p3() -> Bytes {
    const CLOCK: &str = r#"
        (import "wasi:clocks/monotonic-clock@0.3.0"
          (instance $clock (export "wait-for" (func async (param "how-long" u64)))))
        (alias export $clock "wait-for" (func $wait_for))
        (core func $wait (canon lower (func $wait_for)))
        (core instance $clock (export "wait" (func $wait)))"#;
    let text = include_str!("handler.wat")
        .replace("(;clock;)", CLOCK)
        .replace("(;wait;)", r#"(import "clock" "wait" (func $wait (param i64)))"#)
        .replace("(;waiting;)", "(call $wait (i64.const 1000000))")
        .replace("(;with;)", r#"(with "clock" (instance $clock))"#);
    wat::parse_str(text).unwrap().into()
}

async fn version(settings: Service) -> Arc<Version> {
    load(wasm(), settings).await
}

async fn load(wasm: Bytes, settings: Service) -> Arc<Version> {
    let engines = Engines::new(8).unwrap();
    let compiler = Compiler::new(CompileIn::Thread, None, 1, Duration::from_secs(60));
    let loader = Loader::new(engines, Arc::new(compiler)).unwrap();
    let log = GuestLog::new("mail", "", 1 << 20);
    let capabilities = Arc::new(ServiceCapabilities::new("mail", None, Values::default(), log));
    let source = Source { service: "mail".into(), label: Some("1".into()), wasm, digest: [0; 32] };
    Arc::new(loader.load(source, capabilities, Arc::new(settings)).await.unwrap())
}

fn delivery(attempt: u32) -> Delivery {
    let event = Event {
        id: "e-1".into(),
        source: "/services/orders".into(),
        kind: "order.created".into(),
        topic: "order.created".into(),
        subject: None,
        key: Some("7".into()),
        time: SystemTime::UNIX_EPOCH,
        content_type: Some("text/plain".into()),
        schema: None,
        extensions: [("correlationid".into(), "c-1".into())].into(),
        data: Bytes::from_static(b"hello"),
    };
    let event = StoredEvent { offset: Offset(42), published: SystemTime::UNIX_EPOCH, event: Arc::new(event) };
    Delivery { subscription: "order.#".into(), attempt, event }
}

type NoBody = http_body_util::combinators::UnsyncBoxBody<Bytes, CallError>;

fn request() -> Request<NoBody> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Request::post("http://mail.internal/events").body(body).unwrap()
}

async fn deliver(version: &Arc<Version>, attempt: u32) -> Result<(StatusCode, Verdict), CallError> {
    let mut request = request();
    request.extensions_mut().insert(delivery(attempt));
    let context = CallContext { deadline: Some(Instant::now() + Duration::from_secs(20)), ..CallContext::default() };
    let response = version.call(request, context).await?;
    let verdict = response.extensions().get::<Verdict>().unwrap().clone();
    let status = response.status();
    assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());
    Ok((status, verdict))
}

fn small() -> Service {
    let mut settings = Service::default();
    settings.limits.memory = config::Size::mib(4);
    settings.limits.cpu_time = config::Duration::millis(200);
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_says_is_the_answer() {
    let version = version(small()).await;
    assert_eq!(probe(&version).await, Ok(()));
    assert_eq!(deliver(&version, 1).await, Ok((StatusCode::NO_CONTENT, Verdict::Handled)));
    let retry = Verdict::Retry("not now".into());
    assert_eq!(deliver(&version, 2).await, Ok((StatusCode::SERVICE_UNAVAILABLE, retry)));
    let reject = Verdict::Reject("never".into());
    assert_eq!(deliver(&version, 3).await, Ok((StatusCode::UNPROCESSABLE_ENTITY, reject)));
    assert_eq!(version.in_flight(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_has_the_limits_of_any_request() {
    let version = version(small()).await;
    assert!(matches!(deliver(&version, 4).await, Err(CallError::Trap(_))));
    assert_eq!(deliver(&version, 5).await, Err(CallError::CpuTime));
    assert!(matches!(deliver(&version, 6).await, Err(CallError::OutOfMemory(_))));
    let mut request = request();
    request.extensions_mut().insert(delivery(5));
    let context = CallContext { deadline: Some(Instant::now() + Duration::from_millis(50)), ..CallContext::default() };
    assert!(matches!(version.call(request, context).await, Err(CallError::Deadline)));
    assert_eq!(deliver(&version, 1).await, Ok((StatusCode::NO_CONTENT, Verdict::Handled)), "the next is not harmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_slot_handles_event_after_event_and_is_gone_after_a_trap() {
    let reuse = SlotReuse { max_requests: 100, idle: config::Duration::secs(60) };
    let version = version(Service { slots: Slots::Reuse(reuse), ..small() }).await;
    for _ in 0..5 {
        assert_eq!(deliver(&version, 1).await, Ok((StatusCode::NO_CONTENT, Verdict::Handled)));
    }
    assert_eq!(version.idle.drop_idle(Duration::ZERO), 1);
    assert!(deliver(&version, 1).await.is_ok() && deliver(&version, 4).await.is_err());
    assert_eq!(version.idle.drop_idle(Duration::ZERO), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_of_0_3_works_as_long_as_it_waits_for_nothing() {
    let version = load(wasm_of_p3(), small()).await;
    assert_eq!(version.serves().engine, HttpVersion::V03);
    for _ in 0..3 {
        assert_eq!(deliver(&version, 1).await, Ok((StatusCode::NO_CONTENT, Verdict::Handled)));
    }
    let retry = Verdict::Retry("not now".into());
    assert_eq!(deliver(&version, 2).await, Ok((StatusCode::SERVICE_UNAVAILABLE, retry)));
    let Err(CallError::Trap(why)) = deliver(&version, 7).await else { panic!("it waits") };
    assert!(why.contains("block"), "{why}");
    assert_eq!(deliver(&version, 5).await, Err(CallError::CpuTime));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_only_handles_events_answers_no_requests() {
    let mut settings = small();
    settings.health_check.path = Some("/health".to_owned());
    let version = version(settings).await;
    assert_eq!(probe(&version).await, Ok(()), "its health is that it starts");
    let answered = version.call(request(), CallContext::default()).await;
    assert_eq!(answered.map(|_| ()), Err(CallError::NoHttp));
}

#[test]
fn inspect_says_what_it_is() {
    let serves = Inspection::read(&wasm()).unwrap().runnable().unwrap();
    assert_eq!((serves.http, serves.events), (None, true));
    assert!(serves.to_string().contains("answers no HTTP requests"), "{serves}");
}
