//! A service that publishes what it is asked to, and handles events as their data says.
//!
//! ```text
//! POST /publish?topic=&n=&each=&id=&size=   publishes the body (or `size` bytes) n times at once, `each` times one after
//!                                           the other; 200 with receipts, 555 with the error
//! GET  /handled                             what was handled, in the order of the log
//! POST /events                              an event by HTTP
//! POST /queue/{name}/{do}                   send, receive, delete, extend
//! ```
//!
//! An event's data is `{"do": …}`: `handle` (or nothing) notes it; `once` notes it unless it was handled; `retry`, `reject`,
//! `trap`, `panic`, `spin`, `grow` do that; `mend` fails until the attempt `at`; `publish` publishes `count` events with
//! `data` to `topic`, and `loop` itself again; `call` posts to `url`.

use std::time::Duration;

use serde_json::{Value, json};
use wharf_sdk::{
    Call, CallError, Delivery, Error, Event, EventError, Events, Failure, KeyValue, Queue, Request, Response, Router,
    get, on, once, post, publish_all,
};

pub static EVENTS: Events = Events::new(&[on("#", handle)]);

pub static ROUTER: Router = Router::new(&[
    get("/", |_| Ok(Response::text("ok"))),
    post("/publish", publish),
    get("/handled", handled),
    post("/events", |request| EVENTS.answer(request)),
    post("/queue/{name}/{do}", queue),
]);

fn failed(error: EventError) -> Response {
    Response::text(format!("{error:?}")).with_status(555)
}

fn publish(mut request: Request) -> Result<Response, Error> {
    let topic = request.query("topic").unwrap_or_default();
    let (count, each) = (request.query_or("n", 1)?, request.query_or("each", 1)?);
    let size: usize = request.query_or("size", 0)?;
    let data = if size > 0 { vec![b'x'; size] } else { request.body(1 << 20)? };
    let mut event = Event::new(topic).data("application/json", data);
    if let Some(id) = request.query("id") {
        event = event.id(id);
    }
    if let Some(key) = request.query("key") {
        event = event.key(key);
    }
    for (name, value) in request.queries() {
        if let Some(name) = name.strip_prefix("x-") {
            event = event.extension(name, value);
        }
    }
    let mut receipts = Vec::new();
    for _ in 0..each {
        match publish_all(vec![event.clone(); count]) {
            Ok(more) => receipts.extend(more),
            Err(error) => return Ok(failed(error).header("x-published", &receipts.len().to_string())),
        }
    }
    let receipts = receipts.iter().map(|one| json!({ "id": one.id, "offset": one.offset, "duplicate": one.duplicate }));
    Ok(Response::json(&receipts.collect::<Vec<_>>()))
}

fn handled(_: Request) -> Result<Response, Error> {
    let store = KeyValue::open("default")?;
    let mut keys: Vec<_> = store.keys()?.into_iter().filter(|key| key.starts_with("handled/")).collect();
    keys.sort();
    let notes = keys.iter().filter_map(|key| store.get_json::<Value>(key).transpose());
    Ok(Response::json(&notes.collect::<Result<Vec<_>, _>>()?))
}

fn note(event: &Delivery) -> Result<(), Failure> {
    let extensions: serde_json::Map<String, Value> =
        event.extensions.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let note = json!({
        "subscription": event.subscription, "offset": event.offset, "attempt": event.attempt, "id": event.id,
        "source": event.source, "type": event.kind, "topic": event.topic, "subject": event.subject, "key": event.key,
        "time": event.time, "contentType": event.content_type, "schema": event.schema, "extensions": extensions,
        "data": String::from_utf8_lossy(&event.data),
    });
    let key = format!("handled/{:020}/{:010}", event.offset, event.attempt);
    Ok(KeyValue::open("default")?.set_json(&key, &note)?)
}

fn handle(event: Delivery) -> Result<(), Failure> {
    let order: Value = serde_json::from_slice(&event.data).unwrap_or_default();
    match order["do"].as_str().unwrap_or("handle") {
        "once" => return once(&event, || note(&event)),
        "retry" => return Err(Failure::retry("not \u{1b}[31mnow")),
        "reject" => return Err(Failure::reject("never")),
        "mend" if u64::from(event.attempt) < order["at"].as_u64().unwrap_or(2) => {
            return Err(Failure::retry("not yet"));
        }
        "trap" => trap(),
        "panic" => panic!("on purpose"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "grow" => {
            let mut kept = Vec::new();
            loop {
                kept.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        "publish" => {
            let topic = order["topic"].as_str().unwrap_or_default();
            for _ in 0..order["count"].as_u64().unwrap_or(1) {
                Event::new(topic).data("application/json", order["data"].to_string()).publish()?;
            }
        }
        "call" => {
            match Call::post(order["url"].as_str().unwrap_or_default()).send() {
                // Only one of those who are told is to call.
                Ok(_) | Err(CallError::Denied) => {}
                Err(error) => return Err(error.into()),
            }
        }
        "loop" => {
            Event::new(event.topic.clone()).data("application/json", event.data.clone()).publish()?;
        }
        _ => {}
    }
    note(&event)
}

#[cfg(target_family = "wasm")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[cfg(not(target_family = "wasm"))]
fn trap() -> ! {
    std::process::abort()
}

fn queue(mut request: Request) -> Result<Response, Error> {
    let queue = Queue::new(request.param("name"));
    let receipt = request.query("receipt").unwrap_or_default();
    let (max, wait) = (request.query_or("max", 1)?, Duration::from_millis(request.query_or("wait", 0)?));
    let visibility = Duration::from_millis(request.query_or("visibility", 30_000)?);
    let done = match request.param("do") {
        "send" => queue.send(request.body(1 << 20)?).map(|id| json!(id)),
        "receive" => queue.receive_for(max, visibility, wait).map(|received| {
            let message = |one: &wharf_sdk::Received| {
                let body = String::from_utf8_lossy(&one.body).into_owned();
                json!({ "id": one.id, "receipt": one.receipt, "attempt": one.attempt, "body": body })
            };
            received.iter().map(message).collect()
        }),
        "delete" => queue.delete(&receipt).map(|()| json!(null)),
        "extend" => queue.extend(&receipt, visibility).map(|()| json!(null)),
        _ => return Err(Error::not_found("there is no such thing to do")),
    };
    Ok(done.map_or_else(failed, |value| Response::json(&value)))
}
