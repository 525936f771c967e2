//! Failures that gateways are known for, tried against this one where no other test tries them: `docs/failures.md` is
//! the list.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wharf_tests::{Wharf, eventually};

fn get(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n{headers}connection: close\r\n\r\n")
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_past_a_rule_about_it() {
    let routes = "routes: [{ name: r, rules: [{ matches: [{ path: { prefix: / } }], filters: [{ authorization: \
                  { rules: [{ deny: { paths: [{ prefix: /request }] } }], default: allow } }], \
                  backendRefs: [{ service: hostile }] }] }]";
    let wharf = Wharf::builder().plugin("hostile").gateway(routes).service("hostile", "expose: false").start().await;
    let open = wharf.raw(&get("/status?code=202", "")).await;
    assert!(open.starts_with("HTTP/1.1 202 "), "{open}");
    // All of them are `/request` to some program or other.
    let refused = [
        "/request",
        "//request",
        "///request",
        "/./request",
        "/.//request",
        "/x/../request",
        "/x/y/../../request",
        "/../request",
        "/../../request",
        "/%2e/request",
        "/%2E/request",
        "/x/%2e%2e/request",
        "/x/%2E%2e/request",
        "/x/.%2e/request",
        "/x/%2e./request",
        "/%72equest",
        "/%72%65%71%75%65%73%74",
        "/%52equest/../request",
        "/request/",
        "/request//",
        "/request/.",
        "/request/x",
        "/request/x/..",
        "/request?",
        "/request?a=/..",
        "http://a.test/request",
        "http://b.test//request",
        "/request;",
        "/request;x=y",
        "/;/request",
        "/;x/request",
        "/x/..;/request",
        "/.;/request",
        "/x%2f..%2frequest",
        "/x/..%2frequest",
        "/%2frequest",
        "/%2Frequest",
        "/..%5crequest",
        "/x\\..\\request",
        "\\request",
        "/request%00",
        "/%00/../request",
        "/request%0a",
        "/x/%c0%ae%c0%ae/request",
        "/%c0%afrequest",
        "/%u0072equest",
        "/request%",
        "/request%2",
        "/request%zz",
    ];
    for target in refused {
        let answer = wharf.raw(&get(target, "")).await;
        let status = answer.get(9..12).unwrap_or_default();
        assert!(["400", "403"].contains(&status), "{target}: {answer}");
    }
    // Others that are none, and reach the service as what they are.
    for target in ["/Request", "/%252e%252e/request", "/x/%252frequest", "/requests", "/%20/request", "/%E2%80%AE"] {
        let answer = wharf.raw(&get(target, "")).await;
        assert!(answer.contains("no such misdeed"), "{target}: {answer}");
    }
}

#[tokio::test]
async fn nobody_has_headers_of_the_gateway_removed_by_naming_them_in_connection() {
    let builder = Wharf::builder().plugin("hostile");
    let keys = builder.dir().join("keys");
    // The SHA-256 of `whk_test`.
    let line = "ann sha256:73a5a7a493887d08f460e7fae29c57a7a1d4e12ac583a0f4f42d165981d6d11d\n";
    std::fs::write(&keys, line).unwrap();
    let filter = format!("filters: [{{ apiKey: {{ keys: {{ file: {} }}, subjectHeader: x-who }} }}]", keys.display());
    let wharf = builder.gateway(&filter).start().await;
    let headers = "x-api-key: whk_test\r\nx-who: root\r\nX-Forwarded-For: 6.6.6.6\r\n\
                   connection: x-who, x-forwarded-for, x-forwarded-host, x-forwarded-proto, x-request-id\r\n";
    let answer = wharf.raw(&get("/hostile/request", headers)).await;
    for line in ["x-who: ann\n", "x-forwarded-for: 127.0.0.1\n", "x-forwarded-host: a.test\n", "x-request-id: "] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert!(!answer.contains("root") && !answer.contains("6.6.6.6"), "{answer}");
}

#[tokio::test]
async fn what_a_service_leaves_unread_is_never_the_next_request() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let hidden = "GET /hostile/count HTTP/1.1\r\nhost: a.test\r\n\r\n";
    // One body by its length and one in chunks, of which the service reads nothing.
    let by_length = format!("content-length: {}\r\n\r\n{hidden}", hidden.len());
    let in_chunks = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    for body in [by_length, in_chunks] {
        let first = format!("POST /hostile/status?code=201 HTTP/1.1\r\nhost: a.test\r\n{body}");
        let answer = wharf.raw(&format!("{first}{}", get("/hostile/status?code=202", ""))).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        // The second may be answered, or the connection ended; there is no third.
        let second = answer.matches("HTTP/1.1 202 ").count();
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1 + second, "{answer}");
    }
    assert!(!wharf.access_log().iter().any(|line| line.contains("/count")), "{:#?}", wharf.access_log());
}

