//! One request from its head to the head of its response, as a straight line.
//!
//! The order is fixed (see the module header of the gateway); what can end it early returns a [`GatewayError`], which
//! becomes a response in one place. Every answer of a rule goes the same way back, whether a service, a filter or an
//! error made it. The deadline counts from the request's headers to the end of the response.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::{Body, Incoming};
use tokio::time::Instant;

use super::calls::told_about_client;
use super::contract;
use super::edge::{STRICT_TRANSPORT_SECURITY, Verdict, to_https};
use super::exit::Exit;
use super::filter::{Asking, Chain, Passage};
use super::forward::{Hop, forward};
use super::headers::{self, ClientIp, RequestId, X_REQUEST_ID};
use super::mirror;
use super::request_body::RequestBody;
use super::route::{self, Listener};
use super::services::{Services, Snapshot};
use super::split::Facts;
use super::traffic::{Asker, Measured};
use super::{Connection, Gateway, GatewayError, ResponseBody, rewrite, sanitize, versioning};
use crate::config::{Scheme, Service};

/// A request on its way, beside its head and body.
struct Way {
    arrived: Instant,
    connection: Connection,
    client: ClientIp,
    request_id: RequestId,
    /// What is in force for it from its beginning to its end.
    snapshot: Arc<Snapshot>,
    /// The filters of its rule, once it has one, and what they found.
    chain: Option<(Arc<Chain>, Passage)>,
    exit: Option<Box<Exit>>,
    measured: Measured,
}

/// Where a request goes.
struct Destination {
    service: Arc<str>,
    version_label: Option<Arc<str>>,
    /// Filters of this backend alone.
    chain: Option<Arc<Chain>>,
}

impl Gateway {
    pub(super) async fn run(&self, connection: Connection, request: Request<Incoming>) -> Response<ResponseBody> {
        let arrived = Instant::now();
        let measured = Measured::new(Arc::clone(self.services.traffic()), Asker::Client, arrived);
        let is_head = request.method() == Method::HEAD;
        let (mut parts, body) = request.into_parts();
        let mut exit = self.access_log().map(|log| Box::new(Exit::new(log, &parts, arrived)));

        let snapshot = self.services.snapshot();
        // Before headers are stripped: what it decides about stands in them.
        let host = sanitize::sanitize(&mut parts, &snapshot.requests, snapshot.max_headers);
        headers::strip_request(&mut parts.headers);
        headers::drop_ours(&mut parts.headers);
        headers::client_cert(&mut parts.headers, connection.secure.as_deref());
        let client = headers::forward(
            &mut parts.headers,
            connection.peer,
            scheme(&connection).as_str(),
            host.as_deref().ok(),
            connection.local.port(),
            &snapshot.trusted_proxies,
        );
        let request_id = headers::request_id(&mut parts.headers, client.peer_trusted);
        let trace = headers::trace(&mut parts.headers);
        if let Some(exit) = &mut exit {
            exit.client(client.address, &request_id, &trace);
        }

        let mut way = Way { arrived, connection, client, request_id, snapshot, chain: None, exit, measured };
        let result = match host {
            Ok(host) => {
                say_scheme(&mut parts, scheme(&way.connection), &host);
                way.forward(&host, Request::from_parts(parts, body), &self.services).await
            }
            Err(error) => Err(error),
        };
        let response = result.unwrap_or_else(|error| {
            let error = self.services.nobody(error);
            way.measured.failed(&error);
            if let Some(exit) = &mut way.exit {
                exit.failed(&error);
            }
            error.to_response(way.request_id.as_str()).map(ResponseBody::gateway)
        });
        way.back(response, is_head)
    }
}

