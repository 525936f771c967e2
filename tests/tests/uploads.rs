//! Bodies on their way in: both directions at once, as fast as the service reads and no faster.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wharf_tests::{Wharf, eventually};

/// What waits between a client that sends and a service that does not read: buffers of the kernel on both sides, and
/// ours.
const ROOM: u64 = 32 << 20;

/// A connection on which a request was begun.
struct Upload(TcpStream);

impl Upload {
    async fn begin(wharf: &Wharf, path: &str, headers: &str) -> Self {
        let mut socket = TcpStream::connect(wharf.address()).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        Self(socket)
    }

    async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads until this has come; everything up to there.
    async fn receive(&mut self, text: &str) -> String {
        let mut all = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&all).contains(text) {
                assert!(self.0.read_buf(&mut all).await.unwrap() > 0, "it ended: {}", String::from_utf8_lossy(&all));
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(10), reading).await;
        let all = String::from_utf8_lossy(&all).into_owned();
        assert!(within.is_ok(), "`{text}` does not come, only: {all}");
        all
    }

    /// Sends chunks until nobody takes them for half a second; how many bytes were taken.
    async fn fill(&mut self, limit: u64) -> u64 {
        let part = vec![b'x'; 64 << 10];
        let size = format!("{:x}\r\n", part.len());
        let chunk = [size.as_bytes(), &part, b"\r\n"].concat();
        let mut taken = 0;
        while taken < limit {
            let mut rest = chunk.as_slice();
            while !rest.is_empty() {
                match tokio::time::timeout(Duration::from_millis(500), self.0.write(rest)).await {
                    Ok(written) => rest = &rest[written.unwrap()..],
                    Err(_elapsed) => return taken,
                }
            }
            taken += part.len() as u64;
        }
        taken
    }
}

