//! What becomes of requests whose service fails, through the real gateway: tried again, kept away, answered by others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::TcpListener;
use wharf_tests::{Answer, Builder, Reply, Seen, Upstream, Wharf, eventually, versioned};

const ONE: &str = "version-one--------00001";
const TWO: &str = "version-two--------00002";
const OFF: &str = "circuitBreaker: { enabled: false }\n";

fn instances(of: &[&str]) -> String {
    let mut yaml = "instances:\n".to_owned();
    for (url, name) in of.iter().zip('a'..) {
        let _ = writeln!(yaml, "- {{ name: {name}, url: \"{url}\" }}");
    }
    yaml
}

fn service(upstream: &Upstream, more: &str) -> String {
    format!("{}{more}", instances(&[&upstream.url()]))
}

/// A service `orders` of one instance.
async fn orders(upstream: &Upstream, more: &str) -> Wharf {
    Wharf::builder().service("orders", &service(upstream, more)).start().await
}

/// An address that nobody listens at.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// `/…?fail=N&with=500`: the first N requests with this target fail like that, and those that follow are good.
/// `with=reset` resets the connection, `with=slow300` is good after 300 ms.
async fn failing() -> Upstream {
    let asked = Mutex::new(HashMap::<String, usize>::new());
    Upstream::start(move |seen: &Seen| {
        let mut asked = asked.lock().unwrap();
        let asked = asked.entry(seen.target.clone()).or_default();
        *asked += 1;
        let value = |name: &str| {
            let query = seen.target.split_once('?').map_or("", |(_, query)| query);
            query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
        };
        if *asked > value("fail").parse().unwrap_or(0) {
            return Reply::text("good");
        }
        match value("with") {
            "reset" => Reply::reset(),
            slow if slow.starts_with("slow") => {
                Reply::text("late").after(Duration::from_millis(slow[4..].parse().unwrap()))
            }
            status => Reply::status(status.parse().unwrap()),
        }
    })
    .await
}

/// How many of the requests had this target.
fn sent(upstream: &Upstream, target: &str) -> usize {
    upstream.seen().iter().filter(|seen| seen.target == target).count()
}

async fn send(wharf: &Wharf, method: &str, path: &str, body: impl Into<bytes::Bytes>) -> Answer {
    wharf.send(method, path, body).await
}

#[tokio::test]
async fn port_of_http_route_retry() {
    let upstream = failing().await;
    let many = "retry: { attempts: 2, codes: [500, 502, 503, 504], backoff: 1ms }\n";
    let on_500 = "retry: { attempts: 3, codes: [500], backoff: 1ms }\n";
    let each_200 = "retry: { attempts: 2, backoff: 1ms }\ntimeouts: { backendRequest: 200ms }\n";
    let all_400 = "retry: { attempts: 5, backoff: 1ms }\ntimeouts: { request: 400ms, backendRequest: 100ms }\n";
    let all: Builder = Wharf::builder();
    let wharf = [("on-500", on_500), ("many", many), ("each-200", each_200), ("all-400", all_400)]
        .into_iter()
        .fold(all, |builder, (name, retry)| builder.service(name, &service(&upstream, &format!("{OFF}{retry}"))))
        .start()
        .await;
    // Which service, how it fails how often; the client's status, and how many requests the backend gets.
    let mut rows = vec![
        ("on-500", "500", 2, 200, 3),
        ("on-500", "500", 3, 200, 4),
        ("on-500", "500", 4, 500, 4),
        ("on-500", "503", 4, 503, 1),
        ("on-500", "reset", 2, 200, 3),
        // There 500 or 503; here 502 says that somebody was reached.
        ("on-500", "reset", 4, 502, 4),
        ("each-200", "slow600", 2, 200, 3),
        ("each-200", "slow600", 3, 504, 3),
    ];
    for (text, status) in [("500", 500), ("502", 502), ("503", 503), ("504", 504)] {
        rows.extend([("many", text, 1, 200, 2), ("many", text, 3, status, 3)]);
    }
    for (number, (name, with, fail, status, requests)) in rows.into_iter().enumerate() {
        let target = format!("/{number}?fail={fail}&with={with}");
        let answer = wharf.get(&format!("/{name}{target}")).await;
        assert_eq!(answer.status, status, "{name} {target}: {}", answer.text());
        assert_eq!(sent(&upstream, &target), requests, "{name} {target}");
    }
    let began = Instant::now();
    wharf.get("/all-400/?fail=9&with=slow2000").await.assert_problem(504, "request_timeout");
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    let requests = sent(&upstream, "/?fail=9&with=slow2000");
    assert!((2..=5).contains(&requests), "{requests} tries in 400 ms");
}

