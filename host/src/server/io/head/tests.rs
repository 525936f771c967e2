use proptest::prelude::*;

use super::*;

fn inspector() -> Inspector {
    Inspector::new(100, 64 << 10)
}

/// What is found in pieces: the number of heads, the flaw, and where they end.
fn seen(pieces: &[&[u8]]) -> (u64, Option<HeadFlaw>, Place) {
    let mut inspector = inspector();
    let mut flaw = None;
    for piece in pieces {
        let found = inspector.feed(piece);
        assert!(found.is_none() || flaw.is_none(), "a second flaw");
        flaw = flaw.or(found);
    }
    (inspector.heads(), flaw, inspector.place())
}

/// However the bytes are cut, the same is found.
fn seen_in_any_pieces(bytes: &[u8]) -> (u64, Option<HeadFlaw>, Place) {
    let whole = seen(&[bytes]);
    for at in 1..bytes.len() {
        assert_eq!(seen(&[&bytes[..at], &bytes[at..]]), whole, "cut at {at}: {}", bytes.escape_ascii());
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(seen(&single), whole, "byte by byte: {}", bytes.escape_ascii());
    whole
}

const NEXT: &str = "GET /next HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn requests_that_are_right_are_followed_to_their_ends() {
    for request in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /?a=%20b&c=[d] HTTP/1.0\r\n\r\n",
        "GET http://a/b HTTP/1.1\r\nhost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nContent-Length:  5 \r\n\r\nGET /",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nGET /\r\n00a \t;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding:chunked\r\n\r\n1;a\r\nx\r\n0;b\r\na: b\r\ncontent-length: 9\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nUpgrade: h2c\r\ncontent-length: 1\r\n\r\nx",
        "POST / HTTP/1.1\r\nhost: a\r\nx: \u{e4}\r\ncontent-length: 1\r\n\r\n\n",
    ] {
        let two = [request, NEXT].concat();
        assert_eq!(seen_in_any_pieces(two.as_bytes()), (2, None, Place::Between), "{request:?}");
    }
}

#[test]
fn flaws_are_found_in_the_head_that_has_them() {
    let bad = |detail| HeadFlaw::bad(detail);
    let both = bad("content-length and transfer-encoding exclude each other");
    let twice = bad("content-length is there more than once");
    let once = bad("transfer-encoding must be chunked, once");
    let codings = HeadFlaw { unsupported: true, detail: "no transfer-encoding but chunked is supported" };
    let upgrade = bad("a request to change the protocol cannot have a body");
    let encoded = bad("the target has a character that must be percent-encoded");
    let line = bad("a line ends without a carriage return");
    let te = "transfer-encoding";
    for (request, flaw) in [
        (format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n{te}: chunked\r\n\r\n0\r\n\r\n"), both),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"), both),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx".to_owned(), twice),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nContent-Length: 9\r\n\r\nx".to_owned(), twice),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: gzip, chunked\r\n\r\n0\r\n\r\n"), codings),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: gzip\r\n{te}: chunked\r\n\r\n0\r\n\r\n"), codings),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: , chunked\r\n\r\n0\r\n\r\n"), codings),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: chunked, chunked\r\n\r\n0\r\n\r\n"), once),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: chunked\r\n{te}: chunked\r\n\r\n0\r\n\r\n"), once),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: xchunked\r\n\r\n0\r\n\r\n"), once),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: chunked, identity\r\n\r\n0\r\n\r\n"), once),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: \"chunked\"\r\n\r\n0\r\n\r\n"), once),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}:\r\n\r\n0\r\n\r\n"), once),
        (format!("POST / HTTP/1.0\r\n{te}: chunked\r\n\r\n0\r\n\r\n"), bad("HTTP/1.0 has no transfer-encoding")),
        ("POST / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\ncontent-length: 1\r\n\r\nx".to_owned(), upgrade),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: chunked\r\nupgrade: x\r\n\r\n0\r\n\r\n"), upgrade),
        (format!("POST / HTTP/1.1\r\nhost: a\r\n{te}: chunked\r\nupgrade: h2c, x\r\n\r\n0\r\n\r\n"), upgrade),
        ("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), bad("the target has a fragment")),
        ("GET /\u{e4} HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), encoded),
        ("GET / HTTP/1.1\nhost: a\r\n\r\n".to_owned(), line),
        ("GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n".to_owned(), line),
        ("GET / HTTP/1.1\r\nhost: a\n\n".to_owned(), line),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n".to_owned(), line),
        ("\nGET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), line),
    ] {
        let stopped = (1, Some(flaw), Place::Stopped);
        assert_eq!(seen_in_any_pieces(request.as_bytes()), stopped, "{request:?}");
        let later = [NEXT, &request, NEXT].concat();
        assert_eq!(seen_in_any_pieces(later.as_bytes()), (2, Some(flaw), Place::Stopped), "{later:?}");
    }
    for length in ["", "+3", "-1", "0x3", "3, 3", "3 3", "18446744073709551616"] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\nxyz");
        assert_eq!(seen_in_any_pieces(request.as_bytes()).1, Some(BAD_LENGTH), "{length}");
    }
}

