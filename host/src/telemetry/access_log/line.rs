//! One record as one line: JSON for machines, text for people. Neither lets a client write anything but its own field.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::Version;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Record, redact};

/// Longest path and query that is written, in characters.
const MAX_PATH: usize = 2048;
/// Longest host, id and user agent that is written, in characters.
const MAX_FIELD: usize = 256;

/// The fields of a JSON line, in order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    ts: String,
    request_id: Cow<'a, str>,
    trace_id: Option<&'a str>,
    client_ip: Option<IpAddr>,
    method: Cow<'a, str>,
    host: Option<Cow<'a, str>>,
    path: Cow<'a, str>,
    protocol: &'static str,
    status: u16,
    reason: Option<&'static str>,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    upstream_ms: Option<f64>,
    route: Option<&'a str>,
    service: Option<&'a str>,
    version: Option<&'a str>,
    instance: Option<Cow<'a, str>>,
    fallback: Option<&'a str>,
    caller: Option<&'a str>,
    subject: Option<Cow<'a, str>>,
    attempts: u32,
    user_agent: Option<Cow<'a, str>>,
}

/// Appends `record` as a JSON object and a line feed.
pub(super) fn json(out: &mut Vec<u8>, record: &Record) {
    let line = Line {
        ts: format!("{:.3}", record.timestamp),
        request_id: clean(&record.request_id, MAX_FIELD),
        trace_id: record.trace_id.as_deref(),
        client_ip: record.client_ip,
        method: clean(&record.method, MAX_FIELD),
        host: Some(record.host.as_str()).filter(|host| !host.is_empty()).map(|host| clean(host, MAX_FIELD)),
        path: path(record),
        protocol: protocol(record.protocol),
        status: record.status,
        reason: record.reason,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        duration_ms: millis(record.duration),
        upstream_ms: record.upstream.map(millis),
        route: record.route.as_deref(),
        service: record.service.as_deref(),
        version: record.version.as_deref(),
        instance: record.instance.as_deref().map(|instance| clean(instance, MAX_FIELD)),
        fallback: record.fallback.as_deref(),
        caller: record.caller.as_deref(),
        subject: record.subject.as_deref().map(|subject| clean(subject, MAX_FIELD)),
        attempts: record.attempts,
        user_agent: record.user_agent.as_deref().map(|agent| clean(agent, MAX_FIELD)),
    };
    let begun = out.len();
    if serde_json::to_writer(&mut *out, &line).is_err() {
        // Strings and numbers always can be written; half a line never is.
        out.truncate(begun);
        return;
    }
    out.push(b'\n');
}

/// Appends `record` as a line for people: time, client, request, outcome, then names, and the id to search for.
pub(super) fn text(out: &mut Vec<u8>, record: &Record) {
    let time = record.timestamp.to_zoned(TimeZone::UTC);
    let mut line = format!(
        "{} {} {} {}{} {} {:.1}ms {}B>{}B",
        time.strftime("%H:%M:%S%.3fZ"),
        client(record),
        clean(&record.method, MAX_FIELD),
        clean(&record.host, MAX_FIELD),
        path(record),
        record.status,
        millis(record.duration),
        record.bytes_in,
        record.bytes_out,
    );
    let version = record.version.as_deref();
    let version = (version.map_or("", |_| "@"), version.unwrap_or_default());
    match (&record.service, &record.fallback) {
        (Some(service), None) => push(&mut line, format_args!(" {service}{}{}", version.0, version.1)),
        (Some(service), Some(other)) => {
            push(&mut line, format_args!(" {service} fallback {other}{}{}", version.0, version.1));
        }
        (None, _) => {}
    }
    if let Some(upstream) = record.upstream {
        push(&mut line, format_args!(" service {:.1}ms", millis(upstream)));
    }
    if record.attempts > 1 {
        push(&mut line, format_args!(" attempts {}", record.attempts));
    }
    if let Some(reason) = record.reason {
        push(&mut line, format_args!(" {reason}"));
    }
    push(&mut line, format_args!(" id {}", clean(&record.request_id, MAX_FIELD)));
    line.push('\n');
    // Writing to a vector does not fail.
    let _infallible = out.write_all(line.as_bytes());
}

/// The address of a client outside, or the service that called.
fn client(record: &Record) -> String {
    let address = record.client_ip.map(|address| address.to_string());
    address.or_else(|| record.caller.as_deref().map(str::to_owned)).unwrap_or_else(|| "-".to_owned())
}

fn push(line: &mut String, part: fmt::Arguments<'_>) {
    let _infallible = fmt::Write::write_fmt(line, part);
}

/// Milliseconds, to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP",
    }
}

fn path(record: &Record) -> Cow<'_, str> {
    match record.path.split_once('?') {
        None => clean(&record.path, MAX_PATH),
        Some((path, query)) => Cow::Owned(clean(&format!("{path}?{}", redact::query(query)), MAX_PATH).into_owned()),
    }
}

/// Text that can't do anything: what is not printable is escaped, and it has at most `max` characters. Usually borrowed.
fn clean(text: &str, max: usize) -> Cow<'_, str> {
    let harmless = |c: char| (c == ' ' || c.is_ascii_graphic()) || (!c.is_ascii() && is_printable(c));
    if text.len() <= max && text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::new();
    for c in text.chars().take(max) {
        if harmless(c) { safe.push(c) } else { safe.extend(c.escape_debug()) }
    }
    if text.chars().nth(max).is_some() {
        safe.push('…');
    }
    Cow::Owned(safe)
}

/// As the standard library sees it when it escapes for debugging: no controls, no invisible or direction marks.
fn is_printable(c: char) -> bool {
    let mut escaped = c.escape_debug();
    escaped.next() == Some(c) && escaped.next().is_none()
}
