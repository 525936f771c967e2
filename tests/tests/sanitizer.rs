//! Odd requests as raw bytes against the real gateway: each gets the stated answer, and where the next request would
//! begin cannot be argued about.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wharf_tests::Wharf;

/// What comes back for these bytes: all statuses in order, and whether the gateway then closed the connection.
async fn send(wharf: &Wharf, bytes: &[u8]) -> (Vec<u16>, bool) {
    let mut stream = TcpStream::connect(wharf.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let closed = loop {
        let mut part = [0; 4096];
        match tokio::time::timeout(Duration::from_millis(1500), stream.read(&mut part)).await {
            Ok(Ok(0) | Err(_)) => break true,
            Ok(Ok(read)) => answer.extend_from_slice(&part[..read]),
            Err(_quiet) => break false,
        }
    };
    let text = String::from_utf8_lossy(&answer).into_owned();
    let statuses = text.match_indices("HTTP/1.1 ").map(|(at, word)| text[at + word.len()..][..3].parse().unwrap());
    (statuses.collect(), closed)
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /hostile/read?ms=0 HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n{body}")
}

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\n{headers}\r\n")
}

const HOST: &str = "host: a.test\r\n";
/// What an attacker would like to be a request of its own.
const HIDDEN: &str = "GET /hostile/status?code=299 HTTP/1.1\r\nhost: a.test\r\n\r\n";

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_refused_and_ends_the_connection() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let chunked = "transfer-encoding: chunked\r\n";
    let rows = [
        ("length before coding", post(&format!("content-length: 4\r\n{chunked}"), "0\r\n\r\n"), 400),
        ("coding before length", post(&format!("{chunked}content-length: 4\r\n"), "0\r\n\r\n"), 400),
        ("two equal lengths", post("content-length: 3\r\ncontent-length: 3\r\n", "abc"), 400),
        ("two lengths", post("content-length: 3\r\ncontent-length: 4\r\n", "abcd"), 400),
        ("a list of lengths", post("content-length: 3, 3\r\n", "abc"), 400),
        ("a length with a sign", post("content-length: +3\r\n", "abc"), 400),
        ("a negative length", post("content-length: -1\r\n", ""), 400),
        ("a length in hex", post("content-length: 0x3\r\n", "abc"), 400),
        ("an empty length", post("content-length:\r\n", ""), 400),
        ("a length beyond all bounds", post("content-length: 99999999999999999999\r\n", ""), 400),
        ("gzip, chunked", post("transfer-encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
        ("chunked twice", post("transfer-encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400),
        ("chunked in two lines", post(&format!("{chunked}{chunked}"), "0\r\n\r\n"), 400),
        ("xchunked", post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"), 400),
        ("chunked, identity", post("transfer-encoding: chunked, identity\r\n", "0\r\n\r\n"), 400),
        ("a quoted coding", post("transfer-encoding: \"chunked\"\r\n", "0\r\n\r\n"), 400),
        ("a space before the colon", post("transfer-encoding : chunked\r\n", "0\r\n\r\n"), 400),
        ("a folded line", post("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400),
        ("a vertical tab", post("transfer-encoding: \u{b}chunked\r\n", "0\r\n\r\n"), 400),
        ("a chunk of no size", post(chunked, "zz\r\nabc\r\n0\r\n\r\n"), 400),
        ("a chunk without its end", post(chunked, "3\r\nabcX\r\n0\r\n\r\n"), 400),
        ("a line end in a chunk's extension", post(chunked, "3;a\nb\r\nabc\r\n0\r\n\r\n"), 400),
        ("line ends without CR", "GET /hostile/ HTTP/1.1\nhost: a.test\n\n".to_owned(), 400),
        ("a lone CR in a value", get("/hostile/", &format!("{HOST}x: a\rb\r\n")), 400),
        ("a NUL in a value", get("/hostile/", &format!("{HOST}x: a\0b\r\n")), 400),
    ];
    for (what, request, expected) in rows {
        let (statuses, closed) = send(&wharf, format!("{request}{HIDDEN}").as_bytes()).await;
        // hyper refuses some by itself, with 400 for what we call 501.
        let first = statuses.first().copied();
        assert!(first == Some(expected) || (expected == 501 && first == Some(400)), "{what}: {statuses:?}");
        assert!(!statuses.contains(&299), "{what}: a hidden request was answered: {statuses:?}");
        assert!(closed, "{what}: the connection stays open");
    }
    // What is fine stays fine, and the next request is the next request.
    let good = [
        post("content-length: 3\r\n", "abc"),
        post(chunked, "3\r\nabc\r\n0\r\n\r\n"),
        post(chunked, "3;name=value\r\nabc\r\n0\r\ncontent-length: 99\r\nx-trailer: 1\r\n\r\n"),
    ];
    for request in good {
        let (statuses, closed) = send(&wharf, format!("{request}{HIDDEN}").as_bytes()).await;
        assert_eq!((statuses, closed), (vec![200, 299], false), "{request}");
    }
}

#[tokio::test]
async fn heads_that_make_no_sense_get_their_answer() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let many = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    let big = format!("x: {}\r\n", "a".repeat(70_000));
    let rows = [
        ("no host", get("/hostile/", ""), 400),
        ("two hosts", get("/hostile/", "host: a\r\nhost: b\r\n"), 400),
        ("a host with more in it", get("/hostile/", "host: a/b@c\r\n"), 400),
        ("another host in the target", get("http://a.test/hostile/", "host: b.test\r\n"), 200),
        ("CONNECT", "CONNECT a.test:80 HTTP/1.1\r\nhost: a.test:80\r\n\r\n".to_owned(), 501),
        ("TRACE", format!("TRACE /hostile/ HTTP/1.1\r\n{HOST}\r\n"), 405),
        ("TRACK", format!("TRACK /hostile/ HTTP/1.1\r\n{HOST}\r\n"), 405),
        ("a fragment", get("/hostile/#x", HOST), 400),
        ("letters beyond ASCII", get("/hostile/\u{e9}", HOST), 400),
        ("an encoded NUL", get("/hostile/%00", HOST), 400),
        ("an encoded slash", get("/hostile%2f", HOST), 400),
        ("an underscore", get("/hostile/", &format!("{HOST}x_y: 1\r\n")), 400),
        ("too many headers", get("/hostile/", &format!("{HOST}{many}")), 431),
        ("too large a head", get("/hostile/", &format!("{HOST}{big}")), 431),
        ("a long address", get(&format!("/hostile/{}", "a".repeat(9000)), HOST), 414),
        ("another expectation", get("/hostile/", &format!("{HOST}expect: tea\r\n")), 417),
        ("a WebSocket", get("/hostile/", &format!("{HOST}connection: upgrade\r\nupgrade: websocket\r\n")), 501),
        ("h2c is offered", get("/hostile/", &format!("{HOST}connection: upgrade\r\nupgrade: h2c\r\n")), 200),
        ("no HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(), 400),
    ];
    for (what, request, expected) in rows {
        let (statuses, _) = send(&wharf, request.as_bytes()).await;
        assert_eq!(statuses, [expected], "{what}");
    }
    let (statuses, closed) = send(&wharf, format!("GET /hostile/ HTTP/1.0\r\n{HOST}\r\n").as_bytes()).await;
    assert!(closed && (statuses == [200] || statuses.is_empty()), "HTTP/1.0: {statuses:?}");
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
        ("announced and not sent", post("content-length: 10\r\n", "abc"), 408),
        ("a chunk that stops", post("transfer-encoding: chunked\r\n", "5\r\nab"), 408),
        ("a chunk that is none", post("transfer-encoding: chunked\r\n", "5\r\nabcdefgh\r\n"), 400),
    ] {
        let mut stream = TcpStream::connect(wharf.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{what}: {answer}");
    }
}
