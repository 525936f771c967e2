//! Sends clients elsewhere: the working form of `redirect`.
//!
//! `Location` always is a whole URL, so that a path such as `//evil.example` is a path and never another host. The port
//! follows the Gateway API: what is configured; else, with a configured scheme, that scheme's own; else the listener's.
//! The scheme's own port is left out. Whatever bytes the client's path and query have, only visible ASCII goes into the
//! header.

use bytes::Bytes;
use http::header::{HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::rewrite::NewPath;
use crate::config::{self, Scheme};

/// The working form of `redirect`.
#[derive(Debug)]
pub(crate) struct Redirect {
    scheme: Option<Scheme>,
    host: Option<Box<str>>,
    port: Option<u16>,
    path: NewPath,
    status: StatusCode,
}

/// What of a request a redirect may keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// As the client sees it.
    pub(crate) scheme: Scheme,
    /// Without a port; an IPv6 address in brackets.
    pub(crate) host: &'a str,
    /// The listener's.
    pub(crate) port: u16,
    /// Begins with `/`.
    pub(crate) path: &'a str,
    /// Without `?`.
    pub(crate) query: Option<&'a str>,
    /// What the rule matched, if it matched by prefix.
    pub(crate) matched_prefix: Option<&'a str>,
}

/// The request's host cannot stand in a URL: the request is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host of the request cannot stand in a URL")]
pub(crate) struct BadHost;

impl Redirect {
    pub(crate) fn new(config: &config::Redirect) -> Self {
        Self {
            scheme: config.scheme,
            host: config.host.as_deref().map(Into::into),
            port: config.port,
            path: NewPath::new(config.prefix.as_deref(), config.path.as_deref()),
            status: StatusCode::from_u16(config.status).unwrap_or(StatusCode::FOUND),
        }
    }

    /// The redirect.
    ///
    /// # Errors
    /// The request's host is kept but is none.
    pub(crate) fn answer(&self, asked: &Asked<'_>) -> Result<Response<Bytes>, BadHost> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = self.status;
        response.headers_mut().insert(LOCATION, self.location(asked)?);
        Ok(response)
    }

    fn location(&self, asked: &Asked<'_>) -> Result<HeaderValue, BadHost> {
        let host = self.host.as_deref().unwrap_or(asked.host);
        let byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
        if host.is_empty() || !host.bytes().all(byte) {
            return Err(BadHost);
        }
        let scheme = self.scheme.unwrap_or(asked.scheme);
        let port = self.port.or(self.scheme.map(Scheme::port)).unwrap_or(asked.port);
        let path = self.path.apply(asked.path, asked.matched_prefix);
        let mut location = format!("{}://{host}", scheme.as_str());
        if port != scheme.port() {
            location.push(':');
            location.push_str(&port.to_string());
        }
        if !path.starts_with('/') {
            location.push('/');
        }
        visible(&path, &mut location);
        if let Some(query) = asked.query {
            location.push('?');
            visible(query, &mut location);
        }
        HeaderValue::try_from(location).map_err(|_| BadHost)
    }
}