#[tokio::test]
async fn what_may_do_something_twice_is_tried_again_only_if_that_is_said() {
    let upstream = failing().await;
    let never = "retry: { attempts: 0 }\n";
    let careful = "retry: { backoff: 1ms }\n";
    let bold = "retry: { backoff: 1ms, retryNonIdempotent: true }\n";
    let dead = nobody().await;
    let one_dead =
        format!("{}{OFF}loadBalancer: {{ strategy: roundRobin }}\n{careful}", instances(&[&dead, &upstream.url()]));
    let wharf = Wharf::builder()
        .service("off", &service(&upstream, OFF))
        .service("never", &service(&upstream, &format!("{OFF}{never}")))
        .service("careful", &service(&upstream, &format!("{OFF}{careful}")))
        .service("bold", &service(&upstream, &format!("{OFF}{bold}")))
        .service("one-dead", &one_dead)
        .start()
        .await;
    for (name, method, requests) in [
        ("off", "GET", 1),
        ("never", "GET", 1),
        ("careful", "GET", 2),
        ("careful", "PUT", 2),
        ("careful", "DELETE", 2),
        ("careful", "POST", 1),
        ("careful", "PATCH", 1),
        ("bold", "POST", 2),
    ] {
        for with in ["503", "reset"] {
            let target = format!("/{name}{method}?fail=1&with={with}");
            let answer = send(&wharf, method, &format!("/{name}{target}"), "").await;
            assert_eq!(answer.status == 200, requests == 2, "{name} {method} {with}: {}", answer.text());
            assert_eq!(sent(&upstream, &target), requests, "{name} {method} {with}");
        }
    }
    // Nobody has got it, so nothing is done twice: the other instance answers, for every method.
    for number in 0..6 {
        send(&wharf, "POST", &format!("/one-dead/{number}"), "once").await.assert_status(200);
        assert_eq!(sent(&upstream, &format!("/{number}")), 1);
    }
}

#[tokio::test]
async fn a_body_is_sent_again_whole_or_not_at_all() {
    let upstream = failing().await;
    let retry = format!("{OFF}retry: {{ backoff: 1ms, maxBodySize: 1KiB }}\n");
    let wharf = orders(&upstream, &retry).await;
    for (bytes, status, requests) in [(0, 200, 2), (1024, 200, 2), (1025, 503, 1), (100_000, 503, 1)] {
        let target = format!("/{bytes}?fail=1&with=503");
        let body: Vec<u8> = (0..bytes).map(|n| b'a' + (n % 26) as u8).collect();
        send(&wharf, "PUT", &format!("/orders{target}"), body.clone()).await.assert_status(status);
        let seen: Vec<_> = upstream.seen().into_iter().filter(|seen| seen.target == target).collect();
        assert_eq!(seen.len(), requests, "{bytes} bytes");
        for seen in seen {
            assert_eq!(seen.body_bytes, bytes);
            assert!(body.starts_with(&seen.body));
        }
    }
    let attempts: Vec<_> = upstream.seen().iter().map(|seen| seen.header("x-request-attempt").to_owned()).collect();
    assert_eq!(attempts[..2], ["", "2"]);
}

