//! What only a guest of WASI 0.3 can do: leave work behind, and share its slot with what comes next.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::BodyExt;
use wharf_tests::{Wharf, eventually};

async fn hostile3(yaml: &str) -> Wharf {
    Wharf::builder().plugin("hostile3").service("hostile3", yaml).start().await
}

#[tokio::test]
async fn the_end_of_an_event_stream_is_nearly_the_end_of_its_guest() {
    let wharf = hostile3("{ timeouts: { request: 1s }, bulkhead: { maxConcurrent: 2, maxPending: 0 } }").await;
    for _ in 0..2 {
        wharf.get("/hostile3/work-after?ms=3600000&type=text/event-stream").await.assert_status(200);
    }
    wharf.get("/hostile3/").await.assert_problem(503, "bulkhead_full");
    eventually("the guests are gone", async || (wharf.get("/hostile3/").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn what_a_failed_request_began_does_not_go_on_in_the_next() {
    let wharf = hostile3("{}").await;
    for path in ["/hostile3/count", "/hostile3/count"] {
        wharf.get(path).await.assert_status(200);
    }
    wharf.get("/hostile3/error-code?after=100").await.assert_problem(502, "guest_invalid_response");
    wharf.get("/hostile3/sleep?ms=500").await.assert_status(200);
    assert_eq!(wharf.get("/hostile3/count").await.text(), "1", "the slot with the work in it is not used again");
    assert!(!wharf.log().iter().any(|line| line.contains("work after an error")), "{:#?}", wharf.log());
}

#[tokio::test]
async fn requests_that_wait_for_a_slot_get_those_that_come_free() {
    let wharf = Wharf::builder().plugin("hostile3").gateway("engine: { maxSlots: 2 }").start().await;
    for _ in 0..5 {
        let answers = join_all((0..10).map(|_| wharf.get("/hostile3/sleep?ms=50"))).await;
        let refused = answers.iter().filter(|answer| answer.status != 200).count();
        assert_eq!(refused, 0, "ten requests of 50 ms through two slots take a quarter of a second");
    }
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_cost_the_connection() {
    let wharf = hostile3("{}").await;
    let body = "x".repeat(1_000_000);
    for path in ["/hostile3/count", "/hostile3/error-code", "/nowhere"] {
        let unread = format!("POST {path} HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let last = "GET /hostile3/ HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";
        let answers = wharf.raw(&[&unread, &unread, last].concat()).await;
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 3, "{path}: {answers}");
        assert!(answers.ends_with("ok") || answers.contains("\r\nok\r\n"), "{path}: {answers}");
    }
}

#[tokio::test]
async fn as_many_tasks_as_resources_and_not_one_more() {
    let wharf = hostile3("{}").await;
    wharf.get("/hostile3/tasks?n=1000").await.assert_status(200);
    wharf.get("/hostile3/tasks?n=100000").await.assert_problem(502, "guest_trap");
    wharf.get("/hostile3/").await.assert_status(200);
}

#[tokio::test]
async fn trailers_that_never_come_are_cut_at_the_deadline() {
    let wharf = hostile3("timeouts: { request: 1s }").await;
    let began = Instant::now();
    let response = wharf.client().stream("GET", &wharf.url("/hostile3/late-trailers"), "").await;
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "the whole body");
    assert!(body.frame().await.unwrap().is_err(), "a body without its end does not look complete");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
