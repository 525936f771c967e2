//! By chance, in proportion to weight: the strategy `random`, and what others draw with.
//!
//! A throw takes one random number and one look into a table (Walker's alias method as Vose builds it), however many
//! instances there are. It knows nothing of health, so what may not be used is thrown away and thrown for again; the
//! outcome is in proportion to the weights of those that may. After a few throws in vain all are looked at once, which
//! ends the search and has the same odds.
//!
//! A table of the usable ones would have to be rebuilt whenever health changes, and be shared between cores.

use super::candidates::Candidates;

/// Throws before all are looked at. With half of the instances gone, 1 of 64 draws comes so far.
const THROWS: usize = 6;

/// A table to draw from.
#[derive(Debug)]
pub(super) struct Draw {
    members: Box<[usize]>,
    /// Only if weights differ; one for each member.
    slots: Option<Box<[Slot]>>,
}

/// Part of a member's share, and whom the rest of the slot belongs to.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Out of 2⁶⁴.
    own: u64,
    other: usize,
}

impl Draw {
    /// Of members by index, with weights over 0.
    pub(super) fn new(weighted: &[(usize, u32)]) -> Self {
        let members = weighted.iter().map(|(index, _)| *index).collect();
        Self { members, slots: slots(weighted) }
    }

    /// All that can be drawn.
    pub(super) fn members(&self) -> &[usize] {
        &self.members
    }

    /// One that may be used and is not `except`.
    pub(super) fn one<H: Fn(usize) -> bool>(
        &self,
        candidates: &mut Candidates<'_, H>,
        except: Option<usize>,
        random: &mut impl FnMut() -> u64,
    ) -> Option<usize> {
        // Where one is excepted, the other of two needs no luck.
        let throws = if self.members.len() <= 1 + usize::from(except.is_some()) { 0 } else { THROWS };
        for _ in 0..throws {
            let index = self.throw(random)?;
            if Some(index) != except && candidates.keeps_draw(index, &mut *random) && candidates.may_use(index) {
                return Some(index);
            }
        }
        self.look_at_all(candidates, except, random)
    }

    fn throw(&self, random: &mut impl FnMut() -> u64) -> Option<usize> {
        let (position, rest) = split(random(), self.members.len());
        let index = self.members.get(position).copied();
        match self.slots.as_ref().and_then(|slots| slots.get(position)) {
            Some(slot) if rest >= slot.own => Some(slot.other),
            Some(_) | None => index,
        }
    }

    /// Each takes the place of those before it with the odds of its weight (a reservoir of one).
    fn look_at_all<H: Fn(usize) -> bool>(
        &self,
        candidates: &mut Candidates<'_, H>,
        except: Option<usize>,
        random: &mut impl FnMut() -> u64,
    ) -> Option<usize> {
        let mut chosen = None;
        let mut total: u64 = 0;
        for &index in &self.members {
            if Some(index) == except || !candidates.may_use(index) {
                continue;
            }
            let weight = candidates.weight(index);
            total += weight;
            if chosen.is_none() || below(random(), total) < weight {
                chosen = Some(index);
            }
        }
        chosen
    }
}

/// A number under `bound` that is as random as `random`.
fn below(random: u64, bound: u64) -> u64 {
    u64::try_from((u128::from(random) * u128::from(bound)) >> 64).unwrap_or_default()
}

/// As [`below`], and what of the random number was not used for it.
fn split(random: u64, bound: usize) -> (usize, u64) {
    let product = u128::from(random) * bound as u128;
    // The upper half is under `bound`.
    ((product >> 64) as usize, product as u64)
}

/// Each slot is worth the average weight: those who have less fill up theirs with what others have more.
fn slots(weighted: &[(usize, u32)]) -> Option<Box<[Slot]>> {
    let count = weighted.len() as u128;
    let total: u128 = weighted.iter().map(|(_, weight)| u128::from(*weight)).sum();
    if weighted.iter().all(|(_, weight)| u128::from(*weight) * count == total) {
        return None;
    }
    let mut slots: Vec<Slot> = weighted.iter().map(|(index, _)| Slot { own: u64::MAX, other: *index }).collect();
    // Position and weight times count, so that the average is the total and everything stays whole numbers.
    let shares = weighted.iter().enumerate().map(|(position, (_, weight))| (position, u128::from(*weight) * count));
    let (mut less, mut more): (Vec<_>, Vec<_>) = shares.partition(|(_, share)| *share < total);
    while let (Some((poor, has)), Some((rich, owns))) = (less.pop(), more.pop()) {
        if let (Some(slot), Some((other, _))) = (slots.get_mut(poor), weighted.get(rich)) {
            *slot = Slot { own: u64::try_from((has << 64) / total).unwrap_or(u64::MAX), other: *other };
        }
        let left = owns - (total - has);
        if left < total { &mut less } else { &mut more }.push((rich, left));
    }
    Some(slots.into())
}
