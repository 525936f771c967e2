//! One request from its head to the head of its response, as a straight line.
//!
//! The order is fixed (see the module header of the gateway); what can end it early returns a [`GatewayError`], which
//! becomes a response in one place. The deadline counts from the request's headers to the end of the response.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::exit::Exit;
use super::headers::{self, RequestId, X_REQUEST_ID};
use super::request_body::RequestBody;
use super::route::{self, Found};
use super::{Connection, Gateway, GatewayError, ResponseBody};
use crate::config::Service;
use crate::plugin::{CallContext, Version};

/// The part of the path that was taken off before the service sees it.
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Where a request goes.
struct Destination {
    version: Arc<Version>,
    settings: Arc<Service>,
    deadline: Option<Instant>,
}

impl Gateway {
    pub(super) async fn run(&self, connection: Connection, request: Request<Incoming>) -> Response<ResponseBody> {
        let arrived = Instant::now();
        let is_head = request.method() == Method::HEAD;
        let (mut parts, body) = request.into_parts();
        let mut exit = self.access_log().map(|log| Box::new(Exit::new(log, &parts, arrived)));

        headers::strip_request(&mut parts.headers);
        let host = host(&parts);
        let client = headers::forward(
            &mut parts.headers,
            connection.peer,
            "http",
            host.as_deref().ok(),
            connection.local.port(),
            &self.services.snapshot().trusted_proxies,
        );
        let request_id = headers::request_id(&mut parts.headers, client.peer_trusted);
        if let Some(exit) = &mut exit {
            exit.client(client.address, &request_id);
        }

        let result = match host {
            Ok(host) => {
                let request = Request::from_parts(parts, body);
                self.forward(arrived, (&host, client.address), &request_id, request, exit.as_deref_mut()).await
            }
            Err(error) => Err(error),
        };
        let mut response = result.unwrap_or_else(|error| {
            if let Some(exit) = &mut exit {
                exit.failed(&error);
            }
            error.to_response(request_id.as_str()).map(ResponseBody::gateway)
        });
        response.headers_mut().insert(X_REQUEST_ID, request_id.header());
        leave_out_body(is_head, &mut response);
        if let Some(exit) = &mut exit {
            let has_no_body = response.body().is_end_stream();
            exit.answered(&response, has_no_body);
        }
        response.map(|body| body.with_exit(exit))
    }