#[tokio::test]
async fn a_rule_has_terms_of_its_own_and_a_full_body_of_hints_is_obeyed() {
    let upstream = failing().await;
    let busy = Upstream::start(|seen| {
        let wait = if seen.target.contains("soon") { "1" } else { "600" };
        Reply::status(if seen.target.contains("429") { 429 } else { 503 }).header("retry-after", wait)
    })
    .await;
    let routes = "routes: [{ name: r, rules: [{ matches: [{ path: { prefix: /rule } }], \
                  retry: { attempts: 1, codes: [418], backoff: 1ms }, \
                  filters: [{ rewrite: { prefix: / } }], backendRefs: [{ service: orders }] }] }]";
    let wharf = Wharf::builder()
        .gateway(routes)
        .service("orders", &service(&upstream, &format!("{OFF}retry: {{ attempts: 3, codes: [503], backoff: 1ms }}\n")))
        .service("busy", &service(&busy, &format!("{OFF}retry: {{ attempts: 3, backoff: 1ms }}\n")))
        .start()
        .await;
    for (path, with, requests) in
        [("/rule", "418", 2), ("/rule", "503", 1), ("/orders", "418", 1), ("/orders", "503", 4)]
    {
        let target = format!("{}?fail=9&with={with}", path.replace('/', "/x"));
        wharf.get(&format!("{path}{target}")).await.assert_status(with.parse().unwrap());
        assert_eq!(sent(&upstream, &target), requests, "{path} {with}");
    }
    // Whoever says that it takes longer than there is time for is not asked again, nor is one that has too much to do.
    for target in ["/later", "/429"] {
        let began = Instant::now();
        wharf.get(&format!("/busy{target}")).await;
        assert_eq!(sent(&busy, target), 1, "{target}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    let began = Instant::now();
    wharf.get("/busy/soon").await.assert_status(503);
    assert!(sent(&busy, "/soon") > 1 && began.elapsed() >= Duration::from_secs(1), "it waits as long as it is told to");
}

#[tokio::test]
async fn another_instance_is_tried_before_the_same_one_again() {
    let (bad, good) = (Upstream::start(|_| Reply::status(503)).await, Upstream::start(|_| Reply::text("good")).await);
    let yaml = format!(
        "{}{OFF}retry: {{ attempts: 1, backoff: 1ms }}\noutlierDetection: {{ consecutiveFailures: 0 }}\n",
        instances(&[&bad.url(), &good.url()])
    );
    let wharf = Wharf::builder().service("orders", &yaml).start().await;
    for _ in 0..30 {
        wharf.get("/orders/").await.assert_status(200);
    }
    assert!(bad.count() > 3 && good.count() == 30, "{} {}", bad.count(), good.count());
}

/// Statuses of so many requests, one after the other.
async fn statuses(wharf: &Wharf, path: &str, requests: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..requests {
        statuses.push(wharf.get(path).await.status.as_u16());
    }
    statuses
}

#[tokio::test]
async fn a_breaker_opens_after_failures_in_a_row_probes_and_closes() {
    let upstream = Upstream::start(|_| Reply::status(500)).await;
    let breaker = "circuitBreaker: { waitDurationInOpenState: 2s, maxWaitDurationInOpenState: 10s, \
                   permittedNumberOfCallsInHalfOpenState: 2 }";
    let wharf = orders(&upstream, breaker).await;
    assert_eq!(statuses(&wharf, "/orders/", 7).await, [500, 500, 500, 500, 500, 503, 503]);
    let open = wharf.get("/orders/").await;
    open.assert_problem(503, "circuit_open");
    let wait: u64 = open.header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(upstream.count(), 5, "nobody asks it while it is open");
    wharf.logged("circuit breaker").await;

    // A probe that fails opens it again.
    eventually("it is asked again", async || {
        wharf.get("/orders/").await;
        (upstream.count() > 5).then_some(())
    })
    .await;
    assert_eq!(statuses(&wharf, "/orders/", 5).await, [503; 5]);
    assert_eq!(upstream.count(), 6);
    upstream.script(|_| Reply::text("good"));
    eventually("it closes", async || (wharf.get("/orders/").await.status == 200).then_some(())).await;
    assert_eq!(statuses(&wharf, "/orders/", 10).await, [200; 10]);
    // And counts anew.
    upstream.script(|_| Reply::status(500));
    assert_eq!(statuses(&wharf, "/orders/", 6).await, [500, 500, 500, 500, 500, 503]);
}

#[tokio::test]
async fn a_breaker_opens_for_what_it_is_told_to_and_for_nothing_else() {
    let alternating =
        |bad: Reply| move |seen: &Seen| if seen.number.is_multiple_of(2) { Reply::text("good") } else { bad.clone() };
    let slow = Reply::text("slow").after(Duration::from_millis(250));
    let base = "slidingWindow: 10m, waitDurationInOpenState: 1h, maxWaitDurationInOpenState: 1h";
    for (what, reply, settings, opens) in [
        ("a row is broken by good ones", Reply::status(500), "failureRateThreshold: 0", false),
        ("half of enough", Reply::status(500), "minimumNumberOfCalls: 10, failureRateThreshold: 50", true),
        ("half of too few", Reply::status(500), "minimumNumberOfCalls: 1000, failureRateThreshold: 50", false),
        ("less than the rate", Reply::status(500), "minimumNumberOfCalls: 10, failureRateThreshold: 60", false),
        ("off", Reply::status(500), "enabled: false, minimumNumberOfCalls: 10", false),
        ("429 counts for the rate", Reply::status(429), "minimumNumberOfCalls: 10", true),
        ("404 counts nothing", Reply::status(404), "minimumNumberOfCalls: 10", false),
        (
            "slow ones",
            slow.clone(),
            "minimumNumberOfCalls: 10, slowCallDurationThreshold: 200ms, slowCallRateThreshold: 40",
            true,
        ),
        (
            "not so slow ones",
            slow.clone(),
            "minimumNumberOfCalls: 10, slowCallDurationThreshold: 9s, slowCallRateThreshold: 40",
            false,
        ),
        (
            "fewer slow ones",
            slow,
            "minimumNumberOfCalls: 10, slowCallDurationThreshold: 200ms, slowCallRateThreshold: 90",
            false,
        ),
    ] {
        let upstream = Upstream::start(alternating(reply)).await;
        let wharf = orders(&upstream, &format!("circuitBreaker: {{ {base}, {settings} }}")).await;
        for _ in 0..14 {
            wharf.get("/orders/").await;
        }
        assert_eq!(upstream.count() < 14, opens, "{what}: {} of 14 arrived", upstream.count());
    }
}

#[tokio::test]
async fn a_window_forgets_and_rows_have_a_length() {
    let upstream = Upstream::start(|seen| Reply::status(if seen.target.contains("bad") { 500 } else { 200 })).await;
    let wharf =
        orders(&upstream, "circuitBreaker: { slidingWindow: 1s, minimumNumberOfCalls: 4, consecutiveFailures: 3 }")
            .await;
    for _ in 0..3 {
        // Two of three fail, and are forgotten before they are enough.
        assert_eq!(statuses(&wharf, "/orders/bad", 2).await, [500, 500]);
        wharf.get("/orders/").await.assert_status(200);
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    assert_eq!(statuses(&wharf, "/orders/bad", 4).await, [500, 500, 500, 503]);
}

#[tokio::test]
async fn callers_of_an_open_breaker_get_the_fallback() {
    let upstream = Upstream::start(|_| Reply::status(500)).await;
    let open = |fallback: &str| {
        service(
            &upstream,
            &format!(
                "circuitBreaker: {{ consecutiveFailures: 1, waitDurationInOpenState: 1h, \
                 maxWaitDurationInOpenState: 1h, fallback: {{ {fallback} }} }}"
            ),
        )
    };
    let fixed = "response: { status: 203, contentType: application/json, body: '{\"cached\":true}' }";
    let wharf = Wharf::builder()
        .file("spare", &versioned(ONE))
        .file("spare@2", &versioned(TWO))
        .service("fixed", &open(fixed))
        .service("other", &open("service: spare"))
        .service("second", &open("service: spare, version: \"2\""))
        .service("both", &open(&format!("service: nowhere, {fixed}")))
        .service("ring", &open("service: back"))
        .service("back", &open("service: ring"))
        .start()
        .await;
    let all = ["fixed", "other", "second", "both", "ring", "back"];
    for name in all {
        wharf.get(&format!("/{name}/")).await.assert_status(500);
    }
    for (name, status, text) in [
        ("fixed", 203, r#"{"cached":true}"#),
        ("other", 200, ONE),
        ("second", 200, TWO),
        ("both", 203, r#"{"cached":true}"#),
        ("ring", 503, "circuit_open"),
    ] {
        let answer = wharf.get(&format!("/{name}/")).await;
        assert!(answer.text().contains(text), "{name}: {}", answer.text());
        answer.assert_status(status);
    }
    assert_eq!(upstream.count(), all.len(), "nobody asks what is open");
    for (name, fallback, version) in [
        ("other", "spare", ONE),
        ("second", "spare", TWO),
        ("fixed", "fixed response", ""),
        ("both", "fixed response", ""),
    ] {
        let found = eventually("the log names who answered", async || {
            let lines = wharf.access_log().into_iter().filter_map(|line| serde_json::from_str(&line).ok());
            let mut lines = lines.filter(|line: &serde_json::Value| line["service"] == name);
            lines.find(|line| line["fallback"].is_string())
        })
        .await;
        assert_eq!(found["fallback"], fallback, "{found}");
        assert_eq!(found["instance"].is_string(), !version.is_empty(), "{found}");
    }
    assert_eq!(wharf.get("/fixed/").await.header("content-type"), "application/json");
    // A request with a body gets there whole.
    let spare = Upstream::start(|_| Reply::echo()).await;
    wharf.configure("services/copy.yaml", &service(&spare, ""));
    wharf.configure("services/fixed.yaml", &open("service: copy"));
    eventually("the other fallback answers", async || {
        (wharf.send("POST", "/fixed/", "the body").await.text() == "the body").then_some(())
    })
    .await;
}

/// How the breakers of a service stand, as the admin API tells.
async fn breakers(wharf: &Wharf, service: &str) -> Vec<serde_json::Value> {
    let told = wharf.admin_get(&format!("/api/services/{service}")).await.json();
    told["breakers"].as_array().unwrap().clone()
}

#[tokio::test]
async fn people_see_breakers_and_a_recovery_that_checks_see_ends_a_long_wait() {
    let (ill, checked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(true)));
    let upstream = {
        let (ill, checked) = (Arc::clone(&ill), Arc::clone(&checked));
        Upstream::start(move |seen| {
            let good = if seen.is_check() { checked.load(Ordering::SeqCst) } else { !ill.load(Ordering::SeqCst) };
            Reply::status(if good { 200 } else { 500 })
        })
        .await
    };
    let of = |wait: &str| {
        let more = format!(
            "healthCheck: {{ path: /up, interval: 100ms, unhealthyThreshold: 1, healthyThreshold: 1 }}\n\
             circuitBreaker: {{ consecutiveFailures: 2, waitDurationInOpenState: {wait}, \
             maxWaitDurationInOpenState: 1h, permittedNumberOfCallsInHalfOpenState: 1 }}"
        );
        service(&upstream, &more)
    };
    let wharf = Wharf::builder().service("orders", &of("1h")).start().await;
    eventually("it is checked", async || (upstream.checks() > 0).then_some(())).await;
    let known = breakers(&wharf, "orders").await;
    assert_eq!((known.len(), &known[0]["state"]), (1, &"closed".into()), "{known:?}");
    assert!(known[0].get("version").is_none() && known[0].get("halfOpenIn").is_none(), "{known:?}");
    assert_eq!(statuses(&wharf, "/orders/", 3).await, [500, 500, 503]);
    let open = breakers(&wharf, "orders").await.remove(0);
    assert_eq!((&open["state"], &open["reason"]), (&"open".into(), &"2 failures in a row".into()));
    assert!(open["halfOpenIn"].as_str().unwrap().contains('m'), "{open}");
    let line = wharf.logged("circuit breaker open").await;
    assert!(line.contains("\"service\":\"orders\"") && !line.contains("\"version\""), "{line}");

    checked.store(false, Ordering::SeqCst);
    let unhealthy = wharf.logged("\"message\":\"unhealthy\"").await;
    assert!(unhealthy.contains("\"why\":\"/up answered 500\""), "{unhealthy}");
    // What was the first wait is short now; the one that goes on is not.
    wharf.configure("services/orders.yaml", &of("100ms"));
    eventually("it is in force", async || {
        let metrics = wharf.admin_get("/metrics").await.text();
        metrics.contains("wharf_config_reloads_total{result=\"success\"} 1").then_some(())
    })
    .await;
    assert_eq!(breakers(&wharf, "orders").await[0]["state"], "open");
    ill.store(false, Ordering::SeqCst);
    wharf.get("/orders/").await.assert_status(503);
    checked.store(true, Ordering::SeqCst);
    eventually("it is let through long before its time", async || {
        (wharf.get("/orders/").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(breakers(&wharf, "orders").await[0]["state"], "closed");
    let healthy = wharf.logged("\"before\":\"unhealthy\"").await;
    assert!(!healthy.contains("\"why\""), "{healthy}");

    let off = service(&upstream, "circuitBreaker: { enabled: false }");
    wharf.configure("services/orders.yaml", &off);
    eventually("what is off is not shown", async || breakers(&wharf, "orders").await.is_empty().then_some(())).await;
}

#[tokio::test]
async fn a_rule_has_places_of_its_own_that_outlast_a_reload() {
    let upstream =
        Upstream::start(|seen| if seen.target.contains("hold") { Reply::hang() } else { Reply::text("free") }).await;
    let gateway = |places: &str| {
        format!(
            "routes: [{{ name: r, rules: [\
             {{ matches: [{{ path: {{ prefix: /tight }} }}], bulkhead: {{ {places} }}, \
                backendRefs: [{{ service: orders }}] }}, \
             {{ matches: [{{ path: {{ prefix: /wide }} }}], backendRefs: [{{ service: orders }}] }}] }}]"
        )
    };
    let builder = Wharf::builder().service("orders", &service(&upstream, "bulkhead: { maxConcurrent: 3 }\n"));
    let wharf = builder.gateway(&gateway("maxConcurrent: 1, maxPending: 0")).start().await;
    let hold = |path: &str| {
        let (client, url) = (wharf.client().clone(), wharf.url(path));
        tokio::spawn(async move { client.try_send("GET", &url, &[], "").await })
    };
    let first = hold("/tight/hold");
    eventually("it is there", async || (upstream.count() == 1).then_some(())).await;
    let refused = wharf.get("/tight/").await;
    refused.assert_problem(503, "bulkhead_full");
    assert!(!refused.header("retry-after").is_empty());
    wharf.get("/wide/").await.assert_status(200);
    wharf.get("/orders/").await.assert_status(200);

    // Who is inside still holds one of two places.
    wharf.configure("gateway.yaml", &gateway("maxConcurrent: 2, maxPending: 0"));
    eventually("there is one more", async || (wharf.get("/tight/").await.status == 200).then_some(())).await;
    let second = hold("/tight/hold");
    eventually("both are there", async || {
        (upstream.seen().iter().filter(|seen| seen.target.contains("hold")).count() == 2).then_some(())
    })
    .await;
    wharf.get("/tight/").await.assert_problem(503, "bulkhead_full");
    // And both hold places of the service.
    let third = hold("/wide/hold");
    eventually("the service is full", async || {
        let metrics = wharf.admin_get("/metrics").await.text();
        metrics.contains("wharf_bulkhead_in_flight{service=\"orders\"} 3").then_some(())
    })
    .await;
    // Waits for a place of the rule's, and then there is none.
    wharf.configure("gateway.yaml", &gateway("maxConcurrent: 2, maxPending: 1, maxWait: 300ms"));
    eventually("it waits", async || {
        let began = Instant::now();
        wharf.get("/tight/").await.assert_problem(503, "bulkhead_full");
        (began.elapsed() >= Duration::from_millis(300)).then_some(())
    })
    .await;
    first.abort();
    eventually("a place comes back with its client", async || (wharf.get("/tight/").await.status == 200).then_some(()))
        .await;
    [second, third].iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_full_bulkhead_refuses_requests_and_no_health_check() {
    let upstream = Upstream::start(|seen| {
        if seen.is_check() { Reply::status(200) } else { Reply::text("slow").after(Duration::from_millis(1500)) }
    })
    .await;
    for (reserved, checked) in [(4, true), (0, false)] {
        let yaml = format!(
            "bulkhead: {{ maxConcurrent: 2, maxPending: 0, reserved: {reserved} }}\n\
             healthCheck: {{ path: /up, interval: 100ms, unhealthyThreshold: 1 }}"
        );
        let wharf = orders(&upstream, &yaml).await;
        let before = upstream.count();
        let get = || {
            let (client, url) = (wharf.client().clone(), wharf.url("/orders/"));
            tokio::spawn(async move { client.get(&url).await })
        };
        let held = [get(), get()];
        eventually("both are there", async || (upstream.count() == before + 2).then_some(())).await;
        let checks = upstream.checks();
        wharf.get("/orders/").await.assert_problem(503, "bulkhead_full");
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(held.iter().all(|held| !held.is_finished()), "the machine is too slow for this test");
        // One may have been on its way.
        assert_eq!(upstream.checks() > checks + 1, checked, "reserved: {reserved}");
        let healthy = wharf.admin_get("/api/instances?service=orders&health=healthy").await.json();
        assert_eq!(healthy["instances"].as_array().unwrap().len(), 1, "busy is not ill: {healthy}");
        for held in held {
            held.await.unwrap().assert_status(200);
        }
    }
}

#[tokio::test]
async fn an_adaptive_limit_begins_low_and_a_fixed_one_does_not() {
    let upstream = Upstream::start(|_| Reply::text("slow").after(Duration::from_millis(500))).await;
    for (adaptive, good) in [
        ("{ enabled: true, minLimit: 2 }", 2),
        ("{ enabled: true, minLimit: 4 }", 4),
        ("{ enabled: false, minLimit: 2 }", 8),
    ] {
        let wharf =
            orders(&upstream, &format!("bulkhead: {{ maxConcurrent: 50, maxPending: 0, adaptive: {adaptive} }}")).await;
        let answers = join_all((0..8).map(|_| wharf.get("/orders/"))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), good, "{adaptive}");
    }
}

#[tokio::test]
async fn a_try_and_a_request_have_their_times() {
    let upstream = Upstream::start(|seen| {
        Reply::text("slow").after(Duration::from_millis(if seen.target.contains("slow") { 3000 } else { 0 }))
    })
    .await;
    let wharf = Wharf::builder()
        .service("try", &service(&upstream, "timeouts: { backendRequest: 300ms }"))
        .service("whole", &service(&upstream, "timeouts: { request: 300ms }"))
        .service("none", &service(&upstream, "timeouts: { request: 0s }"))
        .start()
        .await;
    for (name, quick) in [("try", true), ("whole", true), ("none", false)] {
        wharf.get(&format!("/{name}/")).await.assert_status(200);
        let began = Instant::now();
        let answer = wharf.get(&format!("/{name}/slow")).await;
        if quick {
            answer.assert_problem(504, "request_timeout");
            assert!(began.elapsed() < Duration::from_secs(2), "{name}: {:?}", began.elapsed());
        } else {
            answer.assert_status(200);
        }
    }
    // The connection of a request that was given up is not used for the next one.
    for name in ["try", "whole", "none"] {
        assert_eq!(wharf.get(&format!("/{name}/")).await.assert_status(200).text(), "slow");
    }
}

#[tokio::test]
async fn a_call_to_an_instance_elsewhere_has_no_more_time_than_its_caller() {
    let upstream =
        Upstream::start(
            |seen| {
                if seen.target.contains("slow") { Reply::hang() } else { Reply::text("from elsewhere") }
            },
        )
        .await;
    let wharf = Wharf::builder()
        .plugin("caller")
        .service("caller", "grants: { calls: [orders] }\ntimeouts: { request: 1s }")
        .service("orders", &service(&upstream, "timeouts: { request: 1m }"))
        .start()
        .await;
    let answer = wharf.get("/caller/call?url=http%3A%2F%2Forders.internal%2F").await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "from elsewhere"));
    let began = Instant::now();
    let answer = wharf.get("/caller/call?url=http%3A%2F%2Forders.internal%2Fslow").await;
    assert!(matches!(answer.status.as_u16(), 504 | 555), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    eventually("nobody waits any more", async || (upstream.open() <= 1).then_some(())).await;
}

#[tokio::test]
async fn calls_between_services_are_tried_again_and_kept_away_like_requests() {
    let upstream = failing().await;
    let dead = Upstream::start(|_| Reply::status(500)).await;
    let wharf = Wharf::builder()
        .plugin("caller")
        .service("caller", "grants: { calls: [orders, dead] }")
        .service("orders", &service(&upstream, &format!("{OFF}retry: {{ backoff: 1ms }}\n")))
        .service(
            "dead",
            &service(&dead, "circuitBreaker: { waitDurationInOpenState: 1h, maxWaitDurationInOpenState: 1h }"),
        )
        .start()
        .await;
    let call = async |url: &str| {
        let escaped: String = url.bytes().map(|byte| format!("%{byte:02X}")).collect();
        wharf.get(&format!("/caller/call?url={escaped}")).await
    };
    let answer = call("http://orders.internal/?fail=2&with=503").await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "good"));
    assert_eq!(sent(&upstream, "/?fail=2&with=503"), 3);
    for _ in 0..8 {
        call("http://dead.internal/").await;
    }
    assert_eq!(dead.count(), 5, "the breaker holds for calls, too");
}
