//! Heads and bodies, byte by byte.

use super::*;

#[tokio::test]
async fn the_head_is_the_clients_without_what_was_for_this_hop_only() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let request = Request::get("http://shop.test/orders?id=1&x=%2F")
        .header("host", "shop.test")
        .header("connection", "close, x-secret")
        .header("x-secret", "1")
        .header("keep-alive", "timeout=5")
        .header("te", "trailers, deflate")
        .header("transfer-encoding", "gzip")
        .header("content-length", "77")
        .header("expect", "100-continue")
        .header("upgrade", "h2c")
        .header("x-kept", "a")
        .header("x-kept", "b");
    let answer = send(&upstream, request.body(empty()).unwrap());
    let mut peer = server.accept().await;
    let expected = [
        "GET /orders?id=1&x=%2F HTTP/1.1",
        "connection: te",
        "host: shop.test",
        "te: trailers",
        "x-kept: a",
        "x-kept: b",
    ];
    assert_eq!(peer.head().await, expected);
    peer.send(
        "HTTP/1.1 201 Fine\r\nX-A: 1\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let response = answer.await.unwrap().unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (201, http::Version::HTTP_11));
    let mut names: Vec<&str> = response.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x-a"]);
    assert!(response.extensions().is_empty(), "a reason phrase is the server's own");
    assert_eq!(text(response.into_body()).await.unwrap(), "ok");
}

#[tokio::test]
async fn the_framing_says_what_the_body_is() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let unknown = || stream(vec![data("ab"), data("c")]);
    let chunks = "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
    let mut peer = None;
    for (method, body, line, bytes) in [
        ("GET", empty(), "", ""),
        ("HEAD", empty(), "", ""),
        ("DELETE", empty(), "", ""),
        ("POST", empty(), "content-length: 0", ""),
        ("PUT", empty(), "content-length: 0", ""),
        ("POST", full("abc"), "content-length: 3", "abc"),
        ("GET", full("abc"), "content-length: 3", "abc"),
        ("POST", unknown(), "transfer-encoding: chunked", chunks),
        ("GET", unknown(), "transfer-encoding: chunked", chunks),
        ("DELETE", unknown(), "transfer-encoding: chunked", chunks),
    ] {
        // What the client's framing was does not matter.
        let request = Request::builder().method(method).uri("/").header(CONTENT_LENGTH, "1").body(body).unwrap();
        let answer = send(&upstream, request);
        if peer.is_none() {
            peer = Some(server.accept().await);
        }
        let peer = peer.as_mut().unwrap();
        let head = peer.head().await;
        let framing: Vec<&str> = head
            .iter()
            .map(String::as_str)
            .filter(|l| l.starts_with("content-l") || l.starts_with("transfer"))
            .collect();
        assert_eq!(framing.join(","), line, "{method}");
        assert_eq!(String::from_utf8(peer.exactly(bytes.len()).await).unwrap(), bytes, "{method}");
        peer.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(answer.await.unwrap().unwrap().status(), 204);
    }
    assert!(server.is_alone().await, "all of them on one connection");
}

#[tokio::test]
async fn the_host_is_the_clients_and_the_path_lies_below_the_instances() {
    let server = Server::start().await;
    let own = format!("host: 127.0.0.1:{}", server.port());
    for (base, asked, host, line, says) in [
        ("/base/", "/a?b", Some("shop.test:8080"), "GET /base/a?b HTTP/1.1", "host: shop.test:8080"),
        ("", "/", Some("a.test"), "GET / HTTP/1.1", "host: a.test"),
        ("", "/", None, "GET / HTTP/1.1", own.as_str()),
        ("", "*", Some("a.test"), "GET * HTTP/1.1", "host: a.test"),
        ("/base", "*", Some("a.test"), "GET /base HTTP/1.1", "host: a.test"),
    ] {
        let upstream = server.below(base, Protocol::Http1);
        let mut request = Request::get(asked).body(empty()).unwrap();
        if let Some(host) = host {
            request.headers_mut().insert(HOST, HeaderValue::from_static(host));
        }
        let answer = send(&upstream, request);
        let mut peer = server.accept().await;
        assert_eq!(peer.head().await, [line, says]);
        peer.send(OK).await;
        answer.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let body = stream(vec![data("ab"), Ok(Frame::trailers(trailers("x-sum", "1")))]);
    let mut request = post(body);
    request.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
    let answer = send(&upstream, request);
    let mut peer = server.accept().await;
    assert!(peer.head().await.contains(&"trailer: x-sum".to_owned()));
    assert_eq!(peer.until("\r\n\r\n").await, "2\r\nab\r\n0\r\nx-sum: 1\r\n\r\n");
    peer.send("HTTP/1.1 200 OK\r\ntrailer: x-end\r\ntransfer-encoding: chunked\r\n\r\n").await;
    peer.send("2\r\nok\r\n0\r\nx-end: 2\r\nset-cookie: a\r\n\r\n").await;
    let body = soon(answer.await.unwrap().unwrap().into_body().collect()).await.unwrap();
    assert_eq!(body.trailers(), Some(&trailers("x-end", "2")), "and nothing that belongs into a head");
    assert_eq!(body.to_bytes(), "ok");
}

#[tokio::test]
async fn a_known_length_gives_way_to_announced_trailers() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let mut request = post(full("abc"));
    request.headers_mut().insert("trailer", HeaderValue::from_static("x-sum"));
    let _answer = send(&upstream, request);
    let mut peer = server.accept().await;
    assert!(peer.head().await.contains(&"transfer-encoding: chunked".to_owned()));
    assert_eq!(peer.until("\r\n\r\n").await, "3\r\nabc\r\n0\r\n\r\n");
}

#[tokio::test]
async fn provisional_responses_are_dropped() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let answer = send(&upstream, post(full("abc")));
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await;
    peer.send(OK).await;
    let response = answer.await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.headers().contains_key("link"));
}

#[tokio::test]
async fn responses_without_a_body_end_with_their_head() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let mut peer = None;
    for (method, head, length) in [
        ("HEAD", "200 OK\r\ncontent-length: 1000", Some("1000")),
        ("HEAD", "200 OK\r\ntransfer-encoding: chunked", None),
        ("GET", "304 Not Modified\r\ncontent-length: 1000", Some("1000")),
        ("GET", "204 No Content\r\ncontent-length: 0", None),
        ("GET", "200 OK\r\ncontent-length: 0", Some("0")),
    ] {
        let answer = send(&upstream, Request::builder().method(method).uri("/").body(empty()).unwrap());
        if peer.is_none() {
            peer = Some(server.accept().await);
        }
        let peer = peer.as_mut().unwrap();
        peer.head().await;
        peer.send(format!("HTTP/1.1 {head}\r\n\r\n")).await;
        let response = answer.await.unwrap().unwrap();
        assert_eq!(response.headers().get(CONTENT_LENGTH).map(|value| value.to_str().unwrap()), length, "{head}");
        assert!(response.body().is_end_stream(), "{head}");
    }
    assert!(server.is_alone().await);
}

#[tokio::test]
async fn a_body_may_end_with_the_connection() {
    let server = Server::start().await;
    let upstream = server.upstream();
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"] {
        let answer = send(&upstream, get("/"));
        let mut peer = server.accept().await;
        peer.head().await;
        peer.send(format!("{head}all there is")).await;
        drop(peer);
        let response = answer.await.unwrap().unwrap();
        assert_eq!(text(response.into_body()).await.unwrap(), "all there is");
    }
}
