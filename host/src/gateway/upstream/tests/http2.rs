//! HTTP/2 without TLS; and servers that others use.

use std::convert::Infallible;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

type Served = Response<UnsyncBoxBody<Bytes, BoxError>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn echo(request: Request<Incoming>) -> Served {
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let hosts = request.headers().get_all(HOST).iter().count();
    let said = format!("{} {hosts} {}", request.uri().scheme_str().unwrap_or_default(), request.uri().path());
    let mut response = Response::new(request.into_body().map_err(Into::into).boxed_unsync());
    response.headers_mut().insert("x-authority", authority.parse().unwrap());
    response.headers_mut().insert("x-said", said.parse().unwrap());
    response
}

pub(super) fn echo_version(request: Request<Incoming>) -> Served {
    let version = if request.version() == http::Version::HTTP_2 { "h2" } else { "http/1.1" };
    Response::new(Full::new(Bytes::from_static(version.as_bytes())).map_err(Into::into).boxed_unsync())
}

pub(super) async fn serve<S>(stream: S, answer: fn(Request<Incoming>) -> Served)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| async move { Ok::<_, Infallible>(answer(request)) });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

pub(super) async fn serve_http1(stream: TcpStream) {
    let service = service_fn(|request| async move { Ok::<_, Infallible>(echo(request)) });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

pub(super) async fn serve_body(stream: TcpStream, protocol: Protocol, body: TestBody) {
    let body = std::sync::Mutex::new(Some(body));
    let service = service_fn(move |_request: Request<Incoming>| {
        let body = body.lock().unwrap().take().unwrap();
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let stream = TokioIo::new(stream);
    let _ = if protocol == Protocol::H2c {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
    };
}

/// The next request of a connection that is written by hand.
async fn next(
    connection: &mut h2::server::Connection<TcpStream, Bytes>,
) -> (Request<h2::RecvStream>, h2::server::SendResponse<Bytes>) {
    soon(connection.accept()).await.unwrap().unwrap()
}

#[tokio::test]
async fn requests_share_a_connection_and_keep_their_host() {
    let server = Server::start().await;
    let upstream = server.below("/base", Protocol::H2c);
    let answers: Vec<_> = (0..50)
        .map(|number| {
            let body = stream(vec![data("ab"), Ok(Frame::trailers(trailers("x-sum", "1")))]);
            let request = Request::post(format!("/{number}")).header(HOST, "shop.test:81").header("te", "trailers");
            send(&upstream, request.body(body).unwrap())
        })
        .collect();
    let serving = tokio::spawn(serve(server.accept().await.stream, echo));
    for (number, answer) in answers.into_iter().enumerate() {
        let response = answer.await.unwrap().unwrap();
        assert_eq!(response.headers()["x-authority"], "shop.test:81");
        assert_eq!(response.headers()["x-said"], format!("http 0 /base/{number}"));
        assert_eq!(response.version(), http::Version::HTTP_11);
        let body = soon(response.into_body().collect()).await.unwrap();
        assert_eq!(body.trailers(), Some(&trailers("x-sum", "1")));
        assert_eq!(body.to_bytes(), "ab");
    }
    assert_eq!(upstream.pool.open(), 1);
    assert!(server.is_alone().await);
    serving.abort();
}

#[tokio::test]
async fn a_full_connection_gets_a_second_beside_it() {
    let server = Server::start().await;
    let upstream = server.below("", Protocol::H2c);
    let _answers: Vec<_> = (0..101).map(|_| send(&upstream, get("/"))).collect();
    let _first = server.accept().await;
    let _second = server.accept().await;
    assert!(server.is_alone().await);
    assert_eq!(upstream.pool.open(), 2);
}

#[tokio::test]
async fn a_refused_request_was_not_delivered() {
    let server = Server::start().await;
    let upstream = server.below("", Protocol::H2c);
    for (reason, expected) in [
        (h2::Reason::REFUSED_STREAM, Some(NotDelivered::Refused)),
        (h2::Reason::INTERNAL_ERROR, None),
        (h2::Reason::CANCEL, None),
    ] {
        let answer = send(&upstream, get("/"));
        let peer = server.accept().await;
        let mut connection = h2::server::handshake(peer.stream).await.unwrap();
        let (_request, mut respond) = next(&mut connection).await;
        respond.send_reset(reason);
        let driving = tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let error = answer.await.unwrap().unwrap_err();
        match expected {
            Some(why) => assert_eq!(error, UpstreamError::NotDelivered(why)),
            None => assert!(matches!(error, UpstreamError::Broken(_)), "{error:?}"),
        }
        driving.abort();
        let _ = driving.await;
        soon(async {
            while upstream.pool.waiting() > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_goes_away_leaves_what_it_does_not_name_to_others() {
    let server = Server::start().await;
    let upstream = server.below("", Protocol::H2c);
    let first = send(&upstream, get("/first"));
    let mut peer = server.accept().await;
    // Preface, settings of both, and a GOAWAY that says: none of your streams was looked at.
    peer.exactly(24).await;
    peer.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    while !peer.read.windows(2).any(|window| window == [1, 5] || window == [1, 4]) {
        peer.more().await;
    }
    peer.send([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await;
    assert_eq!(first.await.unwrap().unwrap_err(), UpstreamError::NotDelivered(NotDelivered::Refused));
    let second = send(&upstream, get("/second"));
    let serving = tokio::spawn(serve(server.accept().await.stream, echo));
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    serving.abort();
}

#[tokio::test]
async fn a_stream_that_is_reset_in_its_body_is_broken_whatever_the_reason() {
    let server = Server::start().await;
    let upstream = server.below("", Protocol::H2c);
    let mut answer = send(&upstream, get("/"));
    let mut connection = h2::server::handshake(server.accept().await.stream).await.unwrap();
    for reason in [h2::Reason::NO_ERROR, h2::Reason::CANCEL, h2::Reason::INTERNAL_ERROR] {
        let (_request, mut respond) = next(&mut connection).await;
        let mut body = respond.send_response(Response::new(()), false).unwrap();
        body.send_data(Bytes::from_static(b"half"), false).unwrap();
        let reading = async {
            let mut reading = (&mut answer).await.unwrap().unwrap().into_body();
            assert_eq!(soon(reading.frame()).await.unwrap().unwrap().into_data().unwrap(), "half");
            body.send_reset(reason);
            text(reading).await.unwrap_err()
        };
        let error = tokio::select! {
            error = reading => error,
            _ = connection.accept() => panic!("nothing else was sent"),
        };
        assert!(matches!(error, UpstreamError::Broken(_)), "{reason:?}: {error:?}");
        answer = send(&upstream, get("/"));
    }
}

#[tokio::test]
async fn a_dropped_response_resets_its_stream_and_no_other() {
    let server = Server::start().await;
    let upstream = server.below("", Protocol::H2c);
    let (mut sender, body) = http_body_util::Channel::<Bytes, CallError>::new(1);
    let dropped = send(&upstream, post(body.boxed_unsync()));
    let serving = tokio::spawn(serve(server.accept().await.stream, echo));
    let response = dropped.await.unwrap().unwrap();
    let kept = send(&upstream, post(full("kept"))).await.unwrap().unwrap();
    drop(response);
    let ended = async { while sender.send_data(Bytes::from_static(b"a")).await.is_ok() {} };
    soon(ended).await;
    assert_eq!(text(kept.into_body()).await.unwrap(), "kept");
    assert_eq!(upstream.pool.open(), 1);
    serving.abort();
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_lets_go_of_the_rest_of_it() {
    let server = Server::start().await;
    let upstream = server.below("", Protocol::H2c);
    let (mut sender, body) = http_body_util::Channel::<Bytes, CallError>::new(1);
    let answer = send(&upstream, post(body.boxed_unsync()));
    let mut connection = h2::server::handshake(server.accept().await.stream).await.unwrap();
    let (_unread, mut respond) = next(&mut connection).await;
    respond.send_response(Response::builder().status(413).body(()).unwrap(), true).unwrap();
    let driving = tokio::spawn(async move { while connection.accept().await.is_some() {} });
    assert_eq!(answer.await.unwrap().unwrap().status(), 413);
    soon(async { while sender.send_data(Bytes::from_static(b"a")).await.is_ok() {} }).await;
    assert_eq!(upstream.pool.open(), 1, "the connection is not to blame");
    driving.abort();
}

#[tokio::test]
async fn what_a_request_carries_along_inside_the_gateway_stays_there() {
    let server = Server::start().await;
    let upstream = server.below("", Protocol::H2c);
    let mut request = get("/");
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    let answer = send(&upstream, request);
    let serving = tokio::spawn(serve(server.accept().await.stream, echo_version));
    assert_eq!(answer.await.unwrap().unwrap().status(), 200, "with `:protocol` it is malformed");
    serving.abort();
}
