//! Services that publish in answer to each other's events: how long that goes on, and what ends it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use serde_json::{Value, json};
use wharf_tests::{Wharf, eventually, within};

/// Tries are quick, and no breaker has them wait.
const SOON: &str = "retry: { attempts: 2, backoff: 10ms, maxBackoff: 20ms }";

/// Publishes to `to` whatever it is told of `from`, by HTTP, with a header that says that nothing came before.
fn answers(from: &str, to: &str) -> String {
    format!(
        "grants: {{ publish: [{to}] }}\ncircuitBreaker: {{ enabled: false }}\n\
         subscriptions: [{{ topic: {from}, path: /answer/{to}, {SOON} }}]\n"
    )
}

async fn history(wharf: &Wharf, topic: &str) -> Vec<Value> {
    let page = wharf.admin_get(&format!("/api/events?topic={topic}&limit=1000")).await.json();
    page["events"].as_array().unwrap().clone()
}

async fn dead(wharf: &Wharf, count: usize) -> Vec<Value> {
    within(Duration::from_secs(60), &format!("{count} dead letters"), async || {
        let letters = wharf.admin_get("/api/dead-letters").await.json();
        let letters = letters["deadLetters"].as_array()?.clone();
        (letters.len() >= count).then_some(letters)
    })
    .await
}

async fn publish(wharf: &Wharf, topic: &str, data: &str, extensions: &Value) {
    let url = format!("http://{}/api/events", wharf.admin());
    let body = json!({ "topic": topic, "data": data, "extensions": extensions }).to_string();
    let headers = [("content-type", "application/json")];
    wharf.client().send("POST", &url, &headers, body).await.assert_status(201);
}

#[tokio::test]
async fn two_services_that_answer_each_other_for_ever_come_to_an_end() {
    let wharf = Wharf::builder()
        .plugin("caller")
        .service("caller", &answers("ping", "pong"))
        .plugin_as("caller", "other")
        .service("other", &answers("pong", "ping"))
        .start()
        .await;
    eventually("both subscribe", async || {
        let all = wharf.admin_get("/api/subscriptions").await.json();
        let all = all["subscriptions"].as_array()?.clone();
        (all.len() == 2 && all.iter().all(|one| one["state"] == "active")).then_some(())
    })
    .await;
    // What an operator says of it does not count either.
    publish(&wharf, "ping", "", &json!({ "wharfdepth": "30" })).await;
    let letters = dead(&wharf, 1).await;
    let error = letters[0]["error"].as_str().unwrap();
    assert!(error.contains("508") && error.contains("event_chain_too_long"), "{error}");
    let (pings, pongs) = (history(&wharf, "ping").await, history(&wharf, "pong").await);
    assert_eq!((pings.len(), pongs.len()), (17, 16), "the first, and 32 that followed");
    assert_eq!(pings[16]["extensions"].get("wharfdepth"), None);
    assert_eq!(
        (&pongs[15]["extensions"]["wharfdepth"], &pings[0]["extensions"]["wharfdepth"]),
        (&json!("1"), &json!("32"))
    );
    let page = wharf.admin_get("/metrics").await.text();
    // Twice, because it was tried twice.
    assert!(page.contains(r#"wharf_event_chains_cut_total{service="caller"} 2"#), "{page}");
    assert!(page.contains(r#"wharf_event_chains_cut_total{service="other"} 0"#), "{page}");
    let line = wharf.logged("a chain of events was cut").await;
    assert!(line.contains("pong") && line.contains("33"), "{line}");

    // The operator allows more, and the same chain goes on from where it was.
    wharf.configure("gateway.yaml", "events: { maxChain: 40 }");
    let id = letters[0]["id"].to_string();
    eventually("the new bound is in force", async || {
        let url = format!("http://{}/api/dead-letters/{id}/replay", wharf.admin());
        let headers = [("content-type", "application/json")];
        wharf.client().send("POST", &url, &headers, "{}").await;
        (history(&wharf, "pong").await.len() > 16).then_some(())
    })
    .await;
    eventually("it ends again", async || (history(&wharf, "pong").await.len() == 20).then_some(())).await;
    dead(&wharf, 1).await;
    assert_eq!(history(&wharf, "ping").await.len(), 21);
}

#[tokio::test]
async fn the_typed_interface_an_outbox_and_services_called_on_the_way_count_too() {
    let terms = |topic: &str| {
        format!(
            "circuitBreaker: {{ enabled: false }}\nsubscriptions: [{{ name: mine, topic: {topic}, {SOON} }}]\n\
             grants: {{ publish: ['#'], calls: [ledger] }}\n"
        )
    };
    let builder = Wharf::builder().gateway("events: { maxChain: 3 }");
    let sql = builder.dir().join("plugins/ledger.migrations");
    std::fs::create_dir_all(&sql).unwrap();
    std::fs::write(sql.join("0001_moves.sql"), "CREATE TABLE moves (id INTEGER NOT NULL);").unwrap();
    let wharf = builder
        .plugin("subscriber")
        .service("subscriber", &terms("self"))
        .plugin_as("subscriber", "calls")
        .service("calls", &terms("out.box"))
        .plugin("ledger")
        .service("ledger", "grants: { publish: ['#'] }")
        .start()
        .await;
    eventually("both subscribe", async || {
        let all = wharf.admin_get("/api/subscriptions").await.json();
        (all["subscriptions"].as_array()?.iter().filter(|one| one["state"] == "active").count() == 2).then_some(())
    })
    .await;
    publish(&wharf, "self", r#"{"do":"loop"}"#, &json!({})).await;
    let letters = dead(&wharf, 1).await;
    let error = letters[0]["error"].as_str().unwrap();
    assert!(error.contains("events.maxChain: 3 events have followed from one another"), "{error}");
    assert_eq!(history(&wharf, "self").await.len(), 4);

    // Handled by a call to a service that publishes in its transaction: the outbox says how deep that was.
    let call = r#"{"do":"call","url":"http://ledger.internal/publish/out.box"}"#;
    publish(&wharf, "out.box", call, &json!({})).await;
    let first = eventually("it came out of the outbox", async || {
        let all = history(&wharf, "out.box").await;
        all.iter().find(|event| event["source"] == "/services/ledger").cloned()
    })
    .await;
    assert_eq!(first["extensions"]["wharfdepth"], "1");
}
