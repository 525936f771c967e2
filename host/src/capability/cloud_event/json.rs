//! The JSON format of CloudEvents 1.0: one object, or an array of them.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{FormatError, JSON, Read, SPEC_VERSION, essence};
use crate::state::MAX_PUBLISH_EVENTS;

#[cfg(test)]
mod write;
#[cfg(test)]
pub(super) use write::write;

/// The members of an object as they were written, none of them twice.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object with the attributes of an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Self::Value = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        let name = name.escape_debug();
                        return Err(serde::de::Error::custom(format_args!("`{name}` stands there more than once")));
                    }
                    if members.len() == MAX_MEMBERS {
                        return Err(serde::de::Error::custom("an event has fewer attributes"));
                    }
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader).map(Self)
    }
}

/// More attributes than this do not fit into an event's bytes in any useful way, and comparing them all takes time.
const MAX_MEMBERS: usize = 256;

pub(super) fn read_one(body: &[u8]) -> Result<Read, FormatError> {
    read_event(serde_json::from_slice(body).map_err(|error| not_json(&error))?)
}

pub(super) fn read_all(body: &[u8]) -> Result<Vec<Read>, FormatError> {
    let events: Vec<Members<'_>> = serde_json::from_slice(body).map_err(|error| not_json(&error))?;
    if events.len() > MAX_PUBLISH_EVENTS {
        return Err(FormatError(format!("a batch has at most {MAX_PUBLISH_EVENTS} events")));
    }
    let in_batch = |(at, event)| {
        read_event(event).map_err(|FormatError(why)| FormatError(format!("event {at} of the batch: {why}")))
    };
    events.into_iter().enumerate().map(in_batch).collect()
}

fn not_json(error: &serde_json::Error) -> FormatError {
    FormatError(format!("the body is no event in JSON: {error}"))
}

fn read_event(Members(members): Members<'_>) -> Result<Read, FormatError> {
    let mut read = Read::default();
    let (mut data, mut has_version) = (None, false);
    for (name, raw) in members {
        if raw.get() == "null" {
            continue;
        }
        match name.as_str() {
            "data" | "data_base64" if data.is_some() => return Err(two_kinds()),
            "data" => data = Some(Data::Json(raw)),
            "data_base64" => data = Some(Data::Base64(text(&name, raw)?)),
            "datacontenttype" => read.event.content_type = Some(text(&name, raw)?),
            _ => {
                has_version |= name == "specversion";
                read.set(&name, attribute(&name, raw)?)?;
            }
        }
    }
    if !has_version {
        return Err(FormatError(format!("`specversion` is missing; it is \"{SPEC_VERSION}\"")));
    }
    read.event.data = match data {
        None => Bytes::new(),
        Some(Data::Base64(text)) => {
            STANDARD.decode(text).map_err(|_| FormatError("`data_base64` is not base64".to_owned()))?.into()
        }
        Some(Data::Json(raw)) => {
            let content_type = read.event.content_type.get_or_insert_with(|| JSON.to_owned());
            if is_json(content_type) {
                Bytes::copy_from_slice(raw.get().as_bytes())
            } else {
                let why =
                    "`data` is to be a string, since datacontenttype is not JSON; other bytes go into `data_base64`";
                let text = serde_json::from_str::<String>(raw.get()).map_err(|_| FormatError(why.to_owned()))?;
                text.into()
            }
        }
    };
    Ok(read)
}

enum Data<'a> {
    Json(&'a RawValue),
    Base64(String),
}

fn two_kinds() -> FormatError {
    FormatError("an event has `data` or `data_base64`, not both".to_owned())
}

fn text(name: &str, raw: &RawValue) -> Result<String, FormatError> {
    serde_json::from_str(raw.get()).map_err(|_| FormatError(format!("`{}` is to be a string", name.escape_debug())))
}

/// Text, or what has a canonical one: integers and booleans.
fn attribute(name: &str, raw: &RawValue) -> Result<String, FormatError> {
    match serde_json::from_str(raw.get()) {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Bool(flag)) => Ok(flag.to_string()),
        Ok(Value::Number(number)) if number.is_i64() => Ok(number.to_string()),
        _ => {
            let name = name.escape_debug();
            Err(FormatError(format!("the attribute `{name}` is to be a string, an integer or a boolean")))
        }
    }
}

/// Whether data of this media type is JSON.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    subtype == "json" || subtype.ends_with("+json")
}