#[test]
fn what_hyper_refuses_ends_the_looking() {
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    for (bytes, heads) in [
        ("GET / HTTP/1.1\r\nhost : a\r\n\r\n".to_owned(), 0),
        ("GET / HTTP/1.1\r\nx: a\r\n b\r\n\r\n".to_owned(), 0),
        ("GET / HTTP/1.1\r\nx: a\0b\r\n\r\n".to_owned(), 0),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 0),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101)), 0),
        (format!("{chunked}g\r\n"), 1),
        (format!("{chunked}\r\n"), 1),
        (format!("{chunked}1\n"), 1),
        (format!("{chunked}1;x\ny\r\n"), 1),
        (format!("{chunked}1 1\r\n"), 1),
        (format!("{chunked}1\r\nxy"), 1),
        (format!("{chunked}1\r\nx\n"), 1),
        (format!("{chunked}10000000000000000\r\n"), 1),
        (format!("{chunked}0\r\na: b\r\r\n"), 1),
        (format!("{chunked}0\r\n\rx"), 1),
    ] {
        assert_eq!(seen(&[bytes.as_bytes(), NEXT.as_bytes()]), (heads, None, Place::Stopped), "{bytes:?}");
    }
}

#[test]
fn a_head_without_end_is_not_kept() {
    let mut inspector = Inspector::new(100, 8 << 10);
    inspector.feed(b"GET / HTTP/1.1\r\nx: ");
    for _ in 0..100 {
        inspector.feed(&[b'a'; 1000]);
    }
    assert_eq!((inspector.place(), inspector.partial.capacity()), (Place::Stopped, 0));
}

#[test]
fn more_headers_than_usual_can_be_allowed() {
    let request = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(150));
    let mut inspector = Inspector::new(200, 64 << 10);
    assert_eq!((inspector.feed(request.as_bytes()), inspector.heads()), (None, 1));
}

#[test]
fn a_head_that_comes_at_once_is_not_copied() {
    let mut inspector = inspector();
    inspector.feed(NEXT.repeat(3).as_bytes());
    assert_eq!((inspector.heads(), inspector.partial.capacity()), (3, 0));
}

fn chunk() -> impl Strategy<Value = String> {
    ("[a-zA-Z0-9 \r\n:/]{1,40}", prop::sample::select(vec!["", ";a", ";a=\"b c\"", " ", "\t;x"]), any::<bool>())
        .prop_map(|(data, extension, upper)| {
            let size = if upper { format!("{:X}", data.len()) } else { format!("0{:x}", data.len()) };
            format!("{size}{extension}\r\n{data}\r\n")
        })
}

