//! Whether a client's address may come: who is in `deny` stays out; if there is an `allow`, only who is in it gets in.
//!
//! An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`) is the IPv4 address, in rules and in clients, so that nobody
//! gets around a rule by the family of a socket. A scan of the lists: rules are a handful, and a trie would only win
//! with hundreds.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::config;

/// The client's address may not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AddressDenied;

/// `ipRules`, ready to be asked.
#[derive(Debug)]
pub(crate) struct IpRules {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
}

impl IpRules {
    pub(crate) fn new(rules: &config::IpRules) -> Self {
        let canonical = |nets: &[IpNet]| nets.iter().map(canonical).collect();
        Self { allow: canonical(&rules.allow), deny: canonical(&rules.deny) }
    }

    /// `client` is the client behind trusted proxies.
    ///
    /// # Errors
    /// When it may not come.
    pub(crate) fn check(&self, client: IpAddr) -> Result<(), AddressDenied> {
        let client = client.to_canonical();
        let within = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&client));
        if within(&self.deny) || !(self.allow.is_empty() || within(&self.allow)) {
            return Err(AddressDenied);
        }
        Ok(())
    }
}

/// The network of IPv4 addresses that an IPv6 one of mapped addresses means.
fn canonical(net: &IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let (Some(address), Some(prefix)) = (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96))
        && let Ok(v4) = Ipv4Net::new(address, prefix)
    {
        return IpNet::V4(v4);
    }
    *net
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(allow: &[&str], deny: &[&str], client: &str) -> bool {
        let nets = |nets: &[&str]| nets.iter().map(|net| net.parse().unwrap()).collect();
        let rules = config::IpRules { allow: nets(allow), deny: nets(deny) };
        IpRules::new(&rules).check(client.parse().unwrap()).is_ok()
    }

    #[test]
    fn deny_wins_and_an_allow_list_keeps_everybody_else_out() {
        for (allow, deny, client, expected) in [
            (&["10.0.0.0/8"][..], &[][..], "10.1.2.3", true),
            (&["10.0.0.0/8"], &[], "11.1.2.3", false),
            (&["10.0.0.0/8"], &[], "::1", false),
            (&["10.0.0.0/8"], &["10.6.0.0/16"], "10.6.0.1", false),
            (&["10.0.0.0/8"], &["10.6.0.0/16"], "10.7.0.1", true),
            (&[], &["10.6.0.0/16"], "192.0.2.1", true),
            (&[], &["2001:db8::/32"], "2001:db8::7", false),
            (&["0.0.0.0/0"], &[], "2001:db8::7", false),
        ] {
            assert_eq!(allowed(allow, deny, client), expected, "{allow:?} {deny:?} {client}");
        }
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_ipv6_clothes() {
        assert!(!allowed(&[], &["10.0.0.0/8"], "::ffff:10.1.2.3"));
        assert!(!allowed(&[], &["::ffff:10.0.0.0/104"], "10.1.2.3"));
        assert!(allowed(&["::ffff:10.0.0.0/104"], &[], "::ffff:10.1.2.3"));
        assert!(!allowed(&["::ffff:10.0.0.0/104"], &[], "11.1.2.3"));
    }
}
