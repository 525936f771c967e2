//! Who vouches for clients: issuers of JSON Web Tokens, and where their keys are.
//!
//! A provider stands here once and filters name it, so that its keys are fetched once however many routes ask for
//! them. What has a dangerous default elsewhere must be written: the issuer, the audiences (or `any`), and the
//! algorithms, all of one key family, because a provider that takes both a public key and a shared secret can be
//! shown its own public key as the secret (RFC 8725 §2.1).
//!
//! A shared secret is never written down here: the configuration says in which file or environment variable it is,
//! and `identity` reads it. So no print of the configuration can show one.

mod audiences;

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use http::Uri;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use audiences::Audiences;

use super::check::{At, Check};
use super::secret::SecretRef;
use super::units::Duration;

/// More would let tokens live on long after they end; clocks of servers are nearer than this.
const LEEWAY: RangeInclusive<Duration> = Duration::ZERO..=Duration::secs(600);
const CACHE_FOR: RangeInclusive<Duration> = Duration::secs(1)..=Duration::secs(86_400);
const FETCH_TIMEOUT: RangeInclusive<Duration> = Duration::millis(10)..=Duration::secs(30);
/// A week of a silent provider is a provider that is gone.
const STALE_FOR: RangeInclusive<Duration> = Duration::ZERO..=Duration::secs(7 * 86_400);

/// Who vouches for clients.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Auth {
    /// Issuers of JSON Web Tokens; `jwt` filters name them.
    pub providers: Vec<JwtProvider>,
}

/// An issuer of JSON Web Tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct JwtProvider {
    /// Unique; how filters and logs name it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What `iss` must be, letter by letter.
    #[schemars(length(min = 1))]
    pub issuer: String,
    /// One of these must be in `aud`; `any` takes tokens that were issued for others too.
    pub audiences: Audiences,
    /// How tokens may be signed; all of one key family (HS, RS and PS, ES, or EdDSA).
    #[schemars(length(min = 1))]
    pub algorithms: Vec<JwtAlgorithm>,
    /// Where the keys are.
    pub jwks: JwksSource,
    /// How far clocks may be apart: for `exp`, `nbf`, `iat` and `maxAge`. At most 10m.
    #[serde(default = "leeway")]
    pub leeway: Duration,
    /// Whether a token must say when it ends (`exp`).
    #[serde(default = "require_expiration")]
    pub require_expiration: bool,
    /// Longest time since a token was issued; the token must then have `iat`. No limit if not given.
    #[serde(default)]
    pub max_age: Option<Duration>,
    /// How long keys from a URL are used before they are fetched again. 1s to 24h.
    #[serde(default = "cache_for")]
    pub cache_for: Duration,
    /// Longest time one fetch of the keys may take. 10ms to 30s.
    #[serde(default = "fetch_timeout")]
    pub fetch_timeout: Duration,
    /// How long keys from a URL are still used after `cacheFor` while they cannot be fetched. At most 168h.
    #[serde(default = "stale_for")]
    pub stale_for: Duration,
}

/// How a token is signed (RFC 7518 §3.1, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// RSA (PKCS #1 v1.5) with SHA-384.
    Rs384,
    /// RSA (PKCS #1 v1.5) with SHA-512.
    Rs512,
    /// RSA-PSS with SHA-256.
    Ps256,
    /// RSA-PSS with SHA-384.
    Ps384,
    /// RSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Where a provider's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum JwksSource {
    /// A JWK set in a file; read again when it changes.
    File(PathBuf),
    /// A JWK set at an address: https, or http on this machine.
    Url(
        #[schemars(regex(pattern = "^https?://[^/?#@]"))]
        String,
    ),
    /// A shared secret, for HS256, HS384 and HS512.
    Secret(SecretRef),
}

fn leeway() -> Duration {
    Duration::secs(60)
}

fn require_expiration() -> bool {
    true
}

fn cache_for() -> Duration {
    Duration::secs(600)
}

fn fetch_timeout() -> Duration {
    Duration::secs(1)
}

fn stale_for() -> Duration {
    Duration::secs(86_400)
}

impl JwtAlgorithm {
    /// The kind of key it works with.
    pub fn family(self) -> &'static str {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => "HMAC",
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => "RSA",
            Self::Es256 | Self::Es384 => "EC",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl Auth {
    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let mut names = HashSet::new();
        for (provider, at) in self.providers.iter().zip(at.get("providers").items()) {
            if !names.insert(provider.name.as_str()) {
                check.wrong(at.get("name"), format!("a second provider `{}`: names are unique", provider.name));
            }
            provider.check(check, at);
        }
    }
}

