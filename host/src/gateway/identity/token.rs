//! The outer form of a token: three parts of base64url, a header, and nothing that can be read in two ways.
//!
//! Only the compact form of a signed token (RFC 7515 §7.1) is read. Base64url is canonical: no padding, no white
//! space, and the unused bits at the end are zero, so that one token has one spelling (the cache of verified tokens
//! goes by spelling). Of the header, `alg` and `kid` choose the key and `typ` must not claim to be something else;
//! `crit` and `b64` change what is signed and are refused, because no extension is understood here. `jwk`, `jku`,
//! `x5u` and `x5c` bring the attacker's key along and are never looked at. jsonwebtoken's own reading of headers is
//! not used: it knows no `crit` and takes duplicate members.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::json;

/// Longest token, in bytes. Request headers of common servers end at 8 KiB too.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;
/// Longest `kid`, in bytes; it is compared and remembered.
const MAX_KEY_ID: usize = 256;

/// Why a token is not believed. The words go to logs, never to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    #[error("more than one token")]
    Several,
    #[error("longer than 8 KiB")]
    TooLong,
    #[error("not three parts of base64url")]
    Form,
    #[error("the header is no object of unique members")]
    Header,
    #[error("the header has an extension (`crit` or `b64`)")]
    Extension,
    #[error("`typ` says that it is something else")]
    Type,
    #[error("an algorithm that the provider does not use")]
    Algorithm,
    #[error("`kid` is no text of at most 256 bytes")]
    KeyId,
    #[error("no key of the provider fits")]
    UnknownKey,
    #[error("the signature is wrong")]
    Signature,
    #[error("the claims are no object of unique members")]
    Claims,
    #[error("`iss` is no provider that this route believes")]
    Issuer,
    #[error("`aud` is somebody else")]
    Audience,
    #[error("`sub` is no text")]
    Subject,
    #[error("`exp`, `nbf` or `iat` is no whole number of seconds")]
    Time,
    #[error("`exp` is missing")]
    NoExpiration,
    #[error("expired")]
    Expired,
    #[error("not valid yet (`nbf`)")]
    NotYet,
    #[error("issued in the future (`iat`)")]
    Future,
    #[error("`iat` is missing or too long ago")]
    TooOld,
}

/// A token whose form is right; nothing in it is proven.
pub(super) struct Unproven<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// What was signed: header, dot, claims, as they came.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
    /// The claims' JSON.
    pub(super) claims: Vec<u8>,
}

/// Takes a token apart.
///
/// # Errors
/// When its form or header is not as described above.
pub(super) fn take_apart(token: &[u8]) -> Result<Unproven<'_>, Invalid> {
    if token.len() > MAX_TOKEN {
        return Err(Invalid::TooLong);
    }
    let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
    let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
        return Err(Invalid::Form);
    };
    let (Some(signed), Some(header)) = (token.get(..second), token.get(..first)) else { return Err(Invalid::Form) };
    let (Some(claims), Some(signature)) = (token.get(first + 1..second), token.get(second + 1..)) else {
        return Err(Invalid::Form);
    };
    // An empty signature is what `none` has.
    if header.is_empty() || claims.is_empty() || signature.is_empty() {
        return Err(Invalid::Form);
    }
    let (algorithm, key_id) = read_header(&decode(header)?)?;
    Ok(Unproven { algorithm, key_id, signed, signature: decode(signature)?, claims: decode(claims)? })
}

/// Canonical base64url; the engine refuses padding, other letters and bits that do not count.
fn decode(text: &[u8]) -> Result<Vec<u8>, Invalid> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Invalid::Form)
}

fn read_header(text: &[u8]) -> Result<(Algorithm, Option<String>), Invalid> {
    let header = json::object(text).ok_or(Invalid::Header)?;
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(Invalid::Extension);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(kind)) if is_token_type(kind) => {}
        Some(_) => return Err(Invalid::Type),
    }
    // `none` and everything unknown to jsonwebtoken ends here.
    let algorithm = header.get("alg").and_then(Value::as_str).and_then(|name| name.parse().ok());
    let algorithm = algorithm.ok_or(Invalid::Algorithm)?;
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) if !id.is_empty() && id.len() <= MAX_KEY_ID => Some(id.clone()),
        Some(_) => return Err(Invalid::KeyId),
    };
    Ok((algorithm, key_id))
}

/// `JWT` (RFC 7519 §5.1) or an access token (RFC 9068 §2.1); media types have no case, and `application/` may be
/// left out (RFC 7515 §4.1.9).
fn is_token_type(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    matches!(kind, "jwt" | "at+jwt")
}
