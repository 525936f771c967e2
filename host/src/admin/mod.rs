//! The operators' listener: is it alive, is it ready, what is where.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process answers |
//! | `GET /readyz` | 200 when every file that was there at the start serves or is rejected; 503 before, and while draining |
//! | `GET /api/services` | services, their versions and states; files that are no service |
//! | `GET`, `POST /api/rollouts…` | see `rollouts` |
//!
//! It listens on loopback only and asks for no credentials. So that no web page can reach it through a browser, a
//! request must name a loopback host: a name that an attacker's DNS points here is refused.

mod rollouts;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::gateway::{Connection, Rollouts};
use crate::registry::{RefusedFile, Registry, ServiceRecord};
use crate::server::Handler;

pub use rollouts::RolloutList;

/// What `GET /api/services` answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceList {
    /// All services, by name.
    pub services: Vec<ServiceRecord>,
    /// Files in the folder that are no service.
    pub refused: Vec<RefusedFile>,
}

/// Answers operators.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) registry: Arc<Registry>,
    pub(crate) rollouts: Arc<dyn Rollouts>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) draining: CancellationToken,
}

impl Admin {
    fn answer<B: Body>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !names_loopback(request) {
            return text(StatusCode::FORBIDDEN, "the admin API is for this machine only: use 127.0.0.1 or localhost\n");
        }
        let path = request.uri().path();
        if let Some(answer) = self.rollouts(request.method(), path) {
            return answer;
        }
        let known = matches!(path, "/livez" | "/readyz" | "/api/services");
        if known && !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/livez" => text(StatusCode::OK, "alive\n"),
            "/readyz" if self.draining.is_cancelled() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            "/readyz" if !*self.ready.borrow() => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            "/readyz" => text(StatusCode::OK, "ready\n"),
            "/api/services" => {
                let list = ServiceList { services: self.registry.services(), refused: self.registry.refused() };
                match serde_json::to_vec_pretty(&list) {
                    Ok(body) => respond(StatusCode::OK, "application/json", body.into()),
                    Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
                }
            }
            _ => text(StatusCode::NOT_FOUND, "there is /livez, /readyz, /api/services and /api/rollouts\n"),
        }
    }
}

impl Handler for Admin {
    type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

    async fn handle(self: Arc<Self>, _connection: Connection, request: Request<Incoming>) -> Response<Self::Body> {
        self.answer(&request).map(Self::Body::new)
    }
}

fn names_loopback<B>(request: &Request<B>) -> bool {
    let host = request.uri().host().or_else(|| {
        let host = request.headers().get(HOST)?.to_str().ok()?;
        Some(
            host.rsplit_once(':')
                .map_or(host, |(name, port)| if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }),
        )
    });
    let Some(host) = host else { return false };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()))
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn admin(ready: bool) -> Admin {
        Admin {
            registry: Arc::default(),
            rollouts: Arc::new(rollouts::tests::Fake::default()),
            ready: watch::channel(ready).1,
            draining: CancellationToken::new(),
        }
    }

    pub(super) fn get(admin: &Admin, path: &str, host: &str) -> StatusCode {
        let request = Request::get(path).header(HOST, host).body(Full::<Bytes>::default()).unwrap();
        admin.answer(&request).status()
    }

    #[test]
    fn readiness_follows_start_and_drain() {
        assert_eq!(get(&admin(false), "/readyz", "localhost"), 503);
        let admin = admin(true);
        assert_eq!(get(&admin, "/readyz", "127.0.0.1:9090"), 200);
        admin.draining.cancel();
        assert_eq!(get(&admin, "/readyz", "127.0.0.1:9090"), 503);
        assert_eq!(get(&admin, "/livez", "[::1]:9090"), 200);
    }

    #[test]
    fn a_name_that_is_not_loopback_is_refused() {
        for host in ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "10.0.0.1", ""] {
            assert_eq!(get(&admin(true), "/api/services", host), 403, "{host}");
        }
    }

    #[test]
    fn only_get_is_there() {
        let request = Request::post("/livez").header(HOST, "localhost").body(Full::<Bytes>::default()).unwrap();
        assert_eq!(admin(true).answer(&request).status(), 405);
        assert_eq!(get(&admin(true), "/nothing", "localhost"), 404);
    }
}
