//! What of a request decides about the instance that answers: the key of `consistentHash`, the cookie of a session.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::config::{HashKey, LoadBalancer, Strategy};
use crate::gateway::{cookie, filter::parameter};
use crate::policy::balance::{Token, hash_key};
use crate::server::customer;

/// The parts of a request that can be a key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'a> {
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    /// None for calls between services.
    pub(super) client: Option<IpAddr>,
}

/// Where the key of `consistentHash` stands.
#[derive(Debug)]
pub(super) enum Hashed {
    Header(HeaderName),
    Cookie(String),
    QueryParam(String),
    ClientIp,
}

/// A session that stays with an instance.
#[derive(Debug)]
pub(super) struct Sticky {
    name: String,
    /// In seconds; none ends with the browser.
    max_age: Option<u64>,
}

impl Hashed {
    pub(super) fn new(config: &LoadBalancer) -> Option<Self> {
        let Strategy::ConsistentHash(config) = &config.strategy else { return None };
        Some(match &config.key {
            // Names that are none were refused with the configuration.
            HashKey::Header(name) => Self::Header(HeaderName::from_bytes(name.as_bytes()).ok()?),
            HashKey::Cookie(name) => Self::Cookie(name.clone()),
            HashKey::QueryParam(name) => Self::QueryParam(name.clone()),
            HashKey::ClientIp => Self::ClientIp,
        })
    }

    /// The hash of a request's key, if it has one.
    pub(super) fn of(&self, keys: &Keys<'_>) -> Option<u64> {
        match self {
            Self::Header(name) => Some(hash_key(keys.headers.get(name)?.as_bytes())),
            Self::Cookie(name) => Some(hash_key(cookie::first(keys.headers, name)?)),
            Self::QueryParam(name) => Some(hash_key(parameter::all(keys.uri, name).next()?.as_bytes())),
            Self::ClientIp => Some(match customer(keys.client?) {
                IpAddr::V4(address) => hash_key(&address.octets()),
                IpAddr::V6(address) => hash_key(&address.octets()),
            }),
        }
    }
}

impl Sticky {
    pub(super) fn new(config: &LoadBalancer) -> Option<Self> {
        let config = config.sticky_session.as_ref()?;
        let ttl = config.ttl.get();
        Some(Self { name: config.cookie.clone(), max_age: (!ttl.is_zero()).then(|| ttl.as_secs().max(1)) })
    }

    /// What the client sent.
    pub(super) fn of<'a>(&self, keys: &Keys<'a>) -> Option<&'a [u8]> {
        cookie::first(keys.headers, &self.name)
    }

    /// What the client is to send from now on, unless it does already.
    pub(super) fn cookie(&self, instance: &str, keys: &Keys<'_>) -> Option<HeaderValue> {
        let token = Token::of(instance).to_string();
        if self.of(keys) == Some(token.as_bytes()) {
            return None;
        }
        let secure = if keys.uri.scheme() == Some(&http::uri::Scheme::HTTPS) { "; Secure" } else { "" };
        let age = self.max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
        let cookie = format!("{}={token}; Path=/; HttpOnly; SameSite=Lax{secure}{age}", self.name);
        HeaderValue::try_from(cookie).ok()
    }
}

#[cfg(test)]
mod tests;
