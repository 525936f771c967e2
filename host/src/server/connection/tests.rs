//! Slow and abusive clients under a clock that is advanced, never waited for.

use std::convert::Infallible;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::config::{self, Connections};
use crate::server::HeadFlaw;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Answers by path.
#[derive(Default)]
struct Paths;

fn full(body: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, Infallible> {
    Full::new(body.into()).boxed_unsync()
}

impl Handler for Paths {
    type Body = UnsyncBoxBody<Bytes, Infallible>;

    async fn handle(self: Arc<Self>, _connection: Connection, request: Request<Incoming>) -> Response<Self::Body> {
        if let Some(flaw) = request.extensions().get::<HeadFlaw>() {
            let status = if flaw.unsupported { 501 } else { 400 };
            return Response::builder().status(status).body(full(flaw.detail)).unwrap();
        }
        Response::new(match request.uri().path() {
            // An event, nothing for two minutes, another event, and the end.
            "/events" => {
                let events = futures_util::stream::unfold(0, |number| async move {
                    if number == 1 {
                        sleep(2 * MINUTE).await;
                    }
                    (number < 2).then(|| (Ok(Frame::data(Bytes::from_static(b"event\n"))), number + 1))
                });
                StreamBody::new(events).boxed_unsync()
            }
            "/large" => {
                let pieces = (0..64).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 16 << 10]))));
                StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()
            }
            "/echo" => full(request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default()),
            "/later" => {
                sleep(2 * MINUTE).await;
                full("later")
            }
            "/tunnel" => {
                let changed = hyper::upgrade::on(request);
                tokio::spawn(async move {
                    let (mut reading, mut writing) = tokio::io::split(TokioIo::new(changed.await.unwrap()));
                    tokio::io::copy(&mut reading, &mut writing).await
                });
                let mut response =
                    Response::builder().status(101).header("upgrade", "websocket").body(full("")).unwrap();
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
                response.extensions_mut().insert(Switching);
                return response;
            }
            _ => full("hello"),
        })
    }
}

/// A client's end, and the task of the connection.
struct Client {
    stream: DuplexStream,
    serving: JoinHandle<Duration>,
    drain: Drain,
}

fn connections() -> Connections {
    // Clients here do not answer PINGs.
    let keep_alive = config::Http2 { keep_alive_interval: config::Duration::secs(3600), ..config::Http2::default() };
    Connections { http2: keep_alive, ..Connections::default() }
}

fn ends() -> Connection {
    let address = "192.0.2.1:1".parse().unwrap();
    Connection { peer: address, local: address, listener: "default".into(), secure: None }
}

fn connect(protocol: Protocol, connections: &Connections) -> Client {
    let (stream, server) = duplex(32 << 10);
    let (limits, drain) = (Limits::new(connections), Drain::default());
    let serving = serve(server, protocol, ends(), Arc::new(Paths), drain.clone(), limits);
    let serving = tokio::spawn(async move {
        let began = Instant::now();
        serving.await;
        began.elapsed()
    });
    Client { stream, serving, drain }
}

fn cleartext() -> Client {
    connect(Protocol::Detect, &connections())
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads until there is nothing more for a while.
    async fn read(&mut self, patience: Duration) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
        while let Ok(Ok(count @ 1..)) = timeout(patience, self.stream.read(&mut buffer)).await {
            all.extend_from_slice(&buffer[..count]);
        }
        all
    }

    async fn text(&mut self) -> String {
        String::from_utf8(self.read(Duration::from_millis(10)).await).unwrap()
    }

    /// Seconds after which the connection ended, on our side too, without the client's doing.
    async fn ended_after(self) -> u64 {
        let ended = timeout(HOUR, self.serving).await.expect("the connection is held for ever").unwrap();
        drop(self.stream);
        ended.as_secs()
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The beginning of a connection on which every response gets a window of so many bytes.
fn preface(window: u32) -> Vec<u8> {
    let settings = [&4u16.to_be_bytes()[..], &window.to_be_bytes()].concat();
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &settings)].concat()
}

/// A request without a body, in HPACK without its table.
fn get(stream: u32, path: &str) -> Vec<u8> {
    let path_length = u8::try_from(path.len()).unwrap();
    let head = [&[0x82, 0x86, 0x04, path_length], path.as_bytes(), &[0x01, 1, b'a']].concat();
    frame(1, 0x5, stream, &head)
}

