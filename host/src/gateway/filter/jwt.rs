//! `jwt`: takes the token out of a request, has it verified, and tells the service who came.
//!
//! There is one place for a token and one token in it; two are refused, because the service might read the other. What
//! clients send under the names of claim headers is removed in every case, also for requests without a token, and
//! `X_User` counts as `X-User` (WSGI and CGI make no difference). Whether a token is right is `identity`'s business.
//!
//! A claim becomes a header in a form that can be read in one way only: text as it is (UTF-8), numbers and truth
//! values as in JSON, a list of these with commas between. Whatever cannot be written so (an object, text with control
//! characters or space around it, a list item with a comma) is base64url of its JSON; `null` is no header.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, COOKIE, Entry};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode;
use serde_json::Value;

use super::parameter;
use crate::config;
use crate::gateway::cookie;
use crate::gateway::identity::{Identity, Invalid, Provider, Providers, Refused, verify};

/// Why a request may not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unauthorized {
    /// Its token is not believed. 401.
    #[error("the token is not believed: {0}")]
    Invalid(Invalid),
    /// The keys of this provider cannot be had, so nobody can say. 503.
    #[error("the keys of provider `{0}` cannot be had")]
    Unavailable(Arc<str>),
}

impl Unauthorized {
    /// The value of `WWW-Authenticate` (RFC 6750 §3).
    pub(crate) fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::Invalid(_) => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            Self::Unavailable(_) => None,
        }
    }
}

impl From<Invalid> for Unauthorized {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// A provider that the configuration does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no provider `{0}`: add it to `auth.providers`")]
pub(crate) struct UnknownProvider(String);

/// Where a token stands.
#[derive(Debug)]
enum Place {
    Bearer,
    Header(HeaderName),
    Query(String),
    Cookie(String),
}

/// The filter.
#[derive(Debug)]
pub(crate) struct Jwt {
    providers: Vec<Arc<Provider>>,
    place: Place,
    /// Claim, and the header that tells it.
    claims: Vec<(String, HeaderName)>,
    forward: bool,
    optional: bool,
}

impl Jwt {
    /// Needs [`Providers::apply`] of the same configuration before.
    ///
    /// # Errors
    /// When there is no such provider, which a checked configuration does not have.
    pub(crate) fn new(config: &config::Jwt, providers: &Providers) -> Result<Self, UnknownProvider> {
        let find = |name: &String| providers.get(name).ok_or_else(|| UnknownProvider(name.clone()));
        let header = |name: &str| HeaderName::from_bytes(name.as_bytes());
        let place = match &config.from {
            config::TokenPlace::Header(name) => match header(name) {
                Ok(name) if name != AUTHORIZATION => Place::Header(name),
                _ => Place::Bearer,
            },
            config::TokenPlace::Query(name) => Place::Query(name.clone()),
            config::TokenPlace::Cookie(name) => Place::Cookie(name.clone()),
        };
        let claims = config.claims_to_headers.iter();
        Ok(Self {
            providers: config.provider.0.iter().map(find).collect::<Result<_, _>>()?,
            place,
            claims: claims.filter_map(|(claim, name)| Some((claim.clone(), header(name).ok()?))).collect(),
            forward: config.forward,
            optional: config.optional,
        })
    }

    /// Whose request it is at `now` (wall-clock time); nobody's when it carries no token.
    ///
    /// # Errors
    /// When the token is not believed, or nobody can say.
    pub(crate) async fn authenticate(&self, parts: &Parts, now: SystemTime) -> Result<Option<Identity>, Unauthorized> {
        let Some(token) = self.place.find(parts)? else { return Ok(None) };
        match verify(&self.providers, &token, now).await {
            Ok(identity) => Ok(Some(identity)),
            Err(Refused::Invalid(invalid)) => Err(Unauthorized::Invalid(invalid)),
            Err(Refused::Unavailable(provider)) => Err(Unauthorized::Unavailable(provider)),
        }
    }

    /// Takes the token away, unless the service may see it. Must be done for every authenticator of a route, whichever of
    /// them succeeded, before any `tell`. What clients say in the gateway's name is taken away by `Told`.
    pub(crate) fn strip(&self, parts: &mut Parts) {
        if !self.forward {
            self.place.strip(parts);
        }
    }

