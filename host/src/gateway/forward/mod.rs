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
//! `carried`, who can answer `pool`, what of a request decides about that `key`, and what a try counts as `ticket`. A
//! request is deposited in the retry budget once; every try takes its own place in the bulkhead and tells the breaker,
//! the instance and the balancer what it came to.
//!
//! A version is chosen once: a request that is tried again meets the same version on another instance. A deadline holds
//! for all tries together, `backendRequest` for the head of each response. What a client gets after the last try is what
//! that came to, not the first.

mod ask;
mod awaited;
mod bounded;
mod carried;
mod fallback;
mod key;
mod pool;
mod replay;
mod ticket;
mod try_error;
mod websocket;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body;
use tokio::time::{Instant, sleep_until, timeout_at};

pub(crate) use ask::{ask, ask_aside};
pub(crate) use carried::{BREAKER_STATES, Carried, Counters};
pub(crate) use pool::{Endpoint, Pool, Target};
pub(crate) use ticket::Ticket;

use super::ResponseBody;
use super::error::GatewayError;
use super::exit::Exit;
use super::headers;
use super::services::{Backend, Choice, Snapshot};
use super::upstream::WebSocket;
use crate::config::Service;
use crate::plugin::{CallContext, CallError};
use crate::policy::retry::{Body as Kept, Decision, Failed, RequestFacts, Tried, is_idempotent};
use crate::policy::{BreakerPermit, Class, Permit, RetryPolicy};
use awaited::{Awaited, Waits};
use key::Keys;
use replay::Replay;
use ticket::Ended;
use try_error::TryError;

/// Which try it is, from 1; sent with second and further ones.
const X_REQUEST_ATTEMPT: HeaderName = HeaderName::from_static("x-request-attempt");

/// Longest `Retry-After` that is waited for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

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

/// A try that has passed all policies.
struct Admitted<'a> {
    endpoint: &'a Endpoint,
    cookie: Option<HeaderValue>,
    permit: BreakerPermit,
    place: Permit,
    ticket: Ticket,
}

/// A try without a response.
struct Failure {
    error: GatewayError,
    tried: Tried,
}

/// What is chosen once for all tries.
struct Forward<'a> {
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
    let choice = backend.choose(hop.version, request.headers(), hop.client);
    let choice = choice.ok_or_else(|| GatewayError::NotServing(hop.service.to_string()))?;
    let carried = &backend.runtime.carried;
    carried.budget.deposit(Instant::now());
    let settings = Arc::clone(&backend.settings);
    let forward = Forward { hop, choice, settings, exit, tried: Vec::new(), attempt: 0 };
    if request.extensions().get::<WebSocket>().is_some() {
        return Box::pin(forward.web_socket(request)).await;
    }
    match hop.retry.or(backend.retry.as_ref()).filter(|policy| policy.is_on()) {
        // Boxed, like everything that is not on the way of most requests: a future is as large as the largest of its
        // ways, and it is moved.
        Some(policy) => Box::pin(forward.again_and_again(policy, request)).await,
        None => forward.once(request).await,
    }
}

impl<'a> Forward<'a> {
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

