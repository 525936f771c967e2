//! What happens to requests on their way, one kind of filter per file, in the form in which it works: built from its
//! configuration when that changes, and not changed afterwards.

pub(crate) mod body_limit;
pub(crate) mod cache_control;
pub(crate) mod compression;
pub(crate) mod cors;
pub(crate) mod headers;
pub(crate) mod redirect;
pub(crate) mod rewrite;
pub(crate) mod static_response;
mod vary;
