//! The better of two (power of two choices, "P2C"): two are drawn by weight, the cheaper one is used.
//!
//! Cost is requests in flight for `leastRequest`, expected waiting time for `peakEwma`. Choosing the cheapest of all
//! would send everybody who looks at the same moment to the same instance; of two random ones, the cheapest of `n` gets
//! 2/`n` at most, and the longest queue is still exponentially shorter than with one choice (Mitzenmacher, 2001). When
//! both cost the same the one drawn first is used, so that idle instances share by weight.

use super::candidates::Candidates;
use super::random::Draw;

/// The second of two if `is_cheaper(second, first)`, else the first.
pub(super) fn of_two<H: Fn(usize) -> bool>(
    draw: &Draw,
    candidates: &mut Candidates<'_, H>,
    random: &mut impl FnMut() -> u64,
    is_cheaper: impl FnOnce(&Candidates<'_, H>, usize, usize) -> bool,
) -> Option<usize> {
    let first = draw.one(candidates, None, random)?;
    let second = draw.one(candidates, Some(first), random);
    Some(second.filter(|second| is_cheaper(candidates, *second, first)).unwrap_or(first))
}

/// Whether one has fewer requests in flight than another, for its weight.
pub(super) fn is_less_busy<H: Fn(usize) -> bool>(candidates: &Candidates<'_, H>, one: usize, other: usize) -> bool {
    let busy = |index| candidates.member(index).map_or(u64::MAX, |member| member.load.in_flight());
    let times = |busy: u64, weight: u64| u128::from(busy) * u128::from(weight);
    times(busy(one), candidates.weight(other)) < times(busy(other), candidates.weight(one))
}
