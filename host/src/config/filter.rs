//! Filters: what happens to a request on its way, one struct (and its checks) per file.
//!
//! A filter is a map with one key, so that an error points at the exact key. They can stand in three places: `filters`
//! of `gateway.yaml` holds for every route, `filters` of a service for its automatic route, and `filters` of a rule for
//! that rule. The order in which kinds of filters work is fixed and is the gateway's; the order in a list matters only
//! among those that change the request.

mod api_key;
mod authorization;
mod basic_auth;
mod body_limit;
mod cache_control;
mod compression;
mod cors;
mod fault;
mod headers;
mod ip_rules;
mod jwt;
mod mirror;
mod rate_limit;
mod redirect;
mod rewrite;
mod static_response;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use api_key::*;
pub use authorization::*;
pub use basic_auth::*;
pub use body_limit::*;
pub use cache_control::*;
pub use compression::*;
pub use cors::*;
pub use fault::*;
pub use headers::*;
pub use ip_rules::*;
pub use jwt::*;
pub use mirror::*;
pub use rate_limit::*;
pub use redirect::*;
pub use rewrite::*;
pub use static_response::*;

use super::check::{At, Check};

/// One thing that happens on the way: a map with one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Filter {
    /// Answers preflights and adds CORS headers.
    Cors(Cors),
    /// Lets addresses in or keeps them out.
    IpRules(IpRules),
    /// Limits how often.
    RateLimit(RateLimit),
    /// Demands a JSON Web Token.
    Jwt(Jwt),
    /// Demands an API key.
    ApiKey(ApiKey),
    /// Demands a user name and a password.
    BasicAuth(BasicAuth),
    /// Decides what the authenticated client may do.
    Authorization(Authorization),
    /// Bounds the request's body.
    BodyLimit(BodyLimit),
    /// Changes headers of the request.
    RequestHeaders(HeaderChanges),
    /// Changes the address that the service sees.
    Rewrite(Rewrite),
    /// Delays some requests and fails some, on purpose.
    Fault(Fault),
    /// Sends copies of requests to another service or version.
    Mirror(Mirror),
    /// Sends the client elsewhere.
    Redirect(Redirect),
    /// Answers without a service.
    StaticResponse(StaticResponse),
    /// Changes headers of the response.
    ResponseHeaders(HeaderChanges),
    /// Says how long the response may be kept.
    CacheControl(CacheControl),
    /// Compresses the response.
    Compression(Compression),
}

impl Filter {
    /// The key in the file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cors(_) => "cors",
            Self::IpRules(_) => "ipRules",
            Self::RateLimit(_) => "rateLimit",
            Self::Jwt(_) => "jwt",
            Self::ApiKey(_) => "apiKey",
            Self::BasicAuth(_) => "basicAuth",
            Self::Authorization(_) => "authorization",
            Self::BodyLimit(_) => "bodyLimit",
            Self::RequestHeaders(_) => "requestHeaders",
            Self::Rewrite(_) => "rewrite",
            Self::Fault(_) => "fault",
            Self::Mirror(_) => "mirror",
            Self::Redirect(_) => "redirect",
            Self::StaticResponse(_) => "staticResponse",
            Self::ResponseHeaders(_) => "responseHeaders",
            Self::CacheControl(_) => "cacheControl",
            Self::Compression(_) => "compression",
        }
    }

    /// Checks the values; `at` is the list's item.
    pub(super) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let at = at.get(self.name());
        match self {
            Self::Cors(filter) => filter.check(check, at),
            Self::IpRules(filter) => filter.check(check, at),
            Self::RateLimit(filter) => filter.check(check, at),
            Self::Jwt(filter) => filter.check(check, at),
            Self::ApiKey(filter) => filter.check(check, at),
            Self::BasicAuth(filter) => filter.check(check, at),
            Self::Authorization(filter) => filter.check(check, at),
            Self::BodyLimit(filter) => filter.check(check, at),
            Self::RequestHeaders(filter) | Self::ResponseHeaders(filter) => filter.check(check, at),
            Self::Rewrite(filter) => filter.check(check, at),
            Self::Fault(filter) => filter.check(check, at),
            Self::Mirror(filter) => filter.check(check, at),
            Self::Redirect(filter) => filter.check(check, at),
            Self::StaticResponse(filter) => filter.check(check, at),
            Self::CacheControl(filter) => filter.check(check, at),
            Self::Compression(filter) => filter.check(check, at),
        }
    }
}

/// One of each kind with every field, as list items.
#[cfg(test)]
pub(super) fn examples() -> Vec<serde_json::Value> {
    let examples = [
        ("cors", cors::EXAMPLE),
        ("ipRules", ip_rules::EXAMPLE),
        ("rateLimit", rate_limit::EXAMPLE),
        ("jwt", jwt::EXAMPLE),
        ("apiKey", api_key::EXAMPLE),
        ("basicAuth", basic_auth::EXAMPLE),
        ("authorization", authorization::EXAMPLE),
        ("bodyLimit", body_limit::EXAMPLE),
        ("requestHeaders", headers::EXAMPLE),
        ("rewrite", rewrite::EXAMPLE),
        ("fault", fault::EXAMPLE),
        ("mirror", mirror::EXAMPLE),
        ("redirect", redirect::EXAMPLE),
        ("staticResponse", static_response::EXAMPLE),
        ("responseHeaders", headers::EXAMPLE),
        ("cacheControl", cache_control::EXAMPLE),
        ("compression", compression::EXAMPLE),
    ];
    let item = |(name, text): (&str, &str)| {
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        serde_json::json!({ name: value })
    };
    examples.into_iter().map(item).collect()
}
