//! Real sockets on loopback, with servers that are written out by hand where bytes matter.

use std::future::Future;

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderName, HeaderValue};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

mod body;
mod exchange;
mod failures;
mod http2;
mod reuse;
mod smuggling;
mod tunnel;

pub(in crate::gateway) type TestBody = UnsyncBoxBody<Bytes, CallError>;

/// Nothing in these tests takes so long, unless it hangs.
const SOON: Duration = Duration::from_secs(20);

pub(in crate::gateway) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it hangs")
}

/// Where a server written by hand listens.
pub(in crate::gateway) struct Server(pub(in crate::gateway) TcpListener);

impl Server {
    pub(in crate::gateway) async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(in crate::gateway) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn upstream(&self) -> Arc<Upstream> {
        self.below("", Protocol::Auto)
    }

    fn below(&self, path: &str, protocol: Protocol) -> Arc<Upstream> {
        let url = format!("http://127.0.0.1:{}{path}", self.port()).parse().unwrap();
        Upstream::new(&url, protocol, Arc::default()).unwrap()
    }

    pub(in crate::gateway) async fn accept(&self) -> Peer<TcpStream> {
        Peer { stream: soon(self.0.accept()).await.unwrap().0, read: Vec::new() }
    }

    /// Whether nobody else has connected.
    async fn is_alone(&self) -> bool {
        timeout(Duration::from_millis(50), self.0.accept()).await.is_err()
    }
}

/// One connection of a client.
pub(in crate::gateway) struct Peer<S> {
    stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn more(&mut self) -> usize {
        let mut buffer = vec![0; 64 << 10];
        let count = soon(self.stream.read(&mut buffer)).await.unwrap_or(0);
        self.read.extend_from_slice(&buffer[..count]);
        count
    }

    /// The head of the next request: its first line, and the others in order of the alphabet.
    pub(in crate::gateway) async fn head(&mut self) -> Vec<String> {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                let head = String::from_utf8(head).unwrap();
                let mut lines: Vec<String> = head.trim_end().split("\r\n").map(str::to_owned).collect();
                lines[1..].sort();
                return lines;
            }
            assert!(self.more().await > 0, "closed in a head: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await > 0, "closed in a body");
        }
        self.read.drain(..length).collect()
    }

    async fn until(&mut self, end: &str) -> String {
        while !self.read.ends_with(end.as_bytes()) {
            assert!(self.more().await > 0, "closed in a body: {:?}", String::from_utf8_lossy(&self.read));
        }
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }

    pub(in crate::gateway) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Waits until the client closes, and gives what it sent before.
    async fn closed(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.read)
    }
}

fn empty() -> TestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn full(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of these frames, whose length nobody knows.
fn stream(frames: Vec<Result<Frame<Bytes>, CallError>>) -> TestBody {
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

fn data(text: &'static str) -> Result<Frame<Bytes>, CallError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers(name: &'static str, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
}

pub(in crate::gateway) fn get(path: &str) -> Request<TestBody> {
    Request::get(path).header(HOST, "shop.test").body(empty()).unwrap()
}

fn post(body: TestBody) -> Request<TestBody> {
    Request::post("/").header(HOST, "shop.test").body(body).unwrap()
}

fn limits() -> Limits {
    Limits { connect: Duration::from_secs(10), ..Limits::default() }
}

type Answer = Result<Response<UpstreamBody>, UpstreamError>;

fn send(upstream: &Arc<Upstream>, request: Request<TestBody>) -> tokio::task::JoinHandle<Answer> {
    send_within(upstream, request, limits())
}

fn send_within(
    upstream: &Arc<Upstream>,
    request: Request<TestBody>,
    limits: Limits,
) -> tokio::task::JoinHandle<Answer> {
    let upstream = Arc::clone(upstream);
    tokio::spawn(async move { soon(upstream.send(request, &limits)).await })
}

pub(in crate::gateway) async fn text(body: UpstreamBody) -> Result<String, UpstreamError> {
    soon(body.collect()).await.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
