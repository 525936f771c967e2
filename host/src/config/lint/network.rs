//! Addresses that are believed far too widely, and credentials that others on the network can read.

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::check::{At, Check};
use super::super::listener::RedirectToHttps;
use super::super::load::Config;
use super::place::{Place, proves_identity};

pub(super) fn lint(config: &Config, places: &[Place<'_>], check: &mut Check<'_>, at: At<'_>) {
    let proxies_at = at.get("trustedProxies");
    for (network, at) in config.gateway.trusted_proxies.iter().zip(proxies_at.items()).filter(|(net, _)| is_all(net)) {
        let message = format!("`{network}` believes everybody: any client can claim to be any other, name the proxies");
        check.warn(at, message);
    }
    let credentials = places.iter().flat_map(|place| place.own).find(|filter| proves_identity(filter));
    // With proxies before it, TLS ends there.
    if let Some(filter) = credentials
        && config.gateway.trusted_proxies.is_empty()
    {
        plain_listeners(config, filter.name(), check, at);
    }
}

/// Listeners without TLS that others than this machine and its neighbours can reach.
fn plain_listeners(config: &Config, filter: &str, check: &mut Check<'_>, at: At<'_>) {
    let mut places = at.get("listeners").items();
    for listener in config.gateway.public_listeners().iter() {
        // Without `listeners`, there is `listen`.
        let at = places.next().map_or(at.get("listen"), |at| at.get("address"));
        let plain = listener.tls.is_none() && listener.redirect_to_https == RedirectToHttps::No;
        if plain && is_public(listener.address.ip()) {
            let message = format!(
                "`{filter}` takes credentials, and here they come in the clear: give this listener `tls`, or name the \
                 proxies that do TLS for it in `trustedProxies`"
            );
            check.warn(at, message);
        }
    }
}

/// Whether every address of its version is in it.
pub(super) fn is_all(network: &IpNet) -> bool {
    network.prefix_len() == 0
}

/// Whether the internet may be on the other side; all addresses of a machine (`0.0.0.0`) may be any.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => !(address.is_loopback() || address.is_private() || address.is_link_local()),
        IpAddr::V6(address) => !(address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()),
    }
}
