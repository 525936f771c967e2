//! A wasi:http 0.2 guest that misbehaves on request: the path says how, the query how much.
//!
//! Every bound of the host has a path here that runs into it. Tests name the path; nothing is random.

mod cpu;
mod memory;
mod reply;
mod wants;

use std::io::Write;

use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{ErrorCode, Fields, IncomingRequest, ResponseOutparam};
use wasip2::io::streams::StreamError;

use reply::{Reply, respond};

struct Hostile;

wasip2::http::proxy::export!(Hostile);

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

impl wasip2::exports::http::incoming_handler::Guest for Hostile {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_else(|| "/".to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = Query(query.to_owned());
        match path {
            "/" => respond(out, 200, "ok"),
            "/status" => respond(out, u16::try_from(query.number("code", 200)).unwrap_or(0), "as asked"),
            "/count" => respond(out, 200, &cpu::count().to_string()),
            "/loop" => cpu::endless(),
            "/spin" => {
                cpu::spin(query.number("ms", 10));
                respond(out, 200, "spun");
            }
            "/work" => respond(out, 200, &cpu::work(query.number("millions", 1)).to_string()),
            "/recurse" => respond(out, 200, &cpu::recurse(0).to_string()),
            "/panic" => panic!("{}", query.text("msg").unwrap_or("secret panic")),
            "/trap" => core::arch::wasm32::unreachable(),
            "/exit" => std::process::exit(i32::try_from(query.number("code", 1)).unwrap_or(1)),
            "/alloc" => memory::allocate(out, query.text("mib").and_then(|text| text.parse().ok())),
            "/resources" => memory::resources(out, query.number("n", 1000)),
            "/never" => {}
            "/drop-outparam-late" => {
                drop(out);
                cpu::spin(20);
            }
            "/error-code" => {
                ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some("secret detail".to_owned()))));
            }
            "/hang" => wait(3_600_000),
            "/sleep" => {
                wait(query.number("ms", 100));
                respond(out, 200, "slept");
            }
            "/trap-mid-stream" => {
                let mut reply = Reply::start(out, 200, &[]);
                reply.write(b"the first part");
                // Time for the head to reach the client.
                wait(query.number("ms", 0));
                core::arch::wasm32::unreachable();
            }
            "/unfinished" => {
                let mut reply = Reply::start(out, 200, &[]);
                reply.write(b"half of it");
                wait(query.number("ms", 0));
                reply.abandon();
            }
            "/short-body" => {
                let mut reply = Reply::start(out, 200, &[("content-length", "100")]);
                reply.write(b"ten bytes.");
                reply.finish(&[]);
            }
            "/headers" => many_headers(out, query.number("n", 1000)),
            "/header" => one_header(out, &query),
            "/endless" => stream(out, u64::MAX),
            "/stream" => stream(out, query.number("bytes", 1 << 20)),
            "/big" => respond(out, 200, &"x".repeat(usize::try_from(query.number("bytes", 1024)).unwrap_or(0))),
            "/slow-body" => slow(out, "text/plain", &query),
            "/sse" => slow(out, "text/event-stream", &query),
            "/trailers" => {
                let mut reply = Reply::start(out, 200, &[("trailer", "x-checksum")]);
                reply.write(b"with a checksum");
                reply.finish(&[("x-checksum", "abc123")]);
            }
            "/logs" => flood(out, query.number("bytes", 1 << 20)),
            "/echo" => echo(request, out),
            "/read" => read_slowly(request, out, query.number("ms", 10)),
            "/request" => respond(out, 200, &wants::seen(&request)),
            "/show" => show(request, out),
            "/env" => respond(out, 200, &wants::everything()),
            "/work-after" => {
                let mut reply = Reply::start(out, 200, &[]);
                reply.write(b"done");
                reply.finish(&[]);
                wait(200);
                println!("work after done");
            }
            _ => respond(out, 404, "no such misdeed"),
        }
    }
}

fn wait(ms: u64) {
    monotonic_clock::subscribe_duration(ms * 1_000_000).block();
}

fn many_headers(out: ResponseOutparam, n: u64) {
    let names: Vec<_> = (0..n).map(|i| format!("x-h-{i}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
    Reply::start(out, 200, &headers).finish(&[]);
}

/// A response with this header, or what the host says to it.
fn one_header(out: ResponseOutparam, query: &Query) {
    let (name, value) = (query.text("name").unwrap_or_default(), query.text("value").unwrap_or_default());
    match Fields::new().append(name, value.as_bytes()) {
        Ok(()) => Reply::start(out, 200, &[(name, value)]).finish(&[]),
        Err(error) => respond(out, 200, &format!("refused: {error:?}")),
    }
}

fn stream(out: ResponseOutparam, mut bytes: u64) {
    let chunk = [b'.'; 64 << 10];
    let mut reply = Reply::start(out, 200, &[]);
    while bytes > 0 {
        let part = usize::try_from(bytes).unwrap_or(usize::MAX).min(chunk.len());
        if !reply.write(&chunk[..part]) {
            return;
        }
        bytes -= part as u64;
    }
    reply.finish(&[]);
}

fn slow(out: ResponseOutparam, content_type: &str, query: &Query) {
    let mut reply = Reply::start(out, 200, &[("content-type", content_type)]);
    for n in 0..query.number("count", 3) {
        if !reply.write(format!("data: {n}\n\n").as_bytes()) {
            println!("the client has left at {n}");
            return;
        }
        wait(query.number("ms", 100));
    }
    reply.finish(&[]);
}

fn flood(out: ResponseOutparam, bytes: u64) {
    let line = b"flood \x1b[31mred\x1b[0m \r\x07 of lines\n";
    let mut written = 0;
    while written < bytes {
        let _ = std::io::stdout().write_all(line);
        let _ = std::io::stderr().write_all(line);
        written += line.len() as u64;
    }
    let _ = std::io::stdout().write_all(&[b'L'; 100 << 10]);
    println!();
    respond(out, 200, "logged");
}

fn echo(request: IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().expect("the body is there");
    let input = body.stream().expect("its stream is there");
    let mut reply = Reply::start(out, 200, &[]);
    while let Ok(part) = input.blocking_read(64 << 10) {
        if !reply.write(&part) {
            return;
        }
    }
    reply.finish(&[]);
}

/// What it sees, as a line of its log: for requests whose answer nobody reads.
fn show(request: IncomingRequest, out: ResponseOutparam) {
    let seen = wants::seen(&request);
    let body = request.consume().expect("the body is there");
    let input = body.stream().expect("its stream is there");
    let mut bytes = 0;
    while let Ok(part) = input.blocking_read(64 << 10) {
        bytes += part.len();
    }
    println!("shown {} | body of {bytes} bytes", seen.trim_end().replace('\n', " | "));
    respond(out, 200, "shown");
}

fn read_slowly(request: IncomingRequest, out: ResponseOutparam, ms: u64) {
    let body = request.consume().expect("the body is there");
    let input = body.stream().expect("its stream is there");
    let mut total = 0;
    let end = loop {
        match input.blocking_read(16 << 10) {
            Ok(part) => total += part.len(),
            Err(StreamError::Closed) => break "end",
            Err(StreamError::LastOperationFailed(_)) => break "broken off",
        }
        wait(ms);
    };
    respond(out, 200, &format!("{total} {end}"));
}
