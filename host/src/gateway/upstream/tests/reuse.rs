//! When a connection is used again, and what a closed one means.

use super::*;

async fn exchange(server: &Server, upstream: &Arc<Upstream>, limits: Limits) -> Peer<TcpStream> {
    let answer = send_within(upstream, get("/"), limits);
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send(OK).await;
    assert_eq!(text(answer.await.unwrap().unwrap().into_body()).await.unwrap(), "ok");
    peer
}

/// Waits until so many connections are open.
async fn open(upstream: &Upstream, expected: usize) {
    soon(async {
        while upstream.pool.open() != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_whole_exchange() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let mut peer = exchange(&server, &upstream, limits()).await;
    for _ in 0..20 {
        let answer = send(&upstream, post(full("abc")));
        peer.head().await;
        peer.exactly(3).await;
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
        assert_eq!(text(answer.await.unwrap().unwrap().into_body()).await.unwrap(), "ok");
    }
    assert!(server.is_alone().await);
}

#[tokio::test]
async fn a_connection_is_not_kept_longer_than_its_time() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let mut first = exchange(&server, &upstream, Limits { idle: Duration::ZERO, ..limits() }).await;
    let _second = exchange(&server, &upstream, limits()).await;
    assert_eq!(first.closed().await, b"", "nobody asked for it again, and still it is closed");
    open(&upstream, 1).await;
}

#[tokio::test]
async fn a_server_that_wants_to_close_is_let_go() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let answer = send(&upstream, get("/"));
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    assert_eq!(text(answer.await.unwrap().unwrap().into_body()).await.unwrap(), "ok");
    assert_eq!(peer.closed().await, b"");
    exchange(&server, &upstream, limits()).await;
}

#[tokio::test]
async fn a_request_whose_connection_had_ended_goes_out_on_another_one() {
    let server = Server::start().await;
    let upstream = server.upstream();
    drop(exchange(&server, &upstream, limits()).await);
    // That it was closed is known after a moment, in any case before the next request is written.
    soon(async {
        while upstream.pool.waiting() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let answer = send(&upstream, post(full("abc")));
    let mut peer = server.accept().await;
    assert_eq!(peer.head().await[0], "POST / HTTP/1.1");
    assert_eq!(peer.exactly(3).await, b"abc");
    peer.send(OK).await;
    assert_eq!(answer.await.unwrap().unwrap().status(), 200);
    assert!(server.is_alone().await);
}

#[tokio::test]
async fn a_post_on_a_connection_that_dies_is_sent_exactly_once() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let mut peer = exchange(&server, &upstream, limits()).await;
    let answer = send(&upstream, post(full("abc")));
    assert_eq!(peer.head().await[0], "POST / HTTP/1.1", "on the old connection");
    peer.exactly(3).await;
    drop(peer);
    let error = answer.await.unwrap().unwrap_err();
    assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}");
    assert!(server.is_alone().await, "and nobody tried again");
}

#[tokio::test]
async fn a_new_connection_that_closes_at_once_is_broken_too() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let answer = send(&upstream, get("/"));
    drop(server.accept().await);
    let error = answer.await.unwrap().unwrap_err();
    assert!(matches!(error, UpstreamError::Broken(_)), "nobody knows whether it was read: {error:?}");
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_ends_the_connection() {
    let server = Server::start().await;
    let upstream = server.upstream();
    for length in ["2", "0"] {
        // The rest of the body comes never, and might look like a request.
        let (mut sender, body) = http_body_util::Channel::<Bytes, CallError>::new(1);
        let answer = send(&upstream, post(body.boxed_unsync()));
        sender.send_data(Bytes::from_static(b"GET /smuggled HTTP/1.1\r\n")).await.unwrap();
        let mut peer = server.accept().await;
        peer.head().await;
        let body = if length == "2" { "ok" } else { "" };
        peer.send(format!("HTTP/1.1 413 Too Large\r\ncontent-length: {length}\r\n\r\n{body}")).await;
        let response = answer.await.unwrap().unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(text(response.into_body()).await.unwrap(), body);
        peer.closed().await;
        assert!(sender.send_data(Bytes::from_static(b"more")).await.is_err(), "the client's body is let go");
    }
    exchange(&server, &upstream, limits()).await;
}

#[tokio::test]
async fn a_response_that_nobody_reads_to_its_end_ends_the_connection() {
    let server = Server::start().await;
    let upstream = server.upstream();
    for (sent, dropped_at) in [("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nab", "body"), ("", "head")] {
        let answer = send(&upstream, get("/"));
        let mut peer = server.accept().await;
        peer.head().await;
        peer.send(sent).await;
        if dropped_at == "head" {
            answer.abort();
        } else {
            drop(answer.await.unwrap().unwrap());
        }
        assert_eq!(peer.closed().await, b"");
    }
    open(&upstream, 0).await;
}

