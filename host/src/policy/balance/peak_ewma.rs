//! Peak EWMA: the latency of an instance as a moving average that rises at once and sinks slowly.
//!
//! A latency above the average becomes the average (one slow answer is a warning), a lower one pulls it down by its age
//! alone: after the decay time (10 s) 63 % of the way. Without answers it sinks towards 0, so an instance that was left
//! because it was slow is tried again. A request is expected to wait `latency · (1 + requests in flight / weight)`, so that
//! weights say how much an instance can do at once, and not that it were faster. The idea is Finagle's, the numbers are
//! linkerd's: decay 10 s, and 1 s for an instance that never answered.
//!
//! Average and time of the last change share one 64-bit word (a float of seconds, and ticks of 16 ms), so they never
//! contradict each other and need no lock. Of the answers within one tick only peaks count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::candidates::Candidates;

/// Seconds after which an old average has lost 63 % of its say.
const DECAY: f64 = 10.0;
/// Seconds; of an instance that never answered. High enough that it must prove itself, low enough that it can.
const INITIAL: f32 = 1.0;
/// 32 bits of this last two years, half of which are told from the past.
const TICK: Duration = Duration::from_millis(16);

/// See the module. Times are given as time since a fixed moment.
#[derive(Debug)]
pub(super) struct PeakEwma(AtomicU64);

impl Default for PeakEwma {
    fn default() -> Self {
        Self(AtomicU64::new(pack(INITIAL, 0)))
    }
}

impl PeakEwma {
    /// Takes a latency into account.
    pub(super) fn observe(&self, latency: Duration, at: Duration) {
        let (latency, at) = (latency.as_secs_f32(), ticks(at));
        let change = |packed| {
            let (average, since) = unpack(packed);
            let elapsed = elapsed(since, at);
            if latency > average {
                return Some(pack(latency, if elapsed == 0 { since } else { at }));
            }
            // Nothing would change, and nothing is written: fewer cores wait for this cache line.
            let stays = (elapsed > 0).then(|| remains(elapsed))?;
            let average = (f64::from(average) * stays + f64::from(latency) * (1.0 - stays)) as f32;
            Some(pack(average, at))
        };
        // `Err` only says that nothing changed.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// The latency to reckon with, in seconds.
    pub(super) fn estimate(&self, at: Duration) -> f64 {
        let (average, since) = unpack(self.0.load(Ordering::Relaxed));
        f64::from(average) * remains(elapsed(since, ticks(at)))
    }
}

/// Whether a request would wait less at one than at another.
pub(super) fn is_sooner<H: Fn(usize) -> bool>(candidates: &Candidates<'_, H>, one: usize, other: usize) -> bool {
    // Weights count by what is the usual weight, which is known no better than as that of these two.
    let usual = (candidates.weight(one) + candidates.weight(other)) as f64 / 2.0;
    let wait = |index| {
        let load = &candidates.member(index)?.load;
        let queue = load.in_flight() as f64 * usual / candidates.weight(index).max(1) as f64;
        Some(load.latency_secs(candidates.now) * (1.0 + queue))
    };
    wait(one).zip(wait(other)).is_some_and(|(one, other)| one < other)
}

/// The part of an average that is left after so many ticks.
fn remains(ticks: u32) -> f64 {
    (-f64::from(ticks) * TICK.as_secs_f64() / DECAY).exp()
}

/// From one tick to another, also past the end of the counter; 0 if another core was ahead.
fn elapsed(since: u32, at: u32) -> u32 {
    let ticks = at.wrapping_sub(since);
    if ticks > u32::MAX / 2 { 0 } else { ticks }
}

fn ticks(at: Duration) -> u32 {
    // The counter goes round; see `elapsed`.
    (at.as_millis() / TICK.as_millis()) as u32
}

fn pack(average: f32, at: u32) -> u64 {
    u64::from(average.to_bits()) << 32 | u64::from(at)
}

fn unpack(packed: u64) -> (f32, u32) {
    (f32::from_bits((packed >> 32) as u32), packed as u32)
}
