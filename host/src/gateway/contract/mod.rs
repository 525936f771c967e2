//! Contracts at the host's boundary: who is held to a service's OpenAPI document, and who may read it.
//!
//! ```text
//! held ─ a request on its way and its response     check ─ a body's turn to be looked at
//! ahead ─ a body of which some was read            tee ─ a body that is looked at while it passes
//! counted ─ what was found                         documents ─ what clients and operators read
//! ```
//!
//! Every message that reaches a service by `forward` is held to it: requests from outside and calls between services.
//! Deliveries of events are not: they are an agreement with the host, not with clients. Where nothing is asked for, it
//! costs one comparison a request.
//!
//! *Enforced*, a body is read before it goes on, up to `maxBody`; *observed*, it goes on as it comes and a copy is
//! looked at when it is complete, so that nobody waits for that. All bodies that are kept for either have
//! [`check::MAX_KEPT`] bytes together.

mod ahead;
mod check;
mod counted;
mod documents;
mod held;
mod tee;

pub(super) use ahead::Ahead;
pub(crate) use counted::ContractCounters;
pub(crate) use documents::{Contracts, Documents};
pub(super) use documents::{NAME, alone, together};
pub(super) use held::held;
pub(super) use tee::Tee;
