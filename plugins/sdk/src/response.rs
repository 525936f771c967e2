//! What a handler answers.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::Error;

/// Headers that are sent after a body: names and values.
pub type Trailers = Vec<(String, String)>;

/// Writes a body piece by piece. What is written is on its way after `flush`. Gives what follows the body.
type Writer = Box<dyn FnOnce(&mut dyn Write) -> io::Result<Trailers>>;

/// The body of a response.
pub enum Body {
    /// All of it, with its length.
    Bytes(Vec<u8>),
    /// Written while it is sent. A failure breaks the response off.
    Stream(Writer),
    /// None, though the headers speak of one: the answer to `HEAD`.
    Omitted,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Omitted => f.write_str("Omitted"),
        }
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Body,
}

impl Response {
    /// Status 200 with these bytes.
    pub fn bytes(content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::with_body(content_type, Body::Bytes(bytes.into()))
    }

    /// Status 200 with plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::bytes("text/plain; charset=utf-8", text.into())
    }

    /// Status 200 with JSON; 500 if the value has no JSON form.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => Self::bytes("application/json", bytes),
            Err(error) => Error::internal(error).into_response(),
        }
    }

    /// Status 200 with a body that is written while it is sent; call `flush` after each piece that must not wait.
    pub fn stream(content_type: &str, write: impl FnOnce(&mut dyn Write) -> io::Result<()> + 'static) -> Self {
        Self::stream_with_trailers(content_type, |out| write(out).map(|()| Trailers::new()))
    }

    /// The same with headers that follow the body: what is known only at its end, such as a sum or how it went. A client
    /// of HTTP/1.1 sees them only if it asked for them (`te: trailers`).
    pub fn stream_with_trailers(
        content_type: &str,
        write: impl FnOnce(&mut dyn Write) -> io::Result<Trailers> + 'static,
    ) -> Self {
        Self::with_body(content_type, Body::Stream(Box::new(write)))
    }

    /// This status and no body.
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Bytes(Vec::new()) }
    }

    fn with_body(content_type: &str, body: Body) -> Self {
        Self { status: 200, headers: vec![("content-type".to_owned(), content_type.into())], body }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    /// The first header of this name (in any case), if it is text.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// Its whole body; a stream is run, and what it wrote before it failed counts.
    pub fn into_bytes(self) -> Vec<u8> {
        self.into_bytes_and_trailers().0
    }

    /// The same, and what follows the body: nothing if it failed.
    pub fn into_bytes_and_trailers(self) -> (Vec<u8>, Trailers) {
        match self.body {
            Body::Bytes(bytes) => (bytes, Trailers::new()),
            Body::Stream(write) => {
                let mut bytes = Vec::new();
                let trailers = write(&mut bytes).unwrap_or_else(|error| {
                    eprintln!("the body broke off: {error}");
                    Trailers::new()
                });
                (bytes, trailers)
            }
            Body::Omitted => (Vec::new(), Trailers::new()),
        }
    }

    pub(crate) fn set_body(&mut self, body: Body) {
        self.body = body;
    }

    /// Status, headers with the length of the body where there is one, and the body.
    #[cfg(any(target_family = "wasm", test))]
    pub(crate) fn into_parts(mut self) -> (u16, Vec<(String, Vec<u8>)>, Body) {
        if let Body::Bytes(bytes) = &self.body
            && !matches!(self.status, 100..=199 | 204 | 304)
        {
            self.headers.push(("content-length".to_owned(), bytes.len().to_string().into_bytes()));
        }
        (self.status, self.headers, self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_length_and_streams_have_none() {
        let length = |response: Response| {
            let (_, headers, _) = response.into_parts();
            let found = headers.into_iter().find(|(name, _)| name == "content-length");
            found.map(|(_, value)| String::from_utf8(value).unwrap())
        };
        assert_eq!(length(Response::text("abc")).as_deref(), Some("3"));
        assert_eq!(length(Response::empty(200)).as_deref(), Some("0"));
        assert_eq!(length(Response::empty(204)), None);
        assert_eq!(length(Response::stream("text/plain", |_| Ok(()))), None);
    }

    #[test]
    fn a_stream_is_written_when_it_is_sent() {
        let response = Response::stream("text/plain", |out| {
            out.write_all(b"a")?;
            out.write_all(b"b")
        });
        assert_eq!(response.into_bytes(), b"ab");
    }

    #[test]
    fn trailers_are_known_when_all_is_written() {
        let sum = |fails: bool| {
            Response::stream_with_trailers("text/plain", move |out| {
                out.write_all(b"abc")?;
                if fails { Err(io::Error::other("broken")) } else { Ok(vec![("x-sum".to_owned(), "3".to_owned())]) }
            })
        };
        let trailers = vec![("x-sum".to_owned(), "3".to_owned())];
        assert_eq!(sum(false).into_bytes_and_trailers(), (b"abc".to_vec(), trailers));
        assert_eq!(sum(true).into_bytes_and_trailers(), (b"abc".to_vec(), Trailers::new()));
        assert_eq!(Response::text("abc").into_bytes_and_trailers(), (b"abc".to_vec(), Trailers::new()));
    }

    #[test]
    fn a_value_without_json_form_is_an_internal_error() {
        let strange = std::collections::BTreeMap::from([(vec![1], 1)]);
        assert_eq!(Response::json(&strange).status(), 500);
        assert_eq!(Response::json(&[1, 2]).into_bytes(), b"[1,2]");
    }
}
