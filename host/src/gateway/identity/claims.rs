//! What a token says, and whether that holds for this provider at this moment (RFC 7519 §4.1).
//!
//! Times are wall-clock times of the issuer, so they are compared with the wall clock, which the caller passes in.
//! They must be whole seconds between 1970 and 9999: RFC 7519 allows fractions, but no issuer needs them, and floats
//! are where readers differ. [`Times`] are kept apart from the rest because a token whose signature was verified
//! before is only asked again whether it still holds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::json;
use super::token::Invalid;
use crate::config::{Audiences, JwtProvider};

/// The last second of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// When a token holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    expires: Option<u64>,
    not_before: Option<u64>,
    issued: Option<u64>,
}

/// The claims, unproven.
///
/// # Errors
/// When they are no object of unique members.
pub(super) fn read(text: &[u8]) -> Result<Map<String, Value>, Invalid> {
    json::object(text).ok_or(Invalid::Claims)
}

/// Checks everything but the times, and returns these.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn check(claims: &Map<String, Value>, provider: &JwtProvider) -> Result<Times, Invalid> {
    if claims.get("iss").and_then(Value::as_str) != Some(provider.issuer.as_str()) {
        return Err(Invalid::Issuer);
    }
    if let Audiences::These(audiences) = &provider.audiences
        && !is_for(claims.get("aud"), audiences)
    {
        return Err(Invalid::Audience);
    }
    if claims.get("sub").is_some_and(|subject| !subject.is_string()) {
        return Err(Invalid::Subject);
    }
    let times = Times { expires: time(claims, "exp")?, not_before: time(claims, "nbf")?, issued: time(claims, "iat")? };
    if provider.require_expiration && times.expires.is_none() {
        return Err(Invalid::NoExpiration);
    }
    Ok(times)
}

/// `aud` is one text or a list of texts; anything else in it makes it nobody's.
fn is_for(audience: Option<&Value>, expected: &[String]) -> bool {
    match audience {
        Some(Value::String(one)) => expected.contains(one),
        Some(Value::Array(list)) => {
            list.iter().all(Value::is_string)
                && list.iter().filter_map(Value::as_str).any(|one| expected.iter().any(|text| text == one))
        }
        _ => false,
    }
}

fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, Invalid> {
    match claims.get(name) {
        None => Ok(None),
        // Nothing for negative numbers and those written with a fraction or an exponent.
        Some(value) => match value.as_u64() {
            Some(seconds) if seconds <= LAST_SECOND => Ok(Some(seconds)),
            _ => Err(Invalid::Time),
        },
    }
}

impl Times {
    /// Whether the token holds at `now`.
    ///
    /// # Errors
    /// Says which bound is crossed.
    pub(super) fn check(&self, provider: &JwtProvider, now: SystemTime) -> Result<(), Invalid> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let leeway = provider.leeway.get();
        let at = Duration::from_secs;
        if self.expires.is_some_and(|expires| now >= at(expires).saturating_add(leeway)) {
            return Err(Invalid::Expired);
        }
        let soon = now.saturating_add(leeway);
        if self.not_before.is_some_and(|not_before| soon < at(not_before)) {
            return Err(Invalid::NotYet);
        }
        if self.issued.is_some_and(|issued| soon < at(issued)) {
            return Err(Invalid::Future);
        }
        if let Some(max_age) = provider.max_age {
            let last = self.issued.map(|issued| at(issued).saturating_add(max_age.get()).saturating_add(leeway));
            if last.is_none_or(|last| now > last) {
                return Err(Invalid::TooOld);
            }
        }
        Ok(())
    }
}
