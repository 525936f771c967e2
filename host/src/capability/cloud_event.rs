//! CloudEvents 1.0 as they travel over HTTP (protocol binding 1.0.2), for components that know nothing of Wharf.
//!
//! ```text
//! binary       ce-<attribute> headers, percent-encoded; the body is the data, Content-Type its media type
//! structured   application/cloudevents+json: one JSON object with attributes and data
//! batch        application/cloudevents-batch+json: an array of those
//! ```
//!
//! Decided here: how an event is read from each form and written in it, and what cannot be read in one way only (an
//! attribute that stands there twice, two kinds of data). Not decided here: which attributes are good, and who may
//! publish what; what was read is a [`NewEvent`], in which nothing was checked.
//!
//! Data that is JSON is kept as it was written: no digit of a number is lost, no key moves.

mod json;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

use super::bus::NewEvent;
use crate::state::{Event, MAX_ATTRIBUTE_BYTES, MAX_EVENT_BYTES, MAX_PUBLISH_BYTES};

const SPEC_VERSION: &str = "1.0";
const PREFIX: &str = "ce-";
const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const JSON: &str = "application/json";

/// What a value of a header does not have as it is.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// Which form a message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Attributes are headers, and any of them may be left out.
    Binary,
    /// One JSON object.
    Structured,
    /// An array of them.
    Batch,
}

/// Why a message is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

/// An event as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Read {
    /// What there is of it. It has no topic: that is said beside the event.
    pub event: NewEvent,
    /// Who says that it happened, if that is said.
    pub source: Option<String>,
}

impl Mode {
    /// By the message's `Content-Type`.
    pub fn of(headers: &HeaderMap) -> Self {
        match headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(essence).as_deref() {
            Some(STRUCTURED) => Self::Structured,
            Some(BATCH) => Self::Batch,
            Some(_) | None => Self::Binary,
        }
    }

    /// Bytes of body beyond which it is too large in any case. JSON needs up to twice as many as the data has (base64,
    /// escapes).
    pub fn max_body(self) -> usize {
        match self {
            Self::Binary => MAX_EVENT_BYTES,
            Self::Structured => 2 * MAX_EVENT_BYTES + MAX_ATTRIBUTE_BYTES,
            Self::Batch => MAX_PUBLISH_BYTES,
        }
    }
}

/// Reads the events of a message.
///
/// # Errors
/// When it is none, or can be read in more than one way.
pub fn read(headers: &HeaderMap, body: Bytes) -> Result<Vec<Read>, FormatError> {
    match Mode::of(headers) {
        Mode::Binary => Ok(vec![read_binary(headers, body)?]),
        Mode::Structured => Ok(vec![json::read_one(&body)?]),
        Mode::Batch => json::read_all(&body),
    }
}

fn read_binary(headers: &HeaderMap, body: Bytes) -> Result<Read, FormatError> {
    let mut read = Read::default();
    for name in headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        read.set(attribute, decoded(one(headers, name)?, attribute)?)?;
    }
    if headers.contains_key(CONTENT_TYPE) {
        let content_type = one(headers, &CONTENT_TYPE)?.to_str();
        let content_type = content_type.map_err(|_| FormatError("Content-Type is not ASCII".to_owned()))?;
        read.event.content_type = Some(content_type.to_owned());
    }
    read.event.data = body;
    Ok(read)
}

fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h HeaderValue, FormatError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(FormatError(format!("the header `{name}` stands there more than once"))),
    }
}

/// The value of an attribute as a header has it: percent-encoded, perhaps in quotes as older versions wrote it.
fn decoded(value: &HeaderValue, attribute: &str) -> Result<String, FormatError> {
    let bytes = value.as_bytes().trim_ascii();
    let unquoted;
    let bytes = match bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(inner) => {
            unquoted = unescaped(inner);
            &unquoted
        }
        None => bytes,
    };
    let text = percent_decode(bytes).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| FormatError(format!("the attribute `{attribute}` is not UTF-8")))
}

fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut bytes = quoted.iter().copied();
    let mut plain = Vec::with_capacity(quoted.len());
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    plain
}

impl Read {
    /// Sets an attribute by its name in the specification; that of the media type is not for headers.
    fn set(&mut self, attribute: &str, value: String) -> Result<(), FormatError> {
        let event = &mut self.event;
        let to = match attribute {
            "specversion" if value == SPEC_VERSION => return Ok(()),
            "specversion" => {
                let value = value.escape_debug();
                return Err(FormatError(format!("specversion is `{value}`; this host knows {SPEC_VERSION}")));
            }
            "datacontenttype" => {
                return Err(FormatError("in binary mode datacontenttype is the header Content-Type".to_owned()));
            }
            "data" | "data_base64" => return Err(FormatError(format!("`{attribute}` is no name of an attribute"))),
            "id" => &mut event.id,
            "source" => &mut self.source,
            "type" => &mut event.kind,
            "subject" => &mut event.subject,
            "time" => &mut event.time,
            "dataschema" => &mut event.schema,
            "partitionkey" => &mut event.key,
            _ => {
                event.extensions.push((attribute.to_owned(), value));
                return Ok(());
            }
        };
        *to = Some(value);
        Ok(())
    }
}

/// Writes an event's attributes as headers; its data is the body. What `headers` said of an event before is gone.
pub fn write_binary(event: &Event, headers: &mut HeaderMap) {
    let stale: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(PREFIX)).cloned().collect();
    for name in stale {
        headers.remove(name);
    }
    each_attribute(event, |attribute, value| {
        let name = HeaderName::try_from(format!("{PREFIX}{attribute}"));
        let value = HeaderValue::try_from(utf8_percent_encode(value, ENCODED).to_string());
        // Names and values that passed the checks of publishing are headers.
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.insert(name, value);
        }
    });
    headers.remove(CONTENT_TYPE);
    if let Some(content_type) = event.content_type.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(CONTENT_TYPE, content_type);
    }
}

/// An event in the JSON format, `application/cloudevents+json`. Nothing of this host sends that yet.
#[cfg(test)]
fn write_json(event: &Event) -> Vec<u8> {
    json::write(event)
}

/// Every attribute but the media type, by its name in the specification.
fn each_attribute(event: &Event, mut set: impl FnMut(&str, &str)) {
    set("specversion", SPEC_VERSION);
    set("id", &event.id);
    set("source", &event.source);
    set("type", &event.kind);
    set("time", &super::rfc3339(event.time));
    for (name, value) in [("subject", &event.subject), ("partitionkey", &event.key), ("dataschema", &event.schema)] {
        if let Some(value) = value {
            set(name, value);
        }
    }
    for (name, value) in &event.extensions {
        set(name, value);
    }
}

/// A media type without its parameters, in lower case.
fn essence(media_type: &str) -> String {
    media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
