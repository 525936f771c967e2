//! Calls between services: who may, what arrives, how long, how deep, and what is left when one side ends.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::BodyExt;
use wharf_tests::{Answer, Builder, Reply, Upstream, Wharf, eventually, versioned, within};

/// Both kinds of caller.
const CALLERS: [&str; 2] = ["caller", "caller3"];
const GRANTS: &str = "grants: { calls: [hostile, caller, caller3, versioned, nobody] }\n";

fn callers(more: &str) -> Builder {
    let yaml = format!("{GRANTS}{more}");
    let builder = Wharf::builder().plugin("caller").plugin("caller3").plugin("hostile");
    // They fail on purpose, one time after the other.
    let builder = builder.gateway("defaults: { circuitBreaker: { enabled: false } }\n");
    builder.service("caller", &yaml).service("caller3", &yaml)
}

/// An address with these parameters.
fn with(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut url = path.to_owned();
    for (name, value) in parameters {
        let _ = write!(url, "{}{name}=", if url.contains('?') { '&' } else { '?' });
        for byte in value.bytes() {
            let _ =
                if byte.is_ascii_alphanumeric() { write!(url, "{}", byte as char) } else { write!(url, "%{byte:02X}") };
        }
    }
    url
}

/// A service's path that calls this address.
fn calling(caller: &str, how: &str, url: &str) -> String {
    with(&format!("/{caller}{how}"), &[("url", url)])
}

#[track_caller]
fn assert_error(answer: &Answer, code: &str) {
    assert_eq!(answer.status, 555, "{}", answer.text());
    assert!(answer.text().contains(code), "{} is not {code}", answer.text());
}

