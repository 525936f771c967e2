//! A wasi:http 0.3 guest that calls other services: the path says how, the query whom.
//!
//! The paths are those of `caller`, as far as 0.3 has something of its own to show: both directions of a body at once,
//! calls of one task that others wait beside, and calls that are dropped as futures.

mod call;

use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::wit_bindgen::StreamResult;
use wasip3::{spawn_local, wit_future, wit_stream};

use call::{Call, outcome};

struct Caller;

wasip3::http::service::export!(Caller);

/// What a handler gives back.
pub type Reply = Result<Response, ErrorCode>;

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

impl wasip3::exports::http::handler::Guest for Caller {
    async fn handle(request: Request) -> Reply {
        let target = request.get_path_with_query().unwrap_or_else(|| "/".to_owned());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let query = Query(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
        match path {
            "/" => respond(200, "ok".to_owned()),
            "/seen" => respond(200, seen(&request)),
            "/call" => pass(Call::of(&query).send().await),
            "/spin-call" => {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(query.number("ms").unwrap_or(20)) {
                    std::hint::black_box(0);
                }
                pass(Call::of(&query).send().await)
            }
            "/relay" => {
                let (_, handled) = wit_future::new(|| Ok(()));
                let (body, trailers) = Request::consume_body(request, handled);
                pass(Call::of(&query).send_body(body, trailers).await)
            }
            "/parallel" => {
                let calls =
                    (0..query.number("n").unwrap_or(1)).map(|_| async { outcome(Call::of(&query).send().await).await });
                respond(200, join_all(calls).await.join("\n"))
            }
            "/sequence" => {
                let mut lines = Vec::new();
                for _ in 0..query.number("n").unwrap_or(1) {
                    lines.push(outcome(Call::of(&query).send().await).await);
                }
                respond(200, lines.join("\n"))
            }
            "/ring" => {
                let (next, rest) = query.text("of").split_once(',').unwrap_or((query.text("of"), ""));
                let of = if rest.is_empty() { next.to_owned() } else { format!("{rest},{next}") };
                pass(Call::new(&format!("http://{next}.internal/ring?of={of}"), &[]).send().await)
            }
            "/drop" => {
                // A call, or the clock: whichever is first, the other is dropped.
                let call = std::pin::pin!(Call::of(&query).send());
                let clock = std::pin::pin!(sleep(query.number("ms").unwrap_or(50)));
                match select(call, clock).await {
                    Either::Left((answer, _)) => respond(200, outcome(answer).await),
                    Either::Right(_) => respond(200, "dropped".to_owned()),
                }
            }
            "/half" => match Call::of(&query).send().await {
                Ok(answer) => {
                    let (_, handled) = wit_future::new(|| Ok(()));
                    let (mut body, _trailers) = Response::consume_body(answer, handled);
                    let (_, part) = body.read(Vec::with_capacity(1000)).await;
                    respond(200, format!("half: {}", part.len()))
                }
                Err(code) => respond(555, format!("{code:?}")),
            },
            "/ignore" => {
                for _ in 0..query.number("n").unwrap_or(1) {
                    if let Err(code) = Call::of(&query).send().await {
                        return respond(555, format!("{code:?}"));
                    }
                }
                respond(200, "ignored".to_owned())
            }
            "/trap-open" => {
                let call = std::pin::pin!(Call::of(&query).send());
                let clock = std::pin::pin!(sleep(query.number("ms").unwrap_or(50)));
                select(call, clock).await;
                core::arch::wasm32::unreachable()
            }
            "/leave" => {
                // Its answer is complete while its call is not.
                let call = Call::of(&query).send();
                spawn_local(async {
                    let text = outcome(call.await).await;
                    println!("the call that was left: {text}");
                });
                respond(200, "left".to_owned())
            }
            _ => respond(404, "no such way to call".to_owned()),
        }
    }
}

/// What this service was told: one line a fact.
fn seen(request: &Request) -> String {
    let mut lines = vec![
        format!("method {:?}", request.get_method()),
        format!("scheme {:?}", request.get_scheme()),
        format!("authority {:?}", request.get_authority()),
        format!("target {:?}", request.get_path_with_query()),
    ];
    let mut headers = request.get_headers().copy_all();
    headers.sort();
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))));
    lines.join("\n")
}

/// Passes an answer on as it comes, body and trailers and all.
fn pass(answer: Reply) -> Reply {
    let answer = match answer {
        Ok(answer) => answer,
        Err(code) => return respond(555, format!("{code:?}")),
    };
    let (status, headers) = (answer.get_status_code(), answer.get_headers().copy_all());
    let (_, handled) = wit_future::new(|| Ok(()));
    let (mut from, trailers) = Response::consume_body(answer, handled);
    let (mut to, body) = wit_stream::new();
    spawn_local(async move {
        loop {
            let (status, part) = from.read(Vec::with_capacity(64 << 10)).await;
            let over = matches!(status, StreamResult::Dropped);
            if !part.is_empty() && !to.write_all(part).await.is_empty() || over {
                return;
            }
        }
    });
    let headers = Fields::from_list(&headers).expect("headers of a response");
    let (response, _sent) = Response::new(headers, Some(body), trailers);
    response.set_status_code(status).expect("a status");
    Ok(response)
}

fn respond(status: u16, text: String) -> Reply {
    let (mut to, body) = wit_stream::new();
    let (_, ending) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        to.write_all(text.into_bytes()).await;
    });
    let (response, _sent) = Response::new(Fields::new(), Some(body), ending);
    response.set_status_code(status).expect("a status");
    Ok(response)
}

async fn sleep(ms: u64) {
    monotonic_clock::wait_for(ms * 1_000_000).await;
}