    /// Tells the service what is known of the client; for an identity that this filter found.
    pub(crate) fn tell(&self, parts: &mut Parts, identity: &Identity) {
        for (claim, name) in &self.claims {
            if let Some(value) = identity.claim(claim).and_then(header_value) {
                parts.headers.insert(name, value);
            }
        }
    }

    /// Whether a request without a token may pass.
    pub(crate) fn optional(&self) -> bool {
        self.optional
    }
}

impl Place {
    /// The token, if there is one. Another scheme than `Bearer` is none: it may be for another filter.
    fn find(&self, parts: &Parts) -> Result<Option<Vec<u8>>, Unauthorized> {
        let mut tokens = match self {
            Self::Bearer => {
                let values = parts.headers.get_all(AUTHORIZATION);
                // Two of any scheme: which one the service believes is anybody's guess.
                if values.iter().count() > 1 {
                    return Err(Invalid::Several.into());
                }
                values.iter().filter_map(|value| bearer(value.as_bytes())).collect::<Vec<_>>()
            }
            Self::Header(name) => parts.headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect(),
            Self::Query(name) => {
                let values = parameter::all(&parts.uri, name);
                values.map(|value| percent_decode(value.as_bytes()).collect()).collect()
            }
            Self::Cookie(name) => cookie::all(&parts.headers, name).map(<[u8]>::to_vec).collect(),
        };
        match (tokens.pop(), tokens.pop()) {
            (None, _) => Ok(None),
            (Some(token), None) => Ok(Some(token)),
            (Some(_), Some(_)) => Err(Invalid::Several.into()),
        }
    }

    /// Takes the token away.
    fn strip(&self, parts: &mut Parts) {
        match self {
            Self::Bearer => {
                let is_bearer = |value: &HeaderValue| bearer(value.as_bytes()).is_some();
                if parts.headers.get_all(AUTHORIZATION).iter().any(is_bearer) {
                    parts.headers.remove(AUTHORIZATION);
                }
            }
            Self::Header(name) => drop(parts.headers.remove(name)),
            Self::Query(name) => parameter::remove(&mut parts.uri, name),
            Self::Cookie(name) => {
                let Entry::Occupied(entry) = parts.headers.entry(COOKIE) else { return };
                let (_, values) = entry.remove_entry_mult();
                let values: Vec<HeaderValue> = values.filter_map(|value| cookie::without(&value, name)).collect();
                for value in values {
                    parts.headers.append(COOKIE, value);
                }
            }
        }
    }
}

/// What follows the word `Bearer`, in any case (RFC 9110 §11.1). A tab counts as a space: a service might take it for
/// one, and would get a token that nobody looked at.
fn bearer(value: &[u8]) -> Option<Vec<u8>> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (scheme, rest) = value.split_at_checked("Bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"Bearer") || rest.first().is_some_and(|byte| !blank(byte)) {
        return None;
    }
    let spaces = rest.iter().take_while(|byte| blank(byte)).count();
    rest.get(spaces..).map(<[u8]>::to_vec)
}

/// A claim as the service gets it; see above.
fn header_value(claim: &Value) -> Option<HeaderValue> {
    if claim.is_null() {
        return None;
    }
    let text = match claim {
        Value::Array(items) => {
            let items: Option<Vec<Cow<'_, str>>> =
                items.iter().map(|item| plain(item).filter(|text| !text.is_empty() && !text.contains(','))).collect();
            items.filter(|items| !items.is_empty()).map(|items| Cow::Owned(items.join(",")))
        }
        one => plain(one),
    };
    let text = text.unwrap_or_else(|| Cow::Owned(URL_SAFE_NO_PAD.encode(claim.to_string())));
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

/// Text that arrives as it was sent: whoever reads a header cuts the white space around its value.
fn plain(claim: &Value) -> Option<Cow<'_, str>> {
    match claim {
        Value::String(text) if text.contains(char::is_control) || text.trim() != text => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(_) | Value::Number(_) => Some(Cow::Owned(claim.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