/// Kind, flags and stream of the frames in here.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32)> {
    let mut all = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<9>() {
        let [a, b, c, kind, flags, id @ ..] = *header;
        all.push((kind, flags, u32::from_be_bytes(id)));
        bytes = rest.get(u32::from_be_bytes([0, a, b, c]) as usize..).unwrap_or_default();
    }
    all
}

const DATA: u8 = 0;
const RESET: u8 = 3;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_nothing_is_left_after_the_first_byte_timeout() {
    for protocol in [Protocol::Detect, Protocol::Http1, Protocol::Http2] {
        assert_eq!(connect(protocol, &connections()).ended_after().await, 10, "{protocol:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_one_byte_is_left_after_the_head_timeout() {
    for protocol in [Protocol::Detect, Protocol::Http1, Protocol::Http2] {
        let mut client = connect(protocol, &connections());
        sleep(Duration::from_secs(5)).await;
        client.send("P").await;
        assert_eq!(client.ended_after().await, 15, "{protocol:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_has_ten_seconds_in_all() {
    let mut client = cleartext();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n").await;
    while !client.serving.is_finished() {
        sleep(Duration::from_secs(1)).await;
        let _ = client.stream.write_all(b"x: y\r\n").await;
    }
    assert_eq!(client.ended_after().await, 10);
}

#[tokio::test(start_paused = true)]
async fn every_head_of_a_connection_has_its_ten_seconds() {
    let mut client = cleartext();
    for _ in 0..3 {
        client.send(GET).await;
        assert!(client.text().await.ends_with("hello"));
        sleep(Duration::from_secs(40)).await;
    }
    let before = Instant::now();
    client.send("GET /").await;
    client.stream.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_preface_without_settings_has_ten_seconds() {
    for (bytes, protocol) in [(24, Protocol::Detect), (24, Protocol::Http2), (30, Protocol::Detect)] {
        let mut client = connect(protocol, &connections());
        client.send(&preface(65_535)[..bytes]).await;
        assert_eq!(client.ended_after().await, 10, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_http2_head_that_drips_has_ten_seconds() {
    let head = get(1, "/");
    let open_block = frame(1, 0, 1, &head[9..]);
    for bytes in [&head[..3], &head[..12], &open_block] {
        let mut client = cleartext();
        client.send([&preface(65_535), bytes].concat()).await;
        assert_eq!(client.ended_after().await, 10, "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_after_the_idle_timeout() {
    let mut client = cleartext();
    client.send(GET).await;
    assert_eq!(client.ended_after().await, 60);

    let mut client = cleartext();
    client.send([preface(65_535), frame(4, 1, 0, b""), get(1, "/")].concat()).await;
    let got = frames(&client.read(HOUR).await);
    assert!(got.iter().any(|(kind, ..)| *kind == GOAWAY), "{got:?}");
    assert_eq!(client.ended_after().await, 60);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_long_is_no_idle_connection() {
    let mut client = cleartext();
    client.send(b"GET /later HTTP/1.1\r\nhost: a\r\n\r\nGET / HT").await;
    let before = Instant::now();
    let answer = String::from_utf8(client.read(HOUR).await).unwrap();
    assert!(answer.ends_with("later"), "{answer}");
    // The next head's clock begins when it is its turn.
    assert_eq!(before.elapsed().as_secs(), 130);

    let mut client = cleartext();
    client.send(b"GET /later HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.ended_after().await, 180);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_still_takes_a_response_is_not_idle() {
    let few = Connections { idle_timeout: config::Duration::secs(5), ..connections() };
    let mut client = connect(Protocol::Detect, &few);
    client.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (mut got, mut buffer) = (0, vec![0; 16 << 10]);
    while got < 1 << 20 {
        got += client.stream.read(&mut buffer).await.unwrap();
        sleep(Duration::from_secs(4)).await;
    }
    let before = Instant::now();
    client.read(HOUR).await;
    assert!(before.elapsed().as_secs() <= 5);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_left_to_whoever_reads_it() {
    let mut client = cleartext();
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    assert!(timeout(10 * MINUTE, &mut client.serving).await.is_err());
    client.send("world").await;
    assert!(client.text().await.ends_with("helloworld"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_left_after_the_write_timeout() {
    let mut client = cleartext();
    client.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.ended_after().await, 30);

    let mut client = cleartext();
    let windows = frame(8, 0, 0, &(1u32 << 30).to_be_bytes());
    client.send([preface(1 << 30), windows, get(1, "/large")].concat()).await;
    assert_eq!(client.ended_after().await, 30);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_everything() {
    let mut client = cleartext();
    client.send("GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let (mut got, mut buffer) = (0, vec![0; 16 << 10]);
    while let count @ 1.. = client.stream.read(&mut buffer).await.unwrap() {
        got += count;
        sleep(Duration::from_secs(20)).await;
    }
    assert!(got > 1 << 20, "{got}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_gets_no_window_is_reset_and_the_others_go_on() {
    let mut client = cleartext();
    let began = Instant::now();
    client.send([preface(0), get(1, "/large"), get(3, "/")].concat()).await;
    sleep(Duration::from_secs(20)).await;
    // Stream 3 gets room in time.
    client.send(frame(8, 0, 3, &1000u32.to_be_bytes())).await;
    let mut got = Vec::new();
    while !got.contains(&(RESET, 0, 1)) {
        got.extend(frames(&client.read(Duration::from_secs(1)).await));
    }
    let reset = began.elapsed().as_secs();
    assert!((50..=52).contains(&reset), "30s after anything moved, not {reset}s: {got:?}");
    assert!(got.contains(&(RESET, 0, 1)) && got.contains(&(DATA, 1, 3)), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_gets_no_window_does_not_outlive_the_write_timeout() {
    let mut client = cleartext();
    client.send([preface(0), get(1, "/large")].concat()).await;
    let began = Instant::now();
    let mut got = Vec::new();
    while !got.contains(&(RESET, 0, 1)) {
        got.extend(frames(&client.read(Duration::from_secs(1)).await));
    }
    assert!((30..=31).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_response_whose_last_bytes_get_no_window_ends_the_connection() {
    let mut client = cleartext();
    client.send([preface(2), get(1, "/")].concat()).await;
    let ended = client.ended_after().await;
    assert!((30..=32).contains(&ended), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_trickle_on_one_stream_does_not_keep_the_others() {
    let mut client = cleartext();
    client.send([preface(0), get(1, "/large"), get(3, "/large")].concat()).await;
    let began = Instant::now();
    let mut got = Vec::new();
    while !got.contains(&(RESET, 0, 3)) {
        client.send(frame(8, 0, 1, &100u32.to_be_bytes())).await;
        got.extend(frames(&client.read(Duration::from_secs(10)).await));
        assert!(began.elapsed() < HOUR, "{got:?}");
    }
    assert!((300..=311).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn events_may_be_quiet_for_as_long_as_the_service_likes() {
    let mut client = cleartext();
    client.send("GET /events HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let got = String::from_utf8(client.read(HOUR).await).unwrap();
    assert_eq!(got.matches("event\n").count(), 2, "{got}");

    let mut client = cleartext();
    client.send([preface(65_535), get(1, "/events")].concat()).await;
    let got = frames(&client.read(HOUR).await);
    assert_eq!(
        got.iter().filter(|frame| frame.0 == DATA && frame.2 == 1).count(),
        3,
        "two events and the end: {got:?}"
    );
    assert!(!got.iter().any(|frame| frame.0 == RESET), "{got:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_is_noticed_by_pings() {
    let mut client = connect(Protocol::Detect, &Connections::default());
    client.send([preface(65_535), get(1, "/later")].concat()).await;
    assert_eq!(client.ended_after().await, 30);
}

#[tokio::test(start_paused = true)]
async fn floods_of_frames_that_are_answered_end_the_connection() {
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(4, 0, 0, b"")] {
        let mut client = cleartext();
        client.send(preface(65_535)).await;
        let mut answered = 0;
        for _ in 0..20_000 {
            if client.stream.write_all(&flood).await.is_err() {
                break;
            }
            answered +=
                frames(&client.read(Duration::from_millis(1)).await).iter().filter(|frame| frame.1 == 1).count();
        }
        assert!((190..=210).contains(&answered), "{answered}");
        assert!(client.ended_after().await <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_request_of_a_connection_is_announced() {
    let few = Connections { max_requests: 3, ..connections() };
    let mut client = connect(Protocol::Detect, &few);
    client.send(GET.repeat(5)).await;
    let got = String::from_utf8(client.read(HOUR).await).unwrap();
    assert_eq!(got.matches("200 OK").count(), 3, "{got}");
    assert_eq!(got.matches("connection: close").count(), 1, "{got}");
    assert!(client.ended_after().await <= 1);

    let mut client = connect(Protocol::Detect, &few);
    client.send([preface(65_535), get(1, "/"), get(3, "/"), get(5, "/")].concat()).await;
    let got = frames(&client.read(HOUR).await);
    assert!(got.iter().any(|frame| frame.0 == GOAWAY), "{got:?}");
    assert_eq!(got.iter().filter(|frame| frame.0 == DATA).count(), 3, "{got:?}");
    assert!(client.ended_after().await <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_flaw_comes_with_its_request_and_ends_the_connection() {
    for (request, status) in [
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"),
        ("GET /#a HTTP/1.1\r\nhost: a\r\n\r\n", "400"),
    ] {
        let mut client = cleartext();
        client.send([GET, GET, request.as_bytes(), GET].concat()).await;
        let got = String::from_utf8(client.read(HOUR).await).unwrap();
        let statuses: Vec<_> = got.split("HTTP/1.1 ").skip(1).collect();
        assert_eq!(statuses.len(), 3, "{got}");
        assert!(statuses[0].starts_with("200") && statuses[1].starts_with("200"), "{got}");
        assert!(statuses[2].starts_with(status), "{got}");
        assert_eq!(got.matches("connection: close").count(), 1, "{got}");
        assert!(client.ended_after().await <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn http_1_0_has_one_request_a_connection() {
    let mut client = cleartext();
    client.send("GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").await;
    let got = client.text().await;
    assert!(got.starts_with("HTTP/1.0 200 OK") && got.contains("connection: close"), "{got}");
    assert!(client.ended_after().await <= 1);
}

#[tokio::test(start_paused = true)]
async fn heads_over_the_bounds_are_431() {
    let few = Connections { max_headers: 10, head_bytes: config::Size::kib(8), ..connections() };
    for headers in ["a: b\r\n".repeat(10), format!("a: {}\r\n", "x".repeat(10_000))] {
        let mut client = connect(Protocol::Detect, &few);
        client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{headers}\r\n")).await;
        let got = client.text().await;
        assert!(got.starts_with("HTTP/1.1 431"), "{got}");
        assert!(client.ended_after().await <= 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_a_request_finish_and_closes_what_is_idle_or_undecided() {
    let mut busy = cleartext();
    busy.send("GET /later HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut idle = cleartext();
    idle.send(GET).await;
    idle.text().await;
    let silent = cleartext();
    for client in [&busy, &idle, &silent] {
        tokio::spawn({
            let drain = client.drain.clone();
            async move { drain.drain(HOUR).await }
        });
    }
    let got = String::from_utf8(busy.read(HOUR).await).unwrap();
    assert!(got.contains("connection: close") && got.ends_with("later"), "{got}");
    assert_eq!(busy.ended_after().await, 120);
    assert_eq!((idle.ended_after().await, silent.ended_after().await), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_on_its_way_when_a_drain_began_is_answered() {
    let mut client = cleartext();
    tokio::spawn({
        let drain = client.drain.clone();
        async move { drain.drain(HOUR).await }
    });
    sleep(Duration::from_millis(50)).await;
    client.send(GET).await;
    let got = client.text().await;
    assert!(got.contains("connection: close") && got.ends_with("hello"), "{got}");
}

const TUNNEL: &[u8] = b"GET /tunnel HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

async fn tunnel() -> Client {
    let mut client = cleartext();
    client.send(TUNNEL).await;
    let head = client.text().await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n") && !head.contains("content-length"), "{head}");
    client
}

#[tokio::test(start_paused = true)]
async fn nothing_watches_requests_in_a_connection_that_changed_its_protocol() {
    let mut client = tunnel().await;
    for bytes in ["GET / HTTP/1.1\r\n", "content-length: 1\r\ncontent-length: 2\r\n\r\n", "\0\x01"] {
        sleep(HOUR).await;
        client.send(bytes).await;
        assert_eq!(client.text().await, bytes);
    }
    assert!(!client.serving.is_finished(), "it still counts as a connection");
    drop(client.stream);
    timeout(MINUTE, client.serving).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_tunnel_until_it_cuts_it() {
    let mut client = tunnel().await;
    client.drain.announce();
    sleep(HOUR).await;
    client.send("still there").await;
    assert_eq!(client.text().await, "still there");
    client.serving.abort();
    assert_eq!(timeout(MINUTE, client.stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_tunnel_that_gets_none_leaves_the_connection_as_it_was() {
    let mut client = cleartext();
    client.send(String::from_utf8(TUNNEL.to_vec()).unwrap().replace("/tunnel", "/")).await;
    assert!(client.text().await.ends_with("\r\n\r\nhello"));
    client.send(GET).await;
    assert!(client.text().await.ends_with("\r\n\r\nhello"));
    assert_eq!(client.ended_after().await, 60);
}
