//! Load balancing: who of a service's instances gets a request.
//!
//! Decided here, for one request at a time: the instance, by the strategy (`leastRequest`, `peakEwma`, `roundRobin`,
//! `random`, `consistentHash`), the weights, the tags that are preferred, a slow start, and panic. Not decided here: which
//! instances there are, who is healthy (health checks, ejection and breakers say so), whether to try again, or what of
//! a request is its key.
//!
//! A [`Balancer`] is immutable and belongs to a snapshot: it is made anew from its predecessor when instances or
//! configuration change, and what must outlive that (requests in flight, latencies, the position in a rotation) is shared
//! with it. So a reload starts nothing over. Health is asked for when it is needed, not stored.
//!
//! ```text
//! pinned(cookie) → pick: panic? → preferred ones → all of them → strategy → Pick → load.start() … record, drop
//! ```
//!
//! A choice allocates nothing and takes no lock. Clock and random numbers are passed in.

mod candidates;
mod consistent_hash;
mod least_request;
mod load;
mod peak_ewma;
mod random;
mod round_robin;
mod slow_start;
mod sticky;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{LoadBalancer, Strategy};
use candidates::Candidates;
use consistent_hash::Rendezvous;
use random::Draw;
use round_robin::Rotation;

pub use consistent_hash::hash_key;
pub use load::{Load, Started};
pub use sticky::Token;

/// An instance as the balancer sees it.
#[derive(Debug, Clone)]
pub struct Member {
    /// The same for as long as the instance lives; decides about keys and cookies.
    pub id: Arc<str>,
    /// Its share; 0 gets nothing.
    pub weight: u32,
    /// Whether it has all tags of `preferTags`; without such tags it does not matter.
    pub preferred: bool,
    /// Carried by the caller from one balancer to the next.
    pub load: Arc<Load>,
}

/// The outcome of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Position among the members.
    pub index: usize,
    /// It is not healthy, and was chosen because too few are.
    pub panic: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Balancer {
    members: Box<[Member]>,
    all: Group,
    /// When some are preferred to others.
    preferred: Option<Group>,
    panic_threshold: usize,
    slow_start: Duration,
    /// Sorted; empty without sticky sessions.
    tokens: Box<[(Token, usize)]>,
}

/// Members among whom a strategy chooses.
struct Group {
    draw: Draw,
    method: Method,
}

#[derive(Debug)]
enum Method {
    LeastRequest,
    PeakEwma,
    Random,
    RoundRobin(Rotation),
    ConsistentHash(Rendezvous),
}

impl Balancer {
    /// Made when instances or configuration change. `old` is the one before it, whose rotation goes on. Members should
    /// come in an order that stays, which is the order of the rotation.
    pub fn new(config: &LoadBalancer, members: Vec<Member>, old: Option<&Self>) -> Self {
        let members: Box<[Member]> = members.into();
        let carried = |group: fn(&Self) -> Option<&Group>| {
            let old = old?;
            Some((group(old)?.rotation()?, &*old.members))
        };
        let all = Group::new(&config.strategy, &members, |_| true, carried(|old| Some(&old.all)));
        let active = all.draw.members().iter().filter_map(|index| members.get(*index));
        let preferred = active.clone().any(|member| member.preferred) && active.clone().any(|member| !member.preferred);
        let preferred = preferred.then(|| {
            let old = carried(|old| Some(old.preferred.as_ref().unwrap_or(&old.all)));
            Group::new(&config.strategy, &members, |member| member.preferred, old)
        });
        let mut tokens: Vec<(Token, usize)> = Vec::new();
        if config.sticky_session.is_some() {
            tokens.extend(members.iter().enumerate().map(|(index, member)| (Token::of(&member.id), index)));
            tokens.sort_unstable();
        }
        Self {
            all,
            preferred,
            panic_threshold: usize::try_from(config.panic_threshold).unwrap_or_default(),
            slow_start: config.slow_start.get(),
            tokens: tokens.into(),
            members,
        }
    }