impl Way {
    async fn forward(
        &mut self,
        host: &str,
        request: Request<Incoming>,
        services: &Arc<Services>,
    ) -> Result<Response<ResponseBody>, GatewayError> {
        let (mut parts, body) = request.into_parts();
        let body = RequestBody::new(&parts, body);
        let snapshot = Arc::clone(&self.snapshot);
        match snapshot.edge.decide(&self.connection, host, &parts.uri) {
            Verdict::Answer => {}
            Verdict::Misdirected => return Err(GatewayError::Misdirected),
            Verdict::NotHere => return Err(GatewayError::NoRoute),
            Verdict::Redirect(location) => return Ok(to_https(location)),
        }
        let asked = route::Request {
            // Whether the listener answers for this host was decided above.
            listener: Listener { name: &self.connection.listener, hostname: None },
            host: Some(host),
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query(),
            headers: &parts.headers,
            client: self.client.address,
        };
        let Some(found) = snapshot.table.find(&asked) else {
            let asked = (&parts.method, parts.uri.path());
            let own = match services.overview(&snapshot, asked) {
                None => contract::together(services, &snapshot, asked).await,
                own => own,
            };
            return own.map(|answer| answer.map(ResponseBody::gateway)).ok_or(GatewayError::NoRoute);
        };
        let target = found.target;
        let facts = Facts { headers: &parts.headers, client: Some(self.client.address) };
        let destination = target.choose(facts, fastrand::u64(..)).map(|backend| Destination {
            service: Arc::clone(&backend.service),
            version_label: backend.version.clone(),
            chain: backend.chain.clone(),
        });
        if let Some(exit) = &mut self.exit {
            exit.routed(&target.route, destination.as_ref().map(|destination| &destination.service));
            exit.conceal(target.chain.secret_parameters());
        }
        if let Some(backend) = destination.as_ref().and_then(|to| snapshot.service(&to.service)) {
            self.measured.is_for(&backend.runtime.carried.counters.traffic);
        }

        let asking = Asking {
            client: self.client.address,
            scheme: scheme(&self.connection),
            host,
            port: self.connection.local.port(),
            matched_prefix: found.matched_prefix,
            service: destination.as_ref().map_or("", |destination| &destination.service),
        };
        let (chain, passage) = self.chain.insert((Arc::clone(&target.chain), Passage::new(&parts)));
        let chain = Arc::clone(chain);
        let answer = chain.request(asking, &mut parts, passage).await?;
        if let (Some(exit), Some(identity)) = (&mut self.exit, &passage.identity) {
            exit.identified(&identity.subject);
        }
        if let Some(answer) = answer {
            return Ok(answer.map(ResponseBody::gateway));
        }

        let destination = destination.ok_or(GatewayError::NoBackend)?;
        let (label, service) = (destination.version_label.as_deref(), &destination.service);
        let backend = snapshot.service(service).ok_or_else(|| GatewayError::UnknownService(service.to_string()))?;
        // Where the document of the service is for whoever asks for it, before its path becomes the service's own.
        let document = target.automatic.then(|| parts.uri.path().strip_suffix(contract::NAME).map(str::to_owned));
        let settings = &backend.settings;
        let chains = [Some(&*chain), destination.chain.as_deref()];
        for chain in chains.into_iter().flatten() {
            chain.request_headers(&mut parts.headers);
        }
        let of_backend = destination.chain.as_deref().and_then(Chain::rewrite);
        match (chain.rewrite(), of_backend) {
            (None, None) => {}
            (Some(one), None) | (None, Some(one)) => rewrite::apply(one, &mut parts, found.matched_prefix)?,
            // A backend that only names a host keeps the path of its rule.
            (Some(rule), Some(backend)) => rewrite::apply(&backend.over(rule), &mut parts, found.matched_prefix)?,
        }
        let named = match label {
            None if settings.versioning.is_on() => versioning::named(backend, &mut parts)?,
            _ => None,
        };
        let label = label.or(named.as_deref());
        if let Some(prefix) = document.flatten().filter(|_| parts.uri.path() == contract::NAME) {
            let asked = (&parts.method, label, &parts.headers);
            let answer = Box::pin(contract::alone(services, asked, (service, &prefix, backend))).await;
            if let Some(answer) = answer {
                return Ok(answer.map(ResponseBody::gateway));
            }
        }
        let max_request_body = chain.max_request_body();
        let of_service = settings.limits.request_body.get();
        if content_length(&parts) > Some(max_request_body.map_or(of_service, |max| max.min(of_service))) {
            return Err(GatewayError::PayloadTooLarge);
        }
        let deadline = self.deadline(settings, target.request_timeout);
        chain.fault(&parts.headers, deadline, [fastrand::u64(..), fastrand::u64(..)]).await?;
        let copies = || Arc::clone(services) as Arc<_>;
        let body = mirror::tee(&parts, body, chain.mirrors(), copies, || fastrand::u64(..));
        let hop = Hop {
            snapshot: &snapshot,
            backend,
            service,
            version: label,
            client: Some(self.client.address),
            retry: target.retry.as_ref(),
            try_timeout: target.backend_timeout,
            bulkhead: chain.bulkhead(),
            deadline,
            max_request_body,
            request_id: self.request_id.as_str().into(),
            path: Vec::new(),
            identity: told_about_client(&snapshot.told, &parts.headers),
            is_fallback: false,
        };
        // Boxed: it would be moved with each of the futures around it.
        let answered = Box::pin(forward(&hop, Request::from_parts(parts, body), &mut self.exit));
        let mut response = answered.await?;
        if let Some(chain) = &destination.chain {
            chain.response_headers(response.headers_mut());
        }
        if let Some(name) = settings.versioning.header.as_deref().and_then(|name| HeaderValue::from_str(name).ok()) {
            response.headers_mut().append(VARY, name);
        }
        Ok(response)
    }

