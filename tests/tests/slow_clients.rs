//! Clients that dawdle, hold on, or flood, against the real gateway: each is ended in time, and nobody else notices.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wharf_tests::{Wharf, eventually};

const CLOCKS: &str = "connections: { firstByteTimeout: 1s, headTimeout: 1s, idleTimeout: 1s, bodyTimeout: 1s, \
                      writeTimeout: 1s, http2: { keepAliveInterval: 1s, keepAliveTimeout: 1s } }";
/// The bound, and time for a busy machine.
const ENDED: Duration = Duration::from_secs(6);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn connect(wharf: &Wharf) -> TcpStream {
    TcpStream::connect(wharf.address()).await.unwrap()
}

/// How long until the gateway ends the connection. What it sends is read and forgotten.
async fn ended(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    let mut part = [0; 4096];
    let reading = async { while !matches!(stream.read(&mut part).await, Ok(0) | Err(_)) {} };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the connection is never ended");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_dawdle_ends_in_time_and_others_are_served_meanwhile() {
    let wharf = Wharf::builder().plugin("hostile").gateway(CLOCKS).start().await;
    let head = "POST /hostile/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc";
    let first_words: [(&str, Vec<u8>); 7] = [
        ("nothing", vec![]),
        ("one letter", b"P".to_vec()),
        ("half a head", b"GET / HTTP/1.1\r\nhost: a\r\n".to_vec()),
        ("half a preface", PREFACE[..10].to_vec()),
        ("a preface and nothing more", PREFACE.to_vec()),
        ("HTTP/2 without a request", [PREFACE, SETTINGS].concat()),
        ("a body that stops", head.as_bytes().to_vec()),
    ];
    let mut all = Vec::new();
    for (what, bytes) in first_words {
        let mut stream = connect(&wharf).await;
        stream.write_all(&bytes).await.unwrap();
        all.push((what, tokio::spawn(ended(stream))));
    }
    // A head that drips never stops, and is late all the same.
    let mut dripping = connect(&wharf).await;
    all.push((
        "a dripping head",
        tokio::spawn(async move {
            let began = Instant::now();
            dripping.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
            while dripping.write_all(b"x: y\r\n").await.is_ok() && began.elapsed() < Duration::from_secs(15) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            began.elapsed()
        }),
    ));
    // One that is served and then silent.
    let mut idle = connect(&wharf).await;
    idle.write_all(b"GET /hostile/ HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    all.push(("an idle connection", tokio::spawn(ended(idle))));
    for _ in 0..50 {
        let began = Instant::now();
        wharf.get("/hostile/").await.assert_status(200);
        assert!(began.elapsed() < Duration::from_secs(2), "a neighbour waited {:?}", began.elapsed());
    }
    for (what, task) in all {
        let took = task.await.unwrap();
        assert!(took < ENDED, "{what}: ended after {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_ended_and_a_quiet_stream_is_not() {
    let wharf = Wharf::builder().plugin("hostile").gateway(CLOCKS).start().await;
    let mut greedy = connect(&wharf).await;
    greedy.write_all(b"GET /hostile/endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Its log line comes when the gateway has given up, although the client still holds the socket.
    let gone = async || wharf.access_log().into_iter().find(|line| line.contains("/hostile/endless"));
    let line = eventually("the greedy client is ended", gone).await;
    assert!(line.contains("client_gone"), "{line}");
    // Three seconds between events, three times as long as anybody may dawdle.
    let answer = wharf.get("/hostile/sse?count=2&ms=3000").await;
    answer.assert_status(200);
    assert_eq!(answer.text().matches("data:").count(), 2, "{}", answer.text());
}

#[tokio::test]
async fn connections_are_counted_for_each_client() {
    let wharf = Wharf::builder()
        .plugin("hostile")
        .gateway("connections: { maxPerListener: 4, maxPerClient: 2, firstByteTimeout: 10s }")
        .start()
        .await;
    let held = [connect(&wharf).await, connect(&wharf).await];
    let third = connect(&wharf).await;
    assert!(ended(third).await < Duration::from_secs(5), "the third is not let in");
    drop(held);
    eventually("there is room again", async || {
        let mut stream = connect(&wharf).await;
        stream.write_all(b"GET /hostile/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.ok()?;
        text.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_has_so_many_requests() {
    let wharf = Wharf::builder().plugin("hostile").gateway("connections: { maxRequests: 3 }").start().await;
    let mut stream = connect(&wharf).await;
    for _ in 0..4 {
        stream.write_all(b"GET /hostile/ HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    }
    let mut text = String::new();
    tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut text)).await.unwrap().unwrap_or_default();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3, "{text}");
    assert_eq!(text.to_lowercase().matches("connection: close").count(), 1, "{text}");
}

fn post(header: &str, body: &str) -> String {
    format!("POST /hostile/read?ms=0 HTTP/1.1\r\nhost: a.test\r\n{header}\r\n\r\n{body}")
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_control_frames_end_the_connection() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let ping = frame(6, 0, 0, &[0; 8]);
    let reset = frame(3, 0, 1, &[0, 0, 0, 8]);
    let window = frame(8, 0, 0, &[0, 0, 0, 1]);
    for (what, flood) in
        [("PING", ping), ("SETTINGS", SETTINGS.to_vec()), ("RST_STREAM", reset), ("WINDOW_UPDATE", window)]
    {
        let mut stream = connect(&wharf).await;
        stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
        let (mut reader, mut writer) = stream.into_split();
        let reading = tokio::spawn(async move {
            let mut part = [0; 16384];
            while !matches!(reader.read(&mut part).await, Ok(0) | Err(_)) {}
        });
        let many = flood.repeat(100);
        let flooding = async { while !reading.is_finished() && writer.write_all(&many).await.is_ok() {} };
        let ended = tokio::time::timeout(Duration::from_secs(20), flooding).await;
        assert!(ended.is_ok(), "{what} frames are taken without end");
    }
    wharf.get("/hostile/").await.assert_status(200);
}

#[tokio::test]
async fn a_body_that_stops_is_408_and_one_that_breaks_is_400() {
    let wharf = Wharf::builder()
        .plugin("hostile")
        .gateway("connections: { bodyTimeout: 500ms }")
        .service("hostile", "timeouts: { request: 20s }")
        .start()
        .await;
    for (what, request, expected) in [
        ("announced and not sent", post("content-length: 10", "abc"), 408),
        ("a chunk that stops", post("transfer-encoding: chunked", "5\r\nab"), 408),
        ("a chunk that is none", post("transfer-encoding: chunked", "5\r\nabcdefgh\r\n"), 400),
    ] {
        let mut stream = TcpStream::connect(wharf.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{what}: {answer}");
    }
}