    /// The members, in the order in which they were given.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Chooses a member for a request.
    ///
    /// `healthy` says who may be used now (not sick, not ejected, breaker not open), `tried` holds those that this request
    /// was at already, which are not chosen again. `hash` is the [`hash_key`] of what `consistentHash` goes by; without
    /// it, it chooses as `leastRequest`. Nothing, if nobody may be used.
    pub fn pick(
        &self,
        healthy: impl Fn(usize) -> bool,
        tried: &[usize],
        hash: Option<u64>,
        now: Instant,
        random: &mut impl FnMut() -> u64,
    ) -> Option<Pick> {
        if let [only] = &*self.members {
            let healthy = healthy(0);
            let usable = only.weight > 0 && !tried.contains(&0) && (healthy || self.panic_threshold > 0);
            return usable.then_some(Pick { index: 0, panic: !healthy });
        }
        let mut candidates = self.candidates(&healthy, tried, now);
        let preferred = self.preferred.as_ref().filter(|_| !candidates.panics());
        let index = preferred.and_then(|group| group.pick(&mut candidates, hash, random));
        let index = index.or_else(|| self.all.pick(&mut candidates, hash, random))?;
        Some(Pick { index, panic: candidates.panic == Some(true) && !healthy(index) })
    }

    /// The member that a cookie means, if it may be used; goes before [`Balancer::pick`], tags and slow start. If there
    /// is none, the request is for `pick`, and the client gets the cookie of whom it chooses.
    pub fn pinned(
        &self,
        cookie: &[u8],
        healthy: impl Fn(usize) -> bool,
        tried: &[usize],
        now: Instant,
    ) -> Option<Pick> {
        let token = Token::read(cookie)?;
        let place = self.tokens.binary_search_by_key(&token, |(token, _)| *token).ok()?;
        let (_, index) = self.tokens.get(place).copied()?;
        let mut candidates = self.candidates(&healthy, tried, now);
        let usable = candidates.weight(index) > 0 && candidates.may_use(index);
        usable.then(|| Pick { index, panic: candidates.panic == Some(true) && !healthy(index) })
    }

    /// Whether so few are healthy that all are used.
    pub fn panics(&self, healthy: impl Fn(usize) -> bool, now: Instant) -> bool {
        self.candidates(&healthy, &[], now).panics()
    }

    fn candidates<'a, H: Fn(usize) -> bool>(
        &'a self,
        healthy: H,
        tried: &'a [usize],
        now: Instant,
    ) -> Candidates<'a, H> {
        Candidates {
            members: &self.members,
            active: self.all.draw.members(),
            healthy,
            tried,
            panic_threshold: self.panic_threshold,
            slow_start: self.slow_start,
            now,
            panic: None,
        }
    }
}

impl Group {
    fn new(
        strategy: &Strategy,
        members: &[Member],
        belongs: impl Fn(&Member) -> bool,
        old: Option<(&Rotation, &[Member])>,
    ) -> Self {
        let chosen = || members.iter().enumerate().filter(|(_, member)| member.weight > 0 && belongs(member));
        let weighted: Vec<(usize, u32)> = chosen().map(|(index, member)| (index, member.weight)).collect();
        let method = match strategy {
            Strategy::LeastRequest => Method::LeastRequest,
            Strategy::PeakEwma => Method::PeakEwma,
            Strategy::Random => Method::Random,
            Strategy::RoundRobin => Method::RoundRobin(Rotation::new(&weighted, members, old)),
            Strategy::ConsistentHash(config) => {
                let members = chosen().map(|(index, member)| (index, &*member.id, member.weight));
                Method::ConsistentHash(Rendezvous::new(members, config.bounded_load))
            }
        };
        Self { draw: Draw::new(&weighted), method }
    }

    fn rotation(&self) -> Option<&Rotation> {
        match &self.method {
            Method::RoundRobin(rotation) => Some(rotation),
            Method::LeastRequest | Method::PeakEwma | Method::Random | Method::ConsistentHash(_) => None,
        }
    }

    fn pick<H: Fn(usize) -> bool>(
        &self,
        candidates: &mut Candidates<'_, H>,
        hash: Option<u64>,
        random: &mut impl FnMut() -> u64,
    ) -> Option<usize> {
        let draw = &self.draw;
        match (&self.method, hash) {
            (Method::Random, _) => draw.one(candidates, None, random),
            (Method::RoundRobin(rotation), _) => rotation.pick(draw, candidates, random),
            (Method::ConsistentHash(rendezvous), Some(key)) => rendezvous.pick(draw, candidates, key),
            (Method::LeastRequest, _) | (Method::ConsistentHash(_), None) => {
                least_request::of_two(draw, candidates, random, least_request::is_less_busy)
            }
            (Method::PeakEwma, _) => least_request::of_two(draw, candidates, random, peak_ewma::is_sooner),
        }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Tables are long.
        f.debug_struct("Group").field("members", &self.draw.members()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
