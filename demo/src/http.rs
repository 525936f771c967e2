//! Requests: whole answers, and a status is no error. Who asks says how long it is worth waiting.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::Trouble;

/// Longer than the gateway gives any service of the shop.
const PATIENCE: Duration = Duration::from_secs(40);

/// One listener, asked over kept connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// A request that is being put together.
#[derive(Debug)]
pub struct Ask<'a> {
    http: &'a Http,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What was asked, for messages.
    pub what: String,
    /// Its status.
    pub status: u16,
    /// Its `Location`.
    pub location: Option<String>,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its body.
    pub body: Bytes,
}

impl Http {
    /// Asks who listens at this address, `http://127.0.0.1:8080`.
    pub fn new(base: impl Into<String>) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), base: base.into() }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A request of any method.
    pub fn ask(&self, method: &'static str, path: impl Into<String>) -> Ask<'_> {
        Ask { http: self, method, path: path.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// GET.
    pub fn get(&self, path: impl Into<String>) -> Ask<'_> {
        self.ask("GET", path)
    }

    /// POST of JSON.
    pub fn post(&self, path: impl Into<String>, body: &Value) -> Ask<'_> {
        self.ask("POST", path).json(body)
    }

    /// PUT of JSON.
    pub fn put(&self, path: impl Into<String>, body: &Value) -> Ask<'_> {
        self.ask("PUT", path).json(body)
    }
}

impl Ask<'_> {
    /// With this token, if it is not empty.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        if token.is_empty() { self } else { self.header("authorization", format!("Bearer {token}")) }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into();
        self.header("content-type", "application/json")
    }

    /// Whatever is answered.
    ///
    /// # Errors
    /// When nothing is, or not in time.
    pub async fn send(self) -> Result<Answer, Trouble> {
        let what = format!("{} {}", self.method, self.path);
        let failed = |why: String| Trouble::NoAnswer { what: what.clone(), why };
        let mut request = ::http::Request::builder().method(self.method).uri(self.http.url(&self.path));
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body)).map_err(|error| failed(error.to_string()))?;
        let whole = async {
            let response = self.http.client.request(request).await.map_err(|error| failed(causes(&error)))?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| failed(causes(&error)))?.to_bytes();
            let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let (location, etag) = (header(::http::header::LOCATION), header(::http::header::ETAG));
            Ok(Answer { what: what.clone(), status: parts.status.as_u16(), location, etag, body })
        };
        let outcome = tokio::time::timeout(PATIENCE, whole).await;
        outcome.unwrap_or_else(|_| Err(failed(format!("no answer in {PATIENCE:?}"))))
    }

    /// The JSON of an answer with one of these statuses.
    ///
    /// # Errors
    /// When there is none, or another one.
    pub async fn expect(self, statuses: &[u16]) -> Result<Value, Trouble> {
        let answer = self.send().await?;
        if statuses.contains(&answer.status) { Ok(answer.json()) } else { Err(answer.unexpected()) }
    }
}

impl Answer {
    /// Its body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the problem document in it says.
    pub fn detail(&self) -> String {
        text(&self.json(), "detail")
    }

    pub(crate) fn unexpected(&self) -> Trouble {
        Trouble::Unexpected { what: self.what.clone(), status: self.status, text: self.text() }
    }
}

/// A member that is text; empty if it is not there.
pub fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A member that is a number; 0 if it is not there.
pub fn number(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_i64).unwrap_or_default()
}

/// A member that is a list; empty if it is not there.
pub fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
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