    async fn again_and_again<B>(
        mut self,
        policy: &RetryPolicy,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, GatewayError>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let (parts, body) = request.into_parts();
        let idempotent = is_idempotent(parts.method.as_str());
        let bodies = Replay::new(body, policy.max_body());
        loop {
            let mut head = parts.clone();
            if self.attempt > 0 {
                head.headers.insert(X_REQUEST_ATTEMPT, HeaderValue::from(self.attempt.saturating_add(1)));
            }
            let result = match self.admit(&head).await {
                Ok(admitted) => match bodies.next() {
                    Some(body) => self.send(admitted, Request::from_parts(head, body)).await,
                    None => Err(Failure::refused(GatewayError::Internal)),
                },
                Err(failure) if self.attempt == 0 && self.falls_back(&failure.error) => {
                    let Some(body) = bodies.next() else { return Err(failure.error) };
                    return Box::pin(self.fall_back(failure.error, Request::from_parts(head, body))).await;
                }
                Err(failure) => Err(failure),
            };
            let tried = match &result {
                Ok(response) => match retried_status(response) {
                    Some(tried) => tried,
                    None => break self.settle(result),
                },
                Err(failure) => failure.tried,
            };
            let body = if bodies.can_replay() { Kept::Replayable } else { Kept::TooLarge };
            let failed = Failed {
                attempt: self.attempt,
                tried,
                request: RequestFacts { idempotent, body },
                deadline: self.hop.deadline,
                now: Instant::now(),
            };
            let counters = &self.hop.backend.runtime.carried.counters;
            match policy.decide(&failed, &self.hop.backend.runtime.carried.budget, fastrand::f64()) {
                Decision::Retry { after } => {
                    counters.retried();
                    let until = failed.now + after;
                    if let Ok(response) = result {
                        // Not passed on, but read while we wait anyway: or each try would cost a connection.
                        let _in_time = timeout_at(until, response.into_body().read_rest()).await;
                    }
                    sleep_until(until).await;
                    self.attempt = self.attempt.saturating_add(1);
                }
                Decision::GiveUp(reason) => {
                    counters.gave_up(reason);
                    break self.settle(result);
                }
            }
        }
    }

    /// The last try's result is the request's.
    fn settle(&self, result: Result<Response<ResponseBody>, Failure>) -> Result<Response<ResponseBody>, GatewayError> {
        if self.attempt > 0 && result.as_ref().is_ok_and(|response| !response.status().is_server_error()) {
            self.hop.backend.runtime.carried.counters.retry_succeeded();
        }
        result.map_err(|failure| failure.error)
    }

