//! A way in for fuzzers: any bytes as a token, to a provider whose key never changes, at a moment that never changes.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use super::jwks::KeySet;
use super::token::take_apart;
use super::{Invalid, claims};
use crate::config::{Audiences, Duration as Span, JwksSource, JwtAlgorithm, JwtProvider, SecretRef};

/// The shared secret of the provider: RFC 7515 §A.1's is as good as any, this one can be read.
pub(crate) const SECRET: &[u8] = b"a secret of thirty-two bytes, ok";
/// The moment, in seconds since 1970.
pub(crate) const NOW: u64 = 1_700_000_000;

/// Asks for issuer `idp` and audience `orders`.
pub(crate) fn provider() -> JwtProvider {
    JwtProvider {
        name: "idp".to_owned(),
        issuer: "idp".to_owned(),
        audiences: Audiences::These(vec!["orders".to_owned()]),
        algorithms: vec![JwtAlgorithm::Hs256],
        jwks: JwksSource::Secret(SecretRef::Env("UNUSED".to_owned())),
        leeway: Span::secs(60),
        require_expiration: true,
        max_age: None,
        cache_for: Span::secs(600),
        fetch_timeout: Span::secs(1),
        stale_for: Span::secs(86_400),
    }
}

/// Whether these bytes are a token of the provider, by the same steps as in production.
///
/// # Errors
/// Why not.
pub(crate) fn verify_bytes(token: &[u8]) -> Result<(), Invalid> {
    static FIXED: LazyLock<Option<(JwtProvider, KeySet)>> =
        LazyLock::new(|| Some((provider(), KeySet::from_secret(SECRET).ok()?)));
    let (provider, keys) = FIXED.as_ref().ok_or(Invalid::UnknownKey)?;
    let token = take_apart(token)?;
    if token.algorithm != jsonwebtoken::Algorithm::HS256 {
        return Err(Invalid::Algorithm);
    }
    // Claims of forged tokens are read before the signature in production too, to find the provider.
    let claims = claims::read(&token.claims)?;
    let times = claims::check(&claims, provider);
    match keys.verify(token.algorithm, token.key_id.as_deref(), token.signed, &token.signature) {
        Some(true) => times?.check(provider, SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)),
        _ => Err(Invalid::Signature),
    }
}
