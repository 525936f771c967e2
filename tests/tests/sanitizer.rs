//! Requests as bytes: what a client can send that two programs could read in two ways, and what is answered.
//!
//! Nothing between these tests and the gateway corrects anything: HTTP/1 requests are written to the socket as they
//! stand here, HTTP/2 ones as frames with headers that are neither compressed nor checked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wharf_tests::{Wharf, eventually};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// Answers on one connection, as status and body, until it ends.
struct Answers(Vec<(u16, String)>);

/// Sends `request`, and once it is answered a good one that asks for the end of the connection.
async fn exchange(address: SocketAddr, request: &[u8]) -> Answers {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let whole = async {
        socket.write_all(request).await.unwrap();
        let mut received = Vec::new();
        while answers(&received).is_empty() {
            // A reset after an answer does not unsay it.
            match socket.read_buf(&mut received).await {
                Ok(0) | Err(_) => return answers(&received),
                Ok(_) => {}
            }
        }
        let _ = socket.write_all(b"GET /hostile/ HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n").await;
        while socket.read_buf(&mut received).await.is_ok_and(|read| read > 0) {}
        answers(&received)
    };
    let found = tokio::time::timeout(LIMIT, whole).await;
    Answers(found.unwrap_or_else(|_| panic!("no end after {}", request.escape_ascii())))
}

/// The complete answers in these bytes.
fn answers(mut received: &[u8]) -> Vec<(u16, String)> {
    let mut found = Vec::new();
    while let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8(received[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let rest = &received[end + 4..];
        if status == 100 {
            received = rest;
            continue;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let whole = match length.map(|length| length.parse::<usize>().unwrap()) {
            Some(length) => rest.split_at_checked(length).map(|(body, rest)| (body.to_vec(), rest)),
            // What a service has not written at once comes in chunks.
            None => unchunked(rest),
        };
        let Some((body, rest)) = whole else { break };
        found.push((status, String::from_utf8_lossy(&body).into_owned()));
        received = rest;
    }
    found
}

/// A body in chunks, without trailers, and what follows it, if it is there to its end.
fn unchunked(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 2 + size + 2..)?;
        if size == 0 {
            return Some((body, rest));
        }
    }
}

impl Answers {
    /// The first one's status, and whether the connection went on after it.
    fn outcome(&self) -> (u16, bool) {
        assert!(self.0.len() <= 2, "one request was read as two: {:?}", self.0);
        let (status, body) = self.0.first().expect("the connection ends with an answer");
        if *status >= 400 && !body.is_empty() {
            let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}"));
            assert_eq!(problem["status"], *status, "{body}");
        }
        (*status, self.0.len() == 2)
    }
}

/// What comes after the request line's method; `host` is added.
fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: a.test\r\n\r\n").into_bytes()
}

/// A request with these lines besides `host`, and what follows the head. The service reads that to its end before it
/// answers: an answer that is on its way cannot become another one.
fn post(lines: &str, body: &str) -> Vec<u8> {
    format!("POST /hostile/read?ms=0 HTTP/1.1\r\nhost: a.test\r\n{lines}\r\n\r\n{body}").into_bytes()
}

fn with(line: &str) -> Vec<u8> {
    format!("GET /hostile/ HTTP/1.1\r\nhost: a.test\r\n{line}\r\n\r\n").into_bytes()
}

