//! The outgoing side: requests to other HTTP servers.
//!
//! ```text
//! request ─ clean head ─ connection (one that waits, shared, new) ─ framed anew ─ sent ─ head checked ─ body
//!                           └ resolve, connect, TLS ┘
//! ```
//!
//! Decided here: how a message is framed, when a connection may be used again, and what a failure says about the
//! request: [`UpstreamError::NotDelivered`] is a promise that the server has seen nothing of it. Nothing is tried twice
//! but for one case: when a connection that waited turns out to be closed and hyper hands the request back unwritten,
//! it goes out on another one. So a request is written once at most.
//!
//! Never decided here: which server, whether to try again, how many at once, and what a client is told of a failure.
//!
//! - `connect` opens connections, `reach` says to which addresses, `tls` whom to trust;
//! - `pool` keeps them, `connection` lends them out, `read_first` saves answers from servers that close early;
//! - `outgoing` is the request on its way, `response` and `body` are what comes back;
//! - `upgrade` turns a pair of connections into a tunnel.
//!
//! Bounds: [`MAX_CONNECTIONS`] to one instance, 64 KiB and 100 lines of a response's head, and the times of [`Limits`].
//! hyper-util's pooled client is not used: it does not tell a request that was not written from one that was, and has
//! no bound on connections.

mod body;
mod connect;
mod connection;
mod error;
mod outgoing;
mod pool;
mod reach;
mod read_first;
mod response;
mod tls;
mod upgrade;

#[cfg(test)]
pub(in crate::gateway) mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until};

pub(crate) use body::UpstreamBody;
pub(crate) use connect::Origin;
use connection::Lease;
pub use error::{NotDelivered, UpstreamError};
use outgoing::{Address, Outgoing, Sending};
pub(crate) use pool::{Pool, Target};
pub(crate) use reach::Reach;
pub(crate) use tls::Tls;
pub(in crate::gateway) use tls::system as system_tls;
pub(crate) use upgrade::{WebSocket, upgrade};

use crate::config::Protocol;
use crate::plugin::CallError;

/// Connections to one instance, tunnels included; a service's bulkhead ends before.
const MAX_CONNECTIONS: usize = 1024;

/// How long a request may take in which part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a connection that can be used: a place, name, TCP and TLS together (`timeouts.connect`).
    pub(crate) connect: Duration,
    /// How long the connection may wait for the next request (`timeouts.idle`).
    pub(crate) idle: Duration,
    /// Longest time in which neither body moves while somebody waits (`timeouts.streamIdle`).
    pub(crate) stream_idle: Duration,
    /// From a connection to the head of the response.
    pub(crate) first_byte: Option<Duration>,
    /// When all is over. For a `text/event-stream` only the head must be there by then.
    pub(crate) deadline: Option<Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            idle: Duration::from_secs(55),
            stream_idle: Duration::from_secs(300),
            first_byte: None,
            deadline: None,
        }
    }
}

/// A remote instance of a service: one server, with its connections. Lives as long as the instance does, whatever
/// becomes of the rest of the configuration.
#[derive(Debug)]
pub(crate) struct Upstream {
    pool: Arc<Pool>,
    target: Arc<Target>,
    /// Path below which it has everything; ends with no slash.
    base: String,
}

impl Upstream {
    /// The instance at an address that `config::valid_instance_url` takes.
    ///
    /// # Errors
    /// Says what is wrong with the address.
    pub(crate) fn new(url: &Uri, protocol: Protocol, tls: Arc<Tls>) -> Result<Arc<Self>, String> {
        let target = Target::new(Origin::new(url, protocol, Reach::Anywhere)?);
        let base = url.path().trim_end_matches('/').to_owned();
        Ok(Arc::new(Self { pool: Pool::new(tls, MAX_CONNECTIONS), target, base }))
    }

    /// Whether it is still the same after a change of the configuration; then it should be kept.
    pub(crate) fn is_at(&self, url: &Uri, protocol: Protocol) -> bool {
        let same = Origin::new(url, protocol, Reach::Anywhere).is_ok_and(|origin| origin == self.target.origin);
        same && url.path().trim_end_matches('/') == self.base
    }

    /// Sends a request, once. What belongs to the client's hop is taken out of its head; the path is below the
    /// instance's. Dropping the future, or the body of the response, ends the exchange.
    ///
    /// # Errors
    /// When there is no response that can be passed on; see [`UpstreamError`].
    pub(crate) async fn send<B>(
        &self,
        request: Request<B>,
        limits: &Limits,
    ) -> Result<Response<UpstreamBody>, UpstreamError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let Exchange { parts, body, lease, sending } =
            exchange(&self.pool, &self.target, &self.base, request, limits).await?;
        Ok(answer(parts, body, lease, sending, limits))
    }
}

