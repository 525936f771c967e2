//! Asking the admin listener of a running host.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Nothing that the host does at once takes longer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const MAX_ANSWER: usize = 64 << 20;

/// Nobody listens, or it is not Wharf.
#[derive(Debug, thiserror::Error)]
#[error(
    "no running host answers on the admin address {address}: {cause} (is `wharf serve` running? \
     another address is given by --admin)"
)]
pub struct NoAnswer {
    /// Where we asked.
    pub address: SocketAddr,
    /// What happened.
    pub cause: String,
}

/// A good answer whose body is read as it comes.
pub(super) async fn follow(address: SocketAddr, path: &str) -> Result<Incoming, NoAnswer> {
    let no_answer = |cause: String| NoAnswer { address, cause };
    let answered = tokio::time::timeout(TIMEOUT, send(address, Method::GET, path, Bytes::new())).await;
    let answered = answered.map_err(|_elapsed| no_answer("no answer in 5 s".to_owned()))?;
    let response = answered.map_err(|error| no_answer(error.to_string()))?;
    let status = response.status();
    if status.is_success() { Ok(response.into_body()) } else { Err(no_answer(format!("it answers {status}"))) }
}

async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header(HOST, address.to_string())
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let sent = Client::builder(TokioExecutor::new()).build_http().request(request).await;
    Ok(sent.map_err(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string())
    })?)
}

/// A whole answer, in time and in bounds.
pub(super) async fn ask(address: SocketAddr, method: Method, path: &str) -> Result<(StatusCode, Bytes), NoAnswer> {
    order(address, method, path, Bytes::new(), TIMEOUT).await
}

/// The same to a request with a body of JSON, in this time.
pub(super) async fn order(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), NoAnswer> {
    let no_answer = |cause: String| NoAnswer { address, cause };
    let exchange = async {
        let response = send(address, method, path, body).await?;
        let status = response.status();
        Ok((status, Limited::new(response.into_body(), MAX_ANSWER).collect().await?.to_bytes()))
    };
    let answered = tokio::time::timeout(timeout, exchange).await;
    let answered = answered.map_err(|_elapsed| no_answer(format!("no answer in {} s", timeout.as_secs())))?;
    answered.map_err(|error: Box<dyn std::error::Error + Send + Sync>| no_answer(error.to_string()))
}
