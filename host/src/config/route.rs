//! Routes, in the words of the Kubernetes Gateway API: hostnames → rules → matches, filters, backends.
//!
//! One deliberate difference: a filter is a map with one key (`- rewrite: {…}`) and not a `type:` with a body, so
//! that an error can point at the exact key and an unknown filter at its own name. Which of several matching rules
//! wins is decided where requests are routed, not here.

mod pattern;
mod value;

use std::collections::BTreeMap;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bulkhead::RuleBulkhead;
use super::filter::Filter;
use super::retry::RuleRetry;
use super::schema::text;
use super::split::Split;
use super::units::{self, Duration};

pub(crate) use pattern::compile as compile_pattern;
pub use value::ValueMatch;

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
    /// Names of the listeners it answers on; none means all.
    #[serde(default)]
    pub listeners: Vec<String>,
    /// At least one.
    #[schemars(length(min = 1))]
    pub rules: Vec<Rule>,
}

/// Matches (any of them) and what happens then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
// A rule that answers by itself needs no service.
#[schemars(extend("if" = answers_by_itself(), "else" = needs_a_backend()))]
pub struct Rule {
    /// How logs and overlays name it; unique in its route.
    #[serde(default)]
    #[schemars(with = "Option<text::Name>")]
    pub name: Option<String>,
    /// Of all rules that match a request, one with a higher priority wins, whatever else is said of precedence.
    /// Automatic routes have 0.
    #[serde(default)]
    pub priority: i32,
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
    /// Which version a request gets, if not only weights decide: who may choose, and who stays with one.
    #[serde(default)]
    pub split: Option<Split>,
    /// When requests are tried again, instead of what the service says; its `budget` holds all the same.
    #[serde(default)]
    pub retry: Option<RuleRetry>,
    /// Places of its own for requests of this rule; each takes one of the service's, too.
    #[serde(default)]
    pub bulkhead: Option<RuleBulkhead>,
    /// Where requests go; chosen by weight. At least one, unless a filter `redirect` or `staticResponse` answers.
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
}

impl Rule {
    /// Whether a filter answers every request, so that none comes to a service.
    pub fn answers_by_itself(&self) -> bool {
        self.filters.iter().any(|filter| matches!(filter, Filter::Redirect(_) | Filter::StaticResponse(_)))
    }
}

/// The schema of a rule with a filter that answers.
fn answers_by_itself() -> serde_json::Value {
    let answers = ["redirect", "staticResponse"].map(|name| serde_json::json!({ "required": [name] }));
    let filters = serde_json::json!({ "contains": { "type": "object", "anyOf": answers } });
    serde_json::json!({ "properties": { "filters": filters }, "required": ["filters"] })
}

/// The schema of every other rule.
fn needs_a_backend() -> serde_json::Value {
    serde_json::json!({ "properties": { "backendRefs": { "minItems": 1 } }, "required": ["backendRefs"] })
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
    /// Header name (any case) to what its value must be: exact text, `{ regex: … }` or `{ present: true }`.
    pub headers: BTreeMap<String, ValueMatch>,
    /// Query parameter (exact case) to what its value must be.
    pub query_params: BTreeMap<String, ValueMatch>,
    /// Cookie (exact case) to what its value must be.
    pub cookies: BTreeMap<String, ValueMatch>,
    /// Networks (CIDR), one of which the client is in; none means anywhere.
    #[serde(deserialize_with = "units::networks")]
    #[schemars(with = "Vec<String>")]
    pub client_ips: Vec<IpNet>,
}

/// How a path is matched; case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PathMatch {
    /// The whole path.
    Exact(#[schemars(with = "text::Path")] String),
    /// Whole segments: `/v2` matches `/v2` and `/v2/x`, not `/v2x`.
    Prefix(#[schemars(with = "text::Path")] String),
    /// A regular expression for the whole path. Comes after `exact` and before `prefix`, longer ones first.
    Regex(#[schemars(with = "text::Pattern")] String),
}

/// Timeouts of one rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct RuleTimeouts {
    /// As the service's `timeouts.request`; may only shorten it. Not `0s`.
    pub request: Option<Duration>,
    /// One try of a service, of which `retry` may make several. Not longer than `request`; not `0s`.
    pub backend_request: Option<Duration>,
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
    /// What happens to requests that go to this backend: `requestHeaders`, `responseHeaders`, `rewrite`.
    #[serde(default)]
    pub filters: Vec<Filter>,
}

fn one() -> u32 {
    1
}
