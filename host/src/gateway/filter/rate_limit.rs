//! `rateLimit`: whose request it is, whether it may pass, and what the client is told.
//!
//! Addresses are IPv4 whole and IPv6 by their /64, because that is what one customer has. A request without the key is
//! counted by its address unless it is configured otherwise, and apart from keys that look like one. Header fields are
//! those of draft-ietf-httpapi-ratelimit-headers-11 (structured fields, RFC 9651), or the trio that older clients know.
//! Times are whole seconds, rounded up: who comes then is not refused again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::Asking;
use crate::config::{self, LimitHeaders, LimitKey, LimitMode, MissingKey};
use crate::gateway::cookie;
use crate::gateway::identity::Identity;
use crate::policy::{Decision, Limiter, Limiters, Quota};
use crate::server::customer;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// Of requests that would have been refused, one in so many is logged, and the first.
const LOG_EVERY: u64 = 1000;

/// `rateLimit`, ready to count.
#[derive(Debug)]
pub(super) struct RateLimit {
    limiter: Arc<Limiter>,
    quota: Quota,
    key: Key,
    missing: MissingKey,
    observes: bool,
    headers: LimitHeaders,
    id: Box<str>,
    name: Arc<str>,
    requests: u32,
    policy: HeaderValue,
    would_refuse: AtomicU64,
}

#[derive(Debug)]
enum Key {
    Ip,
    Service,
    Subject,
    Header(HeaderName),
    Cookie(Box<str>),
    Claim(Box<str>),
}

/// What became of a request at one limit.
#[derive(Debug)]
pub(super) struct Limited {
    decision: Decision,
    refuses: bool,
    headers: LimitHeaders,
    name: Arc<str>,
    requests: u32,
    policy: HeaderValue,
}

impl RateLimit {
    /// `place` and `ordinal` (which of the rate limits there) name what outlasts a change of the configuration, unless
    /// the limit has a name.
    pub(super) fn new(config: &config::RateLimit, place: &str, ordinal: usize, limiters: &Limiters) -> Self {
        let id = match &config.name {
            Some(name) => format!("{place} {name}"),
            // No name has brackets.
            None => format!("{place} ({ordinal})"),
        };
        let burst = config.burst.unwrap_or(config.requests);
        let max_keys = usize::try_from(config.max_keys).unwrap_or(usize::MAX);
        let quota = Quota { requests: config.requests, per: config.per.get(), burst, max_keys };
        let name = config.name.as_deref().unwrap_or("default");
        let policy = format!("\"{name}\";q={};w={}", config.requests, seconds(config.per.get()));
        Self {
            limiter: limiters.get(&id, quota, Instant::now()),
            quota,
            key: match &config.key {
                LimitKey::ClientIp => Key::Ip,
                LimitKey::Service => Key::Service,
                LimitKey::Subject => Key::Subject,
                // A name that is none was refused with the configuration.
                LimitKey::Header(name) => HeaderName::from_bytes(name.as_bytes()).map_or(Key::Ip, Key::Header),
                LimitKey::Cookie(name) => Key::Cookie(name.as_str().into()),
                LimitKey::Claim(path) => Key::Claim(path.as_str().into()),
            },
            missing: config.on_missing_key,
            observes: config.mode == LimitMode::Observe,
            headers: config.headers,
            id: id.into(),
            name: name.into(),
            requests: config.requests,
            // Names are tokens, the rest digits.
            policy: HeaderValue::from_str(&policy).unwrap_or(const { HeaderValue::from_static("") }),
            would_refuse: AtomicU64::new(0),
        }
    }

    /// Whether it can only count when it is known who the client is.
    pub(super) fn needs_identity(&self) -> bool {
        matches!(self.key, Key::Subject | Key::Claim(_))
    }

    /// Counts the request. `None`: it is not one that is limited.
    pub(super) fn check(
        &self,
        asking: Asking<'_>,
        headers: &HeaderMap,
        identity: Option<&Identity>,
        now: Instant,
    ) -> Option<Limited> {
        let keyed = self.keyed(asking, headers, identity, now);
        let decision = match (keyed, self.missing) {
            (Some(decision), _) => decision,
            (None, MissingKey::Allow) => return None,
            // Under a tag of its own: a header with an address in it is no address.
            (None, MissingKey::ClientIp) => self.limiter.check((0u8, customer(asking.client)), self.quota, now),
        };
        if !decision.admitted && self.observes {
            let count = self.would_refuse.fetch_add(1, Ordering::Relaxed);
            if count.is_multiple_of(LOG_EVERY) {
                let (limit, client) = (&*self.id, asking.client);
                tracing::info!(limit, %client, count = count + 1, "a request would have been refused by a rate limit");
            }
        }
        Some(Limited {
            decision,
            refuses: !decision.admitted && !self.observes,
            headers: self.headers,
            name: Arc::clone(&self.name),
            requests: self.requests,
            policy: self.policy.clone(),
        })
    }

    fn keyed(
        &self,
        asking: Asking<'_>,
        headers: &HeaderMap,
        identity: Option<&Identity>,
        now: Instant,
    ) -> Option<Decision> {
        let check = |key: &[u8]| self.limiter.check((1u8, key), self.quota, now);
        match &self.key {
            Key::Ip => None,
            Key::Service => Some(check(asking.service.as_bytes())),
            Key::Subject => {
                let identity = identity?;
                Some(self.limiter.check((2u8, &*identity.provider, &*identity.subject), self.quota, now))
            }
            Key::Header(name) => headers.get(name).map(|value| check(value.as_bytes())),
            Key::Cookie(name) => cookie::first(headers, name).map(check),
            Key::Claim(path) => identity.and_then(|identity| identity.claim(path)).map(|claim| match claim {
                Value::String(text) => check(text.as_bytes()),
                other => check(other.to_string().as_bytes()),
            }),
        }
    }
}

impl Limited {
    /// Seconds after which a refused request may come again.
    pub(super) fn refused(&self) -> Option<u64> {
        self.refuses.then(|| seconds(self.decision.retry_after).max(1))
    }

    /// Tells the client what is left. Several limits are several members of one list.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        let Decision { remaining, reset_after, .. } = self.decision;
        let reset = seconds(reset_after);
        match self.headers {
            LimitHeaders::None => {}
            LimitHeaders::Draft11 => {
                headers.append(RATELIMIT_POLICY, self.policy.clone());
                let left = format!("\"{}\";r={remaining};t={reset}", self.name);
                if let Ok(left) = HeaderValue::from_str(&left) {
                    headers.append(RATELIMIT, left);
                }
            }
            LimitHeaders::XRateLimit => {
                // One value each: of several limits the one with the least left.
                let told = headers.get(X_RATELIMIT_REMAINING).and_then(|value| value.to_str().ok()?.parse().ok());
                if told.is_some_and(|told: u32| told <= remaining) {
                    return;
                }
                headers.insert(X_RATELIMIT_LIMIT, self.requests.into());
                headers.insert(X_RATELIMIT_REMAINING, remaining.into());
                headers.insert(X_RATELIMIT_RESET, reset.into());
            }
        }
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
