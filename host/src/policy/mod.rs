//! Policies: plain structs that admit or refuse, with no I/O and no knowledge of HTTP or wasm.

mod adaptive;
mod backoff;
pub mod balance;
mod breaker;
mod budget;
mod bulkhead;
mod canary;
mod outcome;
mod outlier;
mod rate_limit;
pub mod retry;
mod window;

pub use adaptive::Adaptive;
pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerPermit, BreakerState, BreakerStatus, Open, OpenReason, Transition};
pub use budget::Budget;
pub use bulkhead::{Bulkhead, BulkheadFull, BulkheadLimits, Class, Permit};
pub use canary::{Canary, Decision as CanaryDecision, Progress, Reason, Share, Statistics, Summary, Wait};
pub use outcome::Outcome;
pub use outlier::{Ejected, Group, Outlier, Sickness};
pub use rate_limit::{Decision, Limiter, Limiters, Quota};
pub use retry::RetryPolicy;
pub use window::Counts;