#[tokio::test]
async fn there_are_never_more_connections_than_places() {
    let server = Server::start().await;
    let url: Uri = format!("http://127.0.0.1:{}", server.port()).parse().unwrap();
    let target = Target::new(Origin::new(&url, Protocol::Auto, Reach::Anywhere).unwrap());
    let upstream = Arc::new(Upstream { pool: Pool::new(Arc::default(), 2), target, base: String::new() });
    let answers: Vec<_> = (0..10).map(|_| send(&upstream, get("/"))).collect();
    let mut peers = [server.accept().await, server.accept().await];
    assert!(server.is_alone().await);
    let impatient = Limits { connect: Duration::from_millis(20), ..limits() };
    let error = send_within(&upstream, get("/"), impatient).await.unwrap().unwrap_err();
    assert_eq!(error, UpstreamError::NotDelivered(NotDelivered::PoolFull));
    let serving = async {
        let [one, other] = &mut peers;
        let serve = async |peer: &mut Peer<TcpStream>| {
            loop {
                peer.head().await;
                peer.send(OK).await;
            }
        };
        tokio::join!(serve(one), serve(other))
    };
    let asking = async {
        for answer in answers {
            assert_eq!(text(answer.await.unwrap().unwrap().into_body()).await.unwrap(), "ok");
        }
    };
    tokio::select! {
        _ = serving => {}
        () = asking => {}
    }
    assert!(server.is_alone().await);
    assert_eq!(upstream.pool.open(), 2);
}

#[tokio::test]
async fn the_oldest_idle_connection_makes_room_for_another_target() {
    let (one, other) = (Server::start().await, Server::start().await);
    let pool = Pool::new(Arc::default(), 1);
    let upstream = |server: &Server| {
        let url: Uri = format!("http://127.0.0.1:{}", server.port()).parse().unwrap();
        let target = Target::new(Origin::new(&url, Protocol::Auto, Reach::Anywhere).unwrap());
        Arc::new(Upstream { pool: Arc::clone(&pool), target, base: String::new() })
    };
    let mut first = exchange(&one, &upstream(&one), limits()).await;
    let _second = exchange(&other, &upstream(&other), limits()).await;
    assert_eq!(first.closed().await, b"");
    assert_eq!(pool.open(), 1);
}

#[tokio::test]
async fn an_instance_is_kept_while_its_address_is_the_same() {
    let at = |url: &str| url.parse::<Uri>().unwrap();
    let upstream = Upstream::new(&at("http://A.test/base/"), Protocol::Auto, Arc::default()).unwrap();
    assert!(upstream.is_at(&at("http://a.test:80/base"), Protocol::Auto));
    for (url, protocol) in [
        ("http://a.test/", Protocol::Auto),
        ("https://a.test/base", Protocol::Auto),
        ("http://a.test:81/base", Protocol::Auto),
        ("http://b.test/base", Protocol::Auto),
        ("http://a.test/base", Protocol::H2c),
    ] {
        assert!(!upstream.is_at(&at(url), protocol), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_early_answer_is_not_lost_when_the_server_closes_at_once() {
    let server = Server::start().await;
    let upstream = server.upstream();
    for _ in 0..40 {
        let pieces = (0..160).map(|_| Ok(Frame::data(Bytes::from(vec![0; 64 << 10])))).collect();
        let answer = send(&upstream, post(stream(pieces)));
        let mut peer = server.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno").await;
        drop(peer);
        assert_eq!(answer.await.unwrap().unwrap().status(), 413);
    }
}

#[tokio::test]
async fn a_connection_that_ended_hands_the_request_back_unwritten() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let peer = exchange(&server, &upstream, limits()).await;
    let mut lease = upstream.pool.acquire(&upstream.target, false, &limits()).await.unwrap();
    drop(peer);
    soon(async {
        while let Lease::Http1(lease) = &mut lease
            && lease.connection.is_ready()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let (body, sending) = Outgoing::new(&HeaderMap::new(), full("abc"));
    let error = lease.send(Request::post("/").body(body).unwrap(), false).await.unwrap_err();
    let request = unwritten(error, &sending).expect("it may go out on another connection");
    assert!(!request.body().is_end_stream() && !sending.is_done(), "with all of its body");
}

#[tokio::test]
async fn a_shared_connection_that_nobody_uses_makes_room_too() {
    let (one, other) = (Server::start().await, Server::start().await);
    let pool = Pool::new(Arc::default(), 1);
    let upstream = |server: &Server, protocol: Protocol| {
        let url: Uri = format!("http://127.0.0.1:{}", server.port()).parse().unwrap();
        let target = Target::new(Origin::new(&url, protocol, Reach::Anywhere).unwrap());
        Arc::new(Upstream { pool: Arc::clone(&pool), target, base: String::new() })
    };
    let answer = send(&upstream(&one, Protocol::H2c), get("/"));
    let serving = tokio::spawn(super::http2::serve(one.accept().await.stream, super::http2::echo_version));
    assert_eq!(text(answer.await.unwrap().unwrap().into_body()).await.unwrap(), "h2");
    exchange(&other, &upstream(&other, Protocol::Http1), limits()).await;
    soon(serving).await.unwrap();
}