/// `hostile` has one place: whether it is free.
async fn hostile_is_free(wharf: &Wharf, after: &str) {
    eventually(&format!("the callee is gone after {after}"), async || {
        (wharf.get("/hostile/").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_granted_is_answered_and_nothing_else() {
    let wharf = callers("").plugin("settings").start().await;
    let gateway = format!("http://{}/hostile/", wharf.address());
    for caller in CALLERS {
        let call = async |url: &str| wharf.get(&calling(caller, "/call", url)).await;
        let answer = call("http://hostile.internal/").await;
        answer.assert_status(200);
        assert_eq!(answer.text(), "ok");
        assert_error(&call("http://settings.internal/").await, "HttpRequestDenied");
        assert_error(&call("http://nobody.internal/").await, "DestinationNotFound");
        assert_error(&call(&gateway).await, "HttpRequestDenied");
        assert_error(&call("https://hostile.internal/").await, "HttpRequestDenied");
        assert_error(&call("http://no-service.internal/").await, "HttpRequestDenied");
    }
    let line = wharf.logged("its call to `settings.internal` was refused").await;
    assert!(line.contains("grants.calls") && line.contains(r#""service":"caller"#), "{line}");
    let denied = eventually("the refusal is in the access log", async || {
        wharf.access_log().into_iter().find(|line| line.contains(r#""reason":"grant_denied""#))
    })
    .await;
    let denied: serde_json::Value = serde_json::from_str(&denied).unwrap();
    assert_eq!(
        (&denied["caller"], &denied["service"], &denied["status"]),
        (&"caller".into(), &"settings".into(), &403.into())
    );
}

#[tokio::test]
async fn a_service_without_grants_runs_and_calls_nobody() {
    let wharf = Wharf::builder().plugin("caller").plugin("caller3").plugin("hostile").start().await;
    for caller in CALLERS {
        wharf.get(&format!("/{caller}/")).await.assert_status(200);
        for callee in ["hostile", caller] {
            let answer = wharf.get(&calling(caller, "/call", &format!("http://{callee}.internal/"))).await;
            assert_error(&answer, "HttpRequestDenied");
        }
    }
}

#[tokio::test]
async fn a_grant_that_is_taken_away_is_gone_for_the_next_call_of_a_request_that_runs() {
    let wharf = callers("").start().await;
    let events = with("/caller/events", &[("url", "http://hostile.internal/"), ("n", "600"), ("ms", "50")]);
    let mut stream = wharf.client().stream("GET", &wharf.url(&events), "").await.into_body();
    let mut next = async || {
        let frame = stream.frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    };
    assert_eq!(next().await, "data: 200 2\n\n");
    for (grants, said) in [("[caller]", "HttpRequestDenied"), ("[hostile]", "data: 200 2")] {
        wharf.configure("services/caller.yaml", &format!("grants: {{ calls: {grants} }}"));
        within(Duration::from_secs(10), "the next call sees it", async || next().await.contains(said).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn a_call_ends_with_its_caller_and_with_its_callee() {
    let wharf = callers("timeouts: { request: 1s }")
        .service("hostile", "bulkhead: { maxConcurrent: 1, maxPending: 0 }")
        .start()
        .await;
    for caller in CALLERS {
        let began = Instant::now();
        wharf
            .get(&calling(caller, "/call", "http://hostile.internal/hang"))
            .await
            .assert_problem(504, "request_timeout");
        assert!((Duration::from_secs(1)..Duration::from_secs(3)).contains(&began.elapsed()), "{:?}", began.elapsed());
        hostile_is_free(&wharf, "its caller's deadline").await;
    }
    // The callee's own limit is an answer that its caller can go on with.
    wharf.configure("services/hostile.yaml", "timeouts: { request: 200ms }");
    for caller in CALLERS {
        let path = calling(caller, "/call", "http://hostile.internal/sleep?ms=600");
        let answer = within(Duration::from_secs(10), "the limit is in force", async || {
            let answer = wharf.get(&path).await;
            (answer.status != 200).then_some(answer)
        })
        .await;
        answer.assert_problem(504, "request_timeout");
    }
}

#[tokio::test]
async fn the_guests_own_timeouts_hold() {
    let wharf = callers("").start().await;
    for caller in CALLERS {
        let began = Instant::now();
        let slow =
            with(&format!("/{caller}/call"), &[("url", "http://hostile.internal/sleep?ms=9000"), ("first", "200")]);
        assert_error(&wharf.get(&slow).await, "HttpResponseTimeout");
        let slow = "http://hostile.internal/slow-body?ms=9000";
        let gaps = with(&format!("/{caller}/sequence"), &[("url", slow), ("between", "200")]);
        let text = wharf.get(&gaps).await.text();
        assert!(text.starts_with("200 9"), "the first of three pieces came: {text}");
        let quick = "http://hostile.internal/slow-body?ms=50&count=5";
        let gaps = with(&format!("/{caller}/sequence"), &[("url", quick), ("between", "2000"), ("first", "2000")]);
        assert_eq!(wharf.get(&gaps).await.text(), "200 45");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn an_event_stream_goes_on_calling_after_the_deadline_of_its_request() {
    let wharf = callers("timeouts: { request: 500ms }").start().await;
    let events = with("/caller/events", &[("url", "http://hostile.internal/"), ("n", "5"), ("ms", "300")]);
    assert_eq!(wharf.get(&events).await.text(), "data: 200 2\n\n".repeat(5));
}

#[tokio::test]
async fn a_tree_of_calls_has_one_id_and_one_trace() {
    let wharf = callers("").start().await;
    for (first, second) in [("caller", "caller3"), ("caller3", "caller")] {
        let last = format!("http://{second}.internal/seen");
        let middle = format!("http://{first}.internal{}", with("/call", &[("url", &last)]));
        let headers = [
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("tracestate", "vendor=value"),
        ];
        let url = wharf.url(&calling(second, "/call", &middle));
        let answer = wharf.client().send("GET", &url, &headers, "").await;
        answer.assert_status(200);
        let (seen, id) = (answer.text(), answer.header("x-request-id").to_owned());
        assert!(seen.contains(&format!("x-request-id: {id}")), "{seen}");
        assert!(seen.contains("traceparent: 00-0af7651916cd43dd8448eb211c80319c-"), "{seen}");
        assert!(!seen.contains("b7ad6b7169203331"), "each hop is a step of its own: {seen}");
        assert!(seen.contains("tracestate: vendor=value"), "{seen}");
        assert!(seen.contains(&format!("x-wharf-caller: {first}")), "{seen}");
        assert!(seen.contains(&format!(r#"authority Some("{second}.internal")"#)), "{seen}");
        let lines = eventually("three lines of the access log", async || {
            let lines = wharf.access_log().into_iter().filter(|line| line.contains(&id));
            let lines: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
            (lines.len() == 3).then_some(lines)
        })
        .await;
        let hops: Vec<_> =
            lines.iter().map(|line| (line["caller"].as_str(), line["service"].as_str().unwrap())).collect();
        for hop in [(None, second), (Some(second), first), (Some(first), second)] {
            assert!(hops.contains(&hop), "{hop:?} is not in {hops:?}");
        }
        assert!(lines.iter().all(|line| line["traceId"] == "0af7651916cd43dd8448eb211c80319c"), "{lines:?}");
        assert!(lines.iter().all(|line| line["status"] == 200 && line["reason"].is_null()), "{lines:?}");
    }
}

#[tokio::test]
async fn nobody_speaks_in_the_gateways_name() {
    let wharf = callers("").start().await;
    let forged = [
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-prefix",
        "x_forwarded_for",
        "forwarded",
        "x-real-ip",
        "x-request-id",
        "traceparent",
        "tracestate",
        "client-cert",
        "x-wharf-caller",
        "x_wharf_caller",
        "x-wharf-else",
        "te",
    ];
    for caller in CALLERS {
        let mut parameters = vec![("url", format!("http://{caller}.internal/seen")), ("h", "x-own:kept".to_owned())];
        parameters.extend(forged.map(|name| ("h", format!("{name}:forged"))));
        let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let seen = wharf.get(&with(&format!("/{caller}/call"), &parameters)).await.text();
        assert!(!seen.contains("forged"), "{seen}");
        assert!(seen.contains("x-own: kept") && seen.contains(&format!("x-wharf-caller: {caller}")), "{seen}");

        let outside: Vec<_> = ["x-wharf-caller", "x_wharf_caller", "X-Wharf-Else"].map(|name| (name, "forged")).into();
        let seen = wharf.client().send("GET", &wharf.url(&format!("/{caller}/seen")), &outside, "").await.text();
        assert!(!seen.contains("forged") && !seen.contains("x-wharf-caller"), "{seen}");
    }
    // What a guest cannot even write.
    let names = ["host", "connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-authorization", "x-own"];
    let names = names.map(|name| ("h", name));
    let refused = wharf.get(&with("/caller/forbidden", &names)).await.text();
    assert_eq!(refused, "host connection transfer-encoding upgrade keep-alive proxy-authorization");
}

#[tokio::test]
async fn an_identity_is_passed_on_and_never_made_up() {
    let builder = callers("");
    let keys = builder.dir().join("keys.txt");
    // The SHA-256 of `key-of-ann-with-many-letters`.
    std::fs::write(&keys, "ann sha256:ffef8332207ddc785d9949bc8ce6116d0389bfcfa5df7605dc5697d8ad949248\n").unwrap();
    let filter = format!("filters: [{{ apiKey: {{ keys: {{ file: {} }}, subjectHeader: x-user }} }}]", keys.display());
    let wharf = builder.gateway(&filter).start().await;
    for caller in CALLERS {
        let path = format!("/{caller}/call");
        let seen = async |header: &str| {
            let target = format!("http://{caller}.internal/seen");
            let url = wharf.url(&with(&path, &[("url", &target), ("h", header)]));
            let key = [("x-api-key", "key-of-ann-with-many-letters")];
            let answer = wharf.client().send("GET", &url, &key, "").await;
            answer.assert_status(200);
            answer.text()
        };
        assert!(seen("x-user:ann").await.contains("x-user: ann"));
        assert!(!seen("x-user:bob").await.contains("bob"));
        assert!(!seen("x_user:ann").await.contains("ann"));
        assert!(!seen("x-other:1").await.contains("x-user"), "nothing is passed on that the caller does not send");
    }
}

#[tokio::test]
async fn a_hundred_mebibytes_flow_through_two_services_and_stay_nowhere() {
    const SIZE: usize = 100 << 20;
    let limits = "limits: { requestBody: 200MiB, cpuTime: 60s }\ntimeouts: { request: 2m }";
    let wharf = callers(limits).service("hostile", limits).start().await;
    for caller in CALLERS {
        wharf.get(&calling(caller, "/call", "http://hostile.internal/")).await.assert_status(200);
    }
    let before = wharf.memory();
    let most = before + (48 << 20);
    for caller in CALLERS {
        let down = calling(caller, "/call", &format!("http://hostile.internal/stream?bytes={SIZE}"));
        let mut body = wharf.client().stream("GET", &wharf.url(&down), "").await.into_body();
        let (mut length, mut frames) = (0, 0);
        while let Some(frame) = body.frame().await {
            length += frame.unwrap().into_data().unwrap().len();
            frames += 1;
            if frames % 64 == 0 {
                assert!(wharf.memory() < most, "{caller}: {before} grew to {} after {length}", wharf.memory());
            }
        }
        assert_eq!(length, SIZE, "{caller}");

        let up = with(&format!("/{caller}/relay"), &[("url", "http://hostile.internal/read?ms=0"), ("method", "POST")]);
        let (client, url) = (wharf.client().clone(), wharf.url(&up));
        let sending = tokio::spawn(async move { client.send("POST", &url, &[], vec![b'u'; SIZE]).await });
        while !sending.is_finished() {
            assert!(wharf.memory() < most, "{caller}: {before} grew to {}", wharf.memory());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(sending.await.unwrap().text(), format!("{SIZE} end"), "{caller}");
    }
}

#[tokio::test]
async fn both_directions_of_a_body_flow_at_once() {
    let wharf =
        callers("limits: { requestBody: 20MiB }").service("hostile", "limits: { requestBody: 20MiB }").start().await;
    let path = with("/caller3/relay", &[("url", "http://hostile.internal/echo"), ("method", "POST")]);
    let body: Vec<u8> = (0..10 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    let answer = wharf.send("POST", &path, body.clone()).await;
    answer.assert_status(200);
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
}

#[tokio::test]
async fn a_callee_that_fails_is_an_answer_for_its_caller() {
    let patient = "timeouts: { request: 60s }";
    let hostile = format!("limits: {{ cpuTime: 1s }}\n{patient}");
    let wharf = callers(patient).service("hostile", &hostile).start().await;
    for caller in CALLERS {
        for (path, status, reason) in [
            ("/trap", 502, "guest_trap"),
            ("/panic?msg=secret", 502, "guest_panic"),
            ("/alloc", 502, "guest_out_of_memory"),
            ("/never", 502, "guest_no_response"),
            ("/error-code", 502, "guest_invalid_response"),
            ("/loop", 504, "guest_deadline"),
        ] {
            let answer = wharf.get(&calling(caller, "/call", &format!("http://hostile.internal{path}"))).await;
            answer.assert_problem(status, reason);
        }
        // What breaks off must look broken at the far end, too.
        let url = wharf.url(&calling(caller, "/call", "http://hostile.internal/trap-mid-stream?ms=200"));
        let broken = wharf.client().try_send("GET", &url, &[], "").await;
        assert!(broken.is_err(), "{caller}: {broken:?}");
        wharf.get(&format!("/{caller}/")).await.assert_status(200);
    }
    // A caller whose request is broken, or too large, or strange.
    for (how, query, status, reason) in [
        ("/unfinished", "http://hostile.internal/read?ms=0", 400, "bad_request"),
        ("/call", "http://hostile.internal/%00", 400, "bad_request"),
        ("/call", "http://hostile.internal/a;b", 400, "bad_request"),
    ] {
        let path = with(&format!("/caller{how}"), &[("url", query), ("method", "POST")]);
        wharf.get(&path).await.assert_problem(status, reason);
    }
    let large = [("url", "http://hostile.internal/read?ms=0"), ("method", "POST"), ("size", "12000000")];
    for caller in CALLERS {
        wharf.get(&with(&format!("/{caller}/call"), &large)).await.assert_problem(413, "payload_too_large");
    }
}

#[tokio::test]
async fn a_full_callee_says_so_and_a_head_has_no_body() {
    let wharf = callers("").service("hostile", "bulkhead: { maxConcurrent: 1, maxPending: 0 }").start().await;
    for caller in CALLERS {
        let waiting = wharf.client().stream("GET", &wharf.url("/hostile/slow-body?count=1000&ms=100"), "").await;
        let answer = wharf.get(&calling(caller, "/call", "http://hostile.internal/")).await;
        answer.assert_problem(503, "bulkhead_full");
        assert_eq!(answer.header("retry-after"), "1");
        drop(waiting);
        hostile_is_free(&wharf, "its client left").await;
        let head = [("url", "http://hostile.internal/endless"), ("method", "HEAD")];
        let answer = wharf.get(&with(&format!("/{caller}/sequence"), &head)).await;
        assert_eq!(answer.text(), "200 0");
        hostile_is_free(&wharf, "a HEAD").await;
    }
}

#[tokio::test]
async fn a_ring_of_services_ends_with_the_way_it_took() {
    let wharf = Wharf::builder()
        .plugin_as("caller", "orders")
        .plugin_as("caller3", "pricing")
        .plugin_as("caller", "users")
        .service("orders", "grants: { calls: [pricing, orders] }")
        .service("pricing", "grants: { calls: [users] }")
        .service("users", "grants: { calls: [orders] }")
        .start()
        .await;
    let answer = wharf.get("/orders/ring?of=pricing,users,orders").await;
    answer.assert_problem(508, "loop_detected");
    let way = ["orders", "pricing", "users"].repeat(3).join(" → ");
    assert_eq!(answer.json()["detail"], format!("{way} → orders"));
    let answer = wharf.get("/orders/ring?of=orders").await;
    answer.assert_problem(508, "loop_detected");
    assert_eq!(answer.json()["detail"], "orders → orders → orders → orders");
}

#[tokio::test]
async fn a_chain_is_as_deep_as_configured_and_no_deeper() {
    let mut builder = Wharf::builder();
    for n in 0..18 {
        let name = format!("s{n}");
        let grants = format!("grants: {{ calls: [s{}] }}", n + 1);
        builder = builder.plugin_as("caller", &name).service(&name, &grants);
    }
    let wharf = builder.start().await;
    let chain = |calls: usize| (1..=calls).map(|n| format!("s{n},")).collect::<String>();
    let answer = wharf.get(&format!("/s0/chain?to={}", chain(16))).await;
    answer.assert_status(200);
    assert_eq!(answer.text(), "the end of the chain");
    let answer = wharf.get(&format!("/s0/chain?to={}", chain(17))).await;
    answer.assert_problem(508, "loop_detected");
    let way: Vec<_> = (0..=17).map(|n| format!("s{n}")).collect();
    assert_eq!(answer.json()["detail"], way.join(" → "));

    wharf.configure("gateway.yaml", "calls: { maxDepth: 2 }");
    eventually("the new depth is in force", async || {
        (wharf.get(&format!("/s0/chain?to={}", chain(3))).await.status == 508).then_some(())
    })
    .await;
    wharf.get(&format!("/s0/chain?to={}", chain(2))).await.assert_status(200);
}

#[tokio::test]
async fn a_caller_that_ends_takes_its_calls_with_it() {
    // Slots are used again, so that nothing ends just because a store does.
    let wharf = callers("slots: { reuse: {} }")
        .service("hostile", "bulkhead: { maxConcurrent: 1, maxPending: 0 }")
        .start()
        .await;
    let hang = "http://hostile.internal/hang";
    let endless = "http://hostile.internal/endless";
    for (path, status, text) in [
        (calling("caller", "/drop", hang), 200, "dropped"),
        (calling("caller3", "/drop", hang), 200, "dropped"),
        (calling("caller", "/leak", hang), 200, "leaked"),
        (calling("caller", "/ignore", endless), 200, "ignored"),
        (calling("caller3", "/ignore", endless), 200, "ignored"),
        (calling("caller", "/half", endless), 200, "half: 1000"),
        (calling("caller3", "/half", endless), 200, "half: 1000"),
        (with(&calling("caller", "/trap-open", hang), &[("wait", "yes")]), 502, "guest_trap"),
        (calling("caller", "/trap-open", hang), 502, "guest_trap"),
        (calling("caller3", "/trap-open", hang), 502, "guest_trap"),
    ] {
        let answer = wharf.get(&path).await;
        answer.assert_status(status);
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
        hostile_is_free(&wharf, &path).await;
    }
    for caller in CALLERS {
        let url = wharf.url(&calling(caller, "/call", hang));
        let left = tokio::time::timeout(Duration::from_millis(300), wharf.client().get(&url)).await;
        assert!(left.is_err(), "nobody answers");
        hostile_is_free(&wharf, "the client of its caller left").await;
    }
    wharf.get(&calling("caller3", "/leave", "http://hostile.internal/sleep?ms=200")).await.assert_status(200);
    wharf.logged("the call that was left: 200 5").await;
}

#[tokio::test]
async fn callers_that_hold_all_slots_are_answered_and_give_them_back() {
    let wharf = callers("bulkhead: { maxWait: 300ms }")
        .service("hostile", "bulkhead: { maxWait: 300ms }")
        .gateway("engine: { maxSlots: 2 }")
        .start()
        .await;
    let began = Instant::now();
    let path = calling("caller", "/call", "http://hostile.internal/sleep?ms=100");
    for answer in join_all((0..6).map(|_| wharf.get(&path))).await {
        if answer.status != 200 {
            answer.assert_problem(503, "bulkhead_full");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    wharf.get(&path).await.assert_status(200);
}

#[tokio::test]
async fn calls_are_counted() {
    let wharf = callers("limits: { calls: 6, openCalls: 4 }").start().await;
    for caller in CALLERS {
        let count = |text: &str, what: &str| text.lines().filter(|line| line.contains(what)).count();
        let at_once = [("url", "http://hostile.internal/sleep?ms=300"), ("n", "6")];
        let text = wharf.get(&with(&format!("/{caller}/parallel"), &at_once)).await.text();
        assert_eq!((count(&text, "200 5"), count(&text, "ConnectionLimitReached")), (4, 2), "{caller}: {text}");
        let in_turn = [("url", "http://hostile.internal/"), ("n", "8")];
        let text = wharf.get(&with(&format!("/{caller}/sequence"), &in_turn)).await.text();
        assert_eq!((count(&text, "200 2"), count(&text, "HttpRequestDenied")), (6, 2), "{caller}: {text}");
        // A body that is dropped is no open call.
        let dropped = [("url", "http://hostile.internal/endless"), ("n", "6")];
        wharf.get(&with(&format!("/{caller}/ignore"), &dropped)).await.assert_status(200);
    }
    wharf.logged("see limits.openCalls").await;
    wharf.logged("see limits.calls").await;
}

#[tokio::test]
async fn a_callee_that_burns_cpu_costs_neither_its_caller_nor_a_neighbour() {
    let wharf = callers("limits: { cpuTime: 100ms }").plugin("versioned").start().await;
    for caller in CALLERS {
        // Longer than the caller itself may run.
        let answer = wharf.get(&calling(caller, "/call", "http://hostile.internal/spin?ms=400")).await;
        answer.assert_status(200);
        // A caller that was moved to the compute executor before it calls.
        let path = with(&calling(caller, "/spin-call", "http://hostile.internal/"), &[("ms", "20")]);
        assert_eq!(wharf.get(&path).await.text(), "ok");

        let busy: Vec<_> = (0..4)
            .map(|_| {
                let url = wharf.url(&calling(caller, "/call", "http://hostile.internal/spin?ms=500"));
                let client = wharf.client().clone();
                tokio::spawn(async move { client.get(&url).await })
            })
            .collect();
        let mut times = Vec::new();
        while !busy.iter().all(tokio::task::JoinHandle::is_finished) {
            let began = Instant::now();
            wharf.get("/versioned/").await.assert_status(200);
            times.push(began.elapsed());
        }
        for call in busy {
            call.await.unwrap().assert_status(200);
        }
        times.sort_unstable();
        let middle = times[times.len() / 2];
        assert!(times.len() > 20 && middle < Duration::from_millis(50), "{} answers, {middle:?}", times.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callee_that_is_replaced_under_calls_fails_none_of_them() {
    let wharf = Arc::new(callers("").file("versioned", &versioned("version-marker-000000001")).start().await);
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = CALLERS
        .map(|caller| {
            let (wharf, stop) = (Arc::clone(&wharf), Arc::clone(&stop));
            tokio::spawn(async move {
                let path = calling(caller, "/call", "http://versioned.internal/");
                let mut answers = 0;
                while !stop.load(Ordering::Relaxed) {
                    wharf.get(&path).await.assert_status(200);
                    answers += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answers
            })
        })
        .into();
    for n in 2..8 {
        let marker = format!("version-marker-{n:09}");
        wharf.install("versioned.wasm", &versioned(&marker));
        within(Duration::from_secs(30), "callers see the new version", async || {
            let answer = wharf.get(&calling("caller", "/call", "http://versioned.internal/")).await;
            answer.text().contains(&marker).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    for load in loads {
        assert!(load.await.unwrap() > 20, "there was load");
    }
}

#[tokio::test]
async fn an_address_means_one_thing_or_nothing() {
    let wharf = callers("").start().await;
    for caller in CALLERS {
        let seen = |host: &str| calling(caller, "/call", &format!("http://{host}/seen"));
        for host in ["caller.internal", "CALLER.Internal", "caller.internal.", "caller.internal:80"] {
            let answer = wharf.get(&seen(host)).await;
            assert_eq!(answer.status, 200, "{host}: {}", answer.text());
            assert!(answer.text().contains(r#"authority Some("caller.internal")"#), "{host}: {}", answer.text());
        }
        for (host, codes) in [
            ("caller.internal.evil.com", &["HttpRequestDenied"][..]),
            ("callerinternal", &["HttpRequestDenied"]),
            ("localhost", &["HttpRequestDenied"]),
            ("[::1]", &["HttpRequestDenied"]),
            ("[::ffff:127.0.0.1]", &["HttpRequestDenied"]),
            ("caller.internal:8080", &["ConnectionRefused"]),
            ("a.caller.internal", &["DnsError"]),
            ("internal", &["DnsError"]),
            ("caller.internal..", &["DnsError"]),
            // Some of these no guest can even write; then it asks for the empty host.
            ("caller.internal:99999", &["HttpRequestUriInvalid", "HttpProtocolError"]),
            ("user:word@caller.internal", &["HttpRequestUriInvalid"]),
            ("caller.internal@evil.com", &["HttpRequestUriInvalid"]),
            ("evil.com@caller.internal", &["HttpRequestUriInvalid"]),
            ("caller.internal\\@evil.com", &["HttpRequestUriInvalid", "HttpProtocolError"]),
            ("caller.internal%2eevil.com", &["HttpRequestDenied", "HttpRequestUriInvalid", "HttpProtocolError"]),
        ] {
            let answer = wharf.get(&seen(host)).await;
            assert_eq!(answer.status, 555, "{caller} {host}: {}", answer.text());
            assert!(codes.iter().any(|code| answer.text().contains(code)), "{caller} {host}: {}", answer.text());
        }
        for (method, status, reason) in [("CONNECT", 501, "bad_request"), ("TRACE", 405, "bad_request")] {
            let path = [("url", "http://caller.internal/seen"), ("method", method)];
            wharf.get(&with(&format!("/{caller}/call"), &path)).await.assert_problem(status, reason);
        }
        let target = calling(caller, "/call", "http://caller.internal/a/../..//%73een?x=http://evil.com/");
        let text = wharf.get(&target).await.text();
        assert!(text.contains(r#"target Some("/seen?x=http://evil.com/")"#), "{text}");
    }
    // Parts that do not fit together.
    for (parts, code) in [
        (&[("authority", "caller.internal"), ("path", "http://evil.com/seen")][..], "555"),
        (&[("authority", "caller.internal"), ("path", "//evil.com/seen")], "404"),
        (&[("authority", "caller.internal"), ("path", "/seen"), ("scheme", "none")], "HttpRequestDenied"),
        (&[("authority", "caller.internal"), ("path", "/seen"), ("scheme", "ftp")], "HttpProtocolError"),
    ] {
        let mut parameters = vec![("url", "http://hostile.internal/")];
        parameters.extend(parts);
        let answer = wharf.get(&with("/caller/call", &parameters)).await;
        let said = format!("{} {}", answer.status.as_u16(), answer.text());
        assert!(said.contains(code) || said == "200 ok", "{parts:?}: {said}");
        assert!(!said.contains("evil.com"), "{parts:?}: {said}");
    }
}

#[tokio::test]
async fn the_client_of_the_sdk_calls_like_any_other() {
    let wharf = callers("").start().await;
    let sdk = |parameters: &[(&str, &str)]| with("/caller/sdk", parameters);
    let text = wharf.get(&sdk(&[("url", "http://caller.internal/seen?a=b"), ("size", "5")])).await.text();
    for fact in [
        "method Method::Post",
        r#"target Some("/seen?a=b")"#,
        "x-by: sdk",
        "content-type: text/plain",
        "content-length: 5",
    ] {
        assert!(text.contains(fact), "{fact} is not in {text}");
    }
    // An echo answers while it is asked: of neither direction does the host hold so much.
    for size in [60_000, 5 << 20] {
        let echoed = wharf.get(&sdk(&[("url", "http://hostile.internal/echo"), ("size", &size.to_string())])).await;
        echoed.assert_status(200);
        assert!(
            echoed.body.len() == size && echoed.body.iter().all(|byte| *byte == b'y'),
            "{} bytes",
            echoed.body.len()
        );
    }
    for (url, error) in [
        ("http://settings.internal/", "Denied"),
        ("http://nobody.internal/", "NotFound"),
        ("http://hostile.internal/hang", "Timeout"),
        ("gopher://hostile.internal/", "Invalid"),
        ("http://hostile.internal?x", "Invalid"),
        ("http://hostile.internal:99999/", "Invalid"),
    ] {
        assert_error(&wharf.get(&sdk(&[("url", url), ("ms", "300")])).await, error);
    }
    let cut = wharf.get(&sdk(&[("url", "http://hostile.internal/trap-mid-stream?ms=100")])).await;
    assert_eq!(cut.status, 556, "a body that breaks off is an error: {}", cut.text());
}

#[tokio::test]
async fn an_answer_of_the_sdk_that_is_read_while_more_is_sent_and_one_that_is_dropped() {
    const SIZE: usize = 5 << 20;
    let echo = Upstream::start(|_| Reply::echo()).await;
    let wharf = Wharf::builder()
        .plugin("caller")
        .service("caller", "grants: { calls: [orders] }")
        .service("orders", &format!("instances: [{{ name: a, url: '{}' }}]", echo.url()))
        .start()
        .await;
    let sdk = async |unread: &str| {
        let parameters = [("url", "http://orders.internal/"), ("size", &SIZE.to_string()), ("unread", unread)];
        wharf.get(&with("/caller/sdk", &parameters)).await
    };
    let echoed = sdk("false").await;
    echoed.assert_status(200);
    assert_eq!((echoed.body.len(), echo.seen()[0].body_bytes), (SIZE, SIZE as u64));
    let began = Instant::now();
    assert_eq!(sdk("true").await.text(), "not read");
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for what is not wanted: {:?}", began.elapsed());
    eventually("the call is over", async || (echo.count() == 2 && echo.open() == 0).then_some(())).await;
    assert!(echo.seen()[1].body_bytes < SIZE as u64, "and cut");
}

#[tokio::test]
async fn hosts_outside_are_asked_only_when_they_are_granted_and_public() {
    for caller in CALLERS {
        let outside = Upstream::start(|seen| Reply::text(&format!("{} {}", seen.header("host"), seen.target))).await;
        let url = outside.url();
        let granted = |rule: &str| format!("grants: {{ egress: [{rule}] }}\ncircuitBreaker: {{ enabled: false }}");
        let denied = granted("'https://api.example.com'");
        let path = calling(caller, "/call", &format!("{url}/thing?x=1"));
        // Loopback is not public, whatever is granted.
        for rule in [denied.clone(), granted(&format!("'{url}'"))] {
            let wharf = Wharf::builder().plugin(caller).service(caller, &rule).start().await;
            assert_error(&wharf.get(&path).await, "HttpRequestDenied");
            assert_eq!(outside.count(), 0, "nobody was asked under {rule}");
        }
        let private = granted(&format!("{{ url: '{url}', allowPrivate: true }}"));
        let wharf = Wharf::builder().plugin(caller).service(caller, &private).start().await;
        let answer = wharf.get(&path).await;
        answer.assert_status(200);
        assert!(answer.text().contains(&format!("{} /thing?x=1", outside.address())), "{}", answer.text());
        let seen = outside.seen();
        let last = seen.last().unwrap();
        assert!(!last.header("traceparent").is_empty(), "the trace goes on outside");
        assert_eq!(last.header("x-wharf-caller"), "", "what is only for services stays inside");
        wharf.configure(&format!("services/{caller}.yaml"), &denied);
        eventually("a grant that is taken back counts for the next request", async || {
            (wharf.get(&path).await.status == 555).then_some(())
        })
        .await;
    }
}
