//! The operators' listener: is it alive, is it ready, what is where, and who else is there.
//!
//! | request | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process answers |
//! | `GET /metrics` | what is counted, for Prometheus: OpenMetrics if `Accept` asks for it, else the older text format |
//! | `GET /readyz` | 200 when every file that was there at the start serves or is rejected; 503 before, and while draining |
//! | `GET`, `POST /api/rollouts…` | see `rollouts` |
//! | `/api/events…`, `/api/subscriptions…`, `/api/dead-letters…`, `/api/queues…` | see `events` |
//! | `GET /api/services`, `…/{name}` | services, their versions and instances; files that are no service |
//! | `GET /api/instances?service=&id=&tag=&version=&health=` | instances |
//! | `POST /api/services` | registers an instance: 201, or 200 if it was there |
//! | `GET`, `DELETE /api/services/{service}/instances/{id}` | that instance; it goes: 204 |
//! | `PUT /api/services/{service}/instances/{id}/heartbeat` | it is there: 204, or 404 when it must register again |
//! | `GET /api/openapi.json` | the OpenAPI documents of all services with an automatic route, as one |
//! | `GET /api/graph` | who may call whom, and who did |
//! | `POST /api/backups` | makes a backup of all state: 201 |
//! | `GET /api/watch?service=` | every change, as server-sent events |
//!
//! It listens on loopback only and asks for no credentials, so everybody on this machine may use it, and nobody else:
//! a request must name a loopback host (a name that an attacker's DNS points here is refused), must not come from a web
//! page of another place (`Origin`), and changes something only with `content-type: application/json`, which a web page
//! cannot send to another place without asking first.

mod backups;
mod body;
mod events;
mod problem;
mod query;
mod register;
mod watch;

mod rollouts;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, LOCATION, ORIGIN};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, watch as tokio_watch};
use tokio_util::sync::CancellationToken;

use crate::events::Events;
use crate::gateway::{Connection, Contracts, Format, Metrics, Rollouts};
use crate::registry::{Filter, InstanceRecord, RefusedFile, Registry, ServiceRecord};
use crate::server::Handler;
use problem::Problem;
use watch::Watch;

/// Who may watch at once.
const MAX_WATCHERS: usize = 64;

pub(crate) use backups::Backups;
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

/// Answers operators and instances.
#[derive(Debug)]
pub(crate) struct Admin {
    registry: Arc<Registry>,
    rollouts: Arc<dyn Rollouts>,
    events: Option<Arc<Events>>,
    metrics: Metrics,
    ready: tokio_watch::Receiver<bool>,
    draining: CancellationToken,
    watchers: Arc<Semaphore>,
    backups: Option<Backups>,
    contracts: Option<Contracts>,
}

type Answer = UnsyncBoxBody<Bytes, Infallible>;

impl Admin {
    pub(crate) fn new(
        registry: Arc<Registry>,
        rollouts: Arc<dyn Rollouts>,
        metrics: Metrics,
        ready: tokio_watch::Receiver<bool>,
        draining: CancellationToken,
    ) -> Self {
        let watchers = Arc::new(Semaphore::new(MAX_WATCHERS));
        Self { registry, rollouts, events: None, metrics, ready, draining, watchers, backups: None, contracts: None }
    }

    /// The same, with events.
    pub(crate) fn with_events(self, events: Arc<Events>) -> Self {
        Self { events: Some(events), ..self }
    }

    /// The same, and it makes backups.
    pub(crate) fn with_backups(self, backups: Option<Backups>) -> Self {
        Self { backups, ..self }
    }

    /// The same, with contracts.
    pub(crate) fn with_contracts(self, contracts: Contracts) -> Self {
        Self { contracts: Some(contracts), ..self }
    }

