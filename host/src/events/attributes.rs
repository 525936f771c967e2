//! From what a service wrote to an event: the rules of CloudEvents 1.0, and what the host adds.
//!
//! Decided here: which attributes are good, how long they may be, and what stands in those that were left out. Ids are
//! UUIDs version 7. What belongs together (`correlationid`), what caused what (`causationid`) and the trace come from the
//! request that is served, unless the service says otherwise. How manieth an event is in a chain ([`DEPTH`]) is the
//! host's to say: what a service says there is left out, not refused, so that it may hand on an event as it came.

use std::collections::BTreeMap;
use std::time::SystemTime;

use http::Uri;
use uuid::{NoContext, Timestamp, Uuid};

use super::time;
use crate::capability::bus::{NewEvent, Publisher};
use crate::capability::http::DEPTH;
use crate::config::check_topic;
use crate::state::{Event, MAX_ATTRIBUTE_BYTES};

/// Longest id, subject and key, in bytes.
const MAX_TEXT: usize = 1024;
/// Longest type.
const MAX_KIND: usize = 255;
/// Longest media type, and longest schema.
const MAX_MEDIA_TYPE: usize = 255;
const MAX_SCHEMA: usize = 2048;
const MAX_NAME: usize = 20;
const MAX_EXTENSIONS: usize = 64;
/// Names that no extension may have: the attributes of CloudEvents that have a place of their own, and `data`.
const TAKEN: [&str; 10] =
    ["id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64"];

/// A new id.
pub(super) fn new_id() -> String {
    Uuid::new_v7(Timestamp::now(NoContext)).to_string()
}

/// The event that is meant, complete.
///
/// # Errors
/// The first thing that is wrong with it, for the service.
pub(super) fn event(
    source: &str,
    publisher: Option<&Publisher>,
    new: NewEvent,
    max_data: u64,
) -> Result<Event, String> {
    let NewEvent { topic, id, kind, subject, key, time, content_type, schema, extensions, data } = new;
    check_topic(&topic).map_err(|error| format!("topic: {error}"))?;
    if data.len() as u64 > max_data {
        return Err(format!("data has {} bytes, at most {max_data} are allowed", data.len()));
    }
    let id = id.map_or_else(|| Ok(new_id()), |id| text("id", id, MAX_TEXT))?;
    let kind = kind.map_or_else(|| Ok(topic.clone()), |kind| text("type", kind, MAX_KIND))?;
    let event = Event {
        source: source.to_owned(),
        id,
        kind,
        topic,
        subject: subject.map(|subject| text("subject", subject, MAX_TEXT)).transpose()?,
        key: key.map(|key| text("key", key, MAX_TEXT)).transpose()?,
        time: match time {
            None => SystemTime::now(),
            Some(text) => time::parse(&text).ok_or_else(|| "time: it is not in the form of RFC 3339".to_owned())?,
        },
        content_type: content_type.map(media_type).transpose()?,
        schema: schema.map(uri).transpose()?,
        extensions: extended(extensions, publisher)?,
        data,
    };
    let bytes = bytes(&event);
    if bytes > MAX_ATTRIBUTE_BYTES {
        return Err(format!("the attributes have {bytes} bytes, at most {MAX_ATTRIBUTE_BYTES} are allowed"));
    }
    Ok(event)
}

/// Bytes of the attributes together.
fn bytes(event: &Event) -> usize {
    let optional = [&event.subject, &event.key, &event.content_type, &event.schema];
    let plain = event.id.len() + event.source.len() + event.kind.len() + event.topic.len();
    let extensions = event.extensions.iter().map(|(name, value)| name.len() + value.len());
    plain + optional.into_iter().flatten().map(String::len).sum::<usize>() + extensions.sum::<usize>()
}

