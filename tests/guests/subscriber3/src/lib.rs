//! A wasi:http 0.3 guest that receives events by HTTP: it waits (which a typed handler of 0.3 cannot), reads the event and
//! remembers it. `GET /handled` says which there were in this slot, one line each.

use std::sync::Mutex;

use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response};
use wasip3::wit_bindgen::StreamResult;
use wasip3::{spawn_local, wit_future, wit_stream};

struct Subscriber;

wasip3::http::service::export!(Subscriber);

static HANDLED: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl wasip3::exports::http::handler::Guest for Subscriber {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        if matches!(request.get_method(), Method::Get) {
            let lines = HANDLED.lock().expect("nobody panics").join("\n");
            return Ok(respond(200, lines));
        }
        let header = |name: &str| {
            let value = request.get_headers().get(name).into_iter().next().unwrap_or_default();
            String::from_utf8_lossy(&value).into_owned()
        };
        let line = ["x-wharf-topic", "ce-id", "ce-source", "ce-correlationid"].map(header).join(" ");
        monotonic_clock::wait_for(10_000_000).await;
        let (_, read) = wit_future::new(|| Ok(()));
        let (mut from, _trailers) = Request::consume_body(request, read);
        let mut data = Vec::new();
        loop {
            let (status, part) = from.read(Vec::with_capacity(16 << 10)).await;
            data.extend(part);
            if matches!(status, StreamResult::Dropped) {
                break;
            }
        }
        HANDLED.lock().expect("nobody panics").push(format!("{line} {}", String::from_utf8_lossy(&data)));
        Ok(respond(204, String::new()))
    }
}

fn respond(status: u16, text: String) -> Response {
    let (mut to, body) = wit_stream::new();
    let (_, ending) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        to.write_all(text.into_bytes()).await;
    });
    let (response, _sent) = Response::new(Fields::new(), Some(body), ending);
    response.set_status_code(status).expect("a status");
    response
}