    /// The way back, the same for every answer.
    fn back(mut self, response: Response<ResponseBody>, is_head: bool) -> Response<ResponseBody> {
        let (mut parts, mut body) = response.into_parts();
        if let Some((chain, passage)) = &self.chain {
            let encoder = chain.response(passage, &mut parts, body.size_hint().exact());
            body = body.compressed(encoder);
        }
        if let Some(hsts) = self.snapshot.edge.hsts(&self.connection) {
            parts.headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        parts.headers.insert(X_REQUEST_ID, self.request_id.header());
        let mut response = Response::from_parts(parts, body);
        self.measured.answered(response.status().as_u16());
        leave_out_body(is_head, &mut response);
        if let Some(exit) = &mut self.exit {
            let has_no_body = response.body().is_end_stream();
            exit.answered(&response, has_no_body);
        }
        response.map(|body| body.with_exit(self.exit.take()))
    }

    fn deadline(&self, service: &Service, of_rule: Option<std::time::Duration>) -> Option<Instant> {
        let of_service = Some(service.timeouts.request.get()).filter(|timeout| !timeout.is_zero());
        let timeout = match (of_service, of_rule) {
            (Some(service), Some(rule)) => Some(service.min(rule)),
            (one, other) => one.or(other),
        };
        timeout.map(|timeout| self.arrived + timeout)
    }
}

fn scheme(connection: &Connection) -> Scheme {
    if connection.secure.is_some() { Scheme::Https } else { Scheme::Http }
}

/// The service learns from the address whether its client came by TLS, whatever the client calls it. A plain request
/// with nothing but a path stays as it is: that is what plain means.
fn say_scheme(parts: &mut Parts, scheme: Scheme, host: &str) {
    if scheme == Scheme::Http && parts.uri.scheme().is_none() {
        return;
    }
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    let said = if scheme == Scheme::Https { http::uri::Scheme::HTTPS } else { http::uri::Scheme::HTTP };
    uri.scheme = Some(said);
    uri.authority = uri.authority.or_else(|| host.parse().ok());
    // Scheme, authority and a path that was there before: always an address.
    parts.uri = Uri::from_parts(uri).unwrap_or_default();
}

/// Responses that may not have a body; hyper leaves it out for us over HTTP/1.1 only. A guest that still writes is
/// ended.
pub(super) fn leave_out_body(is_head: bool, response: &mut Response<ResponseBody>) {
    let without_body = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !(is_head || without_body) || response.body().is_end_stream() {
        return;
    }
    if is_head && let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    *response.body_mut() = ResponseBody::gateway(Bytes::new());
}

pub(super) fn content_length(parts: &Parts) -> Option<u64> {
    parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