fn request() -> impl Strategy<Value = String> {
    let head = (
        prop::sample::select(vec!["GET", "POST", "PUT", "X-Y"]),
        "/[a-z0-9%/?&=._~-]{0,20}",
        prop::collection::vec(("x-[a-z]{1,8}", "[ -~]{0,20}"), 0..4),
    );
    let body = prop_oneof![
        Just(None),
        "[a-zA-Z0-9 \r\n:/]{0,60}".prop_map(|body| Some((false, body))),
        (prop::collection::vec(chunk(), 0..4), prop::sample::select(vec!["", "a: b\r\n", "x-y: GET / HTTP/1.1\r\n"]))
            .prop_map(|(chunks, trailer)| Some((true, format!("{}0\r\n{trailer}\r\n", chunks.concat())))),
    ];
    (head, body).prop_map(|((method, path, headers), body)| {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        match body {
            None => format!("{method} {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n"),
            Some((true, body)) => {
                format!("{method} {path} HTTP/1.1\r\n{headers}transfer-encoding: chunked\r\nhost: a\r\n\r\n{body}")
            }
            Some((false, body)) => {
                let length = body.len();
                format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
            }
        }
    })
}

/// Pieces of requests, right and wrong, in any order.
fn soup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => request(),
        1 => prop::sample::select(vec![
            "\r\n", "\n", "0\r\n\r\n", "GET / HTTP/1.1\r\n", "host: a\r\n", "content-length: 3\r\n", "\r\n\r\n",
            "transfer-encoding: chunked\r\n", "transfer-encoding: gzip, chunked\r\n", "POST /#a HTTP/1.1\r\nhost: a\r\n",
            "upgrade: x\r\n", "POST / HTTP/1.0\r\n", "5\r\nhello\r\n", "content-length: 5\r\ncontent-length: 5\r\n",
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

/// What hyper makes of it: the targets of the requests it took, and how many bytes their bodies had.
fn by_hyper(bytes: &[u8]) -> (Vec<(String, usize)>, String) {
    use http_body_util::{BodyExt, Empty};
    use hyper::body::{Bytes, Incoming};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let taken = std::sync::Mutex::new(Vec::new());
        let service = hyper::service::service_fn(|request: http::Request<Incoming>| async {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes().len());
            taken.lock().unwrap().push((parts.uri.to_string(), body.as_ref().copied().unwrap_or(usize::MAX)));
            body.map(|_| http::Response::new(Empty::<Bytes>::new()))
        });
        client.write_all(bytes).await.unwrap();
        let serving =
            hyper::server::conn::http1::Builder::new().serve_connection(hyper_util::rt::TokioIo::new(server), service);
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), serving).await;
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        (taken.into_inner().unwrap(), answers)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn framing_agrees_with_hyper(requests in prop::collection::vec(request(), 1..6), cut in any::<prop::sample::Index>()) {
        let all = requests.concat();
        let (taken, _) = by_hyper(all.as_bytes());
        prop_assert_eq!(taken.len(), requests.len());
        let mut inspector = inspector();
        for (number, request) in requests.iter().enumerate() {
            let (one, other) = request.as_bytes().split_at(cut.index(request.len()));
            prop_assert_eq!(inspector.feed(one).or(inspector.feed(other)), None);
            prop_assert_eq!((inspector.heads(), inspector.place()), (number as u64 + 1, Place::Between));
        }
        prop_assert_eq!(seen(&[all.as_bytes()]), (requests.len() as u64, None, Place::Between));
    }

    #[test]
    fn hyper_never_takes_a_request_that_was_not_seen(soup in soup()) {
        let (taken, answers) = by_hyper(soup.as_bytes());
        let (heads, flaw, place) = seen(&[soup.as_bytes()]);
        let refused = answers.contains(" 400 ") || answers.contains(" 431 ");
        if flaw.is_none() {
            prop_assert!(taken.len() as u64 <= heads, "{} taken, {} seen, {:?}", taken.len(), heads, soup);
            if !refused && place != Place::Stopped && !soup.contains("HTTP/1.0") {
                prop_assert_eq!(taken.len() as u64, heads);
            }
        }
    }
}
