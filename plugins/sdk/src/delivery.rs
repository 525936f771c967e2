//! Handling events, typed or by HTTP.
//!
//! ```
//! use wharf_sdk::{Delivery, Error, Events, Failure, Request, Response, Router, on, post, serve, serve_events};
//!
//! static EVENTS: Events = Events::new(&[on("order.created", created), on("payment.*", paid)]);
//! // The host calls the component with each event …
//! serve_events!(EVENTS);
//!
//! // … or, without the line above, posts them to the path that the subscription names.
//! static ROUTER: Router = Router::new(&[post("/events", events)]);
//! serve!(ROUTER);
//!
//! fn events(request: Request) -> Result<Response, Error> {
//!     EVENTS.answer(request)
//! }
//!
//! fn created(event: Delivery) -> Result<(), Failure> {
//!     let order: serde_json::Value = event.json()?;
//!     println!("{order}");
//!     Ok(())
//! }
//!
//! fn paid(event: Delivery) -> Result<(), Failure> {
//!     Err(Failure::retry("not yet"))
//! }
//! ```
//!
//! An event is delivered at least once, so a handler sees some of them again: [`once`](crate::once) helps.
//!
//! An error that comes by `?` is a reason to try again; what no try will cure is [`Failure::Reject`], and the event goes
//! to the dead letters at once.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Request, Response};

/// The most that is read of an event by HTTP, in bytes: the largest one, in base64.
const BODY_LIMIT: usize = 2 << 20;

/// An event that is delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The name of the subscription in the service's file; empty if it did not come from Wharf.
    pub subscription: String,
    /// Its place in the log.
    pub offset: u64,
    /// 1 for the first try.
    pub attempt: u32,
    /// Unique with `source`.
    pub id: String,
    /// Who published it: `/services/<name>`.
    pub source: String,
    /// What happened.
    pub kind: String,
    /// Where it was published; the type if it did not come from Wharf.
    pub topic: String,
    /// What it is about.
    pub subject: Option<String>,
    /// Events of one topic and key come in order.
    pub key: Option<String>,
    /// When it happened, RFC 3339; empty if nobody said.
    pub time: String,
    /// The media type of `data`.
    pub content_type: Option<String>,
    /// Where the schema of `data` is found.
    pub schema: Option<String>,
    /// Further attributes.
    pub extensions: Vec<(String, String)>,
    /// The payload.
    pub data: Vec<u8>,
}

/// Why an event is not handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Try again later.
    Retry(String),
    /// No try will help: it goes to the dead letters.
    Reject(String),
}

/// Handles an event.
pub type EventHandler = fn(Delivery) -> Result<(), Failure>;

/// Topics and what handles them.
#[derive(Clone, Copy, Debug)]
pub struct EventRoute {
    pattern: &'static str,
    handler: EventHandler,
}

/// Events of a topic, or of those that a pattern fits (`*` is one word, `#` any number of them).
pub const fn on(pattern: &'static str, handler: EventHandler) -> EventRoute {
    EventRoute { pattern, handler }
}

/// The events that a service handles.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    routes: &'static [EventRoute],
}

impl Failure {
    /// Try again later.
    pub fn retry(why: impl fmt::Display) -> Self {
        Self::Retry(why.to_string())
    }

    /// No try will help.
    pub fn reject(why: impl fmt::Display) -> Self {
        Self::Reject(why.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(why) => write!(f, "try again: {why}"),
            Self::Reject(why) => write!(f, "rejected: {why}"),
        }
    }
}

/// Whatever fails by `?` in a handler is tried again. That is why [`Failure`] is not a [`std::error::Error`] itself.
impl<E: std::error::Error> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self::Retry(cause.to_string())
    }
}

impl Events {
    /// These, in this order; the first that fits an event handles it.
    pub const fn new(routes: &'static [EventRoute]) -> Self {
        Self { routes }
    }

    /// Handles an event. One that nothing here is for is rejected: the subscription selects more than the service knows.
    ///
    /// # Errors
    /// When it is not handled.
    pub fn handle(&self, event: Delivery) -> Result<(), Failure> {
        match self.routes.iter().find(|route| fits(route.pattern, &event.topic)) {
            Some(route) => (route.handler)(event),
            None => Err(Failure::reject(format_args!("this service handles no events of the topic {}", event.topic))),
        }
    }

    /// Handles an event that came as an HTTP request: 204, or a problem that says whether to try again (503) or not (422).
    ///
    /// # Errors
    /// 400 and 413 when the request is no CloudEvent.
    pub fn answer(&self, request: Request) -> Result<Response, Error> {
        match self.handle(Delivery::from_request(request)?) {
            Ok(()) => Ok(Response::empty(204)),
            Err(Failure::Retry(why)) => Err(Error::new(503, why)),
            Err(Failure::Reject(why)) => Err(Error::new(422, why)),
        }
    }
}