#[tokio::test]
async fn a_service_answers_while_the_request_is_still_coming() {
    let wharf = Wharf::builder().plugin("hostile").plugin("hostile3").plugin("echo").start().await;
    for path in ["/hostile/echo", "/hostile3/echo", "/echo/"] {
        let mut upload = Upload::begin(&wharf, path, "transfer-encoding: chunked\r\n").await;
        for part in ["first", "second", "third"] {
            upload.send(&format!("{:x}\r\n{part}\r\n", part.len())).await;
            let came = upload.receive(part).await;
            assert_eq!(came.contains("HTTP/1.1 200"), part == "first", "{path}: {came}");
        }
        upload.send("0\r\n\r\n").await;
        upload.receive("0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_service_that_does_not_read_makes_the_client_wait() {
    let yaml = "limits: { requestBody: 1GiB }";
    let wharf = Wharf::builder().plugin("hostile").plugin("hostile3").gateway(&format!("defaults: {{ {yaml} }}"));
    let wharf = wharf.start().await;
    for guest in ["hostile", "hostile3"] {
        for path in ["/hang", "/read?ms=2000"] {
            let before = wharf.memory();
            let path = format!("/{guest}{path}");
            let mut upload = Upload::begin(&wharf, &path, "transfer-encoding: chunked\r\n").await;
            let taken = upload.fill(4 * ROOM).await;
            assert!(taken < ROOM, "{path}: {taken} bytes were taken from the client");
            let grown = wharf.memory().saturating_sub(before);
            assert!(grown < ROOM, "{path}: {grown} bytes more");
        }
    }
}

#[tokio::test]
async fn a_client_that_only_sends_makes_the_service_wait() {
    let yaml = "limits: { requestBody: 1GiB }, bulkhead: { maxConcurrent: 1, maxPending: 0 }";
    let wharf = Wharf::builder().plugin("hostile").plugin("hostile3").gateway(&format!("defaults: {{ {yaml} }}"));
    let wharf = wharf.start().await;
    for guest in ["hostile", "hostile3"] {
        let before = wharf.memory();
        // It never reads what comes back.
        let mut upload = Upload::begin(&wharf, &format!("/{guest}/echo"), "transfer-encoding: chunked\r\n").await;
        let taken = upload.fill(4 * ROOM).await;
        assert!(taken < 2 * ROOM, "{guest}: {taken} bytes were taken from the client");
        let grown = wharf.memory().saturating_sub(before);
        assert!(grown < ROOM, "{guest}: {grown} bytes more");
        // When it leaves in the middle, its place is free again.
        wharf.get(&format!("/{guest}/")).await.assert_problem(503, "bulkhead_full");
        drop(upload);
        eventually("its place is free again", async || {
            (wharf.get(&format!("/{guest}/")).await.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_body_that_stops_in_the_middle_ends_the_guest() {
    // A place to wait, so that it is the upload that is served and the look at it that is refused.
    let yaml = "bulkhead: { maxConcurrent: 1, maxPending: 1, maxWait: 200ms }";
    let wharf = Wharf::builder().plugin("hostile").plugin("hostile3").gateway(&format!("defaults: {{ {yaml} }}"));
    let wharf = wharf.start().await;
    for guest in ["hostile", "hostile3"] {
        for headers in ["content-length: 100\r\n", "transfer-encoding: chunked\r\n"] {
            let path = format!("/{guest}/read?ms=0");
            let mut upload = Upload::begin(&wharf, &path, headers).await;
            upload.send("a\r\n0123456789\r\n").await;
            eventually("it is being served", async || {
                (wharf.get(&format!("/{guest}/")).await.status == 503).then_some(())
            })
            .await;
            drop(upload);
            eventually("its place is free again", async || {
                (wharf.get(&format!("/{guest}/")).await.status == 200).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn chunks_that_are_none_are_no_end_of_the_body() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let head = "POST /hostile/read?ms=0 HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n";
    let whole = wharf.raw(&format!("{head}5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nconnection: close\r\n\r\n")).await;
    assert!(whole.contains("5 end"), "{whole}");
    let broken = wharf.raw(&format!("{head}5\r\nhello\r\nzz\r\n\r\n")).await;
    assert!(!broken.contains("end"), "the service took it for whole: {broken}");
    assert!(broken.is_empty() || broken.contains("broken off") || broken.contains(" 400 "), "{broken}");
    wharf.get("/hostile/").await.assert_status(200);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_before_it_sends() {
    let wharf = Wharf::builder().plugin("hostile").service("hostile", "limits: { requestBody: 1KiB }").start().await;
    let expect = "expect: 100-continue\r\n";
    let mut upload = Upload::begin(&wharf, "/hostile/read", &format!("content-length: 5\r\n{expect}")).await;
    upload.receive("HTTP/1.1 100 Continue\r\n\r\n").await;
    upload.send("hello").await;
    upload.receive("5 end").await;

    let mut upload = Upload::begin(&wharf, "/hostile/echo", &format!("content-length: 5000\r\n{expect}")).await;
    let began = Instant::now();
    let answer = upload.receive("payload_too_large").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(began.elapsed() < Duration::from_millis(700), "nothing was waited for: {:?}", began.elapsed());
}

#[tokio::test]
async fn trailers_of_a_request_come_back_from_a_service_that_passes_them_on() {
    let wharf = Wharf::builder().plugin("hostile3").start().await;
    let headers = "transfer-encoding: chunked\r\nte: trailers\r\ntrailer: x-sum\r\nconnection: te\r\n";
    let mut upload = Upload::begin(&wharf, "/hostile3/echo", headers).await;
    upload.send("5\r\nhello\r\n0\r\nx-sum: 77\r\n\r\n").await;
    let answer = upload.receive("0\r\n").await;
    assert!(answer.contains("hello"), "{answer}");
}

#[tokio::test]
async fn two_hundred_mebibytes_pass_through_a_service() {
    const PARTS: usize = 3200;
    let yaml = "{ timeouts: { request: 60s }, limits: { requestBody: 256MiB, cpuTime: 60s } }";
    let wharf = Wharf::builder().plugin("hostile").service("hostile", yaml).start().await;
    wharf.send("POST", "/hostile/echo", vec![b'x'; 1 << 20]).await.assert_status(200);
    let before = wharf.memory();
    let length = PARTS * (64 << 10);
    let headers = format!("content-length: {length}\r\nconnection: close\r\n");
    let upload = Upload::begin(&wharf, "/hostile/echo", &headers).await;
    let (mut reader, mut writer) = upload.0.into_split();
    let sending = tokio::spawn(async move {
        let part = vec![b'x'; 64 << 10];
        for _ in 0..PARTS {
            writer.write_all(&part).await.unwrap();
        }
        writer
    });
    let (mut buffer, mut total, mut largest) = (vec![0; 256 << 10], 0, 0);
    loop {
        let read = reader.read(&mut buffer).await.unwrap();
        if read == 0 {
            break;
        }
        total += buffer[..read].iter().filter(|byte| **byte == b'x').count();
        if total % (16 << 20) < read {
            largest = largest.max(wharf.memory());
        }
    }
    sending.await.unwrap();
    assert!(total >= length && total < length + 100, "{total} of {length} bytes came back");
    let grown = largest.saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
}
