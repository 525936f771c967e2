//! Which of several versions a request gets: named by the request, else kept for its user, else by weight.
//!
//! 1. *Named*: a header, then a cookie, has the label of a choice. Being listed is enough: with weight 0 a version gets
//!    nothing but those who ask for it, which is how testers reach it first. Labels that are not listed mean nothing,
//!    and so does a header that is sent twice.
//! 2. *Sticky*: a user (an address, a header's or a cookie's value) gets the same choice again, on every gateway and
//!    after every restart, as long as the weights stay. Without such a value the request is nobody's: 3.
//! 3. *By weight*, at random.
//!
//! Sticky choices are drawn by weighted rendezvous hashing (Schindelhauer and Schomaker, "Weighted Distributed Hash
//! Tables", 2005): each choice gets the score `weight / -ln(u)`, where `u` in (0, 1) is a hash of user and label, and
//! the highest wins. So when one weight grows relative to the others, users move to that choice and nowhere else: at
//! 5 → 25 % whoever was on the new version stays on it. A point on a line of summed weights would promise that for two
//! choices only, and in one order; here order means nothing. The salt keeps the first 5 % of one service from being the
//! first 5 % of every other.
//!
//! The hash is SHA-256: it must be the same for years and on every machine, and one takes less than a microsecond.
//!
//! Nothing is remembered, so there is nothing to bound. Never decided here: whether a version is there or well.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

use super::cookie;
use crate::config::{self, StickyBy};
use crate::server::customer;

/// See the module header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Split {
    header: Option<HeaderName>,
    cookie: Option<Box<str>>,
    sticky_by: Option<Key>,
    salt: Box<str>,
}

/// What is one user.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Client,
    Header(HeaderName),
    Cookie(Box<str>),
}

/// What of a request decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// As they came; cookies are among them.
    pub(crate) headers: &'a HeaderMap,
    /// The client, behind trusted proxies; none for calls between services.
    pub(crate) client: Option<IpAddr>,
}

impl Split {
    /// `salt` is the service's name: rules that split the same service keep a user on the same version.
    pub(crate) fn new(config: &config::Split, salt: &str) -> Self {
        // Names that are none were refused with the configuration.
        let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
        Self {
            header: config.header.as_deref().and_then(header),
            cookie: config.cookie.as_deref().map(Into::into),
            sticky_by: config.sticky_by.as_ref().and_then(|by| match by {
                StickyBy::ClientIp => Some(Key::Client),
                StickyBy::Header(name) => header(name).map(Key::Header),
                StickyBy::Cookie(name) => Some(Key::Cookie(name.as_str().into())),
            }),
            salt: salt.into(),
        }
    }

    /// Which of `choices` (label and weight) a request gets; `random` is uniform over all of `u64`. `None` if none has a
    /// weight and none was named.
    pub(crate) fn choose<'c>(
        &self,
        choices: impl Iterator<Item = (&'c str, u32)> + Clone,
        facts: Facts<'_>,
        random: u64,
    ) -> Option<usize> {
        let named = self.named(choices.clone().map(|(label, _)| label), facts);
        named.or_else(|| self.sticky(choices.clone(), facts)).or_else(|| by_weight(choices.map(|(_, w)| w), random))
    }

    /// What may name a choice, the first first: `header x-version`, `cookie version`.
    pub(crate) fn named_by(&self) -> Vec<String> {
        let header = self.header.as_ref().map(|name| format!("header {name}"));
        header.into_iter().chain(self.cookie.as_ref().map(|name| format!("cookie {name}"))).collect()
    }

    /// What is one user: `clientIp`, `header x-user`, `cookie session`.
    pub(crate) fn sticky_by(&self) -> Option<String> {
        self.sticky_by.as_ref().map(|key| match key {
            Key::Client => "clientIp".to_owned(),
            Key::Header(name) => format!("header {name}"),
            Key::Cookie(name) => format!("cookie {name}"),
        })
    }

    /// The choice whose label the request names.
    pub(crate) fn named<'c>(&self, labels: impl Iterator<Item = &'c str> + Clone, facts: Facts<'_>) -> Option<usize> {
        let header = self.header.as_ref().and_then(|name| only(facts.headers, name));
        let cookie = self.cookie.as_ref().and_then(|name| cookie::first(facts.headers, name));
        let mut asked = [header, cookie].into_iter().flatten().filter(|value| !value.is_empty());
        asked.find_map(|asked| labels.clone().position(|label| label.as_bytes() == asked))
    }

    /// The choice that this user always gets.
    pub(crate) fn sticky<'c>(&self, choices: impl Iterator<Item = (&'c str, u32)>, facts: Facts<'_>) -> Option<usize> {
        let address;
        let user = match self.sticky_by.as_ref()? {
            Key::Client => {
                address = match customer(facts.client?) {
                    IpAddr::V4(address) => address.octets().to_vec(),
                    IpAddr::V6(address) => address.octets().to_vec(),
                };
                Some(address.as_slice())
            }
            Key::Header(name) => only(facts.headers, name),
            Key::Cookie(name) => cookie::first(facts.headers, name),
        };
        let user = user.filter(|user| !user.is_empty())?;
        let weighted = choices.enumerate().filter(|(_, (_, weight))| *weight > 0);
        let scored = weighted.map(|(index, (label, weight))| (index, self.score(label, weight, user)));
        scored.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(index, _)| index)
    }

    fn score(&self, label: &str, weight: u32, user: &[u8]) -> f64 {
        let hash = Sha256::new().chain_update(&*self.salt).chain_update([0]).chain_update(label);
        let hash = hash.chain_update([0]).chain_update(user).finalize();
        let number = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        // 52 bits and a half: exact, and neither 0 nor 1.
        let u = ((number >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        f64::from(weight) / -u.ln()
    }
}

/// The value of a header that is sent once. Of two, which one would the service believe?
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes()),
        _ => None,
    }
}

/// Picks by weight; `random` is uniform over all of `u64`. `None` if there is no weight.
pub(crate) fn by_weight(weights: impl Iterator<Item = u32> + Clone, random: u64) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    // The bias of a remainder is below 2^-28 for any sum of 32-bit weights of up to 16 backends.
    let mut left = random.checked_rem(total)?;
    weights.map(u64::from).position(|weight| {
        let hit = left < weight;
        left = left.saturating_sub(weight);
        hit
    })
}

#[cfg(test)]
mod tests;
