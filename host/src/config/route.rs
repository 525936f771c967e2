//! Routes, in the words of the Kubernetes Gateway API: hostnames → rules → matches, filters, backends.
//!
//! One deliberate difference: a filter is a map with one key (`- rewrite: {…}`) and not a `type:` with a body, so
//! that an error can point at the exact key and an unknown filter at its own name. Which of several matching rules
//! wins is decided where requests are routed, not here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::filter::Filter;
use super::schema::text;
use super::units::Duration;

/// A route: hosts, and rules in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Route {
    /// Unique; how logs name it.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Hosts it answers for, exact or `*.suffix`; none means all.
    #[serde(default)]
    #[schemars(with = "Vec<text::Hostname>")]
    pub hostnames: Vec<String>,
    /// At least one.
    #[schemars(length(min = 1))]
    pub rules: Vec<Rule>,
}

/// Matches (any of them) and what happens then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// One of these must hold; none means prefix `/`.
    #[serde(default)]
    pub matches: Vec<Match>,
    /// What happens to requests on the way.
    #[serde(default)]
    pub filters: Vec<Filter>,
    /// Whether anybody may come: identity filters of `gateway.yaml` do not work here.
    #[serde(default)]
    pub public: bool,
    /// Tightens the service's own.
    #[serde(default)]
    pub timeouts: RuleTimeouts,
    /// Where requests go; chosen by weight.
    #[schemars(length(min = 1))]
    pub backend_refs: Vec<BackendRef>,
}

/// All parts given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Match {
    /// The path; prefix `/` if not given.
    pub path: Option<PathMatch>,
    /// The method, upper case.
    #[schemars(with = "Option<text::Method>")]
    pub method: Option<String>,
    /// Header name (any case) to exact value.
    #[schemars(with = "BTreeMap<String, text::Scalar>")]
    pub headers: BTreeMap<String, String>,
    /// Query parameter (exact case) to exact value.
    #[schemars(with = "BTreeMap<String, text::Scalar>")]
    pub query_params: BTreeMap<String, String>,
}

/// How a path is matched; case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The whole path.
    Exact(#[schemars(with = "text::Path")] String),
    /// Whole segments: `/v2` matches `/v2` and `/v2/x`, not `/v2x`.
    Prefix(#[schemars(with = "text::Path")] String),
}

/// Timeouts of one rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RuleTimeouts {
    /// As the service's `timeouts.request`; may only shorten it. Not `0s`.
    pub request: Option<Duration>,
}

/// A service, maybe one version of it, with a share of the traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct BackendRef {
    /// The service's name.
    #[schemars(with = "text::ServiceName")]
    pub service: String,
    /// A version's label; without one, the version that the service's plain file gives.
    #[serde(default)]
    #[schemars(with = "Option<text::Scalar>")]
    pub version: Option<String>,
    /// Share relative to the other backends; 0 gets nothing, and not all of a rule may be 0. 1 if not given.
    #[serde(default = "one")]
    #[schemars(range(max = 1_000_000))]
    pub weight: u32,
}

fn one() -> u32 {
    1
}
