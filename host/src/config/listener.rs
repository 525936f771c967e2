//! Public listeners: where clients connect, with or without TLS.
//!
//! Decided here: what can be said, and what of it makes sense together. Never decided here: whether a certificate
//! exists and is good. Its files change while the configuration stays (renewals), and a configuration can be checked
//! on a machine that may not see private keys; the server reads them when it starts and whenever they change.
//!
//! `listen` is the short form of one plain listener. Several listeners may share an address when all of them have TLS
//! and differ in `hostname`: the name that the client asks for (SNI) then chooses, as in the Gateway API.

mod check;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::model::Gateway;
use super::schema::text;
use super::units::{self, Duration};

pub(super) use check::check_all;

/// Name of the listener that `listen` stands for.
const DEFAULT_NAME: &str = "default";
/// What the preload lists of browsers ask for at least.
const PRELOAD_MAX_AGE: Duration = Duration::secs(365 * 24 * 3600);

/// A public listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Listener {
    /// Unique; how logs name it. Lowercase letters, digits and `-`.
    #[schemars(with = "text::ServiceName")]
    pub name: String,
    /// IP address and port. Several listeners may share it if all have TLS and each another `hostname`.
    #[serde(deserialize_with = "units::address")]
    pub address: SocketAddr,
    /// The hosts it answers for, exact or `*.suffix`; all if not given.
    #[serde(default)]
    #[schemars(with = "Option<text::Hostname>")]
    pub hostname: Option<String>,
    /// TLS; without it connections are plain.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Whether every request is sent on (308) to the same address with `https`: `true`, or the port if it is not 443.
    #[serde(default)]
    pub redirect_to_https: RedirectToHttps,
}

/// How connections of a listener are encrypted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tls {
    /// At least one. Chosen by the name the client asks for, among the names in the certificates; the first is used
    /// when none fits.
    #[schemars(length(min = 1))]
    pub certificates: Vec<CertificateFiles>,
    /// Oldest version of TLS that is spoken.
    #[serde(default)]
    pub min_version: TlsVersion,
    /// Certificates of clients (mTLS).
    #[serde(default)]
    pub client_auth: Option<ClientAuth>,
    /// `Strict-Transport-Security` on every response; not sent if not given.
    #[serde(default)]
    pub hsts: Option<Hsts>,
}

/// A certificate and its key, both as PEM. Read again when they change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CertificateFiles {
    /// File of the certificate, followed by those of its issuers.
    pub cert: PathBuf,
    /// File of its private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    #[serde(rename = "1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[serde(rename = "1.3")]
    V1_3,
}

/// Which certificates of clients are asked for and believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientAuth {
    /// File (PEM) of the authorities whose certificates are believed. Read again when it changes.
    pub ca: PathBuf,
    /// Whether a client must have a certificate.
    #[serde(default)]
    pub mode: ClientAuthMode,
}

/// Whether a client must have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ClientAuthMode {
    /// It must; without one there is no connection.
    #[default]
    Require,
    /// It may; one that is not believed ends the connection all the same.
    Request,
}

/// `Strict-Transport-Security` (RFC 6797): browsers come back only with TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Hsts {
    /// How long browsers remember it; `0s` makes them forget it.
    pub max_age: Duration,
    /// Whether it holds for all names below this one, too.
    pub include_sub_domains: bool,
    /// Consent to being built into browsers. Needs `includeSubDomains` and a `maxAge` of a year (`8760h`).
    pub preload: bool,
}

impl Default for Hsts {
    fn default() -> Self {
        Self { max_age: PRELOAD_MAX_AGE, include_sub_domains: false, preload: false }
    }
}

/// Where requests without TLS are sent on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(from = "RedirectText", into = "RedirectText")]
#[schemars(with = "RedirectText")]
pub enum RedirectToHttps {
    /// Nowhere.
    #[default]
    No,
    /// To `https` at this port.
    Port(u16),
}

/// How [`RedirectToHttps`] is written: `true`, `false` or a port.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false or a port such as 8443")]
pub enum RedirectText {
    /// `true` is port 443.
    Flag(bool),
    /// The port of `https`.
    Port(#[schemars(range(min = 1))] u16),
}

impl From<RedirectText> for RedirectToHttps {
    fn from(text: RedirectText) -> Self {
        match text {
            RedirectText::Flag(true) => Self::Port(443),
            RedirectText::Flag(false) => Self::No,
            RedirectText::Port(port) => Self::Port(port),
        }
    }
}

impl From<RedirectToHttps> for RedirectText {
    fn from(redirect: RedirectToHttps) -> Self {
        match redirect {
            RedirectToHttps::No => Self::Flag(false),
            RedirectToHttps::Port(443) => Self::Flag(true),
            RedirectToHttps::Port(port) => Self::Port(port),
        }
    }
}

impl JsonSchema for TlsVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TlsVersion".into()
    }

    /// Also as a number, because nobody quotes it.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": ["1.2", "1.3", 1.2, 1.3] })
    }
}

impl Gateway {
    /// The public listeners: those of `listeners`, or the one that `listen` stands for.
    pub fn public_listeners(&self) -> Cow<'_, [Listener]> {
        if !self.listeners.is_empty() {
            return Cow::Borrowed(&self.listeners);
        }
        Cow::Owned(vec![Listener {
            name: DEFAULT_NAME.to_owned(),
            address: self.listen,
            hostname: None,
            tls: None,
            redirect_to_https: RedirectToHttps::No,
        }])
    }
}

/// How well a listener's `hostname` fits `host` (lowercase, no port): higher is more specific, nothing is no fit. An
/// exact name wins over wildcards, a longer wildcard over a shorter one, any over none, as in the Gateway API;
/// `*.example.com` fits any number of labels, and not `example.com`.
pub fn hostname_fits(hostname: Option<&str>, host: &str) -> Option<usize> {
    let Some(hostname) = hostname else { return Some(0) };
    match hostname.strip_prefix('*') {
        Some(suffix) => (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len()),
        None => (hostname == host).then_some(usize::MAX),
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"{
    "name": "public",
    "address": "127.0.0.1:8443",
    "hostname": "*.example.com",
    "tls": {
        "certificates": [{ "cert": "tls/cert.pem", "key": "tls/key.pem" }],
        "minVersion": "1.3",
        "clientAuth": { "ca": "tls/ca.pem", "mode": "request" },
        "hsts": { "maxAge": "8760h", "includeSubDomains": true, "preload": false }
    },
    "redirectToHttps": false
}"#;
