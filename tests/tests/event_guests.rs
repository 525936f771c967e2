//! Events as services see them: published by either interface, handled typed or by HTTP, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use wharf_tests::{Answer, Builder, Wharf, eventually, guest, within};

/// Handles events typed, and by HTTP.
const SUBSCRIBERS: [&str; 2] = ["subscriber", "subscriber-http"];
/// Tries are quick, and no breaker has them wait.
const RETRY: &str = "retry: { attempts: 3, backoff: 10ms, maxBackoff: 20ms }";

fn settings(publish: &str, topics: &str) -> String {
    format!(
        "grants: {{ publish: [{publish}] }}\ncircuitBreaker: {{ enabled: false }}\n\
         subscriptions: [{{ name: mine, topics: [{topics}], {RETRY} }}]\n"
    )
}

fn subscribers(topics: &str) -> Builder {
    let yaml = settings("\"#\"", topics);
    SUBSCRIBERS.iter().fold(Wharf::builder(), |builder, name| builder.plugin(name).service(name, &yaml))
}

async fn subscribed(wharf: &Wharf, service: &str) {
    eventually(&format!("{service} subscribes"), async || {
        let all = wharf.admin_get("/api/subscriptions").await.json();
        let all = all["subscriptions"].as_array()?;
        all.iter().any(|one| one["service"] == service && one["state"] == "active").then_some(())
    })
    .await;
}

async fn publish(wharf: &Wharf, service: &str, query: &str, body: &Value) -> Answer {
    wharf.send("POST", &format!("/{service}/publish?{query}"), body.to_string()).await
}

async fn handled(wharf: &Wharf, service: &str) -> Vec<Value> {
    let answer = wharf.get(&format!("/{service}/handled")).await;
    if answer.status == 200 { answer.json().as_array().unwrap().clone() } else { Vec::new() }
}

async fn handled_so_many(wharf: &Wharf, service: &str, count: usize) -> Vec<Value> {
    within(Duration::from_secs(30), &format!("{service} has handled {count}"), async || {
        let all = handled(wharf, service).await;
        (all.len() >= count).then_some(all)
    })
    .await
}

/// The errors of dead letters of a service, the oldest first.
async fn dead(wharf: &Wharf, service: &str, count: usize) -> Vec<String> {
    within(Duration::from_secs(60), &format!("{count} dead letters of {service}"), async || {
        let letters = wharf.admin_get("/api/dead-letters").await.json();
        let letters = letters["deadLetters"].as_array()?;
        let of_it = letters.iter().filter(|letter| letter["service"] == service);
        let errors: Vec<_> = of_it.map(|letter| letter["error"].as_str().unwrap().to_owned()).collect();
        (errors.len() >= count).then_some(errors)
    })
    .await
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A path of `caller` (and `caller3`) that posts to this address.
fn posting(caller: &str, url: &str, headers: &[&str], more: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("&h={}", encoded(header))).collect();
    format!("/{caller}/call?method=POST&url={}{headers}{more}", encoded(url))
}

