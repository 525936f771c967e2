//! `http://events.internal/`: events and queues for components that know nothing but wasi:http.
//!
//! ```text
//! POST   /topics/<topic>                                          201 {"receipts": [{id, offset, duplicate}]}
//!        one event (any body; CloudEvents binary, structured) or a batch of them
//! POST   /queues/<queue>/messages?delay=&deduplicationId=         201 {"id": 7}
//! POST   /queues/<queue>/receive?max=&visibility=&wait=           200 {"messages": [{id, receipt, …}]}
//! DELETE /queues/<queue>/messages/<receipt>                       204
//! POST   /queues/<queue>/messages/<receipt>/extend?visibility=    204
//! ```
//!
//! Decided here: how these requests are read and answered. What is granted, which attributes are good and what is full
//! is the bus's to say, for this interface as for `wharf:service/events`; each refusal is a problem document. No grant to
//! call anybody is needed.
//!
//! Bounds: a body up to the largest event or batch, read until the deadline of the caller's request; a receipt of a
//! message is opaque text in the path. Waiting for a message is a future that ends with the caller's request.

mod queue;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::WasiBody;

use super::{Exit, GatewayError, address, headers, wasi};
use crate::capability::bus::{EventBus, NewEvent, PublishError, Receipt};
use crate::capability::cloud_event::{self, Mode, Read};
use crate::capability::http::{Caller, DispatchError};
use crate::gateway::{Gateway, ResponseBody};

/// The name that no service can have, because it means this.
pub(super) const EVENTS: &str = "events";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a request to `events.internal` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Publish { topic: String },
    Send { queue: String },
    Receive { queue: String },
    Delete { queue: String, receipt: String },
    Extend { queue: String, receipt: String },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Published {
    receipts: Vec<Told>,
}

#[derive(Serialize)]
struct Told {
    id: String,
    offset: u64,
    duplicate: bool,
}

impl Gateway {
    pub(super) async fn call_events(
        &self,
        caller: Caller,
        request: Request<WasiBody>,
    ) -> Result<Response<WasiBody>, DispatchError> {
        let arrived = Instant::now();
        let (mut parts, body) = request.into_parts();
        address(&mut parts, EVENTS).ok_or(DispatchError::BadAddress)?;
        let mut exit = self.access_log().map(|log| Box::new(Exit::new(log, &parts, arrived)));
        let (request_id, trace) = headers::call(&mut parts.headers, &caller);
        if let Some(exit) = &mut exit {
            exit.called_by(&caller.service, &Arc::from(EVENTS), &request_id, &trace);
        }
        let bus = self.services.bus(&caller.service);
        let answered = answer(bus, &caller, &parts, body);
        let answered = match caller.deadline {
            Some(deadline) => timeout_at(deadline, answered).await.unwrap_or(Err(GatewayError::RequestTimeout)),
            None => answered.await,
        };
        let response = answered.unwrap_or_else(|error| {
            if let Some(exit) = &mut exit {
                exit.failed(&error);
            }
            error.to_response(request_id.as_str())
        });
        let response = response.map(ResponseBody::gateway);
        if let Some(exit) = &mut exit {
            let has_no_body = http_body::Body::is_end_stream(response.body());
            exit.answered(&response, has_no_body);
        }
        Ok(response.map(|body| wasi(body.with_exit(exit))))
    }
}

async fn answer(
    bus: Option<Arc<dyn EventBus>>,
    caller: &Caller,
    parts: &http::request::Parts,
    body: WasiBody,
) -> Result<Response<Bytes>, GatewayError> {
    let asked = Asked::of(&parts.method, parts.uri.path())?;
    let none = || PublishError::Unavailable("this host keeps no events".to_owned());
    let bus = bus.ok_or_else(|| GatewayError::Publish(none()))?;
    let query = parts.uri.query().unwrap_or_default();
    let service = &*caller.service;
    match asked {
        Asked::Publish { topic } => publish(&*bus, caller, topic, &parts.headers, body).await,
        Asked::Send { queue } => queue::send(&*bus, service, &queue, query, &parts.headers, body).await,
        Asked::Receive { queue } => queue::receive(&*bus, service, &queue, query).await,
        Asked::Delete { queue, receipt } => queue::delete(&*bus, service, &queue, &receipt).await,
        Asked::Extend { queue, receipt } => queue::extend(&*bus, service, &queue, &receipt, query).await,
    }
}

