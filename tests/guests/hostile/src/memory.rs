//! Hoarding memory and handles.

use std::hint::black_box;

use wasip2::http::types::{Fields, ResponseOutparam};

use crate::reply::respond;

/// Takes this many MiB and touches them; without a number, until it fails.
pub fn allocate(out: ResponseOutparam, mib: Option<u64>) {
    let mut kept = Vec::new();
    for _ in 0..mib.unwrap_or(u64::MAX) {
        kept.push(vec![1_u8; 1 << 20]);
        black_box(&kept);
    }
    respond(out, 200, &format!("{} MiB", kept.len()));
}

/// Holds this many host resources.
pub fn resources(out: ResponseOutparam, n: u64) {
    let kept: Vec<_> = (0..n).map(|_| Fields::new()).collect();
    respond(out, 200, &format!("{} resources", kept.len()));
}
