//! What happens to requests on their way, one kind of filter per file, in the form in which it works: built from its
//! configuration when that changes, and not changed afterwards.
//!
//! `layers` says which filters hold for a rule, `chain` runs them in their order, `authenticate` tries the ways to prove
//! an identity. Filters know heads of requests and responses and nothing of guests.

pub(crate) mod api_key;
mod authenticate;
mod authorization;
pub(crate) mod basic_auth;
mod body_limit;
mod cache_control;
mod chain;
mod compression;
mod cors;
mod credential;
mod fault;
mod headers;
mod ip_rules;
mod jwt;
mod kept;
pub(crate) mod layers;
pub(crate) mod mirror;
pub(super) mod parameter;
mod rate_limit;
mod redirect;
mod rewrite;
mod shared;
mod static_response;
mod told;
mod vary;

pub(crate) use chain::{Asking, Chain, Layers, Passage};
pub(crate) use compression::{CompressError, Compressed, Encoder};
pub(crate) use mirror::{Fate, Mirror, Ticket};
pub(crate) use rewrite::Rewrite;
pub(super) use static_response::StaticResponse;
pub(crate) use told::Told;
#[cfg(test)]
pub(super) use told::told;

use api_key::ApiKey;
use basic_auth::BasicAuth;
use fault::FaultState;
use kept::Kept;
use mirror::MirrorState;
use shared::Shared;

use super::identity::Providers;
use crate::config;
use crate::policy::{Bulkhead, Limiters};

/// What filters share and what outlasts a change of the configuration.
pub(crate) struct Stores {
    pub(crate) providers: Providers,
    pub(crate) limiters: Limiters,
    api_keys: Shared<config::ApiKey, ApiKey>,
    basic_auths: Shared<config::BasicAuth, BasicAuth>,
    pub(super) faults: Kept<FaultState>,
    pub(super) mirrors: Kept<MirrorState>,
    /// Of rules that have places of their own.
    pub(super) bulkheads: Kept<Bulkhead>,
}

impl Default for Stores {
    fn default() -> Self {
        Self {
            providers: Providers::new(),
            limiters: Limiters::default(),
            api_keys: Shared::default(),
            basic_auths: Shared::default(),
            faults: Kept::default(),
            mirrors: Kept::default(),
            bulkheads: Kept::default(),
        }
    }
}
