//! A small HTTP client: whole answers for most tests, the streaming response for the others.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// No answer of a test takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Sends requests over kept connections.
#[derive(Debug, Clone)]
pub struct Client {
    http1: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    http2: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

/// One connection. Nothing is sent again on another one behind the test's back.
#[derive(Debug)]
pub struct Connection(hyper::client::conn::http1::SendRequest<Full<Bytes>>);

/// A whole response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers.
    pub trailers: Option<HeaderMap>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let build = |http2| {
            hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                .http2_only(http2)
                .http1_max_headers(2000)
                .build_http()
        };
        Self { http1: build(false), http2: build(true) }
    }

    /// GET.
    pub async fn get(&self, url: &str) -> Answer {
        self.send("GET", url, &[], Bytes::new()).await
    }

    /// Any method, headers and body.
    pub async fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        self.try_send(method, url, headers, body).await.unwrap_or_else(|error| panic!("{method} {url}: {error}"))
    }

    /// The same, with what went wrong.
    ///
    /// # Errors
    /// When the connection fails or the response breaks off.
    pub async fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let request = request(method, url, headers, body.into());
        let whole = async {
            let response = self.http1.request(request).await.map_err(|error| causes(&error))?;
            collect(response).await
        };
        tokio::time::timeout(TIMEOUT, whole).await.map_err(|_| format!("no answer in {TIMEOUT:?}"))?
    }

    /// The same over HTTP/2 with prior knowledge.
    pub async fn send_http2(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let response = self.http2.request(request(method, url, headers, body.into())).await;
        collect(response.unwrap_or_else(|error| panic!("{method} {url}: {}", causes(&error)))).await.unwrap()
    }

    /// The response as soon as its head is there.
    pub async fn stream(&self, method: &str, url: &str, body: impl Into<Bytes>) -> Response<Incoming> {
        let response = self.http1.request(request(method, url, &[], body.into())).await;
        response.unwrap_or_else(|error| panic!("{method} {url}: {}", causes(&error)))
    }

    /// The same over HTTP/2.
    pub async fn stream_http2(&self, method: &str, url: &str) -> Response<Incoming> {
        let response = self.http2.request(request(method, url, &[], Bytes::new())).await;
        response.unwrap_or_else(|error| panic!("{method} {url}: {}", causes(&error)))
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody accepts.
    pub async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await;
        let (sender, connection) = handshake.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// GET of a path.
    ///
    /// # Errors
    /// When the connection is over or the response breaks off.
    pub async fn get(&mut self, path: &str) -> Result<Answer, String> {
        let whole = async {
            self.0.ready().await.map_err(|error| causes(&error))?;
            let response = self.0.send_request(request("GET", path, &[("host", "127.0.0.1")], Bytes::new())).await;
            collect(response.map_err(|error| causes(&error))?).await
        };
        tokio::time::timeout(TIMEOUT, whole).await.map_err(|_| format!("no answer in {TIMEOUT:?}"))?
    }

    /// Whether the server (or a failure) has ended it.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

fn request(method: &str, url: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body)).unwrap()
}

async fn collect(response: Response<Incoming>) -> Result<Answer, String> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| format!("the body broke off: {}", causes(&error)))?;
    let trailers = body.trailers().cloned();
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes(), trailers })
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// A header as text, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Fails unless the status is this.
    pub fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        self
    }

    /// Fails unless this is a problem document of the gateway with this status and reason, and nothing about insides.
    pub fn assert_problem(&self, status: u16, reason: &str) -> &Self {
        self.assert_status(status);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["reason"], reason, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["requestId"], self.header("x-request-id"), "{problem}");
        for inside in ["wasm", "backtrace", "panicked", ".rs", "secret", "0x"] {
            assert!(!self.text().contains(inside), "the client is told about insides: {problem}");
        }
        self
    }
}
