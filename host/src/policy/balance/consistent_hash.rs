//! The same instance for the same key, as long as it is there and not too busy.
//!
//! Every instance has a score for every key, made of the key and its own id alone; the highest score wins (rendezvous
//! hashing, Thaler and Ravishankar 1996; weights after Schindler and Reddy 1998: `-ln(score) / weight`). When an
//! instance goes, only its own keys move, and they spread over all others; when one comes, it takes its share and
//! nothing else moves; the same for a changed weight. A ring of virtual nodes or a Maglev table finds its instance faster
//! among thousands, but shares less evenly, moves more, needs memory and building, and pours all keys of an instance
//! that is gone over the next one. Here a choice takes some 3 ns for each instance.
//!
//! Bounded load (Mirrokni, Thorup and Zadimoghaddam, 2016): an instance takes at most `boundedLoad` percent of its share
//! of all requests in flight, rounded up, and keys beyond that go to their next-best instance. So one hot key cannot
//! bury one instance. Two choices at the same moment do not see each other and may both take the last place.
//!
//! Hashes have fixed seeds: all gateways, also after a restart, agree. So a client that may choose its key may choose
//! its instance; the bound limits what comes of it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::candidates::Candidates;
use super::random::Draw;

/// "wharf" and a version; another value moves every key of everybody.
const SEED: u64 = 0x7768_6172_6600_0001;
const SEED_OF_IDS: u64 = SEED + 1;

/// The hash of what a request is known by.
pub fn hash_key(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, SEED)
}

/// Scores for a set of instances.
#[derive(Debug)]
pub(super) struct Rendezvous {
    entries: Box<[Entry]>,
    /// With equal weights the logarithm changes no order, and is left out.
    weights_differ: bool,
    /// In percent; 0 is none.
    bounded_load: u32,
}

#[derive(Debug)]
struct Entry {
    index: usize,
    hash: u64,
    /// 1 / weight, or 1 if all weights are the same.
    share: f64,
}

/// How good an instance is for a key.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rank {
    /// Comes first: whether its slow start leaves it the key.
    keeps: bool,
    /// The less, the better.
    cost: f64,
}

/// What all that may be used have to do and can do.
struct Room {
    in_flight: u128,
    weight: u128,
    percent: u128,
}

impl Rendezvous {
    /// Of index, id and weight over 0.
    pub(super) fn new<'a>(members: impl Iterator<Item = (usize, &'a str, u32)>, bounded_load: u32) -> Self {
        let members: Vec<_> = members.collect();
        let weights_differ = members.windows(2).any(|pair| matches!(pair, [(_, _, a), (_, _, b)] if a != b));
        let entry = |(index, id, weight): (_, &str, _)| {
            let share = if weights_differ { 1.0 / f64::from(weight) } else { 1.0 };
            Entry { index, hash: xxh3_64_with_seed(id.as_bytes(), SEED_OF_IDS), share }
        };
        Self { entries: members.into_iter().map(entry).collect(), weights_differ, bounded_load }
    }

    /// The instance of a key.
    pub(super) fn pick<H: Fn(usize) -> bool>(
        &self,
        draw: &Draw,
        candidates: &mut Candidates<'_, H>,
        key: u64,
    ) -> Option<usize> {
        let favourite = self.best(candidates, key, |_, _| true)?;
        let busy = candidates.member(favourite).map_or(0, |member| member.load.in_flight());
        // One request is always within the bound.
        if self.bounded_load == 0 || busy == 0 {
            return Some(favourite);
        }
        let room = Room::measure(draw, candidates, self.bounded_load);
        if room.takes_one_more(candidates, favourite) {
            return Some(favourite);
        }
        // Not all can be full, unless loads change while we look.
        self.best(candidates, key, |candidates, index| room.takes_one_more(candidates, index)).or(Some(favourite))
    }

    fn best<H: Fn(usize) -> bool>(
        &self,
        candidates: &mut Candidates<'_, H>,
        key: u64,
        has_room: impl Fn(&Candidates<'_, H>, usize) -> bool,
    ) -> Option<usize> {
        let mut chosen = None;
        let mut best = Rank { keeps: false, cost: f64::INFINITY };
        for entry in &self.entries {
            let score = mix(key ^ entry.hash);
            // While it starts slowly it has only some of its keys, always the same, and more and more of them.
            let keeps = candidates.keeps_draw(entry.index, || mix(score));
            let limit = if keeps == best.keeps { best.cost } else { f64::INFINITY };
            let rank = Rank { keeps, cost: self.cost(score, entry.share, limit) };
            // Whether it may be used takes longest to find out.
            if rank.is_better_than(best) && has_room(candidates, entry.index) && candidates.may_use(entry.index) {
                (chosen, best) = (Some(entry.index), rank);
            }
        }
        chosen
    }

    /// Exact, unless it is more than `limit` anyway.
    fn cost(&self, score: u64, share: f64, limit: f64) -> f64 {
        // From 0 to 1, without the ends.
        let evenly = ((score >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        // Never more than the logarithm, the same order among equal weights, and much faster.
        let least = (1.0 - evenly) * share;
        if self.weights_differ && least < limit { -evenly.ln() * share } else { least }
    }
}

impl Rank {
    fn is_better_than(self, other: Self) -> bool {
        if self.keeps == other.keeps { self.cost < other.cost } else { self.keeps }
    }
}

impl Room {
    fn measure<H: Fn(usize) -> bool>(draw: &Draw, candidates: &mut Candidates<'_, H>, percent: u32) -> Self {
        let mut room = Self { in_flight: 0, weight: 0, percent: u128::from(percent) };
        for &index in draw.members() {
            if candidates.may_use(index) {
                room.in_flight += candidates.member(index).map_or(0, |member| u128::from(member.load.in_flight()));
                room.weight += u128::from(candidates.weight(index));
            }
        }
        room
    }

    /// Whether it stays within its share of all requests and this one.
    fn takes_one_more<H: Fn(usize) -> bool>(&self, candidates: &Candidates<'_, H>, index: usize) -> bool {
        let busy = candidates.member(index).map_or(u64::MAX, |member| member.load.in_flight());
        let share = self.percent * (self.in_flight + 1) * u128::from(candidates.weight(index));
        u128::from(busy) < share.div_ceil((100 * self.weight).max(1))
    }
}

/// Every bit of the result depends on every bit (the finalizer of SplitMix64, Stafford's variant 13).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}
