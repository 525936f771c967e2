//! A service that sends back what it gets, as it comes. Written for WASI 0.3, without a library in between.
//!
//! ```text
//! POST /                    the body, with its type and its trailers; PUT and PATCH too
//! GET  /request             what the service sees of the request, as JSON
//! GET  /sse?count=N&ms=M    N server-sent events, M milliseconds apart (5, 1000)
//! GET  /stream?bytes=N      N bytes (1 MiB)
//! GET  /health, /info
//! ```
//!
//! Nothing that it streams is ever all in memory: an echoed body does not even enter the component, and a stream waits
//! for whoever reads it. A client that leaves ends the stream, and with it the task that writes it.

mod query;
mod reply;

use serde::Serialize;
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Method, Request, Response};
use wasip3::wit_future;

use query::Query;
use reply::{json, problem, streamed, with_body};

/// As much as one write hands to the host, in bytes.
const PIECE: usize = 64 << 10;
/// The longest streams that a client may ask for: 1000 events, a minute apart, and 4 GiB.
const MAX_EVENTS: u64 = 1000;
const MAX_PAUSE_MS: u64 = 60_000;
const MAX_BYTES: u64 = 4 << 30;

/// What an echo takes over from the request: what says how to read the body, and which trailers follow it.
const PASSED_ON: [&str; 4] = ["content-type", "content-encoding", "content-length", "trailer"];

struct Echo;

wasip3::http::service::export!(Echo);

impl wasip3::exports::http::handler::Guest for Echo {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = Query::new(query);
        let method = request.get_method();
        let answer: fn(Request, Query) -> Result<Response, ErrorCode> = match path {
            "/" | "" => {
                return match method {
                    Method::Post | Method::Put | Method::Patch => echo(request),
                    _ => problem(405, "post something", &[("allow", "POST, PUT, PATCH")]),
                };
            }
            "/request" => |request, _| seen(&request),
            "/sse" => |_, query| events(&query),
            "/stream" => |_, query| stream(&query),
            "/health" => |_, _| json(200, &Health { status: "ok" }),
            "/info" => |_, _| json(200, &INFO),
            _ => return problem(404, "there is nothing here", &[]),
        };
        match method {
            Method::Get | Method::Head => answer(request, query),
            _ => problem(405, "only GET is allowed here", &[("allow", "GET, HEAD")]),
        }
    }
}

/// The request's own body and trailers become those of the response; the bytes pass from one end of the host to the
/// other.
fn echo(request: Request) -> Result<Response, ErrorCode> {
    let headers = request.get_headers();
    let head: Vec<_> =
        PASSED_ON.iter().filter_map(|name| Some(((*name).to_owned(), headers.get(name).into_iter().next()?))).collect();
    // Says to the sender of the request whether it arrived; the default is what we have to say.
    let (_, arrived) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, arrived);
    with_body(200, &head, body, trailers)
}

#[derive(Serialize)]
struct Seen {
    method: String,
    scheme: Option<String>,
    authority: Option<String>,
    target: Option<String>,
    /// In the order in which they came; a name may come twice.
    headers: Vec<(String, String)>,
}

fn seen(request: &Request) -> Result<Response, ErrorCode> {
    let headers = request.get_headers().copy_all();
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    json(
        200,
        &Seen {
            method: reply::method(request.get_method()),
            scheme: request.get_scheme().map(reply::scheme),
            authority: request.get_authority(),
            target: request.get_path_with_query(),
            headers: headers.into_iter().map(|(name, value)| (name, text(value))).collect(),
        },
    )
}

fn events(query: &Query) -> Result<Response, ErrorCode> {
    let (count, ms) = match (query.up_to("count", 5, MAX_EVENTS), query.up_to("ms", 1000, MAX_PAUSE_MS)) {
        (Ok(count), Ok(ms)) => (count, ms),
        (Err(wrong), _) | (_, Err(wrong)) => return problem(400, &wrong, &[]),
    };
    let head = [("content-type", "text/event-stream"), ("cache-control", "no-cache")];
    streamed(200, &head, async move |mut body| {
        for n in 1..=count {
            if n > 1 {
                monotonic_clock::wait_for(ms * 1_000_000).await;
            }
            if !body.write(format!("id: {n}\ndata: event {n} of {count}\n\n").into_bytes()).await {
                return;
            }
        }
    })
}

fn stream(query: &Query) -> Result<Response, ErrorCode> {
    let bytes = match query.up_to("bytes", 1 << 20, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(wrong) => return problem(400, &wrong, &[]),
    };
    let head = [("content-type", "application/octet-stream"), ("content-length", &bytes.to_string())];
    streamed(200, &head, async move |mut body| {
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

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
}

static INFO: Info = Info { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
