//! A request of the host to the router, and the response back.
//!
//! A body that is known at once and fits into the host's buffer is written before the response is handed over: the host
//! then gets head and body together and can send both in one packet. A longer one, or a stream, is written after it,
//! since nobody takes it before.

use std::io::{self, Read, Write};

use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method as WasiMethod, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{InputStream, OutputStream};

use crate::request::Source;
use crate::{Body, Error, Method, Request, Response, Router, Trailers};

/// Answers one request.
pub fn answer(router: &Router, request: IncomingRequest, out: ResponseOutparam) {
    let method = match request.method() {
        WasiMethod::Get => Method::Get,
        WasiMethod::Head => Method::Head,
        WasiMethod::Post => Method::Post,
        WasiMethod::Put => Method::Put,
        WasiMethod::Patch => Method::Patch,
        WasiMethod::Delete => Method::Delete,
        WasiMethod::Options => Method::Options,
        WasiMethod::Connect | WasiMethod::Trace | WasiMethod::Other(_) => Method::Other,
    };
    let target = request.path_with_query().unwrap_or_default();
    send(router.handle(Request::from_source(method, &target, Box::new(request))), out);
}

impl Source for IncomingRequest {
    fn headers(&self) -> Vec<(String, Vec<u8>)> {
        IncomingRequest::headers(self).entries()
    }

    fn header(&self, name: &str) -> Option<Vec<u8>> {
        IncomingRequest::headers(self).get(name).into_iter().next()
    }

    fn take_body(&mut self) -> Box<dyn Read> {
        let taken = self.consume().and_then(|body| Ok(Reader::new(body.stream()?, body)));
        match taken {
            Ok(reader) => Box::new(reader),
            Err(()) => Box::new(io::empty()),
        }
    }
}

/// The order matters: the stream goes before the body that it belongs to.
struct Reader {
    stream: InputStream,
    _body: IncomingBody,
}

impl Reader {
    fn new(stream: InputStream, body: IncomingBody) -> Self {
        Self { stream, _body: body }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut self.stream, buffer)
    }
}

fn send(response: Response, out: ResponseOutparam) {
    let (mut status, headers, mut body) = response.into_parts();
    let fields = Fields::from_list(&headers).unwrap_or_else(|error| {
        body = Body::Bytes(Vec::new());
        status = Error::internal(format_args!("the response has a bad header: {error:?}")).status();
        Fields::new()
    });
    let response = OutgoingResponse::new(fields);
    if response.set_status_code(status).is_err() {
        eprintln!("internal error: {status} is no status");
    }
    // Each of these two is asked for once, so both are there.
    let Ok(outgoing) = response.body() else { return };
    let Ok(mut stream) = outgoing.write() else { return };
    match body {
        Body::Bytes(bytes) if fits(&stream, bytes.len()) => {
            if !bytes.is_empty() && OutputStream::write(&stream, &bytes).is_err() {
                return;
            }
            drop(stream);
            end(outgoing);
            ResponseOutparam::set(out, Ok(response));
        }
        Body::Bytes(bytes) => {
            ResponseOutparam::set(out, Ok(response));
            if stream.write_all(&bytes).is_ok() {
                drop(stream);
                end(outgoing);
            }
        }
        Body::Stream(write) => {
            ResponseOutparam::set(out, Ok(response));
            match write(&mut stream) {
                Ok(trailers) => {
                    drop(stream);
                    end_with(outgoing, trailers);
                }
                // Without its end the host breaks the response off, and the client sees that something is missing.
                Err(error) => eprintln!("the response broke off: {error}"),
            }
        }
        Body::Omitted => {
            drop(stream);
            end(outgoing);
            ResponseOutparam::set(out, Ok(response));
        }
    }
}

fn fits(stream: &OutputStream, length: usize) -> bool {
    length == 0 || stream.check_write().is_ok_and(|room| u64::try_from(length).is_ok_and(|length| length <= room))
}

fn end(body: OutgoingBody) {
    end_with(body, Trailers::new());
}

/// The client may have left; then nobody needs the end.
fn end_with(body: OutgoingBody, trailers: Trailers) {
    let trailers: Vec<_> = trailers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    let fields = match Fields::from_list(&trailers) {
        _ if trailers.is_empty() => None,
        Ok(fields) => Some(fields),
        // Without its end the client sees that something is missing.
        Err(error) => return eprintln!("the response has a bad trailer: {error:?}"),
    };
    if let Err(error) = OutgoingBody::finish(body, fields) {
        eprintln!("the response was not taken to its end: {error:?}");
    }
}
