//! Addresses that are believed, or let in, far too widely.

use ipnet::IpNet;

use super::super::check::{At, Check};
use super::super::load::Config;

pub(super) fn lint(config: &Config, check: &mut Check<'_>, at: At<'_>) {
    let proxies_at = at.get("trustedProxies");
    for (network, at) in config.gateway.trusted_proxies.iter().zip(proxies_at.items()).filter(|(net, _)| is_all(net)) {
        let message = format!("`{network}` believes everybody: any client can claim to be any other, name the proxies");
        check.warn(at, message);
    }
}

/// Whether every address of its version is in it.
pub(super) fn is_all(network: &IpNet) -> bool {
    network.prefix_len() == 0
}