#[tokio::test]
async fn clients_that_keep_the_gateway_waiting_are_left() {
    let bounds = "connections: { firstByteTimeout: 500ms, headTimeout: 500ms, idleTimeout: 500ms, bodyTimeout: 500ms }";
    let wharf = Wharf::builder().plugin("hostile").gateway(bounds).start().await;
    let half_a_body = "POST /hostile/read?ms=1 HTTP/1.1\r\nhost: a.test\r\ncontent-length: 10\r\n\r\n123";
    let cases = [
        ("nothing", "", ""),
        ("a byte", "P", ""),
        ("half a head", "GET /hostile/ HTTP/1.1\r\nhost: a", ""),
        ("half a preface", "PRI * HTTP/2.0\r\n", ""),
        ("a request and then nothing", "GET /hostile/ HTTP/1.1\r\nhost: a.test\r\n\r\n", "HTTP/1.1 200 "),
        ("half a body", half_a_body, "HTTP/1.1 408 "),
    ];
    for (what, sent, expected) in cases {
        let mut socket = TcpStream::connect(wharf.address()).await.unwrap();
        socket.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{what}: the connection is still there");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(expected), "{what}: {answer}");
    }
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of `GET http://a.test/hostile/hang` in HPACK: two indexed fields, two literals with indexed names.
fn head() -> Vec<u8> {
    let (authority, path) = ("a.test", "/hostile/hang");
    let mut block = vec![0x82, 0x86, 0x01, u8::try_from(authority.len()).unwrap()];
    block.extend(authority.as_bytes());
    block.extend([0x04, u8::try_from(path.len()).unwrap()]);
    block.extend(path.as_bytes());
    block
}

/// Numbers of streams that a client opens.
fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}

/// Sends all of it, and says of which kinds the frames were that came back until the connection ended.
async fn flood(wharf: &Wharf, frames: Vec<u8>) -> Vec<u8> {
    let (mut from, mut to) = TcpStream::connect(wharf.address()).await.unwrap().into_split();
    let send = async {
        let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
        // Whoever is shown out cannot send the rest.
        if to.write_all(&preface).await.is_ok() {
            let _ = to.write_all(&frames).await;
        }
    };
    let receive = async {
        let mut kinds = Vec::new();
        let mut header = [0; 9];
        while from.read_exact(&mut header).await.is_ok() {
            kinds.push(header[3]);
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
            if from.read_exact(&mut vec![0; length as usize]).await.is_err() {
                break;
            }
        }
        kinds
    };
    let both = async { tokio::join!(send, receive).1 };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("the connection is ended")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_requests_that_are_taken_back_end_the_connection_and_hold_no_places() {
    // Places come back only when requests are really given up: their own end is an hour away.
    let yaml = "defaults: { timeouts: { request: 1h }, bulkhead: { maxConcurrent: 2, maxPending: 0 } }";
    let wharf = Wharf::builder().plugin("hostile").gateway(yaml).start().await;
    let open = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, &head());
    // Taken back by the client (CVE-2023-44487), and by the server because of what the client says (CVE-2025-8671).
    let taken_back = |stream| [open(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    let made_reset = |stream| [open(stream), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat();
    for frames in [
        streams().take(5000).flat_map(taken_back).collect::<Vec<_>>(),
        streams().take(5000).flat_map(made_reset).collect::<Vec<_>>(),
    ] {
        let kinds = flood(&wharf, frames).await;
        assert!(kinds.contains(&GOAWAY), "{kinds:?}");
        assert!(kinds.iter().filter(|kind| **kind == HEADERS).count() < 200, "most were not answered");
        eventually("the places are free", async || (wharf.get("/hostile/").await.status == 200).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_an_end_ends_the_connection() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let before = wharf.memory();
    // `x: xxx…`, never indexed, again and again.
    let field = [&[0x10, 1, b'x', 100][..], &[b'x'; 100]].concat();
    let fields = field.repeat(20);
    let mut frames = frame(HEADERS, END_STREAM, 1, &head());
    for _ in 0..20_000 {
        frames.extend(frame(CONTINUATION, 0, 1, &fields));
    }
    let kinds = flood(&wharf, frames).await;
    assert!(kinds.contains(&GOAWAY), "{kinds:?}");
    assert!(wharf.memory() < before + (8 << 20), "of 40 MB that were sent, next to nothing is kept");
    wharf.get("/hostile/").await.assert_status(200);
}
