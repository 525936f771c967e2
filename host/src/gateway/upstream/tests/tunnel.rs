//! WebSockets from a client written by hand to a server written by hand.

use std::convert::Infallible;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::*;

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: shop.test\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: chat\r\n\r\n";
const AGREE: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade, x-hop\r\nx-hop: 1\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\n\r\n";

struct Chat {
    client: Peer<TcpStream>,
    server: Peer<TcpStream>,
    held: Arc<()>,
}

/// A client that has asked for a WebSocket, and the server that got its request.
async fn ask(upstream: &Arc<Upstream>, server: &Server, limits: Limits) -> Chat {
    let gateway = Server::start().await;
    let stream = TcpStream::connect(("127.0.0.1", gateway.port())).await.unwrap();
    let mut client = Peer { stream, read: Vec::new() };
    let (accepted, held) = (gateway.accept().await, Arc::new(()));
    let (upstream, holding) = (Arc::clone(upstream), Arc::clone(&held));
    let service = service_fn(move |request: Request<Incoming>| {
        let (upstream, held) = (Arc::clone(&upstream), Arc::clone(&holding));
        async move {
            let (parts, _) = request.into_parts();
            let answer = upgrade(&upstream, parts, &limits, held).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|error| {
                let status = if matches!(error, UpstreamError::InvalidResponse(_)) { 502 } else { 503 };
                Response::builder().status(status).body(UpstreamBody::empty()).unwrap()
            }))
        }
    });
    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(accepted.stream), service);
    tokio::spawn(serving.with_upgrades());
    client.send(ASK).await;
    let mut server = server.accept().await;
    let expected = [
        "GET /chat HTTP/1.1",
        "connection: upgrade",
        "host: shop.test",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol: chat",
        "sec-websocket-version: 13",
        "upgrade: websocket",
    ];
    assert_eq!(server.head().await, expected);
    Chat { client, server, held }
}

#[tokio::test]
async fn text_and_bytes_pass_both_ways_once_the_server_agreed() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let Chat { mut client, server: mut peer, held } = ask(&upstream, &server, limits()).await;
    peer.send(AGREE).await;
    // Right behind the 101: it belongs to the tunnel.
    peer.send(b"\x81\x05hello").await;
    let head = client.head().await;
    assert_eq!(head[0], "HTTP/1.1 101 Switching Protocols");
    for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-protocol: chat"] {
        assert!(head.iter().any(|sent| sent == line), "{head:?}");
    }
    assert!(!head.iter().any(|line| line.starts_with("x-hop") || line.starts_with("content-length")), "{head:?}");
    assert_eq!(client.exactly(7).await, b"\x81\x05hello");
    let binary: Vec<u8> = (0..300_000).map(|number: u32| (number * 7) as u8).collect();
    let frames = [b"\x81\x85\0\0\0\0hello".to_vec(), binary].concat();
    let (sent, echoed) = (frames.clone(), frames.len());
    let writing = tokio::spawn(async move {
        client.send(&sent).await;
        client
    });
    let got = peer.exactly(echoed).await;
    assert_eq!(got, frames);
    let mut client = writing.await.unwrap();
    let sending = tokio::spawn(async move {
        peer.send(&got).await;
        peer
    });
    assert_eq!(client.exactly(echoed).await, frames);
    let mut peer = sending.await.unwrap();
    assert_eq!(Arc::strong_count(&held), 2, "the tunnel has it");
    // One side ends, the other may still say something.
    client.stream.shutdown().await.unwrap();
    assert_eq!(peer.closed().await, b"");
    peer.send(b"\x88\0").await;
    drop(peer);
    assert_eq!(client.closed().await, b"\x88\0");
    soon(async {
        while Arc::strong_count(&held) > 1 || upstream.pool.open() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_raw_before_the_server_agreed() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let Chat { mut client, server: mut peer, .. } = ask(&upstream, &server, limits()).await;
    client.send("GET /smuggled HTTP/1.1\r\nhost: internal\r\n\r\n").await;
    let early = timeout(Duration::from_millis(50), peer.more()).await;
    assert!(early.is_err(), "{:?}", String::from_utf8_lossy(&peer.read));
    peer.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno").await;
    assert_eq!(client.head().await[0], "HTTP/1.1 403 Forbidden");
    assert_eq!(client.exactly(2).await, b"no");
    // It is a request like any other on this connection, so it is this service's again, which needs the headers.
    assert_eq!(client.head().await[0], "HTTP/1.1 503 Service Unavailable");
    assert!(peer.read.is_empty());
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_moves_is_closed() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let limits = Limits { stream_idle: Duration::from_millis(300), ..limits() };
    let Chat { mut client, server: mut peer, .. } = ask(&upstream, &server, limits).await;
    peer.send(AGREE).await;
    client.head().await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send("a").await;
        assert_eq!(peer.exactly(1).await, b"a");
    }
    assert_eq!((client.closed().await, peer.closed().await), (vec![], vec![]));
}

#[tokio::test]
async fn a_tunnel_outlasts_the_deadline_of_its_request() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let deadline = Instant::now() + Duration::from_millis(300);
    let limits = Limits { deadline: Some(deadline), ..limits() };
    let Chat { mut client, server: mut peer, .. } = ask(&upstream, &server, limits).await;
    peer.send(AGREE).await;
    client.head().await;
    tokio::time::sleep_until(deadline + Duration::from_millis(50)).await;
    client.send("late").await;
    assert_eq!(peer.exactly(4).await, b"late");
}

#[tokio::test]
async fn a_server_that_leaves_ends_the_tunnel() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let Chat { mut client, server: mut peer, .. } = ask(&upstream, &server, limits()).await;
    peer.send(AGREE).await;
    client.head().await;
    drop(peer);
    assert_eq!(client.closed().await, b"");
}

#[tokio::test]
async fn http2_has_no_such_upgrade() {
    let server = Server::start().await;
    let upstream = server.below("", Protocol::H2c);
    let (mut parts, ()) = Request::get("/").body(()).unwrap().into_parts();
    let mut request = Request::new(());
    parts.extensions.insert(hyper::upgrade::on(&mut request));
    let error = upgrade(&upstream, parts, &limits(), ()).await.unwrap_err();
    assert_eq!(error, UpstreamError::NotDelivered(NotDelivered::Protocol));
}
