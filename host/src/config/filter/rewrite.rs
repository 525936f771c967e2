//! Changing what the service sees of the address.
//!
//! Works on the path and the host only; the query always stays. That `prefix` needs a match by prefix is checked where
//! filters are seen beside their rule.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::notation::valid_path;
use super::super::schema::text;

/// Changes the path or the host that the service sees. At least one of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Rewrite {
    /// What replaces the matched prefix. The rule must match by prefix.
    #[schemars(with = "Option<text::Path>")]
    pub prefix: Option<String>,
    /// What replaces the whole path. Not together with `prefix`.
    #[schemars(with = "Option<text::Path>")]
    pub path: Option<String>,
    /// The host that the service sees, maybe with a port.
    pub host: Option<String>,
}

impl Rewrite {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        paths(self.prefix.as_deref(), self.path.as_deref(), check, at);
        if let Some(Err(message)) = self.host.as_deref().map(valid_host_and_port) {
            check.wrong(at.get("host"), message);
        }
        if self.prefix.is_none() && self.path.is_none() && self.host.is_none() && !at.has_refused() {
            check.wrong(at, "changes nothing: give `prefix`, `path` or `host`");
        }
    }
}

/// The two ways to say a new path, of which one may be used.
pub(super) fn paths(prefix: Option<&str>, path: Option<&str>, check: &mut Check<'_>, at: At<'_>) {
    for (field, text) in [("prefix", prefix), ("path", path)] {
        if let Some(Err(message)) = text.map(valid_path) {
            check.wrong(at.get(field), message);
        }
    }
    if prefix.is_some() && path.is_some() {
        check.wrong(at.key("path"), "`prefix` and `path` both say the new path: give one");
    }
}

/// Whether this is a DNS name or an IP address as URLs have it, without a port.
pub(super) fn valid_host(host: &str) -> Result<(), String> {
    let label = |label: &str| {
        let bytes = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(bytes) && !label.starts_with('-') && !label.ends_with('-')
    };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if v6.is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()) {
        return Ok(());
    }
    if host.len() <= 253 && host.split('.').all(label) {
        return Ok(());
    }
    Err(format!("`{}` is no host: write it in lower case, like shop.example.com", host.escape_debug()))
}

fn valid_host_and_port(text: &str) -> Result<(), String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            valid_host(host)?;
            match port.parse::<u16>() {
                Ok(1..) => Ok(()),
                _ => Err(format!("`{}` has no port from 1 to 65535 after its `:`", text.escape_debug())),
            }
        }
        _ => valid_host(text),
    }
}

/// Every field that can stand beside the others, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{ "prefix": "/", "host": "orders.internal:8080" }"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_the_form_they_have_in_urls() {
        for good in ["a", "shop.example.com", "10.0.0.1", "[::1]", "a:1", "[::1]:8080", "my_host"] {
            assert_eq!(valid_host_and_port(good), Ok(()), "{good}");
        }
        for bad in
            ["", "A", "a.", ".a", "-a", "a:", "a:0", "a:65536", "::1", "a/b", "u@a", "a b", "a\r\n", "*.a", "[a]"]
        {
            assert!(valid_host_and_port(bad).is_err(), "{bad:?}");
        }
    }
}
