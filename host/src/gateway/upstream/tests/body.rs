//! Bodies that are large, slow, or break off.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const PIECE: usize = 64 << 10;
const MIB: usize = 1 << 20;

/// So many bytes, and how many pieces of them were taken.
fn supply(bytes: usize) -> (TestBody, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let pieces = (0..bytes / PIECE).map(move |number| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Frame::data(Bytes::from(vec![number as u8; PIECE])))
    });
    (StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync(), taken)
}

/// Waits until nothing is taken any more.
async fn settled(taken: &AtomicUsize) -> usize {
    soon(async {
        let mut before = usize::MAX;
        loop {
            let now = taken.load(Ordering::Relaxed);
            if now == before && now > 0 {
                return now;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await
}

async fn echoes(upstream: &Arc<Upstream>) {
    let (body, _) = supply(10 * MIB);
    let response = send(upstream, post(body)).await.unwrap().unwrap();
    let mut body = response.into_body();
    let mut at = 0;
    while let Some(frame) = soon(body.frame()).await {
        for byte in frame.unwrap().into_data().unwrap() {
            assert_eq!(byte, (at / PIECE) as u8);
            at += 1;
        }
    }
    assert_eq!(at, 10 * MIB);
}

#[tokio::test]
async fn ten_mebibytes_pass_in_both_directions_at_once() {
    let server = Server::start().await;
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let upstream = server.below("", protocol);
        let serving = async {
            let peer = server.accept().await;
            if protocol == Protocol::H2c {
                super::http2::serve(peer.stream, super::http2::echo).await;
            } else {
                super::http2::serve_http1(peer.stream).await;
            }
        };
        tokio::select! {
            () = serving => panic!("it ended first"),
            () = echoes(&upstream) => {}
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_read_is_not_written_to() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let (body, taken) = supply(256 * MIB);
    let _answer = send(&upstream, post(body));
    let _peer = server.accept().await;
    // What the kernel takes on loopback is a few of them.
    assert!(settled(&taken).await * PIECE < 64 * MIB);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_written_for() {
    let server = Server::start().await;
    for protocol in [Protocol::Http1, Protocol::H2c] {
        let upstream = server.below("", protocol);
        let answer = send(&upstream, get("/"));
        let peer = server.accept().await;
        let (body, taken) = supply(256 * MIB);
        let serving = tokio::spawn(super::http2::serve_body(peer.stream, protocol, body));
        let response = answer.await.unwrap().unwrap();
        let most = if protocol == Protocol::H2c { 2 * MIB } else { 64 * MIB };
        assert!(settled(&taken).await * PIECE < most, "{protocol:?}");
        drop(response);
        serving.abort();
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_one() {
    let server = Server::start().await;
    let upstream = server.upstream();
    for head in ["content-length: 10", "transfer-encoding: chunked"] {
        let answer = send(&upstream, get("/"));
        let mut peer = server.accept().await;
        peer.head().await;
        peer.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nab")).await;
        let mut body = answer.await.unwrap().unwrap().into_body();
        assert!(soon(body.frame()).await.unwrap().is_ok());
        drop(peer);
        let error = text(body).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Broken(_)), "{head}: {error:?}");
    }
}

#[tokio::test]
async fn a_response_has_to_end_by_the_deadline_unless_it_is_a_stream_of_events() {
    let server = Server::start().await;
    let upstream = server.upstream();
    for (kind, is_cut) in [("text/html", true), ("text/event", true), ("Text/Event-Stream; charset=utf-8", false)] {
        let limits = Limits { deadline: Some(Instant::now() + Duration::from_millis(300)), ..limits() };
        let answer = send_within(&upstream, get("/"), limits);
        let mut peer = server.accept().await;
        peer.head().await;
        peer.send(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: 4\r\n\r\nab")).await;
        let mut body = answer.await.unwrap().unwrap().into_body();
        assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "ab");
        if is_cut {
            assert_eq!(text(body).await.unwrap_err(), UpstreamError::Timeout, "{kind}");
            peer.closed().await;
        } else {
            tokio::time::sleep_until(limits.deadline.unwrap()).await;
            peer.send("cd").await;
            assert_eq!(text(body).await.unwrap(), "cd", "{kind}");
        }
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_broken() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let answer = send_within(&upstream, get("/"), Limits { stream_idle: Duration::from_millis(100), ..limits() });
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab").await;
    let error = text(answer.await.unwrap().unwrap().into_body()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
    peer.closed().await;
}

#[tokio::test]
async fn a_request_that_still_comes_keeps_a_quiet_response() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let (mut sender, body) = http_body_util::Channel::<Bytes, CallError>::new(1);
    let limits = Limits { stream_idle: Duration::from_millis(400), ..limits() };
    let answer = send_within(&upstream, post(body.boxed_unsync()), limits);
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
    let reading = tokio::spawn(text(answer.await.unwrap().unwrap().into_body()));
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sender.send_data(Bytes::from_static(b"a")).await.unwrap();
    }
    assert!(!reading.is_finished());
    drop(sender);
    peer.until("0\r\n\r\n").await;
    peer.send("ok").await;
    assert_eq!(reading.await.unwrap().unwrap(), "ok");
}

#[tokio::test]
async fn what_is_held_is_held_to_the_end_of_the_body() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let held = Arc::new(());
    let answer = send(&upstream, get("/"));
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
    let body = answer.await.unwrap().unwrap().into_body().holding(Arc::clone(&held));
    assert_eq!(Arc::strong_count(&held), 2);
    peer.send("ok").await;
    let mut body = body;
    soon(body.frame()).await.unwrap().unwrap();
    assert_eq!(Arc::strong_count(&held), 1, "with the last byte, not with the body");
    assert!(body.is_end_stream());
}
