//! Tokens: JWTs signed by ES256, which the gateway checks with the key set of this service.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer as _;
use serde::Serialize;
use shop::ADMIN;
use wharf_sdk::{Error, config};

use crate::keys;
use crate::users::Account;

const ISSUER: &str = "wharf-shop";
const AUDIENCE: &str = "shop";

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: &'a str,
    /// Never empty: a list of nothing has no plain form as a header.
    roles: &'static [&'static str],
    iat: i64,
    exp: i64,
}

/// How long tokens live, in seconds, as the operator says.
pub(crate) fn ttl() -> Result<i64, Error> {
    let text = config::get_or("token-ttl", "1h");
    let ttl = humantime::parse_duration(&text).map_err(|why| Error::internal(format!("config token-ttl: {why}")))?;
    if !(Duration::from_secs(60)..=Duration::from_secs(24 * 3600)).contains(&ttl) {
        return Err(Error::internal(format!("config token-ttl: {text} is not from 1m to 24h")));
    }
    Ok(i64::try_from(ttl.as_secs())?)
}

/// A token that says who this is, for `ttl` seconds from `now`.
pub(crate) fn issue(account: &Account, now: i64, ttl: i64) -> Result<String, Error> {
    let signer = keys::signer(ttl)?;
    let header = Header { alg: "ES256", typ: "JWT", kid: &signer.kid };
    let roles: &[_] = if account.is_admin { &[ADMIN, "customer"] } else { &["customer"] };
    let exp = now.saturating_add(ttl);
    let claims = Claims { iss: ISSUER, aud: AUDIENCE, sub: &account.id, roles, iat: now, exp };
    let signed = format!("{}.{}", part(&header)?, part(&claims)?);
    let signature: Signature = signer.key.try_sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
}

fn part(value: &impl Serialize) -> Result<String, Error> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(value)?))
}
