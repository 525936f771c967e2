//! One after another, smoothly: weights 5, 1, 1 give `a a b a c a a`, not `a a a a a b c`.
//!
//! The order is nginx's smooth weighted round robin. It repeats itself, so it is written down once, when instances or
//! weights change, and all that cores share is how far they are in it: one atomic number, where the usual form would
//! need a lock around the weights of all. An instance that may not be used is passed over in its turn, so the others keep
//! their order and their shares; when one search finds nobody in two rounds' worth of steps, chance decides.
//!
//! The order goes on where it was when instances come and go; a configuration that is loaded again does not restart it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Member;
use super::candidates::Candidates;
use super::random::Draw;

/// Longest order; finer weights are rounded, up for the smallest. More instances than that have a turn each.
const MAX_TURNS: u64 = 4096;

/// An order, and how far it is.
#[derive(Debug)]
pub(super) struct Rotation {
    turns: Box<[usize]>,
    next: Arc<AtomicUsize>,
}

impl Rotation {
    /// Of members by index, with weights over 0. Goes on where `old`, of `old_members`, is.
    pub(super) fn new(weighted: &[(usize, u32)], members: &[Member], old: Option<(&Self, &[Member])>) -> Self {
        let turns = turns(weighted);
        let next = old.map_or_else(Arc::default, |(old, old_members)| old.carry(old_members, &turns, members));
        Self { turns, next }
    }

    /// Whose turn it is of those that may be used.
    pub(super) fn pick<H: Fn(usize) -> bool>(
        &self,
        draw: &Draw,
        candidates: &mut Candidates<'_, H>,
        random: &mut impl FnMut() -> u64,
    ) -> Option<usize> {
        for _ in 0..2 * draw.members().len() {
            let turn = self.next.fetch_add(1, Ordering::Relaxed).checked_rem(self.turns.len())?;
            let index = self.turns.get(turn).copied()?;
            if candidates.keeps_draw(index, &mut *random) && candidates.may_use(index) {
                return Some(index);
            }
        }
        draw.one(candidates, None, random)
    }

    /// Where a new order begins. The same order is the same state: requests that still hold the old one take turns with
    /// those that hold the new one.
    fn carry(&self, members: &[Member], turns: &[usize], new_members: &[Member]) -> Arc<AtomicUsize> {
        fn ids<'a>(turns: &'a [usize], members: &'a [Member]) -> impl Iterator<Item = Option<&'a Arc<str>>> + Clone {
            turns.iter().map(|index| members.get(*index).map(|member| &member.id))
        }
        if ids(&self.turns, members).eq(ids(turns, new_members)) {
            return Arc::clone(&self.next);
        }
        let position = self.next.load(Ordering::Relaxed).checked_rem(self.turns.len()).unwrap_or_default();
        let coming = ids(&self.turns, members).cycle().skip(position).take(self.turns.len());
        let next = coming.flatten().find_map(|id| ids(turns, new_members).position(|new| new == Some(id)));
        Arc::new(AtomicUsize::new(next.unwrap_or_default()))
    }
}

/// Every turn each gains its weight, and whoever has most is next and pays what all gained together.
fn turns(weighted: &[(usize, u32)]) -> Box<[usize]> {
    let weights = reduced(weighted);
    if weights.iter().all(|weight| *weight == 1) {
        return weighted.iter().map(|(index, _)| *index).collect();
    }
    let total: i64 = weights.iter().sum();
    let mut saved = vec![0; weights.len()];
    let turn = |_| {
        saved.iter_mut().zip(&weights).for_each(|(saved, weight)| *saved += weight);
        // The first of equals.
        let (position, richest) = saved.iter_mut().enumerate().rev().max_by_key(|(_, saved)| **saved)?;
        *richest -= total;
        weighted.get(position).map(|(index, _)| *index)
    };
    (0..total).filter_map(turn).collect()
}

/// The smallest whole numbers in the same proportion, or nearly if there would be too many turns.
fn reduced(weighted: &[(usize, u32)]) -> Vec<i64> {
    let divisor = weighted.iter().fold(0, |divisor, (_, weight)| gcd(divisor, u64::from(*weight))).max(1);
    let total: u64 = weighted.iter().map(|(_, weight)| u64::from(*weight) / divisor).sum();
    let reduce = |weight: u32| {
        let weight = u64::from(weight) / divisor;
        let weight = if total > MAX_TURNS { (weight * MAX_TURNS / total).max(1) } else { weight };
        i64::try_from(weight).unwrap_or(1)
    };
    weighted.iter().map(|(_, weight)| reduce(*weight)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
