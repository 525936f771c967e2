//! How many connections a listener holds, in all and of one client.
//!
//! Only connections that are open are remembered, so memory is bounded by the listener's bound. IPv6 clients count by
//! their /64, which is the least that one of them is given; an IPv4 address in IPv6 clothes counts as what it is. The
//! default for one client is a quarter of the listener's: one address alone cannot shut others out, and what shares
//! an address honestly (a proxy in front, the users behind one NAT) has far more than it needs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Connections;

/// Counts the connections of one listener.
#[derive(Debug)]
pub(crate) struct Admission(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    open: u32,
    clients: HashMap<IpAddr, u32>,
    max: u32,
    max_per_client: u32,
}

/// One open connection; give it up by dropping it.
#[derive(Debug)]
pub(crate) struct Guard {
    admission: Arc<Admission>,
    client: IpAddr,
}

impl Admission {
    pub(crate) fn new(connections: &Connections) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Counts {
            open: 0,
            clients: HashMap::new(),
            max: connections.max_per_listener,
            max_per_client: connections.max_per_client,
        })))
    }

    /// Other bounds from now on. Who is in stays, even if there are too many.
    pub(crate) fn set(&self, connections: &Connections) {
        let mut counts = self.counts();
        counts.max = connections.max_per_listener;
        counts.max_per_client = connections.max_per_client;
    }

    /// Lets a connection in, unless there are too many.
    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Guard> {
        let client = customer(peer);
        let mut counts = self.counts();
        let Counts { open, clients, max, max_per_client } = &mut *counts;
        let of_client = clients.get(&client).copied().unwrap_or(0);
        if *open >= *max || (*max_per_client > 0 && of_client >= *max_per_client) {
            return None;
        }
        *open += 1;
        clients.insert(client, of_client + 1);
        drop(counts);
        Some(Guard { admission: Arc::clone(self), client })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut counts = self.admission.counts();
        counts.open = counts.open.saturating_sub(1);
        if let Some(of_client) = counts.clients.get_mut(&self.client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                counts.clients.remove(&self.client);
            }
        }
    }
}

pub(crate) fn customer(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max: u32, max_per_client: u32) -> Arc<Admission> {
        Admission::new(&Connections { max_per_listener: max, max_per_client, ..Connections::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_full_listener_lets_nobody_in_until_somebody_leaves() {
        let admission = admission(2, 0);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _second = admission.admit(ip("192.0.2.2")).unwrap();
        assert!(admission.admit(ip("192.0.2.3")).is_none());
        drop(first);
        assert!(admission.admit(ip("192.0.2.3")).is_some());
    }

    #[test]
    fn one_client_cannot_take_the_places_of_others() {
        let admission = admission(100, 2);
        let held: Vec<_> = (0..5).filter_map(|_| admission.admit(ip("192.0.2.1"))).collect();
        assert_eq!(held.len(), 2);
        let _other = admission.admit(ip("192.0.2.2")).unwrap();
        drop(held);
        assert!(admission.admit(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn without_a_bound_for_clients_only_the_listeners_counts() {
        let admission = admission(5, 0);
        let held: Vec<_> = (0..10).filter_map(|_| admission.admit(ip("192.0.2.1"))).collect();
        assert_eq!(held.len(), 5);
    }

    #[test]
    fn ipv6_clients_count_by_their_64_and_mapped_ipv4_as_ipv4() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
        ] {
            let admission = admission(10, 1);
            let _one = admission.admit(ip(one)).unwrap();
            assert_eq!(admission.admit(ip(other)).is_none(), same, "{one} {other}");
        }
    }

    #[test]
    fn nothing_is_remembered_of_those_who_left() {
        let admission = admission(100, 2);
        for n in 0..10_000u32 {
            drop(admission.admit(std::net::Ipv4Addr::from_bits(n).into()).unwrap());
        }
        let counts = admission.counts();
        assert_eq!((counts.open, counts.clients.len()), (0, 0));
    }

    #[test]
    fn new_bounds_are_for_those_who_come_next() {
        let admission = admission(5, 0);
        let held: Vec<_> = (0..5).filter_map(|_| admission.admit(ip("192.0.2.1"))).collect();
        admission.set(&Connections { max_per_listener: 2, ..Connections::default() });
        assert!(admission.admit(ip("192.0.2.2")).is_none());
        drop(held);
        assert!(admission.admit(ip("192.0.2.2")).is_some());
    }
}