    async fn answer<B>(&self, request: Request<B>) -> Response<Answer>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.try_answer(request).await.unwrap_or_else(|problem| problem.response().map(whole))
    }

    async fn try_answer<B>(&self, request: Request<B>) -> Result<Response<Answer>, Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !names_loopback(&request) {
            return Err(Problem::NotLoopback);
        }
        if !request.headers().get_all(ORIGIN).iter().all(is_loopback_origin) {
            return Err(Problem::ForeignOrigin);
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let words: Vec<String> = uri.path().split('/').skip(1).map(query::decode).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let reads = matches!(method, Method::GET | Method::HEAD);
        let only = |allowed: &'static str| Err(Problem::Method(allowed));
        if let Some(answer) = self.rollouts(&method, uri.path()) {
            return Ok(answer);
        }
        if let ["api", about @ ..] = words.as_slice()
            && about.first().is_some_and(|word| events::is_about_events(word))
        {
            return self.events(about, request).await;
        }
        match words.as_slice() {
            ["livez"] if reads => Ok(text(StatusCode::OK, "alive\n")),
            ["readyz"] if reads => Ok(self.ready()),
            ["metrics"] if reads => Ok(self.metrics(request.headers().get(ACCEPT))),
            ["api", "services"] if reads => {
                json(&ServiceList { services: self.registry.services(), refused: self.registry.refused() })
            }
            ["api", "services"] if method == Method::POST => self.register(request).await,
            ["api", "services", name] if reads => {
                let service = self.registry.service(name);
                json(&service.ok_or_else(|| Problem::NoService(shown(name)))?)
            }
            ["api", "services", service, "instances", id] if reads => json(&self.instance(service, id)?),
            ["api", "services", service, "instances", id] if method == Method::DELETE => {
                self.registry.deregister(service, id).map_err(|error| public(error, id))?;
                Ok(no_content())
            }
            ["api", "services", service, "instances", id, "heartbeat"] if method == Method::PUT => {
                let health = register::heartbeat(body::read_object(request).await?)?;
                self.registry.heartbeat(service, id, health).map_err(|error| public(error, id))?;
                Ok(no_content())
            }
            ["api", "instances"] if reads => {
                let names = ["service", "id", "tag", "version", "health"];
                let [service, id, tag, version, health] = query::read(uri.query(), names)?;
                let instances = self.registry.discover(&Filter { service, id, tag, version, health });
                json(&json!({ "instances": instances }))
            }
            ["api", "backups"] if method == Method::POST => self.back_up(request).await,
            ["api", "openapi.json"] if reads => {
                let contracts = self.contracts.as_ref().ok_or(Problem::NoSuchPath)?;
                Ok(respond(StatusCode::OK, "application/json", contracts.document().await).map(whole))
            }
            ["api", "graph"] if reads => json(&self.registry.graph()),
            ["api", "watch"] if reads => self.watch(&uri),
            ["livez" | "readyz" | "metrics"]
            | ["api", "instances" | "graph" | "watch" | "openapi.json"]
            | ["api", "services", _] => only("GET, HEAD"),
            ["api", "backups"] => only("POST"),
            ["api", "services"] => only("GET, HEAD, POST"),
            ["api", "services", _, "instances", _] => only("GET, HEAD, DELETE"),
            ["api", "services", _, "instances", _, "heartbeat"] => only("PUT"),
            _ => Err(Problem::NoSuchPath),
        }
    }

    fn ready(&self) -> Response<Answer> {
        if self.draining.is_cancelled() {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else if *self.ready.borrow() {
            text(StatusCode::OK, "ready\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "starting\n")
        }
    }

    fn metrics(&self, accept: Option<&HeaderValue>) -> Response<Answer> {
        let format = Format::wanted(accept.and_then(|accept| accept.to_str().ok()));
        respond(StatusCode::OK, format.content_type(), self.metrics.page(format).into()).map(whole)
    }

    async fn register<B>(&self, request: Request<B>) -> Result<Response<Answer>, Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let registration = register::registration(body::read_object(request).await?)?;
        let registered = self.registry.register(registration)?;
        let InstanceRecord { id, service, .. } = &registered.record;
        let place = format!("/api/services/{service}/instances/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
        let body = json!({
            "instance": registered.record,
            "heartbeat": { "url": format!("{place}/heartbeat"), "interval": registered.heartbeat_interval() },
        });
        let mut response = json(&body)?;
        if registered.created {
            tracing::info!(service, instance = id, "an instance has registered itself");
            *response.status_mut() = StatusCode::CREATED;
        }
        // Letters, digits and percent signs.
        if let Ok(place) = HeaderValue::try_from(place) {
            response.headers_mut().insert(LOCATION, place);
        }
        Ok(response)
    }

    fn instance(&self, service: &str, id: &str) -> Result<InstanceRecord, Problem> {
        let filter = Filter { service: Some(service.to_owned()), id: Some(id.to_owned()), ..Filter::default() };
        let unknown = || crate::registry::RegistryError::Unknown(shown(id));
        Ok(self.registry.discover(&filter).pop().ok_or_else(unknown)?)
    }

    fn watch(&self, uri: &Uri) -> Result<Response<Answer>, Problem> {
        let [service] = query::read(uri.query(), ["service"])?;
        let place = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_full| Problem::TooManyWatchers)?;
        let watch = Watch { watcher: self.registry.watch(), service, draining: self.draining.clone(), _place: place };
        let response = respond(StatusCode::OK, "text/event-stream", Bytes::new());
        Ok(response.map(|_empty| Answer::new(StreamBody::new(watch.into_stream()))))
    }
}

impl Handler for Admin {
    type Body = Answer;

    async fn handle(self: Arc<Self>, _connection: Connection, request: Request<Incoming>) -> Response<Self::Body> {
        self.answer(request).await
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
    host.is_some_and(is_loopback)
}

/// Whether an `Origin` is a page of this machine. The `null` of sandboxed pages is none.
fn is_loopback_origin(origin: &HeaderValue) -> bool {
    let uri = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    uri.is_some_and(|uri| uri.scheme().is_some() && uri.host().is_some_and(is_loopback))
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What a client wrote, fit to be shown.
fn shown(text: &str) -> String {
    text.chars().take(128).collect::<String>().escape_debug().to_string()
}

/// An error about an instance, with its id fit to be shown.
fn public(error: crate::registry::RegistryError, id: &str) -> Problem {
    use crate::registry::RegistryError;
    Problem::Registry(match error {
        RegistryError::Unknown(_) => RegistryError::Unknown(shown(id)),
        error => error,
    })
}

fn json(value: &impl Serialize) -> Result<Response<Answer>, Problem> {
    // Text, numbers and maps with text keys: cannot fail to serialize.
    let body = serde_json::to_vec_pretty(value).unwrap_or_default();
    Ok(respond(StatusCode::OK, "application/json", body.into()).map(whole))
}

fn created(value: &impl Serialize) -> Result<Response<Answer>, Problem> {
    let mut response = json(value)?;
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

fn text(status: StatusCode, text: &'static str) -> Response<Answer> {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes())).map(whole)
}

fn no_content() -> Response<Answer> {
    let mut response = Response::new(Answer::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn whole(body: Bytes) -> Answer {
    Full::new(body).boxed_unsync()
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