/// Appends `text` with everything but visible ASCII percent-encoded.
fn visible(text: &str, to: &mut String) {
    use std::fmt::Write;
    for byte in text.bytes() {
        if byte.is_ascii_graphic() {
            to.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            _ = write!(to, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redirect(text: &str) -> Redirect {
        Redirect::new(&serde_json::from_str(text).unwrap())
    }

    fn asked(path: &'static str) -> Asked<'static> {
        Asked { scheme: Scheme::Http, host: "a.example", port: 80, path, query: None, matched_prefix: None }
    }

    fn location(redirect: &Redirect, asked: &Asked<'_>) -> String {
        redirect.location(asked).unwrap().to_str().unwrap().to_owned()
    }

    /// Port of HTTPRouteRedirectPortAndScheme: listener's scheme and port; the filter; the origin of `Location`.
    #[test]
    fn ports_and_schemes_follow_the_gateway_api() {
        for (scheme, port, filter, want) in [
            (Scheme::Http, 80, r#"{ "host": "example.org" }"#, "http://example.org"),
            (Scheme::Http, 80, r#"{ "host": "example.org", "port": 80 }"#, "http://example.org"),
            (Scheme::Http, 80, r#"{ "host": "example.org", "port": 8080 }"#, "http://example.org:8080"),
            (Scheme::Http, 80, r#"{ "host": "example.org", "scheme": "https" }"#, "https://example.org"),
            (Scheme::Http, 80, r#"{ "host": "example.org", "scheme": "https", "port": 443 }"#, "https://example.org"),
            (
                Scheme::Http,
                80,
                r#"{ "host": "example.org", "scheme": "https", "port": 8443 }"#,
                "https://example.org:8443",
            ),
            (Scheme::Http, 8080, r#"{ "host": "example.org" }"#, "http://example.org:8080"),
            (Scheme::Http, 8080, r#"{ "host": "example.org", "port": 80 }"#, "http://example.org"),
            (Scheme::Http, 8080, r#"{ "host": "example.org", "port": 8080 }"#, "http://example.org:8080"),
            (Scheme::Http, 8080, r#"{ "host": "example.org", "scheme": "https" }"#, "https://example.org"),
            (
                Scheme::Http,
                8080,
                r#"{ "host": "example.org", "scheme": "https", "port": 8443 }"#,
                "https://example.org:8443",
            ),
            (Scheme::Https, 443, r#"{ "host": "example.org" }"#, "https://example.org"),
            (Scheme::Https, 443, r#"{ "host": "example.org", "port": 443 }"#, "https://example.org"),
            (Scheme::Https, 443, r#"{ "host": "example.org", "port": 8443 }"#, "https://example.org:8443"),
            (Scheme::Https, 443, r#"{ "host": "example.org", "scheme": "http" }"#, "http://example.org"),
        ] {
            let asked = Asked { scheme, port, ..asked("/x") };
            assert_eq!(location(&redirect(filter), &asked), format!("{want}/x"), "{filter} at {port}");
        }
    }

    /// Port of HTTPRouteRedirectPath and HTTPRouteRedirectHostAndStatus.
    #[test]
    fn paths_change_and_the_query_stays() {
        let prefix = redirect(r#"{ "prefix": "/replacement-prefix" }"#);
        let lemon = Asked { matched_prefix: Some("/original-prefix"), ..asked("/original-prefix/lemon") };
        assert_eq!(location(&prefix, &lemon), "http://a.example/replacement-prefix/lemon");
        let full = redirect(r#"{ "path": "/full-path-replacement" }"#);
        let query = Asked { query: Some("a=1&b"), ..asked("/full/path/original") };
        assert_eq!(location(&full, &query), "http://a.example/full-path-replacement?a=1&b");
        assert_eq!(location(&redirect(r#"{ "host": "example.org" }"#), &asked("/")), "http://example.org/");
    }

    #[test]
    fn every_status_is_sent_as_configured() {
        for status in [301, 302, 303, 307, 308] {
            let answer = redirect(&format!(r#"{{ "path": "/x", "status": {status} }}"#)).answer(&asked("/")).unwrap();
            assert_eq!(answer.status(), status);
        }
        assert_eq!(redirect(r#"{ "path": "/x" }"#).answer(&asked("/")).unwrap().status(), 302);
    }

    #[test]
    fn a_path_never_becomes_another_host() {
        let https = redirect(r#"{ "scheme": "https" }"#);
        assert_eq!(location(&https, &asked("//evil.example/x")), "https://a.example//evil.example/x");
        let strip = redirect(r#"{ "prefix": "/" }"#);
        let evil = Asked { matched_prefix: Some("/p"), ..asked("/p//evil.example") };
        assert_eq!(location(&strip, &evil), "http://a.example//evil.example");
        assert_eq!(location(&https, &asked("@evil.example")), "https://a.example/@evil.example");
        for host in ["", "a@evil.example", "a/b", "a b", "a\\b", "a?b", "a#b", "a\r\nx: y"] {
            assert_eq!(https.location(&Asked { host, ..asked("/") }), Err(BadHost), "{host:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_but_visible_ascii_goes_into_the_header(path in "/\\PC{0,20}|/[\\x00-\\xff]{0,9}", query in "\\PC{0,9}|\\r\\n.*") {
            let asked = Asked { path: &path, query: Some(&query), ..asked("/") };
            let value = redirect(r#"{ "scheme": "https" }"#).location(&asked).unwrap();
            prop_assert!(value.as_bytes().iter().all(u8::is_ascii_graphic));
            prop_assert!(value.as_bytes().starts_with(b"https://a.example/"));
        }
    }
}
