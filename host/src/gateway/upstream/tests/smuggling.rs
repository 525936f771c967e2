//! Responses that two readers could take for different things.

use super::*;

#[tokio::test]
async fn a_response_that_can_be_read_in_two_ways_is_not_passed_on() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let many = format!("200 OK{}", "\r\nx: 1".repeat(101));
    let large = format!("200 OK\r\nx: {}", "a".repeat(70 << 10));
    for (method, head) in [
        ("GET", "200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked"),
        ("GET", "200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2"),
        ("HEAD", "200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2"),
        ("GET", "304 Not Modified\r\ntransfer-encoding: chunked\r\ncontent-length: 2"),
        ("GET", "200 OK\r\ncontent-length: 2\r\ncontent-length: 3"),
        ("GET", "200 OK\r\ncontent-length: 2\r\ncontent-length: 2"),
        ("HEAD", "200 OK\r\ncontent-length: 2\r\ncontent-length: 3"),
        ("GET", "200 OK\r\ncontent-length: 2, 2"),
        ("GET", "200 OK\r\ncontent-length: 2, 3"),
        ("GET", "200 OK\r\ncontent-length: +2"),
        ("GET", "200 OK\r\ncontent-length: -2"),
        ("GET", "200 OK\r\ncontent-length: 0x2"),
        ("GET", "200 OK\r\ncontent-length:"),
        ("HEAD", "200 OK\r\ncontent-length: two"),
        ("GET", "200 OK\r\ncontent-length: 99999999999999999999999"),
        ("GET", "200 OK\r\ntransfer-encoding: gzip, chunked"),
        ("GET", "200 OK\r\ntransfer-encoding: chunked, chunked"),
        ("GET", "200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked"),
        ("GET", "200 OK\r\ntransfer-encoding: xchunked"),
        ("GET", "200 OK\r\ntransfer-encoding: \"chunked\""),
        ("GET", "200 OK\r\ntransfer-encoding: chunked, identity"),
        ("GET", "200 OK\r\ntransfer-encoding : chunked"),
        ("GET", "200 OK\r\nx-a: 1\r\n folded: 2"),
        ("GET", "200 OK\r\nx a: 1"),
        ("GET", "200 OK\r\n: 1"),
        ("GET", "200 OK\r\nx-a: a\0b"),
        ("GET", "200 OK\r\nx-a: a\rb"),
        ("GET", "200 OK\r\nno colon"),
        ("GET", "101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket"),
        ("GET", "999 Odd\r\ncontent-length: 2"),
        ("GET", "99 Odd\r\ncontent-length: 2"),
        ("GET", "2000 OK"),
        ("GET", many.as_str()),
        ("GET", large.as_str()),
    ] {
        let answer = send(&upstream, Request::builder().method(method).uri("/").body(empty()).unwrap());
        let mut peer = server.accept().await;
        peer.head().await;
        // It may be closed before all was written.
        let sending = format!("HTTP/1.1 {head}\r\n\r\nok");
        let _ = soon(peer.stream.write_all(sending.as_bytes())).await;
        let error = answer.await.unwrap().err();
        let shown = &head[..head.len().min(99)];
        assert!(matches!(error, Some(UpstreamError::InvalidResponse(_))), "{method} {shown}: {error:?}");
        assert_eq!(peer.closed().await, b"", "its connection is not used again");
    }
    for (bytes, what) in [
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "chunks in HTTP/1.0"),
        ("HTTP/2.0 200 OK\r\n\r\n", "another version"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "another protocol"),
    ] {
        let answer = send(&upstream, get("/"));
        let mut peer = server.accept().await;
        peer.head().await;
        peer.send(bytes).await;
        let error = answer.await.unwrap().unwrap_err();
        assert!(matches!(error, UpstreamError::InvalidResponse(_)), "{what}: {error:?}");
    }
}

#[tokio::test]
async fn chunks_that_are_none_break_the_body_off() {
    let server = Server::start().await;
    let upstream = server.upstream();
    for chunks in [
        "zz\r\nok\r\n0\r\n\r\n",
        "2\r\nokXX0\r\n\r\n",
        "-2\r\nok",
        "fffffffffffffffff\r\nok",
        "2;a\nb\r\nok\r\n",
        " 2\r\nok",
    ] {
        let answer = send(&upstream, get("/"));
        let mut peer = server.accept().await;
        peer.head().await;
        peer.send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")).await;
        let response = answer.await.unwrap().unwrap();
        let error = text(response.into_body()).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Broken(_)), "{chunks}: {error:?}");
        assert_eq!(peer.closed().await, b"");
    }
}

#[tokio::test]
async fn a_second_response_that_nobody_asked_for_ends_the_connection() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let answer = send(&upstream, get("/first"));
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send(format!("{OK}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")).await;
    assert_eq!(text(answer.await.unwrap().unwrap().into_body()).await.unwrap(), "ok");
    assert_eq!(peer.closed().await, b"");
    let answer = send(&upstream, get("/second"));
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send(OK).await;
    assert_eq!(text(answer.await.unwrap().unwrap().into_body()).await.unwrap(), "ok");
}
