//! What a part is measured for: one number a round, made of what its targets cost in that round.

use serde::Serialize;

use super::Measured;
use crate::stats::Spread;

/// A result with what is hoped for.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) value: Spread,
    pub(crate) aim: Option<&'static str>,
}

impl Figure {
    /// Made of the CPU time per request, in µs, of the targets with these keys, round by round. None if one is missing.
    pub(crate) fn of<const N: usize>(
        what: &'static str,
        aim: Option<&'static str>,
        targets: &[Measured],
        keys: [&str; N],
        make: impl Fn([f64; N]) -> f64,
    ) -> Option<Self> {
        let mut samples = [&[][..]; N];
        for (samples, key) in samples.iter_mut().zip(keys) {
            *samples = &targets.iter().find(|target| target.key == key)?.samples;
        }
        let rounds = samples.iter().map(|samples| samples.len()).min()?;
        let made = (0..rounds).filter_map(|round| {
            let mut costs = [0.0; N];
            for (cost, samples) in costs.iter_mut().zip(samples) {
                *cost = samples.get(round)?.cpu_micros_per_request;
            }
            Some(make(costs))
        });
        Some(Self { what, value: Spread::of(made)?, aim })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::target;
    use super::*;

    #[test]
    fn a_figure_is_made_within_rounds() {
        // The second round was ten times as slow for both.
        let targets = [target("a", [200.0, 20.0, 200.0]), target("b", [100.0, 10.0, 100.0])];
        let of = |keys: [&str; 2]| Figure::of("", None, &targets, keys, |[a, b]| b / a);
        assert_eq!(of(["a", "b"]).unwrap().value, Spread { median: 2.0, min: 2.0, max: 2.0 });
        assert!(of(["a", "c"]).is_none());
    }
}