    /// Takes whatever a try needs: an instance, the breaker's leave and a place in the bulkhead.
    async fn admit(&mut self, parts: &http::request::Parts) -> Result<Admitted<'a>, Failure> {
        let hop = self.hop;
        let carried = &hop.backend.runtime.carried;
        let pool = self.choice.pool;
        let now = Instant::now();
        let keys = Keys { uri: &parts.uri, headers: &parts.headers, client: hop.client };
        let chosen = pool.choose(&keys, &mut self.tried, carried, now);
        let chosen = chosen.ok_or_else(|| Failure::refused(GatewayError::NoInstance(hop.service.to_string())))?;
        let permit = pool.state.breaker.admit(now).map_err(|open| {
            carried.counters.circuit_open.fetch_add(1, Ordering::Relaxed);
            Failure::refused(GatewayError::CircuitOpen(open.retry_after))
        })?;
        let place = self.place().await?;
        self.tried.push(chosen.index);
        if let Some(exit) = &mut *self.exit {
            exit.version(&pool.label);
            exit.tried(&chosen.endpoint.state.id);
        }
        let ticket = Ticket::new(
            Arc::clone(hop.service),
            Arc::clone(carried),
            Arc::clone(&pool.state),
            Arc::clone(&chosen.endpoint.state),
            self.choice.statistics.map(Arc::clone),
            Instant::now(),
        );
        Ok(Admitted { endpoint: chosen.endpoint, cookie: chosen.cookie, permit, place, ticket })
    }

    async fn place(&self) -> Result<Permit, Failure> {
        let runtime = &self.hop.backend.runtime;
        let admitted = runtime.bulkhead.admit(Class::Request);
        let place = match self.hop.deadline {
            Some(deadline) => {
                timeout_at(deadline, admitted).await.map_err(|_| Failure::refused(GatewayError::RequestTimeout))?
            }
            None => admitted.await,
        };
        place.map_err(|_full| {
            runtime.carried.counters.bulkhead_full.fetch_add(1, Ordering::Relaxed);
            Failure::refused(GatewayError::BulkheadFull)
        })
    }

    /// What is asked of an instance, up to the head of its response.
    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, TryError>>) -> Result<T, TryError> {
        let of_service = Some(self.settings.timeouts.backend_request.get()).filter(|timeout| !timeout.is_zero());
        match self.hop.try_timeout.into_iter().chain(of_service).min() {
            Some(timeout) => tokio::time::timeout(timeout, asked).await.unwrap_or(Err(TryError::Timeout)),
            None => asked.await,
        }
    }

    /// One try.
    async fn send<B>(&mut self, admitted: Admitted<'_>, request: Request<B>) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes, Error = CallError> + Send + Unpin + 'static,
    {
        let Admitted { endpoint, cookie, permit, place, ticket } = admitted;
        let began = ticket.began();
        let hop = self.hop;
        let context = CallContext {
            request_id: Some(Arc::clone(&hop.request_id)),
            deadline: hop.deadline,
            max_request_body: hop.max_request_body,
            path: hop.path.clone(),
            identity: hop.identity.clone(),
            permit: Some(Box::new(place)),
        };
        let waits = Waits::default();
        let request = request.map(|body| Awaited::new(body, waits.clone()));
        let asked = pin!(ask(&endpoint.target, &self.settings, context, request));
        let result = self.in_time(asked).await;
        let now = Instant::now();
        let took = now.saturating_duration_since(began);
        hop.backend.runtime.bulkhead.observe(took, now);
        if let Some(exit) = &mut *self.exit {
            exit.called(took);
        }
        match result {
            Ok(mut response) => {
                ticket.ended(permit, Ended::Status(response.status().as_u16()), now);
                headers::strip_response(response.headers_mut());
                if let Some(cookie) = cookie {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
                Ok(response.map(|body| body.holding(ticket)))
            }
            Err(error) => {
                tracing::debug!(service = %hop.service, instance = %ticket.instance(), after = ?took, "{error}");
                if error.is_out_of_time() && waits.for_client() {
                    ticket.ended(permit, Ended::Ignored, now);
                    return Err(Failure::refused(error.into()));
                }
                ticket.ended(permit, error.ended(), now);
                Err(Failure { tried: error.tried(), error: error.into() })
            }
        }
    }
}

impl Failure {
    fn refused(error: GatewayError) -> Self {
        Self { error, tried: Tried::Refused }
    }
}

/// A response that may be worth another try.
fn retried_status(response: &Response<ResponseBody>) -> Option<Tried> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let Some(after) = response.headers().get(RETRY_AFTER) else {
        return Some(Tried::Status { code: status.as_u16(), retry_after: None });
    };
    // The other form, a date, is for people; and whoever asks for so long is not waited for, deadline or not.
    let after = after.to_str().ok().and_then(|after| after.trim().parse().ok()).map(Duration::from_secs);
    Some(match after.filter(|after| *after <= MAX_RETRY_AFTER) {
        Some(after) => Tried::Status { code: status.as_u16(), retry_after: Some(after) },
        None => Tried::Refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_who_asks_for_a_long_time_or_for_a_date() {
        let tried = |status: u16, after: Option<&str>| {
            let mut response = Response::builder().status(status);
            if let Some(after) = after {
                response = response.header(RETRY_AFTER, after);
            }
            retried_status(&response.body(ResponseBody::gateway(Bytes::new())).unwrap())
        };
        let status =
            |code, seconds: Option<u64>| Some(Tried::Status { code, retry_after: seconds.map(Duration::from_secs) });
        for (sent, after, expected) in [
            (200, None, None),
            (304, Some("1"), None),
            (503, None, status(503, None)),
            (503, Some("2"), status(503, Some(2))),
            (404, Some(" 0 "), status(404, Some(0))),
            (503, Some("86400"), Some(Tried::Refused)),
            (503, Some("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Tried::Refused)),
            (503, Some("-1"), Some(Tried::Refused)),
        ] {
            assert_eq!(tried(sent, after), expected, "{sent} {after:?}");
        }
    }
}
