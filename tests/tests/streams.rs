//! Bodies that flow: at once, both ways, in bounded memory, to their trailers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use wharf_tests::{Wharf, eventually};

/// What a stream may add to the process, whatever its length.
const ROOM: u64 = 64 << 20;

async fn count(mut body: Incoming) -> u64 {
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        total += frame.unwrap().data_ref().map_or(0, |data| data.len() as u64);
    }
    total
}

#[tokio::test]
async fn the_first_event_is_there_before_the_second_is_made() {
    for guest in ["hostile", "hostile3"] {
        let wharf = Wharf::builder().plugin(guest).start().await;
        let began = Instant::now();
        let response = wharf.client().stream("GET", &wharf.url(&format!("/{guest}/sse?count=3&ms=1000")), "").await;
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first.starts_with(b"data: 0"), "{first:?}");
        assert!(began.elapsed() < Duration::from_millis(900), "{guest}: {:?}", began.elapsed());
        let rest = body.collect().await.unwrap().to_bytes();
        assert!(rest.ends_with(b"data: 2\n\n"), "{guest}: {rest:?}");
        assert!(began.elapsed() > Duration::from_secs(2), "{guest} really waited");
    }
}

#[tokio::test]
async fn a_gibibyte_leaves_a_guest_in_bounded_memory() {
    let wharf = Wharf::builder()
        .plugin("hostile")
        .plugin("hostile3")
        .gateway("defaults: { timeouts: { request: 60s }, limits: { cpuTime: 60s } }")
        .start()
        .await;
    for guest in ["hostile", "hostile3"] {
        wharf.get(&format!("/{guest}/stream?bytes=1000000")).await.assert_status(200);
        let before = wharf.memory();
        let url = wharf.url(&format!("/{guest}/stream?bytes={}", 1_u64 << 30));
        let response = wharf.client().stream("GET", &url, "").await;
        assert_eq!(count(response.into_body()).await, 1 << 30, "{guest}");
        let grown = wharf.memory().saturating_sub(before);
        assert!(grown < ROOM, "{guest} took {grown} bytes more");
    }
}

#[tokio::test]
async fn a_reader_that_stops_makes_the_guest_wait() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    wharf.get("/hostile/stream?bytes=1000000").await.assert_status(200);
    let before = wharf.memory();
    let mut body = wharf.client().stream("GET", &wharf.url("/hostile/endless"), "").await.into_body();
    body.frame().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = wharf.memory().saturating_sub(before);
    assert!(grown < ROOM / 2, "{grown} bytes wait for nobody");
    body.frame().await.unwrap().unwrap();
}

#[tokio::test]
async fn an_upload_flows_through_a_guest_and_back() {
    const SIZE: usize = 96 << 20;
    let yaml = "defaults: { timeouts: { request: 60s }, limits: { cpuTime: 60s, requestBody: 200MiB } }";
    let wharf = Wharf::builder().plugin("hostile").plugin("hostile3").plugin("echo").gateway(yaml).start().await;
    let body = Bytes::from(vec![b'x'; SIZE]);
    for path in ["/hostile/echo", "/hostile3/echo", "/echo/"] {
        let before = wharf.memory();
        let response = wharf.client().stream("POST", &wharf.url(path), body.clone()).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(count(response.into_body()).await, SIZE as u64, "{path}");
        let grown = wharf.memory().saturating_sub(before);
        assert!(grown < ROOM, "{path} took {grown} bytes more");
    }
}

#[tokio::test]
async fn trailers_reach_the_client() {
    let wharf = Wharf::builder().plugin("hostile").plugin("hostile3").start().await;
    for guest in ["hostile", "hostile3"] {
        let url = wharf.url(&format!("/{guest}/trailers"));
        let answers = [
            wharf.client().send("GET", &url, &[("te", "trailers")], "").await,
            wharf.client().send_http2("GET", &url, &[], "").await,
        ];
        for answer in answers {
            answer.assert_status(200);
            let trailers = answer.trailers.expect("there are trailers");
            assert_eq!(trailers["x-checksum"], "abc123", "{guest}");
        }
    }
}

#[tokio::test]
async fn many_streams_share_one_http2_connection() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let began = Instant::now();
    let url = wharf.url("/hostile/sleep?ms=300");
    let all = (0..50).map(|_| wharf.client().send_http2("GET", &url, &[], ""));
    for answer in futures_util::future::join_all(all).await {
        answer.assert_status(200);
    }
    assert!(began.elapsed() < Duration::from_secs(4), "they ran side by side: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_head_request_has_headers_and_no_body() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let answer = wharf.client().send("HEAD", &wharf.url("/hostile/big?bytes=5000"), &[], "").await;
    answer.assert_status(200);
    assert!(answer.body.is_empty());
    eventually("it is logged as complete", async || {
        wharf.access_log().into_iter().find(|line| line.contains("HEAD") && line.contains(r#""reason":null"#))
    })
    .await;
}

#[tokio::test]
async fn over_http2_too_a_response_that_may_not_have_a_body_has_none() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let answer = wharf.client().send_http2("HEAD", &wharf.url("/hostile/big?bytes=5000"), &[], "").await;
    answer.assert_status(200);
    assert_eq!((answer.header("content-length"), answer.body.len()), ("5000", 0));
    let answer = wharf.client().send_http2("GET", &wharf.url("/hostile/status?code=204"), &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
}

#[tokio::test]
async fn a_stream_that_ends_with_trailers_is_logged_as_complete() {
    let wharf = Wharf::builder().plugin("hostile3").start().await;
    let url = wharf.url("/hostile3/trailers");
    let answer = wharf.client().send("GET", &url, &[("te", "trailers")], "").await;
    answer.assert_status(200);
    eventually("it is logged as complete", async || {
        wharf.access_log().into_iter().find(|line| line.contains("trailers") && line.contains(r#""reason":null"#))
    })
    .await;
}

#[tokio::test]
async fn work_after_the_response_is_finished_and_not_waited_for() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let began = Instant::now();
    wharf.get("/hostile/work-after").await.assert_status(200);
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    wharf.logged("work after done").await;
}