fn extended(given: Vec<(String, String)>, publisher: Option<&Publisher>) -> Result<BTreeMap<String, String>, String> {
    if given.len() > MAX_EXTENSIONS {
        return Err(format!("{} extensions, at most {MAX_EXTENSIONS} are allowed", given.len()));
    }
    let mut extensions = BTreeMap::new();
    for (name, value) in given {
        let is_name = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let shown = name.escape_debug();
        if TAKEN.contains(&name.as_str()) || name == "partitionkey" {
            return Err(format!("`{shown}` is no extension: it has a place of its own in an event"));
        }
        if !is_name {
            return Err(format!("`{shown}` is no name of an extension: 1 to {MAX_NAME} lower-case letters and digits"));
        }
        if let Some(odd) = odd(&value) {
            return Err(format!("{name}: {odd:?} cannot stand in it"));
        }
        if extensions.insert(name.clone(), value).is_some() {
            return Err(format!("`{name}` is given twice"));
        }
    }
    extensions.remove(DEPTH);
    let Some(publisher) = publisher else { return Ok(extensions) };
    let in_trace = !extensions.contains_key("traceparent");
    let header = |value: &Option<http::HeaderValue>| value.as_ref()?.to_str().ok().map(str::to_owned);
    for (name, value) in [
        ("correlationid", publisher.correlation.clone()),
        ("causationid", publisher.causation.clone()),
        ("traceparent", header(&publisher.trace.parent)),
        // Means nothing beside another trace.
        ("tracestate", header(&publisher.trace.state).filter(|_| in_trace)),
    ] {
        if let Some(value) = value.filter(|value| value.len() <= MAX_TEXT && odd(value).is_none()) {
            extensions.entry(name.to_owned()).or_insert(value);
        }
    }
    if publisher.depth > 0 {
        extensions.insert(DEPTH.to_owned(), publisher.depth.to_string());
    }
    Ok(extensions)
}

fn text(name: &str, value: String, max: usize) -> Result<String, String> {
    if value.is_empty() || value.len() > max {
        return Err(format!("{name}: it has {} bytes, 1 to {max} are allowed", value.len()));
    }
    match odd(&value) {
        Some(odd) => Err(format!("{name}: {odd:?} cannot stand in it")),
        None => Ok(value),
    }
}

/// A character that no attribute may have: control characters, and what Unicode says is none.
fn odd(value: &str) -> Option<char> {
    let is_none = |c: char| ('\u{fdd0}'..='\u{fdef}').contains(&c) || (c as u32 & 0xfffe) == 0xfffe;
    value.chars().find(|c| c.is_control() || is_none(*c))
}

/// `type/subtype`, and whatever parameters.
fn media_type(value: String) -> Result<String, String> {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let (essence, parameters) = value.split_once(';').unwrap_or((&value, ""));
    let is_right = essence.trim_end().split_once('/').is_some_and(|(kind, sub)| is_token(kind) && is_token(sub))
        && parameters.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && value.len() <= MAX_MEDIA_TYPE;
    if is_right { Ok(value) } else { Err("datacontenttype: it is no media type, like application/json".to_owned()) }
}

