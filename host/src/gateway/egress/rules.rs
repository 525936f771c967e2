//! Whether a guest may ask for an address.

use http::Uri;

use crate::config::{EgressHosts, EgressRule, Host, Protocol};
use crate::gateway::upstream::{Origin, Reach};

/// A request that a guest may not send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// Its address makes no sense.
    #[error("the address is not valid: {0}")]
    Invalid(String),
    /// No rule names scheme, host and port.
    #[error("{0} is not granted: add it to grants.egress")]
    NotGranted(String),
    /// A rule names the host, but what it resolves to is not public.
    #[error("{host} has the address {address}, which is not public: grant it with allowPrivate if that is meant")]
    Address {
        /// The host.
        host: String,
        /// What it resolved to.
        address: String,
    },
}

/// What one service may ask for; nothing by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EgressRules(Vec<EgressRule>);

impl EgressRules {
    pub(crate) fn new(rules: &[EgressRule]) -> Self {
        Self(rules.to_vec())
    }

    /// Whom a request for this absolute address would go to.
    ///
    /// # Errors
    /// When no rule grants it.
    pub(crate) fn check(&self, uri: &Uri) -> Result<Origin, Denied> {
        let mut origin = Origin::new(uri, Protocol::Auto, Reach::Public).map_err(Denied::Invalid)?;
        let mut found = self.0.iter().filter(|rule| {
            rule.secure == origin.secure && rule.port == origin.port && is_one_of(&rule.hosts, &origin.host)
        });
        let Some(first) = found.next() else {
            let scheme = if origin.secure { "https" } else { "http" };
            return Err(Denied::NotGranted(format!("{scheme}://{}:{}", origin.host, origin.port)));
        };
        if first.allow_private || found.any(|rule| rule.allow_private) {
            origin.reach = if matches!(origin.host, Host::Address(_)) { Reach::Literal } else { Reach::Private };
        }
        Ok(origin)
    }
}

fn is_one_of(hosts: &EgressHosts, host: &Host) -> bool {
    match (hosts, host) {
        (EgressHosts::Exact(granted), host) => granted == host,
        (EgressHosts::Below(granted), Host::Name(name)) => {
            name.strip_suffix(granted.as_str()).is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
        }
        (EgressHosts::Below(_), Host::Address(_)) => false,
    }
}