/// Sends each, and compares status and whether the connection goes on.
async fn each(rows: Vec<(&str, Vec<u8>, u16, bool)>) {
    let wharf = Wharf::builder().plugin("hostile").gateway("accessLog: { enabled: false }").start().await;
    let mut wrong = Vec::new();
    for (what, request, status, goes_on) in rows {
        let outcome = exchange(wharf.address(), &request).await.outcome();
        if outcome != (status, goes_on) {
            wrong.push(format!("{what}: {outcome:?} instead of {:?}", (status, goes_on)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const SMUGGLED: &str = "GET /hostile/status?code=299 HTTP/1.1\r\nhost: a.test\r\n\r\n";

#[tokio::test]
async fn a_length_that_is_in_doubt_ends_the_connection() {
    let chunks = format!("0\r\n\r\n{SMUGGLED}");
    let cl_te = post("content-length: 5\r\ntransfer-encoding: chunked", &chunks);
    let te_cl = post("transfer-encoding: chunked\r\ncontent-length: 5", &chunks);
    each(vec![
        ("a good length", post("content-length: 3", "abc"), 200, true),
        ("good chunks", post("transfer-encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), 200, true),
        ("chunks with an extension", post("transfer-encoding: chunked", "3;a=b\r\nabc\r\n0\r\n\r\n"), 200, true),
        ("length, then chunked", cl_te, 400, false),
        ("chunked, then length", te_cl, 400, false),
        ("two equal lengths", post("content-length: 3\r\ncontent-length: 3", "abc"), 400, false),
        ("two lengths", post("content-length: 3\r\ncontent-length: 4", "abcd"), 400, false),
        ("a list of equal lengths", post("content-length: 3, 3", "abc"), 400, false),
        ("a length with a sign", post("content-length: +3", "abc"), 400, false),
        ("a negative length", post("content-length: -1", ""), 400, false),
        ("a length in hex", post("content-length: 0x3", "abc"), 400, false),
        ("an empty length", post("content-length: ", ""), 400, false),
        ("a length that overflows", post("content-length: 18446744073709551619", "abc"), 400, false),
        ("gzip, chunked", post("transfer-encoding: gzip, chunked", &chunks), 501, false),
        (
            "gzip and chunked in lines",
            post("transfer-encoding: gzip\r\ntransfer-encoding: chunked", &chunks),
            501,
            false,
        ),
        ("chunked twice", post("transfer-encoding: chunked, chunked", &chunks), 400, false),
        (
            "chunked twice in lines",
            post("transfer-encoding: chunked\r\ntransfer-encoding: chunked", &chunks),
            400,
            false,
        ),
        ("chunked before another", post("transfer-encoding: chunked, identity", &chunks), 400, false),
        ("a coding like chunked", post("transfer-encoding: xchunked", &chunks), 400, false),
        ("chunked in quotes", post("transfer-encoding: \"chunked\"", &chunks), 400, false),
        ("chunked after a vertical tab", post("transfer-encoding: \u{b}chunked", &chunks), 400, false),
        ("a folded line", post("transfer-encoding:\r\n chunked", &chunks), 400, false),
        ("a space before the colon", post("transfer-encoding : chunked", &chunks), 400, false),
        (
            "chunked over HTTP/1.0",
            format!("POST /hostile/read?ms=0 HTTP/1.0\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")
                .into(),
            400,
            false,
        ),
    ])
    .await;
}

#[tokio::test]
async fn chunks_that_are_none_end_the_connection() {
    let read = |body: &str| post("transfer-encoding: chunked", body);
    each(vec![
        ("a good body", read("3\r\nabc\r\n0\r\n\r\n"), 200, true),
        ("a size that is no number", read("x\r\nabc\r\n0\r\n\r\n"), 400, false),
        ("a size that overflows", read("10000000000000003\r\nabc\r\n0\r\n\r\n"), 400, false),
        ("a line feed in an extension", read("3;a\nb\r\nabc\r\n0\r\n\r\n"), 400, false),
        ("lines that end in a line feed", read("3\nabc\n0\n\n"), 400, false),
        ("no line end after the data", read("3\r\nabcd0\r\n\r\n"), 400, false),
    ])
    .await;
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    let to = |lines: &str| format!("GET /hostile/ HTTP/1.1\r\n{lines}\r\n").into_bytes();
    each(vec![
        ("no host", to(""), 400, true),
        ("two hosts", to("host: a.test\r\nhost: b.test\r\n"), 400, true),
        ("the same host twice", to("host: a.test\r\nhost: a.test\r\n"), 400, true),
        ("an empty host", to("host: \r\n"), 400, true),
        ("a host with path and user", to("host: a/b@c\r\n"), 400, true),
        ("a host with a user", to("host: u@a.test\r\n"), 400, true),
        ("a port that is no number", to("host: a.test:x\r\n"), 400, true),
        ("two in a line", to("host: a.test b.test\r\n"), 400, true),
        ("no host, but a target with one", b"GET http://a.test/hostile/ HTTP/1.1\r\n\r\n".to_vec(), 200, true),
        ("HTTP/1.0 without host", b"GET /hostile/ HTTP/1.0\r\n\r\n".to_vec(), 400, false),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_request_for_a_service_is_answered_by_the_gateway() {
    let method = |method: &str| format!("{method} /hostile/ HTTP/1.1\r\nhost: a.test\r\n\r\n").into_bytes();
    let websocket = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: eA==";
    let h2c = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA";
    let many = (0..101).fold(String::from("x-first: 1"), |lines, n| format!("{lines}\r\nx-{n}: 1"));
    each(vec![
        ("CONNECT", b"CONNECT a.test:80 HTTP/1.1\r\nhost: a.test:80\r\n\r\n".to_vec(), 501, true),
        ("TRACE", method("TRACE"), 405, true),
        ("TRACK", method("TRACK"), 405, true),
        ("a method in lower case is another method", method("get"), 200, true),
        ("the server as a whole", b"OPTIONS * HTTP/1.1\r\nhost: a.test\r\n\r\n".to_vec(), 404, true),
        ("the server as a whole, to read", b"GET * HTTP/1.1\r\nhost: a.test\r\n\r\n".to_vec(), 400, true),
        ("a WebSocket", with(websocket), 501, true),
        ("a WebSocket with a body", with(&format!("{websocket}\r\ncontent-length: 1")), 400, false),
        ("an offer of h2c", with(h2c), 200, true),
        ("an upgrade that is not asked for", with("upgrade: websocket"), 200, true),
        ("another expectation", with("expect: 200-ok"), 417, true),
        ("an expectation that is met", post("expect: 100-continue\r\ncontent-length: 3", "abc"), 200, true),
        ("an underscore in a name", with("x_y: 1"), 400, true),
        ("a NUL in a value", with("x-y: a\0b"), 400, false),
        ("a carriage return in a value", with("x-y: a\rb"), 400, false),
        ("a line feed alone", b"GET /hostile/ HTTP/1.1\nhost: a.test\n\n".to_vec(), 400, false),
        ("a name with a space", with("x y: 1"), 400, false),
        ("more than 100 headers", with(&many), 431, false),
        ("a long head", with(&format!("x-long: {}", "a".repeat(70 << 10))), 431, false),
        ("a version that there is not", b"GET / HTTP/1.7\r\nhost: a.test\r\n\r\n".to_vec(), 400, false),
    ])
    .await;
}

#[tokio::test]
async fn a_target_has_one_spelling_or_none() {
    each(vec![
        ("an ordinary path", get("/hostile/?a=/../%2e%2e//;b"), 200, true),
        ("dots", get("/x/../hostile/"), 200, true),
        ("encoded dots", get("/x/%2e%2E/%68ostile/."), 200, true),
        ("slashes", get("//hostile//"), 200, true),
        ("a fragment", get("/hostile/#x"), 400, false),
        ("UTF-8", get("/hostile/\u{e9}"), 400, false),
        ("UTF-8 in the query", get("/hostile/?\u{e9}"), 400, false),
        ("an encoded NUL", get("/hostile/%00"), 400, true),
        ("encoded line ends", get("/hostile/%0d%0a"), 400, true),
        ("an encoded slash", get("/hostile%2f"), 400, true),
        ("an encoded backslash", get("/hostile%5C"), 400, true),
        ("a backslash", get("/hostile\\"), 400, true),
        ("a path parameter", get("/hostile;/"), 400, true),
        ("dots with a parameter", get("/x/..;/hostile/"), 400, true),
        ("a percent sign that encodes nothing", get("/hostile/%"), 400, true),
        ("an overlong dot", get("/x/%c0%ae%c0%ae/hostile/"), 400, true),
        ("no slash first", get("hostile/"), 400, false),
        ("the longest", get(&format!("/hostile/?{}", "a".repeat(8192 - 10))), 200, true),
        ("longer", get(&format!("/hostile/?{}", "a".repeat(8192 - 9))), 414, true),
    ])
    .await;
}

#[tokio::test]
async fn what_is_forwarded_is_what_was_decided_about() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let seen = async |request: &str| {
        let mut answers = exchange(wharf.address(), request.as_bytes()).await;
        assert_eq!(answers.outcome(), (200, true), "{request}");
        answers.0.remove(0).1
    };
    let text = seen("GET http://target.test:81/x/..//hostile/%72equest?q HTTP/1.1\r\nhost: other.test\r\n\r\n").await;
    assert!(text.contains("host: target.test:81\n") && !text.contains("other.test"), "{text}");
    assert!(text.contains("x-forwarded-host: target.test:81\n"), "{text}");
    assert!(text.contains(r#"target Some("/request?q")"#), "{text}");

    let hop = "connection: keep-alive, host, content-length, x-forwarded-for, x-request-id, traceparent, x-hop";
    let lines = "te: gzip, trailers;q=0.5\r\nx-hop: 1\r\nkeep-alive: 5\r\nproxy-connection: x\r\nupgrade: websocket";
    let text = seen(&format!("GET /hostile/request HTTP/1.1\r\nhost: a.test\r\n{hop}\r\n{lines}\r\n\r\n")).await;
    for there in ["host: a.test\n", "x-forwarded-for: 127.0.0.1\n", "x-request-id: ", "te: trailers\n"] {
        assert!(text.contains(there), "{there} in {text}");
    }
    for gone in ["x-hop", "keep-alive", "proxy-connection", "connection:", "upgrade", "gzip"] {
        assert!(!text.contains(gone), "{gone} in {text}");
    }
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_one_by_one_until_one_is_flawed() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let good = String::from_utf8(get("/hostile/")).unwrap();
    let flawed = "POST /hostile/ HTTP/1.1\r\nhost: a.test\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = wharf.raw(&format!("{good}{good}{flawed}0\r\n\r\n{SMUGGLED}")).await;
    let statuses: Vec<u16> = answers(answer.as_bytes()).iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 400], "{answer}");
}

#[tokio::test]
async fn trailers_say_nothing_that_headers_decide() {
    let wharf = Wharf::builder().plugin("echo").start().await;
    // This service passes trailers on, and over HTTP/1.1 those that were announced are sent.
    let names = "x-sum, x-forwarded-for, authorization, x_forwarded_for, last";
    let lines = format!("transfer-encoding: chunked\r\nconnection: te, close\r\nte: trailers\r\ntrailer: {names}");
    let trailers = "x-forwarded-for: 6.6.6.6\r\nauthorization: Bearer x\r\nx_forwarded_for: 6.6.6.6\r\nlast: 1";
    let body = format!("5\r\nhello\r\n0\r\nx-sum: 77\r\n{trailers}\r\n\r\n");
    let answer = wharf.raw(&format!("POST /echo/ HTTP/1.1\r\nhost: a.test\r\n{lines}\r\n\r\n{body}")).await;
    let (_, trailers) = answer.rsplit_once("\r\n0\r\n").expect("a last chunk");
    let mut trailers: Vec<&str> = trailers.lines().filter(|line| !line.is_empty()).collect();
    trailers.sort_unstable();
    assert_eq!(trailers, ["last: 1", "x-sum: 77"], "{answer}");
}

#[tokio::test]
async fn a_request_stays_in_its_trace_or_begins_one() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let seen = async |headers: &[(&str, &str)]| {
        let answer = wharf.client().send("GET", &wharf.url("/hostile/request"), headers, "").await;
        answer.assert_status(200);
        let line = |name: &str| answer.text().lines().find_map(|line| line.strip_prefix(name).map(ToOwned::to_owned));
        (line("traceparent: ").expect("every request has a trace"), line("tracestate: "))
    };
    let (there, state) = seen(&[("traceparent", &parent), ("tracestate", "a=1"), ("tracestate", "b=2")]).await;
    assert!(there.starts_with(&format!("00-{TRACE}-")) && there.ends_with("-01"), "{there}");
    assert_ne!(there, parent, "the gateway is the parent now");
    assert_eq!(state.as_deref(), Some("a=1,b=2"));
    let line =
        eventually("it is logged", async || wharf.access_log().into_iter().find(|line| line.contains(TRACE))).await;
    assert!(line.contains(&format!(r#""traceId":"{TRACE}""#)), "{line}");

    let (there, state) = seen(&[("traceparent", &parent), ("traceparent", &parent), ("tracestate", "a=1")]).await;
    assert!(there.len() == 55 && !there.contains(TRACE), "{there}");
    assert_eq!(state, None);
}

/// How an HTTP/2 request ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// With an answer.
    Answered(String),
    /// With this code for the stream.
    Reset(u32),
    /// With this code for the connection.
    GoneAway(u32),
}

const PROTOCOL_ERROR: u32 = 1;

/// Sends one request with these headers over HTTP/2; `data` is its body, if it has one.
async fn over_http2(address: SocketAddr, headers: &[(&str, &str)], data: Option<&[u8]>) -> Ended {
    let mut block = Vec::new();
    for (name, value) in headers {
        // A literal that is not to be remembered, its name written out (RFC 7541 §6.2.2).
        block.push(0);
        for text in [name, value] {
            // A number in seven bits; longer texts do not stand here.
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
    };
    frame(0x4, 0, 0, &[]);
    frame(0x1, if data.is_some() { 0x4 } else { 0x5 }, 1, &block);
    if let Some(data) = data {
        frame(0x0, 0x1, 1, data);
    }
    let mut socket = TcpStream::connect(address).await.unwrap();
    let whole = async {
        socket.write_all(&bytes).await.unwrap();
        let mut body = Vec::new();
        loop {
            let mut head = [0; 9];
            socket.read_exact(&mut head).await.unwrap();
            let number = |bytes: &[u8]| bytes.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
            let mut payload = vec![0; number(&head[..3]) as usize];
            socket.read_exact(&mut payload).await.unwrap();
            let (kind, flags, stream) = (head[3], head[4], number(&head[5..]));
            match (kind, stream) {
                (0x0, 1) => body.extend_from_slice(&payload),
                (0x3, 1) => return Ended::Reset(number(&payload)),
                (0x7, 0) => return Ended::GoneAway(number(&payload[4..8])),
                _ => {}
            }
            // The end of the stream, on the frames that can have it.
            if stream == 1 && kind <= 1 && flags & 0x1 != 0 {
                return Ended::Answered(String::from_utf8(body).unwrap());
            }
        }
    };
    tokio::time::timeout(LIMIT, whole).await.unwrap_or_else(|_| panic!("no end after {headers:?}"))
}

fn http2<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/hostile/request")];
    let named = |name: &str| more.iter().any(|(given, _)| *given == name);
    // What is given takes the place of the usual, and an empty pseudo-header is left out.
    let pseudo = more.iter().filter(|(name, value)| name.starts_with(':') && !value.is_empty());
    let usual = usual.iter().filter(|(name, _)| !named(name));
    usual.chain(pseudo).chain(more.iter().filter(|(name, _)| !name.starts_with(':'))).copied().collect()
}

#[tokio::test]
async fn malformed_requests_over_http2_end_their_stream_or_the_connection() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    for (what, headers, data) in [
        ("a coding", http2(&[("transfer-encoding", "chunked")]), None),
        ("connection", http2(&[("connection", "x-forwarded-for")]), None),
        ("upgrade", http2(&[("upgrade", "websocket")]), None),
        ("te", http2(&[("te", "gzip")]), None),
        ("a name in upper case", http2(&[("X-Y", "1")]), None),
        ("line ends in a value", http2(&[("x-y", "1\r\nx-z: 2")]), None),
        ("line ends in the path", http2(&[(":path", "/hostile/ HTTP/1.1\r\nx-y: 1")]), None),
        ("a space in the path", http2(&[(":path", "/hostile/ x")]), None),
        ("no path", http2(&[(":path", "")]), None),
        ("no scheme", http2(&[(":scheme", "")]), None),
        ("no method", http2(&[(":method", "")]), None),
        ("a length that is not the body's", http2(&[(":method", "POST"), ("content-length", "2")]), Some(&b"abc"[..])),
        ("two lengths", http2(&[(":method", "POST"), ("content-length", "3"), ("content-length", "4")]), Some(b"abc")),
    ] {
        let ended = over_http2(wharf.address(), &headers, data).await;
        assert!(matches!(ended, Ended::Reset(PROTOCOL_ERROR) | Ended::GoneAway(_)), "{what}: {ended:?}");
    }
}

#[tokio::test]
async fn over_http2_the_same_is_refused() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let many: Vec<String> = (0..101).map(|n| format!("x-{n}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
    for (what, headers, status) in [
        ("two hosts", http2(&[("host", "a.test"), ("host", "b.test")]), 400),
        ("no host", http2(&[(":authority", "")]), 400),
        ("a user in the authority", http2(&[(":authority", "u@a.test")]), 400),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "a.test:80")], 501),
        ("TRACE", http2(&[(":method", "TRACE")]), 405),
        ("another expectation", http2(&[("expect", "200-ok")]), 417),
        ("an underscore in a name", http2(&[("x_y", "1")]), 400),
        ("an encoded slash", http2(&[(":path", "/hostile%2f")]), 400),
        ("an encoded NUL", http2(&[(":path", "/hostile/%00")]), 400),
        ("a path parameter", http2(&[(":path", "/x/..;/hostile/")]), 400),
        ("UTF-8 in the path", http2(&[(":path", "/hostile/\u{e9}")]), 400),
        ("more than 100 headers", http2(&many), 431),
    ] {
        let Ended::Answered(body) = over_http2(wharf.address(), &headers, None).await else { panic!("{what}") };
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{what}: {body}"));
        assert_eq!(problem["status"], status, "{what}: {body}");
    }
}

#[tokio::test]
async fn over_http2_the_authority_counts_and_the_path_has_its_one_spelling() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let headers = http2(&[
        (":authority", "target.test:81"),
        (":path", "/x/..//hostile/%72equest?q"),
        ("host", "other.test"),
        ("te", "trailers"),
        ("x-forwarded-for", "6.6.6.6"),
    ]);
    let Ended::Answered(text) = over_http2(wharf.address(), &headers, None).await else { panic!("it is answered") };
    assert!(text.contains("host: target.test:81\n") && !text.contains("other.test"), "{text}");
    assert!(text.contains(r#"target Some("/request?q")"#), "{text}");
    assert!(text.contains("te: trailers\n") && text.contains("x-forwarded-for: 127.0.0.1\n"), "{text}");
    let only_host = http2(&[(":authority", ""), ("host", "only.test")]);
    let Ended::Answered(text) = over_http2(wharf.address(), &only_host, None).await else { panic!("it is answered") };
    assert!(text.contains("host: only.test\n"), "{text}");
}
