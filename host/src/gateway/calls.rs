//! Calls of guests: from the address that a guest wrote to the service it means.
//!
//! ```text
//! guest ─ destination ─ grant ─ loop? ─ sanitize ─ headers ─ deliver ─→ response, or a problem document
//!             └────────────┴──→ an error of wasi:http               (same bulkhead, version and limits as from outside)
//! ```
//!
//! In process: no socket, no second HTTP. What an outside request passes before it reaches a service is for strangers
//! (listeners, routes, and the filters of routes and of the automatic route); a call has a grant in their place. What
//! protects the service itself holds for both: one spelling of paths, limits, bulkhead, timeouts, drain.
//!
//! A service is trusted as far as its grants go and no further. It cannot say who the client is: headers that tell
//! about the client are let through only when the caller has itself been told the very same in this request, so it can
//! pass an identity on and cannot make one up.
//!
//! Bounds: a call ends at its caller's deadline or at `timeouts.request` of its callee, whichever is first. A request
//! goes at most `calls.maxDepth` calls deep and through one service at most [`MAX_VISITS`] times; then it is 508 with
//! the way it took. While a caller waits it keeps its place in the bulkhead: services that call each other in a ring can
//! fill each other's places, and the deadline is what ends that.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody};

use super::exit::Exit;
use super::filter::Told;
use super::forward::{Hop, forward};
use super::headers;
use super::pipeline::{content_length, leave_out_body};
use super::services::{Backend, Snapshot};
use super::traffic::{Asker, Measured};
use super::{Gateway, GatewayError, ResponseBody, sanitize, versioning};
use crate::capability::http::{Caller, Dispatch, DispatchError, Dispatched, PolledBy};

mod body;
mod destination;
mod events;
mod network;

use body::CallBody;
use destination::Destination;

/// How often one service may stand on the way of a request. A service that calls back is in order, a ring is not.
const MAX_VISITS: usize = 3;

impl Dispatch for Gateway {
    fn dispatch(
        self: Arc<Self>,
        caller: Caller,
        request: Request<WasiBody>,
        options: RequestOptions,
        polled_by: PolledBy,
    ) -> Dispatched {
        let request_id = Arc::clone(&caller.request_id);
        let runtime = self.runtime.clone();
        let call = async move { self.call(caller, request, options).await };
        // On the executor that serves connections, whichever the caller runs on: a callee is not to be slow, nor its CPU
        // time counted as its caller's, because that one is. One that has a task of its own there needs no other.
        let is_there = || Handle::try_current().is_ok_and(|here| here.id() == runtime.id());
        if polled_by == PolledBy::Task && is_there() {
            return Box::pin(async move {
                AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_panic| Ok(panicked(&request_id)))
            });
        }
        let call = AbortOnDropHandle::new(runtime.spawn(call));
        Box::pin(async move {
            match call.await {
                Ok(called) => called,
                Err(error) if error.is_panic() => Ok(panicked(&request_id)),
                Err(_cancelled) => Err(DispatchError::Stopping),
            }
        })
    }
}

/// The answer to a call that found a mistake of the host.
fn panicked(request_id: &str) -> Response<WasiBody> {
    tracing::error!(request_id, "a call between services ended in a panic of the host");
    GatewayError::Internal.to_response(request_id).map(|body| wasi(ResponseBody::gateway(body)))
}

