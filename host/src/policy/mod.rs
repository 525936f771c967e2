//! Policies: plain structs that admit or refuse, with no I/O and no knowledge of HTTP or wasm.

mod bulkhead;

pub use bulkhead::{Bulkhead, BulkheadFull, BulkheadLimits, Permit};
