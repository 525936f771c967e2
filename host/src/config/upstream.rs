//! How another server is spoken to, and how one is named: what instances and grants of egress have in common.
//!
//! A host has one spelling here. `2130706433`, `0x7f.1` and `127.1` are addresses to many resolvers and names to
//! others, so a host that ends in a number must be an address of four decimal numbers (the rule of the URL standard,
//! without its leniency). Names are compared in lower case and without the dot at their end.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is spoken with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// HTTP/2 or HTTP/1.1, as the TLS handshake says; without TLS HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, with no question asked before; only for `http://`.
    H2c,
}

/// A host in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name: lower case, no dot at the end.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl FromStr for Host {
    type Err = String;

    /// Reads the host of an authority: a name, an IPv4 address, or an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let shown = text.escape_debug();
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
            return address
                .map(|address| Self::Address(address.into()))
                .ok_or_else(|| format!("`{shown}` is no IPv6 address: write it like [2001:db8::1]"));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(format!("`{shown}` is no host: letters, digits, `-` and dots (other letters in Punycode)"));
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || last.strip_prefix("0x").or(last.strip_prefix("0X")).is_some_and(is_hexadecimal);
        if is_number {
            let address = name.parse::<Ipv4Addr>();
            return address
                .map(|address| Self::Address(address.into()))
                .map_err(|_| format!("`{shown}` is no IPv4 address: write it as four decimal numbers"));
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

/// As it stands in an authority.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Whether an instance can have this address: `http://` or `https://`, a host, maybe a port and a path below which the
/// instance has everything.
///
/// # Errors
/// Says what is wrong with it.
pub fn valid_instance_url(text: &str, protocol: Protocol) -> Result<Uri, String> {
    let shown = text.escape_debug();
    let example = "write it like http://127.0.0.1:9001";
    let uri: Uri = text.parse().map_err(|_| format!("`{shown}` is no address: {example}"))?;
    let Some(authority) = uri.authority() else { return Err(format!("`{shown}` is no whole address: {example}")) };
    if authority.as_str().contains('@') || text.contains('#') || uri.query().is_some() {
        // Not shown: it may hold a password.
        return Err("neither credentials nor a query or fragment can stand in the address of an instance".to_owned());
    }
    authority.host().parse::<Host>()?;
    valid_port(&uri)?;
    match uri.scheme_str() {
        Some("http") => Ok(uri),
        Some("https") if protocol == Protocol::H2c => {
            Err("`h2c` is HTTP/2 without TLS: with https the handshake says what is spoken, so write `auto`".to_owned())
        }
        Some("https") => Ok(uri),
        _ => Err(format!("`{shown}` is neither http nor https: {example}")),
    }
}

/// The port that stands in an address, if it is one.
pub(super) fn valid_port(uri: &Uri) -> Result<Option<u16>, String> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = uri.host().unwrap_or_default();
    match (authority.strip_prefix(host), uri.port_u16()) {
        (Some(""), _) => Ok(None),
        (_, Some(port)) if port > 0 => Ok(Some(port)),
        _ => Err(format!("`{}` has no valid port: 1 to 65535", authority.escape_debug())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_spelling() {
        for (text, host) in [
            ("Example.COM.", "example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a_b.internal", "a_b.internal"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[::FFFF:127.0.0.1]", "[::ffff:127.0.0.1]"),
            ("0x.example", "0x.example"),
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), host);
        }
    }

    #[test]
    fn what_may_be_an_address_to_others_is_no_name() {
        for text in [
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "127.0.0.01",
            "1.2.3.4.5",
            "256.1.1.1",
            "0x",
            "a.0x7F",
            "example.1",
            "[::1",
            "[127.0.0.1]",
            "[fe80::1%25eth0]",
            "",
            ".",
            "a..b",
            "-..",
            "a b",
            "a%2eb",
            "bücher.example",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_instance_has_a_whole_address_and_nothing_secret_in_it() {
        for (text, protocol, good) in [
            ("http://127.0.0.1:9001", Protocol::Auto, true),
            ("https://a.test/base", Protocol::Http1, true),
            ("http://[::1]:9001", Protocol::H2c, true),
            ("https://a.test", Protocol::H2c, false),
            ("ftp://a.test", Protocol::Auto, false),
            ("a.test:80", Protocol::Auto, false),
            ("/path", Protocol::Auto, false),
            ("http://a.test:0", Protocol::Auto, false),
            ("http://a.test:", Protocol::Auto, false),
            ("http://a.test:99999", Protocol::Auto, false),
            ("http://user:secret@a.test", Protocol::Auto, false),
            ("http://a.test/?x=1", Protocol::Auto, false),
            ("http://a.test/#x", Protocol::Auto, false),
            ("http://127.1", Protocol::Auto, false),
        ] {
            let result = valid_instance_url(text, protocol);
            assert_eq!(result.is_ok(), good, "{text}: {result:?}");
            assert!(!format!("{result:?}").contains("secret"), "{result:?}");
        }
    }
}
