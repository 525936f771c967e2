//! Arithmetic with money: whole minor units, exact fractions, and one way to round.
//!
//! A result that is no whole number is rounded to the nearest one, and a half to the even one (half-even, as in IEEE 754
//! and in accounting): over many sums it favours nobody. Nothing here is ever negative.
//!
//! Amounts are at most [`HIGHEST`], factors at most [`HIGHEST_FACTOR`]: products of two of them are far below the end of
//! `i128`, so nothing in between can overflow, and what comes out is checked ([`bounded`]).

use serde::{Deserialize, Serialize};

/// The highest amount: what every program that reads JSON takes for a whole number (2⁵³ − 1).
pub(crate) const HIGHEST: i64 = 9_007_199_254_740_991;
/// The largest part of a rate, and the largest quantity.
pub(crate) const HIGHEST_FACTOR: i64 = 1_000_000_000;

/// How many units of one currency are one of another: numerator / denominator, both above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) numerator: i64,
    pub(crate) denominator: i64,
}

/// The result is above [`HIGHEST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl Rate {
    pub(crate) const ONE: Self = Self { numerator: 1, denominator: 1 };

    /// The way back, exactly.
    pub(crate) fn inverse(self) -> Self {
        Self { numerator: self.denominator, denominator: self.numerator }
    }

    /// An amount in the other currency.
    pub(crate) fn convert(self, amount: i64) -> Result<i64, TooMuch> {
        bounded(half_even(i128::from(amount) * i128::from(self.numerator), i128::from(self.denominator)))
    }
}

/// An amount so many times.
pub(crate) fn times(amount: i64, quantity: i64) -> Result<i64, TooMuch> {
    bounded(i128::from(amount) * i128::from(quantity))
}

/// So many percent of an amount.
pub(crate) fn percent_of(amount: i64, percent: i64) -> i64 {
    // At most the amount itself, so it always fits.
    bounded(half_even(i128::from(amount) * i128::from(percent.clamp(0, 100)), 100)).unwrap_or(amount)
}

pub(crate) fn sum(amounts: impl IntoIterator<Item = i64>) -> Result<i64, TooMuch> {
    bounded(amounts.into_iter().map(i128::from).sum())
}

/// Divides `whole` into parts that are to one another as the weights, by the largest remainders: each part is the exact
/// one, rounded up or down, and they sum to `whole`. With `whole` not above the sum of the weights no part is above its
/// weight. All is 0 if all weights are.
pub(crate) fn divide(whole: i64, weights: &[i64]) -> Vec<i64> {
    let total: i128 = weights.iter().copied().map(i128::from).sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    let exact = weights.iter().map(|weight| i128::from(whole) * i128::from(*weight));
    let mut parts: Vec<(i128, i128)> = exact.map(|part| (part / total, part % total)).collect();
    let rest = i128::from(whole) - parts.iter().map(|(part, _)| part).sum::<i128>();
    let mut by_remainder: Vec<&mut (i128, i128)> = parts.iter_mut().collect();
    // Stable: of equal remainders the first comes first.
    by_remainder.sort_by_key(|(_, remainder)| std::cmp::Reverse(*remainder));
    // What is left over is the sum of the remainders: fewer than the parts that have one.
    for (part, _) in by_remainder.into_iter().take(usize::try_from(rest).unwrap_or_default()) {
        *part += 1;
    }
    parts.into_iter().map(|(part, _)| i64::try_from(part).unwrap_or(HIGHEST)).collect()
}

/// A fraction that is not negative as the nearest whole number, a half as the even one.
fn half_even(numerator: i128, denominator: i128) -> i128 {
    let (whole, rest) = (numerator / denominator, numerator % denominator);
    match (rest * 2).cmp(&denominator) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Equal => whole + whole % 2,
        std::cmp::Ordering::Greater => whole + 1,
    }
}

fn bounded(amount: i128) -> Result<i64, TooMuch> {
    i64::try_from(amount).ok().filter(|amount| *amount <= HIGHEST).ok_or(TooMuch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_goes_to_the_even_neighbour() {
        let halves = [(1, 0), (3, 2), (5, 2), (7, 4), (9, 4)];
        for (numerator, expected) in halves {
            assert_eq!(half_even(numerator, 2), expected, "{numerator}/2");
        }
        assert_eq!(
            [half_even(7, 3), half_even(8, 3), half_even(0, 3), half_even(249, 100), half_even(251, 100)],
            [2, 3, 0, 2, 3]
        );
        assert_eq!(
            [percent_of(25, 10), percent_of(35, 10), percent_of(HIGHEST, 100), percent_of(0, 50)],
            [2, 4, HIGHEST, 0]
        );
    }

    #[test]
    fn a_rate_is_exact() {
        let rate = Rate { numerator: 11, denominator: 10 };
        assert_eq!(
            [rate.convert(5), rate.convert(15), rate.convert(10)],
            [Ok(6), Ok(16), Ok(11)],
            "5.5 and 16.5 are halves"
        );
        assert_eq!(rate.inverse().convert(11), Ok(10));
        let largest = Rate { numerator: HIGHEST_FACTOR, denominator: 1 };
        assert_eq!((largest.convert(HIGHEST), largest.inverse().convert(HIGHEST)), (Err(TooMuch), Ok(9_007_199)));
        assert_eq!(
            (times(HIGHEST, 1), times(HIGHEST, 2), sum([HIGHEST, 1])),
            (Ok(HIGHEST), Err(TooMuch), Err(TooMuch))
        );
    }

    #[test]
    fn what_cannot_be_divided_evenly_goes_to_the_largest_remainders() {
        assert_eq!(divide(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(divide(10, &[1, 2, 3]), [2, 3, 5]);
        assert_eq!(divide(5, &[0, 5]), [0, 5]);
        assert_eq!((divide(0, &[3, 4]), divide(0, &[0, 0]), divide(3, &[])), (vec![0, 0], vec![0, 0], vec![]));
        assert_eq!(divide(HIGHEST, &[HIGHEST, HIGHEST]).iter().sum::<i64>(), HIGHEST);
    }
}
