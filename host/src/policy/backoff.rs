//! How long to wait before a try again.
//!
//! A wait is random and has a least: uniform in `[base, min(cap, base·3·2^n))` for the n-th try again. Three things are
//! wanted of it. `backoff` is a *minimum* (Gateway API), so that tries are never burnt in microseconds; full jitter down
//! to zero, as in Envoy, would not keep that. Those who failed together must not come back together: with the 3, the
//! shortest and the longest wait lie two thirds of the longest apart already the first time (plain doubling has half).
//! And waits grow while it goes on failing, up to the cap. It is what AWS calls decorrelated jitter, without the need to
//! know the wait before.
//!
//! The random number is passed in.

use std::time::Duration;

/// The two ends of all waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits of at least `base` and at most `cap`; a cap below the base is the base.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        let cap = if cap.as_nanos() < base.as_nanos() { base } else { cap };
        Self { base, cap }
    }

    /// The wait before the n-th try again, counted from 0. `random` is uniform in [0, 1).
    pub fn wait(&self, n: u32, random: f64) -> Duration {
        let factor = 1u32.checked_shl(n).and_then(|factor| factor.checked_mul(3)).unwrap_or(u32::MAX);
        let longest = self.base.saturating_mul(factor).min(self.cap);
        self.base + (longest - self.base).mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn waits_double_up_to_the_cap_and_never_go_below_the_base() {
        let backoff = Backoff::new(ms(25), ms(250));
        let ends = |n| (backoff.wait(n, 0.0), backoff.wait(n, 1.0));
        assert_eq!(ends(0), (ms(25), ms(75)));
        assert_eq!(ends(1), (ms(25), ms(150)));
        assert_eq!(ends(2), (ms(25), ms(250)));
        for n in [3, 31, 32, u32::MAX] {
            assert_eq!(ends(n), (ms(25), ms(250)), "{n}");
        }
    }

    #[test]
    fn those_who_fail_together_do_not_come_back_together() {
        let (backoff, mut random) = (Backoff::new(ms(25), ms(250)), fastrand::Rng::with_seed(4));
        for n in 0..4 {
            let waits: Vec<_> = (0..1000).map(|_| backoff.wait(n, random.f64())).collect();
            let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
            assert!(*least >= ms(25));
            assert!((*most - *least).as_secs_f64() > 0.5 * most.as_secs_f64(), "{n}: {least:?} to {most:?}");
            // And they are spread evenly: a tenth of the time has about a tenth of them.
            let width = (*most - *least) / 10;
            for tenth in 0..10 {
                let begin = *least + width * tenth;
                let within = waits.iter().filter(|wait| (begin..begin + width).contains(*wait)).count();
                assert!((60..150).contains(&within), "{n}: {within} in tenth {tenth}");
            }
        }
    }

    #[test]
    fn a_cap_at_the_base_waits_always_the_same() {
        let backoff = Backoff::new(ms(50), ms(10));
        assert_eq!((backoff.wait(0, 0.0), backoff.wait(5, 0.9)), (ms(50), ms(50)));
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let backoff = Backoff::new(Duration::MAX, Duration::MAX);
        assert_eq!(backoff.wait(40, 0.5), Duration::MAX);
    }
}
