//! Slow start: an instance that is new, or back, begins with 10 % of its weight and grows evenly to all of it.
//!
//! It thins out what an instance would get: whoever has drawn it asks whether the draw counts, and draws again if not.
//! So tables that are built once hold for weights that change all the time. Instances that all ramp are all thinned
//! out alike; then the draw goes by their weights as they are now, and nobody is refused because of a slow start.
//! Least share and growth as Envoy's defaults (`min_weight_percent` 10, `aggression` 1).

use std::time::Duration;

/// The whole weight.
pub(super) const RAMPED: u32 = 1 << 10;
const LEAST: u32 = RAMPED / 10;

/// How much of its weight an instance has after so much time, of [`RAMPED`].
pub(super) fn ramp(available_for: Duration, slow_start: Duration) -> u32 {
    if available_for >= slow_start {
        return RAMPED;
    }
    let part = available_for.as_nanos() * u128::from(RAMPED) / slow_start.as_nanos().max(1);
    u32::try_from(part).unwrap_or(RAMPED).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_evenly_from_a_tenth_to_all() {
        let after = |millis| ramp(Duration::from_millis(millis), Duration::from_secs(10));
        assert_eq!(
            [0, 500, 1000, 2500, 5000, 9999, 10_000, 99_999].map(after),
            [LEAST, LEAST, LEAST, 256, 512, 1023, RAMPED, RAMPED]
        );
        assert_eq!(LEAST, 102);
    }

    #[test]
    fn without_slow_start_the_share_is_whole_at_once() {
        assert_eq!(ramp(Duration::ZERO, Duration::ZERO), RAMPED);
    }
}
