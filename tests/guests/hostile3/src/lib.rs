//! A wasi:http 0.3 guest that misbehaves on request: the path says how, the query how much.
//!
//! The paths are those of `hostile`, where 0.3 has the same; what only an asynchronous guest can do wrong comes on top:
//!
//! - `/never` waits for something that nobody will ever do,
//! - `/yield` burns CPU in small steps and lets others run between them,
//! - `/work-after` goes on when the answer is complete, for as long as `ms` says,
//! - `/late-trailers` ends its body and never says what comes after it.

mod reply;
mod stream;
mod work;

use std::fmt::Write;

use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Request};
use wasip3::{spawn_local, wit_future, wit_stream};

use reply::{Reply, ended, fields, respond, streamed};

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
            "/status" => respond(u16::try_from(query.number("code", 200)).unwrap_or(0), "as asked"),
            "/count" => respond(200, work::count().to_string()),
            "/loop" => work::endless(),
            "/spin" => {
                work::spin(query.number("ms", 10));
                respond(200, "spun")
            }
            "/yield" => work::yielding(query.number("ms", u64::MAX)).await,
            "/recurse" => respond(200, work::recurse(0).to_string()),
            "/panic" => panic!("{}", query.text("msg").unwrap_or("secret panic")),
            "/trap" => core::arch::wasm32::unreachable(),
            "/exit" => std::process::exit(i32::try_from(query.number("code", 1)).unwrap_or(1)),
            "/alloc" => work::allocate(query.text("mib").and_then(|text| text.parse().ok())),
            "/resources" => work::resources(query.number("n", 1000)),
            "/tasks" => work::tasks(query.number("n", 1000)),
            "/never" => never().await,
            "/hang" => {
                sleep(3_600_000).await;
                respond(200, "an hour later")
            }
            "/sleep" => {
                sleep(query.number("ms", 100)).await;
                respond(200, "slept")
            }
            "/error-code" => {
                if let ms @ 1.. = query.number("after", 0) {
                    // What it began for this request is not over when it gives up on it.
                    spawn_local(async move {
                        sleep(ms).await;
                        println!("work after an error");
                    });
                }
                Err(ErrorCode::InternalError(Some("secret detail".to_owned())))
            }
            "/trap-mid-stream" => streamed(&[], async |mut body| {
                body.write(b"the first part".to_vec()).await;
                core::arch::wasm32::unreachable();
            }),
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
            "/headers" => many_headers(query.number("n", 1000)),
            "/endless" => stream::dots(u64::MAX),
            "/stream" => stream::dots(query.number("bytes", 1 << 20)),
            "/big" => respond(200, "x".repeat(usize::try_from(query.number("bytes", 1024)).unwrap_or(0))),
            "/slow-body" => stream::slow("text/plain", &query),
            "/sse" => stream::slow("text/event-stream", &query),
            "/trailers" => {
                let (_, ending) = wit_future::new(|| Ok(Some(fields(&[("x-checksum", "abc123")]))));
                // Over HTTP/1.1 only announced trailers arrive.
                ended(&[("trailer", "x-checksum")], ending, async |mut body| {
                    body.write(b"with a checksum".to_vec()).await;
                })
            }
            "/late-trailers" => {
                let (writer, ending) = wit_future::new(|| Ok(None));
                ended(&[], ending, async |mut body| {
                    body.write(b"the whole body".to_vec()).await;
                    drop(body);
                    sleep(3_600_000).await;
                    drop(writer);
                })
            }
            "/echo" => stream::echo(request),
            "/read" => stream::read_slowly(request, query.number("ms", 10)).await,
            "/request" => respond(200, seen(&request)),
            "/work-after" => {
                let ms = query.number("ms", 200);
                spawn_local(async move {
                    sleep(ms).await;
                    println!("work after done");
                });
                streamed(&[("content-type", query.text("type").unwrap_or("text/plain"))], async |mut body| {
                    body.write(b"done".to_vec()).await;
                })
            }
            _ => respond(404, "no such misdeed"),
        }
    }
}

async fn sleep(ms: u64) {
    monotonic_clock::wait_for(ms.saturating_mul(1_000_000)).await;
}

/// Reads a stream whose only writer it holds itself: nothing in the world can wake it.
async fn never() -> Reply {
    let (_writer, mut reader) = wit_stream::new::<u8>();
    reader.read(Vec::with_capacity(1)).await;
    respond(200, "it cannot be")
}

fn many_headers(n: u64) -> Reply {
    let names: Vec<_> = (0..n).map(|i| format!("x-h-{i}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    streamed(&headers, async |_body| {})
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
