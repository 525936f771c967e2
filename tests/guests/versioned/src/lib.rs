//! A guest that says which version it is.
//!
//! The marker stands once in the built file and is read at run time, so a test makes another version of the component
//! by writing other bytes of the same length over it. What a marker begins with makes it a bad version: `sick` makes
//! `/health` answer 503; `fail-012` answers 12 of 100 requests with 500, `trap-100` traps in each, `slow-080` takes 80 ms.
//! Only what is asked under `/health` is not touched by the last three.

use std::io::Write;

use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::random::random::get_random_u64;

static MARKER: [u8; 24] = *b"version-marker-000000001";

struct Versioned;

wasip2::http::proxy::export!(Versioned);

impl wasip2::exports::http::incoming_handler::Guest for Versioned {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        // Volatile: the compiler must not know what it says.
        // SAFETY: a static is always there to be read.
        let marker = unsafe { core::ptr::read_volatile(&raw const MARKER) };
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let mut status = if path == "/health" && marker.starts_with(b"sick") { 503 } else { 200 };
        if path != "/health" {
            let degree = core::str::from_utf8(&marker[5..8]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0);
            let hit = get_random_u64() % 100 < degree;
            match &marker[..5] {
                b"fail-" if hit => status = 500,
                b"trap-" if hit => core::arch::wasm32::unreachable(),
                b"slow-" => wait(degree),
                _ => {}
            }
        }
        let number = |name: &str, default| {
            let query = target.split_once('?').map_or("", |(_, query)| query);
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.into_iter().find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
        };
        let (parts, pause) = match path {
            // `count` pieces, `ms` apart, each with the marker.
            "/sse" | "/slow-body" => (number("count", 10), number("ms", 100)),
            // One answer after `ms`.
            "/slow" => {
                wait(number("ms", 500));
                (1, 0)
            }
            _ => (1, 0),
        };
        let headers = Fields::new();
        let content_type: &[u8] = if path == "/sse" { b"text/event-stream" } else { b"text/plain" };
        headers.set("content-type", &[content_type.to_vec()]).expect("a valid header");
        headers.set("x-version", &[marker.to_vec()]).expect("a valid header");
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).expect("a valid status");
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let mut stream = body.write().expect("the stream is taken once");
        for part in 0..parts {
            if part > 0 {
                wait(pause);
            }
            let written = stream
                .write_all(&marker)
                .and_then(|()| stream.write_all(b"\n"))
                .and_then(|()| Write::flush(&mut stream));
            if written.is_err() {
                return;
            }
        }
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

fn wait(ms: u64) {
    monotonic_clock::subscribe_duration(ms * 1_000_000).block();
}
