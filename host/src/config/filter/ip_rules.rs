//! Letting addresses in, or keeping them out.
//!
//! Decided here: which lists make sense. An entry of `allow` that lies inside one of `deny` never lets anybody in, and
//! two empty lists say nothing: both are mistakes. Which address a client has is decided by the forwarding headers and
//! `trustedProxies`, not here.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::units;

/// Lets addresses in or keeps them out: who is in `deny` stays out; if there is an `allow`, only who is in it gets in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct IpRules {
    /// Networks (CIDR) that may come; if none is given, all that are not denied.
    #[serde(deserialize_with = "units::networks")]
    #[schemars(with = "Vec<String>")]
    pub allow: Vec<IpNet>,
    /// Networks (CIDR) that may not come, also if they are in `allow`.
    #[serde(deserialize_with = "units::networks")]
    #[schemars(with = "Vec<String>")]
    pub deny: Vec<IpNet>,
}

impl IpRules {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if self.allow.is_empty() && self.deny.is_empty() && !at.has_refused() {
            check.wrong(at, "neither `allow` nor `deny`: name at least one network, or remove `ipRules`");
        }
        for (net, at) in self.allow.iter().zip(at.get("allow").items()) {
            if let Some(denied) = self.deny.iter().find(|denied| denied.contains(net)) {
                check.wrong(at, format!("`{net}` is never let in: `{denied}` in `deny` covers it"));
            }
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{ "allow": ["10.0.0.0/8", "2001:db8::/32"], "deny": ["10.6.6.6/32"] }"#;
