//! Getting a request answered by one of a service's instances: the same for requests from outside and for calls between
//! services.
//!
//! ```text
//! version (named, trial, default) ─ again, at most `attempts` times: ──────────────────────────────┐
//!       instance (health, ejection, balance) ─ circuit breaker ─ bulkhead ─ guest, or upstream ─ outcome ─→ response
//!                                                    └── open, or nobody there ──→ fallback
//! ```
//!
//! Decided here: the order of the policies and what each is told. What they say is theirs (`policy`); what remembers is
//! `carried`, who can answer `pool`, what of a request decides about that `key`, what a try takes `attempt`, when there is
//! another `again`, and what one counts as `ticket`. A request is deposited in the retry budget once; every try takes its own place in the bulkhead and tells the breaker,
//! the instance and the balancer what it came to.
//!
//! A version is chosen once: a request that is tried again meets the same version on another instance. A deadline holds
//! for all tries together, `backendRequest` for the head of each response. What a client gets after the last try is what
//! that came to, not the first.

mod again;
mod ask;
mod attempt;
mod awaited;
mod bounded;
mod carried;
mod fallback;
mod key;
mod pool;
mod replay;
mod tapped;
mod ticket;
mod try_error;
mod websocket;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::time::Instant;

pub(crate) use ask::{ask, ask_aside};
pub(crate) use carried::{BREAKER_STATES, Carried, Counters, Names};
pub(crate) use pool::{Endpoint, Pool, Target};
pub(super) use tapped::{Polled, Tapped};
pub(crate) use ticket::Ticket;

use super::ResponseBody;
use super::contract::held;
use super::error::GatewayError;
use super::exit::Exit;
use super::services::{Backend, Choice, Snapshot};
use super::upstream::WebSocket;
use crate::capability::delivery::Delivery;
use crate::config::Service;
use crate::plugin::CallError;
use crate::policy::{Bulkhead, RetryPolicy};

/// Where a request is to go, and under which conditions.
#[derive(Debug, Clone)]
pub(crate) struct Hop<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) backend: &'a Backend,
    pub(crate) service: &'a Arc<str>,
    /// The version that was asked for.
    pub(crate) version: Option<&'a str>,
    /// None for calls between services.
    pub(crate) client: Option<IpAddr>,
    /// The rule's own; the service's, if it has none.
    pub(crate) retry: Option<&'a RetryPolicy>,
    /// The rule's own bound on the head of one response.
    pub(crate) try_timeout: Option<Duration>,
    /// The rule's own places; a try needs one of these, too.
    pub(crate) bulkhead: Option<&'a Bulkhead>,
    /// When the whole response must be there.
    pub(crate) deadline: Option<Instant>,
    /// Bytes of body, if there is a tighter bound than the service's own.
    pub(crate) max_request_body: Option<u64>,
    pub(crate) request_id: Arc<str>,
    /// The services on the way, if it is a call between them.
    pub(crate) path: Vec<Arc<str>>,
    /// What its headers say about the client in the gateway's name.
    pub(crate) identity: HeaderMap,
    /// Whether it goes here because it could not go elsewhere.
    pub(crate) is_fallback: bool,
}

/// What is chosen once for all tries.
pub(super) struct Forward<'a> {
    hop: &'a Hop<'a>,
    choice: Choice<'a>,
    settings: Arc<Service>,
    exit: &'a mut Option<Box<Exit>>,
    tried: Vec<usize>,
    attempt: u32,
}

/// Has the service answer.
///
/// # Errors
/// When it gives no response, with the failure of the last try.
pub(crate) async fn forward<B>(
    hop: &Hop<'_>,
    request: Request<B>,
    exit: &mut Option<Box<Exit>>,
) -> Result<Response<ResponseBody>, GatewayError>
where
    B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
{
    let backend = hop.backend;
    let is_web_socket = request.extensions().get::<WebSocket>().is_some();
    let choice = backend.choose(hop.version, request.headers(), hop.client, is_web_socket);
    let choice = choice.ok_or_else(|| GatewayError::NotServing(hop.service.to_string()))?;
    let carried = &backend.runtime.carried;
    carried.budget.deposit(Instant::now());
    let settings = Arc::clone(&backend.settings);
    let forward = Forward { hop, choice, settings, exit, tried: Vec::new(), attempt: 0 };
    if is_web_socket {
        return Box::pin(forward.web_socket(request)).await;
    }
    // Deliveries of events are no part of what a service promises its clients.
    if backend.settings.contract.is_on()
        && request.extensions().get::<Delivery>().is_none()
        && let Some(contract) = choice.pool.contract()
    {
        // Boxed, like everything that is not on the way of most requests: a future is as large as the largest of its
        // ways, and it is moved.
        return Box::pin(held(forward, contract, request)).await;
    }
    forward.answered(request).await
}

impl<'a> Forward<'a> {
    pub(super) fn hop(&self) -> &'a Hop<'a> {
        self.hop
    }

    pub(super) fn settings(&self) -> &Arc<Service> {
        &self.settings
    }

    /// How people call the version.
    pub(super) fn label(&self) -> &Arc<str> {
        &self.choice.pool.label
    }

    /// Has the version answer that was chosen.
    pub(super) async fn answered<B>(self, request: Request<B>) -> Result<Response<ResponseBody>, GatewayError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let hop = self.hop;
        match hop.retry.or(hop.backend.retry.as_ref()).filter(|policy| policy.is_on()) {
            Some(policy) => Box::pin(self.again_and_again(policy, request)).await,
            None => self.once(request).await,
        }
    }

    async fn once<B>(mut self, request: Request<B>) -> Result<Response<ResponseBody>, GatewayError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let (parts, body) = request.into_parts();
        let admitted = match self.admit(&parts).await {
            Ok(admitted) => admitted,
            Err(failure) => {
                return Box::pin(self.fall_back(failure.error, Request::from_parts(parts, body))).await;
            }
        };
        self.send(admitted, Request::from_parts(parts, body)).await.map_err(|failure| failure.error)
    }
}
