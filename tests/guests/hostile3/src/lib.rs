//! A wasi:http 0.3 guest that misbehaves on request: the path says how, the query how much.
//!
//! The paths are those of `hostile`, where 0.3 has the same; what only an asynchronous guest can do wrong comes on top:
//! `/never` waits for something that nobody will ever do, `/work-after` goes on when the answer is complete, and other
//! requests may be running in the same slot meanwhile.

mod reply;

use std::fmt::Write;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Request};
use wasip3::{spawn_local, wit_future, wit_stream};

use reply::{Reply, ended, fields, respond, streamed};

const CHUNK: usize = 64 << 10;

struct Hostile;

wasip3::http::service::export!(Hostile);

/// The parameters of a request.
struct Query(String);

impl Query {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str, default: u64) -> u64 {
        self.text(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}

impl wasip3::exports::http::handler::Guest for Hostile {
    async fn handle(request: Request) -> Reply {
        let target = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = Query(query.to_owned());
        match path {
            "/" => respond(200, "ok"),
            "/count" => respond(200, count().to_string()),
            "/loop" => endless_loop(),
            "/spin" => {
                spin(query.number("ms", 10));
                respond(200, "spun")
            }
            "/panic" => panic!("{}", query.text("msg").unwrap_or("secret panic")),
            "/trap" => core::arch::wasm32::unreachable(),
            "/trap-mid-stream" => streamed(&[], async |mut body| {
                body.write(b"the first part".to_vec()).await;
                core::arch::wasm32::unreachable();
            }),
            "/alloc" => allocate(query.text("mib").and_then(|text| text.parse().ok())),
            "/never" => never().await,
            "/hang" => {
                sleep(3_600_000).await;
                respond(200, "an hour later")
            }
            "/sleep" => {
                sleep(query.number("ms", 100)).await;
                respond(200, "slept")
            }
            "/error-code" => Err(ErrorCode::InternalError(Some("secret detail".to_owned()))),
            "/unfinished" => {
                // The body breaks off with an error instead of its end.
                let (writer, ending) = wit_future::new(|| Err(ErrorCode::InternalError(Some("secret detail".into()))));
                drop(writer);
                ended(&[], ending, async |mut body| {
                    body.write(b"half of it".to_vec()).await;
                })
            }
            "/short-body" => streamed(&[("content-length", "100")], async |mut body| {
                body.write(b"ten bytes.".to_vec()).await;
            }),
            "/endless" => stream(u64::MAX),
            "/stream" => stream(query.number("bytes", 1 << 20)),
            "/slow-body" => slow("text/plain", &query),
            "/sse" => slow("text/event-stream", &query),
            "/trailers" => {
                let (_, ending) = wit_future::new(|| Ok(Some(fields(&[("x-checksum", "abc123")]))));
                ended(&[], ending, async |mut body| {
                    body.write(b"with a checksum".to_vec()).await;
                })
            }
            "/echo" => echo(request),
            "/read" => read_slowly(request, query.number("ms", 10)).await,
            "/request" => respond(200, seen(&request)),
            "/work-after" => {
                spawn_local(async {
                    sleep(200).await;
                    println!("work after done");
                });
                respond(200, "done")
            }
            _ => respond(404, "no such misdeed"),
        }
    }
}

async fn sleep(ms: u64) {
    monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).await;
}

/// 1 in a fresh slot.
fn count() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

fn endless_loop() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

fn spin(ms: u64) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(ms) {
        for _ in 0..1000 {
            black_box(0);
        }
    }
}

/// Takes this many MiB and touches them; without a number, until it fails.
fn allocate(mib: Option<u64>) -> Reply {
    let mut kept = Vec::new();
    for _ in 0..mib.unwrap_or(u64::MAX) {
        kept.push(vec![1_u8; 1 << 20]);
        black_box(&kept);
    }
    respond(200, format!("{} MiB", kept.len()))
}

/// Reads a stream whose only writer it holds itself: nothing in the world can wake it.
async fn never() -> Reply {
    let (_writer, mut reader) = wit_stream::new::<u8>();
    reader.read(Vec::with_capacity(1)).await;
    respond(200, "it cannot be")
}

fn stream(mut bytes: u64) -> Reply {
    streamed(&[], async move |mut body| {
        while bytes > 0 {
            let part = usize::try_from(bytes).unwrap_or(usize::MAX).min(CHUNK);
            if !body.write(vec![b'.'; part]).await {
                return;
            }
            bytes -= part as u64;
        }
    })
}

fn slow(content_type: &str, query: &Query) -> Reply {
    let (count, ms) = (query.number("count", 3), query.number("ms", 100));
    streamed(&[("content-type", content_type)], async move |mut body| {
        for n in 0..count {
            if !body.write(format!("data: {n}\n\n").into_bytes()).await {
                println!("the client has left at {n}");
                return;
            }
            sleep(ms).await;
        }
    })
}

/// Every byte comes into the guest and leaves it again; the trailers pass as they are.
fn echo(request: Request) -> Reply {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (mut input, trailers) = Request::consume_body(request, handled);
    ended(&[], trailers, async move |mut body| {
        loop {
            let (status, part) = input.read(Vec::with_capacity(CHUNK)).await;
            let over = matches!(status, wasip3::wit_bindgen::StreamResult::Dropped);
            if !part.is_empty() && !body.write(part).await || over {
                return;
            }
        }
    })
}

async fn read_slowly(request: Request, ms: u64) -> Reply {
    let (_, handled) = wit_future::new(|| Ok(()));
    let (mut input, trailers) = Request::consume_body(request, handled);
    let mut total = 0;
    loop {
        let (status, part) = input.read(Vec::with_capacity(16 << 10)).await;
        total += part.len();
        if matches!(status, wasip3::wit_bindgen::StreamResult::Dropped) {
            break;
        }
        sleep(ms).await;
    }
    let end = if trailers.await.is_ok() { "end" } else { "broken off" };
    respond(200, format!("{total} {end}"))
}

/// One line a fact: method, scheme, authority, target, headers.
fn seen(request: &Request) -> String {
    let mut text = format!(
        "method {:?}\nscheme {:?}\nauthority {:?}\ntarget {:?}\n",
        request.get_method(),
        request.get_scheme(),
        request.get_authority(),
        request.get_path_with_query()
    );
    let mut headers = request.get_headers().copy_all();
    headers.sort();
    for (name, value) in headers {
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(&value));
    }
    text
}