impl Gateway {
    async fn call(
        &self,
        caller: Caller,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, DispatchError> {
        match Destination::of(request.uri())? {
            Destination::Service(name) => self.call_service(caller, name, request).await,
            Destination::Events => self.call_events(caller, request).await,
            Destination::Network => self.call_network(caller, request, options).await,
        }
    }

    async fn call_network(
        &self,
        caller: Caller,
        request: Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<Response<WasiBody>, DispatchError> {
        let arrived = Instant::now();
        let egress = self.services.egress(&caller.service).ok_or(DispatchError::Stopping)?;
        let (mut parts, body) = request.into_parts();
        let trace = headers::outgoing(&mut parts.headers, &caller);
        let mut exit = self.access_log().map(|log| Box::new(Exit::new(log, &parts, arrived)));
        if let Some(exit) = &mut exit {
            exit.called_out(&caller.service, &caller.request_id, &trace);
        }
        network::send(&egress, &caller, Request::from_parts(parts, body), options, exit).await
    }

    async fn call_service(
        &self,
        caller: Caller,
        name: Arc<str>,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, DispatchError> {
        let arrived = Instant::now();
        let mut measured = Measured::new(Arc::clone(self.services.traffic()), Asker::Service, arrived);
        let is_head = request.method() == Method::HEAD;
        let snapshot = self.services.snapshot();
        let (mut parts, body) = request.into_parts();
        address(&mut parts, &name).ok_or(DispatchError::BadAddress)?;
        let mut exit = self.access_log().map(|log| Box::new(Exit::new(log, &parts, arrived)));
        let (request_id, trace) = headers::call(&mut parts.headers, &caller);
        forget_forged(&mut parts.headers, &snapshot.told, &caller.identity);
        if let Some(exit) = &mut exit {
            exit.called_by(&caller.service, &name, &request_id, &trace);
        }
        // As the configuration stands now, not as it stood when the caller's request came.
        if !self.services.may_call(&caller.service, &name) {
            return Err(refused(exit, measured, &GatewayError::GrantDenied, DispatchError::NotGranted));
        }
        self.services.observed_call(&caller.service, &name);
        let result = match snapshot.service(&name) {
            Some(backend) => {
                measured.is_for(&backend.runtime.carried.counters.traffic);
                let request = Request::from_parts(parts, body);
                deliver(&snapshot, backend, &name, &caller, request, arrived, &mut exit).await
            }
            None => match self.services.nobody(GatewayError::UnknownService(name.to_string())) {
                error @ GatewayError::Starting => Err(error),
                error => return Err(refused(exit, measured, &error, DispatchError::NotFound)),
            },
        };
        let mut response = result.unwrap_or_else(|error| {
            measured.failed(&error);
            if let Some(exit) = &mut exit {
                exit.failed(&error);
            }
            error.to_response(request_id.as_str()).map(ResponseBody::gateway)
        });
        measured.answered(response.status().as_u16());
        leave_out_body(is_head, &mut response);
        if let Some(exit) = &mut exit {
            let has_no_body = http_body::Body::is_end_stream(response.body());
            exit.answered(&response, has_no_body);
        }
        Ok(response.map(|body| wasi(body.with_exit(exit))))
    }
}

/// Has a version of the service answer, under everything that protects it.
async fn deliver(
    snapshot: &Snapshot,
    backend: &Backend,
    name: &Arc<str>,
    caller: &Caller,
    request: Request<WasiBody>,
    arrived: Instant,
    exit: &mut Option<Box<Exit>>,
) -> Result<Response<ResponseBody>, GatewayError> {
    let path = way(caller, name, snapshot.max_call_depth)?;
    let (mut parts, body) = request.into_parts();
    if let Some(cause) = &caller.cause {
        parts.extensions.insert(Arc::clone(cause));
    }
    sanitize::sanitize(&mut parts, &snapshot.requests, snapshot.max_headers)?;
    let settings = &backend.settings;
    if content_length(&parts) > Some(settings.limits.request_body.get()) {
        return Err(GatewayError::PayloadTooLarge);
    }
    let named = if settings.versioning.is_on() { versioning::named(backend, &mut parts)? } else { None };
    let own = Some(settings.timeouts.request.get()).filter(|timeout| !timeout.is_zero());
    let own = own.map(|timeout| arrived + timeout);
    let hop = Hop {
        snapshot,
        backend,
        service: name,
        version: named.as_deref(),
        client: None,
        retry: None,
        try_timeout: None,
        bulkhead: None,
        deadline: own.into_iter().chain(caller.deadline).min(),
        max_request_body: None,
        request_id: Arc::clone(&caller.request_id),
        path,
        identity: told_about_client(&snapshot.told, &parts.headers),
        is_fallback: false,
    };
    Box::pin(forward(&hop, Request::from_parts(parts, CallBody::new(body)), exit)).await
}

/// The services on the way, the caller last.
///
/// # Errors
/// When a call to `name` would go too deep, or in a ring.
fn way(caller: &Caller, name: &Arc<str>, max_depth: u32) -> Result<Vec<Arc<str>>, GatewayError> {
    let mut way = caller.path.clone();
    way.push(Arc::clone(&caller.service));
    let visits = way.iter().filter(|service| *service == name).count();
    if way.len() > max_depth as usize || visits >= MAX_VISITS {
        way.push(Arc::clone(name));
        return Err(GatewayError::LoopDetected(way.join(" → ")));
    }
    Ok(way)
}

/// One address for one service, however its caller wrote it.
fn address(parts: &mut http::request::Parts, name: &str) -> Option<()> {
    let host = format!("{name}.internal");
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.scheme = Some(http::uri::Scheme::HTTP);
    uri.authority = Some(host.parse().ok()?);
    parts.uri = Uri::from_parts(uri).ok()?;
    parts.headers.insert(HOST, HeaderValue::from_str(&host).ok()?);
    Some(())
}

fn is_about_client(told: &Told, name: &http::HeaderName) -> bool {
    told.says(name) || *name == headers::CLIENT_CERT
}

/// What a request's headers say about the client in the gateway's name. Usually nothing.
pub(super) fn told_about_client(told: &Told, headers: &HeaderMap) -> HeaderMap {
    let mut identity = HeaderMap::new();
    for (name, value) in headers {
        if is_about_client(told, name) {
            identity.append(name, value.clone());
        }
    }
    identity
}

/// Removes what a caller says about the client without having been told the same.
fn forget_forged(headers: &mut HeaderMap, told: &Told, identity: &HeaderMap) {
    let forged = |name: &&http::HeaderName| {
        is_about_client(told, name) && !headers.get_all(*name).iter().eq(identity.get_all(*name))
    };
    let names: Vec<_> = headers.keys().filter(forged).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// A call without a response: for the log it has the status that a client from outside would get.
fn refused(exit: Option<Box<Exit>>, mut measured: Measured, error: &GatewayError, why: DispatchError) -> DispatchError {
    measured.failed(error);
    measured.answered(error.status().as_u16());
    if let Some(mut exit) = exit {
        exit.refused(error);
    }
    why
}

/// A body as a guest gets it. One that is cut looks cut.
fn wasi(body: ResponseBody) -> WasiBody {
    body.map_err(|error| match error {
        GatewayError::RequestTimeout => HttpError::HttpResponseTimeout,
        _ => HttpError::HttpResponseIncomplete,
    })
    .boxed_unsync()
}

#[cfg(test)]
mod tests;
