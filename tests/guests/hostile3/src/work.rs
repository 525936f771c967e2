//! Burning CPU and stack, hoarding memory and handles.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasip3::http::types::Fields;
use wasip3::spawn_local;
use wasip3::wit_bindgen::yield_async;

use crate::reply::{Reply, respond};

/// 1 in a fresh slot.
pub fn count() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

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

/// As [`spin`], but the host gets the CPU back every few microseconds.
pub async fn yielding(ms: u64) -> Reply {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(ms) {
        yield_async().await;
    }
    respond(200, "yielded")
}

#[allow(unconditional_recursion, reason = "it is meant to overflow the stack")]
pub fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(frame[0] + 1) + frame[63]
}

/// Takes this many MiB and touches them; without a number, until it fails.
pub fn allocate(mib: Option<u64>) -> Reply {
    let mut kept = Vec::new();
    for _ in 0..mib.unwrap_or(u64::MAX) {
        kept.push(vec![1_u8; 1 << 20]);
        black_box(&kept);
    }
    respond(200, format!("{} MiB", kept.len()))
}

/// Holds this many host resources.
pub fn resources(n: u64) -> Reply {
    let kept: Vec<_> = (0..n).map(|_| Fields::new()).collect();
    respond(200, format!("{} resources", kept.len()))
}

/// Waits for this many timers at once, which go on when the answer is complete.
pub fn tasks(n: u64) -> Reply {
    for _ in 0..n {
        spawn_local(crate::sleep(200));
    }
    respond(200, format!("{n} tasks"))
}
