//! Each form by example, what is refused, and that no form loses anything.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in entries {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn binary(entries: &[(&'static str, &str)], body: &'static str) -> Result<Read, FormatError> {
    let mut events = read(&headers(entries), Bytes::from_static(body.as_bytes()))?;
    assert_eq!(events.len(), 1);
    Ok(events.remove(0))
}

fn structured(body: &str) -> Result<Read, FormatError> {
    let headers = headers(&[("content-type", "Application/CloudEvents+JSON; charset=utf-8")]);
    let mut events = read(&headers, Bytes::copy_from_slice(body.as_bytes()))?;
    assert_eq!(events.len(), 1);
    Ok(events.remove(0))
}

fn batch(body: &str) -> Result<Vec<Read>, FormatError> {
    read(&headers(&[("content-type", BATCH)]), Bytes::copy_from_slice(body.as_bytes()))
}

fn extensions(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_plain_body_is_an_event() {
    let read = binary(&[("content-type", "text/plain"), ("x-other", "1")], "hello").unwrap();
    let event = NewEvent { content_type: Some("text/plain".into()), data: "hello".into(), ..NewEvent::default() };
    assert_eq!(read, Read { event, source: None });
    assert_eq!(binary(&[], "").unwrap(), Read::default());
}

#[test]
fn attributes_are_headers_in_binary_mode() {
    let read = binary(
        &[
            ("ce-specversion", "1.0"),
            ("ce-id", "a-1"),
            ("ce-source", "/services/orders"),
            ("ce-type", "order.created"),
            ("ce-subject", "%E2%82%AC%20\"x\"%25"),
            ("ce-time", "2026-03-01T10:00:00Z"),
            ("ce-dataschema", "https://example.org/order"),
            ("ce-partitionkey", "\"a \\\"b\\\" c\""),
            ("ce-tenant", "blue"),
        ],
        "{}",
    )
    .unwrap();
    let event = NewEvent {
        id: Some("a-1".into()),
        kind: Some("order.created".into()),
        subject: Some("€ \"x\"%".into()),
        time: Some("2026-03-01T10:00:00Z".into()),
        schema: Some("https://example.org/order".into()),
        key: Some("a \"b\" c".into()),
        extensions: extensions(&[("tenant", "blue")]),
        data: "{}".into(),
        ..NewEvent::default()
    };
    assert_eq!(read, Read { event, source: Some("/services/orders".into()) });
}

#[test]
fn what_can_be_read_in_two_ways_is_no_event() {
    for (entries, why) in [
        (&[("ce-id", "1"), ("ce-id", "2")][..], "more than once"),
        (&[("content-type", "text/plain"), ("content-type", "text/html")], "more than once"),
        (&[("ce-specversion", "0.3")], "specversion"),
        (&[("ce-specversion", "2")], "specversion"),
        (&[("ce-datacontenttype", "text/plain")], "Content-Type"),
        (&[("ce-data", "x")], "no name of an attribute"),
        (&[("ce-subject", "%ff")], "not UTF-8"),
    ] {
        let error = binary(entries, "").unwrap_err().to_string();
        assert!(error.contains(why), "{entries:?}: {error}");
    }
}

#[test]
fn an_object_is_an_event() {
    let read = structured(
        r#"{"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "subject": null, "sequence": 7, "last": true,
            "data": {"b": 1.10, "a": 123456789012345678901234567890}}"#,
    )
    .unwrap();
    let event = NewEvent {
        id: Some("1".into()),
        kind: Some("t".into()),
        content_type: Some("application/json".into()),
        extensions: extensions(&[("sequence", "7"), ("last", "true")]),
        data: r#"{"b": 1.10, "a": 123456789012345678901234567890}"#.into(),
        ..NewEvent::default()
    };
    assert_eq!(read, Read { event, source: Some("/s".into()) });
}

