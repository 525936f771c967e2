//! Events through the real binary: published, delivered, tried again, given up, and not lost when it is killed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use wharf_tests::{Answer, Reply, Seen, Upstream, Wharf, binary, eventually, within};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// `services/mail.yaml`: this server, and these subscriptions.
fn mail(upstream: &Upstream, subscriptions: &str) -> String {
    // A breaker would have deliveries wait where a test counts them.
    format!(
        "instances: [{{ name: a, url: \"{}\" }}]\ncircuitBreaker: {{ enabled: false }}\nsubscriptions:\n{subscriptions}",
        upstream.url()
    )
}

/// Exit code and output of `wharf events …`.
async fn cli(wharf: &Wharf, arguments: &[&str]) -> (i32, String) {
    let admin = wharf.admin().to_string();
    let mut command = tokio::process::Command::new(binary());
    let output = command.arg("events").args(arguments).args(["--admin", &admin]).output().await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

async fn post(wharf: &Wharf, path: &str, body: &Value) -> Answer {
    let url = format!("http://{}{path}", wharf.admin());
    wharf.client().send("POST", &url, &JSON, body.to_string()).await
}

async fn publish(wharf: &Wharf, topic: &str, data: &str) {
    post(wharf, "/api/events", &json!({ "topic": topic, "data": data })).await.assert_status(201);
}

async fn subscription(wharf: &Wharf, name: &str) -> Value {
    let list = wharf.admin_get("/api/subscriptions").await.json();
    let all = list["subscriptions"].as_array().unwrap();
    all.iter().find(|of| of["name"] == name).cloned().unwrap_or(Value::Null)
}

fn bodies(upstream: &Upstream) -> Vec<String> {
    upstream.seen().iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect()
}

#[tokio::test]
async fn an_event_is_delivered_as_a_cloud_event_and_seen_in_log_metrics_and_history() {
    let upstream = Upstream::named("mail").await;
    let wharf = Wharf::builder()
        .service("mail", &mail(&upstream, "- { name: orders, topic: order.*, path: /in }"))
        .start()
        .await;
    let arguments = ["publish", "order.created", "--key", "42", "--data", r#"{"id":42}"#, "--subject", "ü 1"];
    let (code, text) =
        cli(&wharf, &[&arguments[..], &["--id", "a-1", "--extension", "correlationid=c-9"]].concat()).await;
    assert_eq!((code, text.as_str()), (0, "a-1 at 1\n"));
    publish(&wharf, "user.created", "not for it").await;
    let seen = eventually("it is delivered", async || upstream.seen().pop()).await;
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/in"));
    assert_eq!(seen.body, br#"{"id":42}"#);
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "a-1"),
        ("ce-source", "/operator"),
        ("ce-type", "order.created"),
        ("ce-subject", "%C3%BC%201"),
        ("ce-partitionkey", "42"),
        ("ce-correlationid", "c-9"),
        ("content-type", "application/json"),
        ("x-wharf-topic", "order.created"),
        ("x-wharf-subscription", "orders"),
        ("x-wharf-offset", "1"),
        ("x-wharf-attempt", "1"),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert!(!seen.header("ce-time").is_empty() && !seen.header("traceparent").is_empty());
    let line = eventually("the access log has it", async || {
        wharf.access_log().into_iter().find(|line| line.contains("subscription:orders"))
    })
    .await;
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((line["service"].as_str(), line["status"].as_u64()), (Some("mail"), Some(200)));

    // The same id again is the same event.
    let (_, text) = cli(&wharf, &["publish", "order.created", "--id", "a-1"]).await;
    assert_eq!(text, "a-1 at 1, where it was already\n");
    let page = wharf.admin_get("/metrics").await.text();
    let series = r#"wharf_event_deliveries_total{service="mail",subscription="orders",outcome="handled"} 1"#;
    assert!(
        page.contains(series) && page.contains(r#"wharf_requests_total{service="mail",from="event",status="2xx"} 1"#)
    );
    let (_, text) = cli(&wharf, &["history", "--topic", "order.#"]).await;
    assert!(text.contains("a-1") && text.lines().count() == 2, "{text}");
    let (_, text) = cli(&wharf, &["history", "--correlation-id", "c-9", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["events"][0]["id"], "a-1");
    let (_, text) = cli(&wharf, &["show", "1"]).await;
    assert!(text.contains(r#"{"id":42}"#) && text.contains("correlationid"), "{text}");
    let (_, text) = cli(&wharf, &["subscriptions"]).await;
    assert!(text.contains("orders") && text.contains("active"), "{text}");
}

#[tokio::test]
async fn what_nobody_can_handle_is_a_dead_letter_until_it_is_replayed_or_purged() {
    let upstream = Upstream::start(|seen| Reply::status(if seen.target == "/bad" { 422 } else { 500 })).await;
    let terms = "retry: { attempts: 3, backoff: 10ms, maxBackoff: 20ms }";
    let subscriptions =
        format!("- {{ name: fails, topic: a, {terms} }}\n- {{ name: bad, topic: a, path: /bad, {terms} }}");
    let wharf = Wharf::builder().service("mail", &mail(&upstream, &subscriptions)).start().await;
    publish(&wharf, "a", "one").await;
    publish(&wharf, "a", "two").await;
    eventually("all are dead", async || {
        let all = wharf.admin_get("/api/dead-letters").await.json();
        (all["deadLetters"].as_array().unwrap().len() == 4).then_some(())
    })
    .await;
    let count = |path: &str| upstream.seen().iter().filter(|seen| seen.target == path).count();
    assert_eq!((count("/events"), count("/bad")), (6, 2));
    let of = ["--service", "mail", "--subscription", "fails"];
    let (_, text) = cli(&wharf, &[&["dead-letters"][..], &of, &["--json"]].concat()).await;
    let letters = serde_json::from_str::<Value>(&text).unwrap();
    let letter = &letters["deadLetters"][0];
    assert_eq!(
        (letter["attempts"].as_u64(), letter["error"].as_str()),
        (Some(3), Some("status 500 Internal Server Error: 500"))
    );
    let id = letter["id"].to_string();
    let (_, text) = cli(&wharf, &["dead-letters", &id]).await;
    assert!(text.contains("after 3 deliveries") && text.contains("one"), "{text}");

    // Still failing: it stays.
    let (code, text) = cli(&wharf, &["replay", &id]).await;
    assert!(code == 1 && text.contains("stays"), "{text}");
    upstream.script(|_| Reply::status(204));
    let (code, text) = cli(&wharf, &[&["replay"][..], &of].concat()).await;
    assert!(code == 0 && text.matches("handled").count() == 2, "{text}");
    assert_eq!(upstream.seen().last().unwrap().header("x-wharf-attempt"), "4");
    let (code, text) = cli(&wharf, &["purge", "--service", "mail", "--subscription", "bad"]).await;
    assert_eq!((code, text.as_str()), (0, "2 deleted\n"));
    assert_eq!(cli(&wharf, &["dead-letters"]).await.1, "no dead letters\n");
    assert_eq!(cli(&wharf, &["replay", &id]).await.0, 1, "it is gone");
}

#[tokio::test]
async fn events_wait_for_a_service_that_is_not_there_without_using_up_attempts() {
    let wharf = Wharf::builder().service("mail", "subscriptions: [{ topic: a, retry: { attempts: 1 } }]").start().await;
    eventually("it is known", async || (subscription(&wharf, "a").await["state"] == "active").then_some(())).await;
    for n in 0..20 {
        publish(&wharf, "a", &n.to_string()).await;
    }
    eventually("it waits", async || {
        let of = subscription(&wharf, "a").await;
        (of["state"] == "paused" && of["reason"] == "no_instance").then_some(())
    })
    .await;
    // Nobody listens there: that is no attempt either.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let register = |url: String| json!({ "service": "mail", "id": "m", "url": url });
    post(&wharf, "/api/services", &register(format!("http://{free}"))).await.assert_status(201);
    eventually("it waits", async || (subscription(&wharf, "a").await["reason"] == "connect_failed").then_some(()))
        .await;
    let upstream = Upstream::named("mail").await;
    post(&wharf, "/api/services", &register(upstream.url())).await;
    within(Duration::from_secs(20), "all are delivered", async || (upstream.count() == 20).then_some(())).await;
    assert!(upstream.seen().iter().all(|seen| seen.header("x-wharf-attempt") == "1"));
    assert_eq!(wharf.admin_get("/api/dead-letters").await.json()["deadLetters"], json!([]));
}

#[tokio::test]
async fn a_subscription_keeps_its_place_over_reloads_and_restarts_and_can_be_set() {
    let upstream = Upstream::named("mail").await;
    let wharf = Wharf::builder().service("mail", &mail(&upstream, "- { name: s, topic: a }")).start().await;
    let known = async |wharf: &Wharf, state: &str| {
        eventually("it is known", async || (subscription(wharf, "s").await["state"] == state).then_some(())).await;
    };
    known(&wharf, "active").await;
    publish(&wharf, "a", "1").await;
    eventually("it is delivered", async || (upstream.count() == 1).then_some(())).await;
    // Not in the file for a while.
    wharf.configure("services/mail.yaml", &mail(&upstream, "- { name: other, topic: b }"));
    known(&wharf, "gone").await;
    publish(&wharf, "a", "2").await;
    let wharf = wharf.stop().await.start().await;
    wharf.configure("services/mail.yaml", &mail(&upstream, "- { name: s, topics: [a, c], path: /new }"));
    eventually("it goes on", async || (upstream.count() == 2).then_some(())).await;
    publish(&wharf, "c", "3").await;
    eventually("its topics are others", async || (upstream.count() == 3).then_some(())).await;
    assert_eq!(bodies(&upstream), ["1", "2", "3"]);
    assert_eq!(upstream.seen()[1].target, "/new");
    // A new one sees what was before it was there, when it wants to.
    wharf.configure("services/mail.yaml", &mail(&upstream, "- { name: late, topic: \"#\", from: earliest }"));
    eventually("it sees all", async || (upstream.count() == 6).then_some(())).await;
    let (code, text) = cli(&wharf, &["seek", "mail", "late", "3"]).await;
    assert_eq!((code, text.as_str()), (0, "mail/late goes on after 2\n"));
    eventually("the last again", async || (upstream.count() == 7).then_some(())).await;
    assert_eq!(bodies(&upstream)[6], "3");
    assert_eq!(cli(&wharf, &["seek", "mail", "nobody", "latest"]).await.0, 1);
}

/// Ids, and the values of each key in the order in which they came.
type ByKey = (BTreeSet<String>, HashMap<String, Vec<String>>);

/// What a subscriber has handled: ids in the order of their first success, by key.
#[derive(Default)]
struct Handled(Mutex<ByKey>);

#[tokio::test]
async fn every_event_that_was_acknowledged_is_delivered_in_order_though_the_host_is_killed_again_and_again() {
    let (handled, count) = (Arc::<Handled>::default(), AtomicUsize::new(0));
    let noted = Arc::clone(&handled);
    let upstream = Upstream::start(move |seen: &Seen| {
        // Some fail, some are slow.
        let n = count.fetch_add(1, Ordering::Relaxed);
        if n % 7 == 3 {
            return Reply::status(500);
        }
        let mut noted = noted.0.lock().unwrap();
        let id = seen.header("ce-id").to_owned();
        if noted.0.insert(id.clone()) {
            noted.1.entry(seen.header("ce-partitionkey").to_owned()).or_default().push(id);
        }
        Reply::status(200).after(Duration::from_millis(n as u64 % 5))
    })
    .await;
    let terms = "retry: { attempts: 100, backoff: 10ms, maxBackoff: 100ms }";
    let service = mail(&upstream, &format!("- {{ name: s, topic: a, from: earliest, maxInFlight: 8, {terms} }}"));
    let mut builder = Wharf::builder().gateway("accessLog: { enabled: false }").service("mail", &service);
    let mut acknowledged: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for round in 0..6u64 {
        let wharf = builder.start().await;
        let url = format!("http://{}/api/events", wharf.admin());
        let client = wharf.client().clone();
        let publisher = tokio::spawn(async move {
            let mut published = Vec::new();
            // More than are delivered until it is killed, and few enough for a busy machine.
            for n in 0..120 {
                let (key, id) = (format!("k{}", n % 5), format!("{round}-{n:05}"));
                let event = json!({ "topic": "a", "key": key, "id": id }).to_string();
                match client.try_send("POST", &url, &JSON, event).await {
                    Ok(answer) if answer.status.is_success() => published.push((key, id)),
                    _ => break,
                }
            }
            published
        });
        tokio::time::sleep(Duration::from_millis(300 + round * 137)).await;
        builder = wharf.kill().await;
        for (key, id) in publisher.await.unwrap() {
            acknowledged.entry(key).or_default().push(id);
        }
    }
    let all: usize = acknowledged.values().map(Vec::len).sum();
    assert!(all > 60, "{all} were published");
    let wharf = builder.start().await;
    let missing = || {
        let done = handled.0.lock().unwrap();
        acknowledged.values().flatten().filter(|id| !done.0.contains(*id)).cloned().collect::<Vec<_>>()
    };
    for _ in 0..600 {
        if missing().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(missing(), [""; 0], "{:#}", wharf.admin_get("/api/subscriptions").await.json());
    eventually("nothing waits", async || {
        let of = subscription(&wharf, "s").await;
        (of["lag"] == 0 && of["waiting"] == 0).then_some(())
    })
    .await;
    let done = handled.0.lock().unwrap();
    for (key, order) in &done.1 {
        assert!(order.is_sorted(), "{key}: {order:?}");
    }
}

#[tokio::test]
async fn a_schedule_ticks_once_a_minute_though_the_host_is_killed() {
    let upstream = Upstream::named("mail").await;
    let service = format!(
        "{}\ngrants: {{ publish: [tick] }}\nschedules: [{{ name: m, cron: \"* * * * *\", topic: tick, data: now }}]",
        mail(&upstream, "- { topic: tick }")
    );
    let wharf = Wharf::builder().service("mail", &service).start().await;
    let seen = within(Duration::from_secs(75), "it ticks", async || upstream.seen().pop()).await;
    assert_eq!((seen.header("ce-source"), seen.body.as_slice()), ("/services/mail", &b"now"[..]));
    assert!(seen.header("ce-id").starts_with("mail/m/") && seen.header("ce-id").ends_with(":00Z"));
    let wharf = wharf.kill().await.start().await;
    wharf.configure("services/mail.yaml", &format!("{service}\ntags: [changed]"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let history = wharf.admin_get("/api/events?topic=tick").await.json();
    let ids: Vec<&str> =
        history["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect();
    let unique: BTreeSet<_> = ids.iter().collect();
    assert!(!ids.is_empty() && unique.len() == ids.len() && ids.len() <= 2, "{ids:?}");
}

#[tokio::test]
async fn the_admin_api_takes_no_nonsense() {
    let wharf = Wharf::builder().start().await;
    let url = |path: &str| format!("http://{}{path}", wharf.admin());
    for (body, status) in [
        (json!({}), 400),
        (json!({ "topic": "a.*" }), 400),
        (json!({ "topic": "" }), 400),
        (json!({ "topic": "a", "zzz": 1 }), 400),
        (json!({ "topic": "a", "id": "a\nb" }), 400),
        (json!({ "topic": "a", "time": "now" }), 400),
        (json!({ "topic": "a", "extensions": { "Bad": "x" } }), 400),
        (json!({ "topic": "a", "extensions": { "source": "/services/bank" } }), 400),
        (json!({ "topic": "a", "data": "x", "dataBase64": "eA==" }), 400),
        (json!({ "topic": "a", "dataBase64": "?" }), 400),
        (json!({ "topic": "a", "source": "/services/bank" }), 400),
        (json!({ "topic": "a", "data": "x".repeat(1 << 20) }), 201),
        (json!({ "topic": "a", "data": "x".repeat((1 << 20) + 1) }), 400),
        (json!({ "topic": "a", "data": "x".repeat(3 << 20) }), 413),
    ] {
        let text = body.to_string();
        assert_eq!(post(&wharf, "/api/events", &body).await.status, status, "{}", &text[..text.len().min(100)]);
    }
    let no_json = wharf.client().send("POST", &url("/api/events"), &[], r#"{"topic":"a"}"#).await;
    assert_eq!(no_json.status, 415);
    let no_json = wharf.client().send("POST", &url("/api/dead-letters/1/replay"), &[], "").await;
    assert_eq!(no_json.status, 415);
    let foreign = [("origin", "https://evil.example"), ("content-type", "application/json")];
    let foreign = wharf.client().send("POST", &url("/api/events"), &foreign, r#"{"topic":"a"}"#).await;
    assert_eq!(foreign.status, 403);
    for (path, status) in [
        ("/api/events?limit=0", 400),
        ("/api/events?limit=1001", 400),
        ("/api/events?topic=a..b", 400),
        ("/api/events?since=yesterday", 400),
        ("/api/events?before=-1", 400),
        ("/api/events?zzz=1", 400),
        ("/api/events/18446744073709551615", 400),
        ("/api/events/999", 404),
        ("/api/events/1", 200),
        ("/api/dead-letters/1", 404),
        ("/api/dead-letters?service=a", 400),
        ("/api/subscriptions/a", 404),
    ] {
        assert_eq!(wharf.admin_get(path).await.status, status, "{path}");
    }
    for from in [json!("yesterday"), json!({ "offset": -1 }), json!(5), json!(null)] {
        assert_eq!(post(&wharf, "/api/subscriptions/a/b/seek", &json!({ "from": from })).await.status, 400, "{from}");
    }
    assert_eq!(post(&wharf, "/api/subscriptions/a/b/seek", &json!({ "from": "latest" })).await.status, 404);
    let seek = wharf.client().send("DELETE", &url("/api/dead-letters/1"), &JSON, "").await;
    assert_eq!(seek.status, 404);
}
