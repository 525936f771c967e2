//! What a handler is asked.
//!
//! Headers and body stay with the host until they are read: a handler that only looks at the path pays for nothing else.

use std::io::Read;

use serde::de::DeserializeOwned;

use crate::Error;

/// The most that [`Request::json`] reads, in bytes.
const JSON_LIMIT: usize = 1 << 20;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of HTTP")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    /// One that no route can have.
    Other,
}

/// The parts of a request that are fetched when asked for.
pub(crate) trait Source {
    fn headers(&self) -> Vec<(String, Vec<u8>)>;
    fn header(&self, name: &str) -> Option<Vec<u8>>;
    /// The body; empty when it has been taken.
    fn take_body(&mut self) -> Box<dyn Read>;
}

/// A request.
pub struct Request {
    method: Method,
    path: String,
    query: String,
    params: Vec<(&'static str, String)>,
    source: Box<dyn Source>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

impl Request {
    pub(crate) fn from_source(method: Method, target: &str, source: Box<dyn Source>) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = if path.is_empty() { "/" } else { path };
        Self { method, path: path.to_owned(), query: query.to_owned(), params: Vec::new(), source }
    }

    pub(crate) fn set_params(&mut self, params: Vec<(&'static str, String)>) {
        self.params = params;
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn replace_source(&mut self, source: Box<dyn Source>) {
        self.source = source;
    }

    /// Its method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Its path as it was sent, still percent-encoded, without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stood in place of `{name}`, decoded; empty when the pattern has no such name.
    pub fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    /// The first value of this name in the query, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        self.queries().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A value of the query as a number or any other type that can be read from text, or the default when it is absent.
    ///
    /// # Errors
    /// 400 with the name of the parameter when it cannot be read.
    pub fn query_or<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, Error> {
        match self.query(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| Error::invalid(name, format!("`{text}` is not valid here"))),
        }
    }

    /// All names and values of the query, decoded.
    pub fn queries(&self) -> impl Iterator<Item = (String, String)> {
        form_urlencoded::parse(self.query.as_bytes()).into_owned()
    }

    /// The first header of this name (in any case), if it is text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.source.header(name).and_then(|value| String::from_utf8(value).ok())
    }

    /// What a client calls a path of this service: the part that the gateway took off (`x-forwarded-prefix`), then
    /// `path`, which begins with `/`. For `Location` headers and links.
    pub fn url_for(&self, path: &str) -> String {
        let prefix = self.header("x-forwarded-prefix").unwrap_or_default();
        format!("{}{path}", prefix.trim_end_matches('/'))
    }

    /// All headers.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.source.headers()
    }

    /// The body as it arrives; empty when it has been read before.
    pub fn body_reader(&mut self) -> Box<dyn Read> {
        self.source.take_body()
    }

    /// The whole body.
    ///
    /// # Errors
    /// 413 when it has more than `limit` bytes, 400 when it breaks off.
    pub fn body(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let read = self.body_reader().take(most).read_to_end(&mut bytes);
        read.map_err(|_| Error::bad_request("the body could not be read to its end"))?;
        if bytes.len() > limit {
            return Err(Error::new(413, format!("the body has more than {limit} bytes")));
        }
        Ok(bytes)
    }

    /// The body as JSON, whatever its content type says, up to 1 MiB.
    ///
    /// # Errors
    /// 400 when it isn't what `T` asks for, and those of [`body`](Self::body).
    pub fn json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let bytes = self.body(JSON_LIMIT)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::bad_request(format!("the body is not as expected: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_decoded() {
        let request = Request::get("/p?name=a+b%26c&empty=&name=second&flag&n=7&bad=x");
        assert_eq!(request.path(), "/p");
        assert_eq!(request.query("name").as_deref(), Some("a b&c"));
        assert_eq!(request.query("empty").as_deref(), Some(""));
        assert_eq!(request.query("flag").as_deref(), Some(""));
        assert_eq!(request.query("none"), None);
        assert_eq!(request.query_or("n", 1).unwrap(), 7);
        assert_eq!(request.query_or("none", 1).unwrap(), 1);
        assert_eq!(request.query_or("bad", 1).unwrap_err().status(), 400);
        assert_eq!(Request::get("?x=1").path(), "/");
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let request = Request::get("/").with_header("X-User", "ann");
        assert_eq!(request.header("x-user").as_deref(), Some("ann"));
        assert_eq!(request.header("x-none"), None);
    }

    #[test]
    fn a_link_begins_with_what_the_gateway_took_off() {
        assert_eq!(Request::get("/7").url_for("/8"), "/8");
        for prefix in ["/users", "/users/"] {
            assert_eq!(Request::get("/7").with_header("x-forwarded-prefix", prefix).url_for("/8"), "/users/8");
        }
    }

    #[test]
    fn a_body_has_a_limit() {
        let mut request = Request::new(Method::Post, "/").with_body("12345");
        assert_eq!(request.body(5).unwrap(), b"12345");
        assert_eq!(request.body(5).unwrap(), b"", "it is read once");
        let mut request = Request::new(Method::Post, "/").with_body("123456");
        assert_eq!(request.body(5).unwrap_err().status(), 413);
    }

    #[test]
    fn json_that_is_not_as_expected_is_a_bad_request() {
        let json = |text: &str| Request::new(Method::Post, "/").with_body(text).json::<Vec<u8>>();
        assert_eq!(json("[1, 2]").unwrap(), [1, 2]);
        for text in ["", "[1, 2", "{}", "[1000]"] {
            assert_eq!(json(text).unwrap_err().status(), 400, "{text}");
        }
    }
}