impl JwtProvider {
    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self { name, issuer, audiences, algorithms, jwks, leeway, max_age, .. } = self;
        for (key, text) in [("name", name), ("issuer", issuer)] {
            if text.is_empty() || text.contains(char::is_control) {
                check.wrong(at.get(key), format!("`{}` is no {key}: write some letters", text.escape_debug()));
            }
        }
        if let Audiences::These(audiences) = audiences {
            let at = at.get("audiences");
            if audiences.is_empty() && !at.has_refused() {
                check.wrong(at, "no audience: say whom tokens are for, or `any`");
            }
            for (_, at) in audiences.iter().zip(at.items()).filter(|(audience, _)| audience.is_empty()) {
                check.wrong(at, "an empty audience: write the text that must be in `aud`");
            }
        }
        Self::check_algorithms(algorithms, jwks, check, at);
        match jwks {
            JwksSource::Url(url) => {
                if let Err(message) = valid_jwks_url(url) {
                    check.wrong(at.get("jwks").get("url"), message);
                }
            }
            JwksSource::File(path) if path.as_os_str().is_empty() => {
                check.wrong(at.get("jwks").get("file"), "an empty path: name a file");
            }
            JwksSource::Secret(secret) => secret.check(check, at.get("jwks").get("secret")),
            JwksSource::File(_) => {}
        }
        check.within(at.get("leeway"), leeway, &LEEWAY);
        if let Some(max_age) = max_age {
            check.at_least(at.get("maxAge"), max_age, &Duration::secs(1));
        }
        check.within(at.get("cacheFor"), &self.cache_for, &CACHE_FOR);
        check.within(at.get("fetchTimeout"), &self.fetch_timeout, &FETCH_TIMEOUT);
        check.within(at.get("staleFor"), &self.stale_for, &STALE_FOR);
    }

    fn check_algorithms(algorithms: &[JwtAlgorithm], jwks: &JwksSource, check: &mut Check<'_>, at: At<'_>) {
        let list = at.get("algorithms");
        let Some(first) = algorithms.first() else {
            if !list.has_refused() {
                check.wrong(list, "no algorithm: say how tokens are signed, like [ES256]");
            }
            return;
        };
        let mut seen = HashSet::new();
        for (algorithm, at) in algorithms.iter().zip(list.items()) {
            if algorithm.family() != first.family() {
                let (one, other) = (first.family(), algorithm.family());
                let message = format!("{other} beside {one}: one provider has keys of one family, so make two");
                check.wrong(at, message);
            } else if !seen.insert(algorithm) {
                check.wrong(at, "an algorithm twice: give it once");
            }
        }
        match (first.family(), jwks) {
            ("HMAC", JwksSource::File(_) | JwksSource::Url(_)) => {
                check.wrong(at.get("jwks"), "HS algorithms need a shared secret: write `secret: { file: … }`");
            }
            ("HMAC", JwksSource::Secret(_)) => {}
            (family, JwksSource::Secret(_)) => {
                let message = format!("{family} algorithms need public keys: write `file: …` or `url: …`");
                check.wrong(at.get("jwks").key("secret"), message);
            }
            _ => {}
        }
    }
}

/// Whether keys may be fetched there: nobody on the way may change them.
fn valid_jwks_url(url: &str) -> Result<(), String> {
    let shown = url.escape_debug();
    let uri: Uri =
        url.parse().map_err(|_| format!("`{shown}` is no address: write it like https://idp.example/jwks"))?;
    let Some(authority) = uri.authority() else {
        return Err(format!("`{shown}` is no whole address: write it like https://idp.example/jwks"));
    };
    if authority.as_str().contains('@') || url.contains('#') {
        // Not shown: it may hold a password.
        return Err("neither credentials nor a fragment can stand in the address of keys".to_owned());
    }
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let here = host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.to_canonical().is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if here => Ok(()),
        _ => Err(format!("`{shown}` is not safe: keys come by https, or by http from this machine only")),
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"{
    "providers": [
        {
            "name": "idp", "issuer": "https://idp.example", "audiences": ["orders"], "algorithms": ["ES256", "ES384"],
            "jwks": { "url": "https://idp.example/jwks" }, "leeway": "5s", "requireExpiration": false,
            "maxAge": "1h", "cacheFor": "1m", "fetchTimeout": "2s", "staleFor": "1h"
        },
        {
            "name": "file", "issuer": "a", "audiences": "any", "algorithms": ["EdDSA"], "jwks": { "file": "keys.json" }
        },
        {
            "name": "shared", "issuer": "b", "audiences": ["c"], "algorithms": ["HS256"],
            "jwks": { "secret": { "file": "secret" } }
        },
        {
            "name": "environment", "issuer": "b", "audiences": ["c"], "algorithms": ["HS512"],
            "jwks": { "secret": { "env": "JWT_SECRET" } }
        }
    ]
}"#;
