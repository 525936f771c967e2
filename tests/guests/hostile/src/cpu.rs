//! Burning CPU and stack.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Never returns, calls nothing.
pub fn endless() -> ! {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

pub fn spin(ms: u64) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(ms) {
        for _ in 0..1000 {
            black_box(0);
        }
    }
}

/// The same work on every machine, in so many million rounds; a round is about a nanosecond.
pub fn work(millions: u64) -> u64 {
    (0..millions.saturating_mul(1_000_000))
        .fold(1, |n: u64, round| black_box(n.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ round))
}

#[allow(unconditional_recursion, reason = "it is meant to overflow the stack")]
pub fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(frame[0] + 1) + frame[63]
}

/// 1 in a fresh slot.
pub fn count() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}