fn uri(value: String) -> Result<String, String> {
    let is_right = value.len() <= MAX_SCHEMA
        && value.bytes().all(|byte| matches!(byte, b'!'..=b'~'))
        && match value.parse::<Uri>() {
            Ok(uri) => uri.scheme().is_some(),
            // `urn:…` and its like, which name no host.
            Err(_) => value.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty()),
        };
    if is_right { Ok(value) } else { Err("dataschema: it is no absolute URI".to_owned()) }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;
    use crate::capability::http::Trace;

    fn new() -> NewEvent {
        NewEvent { topic: "order.created".into(), ..NewEvent::default() }
    }

    fn made(new: NewEvent) -> Result<Event, String> {
        event("/services/orders", None, new, 100)
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let event = made(new()).unwrap();
        assert_eq!((event.kind.as_str(), event.source.as_str()), ("order.created", "/services/orders"));
        assert_eq!(Uuid::parse_str(&event.id).unwrap().get_version_num(), 7);
        assert!(event.time.elapsed().unwrap().as_secs() < 60);
        assert!(event.extensions.is_empty() && event.key.is_none());
    }

    #[test]
    fn what_belongs_together_comes_from_the_request_unless_the_service_says_otherwise() {
        let publisher = Publisher {
            service: "orders".into(),
            correlation: Some("c".into()),
            causation: Some("e".into()),
            depth: 0,
            trace: Trace {
                parent: Some(HeaderValue::from_static("00-aa-bb-01")),
                state: Some(HeaderValue::from_static("v=1")),
            },
        };
        let made = |extensions: &[(&str, &str)]| {
            let extensions = extensions.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            event("/s", Some(&publisher), NewEvent { extensions, ..new() }, 100).unwrap().extensions
        };
        let all = made(&[("tenant", "t")]);
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["causationid", "correlationid", "tenant", "traceparent", "tracestate"]);
        let own = made(&[("correlationid", "mine"), ("traceparent", "00-cc-dd-00")]);
        assert_eq!((own["correlationid"].as_str(), own["traceparent"].as_str()), ("mine", "00-cc-dd-00"));
        assert!(!own.contains_key("tracestate"), "of another trace");
    }

    #[test]
    fn bad_attributes_are_refused() {
        let bad: Vec<(&str, NewEvent)> = vec![
            ("topic", NewEvent { topic: "order.*".into(), ..new() }),
            ("topic", NewEvent { topic: String::new(), ..new() }),
            ("data", NewEvent { data: Bytes::from(vec![0; 101]), ..new() }),
            ("id", NewEvent { id: Some(String::new()), ..new() }),
            ("id", NewEvent { id: Some("a\nb".into()), ..new() }),
            ("id", NewEvent { id: Some("a".repeat(1025)), ..new() }),
            ("type", NewEvent { kind: Some("\u{fffe}".into()), ..new() }),
            ("subject", NewEvent { subject: Some("\u{85}".into()), ..new() }),
            ("key", NewEvent { key: Some("\0".into()), ..new() }),
            ("time", NewEvent { time: Some("yesterday".into()), ..new() }),
            ("datacontenttype", NewEvent { content_type: Some("json".into()), ..new() }),
            ("datacontenttype", NewEvent { content_type: Some("a/b; c=\r\nx: y".into()), ..new() }),
            ("dataschema", NewEvent { schema: Some("/relative".into()), ..new() }),
            ("dataschema", NewEvent { schema: Some("http://a b".into()), ..new() }),
            ("`Tenant`", NewEvent { extensions: vec![("Tenant".into(), "a".into())], ..new() }),
            ("`a_b`", NewEvent { extensions: vec![("a_b".into(), "a".into())], ..new() }),
            ("`id`", NewEvent { extensions: vec![("id".into(), "a".into())], ..new() }),
            ("`partitionkey`", NewEvent { extensions: vec![("partitionkey".into(), "a".into())], ..new() }),
            ("``", NewEvent { extensions: vec![(String::new(), "a".into())], ..new() }),
            ("a:", NewEvent { extensions: vec![("a".into(), "\u{1b}[2J".into())], ..new() }),
            (
                "`a` is given twice",
                NewEvent { extensions: vec![("a".into(), "1".into()), ("a".into(), "2".into())], ..new() },
            ),
            (
                "65 extensions",
                NewEvent { extensions: (0..65).map(|n| (format!("n{n}"), String::new())).collect(), ..new() },
            ),
            ("the attributes have", NewEvent { extensions: vec![("a".into(), "x".repeat(17_000))], ..new() }),
        ];
        for (begins, new) in bad {
            let error = made(new.clone()).unwrap_err();
            assert!(error.starts_with(begins), "{begins}: {error}\n{new:?}");
        }
    }

    #[test]
    fn unusual_but_good_attributes_pass() {
        let good = NewEvent {
            id: Some("Ünï 1/2".into()),
            content_type: Some("application/vnd.a+json; charset=utf-8".into()),
            schema: Some("urn:example:schema:1".into()),
            extensions: vec![("comexampleext1".into(), "🚀".into()), ("empty".into(), String::new())],
            time: Some("2026-01-31T10:00:00+01:00".into()),
            ..new()
        };
        made(good).unwrap();
        made(NewEvent { schema: Some("https://example.com/s#1".into()), ..new() }).unwrap();
    }
}
