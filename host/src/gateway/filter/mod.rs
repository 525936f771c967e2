//! What happens to requests on their way, one kind of filter per file, in the form in which it works: built from its
//! configuration when that changes, and not changed afterwards.

mod api_key;
mod authenticate;
mod authorization;
mod basic_auth;
mod body_limit;
mod cache_control;
mod chain;
mod compression;
mod cors;
mod credential;
mod headers;
mod ip_rules;
mod jwt;
mod layers;
mod redirect;
mod rewrite;
mod static_response;
mod vary;