impl Asked {
    fn of(method: &Method, path: &str) -> Result<Self, GatewayError> {
        let segment = |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
        let segments: Option<Vec<String>> = path.trim_start_matches('/').split('/').map(segment).collect();
        let mut segments = segments.ok_or(GatewayError::BadRequest("the path is not UTF-8"))?.into_iter();
        let mut next = || segments.next();
        let (kind, name, what, receipt, order) = (next(), next(), next(), next(), next());
        if next().is_some() {
            return Err(GatewayError::NoRoute);
        }
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Err(GatewayError::NoRoute) };
        let (allowed, asked) = match (kind.as_deref(), what.as_deref(), receipt, order.as_deref()) {
            (Some("topics"), None, None, None) => (Method::POST, Self::Publish { topic: name }),
            (Some("queues"), Some("messages"), None, None) => (Method::POST, Self::Send { queue: name }),
            (Some("queues"), Some("receive"), None, None) => (Method::POST, Self::Receive { queue: name }),
            (Some("queues"), Some("messages"), Some(receipt), None) => {
                (Method::DELETE, Self::Delete { queue: name, receipt })
            }
            (Some("queues"), Some("messages"), Some(receipt), Some("extend")) => {
                (Method::POST, Self::Extend { queue: name, receipt })
            }
            _ => return Err(GatewayError::NoRoute),
        };
        if *method == allowed { Ok(asked) } else { Err(invalid(format!("this address takes {allowed}"))) }
    }
}

async fn publish(
    bus: &dyn EventBus,
    caller: &Caller,
    topic: String,
    headers: &HeaderMap,
    body: WasiBody,
) -> Result<Response<Bytes>, GatewayError> {
    let body = whole(body, Mode::of(headers).max_body()).await?;
    let read = cloud_event::read(headers, body).map_err(|error| invalid(error.to_string()))?;
    let events = read.into_iter().map(|read| event(read, &caller.service, &topic));
    let events = events.collect::<Result<Vec<_>, String>>().map_err(invalid)?;
    let receipts = bus.publish(&caller.publisher(), events).await.map_err(GatewayError::Publish)?;
    let told = |Receipt { id, offset, duplicate }| Told { id, offset, duplicate };
    json(StatusCode::CREATED, &Published { receipts: receipts.into_iter().map(told).collect() })
}

/// An event that nobody else is said to have published.
fn event(Read { event, source }: Read, service: &str, topic: &str) -> Result<NewEvent, String> {
    let own = format!("/services/{service}");
    if let Some(source) = source.filter(|source| *source != own) {
        let source: String = source.chars().take(100).collect();
        return Err(format!("source is `{}`; leave it out, or say {own}", source.escape_debug()));
    }
    Ok(NewEvent { topic: topic.to_owned(), ..event })
}

fn invalid(why: String) -> GatewayError {
    GatewayError::Publish(PublishError::Invalid(why))
}

/// The whole body, up to a limit.
async fn whole(body: WasiBody, limit: usize) -> Result<Bytes, GatewayError> {
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(GatewayError::PayloadTooLarge),
        Err(_broken) => Err(GatewayError::BadRequest("the request's body is not valid or not complete")),
    }
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response<Bytes>, GatewayError> {
    let text = serde_json::to_vec(value).map_err(|_no_json_form| GatewayError::Internal)?;
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(response)
}

#[cfg(test)]
mod tests;
