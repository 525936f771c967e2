//! Sending clients elsewhere, with the Gateway API's rules for what is left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::schema::text;
use super::rewrite::{paths, valid_host};

/// Answers with a redirect. What is not given stays as the client asked; the query always stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Redirect {
    /// The new scheme.
    pub scheme: Option<Scheme>,
    /// The new host, without a port.
    pub host: Option<String>,
    /// The new port. Without it: the usual one of `scheme` if that is given, else the listener's.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// What replaces the matched prefix. The rule must match by prefix.
    #[schemars(with = "Option<text::Path>")]
    pub prefix: Option<String>,
    /// What replaces the whole path. Not together with `prefix`.
    #[schemars(with = "Option<text::Path>")]
    pub path: Option<String>,
    /// 301, 302, 303, 307 or 308.
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub status: u16,
}

/// Scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scheme {
    /// Without TLS, port 80.
    Http,
    /// With TLS, port 443.
    Https,
}

impl Scheme {
    /// As it stands before `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that URLs of this scheme leave out.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Default for Redirect {
    fn default() -> Self {
        Self { scheme: None, host: None, port: None, prefix: None, path: None, status: 302 }
    }
}

impl Redirect {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self { scheme, host, port, prefix, path, status } = self;
        paths(prefix.as_deref(), path.as_deref(), check, at);
        if let Some(Err(message)) = host.as_deref().map(valid_host) {
            check.wrong(at.get("host"), message);
        }
        if *port == Some(0) {
            check.wrong(at.get("port"), "`0` is out of bounds: 1 to 65535");
        }
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            check.wrong(at.get("status"), format!("`{status}` is no redirect: use 301, 302, 303, 307 or 308"));
        }
        let same = scheme.is_none() && host.is_none() && port.is_none() && prefix.is_none() && path.is_none();
        if same && !at.has_refused() {
            check.wrong(at, "would redirect to itself: give `scheme`, `host`, `port`, `prefix` or `path`");
        }
    }
}

/// Every field that can stand beside the others, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str =
    r#"{ "scheme": "https", "host": "shop.example.com", "port": 8443, "prefix": "/new", "status": 308 }"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_status_is_302() {
        let redirect: Redirect = serde_json::from_str(r#"{ "scheme": "https", "port": 8443 }"#).unwrap();
        assert_eq!((redirect.status, redirect.scheme, redirect.port), (302, Some(Scheme::Https), Some(8443)));
    }
}
