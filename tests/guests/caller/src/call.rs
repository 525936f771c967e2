//! Calls in good order.

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingRequest, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, OutgoingResponse, RequestOptions, ResponseOutparam, Scheme,
};

use crate::{Query, copy, respond, wait};

/// A request that is about to be sent.
pub struct Call {
    pub request: OutgoingRequest,
    pub options: RequestOptions,
    /// Bytes of body.
    size: u64,
}

impl Call {
    pub fn get(url: &str) -> Self {
        Self::new(url, &[])
    }

    /// `url`, `method`, `h` (`name:value`, any number), `first` and `between` (ms), `size` (bytes of body); or `scheme`,
    /// `authority` and `path` each for itself.
    pub fn of(query: &Query) -> Self {
        let headers: Vec<_> = query.all("h").filter_map(|header| header.split_once(':')).collect();
        let mut call = Self::new(query.text("url"), &headers);
        let method = match query.text("method") {
            "" | "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "CONNECT" => Method::Connect,
            "TRACE" => Method::Trace,
            other => Method::Other(other.to_owned()),
        };
        call.request.set_method(&method).expect("a method");
        if !query.text("authority").is_empty() {
            let set = call.request.set_authority(Some(query.text("authority")));
            set.unwrap_or_else(|()| println!("the authority is refused"));
        }
        if !query.text("path").is_empty() {
            let set = call.request.set_path_with_query(Some(query.text("path")));
            set.unwrap_or_else(|()| println!("the path is refused"));
        }
        match query.text("scheme") {
            "" => {}
            "none" => call.request.set_scheme(None).expect("no scheme"),
            other => call.request.set_scheme(Some(&Scheme::Other(other.to_owned()))).unwrap_or_default(),
        }
        let nanos = |name| query.number(name).map(|ms| ms * 1_000_000);
        call.options.set_first_byte_timeout(nanos("first")).expect("a timeout");
        call.options.set_between_bytes_timeout(nanos("between")).expect("a timeout");
        call.size = query.number("size").unwrap_or(0);
        call
    }

    pub fn new(url: &str, headers: &[(&str, &str)]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            if let Err(error) = fields.append(name, value.as_bytes()) {
                println!("the header {name} is refused: {error:?}");
            }
        }
        let request = OutgoingRequest::new(fields);
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => Scheme::Other(other.to_owned()),
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let _ = request.set_scheme(Some(&scheme));
        let _ = request.set_authority(Some(authority));
        let _ = request.set_path_with_query(Some(path));
        Self { request, options: RequestOptions::new(), size: 0 }
    }

    /// Sends the head and the whole body.
    pub fn send(self) -> Result<FutureIncomingResponse, ErrorCode> {
        let body = self.request.body().expect("the body is taken once");
        let pending = outgoing_handler::handle(self.request, Some(self.options))?;
        let piece = [b'x'; 4096];
        let stream = body.write().expect("the stream is taken once");
        let mut left = self.size;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            if stream.blocking_write_and_flush(&piece[..part]).is_err() {
                // Nobody reads it any more; the answer tells why.
                return Ok(pending);
            }
            left -= part as u64;
        }
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
        Ok(pending)
    }

    pub fn finish(self) -> Result<IncomingResponse, ErrorCode> {
        wait_for(&self.send()?)
    }
}

pub fn wait_for(pending: &FutureIncomingResponse) -> Result<IncomingResponse, ErrorCode> {
    pending.subscribe().block();
    pending.get().expect("it is ready").expect("it is taken once")
}

/// Passes status, headers and body on as they come.
pub fn pass(out: ResponseOutparam, answer: &IncomingResponse) {
    let headers = answer.headers().entries();
    let response = OutgoingResponse::new(Fields::from_list(&headers).expect("headers of a response"));
    response.set_status_code(answer.status()).expect("a status");
    let to = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let from = answer.consume().expect("the body is taken once");
    let stream = from.stream().expect("the stream is taken once");
    match copy(&stream, &to) {
        Ok(()) => {
            let _ = OutgoingBody::finish(to, None);
        }
        // Without its end: what is cut must look cut.
        Err(error) => println!("the answer broke off: {error}"),
    }
}

/// The body that comes goes on to another service, and its answer comes back.
pub fn relay(incoming: &IncomingRequest, out: ResponseOutparam, query: &Query) {
    let call = Call::of(query);
    let to = call.request.body().expect("the body is taken once");
    let pending = match outgoing_handler::handle(call.request, Some(call.options)) {
        Ok(pending) => pending,
        Err(code) => return respond(out, 555, &format!("{code:?}")),
    };
    let from = incoming.consume().expect("the body is taken once");
    let stream = from.stream().expect("the stream is taken once");
    // An echo answers while it is asked, so both directions would have to go on at once; `size` is what it may hold.
    match copy(&stream, &to) {
        Ok(()) => drop(OutgoingBody::finish(to, None)),
        Err(error) => println!("the request broke off: {error}"),
    }
    match wait_for(&pending) {
        Ok(answer) => pass(out, &answer),
        Err(code) => respond(out, 555, &format!("{code:?}")),
    }
}

/// What became of a call: its status and the length of its body, or the error.
fn outcome(answer: Result<IncomingResponse, ErrorCode>) -> String {
    let answer = match answer {
        Ok(answer) => answer,
        Err(code) => return format!("{code:?}"),
    };
    let body = answer.consume().expect("the body is taken once");
    let stream = body.stream().expect("the stream is taken once");
    let mut length = 0;
    while let Ok(part) = stream.blocking_read(64 << 10) {
        length += part.len();
    }
    format!("{} {length}", answer.status())
}

/// `n` calls at once; a line for each.
pub fn parallel(query: &Query) -> String {
    let pending: Vec<_> = (0..query.number("n").unwrap_or(1)).map(|_| Call::of(query).send()).collect();
    let lines: Vec<_> =
        pending.into_iter().map(|pending| outcome(pending.and_then(|pending| wait_for(&pending)))).collect();
    lines.join("\n")
}

/// `n` calls, one after the other; a line for each.
pub fn sequence(query: &Query) -> String {
    let lines: Vec<_> = (0..query.number("n").unwrap_or(1)).map(|_| outcome(Call::of(query).finish())).collect();
    lines.join("\n")
}

/// An event stream of `n` events, each of which is a call, `ms` apart.
pub fn events(out: ResponseOutparam, query: &Query) {
    let headers = Fields::from_list(&[("content-type".to_owned(), b"text/event-stream".to_vec())]).expect("a header");
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is taken once");
    for _ in 0..query.number("n").unwrap_or(1) {
        wait(query.number("ms").unwrap_or(100));
        let event = format!("data: {}\n\n", outcome(Call::of(query).finish()));
        if stream.blocking_write_and_flush(event.as_bytes()).is_err() {
            return;
        }
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}