    async fn forward(
        &self,
        arrived: Instant,
        (host, client): (&str, IpAddr),
        request_id: &RequestId,
        request: Request<Incoming>,
        mut exit: Option<&mut Exit>,
    ) -> Result<Response<ResponseBody>, GatewayError> {
        let (mut parts, body) = request.into_parts();
        let body = RequestBody::new(&parts, body);
        if parts.method == Method::CONNECT {
            return Err(GatewayError::NotSupported("CONNECT: this is no proxy"));
        }
        let (destination, runtime) = {
            let snapshot = self.services.snapshot();
            let path = parts.uri.path();
            let asked = route::Request {
                listener: route::Listener::PLAIN,
                host: Some(host),
                method: &parts.method,
                path,
                query: parts.uri.query(),
                headers: &parts.headers,
                client,
            };
            let found = snapshot.table.find(&asked).ok_or(GatewayError::NoRoute)?;
            let backend_ref =
                route::choose(&found.target.backends, fastrand::u64(..)).ok_or(GatewayError::NoBackend)?;
            let service = &backend_ref.service;
            let backend = snapshot.service(service).ok_or_else(|| GatewayError::UnknownService(service.to_string()))?;
            if let Some(exit) = &mut exit {
                exit.routed(&found.target.route, &backend.runtime.name);
            }
            let version = backend
                .version(backend_ref.version.as_deref())
                .ok_or_else(|| GatewayError::NotServing(service.to_string()))?;
            let settings = version.settings();
            let deadline = deadline(arrived, &settings, &found);
            if let (Some(replacement), Some(prefix)) = (&found.target.rewrite, found.matched_prefix) {
                let rewritten = route::rewrite_path(prefix, replacement, path);
                // What a service needs for links that lead back to it. Of `/users`, which becomes `/`, it is all.
                let stripped = path.strip_suffix(&*rewritten).or_else(|| (rewritten == "/").then_some(path));
                if let Some(stripped) = stripped.filter(|stripped| !stripped.is_empty())
                    && let Ok(stripped) = HeaderValue::from_str(stripped)
                {
                    parts.headers.insert(X_FORWARDED_PREFIX, stripped);
                }
                parts.uri = with_path(&parts.uri, &rewritten)?;
            }
            (Destination { version: Arc::clone(version), settings, deadline }, Arc::clone(&backend.runtime))
        };
        if let Some(exit) = &mut exit {
            exit.version(destination.version.label());
        }

        if content_length(&parts) > Some(destination.settings.limits.request_body.get()) {
            return Err(GatewayError::PayloadTooLarge);
        }
        let admitted = runtime.bulkhead.admit();
        let permit = match destination.deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline, admitted).await.map_err(|_| GatewayError::RequestTimeout)?
            }
            None => admitted.await,
        }
        .map_err(|_full| GatewayError::BulkheadFull)?;

        let call = CallContext {
            request_id: Some(request_id.as_str().into()),
            deadline: destination.deadline,
            max_request_body: None,
            permit: Some(Box::new(permit)),
        };
        let request = Request::from_parts(parts, body);
        let began = Instant::now();
        let called = destination.version.call(request, call).await;
        if let Some(exit) = &mut exit {
            exit.called(began);
        }
        let mut response = called?;
        headers::strip_response(response.headers_mut());
        Ok(response.map(ResponseBody::guest))
    }
}

/// The authority that the client means. There is one, and it is nothing but a host, maybe with a port: whoever reads it
/// after us must not see another one in it.
fn host(parts: &http::request::Parts) -> Result<String, GatewayError> {
    let mut sent = parts.headers.get_all(HOST).iter();
    let host = match (parts.uri.authority(), sent.next(), sent.next()) {
        (_, _, Some(_second)) => return Err(GatewayError::BadRequest("the request names more than one host")),
        (Some(authority), ..) => authority.clone(),
        (None, Some(host), None) => {
            Authority::try_from(host.as_bytes()).map_err(|_| GatewayError::BadRequest("the host is not valid"))?
        }
        (None, None, None) => return Err(GatewayError::BadRequest("the request names no host")),
    };
    let port = host.as_str().strip_prefix(host.host());
    let port_is_number = port.is_some_and(|port| port.is_empty() || port == ":" || host.port_u16().is_some());
    if host.host().is_empty() || !port_is_number {
        return Err(GatewayError::BadRequest("the host is not valid"));
    }
    Ok(host.as_str().to_owned())
}

fn deadline(arrived: Instant, service: &Service, found: &Found<'_, ()>) -> Option<Instant> {
    let of_service = Some(service.timeouts.request.get()).filter(|timeout| !timeout.is_zero());
    let of_rule = found.target.request_timeout;
    let timeout = match (of_service, of_rule) {
        (Some(service), Some(rule)) => Some(service.min(rule)),
        (one, other) => one.or(other),
    };
    timeout.map(|timeout| arrived + timeout)
}

fn with_path(uri: &Uri, path: &str) -> Result<Uri, GatewayError> {
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.map_err(|_| GatewayError::BadRequest("the path is not valid"))?);
    Uri::from_parts(parts).map_err(|_| GatewayError::BadRequest("the path is not valid"))
}

/// Responses that may not have a body; hyper leaves it out for us over HTTP/1.1 only. A guest that still writes is
/// ended.
fn leave_out_body(is_head: bool, response: &mut Response<ResponseBody>) {
    let without_body = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !(is_head || without_body) || response.body().is_end_stream() {
        return;
    }
    if is_head && let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    *response.body_mut() = ResponseBody::gateway(Bytes::new());
}

fn content_length(parts: &http::request::Parts) -> Option<u64> {
    parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
