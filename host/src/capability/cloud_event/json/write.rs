//! The other way, for tests of reading.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::is_json;
use crate::capability::cloud_event::each_attribute;
use crate::state::Event;

/// Whether it reads back as it is: one JSON value with nothing around it, and not the one that means "absent".
fn is_written_so(data: &str) -> bool {
    data != "null" && serde_json::from_str::<&RawValue>(data).is_ok_and(|value| value.get() == data)
}

pub(in crate::capability::cloud_event) fn write(event: &Event) -> Vec<u8> {
    let mut object = Map::new();
    each_attribute(event, |name, value| {
        object.insert(name.to_owned(), Value::from(value));
    });
    if let Some(content_type) = &event.content_type {
        object.insert("datacontenttype".to_owned(), Value::from(content_type.as_str()));
    }
    let json = event.content_type.as_deref().is_some_and(is_json);
    let mut written = Value::Object(object).to_string();
    if event.data.is_empty() && !json {
        return written.into_bytes();
    }
    // Put in as it is: reading and writing it again would change it.
    written.pop();
    match std::str::from_utf8(&event.data) {
        Ok(data) if json && is_written_so(data) => {
            written.push_str(",\"data\":");
            written.push_str(data);
        }
        Ok(data) if !json && event.content_type.is_some() => {
            written.push_str(",\"data\":");
            written.push_str(&Value::from(data).to_string());
        }
        Ok(_) | Err(_) => {
            written.push_str(",\"data_base64\":\"");
            STANDARD.encode_string(&event.data, &mut written);
            written.push('"');
        }
    }
    written.push('}');
    written.into_bytes()
}
