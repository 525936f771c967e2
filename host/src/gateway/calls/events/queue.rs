//! Queues by HTTP.
//!
//! Times are written as in the configuration (`30s`, `500ms`). A message that was received is a JSON object; its body is
//! `body` where it is text, else `bodyBase64`.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use wasmtime_wasi_http::WasiBody;

use super::{json, whole};
use crate::capability::bus::{EventBus, NewMessage, QueueFailure, ReceivedMessage};
use crate::capability::rfc3339;
use crate::config;
use crate::gateway::GatewayError;
use crate::state::MAX_EVENT_BYTES;

#[derive(Serialize)]
struct Sent {
    id: u64,
}

#[derive(Serialize)]
struct Received {
    messages: Vec<Message>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    id: u64,
    receipt: String,
    attempt: u32,
    sent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(flatten)]
    body: Body,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Body {
    Body(String),
    BodyBase64(String),
}

/// The parameters of a request, each at most once and none that is not known.
struct Parameters<'q>(Vec<(&'q str, String)>);

impl<'q> Parameters<'q> {
    fn read(query: &'q str, known: &[&str]) -> Result<Self, GatewayError> {
        let mut read: Vec<(&str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                return Err(invalid(format!(
                    "no parameter is called `{}`; there is {}",
                    shown(name),
                    known.join(", ")
                )));
            }
            if read.iter().any(|(one, _)| *one == name) {
                return Err(invalid(format!("`{name}` stands there more than once")));
            }
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| invalid(format!("`{name}` is not UTF-8")))?;
            read.push((name, value.into_owned()));
        }
        Ok(Self(read))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str())
    }

    fn duration(&self, name: &str) -> Result<Option<Duration>, GatewayError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let wrong = |_| invalid(format!("`{name}` is `{}`: write a time such as 30s or 500ms", shown(text)));
        Ok(Some(text.parse::<config::Duration>().map_err(wrong)?.get()))
    }
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}

fn invalid(why: String) -> GatewayError {
    GatewayError::Queue(QueueFailure::Invalid(why))
}

pub(super) async fn send(
    bus: &dyn EventBus,
    service: &str,
    queue: &str,
    query: &str,
    headers: &HeaderMap,
    body: WasiBody,
) -> Result<Response<Bytes>, GatewayError> {
    let parameters = Parameters::read(query, &["delay", "deduplicationId"])?;
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().map(str::to_owned)).transpose();
    let message = NewMessage {
        content_type: content_type.map_err(|_| invalid("Content-Type is not ASCII".to_owned()))?,
        delay: parameters.duration("delay")?.unwrap_or_default(),
        deduplication: parameters.get("deduplicationId").map(str::to_owned),
        body: whole(body, MAX_EVENT_BYTES).await?,
    };
    let ids = bus.send(service, queue, vec![message]).await.map_err(GatewayError::Queue)?;
    let id = *ids.first().ok_or(GatewayError::Internal)?;
    json(StatusCode::CREATED, &Sent { id })
}

pub(super) async fn receive(
    bus: &dyn EventBus,
    service: &str,
    queue: &str,
    query: &str,
) -> Result<Response<Bytes>, GatewayError> {
    let parameters = Parameters::read(query, &["max", "visibility", "wait"])?;
    let max = match parameters.get("max") {
        None => 1,
        Some(text) => {
            text.parse().map_err(|_| invalid(format!("`max` is `{}`: write a number from 1 to 100", shown(text))))?
        }
    };
    let (visibility, wait) = (parameters.duration("visibility")?, parameters.duration("wait")?.unwrap_or_default());
    let received = bus.receive(service, queue, max, visibility, wait).await.map_err(GatewayError::Queue)?;
    json(StatusCode::OK, &Received { messages: received.into_iter().map(Message::from).collect() })
}

pub(super) async fn delete(
    bus: &dyn EventBus,
    service: &str,
    queue: &str,
    receipt: &str,
) -> Result<Response<Bytes>, GatewayError> {
    bus.delete(service, queue, receipt).await.map_err(GatewayError::Queue)?;
    Ok(done())
}

pub(super) async fn extend(
    bus: &dyn EventBus,
    service: &str,
    queue: &str,
    receipt: &str,
    query: &str,
) -> Result<Response<Bytes>, GatewayError> {
    let visibility = Parameters::read(query, &["visibility"])?.duration("visibility")?;
    let visibility = visibility.ok_or_else(|| invalid("say for how long: ?visibility=30s".to_owned()))?;
    bus.extend(service, queue, receipt, visibility).await.map_err(GatewayError::Queue)?;
    Ok(done())
}

fn done() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

impl From<ReceivedMessage> for Message {
    fn from(message: ReceivedMessage) -> Self {
        let ReceivedMessage { id, receipt, body, content_type, attempt, sent } = message;
        let body = match String::from_utf8(body.into()) {
            Ok(text) => Body::Body(text),
            Err(error) => Body::BodyBase64(STANDARD.encode(error.into_bytes())),
        };
        Self { id, receipt, attempt, sent: rfc3339(sent), content_type, body }
    }
}
