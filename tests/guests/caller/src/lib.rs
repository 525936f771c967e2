//! A wasi:http 0.2 guest that calls other services: the path says how, the query whom.
//!
//! `caller3` has the paths of the same names for 0.3. Answers are passed on as they come; a call that has no answer is
//! status 555 with the name of the error.

mod call;
mod misuse;

use std::time::{Duration, Instant};

use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::InputStream;

use call::{Call, pass};

struct Caller;

wasip2::http::proxy::export!(Caller);

/// The parameters of a request.
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn all<'q>(&'q self, name: &'q str) -> impl Iterator<Item = &'q str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name).parse().ok()
    }
}

impl wasip2::exports::http::incoming_handler::Guest for Caller {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_else(|| "/".to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = Query(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
        match path {
            "/" => respond(out, 200, "ok"),
            "/seen" => respond(out, 200, &seen(&request)),
            "/call" => answer(out, Call::of(&query).finish()),
            "/spin-call" => {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(query.number("ms").unwrap_or(20)) {
                    std::hint::black_box(0);
                }
                answer(out, Call::of(&query).finish());
            }
            "/relay" => call::relay(&request, out, &query),
            "/parallel" => respond(out, 200, &call::parallel(&query)),
            "/sequence" => respond(out, 200, &call::sequence(&query)),
            "/chain" => match query.text("to").split_once(',') {
                None => respond(out, 200, "the end of the chain"),
                Some((next, rest)) => {
                    answer(out, Call::get(&format!("http://{next}.internal/chain?to={rest}")).finish());
                }
            },
            "/ring" => {
                let (next, rest) = query.text("of").split_once(',').unwrap_or((query.text("of"), ""));
                let of = if rest.is_empty() { next.to_owned() } else { format!("{rest},{next}") };
                answer(out, Call::get(&format!("http://{next}.internal/ring?of={of}")).finish());
            }
            // Publishes to another topic what it is told of one, and says of it that nothing came before.
            path if path.starts_with("/answer/") => {
                let url = format!("http://events.internal/topics/{}", path.trim_start_matches("/answer/"));
                let call = [("url", &*url), ("method", "POST"), ("h", "ce-wharfdepth:0")];
                answer(out, Call::of(&Query(call.map(|(key, value)| (key.into(), value.into())).into())).finish());
            }
            "/events" => call::events(out, &query),
            "/sdk" => answer_of_sdk(out, &query),
            "/ignore" => misuse::ignore(out, &query),
            "/drop" => misuse::drop_early(out, &query),
            "/half" => misuse::half(out, &query),
            "/leak" => misuse::leak(out, &query),
            "/trap-open" => misuse::trap_open(&query),
            "/unfinished" => misuse::unfinished(out, &query),
            "/forbidden" => misuse::forbidden(out, &query),
            _ => respond(out, 404, "no such way to call"),
        }
    }
}

/// What this service was told: one line a fact.
fn seen(request: &IncomingRequest) -> String {
    let mut lines = vec![
        format!("method {:?}", request.method()),
        format!("scheme {:?}", request.scheme()),
        format!("authority {:?}", request.authority()),
        format!("target {:?}", request.path_with_query()),
    ];
    let mut headers = request.headers().entries();
    headers.sort();
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))));
    lines.join("\n")
}

fn answer_of_sdk(out: ResponseOutparam, query: &Query) {
    let call = wharf_sdk::Call::post(query.text("url"))
        .header("x-by", "sdk")
        .timeout(Duration::from_millis(query.number("ms").unwrap_or(10_000)))
        .body("text/plain", "y".repeat(query.number("size").and_then(|size| usize::try_from(size).ok()).unwrap_or(0)));
    match call.send() {
        Ok(mut answer) => {
            let status = answer.status();
            if query.text("unread") == "true" {
                drop(answer);
                return respond(out, status, "not read");
            }
            match answer.body(16 << 20) {
                Ok(body) => respond(out, status, &String::from_utf8_lossy(&body)),
                Err(error) => respond(out, 556, &error.to_string()),
            }
        }
        Err(error) => respond(out, 555, &format!("{error:?}")),
    }
}

/// Passes an answer on as it comes.
fn answer(out: ResponseOutparam, answer: Result<IncomingResponse, ErrorCode>) {
    match answer {
        Ok(answer) => pass(out, &answer),
        Err(code) => respond(out, 555, &format!("{code:?}")),
    }
}

pub fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("a valid status");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    write(&body, text.as_bytes());
    let _ = OutgoingBody::finish(body, None);
}

/// Whether somebody took it all.
pub fn write(body: &OutgoingBody, bytes: &[u8]) -> bool {
    let stream = body.write().expect("the stream is taken once");
    bytes.chunks(4096).all(|part| stream.blocking_write_and_flush(part).is_ok())
}

/// Bytes from one stream into the other, to the end of either; how it ended.
pub fn copy(input: &InputStream, output: &OutgoingBody) -> Result<(), String> {
    use wasip2::io::streams::StreamError;
    let output = output.write().expect("the stream is taken once");
    loop {
        match input.blocking_read(64 << 10) {
            Ok(part) => {
                for piece in part.chunks(4096) {
                    output.blocking_write_and_flush(piece).map_err(|error| format!("{error:?}"))?;
                }
            }
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}

pub fn wait(ms: u64) {
    monotonic_clock::subscribe_duration(ms * 1_000_000).block();
}
