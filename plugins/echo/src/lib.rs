//! A service that sends back what it gets, as it comes. Written for WASI 0.3, with no library in between.
//!
//! ```text
//! POST /                    the body, piece by piece, with its type and its trailers
//! GET  /request             method, target and headers as the service sees them, as JSON
//! GET  /sse?count=N&ms=M    N server-sent events (5), M milliseconds apart (1000)
//! GET  /stream?bytes=N      N bytes (1 MiB)
//! GET  /health
//! GET  /info                name and version
//! ```
//!
//! What it streams is never all in memory: a writer waits for whoever reads, and a client that leaves ends it. One slot
//! serves many requests, so nothing is kept between them.

mod query;
mod reply;
mod seen;

use serde::Serialize;
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{Method, Request, Response};
use wasip3::wit_future;

use query::number;
use reply::{Reply, fields, json, streamed, text};
use seen::Seen;

/// As much as one write hands to the host, in bytes.
const PIECE: usize = 64 << 10;

/// What an echo has of the request's headers: what says how to read the body.
const KEPT: [&str; 3] = ["content-type", "content-encoding", "trailer"];

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
}

struct Echo;

wasip3::http::service::export!(Echo);

impl wasip3::exports::http::handler::Guest for Echo {
    async fn handle(request: Request) -> Reply {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        match (path, request.get_method()) {
            ("/" | "", Method::Post | Method::Put | Method::Patch) => echo(request),
            ("/" | "", Method::Get | Method::Head) => text(200, "POST something"),
            ("/request", _) => json(&Seen::of(&request)),
            ("/sse", Method::Get) => match (number(query, "count", 5), number(query, "ms", 1000)) {
                (Some(count), Some(ms)) => events(count, ms),
                _ => text(400, "count and ms are numbers"),
            },
            ("/stream", Method::Get) => match number(query, "bytes", 1 << 20) {
                Some(bytes) => stream(bytes),
                None => text(400, "bytes is a number"),
            },
            ("/health", Method::Get | Method::Head) => text(200, "ok"),
            ("/info", Method::Get | Method::Head) => {
                json(&Info { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") })
            }
            ("/" | "" | "/sse" | "/stream" | "/health" | "/info", _) => text(405, "not with this method"),
            _ => text(404, "there is nothing here"),
        }
    }
}

/// The request's own body and trailers become those of the response; the bytes never come into this component.
fn echo(request: Request) -> Reply {
    let mut head = request.get_headers().copy_all();
    head.retain(|(name, _)| KEPT.contains(&name.as_str()));
    let (_, taken) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, taken);
    let (response, _) = Response::new(fields(&head)?, Some(body), trailers);
    Ok(response)
}

fn events(count: u64, ms: u64) -> Reply {
    let head = [("content-type", "text/event-stream"), ("cache-control", "no-cache")];
    streamed(&head, async move |mut body| {
        for n in 0..count {
            if n > 0 {
                monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).await;
            }
            if !body.write(format!("id: {n}\ndata: event {n}\n\n").into_bytes()).await {
                return;
            }
        }
    })
}

fn stream(bytes: u64) -> Reply {
    let head = [("content-type", "application/octet-stream"), ("content-length", &bytes.to_string())];
    streamed(&head, async move |mut body| {
        let mut left = bytes;
        while left > 0 {
            let piece = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
            if !body.write(vec![b'.'; piece]).await {
                return;
            }
            left -= piece as u64;
        }
    })
}
