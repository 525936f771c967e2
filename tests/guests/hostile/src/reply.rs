//! Responses, written piece by piece.

use std::io::Write;

use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasip2::io::streams::OutputStream;

/// A response whose head is out.
pub struct Reply {
    stream: Option<OutputStream>,
    body: OutgoingBody,
}

impl Reply {
    pub fn start(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> Self {
        let fields = Fields::new();
        for (name, value) in headers {
            fields.append(name, value.as_bytes()).expect("a valid header");
        }
        let response = OutgoingResponse::new(fields);
        response.set_status_code(status).expect("a valid status");
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        Self { stream: Some(stream), body }
    }

    /// Whether somebody still reads.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
    }

    pub fn finish(self, trailers: &[(&str, &str)]) {
        let Self { stream, body } = self;
        drop(stream);
        let fields = (!trailers.is_empty()).then(|| {
            let fields = Fields::new();
            for (name, value) in trailers {
                fields.append(name, value.as_bytes()).expect("a valid trailer");
            }
            fields
        });
        let _ = OutgoingBody::finish(body, fields);
    }

    /// Leaves the body without an end.
    pub fn abandon(self) {
        let Self { stream, body } = self;
        drop(stream);
        drop(body);
    }
}

pub fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let mut reply = Reply::start(out, status, &[("content-type", "text/plain")]);
    if let Some(stream) = &mut reply.stream {
        let _ = stream.write_all(text.as_bytes());
    }
    reply.finish(&[]);
}
