//! Stopping by signals: nothing that was begun is lost, and it always ends, with exit code 0.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use rustix::process::Signal;
use wharf_tests::{Connection, Load, Wharf, eventually, within};

#[tokio::test]
async fn a_stop_first_says_not_ready_then_refuses_connections_and_lets_requests_finish() {
    let mut wharf = Wharf::builder().plugin("hostile").gateway("drain: { preStopDelay: 1s }").start().await;
    let (client, url) = (wharf.client().clone(), wharf.url("/hostile/sleep?ms=3000"));
    let slow = tokio::spawn(async move { client.get(&url).await });
    let stream = wharf.client().stream("GET", &wharf.url("/hostile/sse?count=30&ms=100"), "").await;

    wharf.signal(Signal::TERM);
    let signalled = Instant::now();
    eventually("it is not ready", async || (wharf.admin_get("/readyz").await.status == 503).then_some(())).await;
    assert!(signalled.elapsed() < Duration::from_millis(800), "readyz followed after {:?}", signalled.elapsed());
    assert_eq!(wharf.admin_get("/livez").await.status, 200);
    let mut late = Connection::open(wharf.address()).await.expect("before preStopDelay is over it accepts");
    let answer = late.get("/hostile/").await.unwrap();
    answer.assert_status(200);

    eventually("it refuses connections", async || Connection::open(wharf.address()).await.is_err().then_some(())).await;
    assert!(signalled.elapsed() >= Duration::from_secs(1), "preStopDelay is kept: {:?}", signalled.elapsed());
    assert!(!slow.is_finished(), "the machine is too slow for this test");
    slow.await.unwrap().assert_status(200);
    let events = stream.into_body().collect().await.expect("the stream is whole").to_bytes();
    assert!(events.ends_with(b"data: 29\n\n"), "{events:?}");
    assert_eq!(wharf.ended().await.code(), Some(0));
    assert!(wharf.log().iter().any(|line| line.contains("stopped") && line.contains("\"cut\":0")));
}

#[tokio::test]
async fn what_does_not_finish_in_drain_timeout_is_cut_and_the_exit_code_is_still_0() {
    let mut wharf = Wharf::builder().plugin("hostile").gateway("drain: { timeout: 500ms }").start().await;
    let mut stream = wharf.client().stream("GET", &wharf.url("/hostile/sse?count=600&ms=100"), "").await.into_body();
    assert!(stream.frame().await.unwrap().is_ok());
    wharf.signal(Signal::TERM);
    let signalled = Instant::now();
    assert_eq!(wharf.ended().await.code(), Some(0));
    let took = signalled.elapsed();
    assert!(took >= Duration::from_millis(500), "not before the timeout: {took:?}");
    assert!(took < Duration::from_secs(4), "soon after the timeout: {took:?}");
    assert!(stream.collect().await.is_err(), "a stream that was cut does not look whole");
    wharf.logged("\"cut\":1").await;
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::INT), (Signal::INT, Signal::TERM)] {
        let mut wharf = Wharf::builder().plugin("hostile").start().await;
        let stream = wharf.client().stream("GET", &wharf.url("/hostile/sse?count=600&ms=100"), "").await;
        wharf.signal(first);
        eventually("it drains", async || (wharf.admin_get("/readyz").await.status == 503).then_some(())).await;
        // Reading the configuration again is no reason to hurry.
        wharf.signal(Signal::HUP);
        wharf.admin_get("/livez").await.assert_status(200);
        let asked = Instant::now();
        wharf.signal(second);
        assert_eq!(wharf.ended().await.code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(1), "it took {:?}", asked.elapsed());
        assert!(stream.into_body().collect().await.is_err(), "the stream was cut");
    }
}

#[tokio::test]
async fn a_host_without_work_stops_soon() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut wharf = Wharf::builder().plugin("hostile").start().await;
        // The client keeps this connection open.
        wharf.get("/hostile/").await.assert_status(200);
        let asked = Instant::now();
        wharf.signal(signal);
        assert_eq!(wharf.ended().await.code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_hangup_reads_the_configuration_again_without_waiting_for_notifications() {
    let builder = Wharf::builder().plugin("hostile");
    // Nothing can be watched that is not there; what is left is a look every few seconds.
    let config = builder.dir().join("gateway-config");
    std::fs::remove_dir_all(&config).unwrap();
    let wharf = builder.start().await;
    std::fs::create_dir_all(&config).unwrap();
    for path in ["/first", "/second", "/third"] {
        let route = format!(
            "routes: [{{ name: r, rules: [{{ matches: [{{ path: {{ prefix: {path} }} }}], \
             filters: [{{ rewrite: {{ prefix: / }} }}], backendRefs: [{{ service: hostile }}] }}] }}]"
        );
        wharf.configure("gateway.yaml", &route);
        wharf.signal(Signal::HUP);
        within(Duration::from_secs(1), "the signal is obeyed", async || {
            (wharf.get(path).await.status == 200).then_some(())
        })
        .await;
    }
    assert_eq!(wharf.get("/first").await.status, 404, "and what was removed is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_fails_no_request() {
    for drain in ["{}", "{ preStopDelay: 300ms }"] {
        let mut wharf = Wharf::builder().plugin("hostile").gateway(&format!("drain: {drain}")).start().await;
        let load = Load::until_nobody_accepts(wharf.address(), "/hostile/", 8);
        wharf.logged("ready").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        load.expect_stop();
        wharf.signal(Signal::TERM);
        load.all_answered().await;
        assert_eq!(wharf.ended().await.code(), Some(0));
        assert!(wharf.log().iter().any(|line| line.contains("\"cut\":0")));
    }
}
