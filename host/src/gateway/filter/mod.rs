//! What happens to requests on their way, one kind of filter per file, in the form in which it works: built from its
//! configuration when that changes, and not changed afterwards.

pub(crate) mod jwt;
pub(crate) mod api_key;
pub(crate) mod authorization;
pub(crate) mod basic_auth;
pub(crate) mod credential;
pub(crate) mod ip_rules;