/// A request that was answered, as far as the head of the response.
struct Exchange {
    parts: Parts,
    body: Incoming,
    lease: Lease,
    sending: Arc<Sending>,
}

/// Sends a request to any target of a pool.
pub(in crate::gateway) async fn send<B>(
    pool: &Arc<Pool>,
    target: &Arc<Target>,
    request: Request<B>,
    limits: &Limits,
) -> Result<Response<UpstreamBody>, UpstreamError>
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    let Exchange { parts, body, lease, sending } = exchange(pool, target, "", request, limits).await?;
    Ok(answer(parts, body, lease, sending, limits))
}

async fn exchange<B>(
    pool: &Arc<Pool>,
    target: &Arc<Target>,
    base: &str,
    request: Request<B>,
    limits: &Limits,
) -> Result<Exchange, UpstreamError>
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    let (mut parts, body) = request.into_parts();
    Address::clean(&mut parts.headers);
    exchange_clean(pool, target, base, Request::from_parts(parts, body), None, limits).await
}

/// Sends a request with a head that is clean. With `upgrade`, these headers go with it and the answer may be 101.
async fn exchange_clean<B>(
    pool: &Arc<Pool>,
    target: &Arc<Target>,
    base: &str,
    request: Request<B>,
    upgrade: Option<HeaderMap>,
    limits: &Limits,
) -> Result<Exchange, UpstreamError>
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        // To hyper it is more than a request.
        return Err(UpstreamError::Request(CallError::RequestBroken("CONNECT is for proxies".to_owned())));
    }
    // What others put there may mean something to hyper.
    parts.extensions.clear();
    let address = Address::new(&parts.uri, &parts.headers, &target.origin, base).map_err(UpstreamError::Request)?;
    let is_upgrade = upgrade.is_some();
    parts.headers.extend(upgrade.unwrap_or_default());
    let (body, sending) = Outgoing::new(&parts.headers, body);
    let mut request = Request::from_parts(parts, body);
    loop {
        let mut lease = pool.acquire(target, is_upgrade, limits).await?;
        let framed = if lease.is_http2() { address.for_http2(&mut request) } else { address.for_http1(&mut request) };
        framed.map_err(UpstreamError::Request)?;
        let sent = tokio::select! {
            biased;
            sent = lease.send(request, is_upgrade) => sent,
            () = overdue(limits, &sending) => {
                sending.stop();
                return Err(UpstreamError::Timeout);
            }
        };
        match sent {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                let switching = parts.extensions.remove::<hyper::upgrade::OnUpgrade>();
                response::sanitize(&mut parts, is_upgrade)
                    .map_err(|why| UpstreamError::InvalidResponse(why.to_owned()))?;
                parts.extensions.extend(switching.map(single).unwrap_or_default());
                return Ok(Exchange { parts, body, lease, sending });
            }
            Err(error) => request = unwritten(error, &sending)?,
        }
    }
}

fn single(value: hyper::upgrade::OnUpgrade) -> http::Extensions {
    let mut extensions = http::Extensions::new();
    extensions.insert(value);
    extensions
}

/// The request, if nothing of it was written: it was to go out on a connection that had ended.
fn unwritten(
    mut error: TrySendError<Request<Outgoing>>,
    sending: &Sending,
) -> Result<Request<Outgoing>, UpstreamError> {
    if let Some(request) = error.take_message() {
        return Ok(request);
    }
    sending.stop();
    Err(sending.fault().map_or_else(|| error::of_request(&error.into_error()), UpstreamError::Request))
}

/// Resolves when the head of the response should have been there.
async fn overdue(limits: &Limits, sending: &Sending) {
    let began = Instant::now();
    let first_byte = limits.first_byte.map(|limit| began + limit);
    loop {
        let quiet = began.max(sending.moved()) + limits.stream_idle;
        let until = [first_byte, limits.deadline].into_iter().flatten().fold(quiet, Instant::min);
        if until <= Instant::now() {
            return;
        }
        sleep_until(until).await;
    }
}

fn answer(
    parts: Parts,
    body: Incoming,
    lease: Lease,
    sending: Arc<Sending>,
    limits: &Limits,
) -> Response<UpstreamBody> {
    let content_type = parts.headers.get(CONTENT_TYPE).map_or(&[] as &[u8], |value| value.as_bytes());
    let is_events = content_type.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"));
    let deadline = limits.deadline.filter(|_| !is_events);
    let body = UpstreamBody::new(body, lease, sending, (limits.idle, limits.stream_idle), deadline);
    Response::from_parts(parts, body)
}
