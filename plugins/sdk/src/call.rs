//! Requests to other services.
//!
//! ```
//! use wharf_sdk::{Call, Error, Request, Response};
//!
//! fn order(request: Request) -> Result<Response, Error> {
//!     let user = Call::get("http://users.internal/42").send()?;
//!     if user.status() != 200 {
//!         return Err(Error::new(422, "there is no such user"));
//!     }
//!     Ok(Response::json(&user.json::<serde_json::Value>()?))
//! }
//! ```
//!
//! The operator has to grant it (`grants: { calls: [users] }` in the service's file). The host sees to the rest: the
//! call has the id and the trace of the request that is being answered, ends with it, and passes breaker, bulkhead and
//! limits of the other service. What the host answers in its place (503 while it is overloaded, say) comes as an
//! [`Answer`] with a problem document; [`CallError`] is what no service could have answered.

use std::fmt;
use std::io::Read;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Method, Request, platform};

/// The most that [`Answer::json`] reads, in bytes.
const JSON_LIMIT: usize = 4 << 20;

/// A request to another service that is not sent yet.
pub struct Call {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Box<dyn Read>,
    pub(crate) timeout: Option<Duration>,
}

/// What another service answered.
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Box<dyn Read>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The operator has not granted it, or the request has made all the calls it may.
    #[error("the call is not granted")]
    Denied,
    /// No service and no host has this name.
    #[error("the name is not known")]
    NotFound,
    /// The answer did not come in the time that [`Call::timeout`] gave it.
    #[error("there was no answer in time")]
    Timeout,
    /// Too many calls of this request are open.
    #[error("too many calls are open at once")]
    TooManyOpen,
    /// The address, a header or the method cannot be sent.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// It broke off.
    #[error("the call failed: {0}")]
    Failed(String),
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Call {
    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// A `POST`; see [`json`](Self::json).
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::Post, url)
    }

    /// Any method but [`Method::Other`], to an address such as `http://users.internal/42`.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: Vec::new(), body: Box::new(std::io::empty()), timeout: None }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same with these headers of a request, as far as it has them. So a service passes on who its client is, under
    /// the names that its gateway uses.
    #[must_use]
    pub fn headers_of(mut self, request: &Request, names: &[&str]) -> Self {
        let wanted = |name: &str| names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name));
        self.headers.extend(request.headers().into_iter().filter(|(name, _)| wanted(name)));
        self
    }

    /// The same with these bytes as its body.
    #[must_use]
    pub fn body(self, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Vec<u8> = bytes.into();
        let length = bytes.len().to_string();
        self.header("content-length", &length).body_reader(content_type, std::io::Cursor::new(bytes))
    }

    /// The same with a body that is read while it is sent; that of a request, for one. While the reader has nothing to
    /// give, the call waits for it, also when there is more of the answer.
    #[must_use]
    pub fn body_reader(mut self, content_type: &str, body: impl Read + 'static) -> Self {
        self.body = Box::new(body);
        self.header("content-type", content_type)
    }

    /// The same with a value as JSON.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, Error> {
        Ok(self.body("application/json", serde_json::to_vec(value)?))
    }

    /// The same with a limit on the time to the answer, and on the time between two pieces of it. No call outlasts the
    /// request that is being answered.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Sends it and waits for the answer's head. A service may answer while it is still being asked: the rest of the body
    /// is then sent while the answer is read. An answer that is dropped ends the call, with what was not sent by then.
    ///
    /// # Errors
    /// When there is no answer; any status is one.
    pub fn send(self) -> Result<Answer, CallError> {
        platform::call(self)
    }
}

impl Answer {
    /// Its status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of this name (in any case), if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// The body as it arrives; empty when it has been read before. What breaks off is an error of the reader.
    pub fn body_reader(&mut self) -> Box<dyn Read> {
        std::mem::replace(&mut self.body, Box::new(std::io::empty()))
    }

    /// The whole body.
    ///
    /// # Errors
    /// When it has more than `limit` bytes or breaks off.
    pub fn body(&mut self, limit: usize) -> Result<Vec<u8>, CallError> {
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.body_reader().take(most).read_to_end(&mut bytes);
        read.map_err(|error| CallError::Failed(error.to_string()))?;
        if bytes.len() > limit {
            return Err(CallError::Failed(format!("the answer has more than {limit} bytes")));
        }
        Ok(bytes)
    }

    /// The body as JSON, whatever its content type says, up to 4 MiB.
    ///
    /// # Errors
    /// When it breaks off, or is not what `T` asks for.
    pub fn json<T: DeserializeOwned>(mut self) -> Result<T, CallError> {
        let bytes = self.body(JSON_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|error| CallError::Failed(format!("the answer: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{Response, answer_calls};

    #[test]
    fn nothing_is_granted_until_a_test_says_so() {
        assert_eq!(Call::get("http://users.internal/").send().unwrap_err(), CallError::Denied);
    }

    #[test]
    fn a_test_answers_in_place_of_the_other_service() {
        answer_calls(|mut request| {
            assert_eq!((request.method(), request.path()), (Method::Post, "/users/7"));
            assert_eq!(request.header("host").as_deref(), Some("users.internal"));
            let body: Value = request.json().unwrap();
            Ok(Response::json(&json!({ "said": body, "user": request.header("x-user") })).with_status(201))
        });
        let incoming = Request::get("/").with_header("X-User", "ann").with_header("cookie", "secret");
        let call = Call::post("http://users.internal/users/7?a=b").headers_of(&incoming, &["x-user"]);
        let answer = call.json(&json!([1])).unwrap().send().unwrap();
        assert_eq!((answer.status(), answer.header("Content-Type")), (201, Some("application/json")));
        assert_eq!(answer.json::<Value>().unwrap(), json!({ "said": [1], "user": "ann" }));
    }

    #[test]
    fn an_answer_is_read_up_to_a_limit() {
        answer_calls(|_| Ok(Response::text("12345")));
        let answer = || Call::get("http://users.internal/").send().unwrap();
        assert_eq!(answer().body(5).unwrap(), b"12345");
        assert!(answer().body(4).is_err());
        assert!(answer().json::<String>().is_err());
    }
}
