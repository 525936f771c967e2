//! Guests that do what a guest must not: each ends with a reason of its own, and nobody else notices.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use wharf_tests::{Wharf, eventually};

/// A service that fails on purpose, one time after the other.
const UNGUARDED: &str = "circuitBreaker: { enabled: false }";
/// A busy machine takes its time to give a request the CPU that it may use.
const PATIENT: &str = "timeouts: { request: 60s }";

#[tokio::test]
async fn every_way_to_fail_has_a_reason_and_its_details_are_only_in_the_log() {
    let wharf = Wharf::builder().plugin("hostile").service("hostile", UNGUARDED).start().await;
    let cases = [
        ("/trap", 502, "guest_trap", "unreachable"),
        ("/recurse", 502, "guest_trap", "wasm backtrace"),
        ("/exit?code=3", 502, "guest_trap", "exit with status"),
        ("/panic?msg=secret-words", 502, "guest_panic", "secret-words"),
        ("/alloc", 502, "guest_out_of_memory", "limits.memory is 67108864"),
        ("/resources?n=100000", 502, "guest_trap", "the guest trapped"),
        ("/never", 502, "guest_no_response", "returned without a response"),
        ("/drop-outparam-late", 502, "guest_no_response", "returned without a response"),
        ("/error-code", 502, "guest_invalid_response", "secret detail"),
        ("/status?code=101", 502, "guest_invalid_response", "is no final status"),
        ("/unfinished", 502, "guest_invalid_response", "broke off"),
        ("/short-body", 502, "guest_invalid_response", "broke off"),
    ];
    for (path, status, reason, logged) in cases {
        let answer = wharf.get(&format!("/hostile{path}")).await;
        answer.assert_problem(status, reason);
        let id = answer.header("x-request-id").to_owned();
        let line = eventually("the failure is logged", async || {
            let lines = wharf.log();
            lines.into_iter().find(|line| line.contains(&id) && line.contains("\"WARN\""))
        })
        .await;
        assert!(line.contains(logged), "{path}: {line}");
        assert!(line.contains(r#""service":"hostile""#) && line.contains(r#""version":"0.1.0""#), "{line}");
        eventually("it is in the access log", async || {
            let lines = wharf.access_log();
            lines.into_iter().find(|line| line.contains(&id) && line.contains(&format!(r#""reason":"{reason}""#)))
        })
        .await;
        wharf.get("/hostile/").await.assert_status(200);
    }
}

#[tokio::test]
async fn the_same_holds_for_a_guest_of_wasi_http_0_3() {
    let wharf = Wharf::builder()
        .plugin("hostile3")
        .service("hostile3", &format!("limits: {{ cpuTime: 1s }}\n{PATIENT}\n{UNGUARDED}"))
        .start()
        .await;
    let cases = [
        ("/trap", 502, "guest_trap"),
        ("/panic", 502, "guest_panic"),
        ("/alloc", 502, "guest_out_of_memory"),
        ("/error-code", 502, "guest_invalid_response"),
        ("/recurse", 502, "guest_trap"),
        ("/exit", 502, "guest_trap"),
        ("/resources?n=100000", 502, "guest_trap"),
        ("/tasks?n=100000", 502, "guest_trap"),
        ("/headers?n=100000", 502, "guest_panic"),
        ("/status?code=101", 502, "guest_invalid_response"),
        // Burns its time in small pieces, between which it waits.
        ("/yield", 504, "guest_deadline"),
        ("/loop", 504, "guest_deadline"),
    ];
    for (path, status, reason) in cases {
        wharf.get(&format!("/hostile3{path}")).await.assert_problem(status, reason);
        wharf.get("/hostile3/").await.assert_status(200);
    }
}

#[tokio::test]
async fn an_endless_loop_ends_in_time_while_neighbours_answer() {
    let wharf = Wharf::builder()
        .plugin("hostile")
        .plugin("versioned")
        .service("hostile", &format!("limits: {{ cpuTime: 400ms }}\n{PATIENT}"))
        .start()
        .await;
    let mut best = f64::MAX;
    for _ in 0..3 {
        // What was used where loops end up, in steps of 10 ms: how long that takes is the machine's business.
        let before = wharf.cpu_seconds_of("wharf-compute");
        wharf.get("/hostile/loop").await.assert_problem(504, "guest_deadline");
        best = best.min(wharf.cpu_seconds_of("wharf-compute") - before);
    }
    assert!(best >= 0.35, "it had its time: {best} s");
    assert!(best <= 0.45, "and not more: {best} s");

    let started = Instant::now();
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let (client, url) = (wharf.client().clone(), wharf.url("/hostile/loop"));
            tokio::spawn(async move { client.get(&url).await })
        })
        .collect();
    let mut times = Vec::new();
    while !loops.iter().all(tokio::task::JoinHandle::is_finished) {
        let began = Instant::now();
        wharf.get("/versioned/").await.assert_status(200);
        times.push(began.elapsed());
    }
    let all = started.elapsed();
    for looping in loops {
        looping.await.unwrap().assert_problem(504, "guest_deadline");
    }
    times.sort_unstable();
    let (middle, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("a loop used {best} s; beside four the neighbour took {middle:?} in the middle, {worst:?} at worst");
    assert!(times.len() > 20, "the neighbour was asked {} times", times.len());
    // Compared with the loops, which have to share the same cores with whatever else the machine does.
    assert!(middle < all / 20, "the neighbour's median beside four loops of {all:?} is {middle:?}");
    assert!(worst < all / 2, "the neighbour's worst answer beside loops of {all:?} took {worst:?}");
}

#[tokio::test]
async fn a_loop_at_wasi_http_0_3_does_not_hold_up_its_neighbours() {
    let wharf = Wharf::builder()
        .plugin("hostile3")
        .plugin("versioned")
        .service("hostile3", &format!("limits: {{ cpuTime: 1s }}\n{PATIENT}"))
        .start()
        .await;
    let loops: Vec<_> = (0..3)
        .map(|_| {
            let (client, url) = (wharf.client().clone(), wharf.url("/hostile3/loop"));
            tokio::spawn(async move { client.get(&url).await })
        })
        .collect();
    for _ in 0..20 {
        let began = Instant::now();
        wharf.get("/versioned/").await.assert_status(200);
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    }
    for looping in loops {
        looping.await.unwrap().assert_problem(504, "guest_deadline");
    }
}

#[tokio::test]
async fn a_guest_that_waits_for_ever_ends_at_the_deadline_and_one_that_waits_uses_no_cpu_time() {
    let yaml = "{ timeouts: { request: 600ms }, limits: { cpuTime: 100ms } }";
    let wharf = Wharf::builder().plugin("hostile").service("hostile", yaml).start().await;
    wharf.get("/hostile/sleep?ms=300").await.assert_status(200);
    let began = Instant::now();
    wharf.get("/hostile/hang").await.assert_problem(504, "request_timeout");
    let took = began.elapsed();
    assert!((Duration::from_millis(600)..Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_looks_broken_to_the_client() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    // The head is out when it happens.
    let url = wharf.url("/hostile/trap-mid-stream?ms=100");
    let error = wharf.client().try_send("GET", &url, &[], "").await.map(|answer| answer.body.len()).unwrap_err();
    assert!(error.contains("broke off"), "{error}");
    let response = wharf.client().stream_http2("GET", &url).await;
    assert!(response.into_body().collect().await.is_err(), "an HTTP/2 stream is reset");
    wharf.logged("the guest trapped").await;
    wharf.get("/hostile/").await.assert_status(200);
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_at_its_limit_or_when_the_client_leaves() {
    let yaml = "{ limits: { responseBody: 1MiB }, bulkhead: { maxConcurrent: 1, maxPending: 0 } }";
    let wharf = Wharf::builder().plugin("hostile").service("hostile", yaml).start().await;
    let endless = wharf.url("/hostile/endless");
    assert!(wharf.client().try_send("GET", &endless, &[], "").await.is_err());
    wharf.logged("larger than limits.responseBody").await;
    eventually("its place is free again", async || (wharf.get("/hostile/").await.status == 200).then_some(())).await;

    let response = wharf.client().stream("GET", &wharf.url("/hostile/sse?count=1000&ms=20"), "").await;
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    wharf.get("/hostile/").await.assert_problem(503, "bulkhead_full");
    drop(body);
    eventually("its place is free again", async || (wharf.get("/hostile/").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_frees_the_place() {
    let yaml = "bulkhead: { maxConcurrent: 1, maxPending: 0 }";
    let wharf = Wharf::builder().plugin("hostile").service("hostile", yaml).start().await;
    let url = wharf.url("/hostile/hang");
    let left = tokio::time::timeout(Duration::from_millis(200), wharf.client().get(&url)).await;
    assert!(left.is_err());
    eventually("its place is free again", async || (wharf.get("/hostile/").await.status == 200).then_some(())).await;
    eventually("the log says so", async || {
        wharf.access_log().into_iter().find(|line| line.contains("/hang") && line.contains("client_gone"))
    })
    .await;
}

#[tokio::test]
async fn a_thousand_headers_pass_and_more_than_the_limit_do_not() {
    let wharf = Wharf::builder().plugin("hostile").service("hostile", "limits: { headers: 256KiB }").start().await;
    let answer = wharf.get("/hostile/headers?n=1000").await;
    answer.assert_status(200);
    assert_eq!(answer.header("x-h-999"), "v");
    wharf.configure("services/hostile.yaml", "limits: { headers: 16KiB }");
    eventually("the limit is in force", async || {
        (wharf.get("/hostile/headers?n=1000").await.status == 502).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_log_lines_is_bounded_and_escaped() {
    let yaml = format!("limits: {{ logRate: 8KiB, cpuTime: 20s }}\n{PATIENT}");
    let wharf = Wharf::builder().plugin("hostile").service("hostile", &yaml).start().await;
    let began = Instant::now();
    wharf.get("/hostile/logs?bytes=500000").await.assert_status(200);
    let dropped = wharf.logged("bytes dropped").await;
    assert!(dropped.contains("limits.logRate is 8192"), "{dropped}");
    let all = wharf.log();
    // Bounded by the store, which is one long line here, and by what the rate gave since; not by how long it took.
    let seconds = began.elapsed().as_secs_f64();
    let times = all.iter().filter(|line| line.contains("bytes dropped")).count();
    assert!(times as f64 <= 1.0 + seconds, "they are told of together: {times} times in {seconds} s");
    let lines: Vec<_> = all.into_iter().filter(|line| line.contains("flood")).collect();
    // A line costs its 45 characters as they are shown, and 64 for what stands around it.
    let most = (9000.0 + 8192.0 * seconds) / 109.0;
    assert!(!lines.is_empty() && lines.len() as f64 <= most, "{} lines in {seconds} s", lines.len());
    assert!(lines.iter().all(|line| !line.contains('\u{1b}') && line.contains("u{1b}")), "{}", lines[0]);
}

#[tokio::test]
async fn nothing_is_granted() {
    let wharf = Wharf::builder().plugin("hostile").variable("SECRET_OF_THE_HOST", "x").start().await;
    let answer = wharf.get("/hostile/env").await;
    answer.assert_status(200);
    let text = answer.text();
    assert!(text.contains("variables 0\narguments 0\n"), "{text}");
    assert!(!text.contains("GOT"), "{text}");
    assert_eq!(text.matches("refused").count(), 7, "{text}");
    assert!(text.contains("reached the network: false"), "{text}");
}

#[tokio::test]
async fn three_hundred_traps_leave_no_memory_behind() {
    let wharf = Wharf::builder().plugin("hostile").service("hostile", UNGUARDED).start().await;
    for _ in 0..50 {
        wharf.get("/hostile/trap").await.assert_status(502);
    }
    let before = wharf.memory();
    for _ in 0..300 {
        wharf.get("/hostile/trap").await.assert_status(502);
    }
    let grown = wharf.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
}

/// A component of one core module, whose `handle` gets a request and the place of its response.
fn written_by_hand(module: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
  (import "wasi:http/types@0.2.0" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  (core module $module {module})
  (core instance $instance (instantiate $module))
  (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
    (canon lift (core func $instance "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    );
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn a_table_that_grows_is_memory_too() {
    // Grows until it is refused, 800 kB at a time; then crashes. Without a refusal it returns.
    let wasm = written_by_hand(
        "(table $t 0 funcref)
         (func (export \"handle\") (param i32 i32) (local $rounds i32)
           (loop $grow
             (if (i32.eq (table.grow $t (ref.null func) (i32.const 100000)) (i32.const -1)) (then unreachable))
             (br_if $grow (i32.lt_u (local.tee $rounds (i32.add (local.get $rounds) (i32.const 1))) (i32.const 1000)))))",
    );
    let wharf = Wharf::builder().file("tables", &wasm).plugin("versioned").start().await;
    let before = wharf.memory();
    for _ in 0..3 {
        wharf.get("/tables/").await.assert_problem(502, "guest_out_of_memory");
        wharf.get("/versioned/").await.assert_status(200);
    }
    let grown = wharf.memory().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more");
}

#[tokio::test]
async fn a_component_that_misbehaves_when_it_starts_is_rejected_and_says_why() {
    let nothing = "(func (export \"handle\") (param i32 i32))";
    let start = |module: &str| written_by_hand(&format!("{module} {nothing}"));
    let wharf = Wharf::builder()
        .gateway("defaults: { limits: { cpuTime: 200ms } }")
        .file("traps", &start("(func $s unreachable) (start $s)"))
        .file("loops", &start("(func $s (loop $l (br $l))) (start $s)"))
        .file("greedy", &start("(memory 2000)"))
        .file("overflows", &start("(func $s (call $s)) (start $s)"))
        .plugin("versioned")
        .start()
        .await;
    for (service, why) in
        [("traps", "unreachable"), ("loops", "CPU time"), ("greedy", "memory"), ("overflows", "call stack exhausted")]
    {
        let reason = wharf.rejection(service).await;
        assert!(reason.contains(why), "{service}: {reason}");
        wharf.get(&format!("/{service}/")).await.assert_problem(503, "no_instance");
    }
    wharf.get("/versioned/").await.assert_status(200);
}

#[tokio::test]
async fn a_copy_of_a_failing_service_has_a_life_of_its_own() {
    let yaml = "{ slots: { reuse: {} }, bulkhead: { maxConcurrent: 1, maxPending: 0 } }";
    let wharf = Wharf::builder()
        .plugin_as("hostile", "one")
        .plugin_as("hostile", "two")
        .gateway(&format!("defaults: {yaml}"))
        .start()
        .await;
    for (round, path) in ["/trap", "/panic", "/alloc", "/recurse", "/exit", "/resources?n=100000"].iter().enumerate() {
        wharf.get(&format!("/one{path}")).await.assert_status(502);
        assert_eq!(wharf.get("/one/count").await.text(), "1", "{path} cost the slot");
        assert_eq!(wharf.get("/two/count").await.text(), (round + 1).to_string(), "{path} was noticed next door");
    }
    let response = wharf.client().stream("GET", &wharf.url("/one/sse?count=1000&ms=20"), "").await;
    wharf.get("/one/").await.assert_problem(503, "bulkhead_full");
    wharf.get("/two/").await.assert_status(200);
    drop(response);
}

#[tokio::test]
async fn at_wasi_http_0_3_too_a_body_that_breaks_off_looks_broken() {
    let wharf = Wharf::builder().plugin("hostile3").start().await;
    for path in ["/trap-mid-stream", "/unfinished", "/short-body"] {
        let url = wharf.url(&format!("/hostile3{path}"));
        // Either it was known in time, or the end is missing.
        if let Ok(answer) = wharf.client().try_send("GET", &url, &[], "").await {
            answer.assert_status(502);
        }
        let response = wharf.client().stream_http2("GET", &url).await;
        let status = response.status();
        assert!(status == 502 || response.into_body().collect().await.is_err(), "{path}: {status}");
        wharf.get("/hostile3/").await.assert_status(200);
    }
}

#[tokio::test]
async fn work_that_a_0_3_guest_leaves_behind_ends_at_the_deadline_at_the_latest() {
    let yaml = "{ timeouts: { request: 500ms }, bulkhead: { maxConcurrent: 1, maxPending: 0 } }";
    let wharf = Wharf::builder().plugin("hostile3").service("hostile3", yaml).start().await;
    let free = async || (wharf.get("/hostile3/").await.status == 200).then_some(());
    // A thousand timers go on when the answer is complete.
    wharf.get("/hostile3/tasks?n=1000").await.assert_status(200);
    eventually("its place is free again", free).await;
    // The body is complete, what comes after it never is.
    let url = wharf.url("/hostile3/late-trailers");
    assert!(wharf.client().try_send("GET", &url, &[], "").await.is_err());
    eventually("its place is free again", free).await;
}

#[tokio::test]
async fn a_client_that_never_reads_holds_its_place_no_longer_than_the_timeout() {
    // A place to wait, so that the first request is served and the look at it refused.
    let yaml = "{ timeouts: { request: 1s }, bulkhead: { maxConcurrent: 1, maxPending: 1, maxWait: 200ms } }";
    let wharf = Wharf::builder().plugin("hostile").service("hostile", yaml).start().await;
    for path in ["/hostile/endless", "/hostile/big?bytes=50000000"] {
        let mut idle = tokio::net::TcpStream::connect(wharf.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n");
        idle.write_all(request.as_bytes()).await.unwrap();
        eventually("it is being served", async || (wharf.get("/hostile/").await.status == 503).then_some(())).await;
        eventually("its place is free again", async || (wharf.get("/hostile/").await.status == 200).then_some(()))
            .await;
    }
}

#[tokio::test]
async fn a_client_that_opens_no_window_over_http2_holds_no_place_either() {
    let yaml = "{ timeouts: { request: 1s }, bulkhead: { maxConcurrent: 1, maxPending: 1, maxWait: 200ms } }";
    let wharf = Wharf::builder().plugin("hostile").plugin("hostile3").gateway(&format!("defaults: {yaml}"));
    let wharf = wharf.start().await;
    let socket = tokio::net::TcpStream::connect(wharf.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(TokioIo::new(socket))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut kept = Vec::new();
    for guest in ["hostile", "hostile3"] {
        for path in ["/", "/big?bytes=100000", "/big?bytes=300000", "/endless"] {
            let url = wharf.url(&format!("/{guest}{path}"));
            let request = http::Request::get(url).body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200, "{guest}{path}");
            kept.push(response);
            eventually(&format!("the place of {guest}{path} is free again"), async || {
                (wharf.get(&format!("/{guest}/")).await.status == 200).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_a_failed_request_left_running_does_not_run_on_in_the_next_one() {
    let wharf = Wharf::builder().plugin("hostile3").start().await;
    wharf.get("/hostile3/error-code?after=200").await.assert_problem(502, "guest_invalid_response");
    // Longer than the work that was left, and in the same slot if that was kept.
    wharf.get("/hostile3/sleep?ms=600").await.assert_status(200);
    assert!(!wharf.log().iter().any(|line| line.contains("work after an error")));
    // An error that leaves nothing behind does not cost the slot.
    let before: u32 = wharf.get("/hostile3/count").await.text().parse().unwrap();
    wharf.get("/hostile3/error-code").await.assert_status(502);
    let after: u32 = wharf.get("/hostile3/count").await.text().parse().unwrap();
    assert!(after > before, "{after} after {before}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_cut_at_the_deadline_never_looks_whole() {
    // Busy guests are dropped on another thread than the one that sends what they wrote.
    let yaml = "defaults: { timeouts: { request: 200ms }, limits: { cpuTime: 30s } }";
    let wharf = Wharf::builder().plugin("hostile").plugin("hostile3").gateway(yaml).start().await;
    let urls = [wharf.url("/hostile/endless"), wharf.url("/hostile3/endless")];
    let ends_well = async |url: &str| {
        let response = wharf.client().stream("GET", url, "").await;
        // On a busy machine the deadline may come before the head.
        let answered = response.status() == 200;
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return false;
            }
        }
        answered
    };
    for round in 0..6 {
        let whole = futures_util::future::join_all((0..40).map(|n| ends_well(&urls[n % 2]))).await;
        assert!(!whole.contains(&true), "cut responses look whole in round {round}: {whole:?}");
    }
}
