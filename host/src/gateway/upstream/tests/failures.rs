//! Servers that are not there, not in time, or not whom they say.

use super::*;

fn not_delivered(result: Answer) -> NotDelivered {
    match result.unwrap_err() {
        UpstreamError::NotDelivered(why) => why,
        other => panic!("{other:?}"),
    }
}

fn upstream(url: &str) -> Arc<Upstream> {
    Upstream::new(&url.parse().unwrap(), Protocol::Auto, Arc::default()).unwrap()
}

#[tokio::test]
async fn what_was_not_delivered_says_so() {
    let gone = Server::start().await;
    let port = gone.port();
    drop(gone);
    let refused = send(&upstream(&format!("http://127.0.0.1:{port}")), get("/")).await.unwrap();
    assert!(matches!(not_delivered(refused), NotDelivered::Connect(_)));
    let unknown = send(&upstream("http://nobody.invalid"), get("/")).await.unwrap();
    assert!(matches!(not_delivered(unknown), NotDelivered::Dns(_)));
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_a_connection_that_does_not_come() {
    let server = Server::start().await;
    let upstream = self::upstream(&format!("https://127.0.0.1:{}", server.port()));
    let impatient = Limits { connect: Duration::from_millis(300), ..limits() };
    let answer = send_within(&upstream, get("/"), impatient);
    let mut peer = server.accept().await;
    let answer = answer.await.unwrap();
    // The roots of a machine without any are missed first.
    assert!(matches!(not_delivered(answer), NotDelivered::ConnectTimeout | NotDelivered::Tls(_)));
    peer.closed().await;
    assert_eq!(upstream.pool.open(), 0);
}

#[tokio::test]
async fn the_deadline_counts_while_connecting_too() {
    let server = Server::start().await;
    let (_held, limits) = (Server::start().await, Limits { deadline: Some(Instant::now()), ..limits() });
    let url: Uri = format!("http://127.0.0.1:{}", server.port()).parse().unwrap();
    let target = Target::new(Origin::new(&url, Protocol::Auto, Reach::Anywhere).unwrap());
    let upstream = Arc::new(Upstream { pool: Pool::new(Arc::default(), 0), target, base: String::new() });
    assert_eq!(send_within(&upstream, get("/"), limits).await.unwrap().unwrap_err(), UpstreamError::Timeout);
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time_is_left() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let soon = Duration::from_millis(50);
    for limits in [
        Limits { deadline: Some(Instant::now() + soon), ..limits() },
        Limits { first_byte: Some(soon), ..limits() },
        Limits { stream_idle: soon, ..limits() },
    ] {
        let answer = send_within(&upstream, post(full("abc")), limits);
        let mut peer = server.accept().await;
        assert_eq!(answer.await.unwrap().unwrap_err(), UpstreamError::Timeout, "{limits:?}");
        peer.closed().await;
    }
}

#[tokio::test]
async fn a_request_whose_body_fails_is_the_clients_fault() {
    let server = Server::start().await;
    let upstream = server.upstream();
    let fault = CallError::RequestStalled;
    let answer = send(&upstream, post(stream(vec![data("ab"), Err(fault.clone())])));
    let mut peer = server.accept().await;
    assert_eq!(answer.await.unwrap().unwrap_err(), UpstreamError::Request(fault));
    assert!(!peer.closed().await.ends_with(b"0\r\n\r\n"), "the server must not take it for a whole one");
}

#[tokio::test]
async fn connect_is_not_passed_on() {
    let upstream = upstream("http://127.0.0.1:1");
    let request = Request::builder().method("CONNECT").uri("a.test:443").body(empty()).unwrap();
    assert!(matches!(send(&upstream, request).await.unwrap().unwrap_err(), UpstreamError::Request(_)));
}

/// A certificate for `localhost`, and a server that shows it.
fn identity() -> (rustls_pki_types::CertificateDer<'static>, rustls::ServerConfig) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    (certificate.der().clone(), config)
}

#[tokio::test]
async fn https_speaks_what_the_handshake_says() {
    for (server_says, protocol, spoken) in [
        (&["h2", "http/1.1"][..], Protocol::Auto, "h2"),
        (&["h2", "http/1.1"], Protocol::Http1, "http/1.1"),
        (&["http/1.1"], Protocol::Auto, "http/1.1"),
        (&[], Protocol::Auto, "http/1.1"),
    ] {
        let (root, mut config) = identity();
        config.alpn_protocols = server_says.iter().map(|name| name.as_bytes().to_vec()).collect();
        let server = Server::start().await;
        let url: Uri = format!("https://localhost:{}", server.port()).parse().unwrap();
        let upstream = Upstream::new(&url, protocol, Arc::new(Tls::trusting(root))).unwrap();
        let answers: Vec<_> = (0..3).map(|_| send(&upstream, get("/"))).collect();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let served = tokio::spawn(async move {
            loop {
                let peer = server.accept().await;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let stream = acceptor.accept(peer.stream).await.unwrap();
                    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                        return super::http2::serve(stream, super::http2::echo_version).await;
                    }
                    let mut peer = Peer { stream, read: Vec::new() };
                    peer.head().await;
                    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhttp/1.1").await;
                    peer.closed().await;
                });
            }
        });
        for answer in answers {
            assert_eq!(text(answer.await.unwrap().unwrap().into_body()).await.unwrap(), spoken, "{server_says:?}");
        }
        if spoken == "h2" {
            assert_eq!(upstream.pool.open(), 1, "several requests, one connection");
        }
        served.abort();
    }
}

#[tokio::test]
async fn a_server_that_cannot_prove_who_it_is_gets_no_request() {
    let (root, config) = identity();
    let (other_root, _) = identity();
    let config = Arc::new(config);
    for (host, root) in [("127.0.0.1", root), ("localhost", other_root)] {
        let server = Server::start().await;
        let url: Uri = format!("https://{host}:{}", server.port()).parse().unwrap();
        let upstream = Upstream::new(&url, Protocol::Auto, Arc::new(Tls::trusting(root))).unwrap();
        let answer = send(&upstream, get("/"));
        let peer = server.accept().await;
        assert!(tokio_rustls::TlsAcceptor::from(Arc::clone(&config)).accept(peer.stream).await.is_err());
        assert!(matches!(not_delivered(answer.await.unwrap()), NotDelivered::Tls(_)));
    }
}
