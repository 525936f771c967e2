//! Which addresses may be asked.
//!
//! A name resolves to whatever its owner says, so only addresses count, and they count after resolution. Public are
//! those that the registries of IANA (RFC 6890 and its successors) call globally reachable; an IPv6 address with an
//! IPv4 address in it (mapped, compatible, NAT64, 6to4) is no better than that one. What is not known to be public is
//! not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses of an origin may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// All: an operator named the server.
    Anywhere,
    /// Public ones.
    Public,
    /// Also those of the own network and of this machine; not those of links, where clouds keep their metadata.
    Private,
    /// All that one server can have: an operator wrote the address itself.
    Literal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Private,
    /// Of a link, or of a cloud's metadata.
    Local,
    /// For documentation, tests and the future.
    Reserved,
    /// No server has it: unspecified, multicast, broadcast.
    Nobody,
}

impl Reach {
    pub(super) fn allows(self, address: IpAddr) -> bool {
        match (self, kind(address)) {
            (Self::Anywhere, _) | (_, Kind::Public) => true,
            (Self::Public, _) | (_, Kind::Nobody) => false,
            (Self::Private, kind) => kind == Kind::Private,
            (Self::Literal, _) => true,
        }
    }
}

/// Where clouds answer the questions of their machines, outside of the addresses of links: Azure, Alibaba; AWS, GCP.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];

fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    if METADATA_V4.contains(&address) {
        return Kind::Local;
    }
    match address.octets() {
        [0, ..] | [224..=239, ..] | [255, 255, 255, 255] => Kind::Nobody,
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] | [198, 18..=19, ..] => {
            Kind::Private
        }
        [169, 254, ..] => Kind::Local,
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 51, 100, _] | [203, 0, 113, _] | [240..=255, ..] => {
            Kind::Reserved
        }
        _ => Kind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> Kind {
    if METADATA_V6.contains(&address) {
        return Kind::Local;
    }
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| kind_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0] if g == 0 && h == 0 => Kind::Nobody,
        [0, 0, 0, 0, 0, 0] if g == 0 && h == 1 => Kind::Private,
        // Compatible with IPv4, mapped, translated; NAT64.
        [0, 0, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        [0xff00..=0xffff, ..] => Kind::Nobody,
        [0xfe80..=0xfebf, ..] => Kind::Local,
        [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Kind::Private,
        // Of the IETF's own block (Teredo, ORCHID …), documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => Kind::Reserved,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Reserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(address: &str) -> [bool; 3] {
        let address = address.parse().unwrap();
        assert!(Reach::Anywhere.allows(address));
        [Reach::Public, Reach::Private, Reach::Literal].map(|reach| reach.allows(address))
    }

    #[test]
    fn public_addresses_may_always_be_asked() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert_eq!(allowed(address), [true; 3], "{address}");
        }
    }

    #[test]
    fn private_addresses_need_to_be_granted() {
        for address in [
            "10.0.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "::1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::10.0.0.1",
            "::ffff:0:127.0.0.1",
            "2002:7f00:1::",
            "2002:a00:1::1",
        ] {
            assert_eq!(allowed(address), [false, true, true], "{address}");
        }
    }

    #[test]
    fn links_metadata_and_reserved_ranges_must_be_written_by_their_address() {
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "168.63.129.16",
            "100.100.100.200",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.51.100.1",
            "203.0.113.1",
            "240.0.0.1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "64:ff9b:1::1",
            "5f00::1",
            "4000::1",
        ] {
            assert_eq!(allowed(address), [false, false, true], "{address}");
        }
    }

    #[test]
    fn what_no_server_has_is_never_asked() {
        for address in
            ["0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.1.1", "255.255.255.255", "::", "ff02::1", "::ffff:0.0.0.0"]
        {
            assert_eq!(allowed(address), [false; 3], "{address}");
        }
    }
}
