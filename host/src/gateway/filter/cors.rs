//! Answers preflights and writes the CORS headers of responses.
//!
//! The gateway alone speaks about origins: what the service says is removed, because two `Access-Control-Allow-Origin`
//! make browsers refuse the answer. Every response names `Origin` in `Vary`, also one to a request without it, so that
//! a shared cache never hands one page's permission to another.
//!
//! An origin is compared byte by byte, as the Fetch standard does: browsers write it in one way only. A request with
//! several `Origin` headers, or with `null`, which every sandboxed page sends, matches nothing but a `*` without
//! credentials. An origin that is not allowed gets an ordinary response without permission; the browser keeps it from
//! the page. CORS protects users of browsers, it is no access control.
//!
//! Rules: Gateway API `HTTPCORSFilter`, Fetch standard §3.3.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN,
};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode};

use super::vary::vary;
use crate::config;

const ANY: HeaderValue = HeaderValue::from_static("*");

/// What a service must not say beside the gateway.
const OWN: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The working form of `cors`.
#[derive(Debug)]
pub(crate) struct Cors {
    any: bool,
    exact: Vec<Box<[u8]>>,
    wild: Vec<Wild>,
    methods: List,
    headers: List,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

/// `https://*.bar.com:8443`, cut at the star.
#[derive(Debug)]
struct Wild {
    before: Box<[u8]>,
    /// Begins with `.`.
    after: Box<[u8]>,
}

/// What preflights are told.
#[derive(Debug)]
enum List {
    /// Nothing.
    None,
    /// Always this.
    These(HeaderValue),
    /// What was asked for, since browsers do not take `*` beside credentials.
    Asked,
}

impl List {
    fn new(items: &[String], credentials: bool) -> Self {
        if credentials && items.iter().any(|item| item == "*") {
            return Self::Asked;
        }
        joined(items).map_or(Self::None, Self::These)
    }
}

fn joined(items: &[String]) -> Option<HeaderValue> {
    if items.is_empty() { None } else { HeaderValue::try_from(items.join(", ")).ok() }
}

impl Cors {
    pub(crate) fn new(config: &config::Cors) -> Self {
        let mut cors = Self {
            any: false,
            exact: Vec::new(),
            wild: Vec::new(),
            methods: List::new(&config.allow_methods, config.allow_credentials),
            headers: List::new(&config.allow_headers, config.allow_credentials),
            expose: joined(&config.expose_headers),
            credentials: config.allow_credentials,
            max_age: HeaderValue::from(config.max_age.get().as_secs()),
        };
        for origin in &config.allow_origins {
            match origin.split_once('*') {
                Some(("", "")) => cors.any = true,
                Some((before, after)) => {
                    cors.wild.push(Wild { before: before.as_bytes().into(), after: after.as_bytes().into() });
                }
                None => cors.exact.push(origin.as_bytes().into()),
            }
        }
        cors
    }

    /// The request's origin, if it names exactly one. Take it before the service has the headers.
    pub(crate) fn origin(headers: &HeaderMap) -> Option<&HeaderValue> {
        let mut origins = headers.get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) => Some(origin),
            _ => None,
        }
    }

    /// The answer (204) if this is a preflight: `OPTIONS` with `Origin` and `Access-Control-Request-Method`. Any other
    /// `OPTIONS` is the service's. Comes before authentication, as preflights never carry credentials.
    pub(crate) fn preflight(&self, parts: &Parts) -> Option<Response<Bytes>> {
        let wanted = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if parts.method != Method::OPTIONS || !parts.headers.contains_key(ORIGIN) {
            return None;
        }
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        for name in ["origin", "access-control-request-method", "access-control-request-headers"] {
            vary(headers, name);
        }
        if !self.allow(Self::origin(&parts.headers), headers) {
            return Some(response);
        }
        match &self.methods {
            List::None => {}
            List::These(methods) => _ = headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone()),
            List::Asked if is_token(wanted.as_bytes()) => {
                headers.insert(ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
            }
            List::Asked => {}
        }
        match &self.headers {
            List::None => {}
            List::These(names) => _ = headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone()),
            List::Asked => {
                for asked in parts.headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
                    if asked.as_bytes().split(|byte| *byte == b',').all(|name| is_token(name.trim_ascii())) {
                        headers.append(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
                    }
                }
            }
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        Some(response)
    }

    /// Writes the headers of any other response, the gateway's own errors too (else a page cannot read why it was
    /// refused).
    pub(crate) fn respond(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for name in &OWN {
            headers.remove(name);
        }
        vary(headers, "origin");
        if self.allow(origin, headers)
            && let Some(names) = &self.expose
        {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }

    /// Writes that `origin` may read the response, if so.
    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        let Some(origin) = origin else { return false };
        let bytes = origin.as_bytes();
        let named =
            self.exact.iter().any(|known| **known == *bytes) || self.wild.iter().any(|wild| wild.matches(bytes));
        let allowed = if named || (self.any && self.credentials && bytes != b"null") {
            origin.clone()
        } else if self.any && !self.credentials {
            ANY
        } else {
            return false;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, const { HeaderValue::from_static("true") });
        }
        true
    }
}

impl Wild {
    fn matches(&self, origin: &[u8]) -> bool {
        let labels = origin.strip_prefix(&*self.before).and_then(|rest| rest.strip_suffix(&*self.after));
        let byte = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(byte);
        labels.is_some_and(|labels| !labels.is_empty() && !labels.starts_with(b".") && labels.iter().all(byte))
    }
}

fn is_token(bytes: &[u8]) -> bool {
    // A header name is a token in any case, which is all that a method is.
    HeaderName::from_bytes(bytes).is_ok()
}

#[cfg(test)]
mod tests;