/// Whether a topic fits a pattern, as the host reads it.
fn fits(pattern: &str, topic: &str) -> bool {
    let topic: Vec<&str> = topic.split('.').collect();
    let mut fits = vec![true];
    fits.resize(topic.len() + 1, false);
    for word in pattern.split('.') {
        let before = std::mem::replace(&mut fits, vec![false; topic.len() + 1]);
        let mut any = false;
        for (at, reached) in before.iter().enumerate() {
            any |= reached;
            let next = if word == "#" { Some(at) } else { Some(at + 1) };
            let takes = match word {
                "#" => any,
                "*" => *reached && at < topic.len(),
                _ => *reached && topic.get(at) == Some(&word),
            };
            if let Some(place) = next.and_then(|next| fits.get_mut(next))
                && takes
            {
                *place = true;
            }
        }
    }
    fits.last().copied().unwrap_or_default()
}

impl Delivery {
    /// The data as JSON.
    ///
    /// # Errors
    /// A [`Failure::Reject`] when it isn't what `T` asks for: no try will change it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.data).map_err(|error| Failure::reject(format_args!("the data: {error}")))
    }

    /// A further attribute, `correlationid` for one.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    /// Reads a CloudEvent 1.0 from an HTTP request, in binary or structured mode.
    ///
    /// # Errors
    /// 400 when it is none, 413 when it is larger than an event may be.
    pub fn from_request(mut request: Request) -> Result<Self, Error> {
        let content_type = request.header("content-type");
        let data = request.body(BODY_LIMIT)?;
        let essence = content_type.as_deref().and_then(|text| text.split(';').next()).unwrap_or_default();
        let mut event = if essence.trim().eq_ignore_ascii_case("application/cloudevents+json") {
            Self::from_json(&data)?
        } else {
            let mut event = Self { content_type, data, ..Self::default() };
            for (name, value) in request.headers() {
                if let Some(attribute) = name.to_ascii_lowercase().strip_prefix("ce-") {
                    let value = decoded(&value);
                    let value = value.ok_or_else(|| Error::bad_request(format!("{name} is not UTF-8")))?;
                    event.set(attribute, value)?;
                }
            }
            event
        };
        for (name, value) in [("id", &event.id), ("source", &event.source), ("type", &event.kind)] {
            if value.is_empty() {
                return Err(Error::bad_request(format!("this is no CloudEvent: it has no `{name}`")));
            }
        }
        let of_host = |name: &str| request.header(name).and_then(|value| decoded(value.as_bytes()));
        event.topic = of_host("x-wharf-topic").unwrap_or_else(|| event.kind.clone());
        event.subscription = of_host("x-wharf-subscription").unwrap_or_default();
        event.offset = of_host("x-wharf-offset").and_then(|text| text.parse().ok()).unwrap_or_default();
        event.attempt = of_host("x-wharf-attempt").and_then(|text| text.parse().ok()).unwrap_or(1);
        Ok(event)
    }

    fn from_json(body: &[u8]) -> Result<Self, Error> {
        let object: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|error| Error::bad_request(format!("this is no CloudEvent in JSON: {error}")))?;
        let mut event = Self::default();
        for (name, value) in &object {
            match (name.as_str(), value) {
                ("data" | "data_base64", _) | (_, Value::Null) => {}
                ("datacontenttype", Value::String(text)) => event.content_type = Some(text.clone()),
                (_, Value::String(text)) => event.set(name, text.clone())?,
                (_, Value::Bool(_) | Value::Number(_)) => event.set(name, value.to_string())?,
                (_, Value::Array(_) | Value::Object(_)) => {
                    return Err(Error::bad_request(format!("the attribute `{name}` is to be text")));
                }
            }
        }
        event.data = match (object.get("data"), object.get("data_base64")) {
            (_, Some(Value::String(text))) => {
                STANDARD.decode(text).map_err(|_| Error::bad_request("`data_base64` is not base64"))?
            }
            (Some(Value::String(text)), _) if !event.is_json() => text.clone().into_bytes(),
            (Some(value), _) if !value.is_null() => serde_json::to_vec(value)?,
            _ => Vec::new(),
        };
        Ok(event)
    }

    /// JSON is what data is if nothing is said.
    fn is_json(&self) -> bool {
        let Some(content_type) = &self.content_type else { return true };
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        essence.ends_with("/json") || essence.ends_with("+json")
    }

    fn set(&mut self, attribute: &str, value: String) -> Result<(), Error> {
        match attribute {
            "specversion" if value == "1.0" => {}
            "specversion" => return Err(Error::bad_request("only CloudEvents 1.0 are known here")),
            "id" => self.id = value,
            "source" => self.source = value,
            "type" => self.kind = value,
            "time" => self.time = value,
            "subject" => self.subject = Some(value),
            "partitionkey" => self.key = Some(value),
            "dataschema" => self.schema = Some(value),
            _ => self.extensions.push((attribute.to_owned(), value)),
        }
        Ok(())
    }
}

fn decoded(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests;
