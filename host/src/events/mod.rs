//! Events: from a publisher to everybody who subscribes.

mod deliver;
#[cfg(test)]
mod fake;
mod message;
mod subscription;
pub(crate) mod time;

pub use deliver::{Answer, Deliver};
