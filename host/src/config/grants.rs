//! What a service may reach beyond itself, and how far calls between services go.
//!
//! Decided here: the words. Whether a call is let through is decided at the call, by the gateway, with the
//! configuration in force at that moment. No grant, no access: a service without the field calls nobody.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check, valid_service_name};
use super::egress::EgressRule;
use super::topic::TopicPattern;

/// A chain of calls that is longer is a mistake in any system, and each step holds a slot.
const MAX_DEPTH: std::ops::RangeInclusive<u32> = 1..=64;

/// What the operator lets a service reach.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Grants {
    /// Services that it may call as `http://<service>.internal/`. Itself only if it is in the list.
    pub calls: Vec<String>,
    /// Hosts outside that it may ask: `https://api.example.com`, `https://*.example.org:8443`, or
    /// `{ url: …, allowPrivate: true }` for a host of the own network.
    pub egress: Vec<EgressRule>,
    /// Topics that it may publish to, or patterns of them: `order.created`, `order.*`.
    pub publish: Vec<TopicPattern>,
    /// Queues that it may use.
    pub queues: QueueGrants,
    /// Secrets of `gateway.yaml` that its `config` may name.
    pub secrets: Vec<String>,
}

/// Queues that a service may use, or patterns of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct QueueGrants {
    /// Where it may send messages.
    pub send: Vec<TopicPattern>,
    /// Where it may receive and delete them.
    pub receive: Vec<TopicPattern>,
}

/// Calls between services, all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Calls {
    /// How many calls may follow from one request, one inside the other; more are 508. 1 to 64.
    #[schemars(range(min = 1, max = 64))]
    pub max_depth: u32,
}

impl Default for Calls {
    fn default() -> Self {
        Self { max_depth: 16 }
    }
}

impl Grants {
    /// Whether it may publish to this topic.
    pub fn may_publish(&self, topic: &str) -> bool {
        self.publish.iter().any(|pattern| pattern.matches(topic))
    }

    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        EgressRule::check_all(&self.egress, check, at.get("egress"));
        let mut seen = BTreeSet::new();
        for (name, at) in self.calls.iter().zip(at.get("calls").items()) {
            if let Err(message) = valid_service_name(name) {
                check.wrong(at, message);
            } else if !seen.insert(name) {
                check.wrong(at, format!("`{name}` is granted already: name each service once"));
            }
        }
    }
}

impl Calls {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("maxDepth"), &self.max_depth, &MAX_DEPTH);
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r##"{
    "calls": ["users", "inventory"],
    "egress": ["https://*.example.org:8443", { "url": "https://db.example.org", "allowPrivate": true }],
    "publish": ["order.*"], "queues": { "send": ["mails"], "receive": ["work.#"] },
    "secrets": ["payments"]
}"##;