#[tokio::test]
async fn a_handler_is_told_what_was_published_typed_or_by_http() {
    let wharf = subscribers("order.*").start().await;
    for service in SUBSCRIBERS {
        subscribed(&wharf, service).await;
    }
    let answer =
        publish(&wharf, "subscriber", "topic=order.created&key=7&id=a-1&x-tenant=blue", &json!({ "n": 1 })).await;
    answer.assert_status(200);
    assert_eq!(answer.json(), json!([{ "id": "a-1", "offset": 1, "duplicate": false }]));
    let request_id = answer.header("x-request-id").to_owned();
    for service in SUBSCRIBERS {
        let notes = handled_so_many(&wharf, service, 1).await;
        let note = &notes[0];
        for (name, value) in [
            ("subscription", json!("mine")),
            ("offset", json!(1)),
            ("attempt", json!(1)),
            ("id", json!("a-1")),
            ("source", json!("/services/subscriber")),
            ("type", json!("order.created")),
            ("topic", json!("order.created")),
            ("subject", json!(null)),
            ("key", json!("7")),
            ("contentType", json!("application/json")),
            ("schema", json!(null)),
            ("data", json!(r#"{"n":1}"#)),
        ] {
            assert_eq!(note[name], value, "{service}: {name}");
        }
        let extensions = &note["extensions"];
        assert_eq!((&extensions["tenant"], &extensions["correlationid"]), (&json!("blue"), &json!(request_id)));
        assert_eq!(extensions["causationid"], json!(null));
        assert_eq!(extensions["traceparent"].as_str().unwrap().len(), 55, "{service}");
        assert!(note["time"].as_str().unwrap().ends_with('Z'));
    }
    let again = publish(&wharf, "subscriber", "topic=order.created&id=a-1", &json!({})).await;
    assert_eq!(again.json()[0], json!({ "id": "a-1", "offset": 1, "duplicate": true }));
}

#[tokio::test]
async fn what_a_handler_says_decides_whether_it_is_tried_again() {
    let wharf = subscribers("a").start().await;
    for service in SUBSCRIBERS {
        subscribed(&wharf, service).await;
    }
    publish(&wharf, "subscriber", "topic=a&key=1", &json!({ "do": "mend", "at": 3 })).await.assert_status(200);
    for service in SUBSCRIBERS {
        assert_eq!(handled_so_many(&wharf, service, 1).await[0]["attempt"], 3, "{service}");
    }
    publish(&wharf, "subscriber", "topic=a", &json!({ "do": "reject" })).await.assert_status(200);
    for (service, says) in [("subscriber", "reject: never"), ("subscriber-http", "422")] {
        let errors = dead(&wharf, service, 1).await;
        assert!(errors[0].contains(says) && errors[0].contains("never"), "{service}: {errors:?}");
    }
    publish(&wharf, "subscriber", "topic=a", &json!({ "do": "retry" })).await.assert_status(200);
    for (service, says) in [("subscriber", "retry: not"), ("subscriber-http", "503")] {
        let errors = dead(&wharf, service, 2).await;
        assert!(errors[1].contains(says) && !errors[1].contains('\u{1b}'), "{service}: {errors:?}");
    }
}

#[tokio::test]
async fn a_handler_that_fails_harms_nobody() {
    let limits = "limits: { cpuTime: 200ms, memory: 16MiB }\n";
    let yaml = format!("{}{limits}", settings("\"#\"", "a").replace("attempts: 3", "attempts: 1"));
    let wharf = SUBSCRIBERS
        .iter()
        .fold(Wharf::builder(), |builder, name| builder.plugin(name).service(name, &yaml))
        .start()
        .await;
    for service in SUBSCRIBERS {
        subscribed(&wharf, service).await;
    }
    let orders =
        [("trap", "guest_trap"), ("panic", "guest_panic"), ("spin", "guest_deadline"), ("grow", "guest_out_of_memory")];
    for (order, _) in orders {
        // One key: one after the other.
        publish(&wharf, "subscriber", "topic=a&key=1", &json!({ "do": order })).await.assert_status(200);
    }
    publish(&wharf, "subscriber", "topic=a&key=1", &json!({})).await.assert_status(200);
    for service in SUBSCRIBERS {
        let errors = dead(&wharf, service, orders.len()).await;
        for ((_, reason), error) in orders.iter().zip(&errors) {
            assert!(error.contains(reason), "{service}: {error} is not {reason}");
        }
        assert_eq!(handled_so_many(&wharf, service, 1).await.len(), 1, "{service} goes on");
        wharf.get(&format!("/{service}/")).await.assert_status(200);
    }
}

#[tokio::test]
async fn what_is_published_while_an_event_is_handled_names_it() {
    let yaml = format!(
        "{}grants: {{ calls: [subscriber] }}\n",
        settings("", "second").replace("grants: { publish: [] }\n", "")
    );
    let builder = subscribers("first, second, third").plugin_as("subscriber", "between").service("between", &yaml);
    let wharf = builder.start().await;
    for service in ["subscriber", "subscriber-http", "between"] {
        subscribed(&wharf, service).await;
    }
    // Both publish to `second` when they handle it, and `between` handles that by a call to `subscriber`, which publishes.
    let call = json!({ "do": "call", "url": "http://subscriber.internal/publish?topic=third" });
    let order = json!({ "do": "publish", "topic": "second", "data": call });
    let answer = publish(&wharf, "subscriber", "topic=first&id=e-1", &order).await;
    let request_id = answer.header("x-request-id").to_owned();
    let notes = handled_so_many(&wharf, "subscriber-http", 5).await;
    let of = |topic: &str| notes.iter().filter(|note| note["topic"] == topic).cloned().collect::<Vec<_>>();
    let (first, second, third) = (of("first"), of("second"), of("third"));
    assert_eq!((first.len(), second.len(), third.len()), (1, 2, 2));
    let seconds: Vec<_> = second.iter().map(|note| note["id"].clone()).collect();
    assert!(second.iter().all(|note| note["extensions"]["causationid"] == "e-1"), "{second:?}");
    for note in &third {
        assert_eq!(note["source"], "/services/subscriber");
        assert!(seconds.contains(&note["extensions"]["causationid"]), "{note} comes of one of {seconds:?}");
    }
    let trace = |note: &Value| note["extensions"]["traceparent"].as_str().unwrap()[3..35].to_owned();
    for note in &notes {
        assert_eq!(note["extensions"]["correlationid"], json!(request_id));
        assert_eq!(trace(note), trace(&first[0]), "one trace");
    }
}

#[tokio::test]
async fn components_that_only_know_http_publish_and_are_told() {
    let told = format!("subscriptions: [{{ topic: order.created, {RETRY} }}]");
    let grants = "grants: { publish: [order.created] }";
    let builder = Wharf::builder().plugin("caller").plugin("caller3").plugin("subscriber3");
    let builder = builder.service("subscriber3", &told).service("caller", grants).service("caller3", grants);
    let wharf = builder.start().await;
    subscribed(&wharf, "subscriber3").await;
    for caller in ["caller", "caller3"] {
        let headers = [&*format!("ce-id:of-{caller}"), "ce-specversion:1.0", "ce-type:made", "content-type:text/plain"];
        let path = posting(caller, "http://events.internal/topics/order.created", &headers, "&size=3");
        let answer = wharf.get(&path).await;
        answer.assert_status(201);
        assert_eq!(answer.json()["receipts"][0]["id"], format!("of-{caller}"));
        let request_id = answer.header("x-request-id").to_owned();
        let line = format!("order.created of-{caller} /services/{caller} {request_id} ");
        eventually("it is told", async || wharf.get("/subscriber3/handled").await.text().contains(&line).then_some(()))
            .await;
        for (url, headers, status, reason) in [
            ("http://events.internal/topics/payment.completed", &[][..], 403, "grant_denied"),
            ("http://events.internal/topics/order.*", &[], 403, "grant_denied"),
            ("http://events.internal/topics/order.created", &["ce-source:/services/subscriber3"], 400, "bad_request"),
            ("http://events.internal/topics/order.created", &["ce-UPPER_case:x"], 400, "bad_request"),
            ("http://events.internal/topics/order.created", &["ce-specversion:0.3"], 400, "bad_request"),
            ("http://events.internal/", &[], 404, "no_route"),
        ] {
            let answer = wharf.get(&posting(caller, url, headers, "")).await;
            answer.assert_problem(status, reason);
        }
        let large = posting(caller, "http://events.internal/topics/order.created", &[], "&size=2000000");
        wharf.get(&large).await.assert_problem(413, "payload_too_large");
    }
}

#[tokio::test]
async fn one_that_only_handles_events_is_healthy_and_answers_no_requests() {
    let health = "healthCheck: { path: /health, interval: 100ms }\n";
    let only = format!("{}{health}", settings("", "a"));
    let wharf = Wharf::builder()
        .plugin("subscriber-only")
        .service("subscriber-only", &only)
        .plugin("subscriber")
        .service("subscriber", &settings("a", "b"))
        .start()
        .await;
    subscribed(&wharf, "subscriber-only").await;
    assert_eq!(wharf.states("subscriber-only").await, ["subscriber-only.wasm serving"]);
    wharf.get("/subscriber-only/").await.assert_problem(404, "no_route");
    publish(&wharf, "subscriber", "topic=a", &json!({})).await.assert_status(200);
    let series = r#"wharf_event_deliveries_total{service="subscriber-only",subscription="mine",outcome="handled"} 1"#;
    eventually("it is handled", async || wharf.admin_get("/metrics").await.text().contains(series).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let services = wharf.admin_get("/api/services").await.json();
    let of_it = services["services"].as_array().unwrap().iter().find(|one| one["name"] == "subscriber-only").unwrap();
    assert_eq!(of_it["instances"][0]["health"], "healthy", "{of_it}");
    assert_eq!(wharf.versions("subscriber-only").await[0]["http"], "none");
}

#[tokio::test]
async fn nobody_publishes_what_is_not_granted_and_a_grant_counts_at_once() {
    let breaker = "circuitBreaker: { enabled: false }\n";
    let wharf =
        Wharf::builder().plugin("subscriber").gateway(&format!("defaults: {{ {} }}", breaker.trim())).start().await;
    let denied = async |topic: &str| {
        let answer = publish(&wharf, "subscriber", &format!("topic={topic}"), &json!({})).await;
        assert!(answer.status == 555 && answer.text().contains("Denied"), "{topic}: {}", answer.text());
    };
    denied("order.created").await;
    denied("").await;
    denied("%23").await;
    wharf.configure("services/subscriber.yaml", "grants: { publish: [order.*] }");
    within(Duration::from_secs(10), "the grant is in force", async || {
        let answer = publish(&wharf, "subscriber", "topic=order.created", &json!({})).await;
        (answer.status == 200).then_some(())
    })
    .await;
    denied("order").await;
    denied("order.item.added").await;
    denied("payment.completed").await;
    for (query, why) in [
        ("topic=order.*", "Invalid"),
        ("topic=order.a&id=", "Invalid"),
        ("topic=order.a&id=a%0Ab", "Invalid"),
        ("topic=order.a&x-source=%2Fservices%2Fothers", "Invalid"),
        ("topic=order.a&x-Name=a", "Invalid"),
        ("topic=order.a&size=1048577", "Invalid"),
        ("topic=order.a&n=1001", "Invalid"),
        // More than a batch may have, and less than a host call may move.
        ("topic=order.a&n=18&size=1000000", "Invalid"),
    ] {
        let answer = publish(&wharf, "subscriber", query, &json!({})).await;
        assert!(answer.status == 555 && answer.text().contains(why), "{query}: {} {}", answer.status, answer.text());
    }
    let history = wharf.admin_get("/api/events").await.json();
    assert_eq!(history["events"].as_array().unwrap().len(), 1, "nothing else was published: {history}");
}

#[tokio::test]
async fn who_publishes_without_end_is_slowed_down_and_others_go_on() {
    let hostile = format!("{}limits: {{ publishRate: 10 }}\n", settings("spam", "spam"));
    let wharf = Wharf::builder()
        .plugin_as("subscriber", "hostile-one")
        .service("hostile-one", &hostile)
        .plugin("subscriber-http")
        .service("subscriber-http", &settings("good", "good"))
        .start()
        .await;
    for service in ["hostile-one", "subscriber-http"] {
        subscribed(&wharf, service).await;
    }
    // Ten seconds' worth at once, which its handler begins to use up too, and no more.
    let answer = publish(&wharf, "hostile-one", "topic=spam&each=5000", &json!({ "do": "loop" })).await;
    assert!(answer.status == 555 && answer.text().contains("Full"), "{}", answer.text());
    let published: u32 = answer.header("x-published").parse().unwrap();
    assert!((10..150).contains(&published), "{published}");
    // Each of those publishes itself again when it is handled, as fast as it may.
    for n in 0..20 {
        publish(&wharf, "subscriber-http", &format!("topic=good&id=g-{n}"), &json!({})).await.assert_status(200);
    }
    assert_eq!(handled_so_many(&wharf, "subscriber-http", 20).await.len(), 20);
    let history = wharf.admin_get("/api/events?topic=spam&limit=1000").await.json();
    let spam = history["events"].as_array().unwrap().len();
    assert!(spam < 100 + 10 * 60, "{spam}");
}

#[tokio::test]
async fn an_event_is_handled_once_if_the_handler_says_so() {
    let wharf = subscribers("a").start().await;
    for service in SUBSCRIBERS {
        subscribed(&wharf, service).await;
    }
    publish(&wharf, "subscriber", "topic=a&id=e-1", &json!({ "do": "once" })).await.assert_status(200);
    for service in SUBSCRIBERS {
        handled_so_many(&wharf, service, 1).await;
    }
    // Back to the beginning: it is delivered again.
    for service in SUBSCRIBERS {
        let url = format!("http://{}/api/subscriptions/{service}/mine/seek", wharf.admin());
        let body = json!({ "from": "earliest" }).to_string();
        let answer = wharf.client().send("POST", &url, &[("content-type", "application/json")], body).await;
        assert!(answer.status == 200, "{}", answer.text());
    }
    publish(&wharf, "subscriber", "topic=a&id=e-2", &json!({})).await.assert_status(200);
    for service in SUBSCRIBERS {
        let notes = handled_so_many(&wharf, service, 2).await;
        let ids: Vec<_> = notes.iter().map(|note| note["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["e-1", "e-2"], "{service}");
    }
}

#[tokio::test]
async fn no_service_can_be_called_events() {
    let wharf = Wharf::builder().plugin("greeter").start().await;
    wharf.install("events.wasm", &guest("greeter"));
    let line = wharf.logged("http://events.internal/").await;
    assert!(line.contains("cannot be a service"), "{line}");
    wharf.get("/events/").await.assert_problem(404, "no_route");
    let refused = Wharf::builder().service("events", "expose: false").refused().await;
    assert!(refused.contains("`events` cannot be a service"), "{refused}");
}

#[tokio::test]
async fn a_message_has_one_receiver_by_either_interface() {
    let grants = "grants: { queues: { send: [mails], receive: [mails] } }\ncircuitBreaker: { enabled: false }\n";
    let builder = Wharf::builder().plugin("subscriber").service("subscriber", grants);
    let wharf = builder.plugin("caller").service("caller", grants).plugin("caller3").start().await;
    let typed = async |what: &str, body: &'static str| {
        let answer = wharf.send("POST", &format!("/subscriber/queue/{what}"), body).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        answer.json()
    };
    let by_http = async |target: &str| {
        wharf.get(&posting("caller", &format!("http://events.internal/queues/{target}"), &[], "")).await
    };
    typed("mails/send", "one").await;
    let sent = wharf.get(&posting("caller", "http://events.internal/queues/mails/messages", &[], "&size=3")).await;
    sent.assert_status(201);

    let first = typed("mails/receive?max=1", "").await[0].clone();
    assert_eq!((first["body"].as_str(), first["attempt"].as_u64()), (Some("one"), Some(1)));
    let second = by_http("mails/receive?max=10&visibility=1m").await;
    second.assert_status(200);
    let messages = second.json()["messages"].as_array().unwrap().clone();
    assert_eq!(messages.len(), 1, "the other one has a receiver: {messages:?}");
    assert_eq!((&messages[0]["body"], &messages[0]["id"]), (&json!("xxx"), &sent.json()["id"]));
    assert_eq!(typed("mails/receive?max=10", "").await, json!([]));

    // Given back by one, deleted by the other.
    let receipt = encoded(messages[0]["receipt"].as_str().unwrap());
    by_http(&format!("mails/messages/{receipt}/extend?visibility=0s")).await.assert_status(204);
    let again = typed("mails/receive?max=10", "").await;
    assert_eq!((again[0]["body"].as_str(), again[0]["attempt"].as_u64()), (Some("xxx"), Some(2)));
    let by_receipt = |message: &Value| encoded(message["receipt"].as_str().unwrap());
    typed(&format!("mails/delete?receipt={}", by_receipt(&again[0])), "").await;
    by_http(&format!("mails/messages/{}/extend?visibility=1s", by_receipt(&again[0])))
        .await
        .assert_problem(410, "receipt_expired");
    let url = format!("http://events.internal/queues/mails/messages/{}", by_receipt(&first));
    wharf.get(&posting("caller", &url, &[], "").replacen("method=POST", "method=DELETE", 1)).await.assert_status(204);

    // A receiver that waits has it as soon as it is there.
    let waiting = async { typed("mails/receive?wait=10000", "").await };
    let sending = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        by_http("mails/messages").await.assert_status(201);
    };
    let began = std::time::Instant::now();
    let (received, ()) = tokio::join!(waiting, sending);
    assert_eq!(received[0]["body"], "");
    assert!((Duration::from_millis(300)..Duration::from_secs(8)).contains(&began.elapsed()), "{:?}", began.elapsed());

    // Not granted, by either.
    let answer = wharf.send("POST", "/subscriber/queue/other/send", "x").await;
    assert!(answer.status == 555 && answer.text().contains("Denied"), "{}", answer.text());
    by_http("other/receive").await.assert_problem(403, "grant_denied");
    let stranger = posting("caller3", "http://events.internal/queues/mails/receive", &[], "");
    wharf.get(&stranger).await.assert_problem(403, "grant_denied");
    by_http("mails/receive?wait=1h").await.assert_problem(400, "bad_request");
}

#[tokio::test]
async fn waiting_for_a_message_ends_with_the_request() {
    let settings =
        "grants: { queues: { receive: [mails] } }\ntimeouts: { request: 500ms }\nbulkhead: { maxConcurrent: 1 }\n";
    let builder = Wharf::builder().plugin("subscriber").service("subscriber", settings);
    let wharf = builder.plugin("caller").service("caller", settings).start().await;
    let began = std::time::Instant::now();
    let typed = wharf.send("POST", "/subscriber/queue/mails/receive?wait=20000", "").await;
    typed.assert_problem(504, "request_timeout");
    let by_http = posting("caller", "http://events.internal/queues/mails/receive?wait=20s", &[], "");
    wharf.get(&by_http).await.assert_problem(504, "request_timeout");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    wharf.get("/subscriber/").await.assert_status(200);
    wharf.get("/caller/").await.assert_status(200);
}