#[test]
fn data_is_json_text_or_base64() {
    let data = |members: &str| structured(&format!(r#"{{"specversion": "1.0", {members}}}"#)).map(|read| read.event);
    for (members, content_type, expected) in [
        (r#""data": "text""#, Some("application/json"), &b"\"text\""[..]),
        (r#""data": "text", "datacontenttype": "text/plain""#, Some("text/plain"), b"text"),
        (r#""datacontenttype": "text/plain", "data": "t\u00e4xt""#, Some("text/plain"), "täxt".as_bytes()),
        (
            r#""data": [1], "datacontenttype": "application/vnd.x+JSON; v=1""#,
            Some("application/vnd.x+JSON; v=1"),
            b"[1]",
        ),
        (r#""data_base64": "/wA=""#, None, b"\xff\0"),
        (r#""data": null"#, None, b""),
        (r#""time": null"#, None, b""),
    ] {
        let event = data(members).unwrap();
        assert_eq!((event.content_type.as_deref(), &*event.data), (content_type, expected), "{members}");
    }
    for (members, why) in [
        (r#""data": 1, "data_base64": """#, "not both"),
        (r#""data_base64": "", "data": 1"#, "not both"),
        (r#""data_base64": "?""#, "not base64"),
        (r#""data_base64": 1"#, "to be a string"),
        (r#""data": 1, "datacontenttype": "text/plain""#, "to be a string"),
    ] {
        let error = data(members).unwrap_err().to_string();
        assert!(error.contains(why), "{members}: {error}");
    }
}

#[test]
fn what_is_no_object_with_attributes_is_refused() {
    let many: Vec<_> = (0..300).map(|n| format!(r#""a{n}": "x""#)).collect();
    let many = format!("{{{}}}", many.join(","));
    for (body, why) in [
        ("", "no event in JSON"),
        ("[]", "JSON object"),
        ("{}", "`specversion` is missing"),
        (r#"{"specversion": 1.0}"#, "a string, an integer or a boolean"),
        (r#"{"specversion": "1.0", "id": "1", "id": "2"}"#, "more than once"),
        (r#"{"specversion": "1.0", "x": {}}"#, "a string, an integer or a boolean"),
        (r#"{"specversion": "1.0", "x": 1.5}"#, "a string, an integer or a boolean"),
        (r#"{"specversion": "1.0", "id": "1"} x"#, "no event in JSON"),
        (&many, "fewer attributes"),
    ] {
        let error = structured(body).unwrap_err().to_string();
        assert!(error.contains(why), "{}: {error}", &body[..body.len().min(80)]);
        assert!(error.len() < 300, "{error}");
    }
}

#[test]
fn data_is_as_deep_as_it_likes_since_nobody_climbs_down() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let event = structured(&format!(r#"{{"specversion": "1.0", "data": {deep}}}"#)).unwrap().event;
    assert_eq!(event.data, deep);
    let attribute = structured(&format!(r#"{{"specversion": "1.0", "x": {deep}}}"#)).unwrap_err().to_string();
    assert!(attribute.contains("a string, an integer or a boolean"), "{attribute}");
}

#[test]
fn a_batch_is_an_array() {
    let events = batch(r#"[{"specversion": "1.0", "id": "1"}, {"specversion": "1.0", "id": "2", "data": 1}]"#).unwrap();
    let ids: Vec<_> = events.iter().map(|read| read.event.id.as_deref()).collect();
    assert_eq!(ids, [Some("1"), Some("2")]);
    assert_eq!(batch("[]").unwrap(), []);
    let error = batch(r#"[{"specversion": "1.0"}, {}]"#).unwrap_err().to_string();
    assert!(error.starts_with("event 1 of the batch"), "{error}");
    let many = format!("[{}]", vec![r#"{"specversion":"1.0"}"#; 1001].join(","));
    assert!(batch(&many).unwrap_err().to_string().contains("at most 1000"));
}

#[test]
fn attributes_of_another_event_are_gone_when_one_is_written() {
    let mut headers = headers(&[("ce-tenant", "red"), ("content-type", "text/html"), ("accept", "*/*")]);
    let event = Event {
        id: "1".into(),
        source: "/services/orders".into(),
        kind: "t".into(),
        topic: "a.b".into(),
        subject: None,
        key: None,
        time: SystemTime::UNIX_EPOCH,
        content_type: None,
        schema: None,
        extensions: BTreeMap::new(),
        data: Bytes::new(),
    };
    write_binary(&event, &mut headers);
    let mut names: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    names.sort_unstable();
    let expected = [
        ("accept", "*/*"),
        ("ce-id", "1"),
        ("ce-source", "/services/orders"),
        ("ce-specversion", "1.0"),
        ("ce-time", "1970-01-01T00:00:00Z"),
        ("ce-type", "t"),
    ];
    assert_eq!(names, expected);
}

fn text() -> impl Strategy<Value = String> {
    "[^\\x00-\\x1f\\x7f-\\x9f]{1,20}"
}

fn data() -> impl Strategy<Value = (Option<String>, Vec<u8>)> {
    let json = prop::sample::select(vec!["{\"a\": 1}", "null", " [1]", "\"x\"", "1e400", "{", "", "[1]\n"]);
    let media =
        prop::sample::select(vec!["text/plain", "application/json", "application/vnd.a+json; b=c", "image/png"]);
    let bytes = prop_oneof![json.prop_map(|text| text.as_bytes().to_vec()), prop::collection::vec(any::<u8>(), 0..40)];
    (prop::option::of(media.prop_map(str::to_owned)), bytes)
}

prop_compose! {
    fn event()(
        (id, source, kind) in (text(), text(), text()),
        (subject, key, schema) in (prop::option::of(text()), prop::option::of(text()), prop::option::of(text())),
        millis in 0_u64..4_000_000_000_000,
        extensions in prop::collection::btree_map("x[a-z0-9]{0,19}", text(), 0..4),
        (content_type, data) in data(),
    ) -> Event {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        Event {
            id, source, kind, topic: "a.b".to_owned(), subject, key, time, content_type, schema, extensions,
            data: data.into(),
        }
    }
}

fn as_read(event: &Event) -> Read {
    let new = NewEvent {
        topic: String::new(),
        id: Some(event.id.clone()),
        kind: Some(event.kind.clone()),
        subject: event.subject.clone(),
        key: event.key.clone(),
        time: Some(crate::capability::rfc3339(event.time)),
        content_type: event.content_type.clone(),
        schema: event.schema.clone(),
        extensions: event.extensions.clone().into_iter().collect(),
        data: event.data.clone(),
    };
    Read { event: new, source: Some(event.source.clone()) }
}

fn sorted(mut read: Read) -> Read {
    read.event.extensions.sort();
    read
}

proptest! {
    #[test]
    fn no_form_loses_anything(event in event()) {
        let mut headers = HeaderMap::new();
        write_binary(&event, &mut headers);
        let binary = read(&headers, event.data.clone()).unwrap().remove(0);
        prop_assert_eq!(sorted(binary), as_read(&event));

        let written = write_json(&event);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
        let structured = read(&headers, written.clone().into()).unwrap().remove(0);
        prop_assert_eq!(sorted(structured), as_read(&event));

        headers.insert(CONTENT_TYPE, HeaderValue::from_static(BATCH));
        let batch = [&b"["[..], &written, b",", &written, b"]"].concat();
        let batch = read(&headers, batch.into()).unwrap();
        prop_assert_eq!(batch.into_iter().map(sorted).collect::<Vec<_>>(), vec![as_read(&event); 2]);
    }

    #[test]
    fn nothing_that_is_read_is_a_panic(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 3),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in ["ce-id", "ce-x", "content-type"].into_iter().zip(values) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(name, value);
            }
        }
        for content_type in [None, Some(STRUCTURED), Some(BATCH)] {
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            }
            let _ = read(&headers, body.clone().into());
        }
    }
}
