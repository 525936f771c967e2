//! Which web pages of other origins may read what a route answers.
//!
//! The meaning of the fields is the Gateway API's `HTTPCORSFilter` and the Fetch standard's. An origin is text that a
//! browser writes in one way only, so what is configured must have that form too: anything else would never match and
//! is refused here instead of failing silently in somebody's browser.

use http::{HeaderName, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::units::Duration;

/// What pages of other origins may do (CORS).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Cors {
    /// Origins that may read responses: `https://shop.example.com`, `http://localhost:3000`, `https://*.example.com`
    /// (any number of labels, not `example.com` itself), or `"*"` alone for all.
    #[schemars(length(min = 1))]
    pub allow_origins: Vec<String>,
    /// Methods told to preflights; `"*"` alone for all.
    #[serde(default = "simple_methods")]
    pub allow_methods: Vec<String>,
    /// Request headers told to preflights; `"*"` alone for all.
    #[serde(default)]
    pub allow_headers: Vec<String>,
    /// Response headers that pages may read; `"*"` alone for all, not together with credentials.
    #[serde(default)]
    pub expose_headers: Vec<String>,
    /// Whether pages may send cookies and read the answers.
    #[serde(default)]
    pub allow_credentials: bool,
    /// How long browsers may keep the answer to a preflight, in whole seconds.
    #[serde(default = "five_seconds")]
    pub max_age: Duration,
}

fn simple_methods() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(str::to_owned).into()
}

/// The default of the Gateway API and of browsers.
fn five_seconds() -> Duration {
    Duration::secs(5)
}

impl Cors {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let origins_at = at.get("allowOrigins");
        if origins_at.written() == 0 {
            check.wrong(at.key("allowOrigins"), "no origin: name at least one, or `\"*\"`");
        }
        for (origin, at) in self.allow_origins.iter().zip(origins_at.items()) {
            if let Err(message) = valid_origin(origin) {
                check.wrong(at, message);
            }
        }
        for (method, at) in self.allow_methods.iter().zip(at.get("allowMethods").items()) {
            let known = Method::from_bytes(method.as_bytes()).is_ok();
            if !known || method.bytes().any(|byte| byte.is_ascii_lowercase()) {
                check.wrong(at, format!("`{method}` is no method: write it in upper case, like GET"));
            }
        }
        for (field, names) in [("allowHeaders", &self.allow_headers), ("exposeHeaders", &self.expose_headers)] {
            for (name, at) in names.iter().zip(at.get(field).items()) {
                if HeaderName::from_bytes(name.as_bytes()).is_err() {
                    check.wrong(at, format!("`{name}` is no header name"));
                }
            }
        }
        let lists = [
            ("allowOrigins", &self.allow_origins),
            ("allowMethods", &self.allow_methods),
            ("allowHeaders", &self.allow_headers),
            ("exposeHeaders", &self.expose_headers),
        ];
        for (field, list) in lists {
            if list.len() > 1 && list.iter().any(|item| item == "*") {
                check.wrong(at.get(field), "`*` means all: give it alone, or remove it");
            }
        }
        if self.allow_credentials && self.expose_headers == ["*"] {
            let message = "browsers do not take `*` together with `allowCredentials: true`: name the headers";
            check.wrong(at.get("exposeHeaders"), message);
        }
        if self.max_age.get().subsec_millis() != 0 {
            check.wrong(at.get("maxAge"), format!("`{}` is no whole number of seconds", self.max_age));
        }
    }
}

/// Whether a browser could send this origin, or `*` in place of its leftmost labels.
fn valid_origin(origin: &str) -> Result<(), String> {
    if origin == "*" {
        return Ok(());
    }
    let wrong = |why: &str| Err(format!("`{}` is no origin: {why}", origin.escape_debug()));
    if origin == "null" {
        return wrong("sandboxed pages of every site send `null`, so it names nobody");
    }
    let Some((scheme, rest)) = origin.split_once("://") else {
        return wrong("write it like https://shop.example.com");
    };
    let scheme_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte);
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase()) || !scheme.bytes().all(scheme_byte) {
        return wrong("the scheme must be in lower case, like https");
    }
    // The colons of an IPv6 address stand in brackets.
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let name = host.strip_prefix("*.").unwrap_or(host);
    let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let host_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    let named = !name.is_empty() && !name.starts_with('.') && name.bytes().all(host_byte);
    let addressed = name == host && v6.is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok());
    if !named && !addressed {
        return wrong("after the scheme stands a host in lower case, nothing after it but a port");
    }
    match port.map(|port| (port, port.parse::<u16>())) {
        None => Ok(()),
        Some((_, Err(_) | Ok(0))) => wrong("the port must be a number from 1 to 65535"),
        Some((text, Ok(port))) if text != port.to_string() => wrong("write the port without zeros before it"),
        Some((_, Ok(port))) if matches!((scheme, port), ("http", 80) | ("https", 443)) => {
            wrong("browsers leave the usual port out: remove it")
        }
        Some(_) => Ok(()),
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "allowOrigins": ["https://shop.example.com", "https://*.example.org"], "allowMethods": ["GET", "PUT"],
    "allowHeaders": ["content-type"], "exposeHeaders": ["x-total"], "allowCredentials": true, "maxAge": "1h"
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for good in [
            "*",
            "https://a.example",
            "https://*.bar.com",
            "http://localhost:3000",
            "https://[2001:db8::1]:8443",
            "chrome-extension://abcdef",
            "http://a:443",
        ] {
            assert_eq!(valid_origin(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "null",
            "a.example",
            "https://",
            "https://*",
            "https://*.",
            "https://A.example",
            "HTTPS://a",
            "https://a/",
            "https://a:443",
            "http://a:80",
            "https://a:0",
            "https://a:70000",
            "https://a:080",
            "https://a.*.b",
            "https://*.[::1]",
            "https://u@a",
            "https://a?b",
            "https://ä.example",
            "https://a b",
            "https://a\r\nx",
        ] {
            assert!(valid_origin(bad).is_err(), "{bad:?}");
        }
    }
}
