//! Who of a service's instances gets a request.
//!
//! Decided here: the words. How an instance is chosen is the policy's (`policy/balance`), what of a request is the key
//! or the cookie, the gateway's. Weights and tags stand beside the instances.

use std::ops::RangeInclusive;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::schema::text;
use super::units::Duration;

/// A percentage.
const PERCENT: RangeInclusive<u32> = 0..=100;
/// Less than 100 % of the average cannot hold for everybody; 100 times the average is no bound any more.
const BOUNDED_LOAD: RangeInclusive<u32> = 100..=10_000;
/// An instance that takes longer to warm up has another problem.
const SLOW_START: RangeInclusive<Duration> = Duration::ZERO..=Duration::secs(3600);
/// That of instances.
const WEIGHT: RangeInclusive<u32> = 0..=1_000_000;
const SECOND: Duration = Duration::secs(1);

/// How requests are spread over the instances of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LoadBalancer {
    /// `leastRequest`, `roundRobin`, `random`, `peakEwma` or `{ consistentHash: … }`. With all of them an instance
    /// gets requests in proportion to its `weight`; one of weight 0 gets none.
    pub strategy: Strategy,
    /// Keeps a client at the instance that answered it first, by a cookie. Not done if not given.
    pub sticky_session: Option<StickySession>,
    /// Time in which a new or recovered instance goes from 10 % of its weight to all of it; `0s` is at once, at most 1h.
    pub slow_start: Duration,
    /// When fewer than this percentage of the instances are healthy, all are used: a few would only break down, too.
    /// `0` never uses one that is not healthy.
    #[schemars(range(max = 100))]
    pub panic_threshold: u32,
    /// Instances that have all these tags come first; others get requests only when none of those can be used.
    #[schemars(with = "Vec<text::Name>")]
    pub prefer_tags: Vec<String>,
    /// Weight of a component in this process beside the `weight` of instances elsewhere. 0 to 1000000; 0 gets none.
    #[schemars(range(max = 1_000_000))]
    pub local_weight: u32,
}

/// How an instance is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Strategy {
    /// Of two chosen at random, the one that is busy with fewer requests.
    #[default]
    LeastRequest,
    /// One after another.
    RoundRobin,
    /// By chance.
    Random,
    /// Of two chosen at random, the one that promises to answer sooner, by its latency and its requests.
    PeakEwma,
    /// The same instance for the same key, as long as it is there and not too busy.
    ConsistentHash(ConsistentHash),
}

/// The same instance for the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ConsistentHash {
    /// What of a request decides: `clientIp`, `{ header: … }`, `{ cookie: … }` or `{ queryParam: … }`. A request without
    /// it goes where `leastRequest` sends it.
    pub key: HashKey,
    /// An instance gets no more than this percentage of the average number of requests at once; keys beyond that go to
    /// their next instance. 100 to 10000, or `0` for no bound.
    #[serde(default = "bounded_load")]
    #[schemars(range(max = 10_000))]
    pub bounded_load: u32,
}

/// What of a request decides on its instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HashKey {
    /// The client's address.
    ClientIp,
    /// The value of a header.
    Header(#[schemars(length(min = 1))] String),
    /// The value of a cookie.
    Cookie(#[schemars(length(min = 1))] String),
    /// The value of a query parameter.
    QueryParam(#[schemars(length(min = 1))] String),
}

/// Keeps a client at its instance by a cookie, which holds a hash and no address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct StickySession {
    /// Name of the cookie.
    #[schemars(length(min = 1))]
    pub cookie: String,
    /// How long the client keeps it, at least 1s; `0s` is until the browser is closed.
    pub ttl: Duration,
}

/// As in the paper (Mirrokni et al., 2016) and in Vimeo's use of it: 1.25 times the average.
fn bounded_load() -> u32 {
    125
}

impl Default for LoadBalancer {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            sticky_session: None,
            slow_start: Duration::ZERO,
            // Envoy's.
            panic_threshold: 50,
            prefer_tags: Vec::new(),
            local_weight: 1,
        }
    }
}

impl Default for StickySession {
    fn default() -> Self {
        Self { cookie: "wharf-instance".to_owned(), ttl: Duration::ZERO }
    }
}

impl LoadBalancer {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Strategy::ConsistentHash(consistent) = &self.strategy {
            consistent.check(check, at.get("strategy").get("consistentHash"));
        }
        if let Some(StickySession { cookie, ttl }) = &self.sticky_session {
            let sticky_at = at.get("stickySession");
            check_cookie(cookie, check, sticky_at.get("cookie"));
            if *ttl != Duration::ZERO {
                check.at_least(sticky_at.get("ttl"), ttl, &SECOND);
            }
        }
        check.within(at.get("slowStart"), &self.slow_start, &SLOW_START);
        check.within(at.get("panicThreshold"), &self.panic_threshold, &PERCENT);
        check.within(at.get("localWeight"), &self.local_weight, &WEIGHT);
        for (tag, at) in self.prefer_tags.iter().zip(at.get("preferTags").items()) {
            if tag.is_empty() {
                check.wrong(at, "an empty tag: name one");
            }
        }
    }
}

impl ConsistentHash {
    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if self.bounded_load != 0 {
            check.within(at.get("boundedLoad"), &self.bounded_load, &BOUNDED_LOAD);
        }
        let key_at = at.get("key");
        match &self.key {
            HashKey::Header(name) if HeaderName::from_bytes(name.as_bytes()).is_err() => {
                check.wrong(key_at.get("header"), format!("`{}` is no header name", name.escape_debug()));
            }
            HashKey::Cookie(name) => check_cookie(name, check, key_at.get("cookie")),
            HashKey::QueryParam(name) if name.is_empty() => {
                check.wrong(key_at.get("queryParam"), "an empty parameter: name one");
            }
            HashKey::ClientIp | HashKey::Header(_) | HashKey::QueryParam(_) => {}
        }
    }
}

/// A name that a client sends back: a token (RFC 6265 §4.1.1).
fn check_cookie(name: &str, check: &mut Check<'_>, at: At<'_>) {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
        check.wrong(at, format!("`{}` is no name of a cookie", name.escape_debug()));
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "strategy": { "consistentHash": { "key": { "header": "x-user" }, "boundedLoad": 150 } },
    "stickySession": { "cookie": "at", "ttl": "1h" }, "slowStart": "30s", "panicThreshold": 20, "preferTags": ["eu"],
    "localWeight": 3
}"#;
