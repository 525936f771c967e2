//! Who calls whom: what grants allow, and what was seen.
//!
//! Calls are counted on the request path, so counting is a look-up in an immutable map and one atomic; only the first
//! call between two services takes a lock and makes a new map. The number of pairs is bounded: names of services come
//! from operators and files, but a bound that depends on good manners is none. What is over it is counted as a whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

/// Pairs of services whose calls are counted one by one.
const MAX_EDGES: usize = 4096;

type Counts = HashMap<Arc<str>, HashMap<Arc<str>, Arc<AtomicU64>>>;

/// The services and their calls as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphRecord {
    /// Every service that is registered or at an end of an edge, by name.
    pub services: Vec<String>,
    /// By caller, then by whom it calls.
    pub edges: Vec<EdgeRecord>,
    /// Calls between pairs that there was no place to count apart.
    pub uncounted: u64,
}

/// One service may call, or has called, another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeRecord {
    /// The caller.
    pub from: String,
    /// Whom it calls.
    pub to: String,
    /// Whether a grant allows it now.
    pub allowed: bool,
    /// Calls since the process started.
    pub calls: u64,
}

/// See the module header.
#[derive(Debug, Default)]
pub(super) struct Graph {
    allowed: ArcSwap<BTreeMap<String, Vec<String>>>,
    counts: ArcSwap<Counts>,
    adding: Mutex<usize>,
    uncounted: AtomicU64,
}

impl Graph {
    pub(super) fn allow(&self, pairs: BTreeMap<String, Vec<String>>) {
        self.allowed.store(Arc::new(pairs));
    }

    pub(super) fn observed(&self, from: &str, to: &str) {
        let find = |counts: &Counts| counts.get(from).and_then(|to_all| to_all.get(to)).cloned();
        if let Some(count) = find(&self.counts.load()) {
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut edges = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.counts.load_full();
        if let Some(count) = find(&known) {
            count.fetch_add(1, Ordering::Relaxed);
        } else if *edges < MAX_EDGES {
            let mut counts = Counts::clone(&known);
            counts.entry(from.into()).or_default().insert(to.into(), Arc::new(AtomicU64::new(1)));
            self.counts.store(Arc::new(counts));
            *edges += 1;
        } else {
            self.uncounted.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// With these services, and those that calls name.
    pub(super) fn record(&self, services: impl Iterator<Item = String>) -> GraphRecord {
        let mut edges: BTreeMap<(String, String), (bool, u64)> = BTreeMap::new();
        for (from, to_all) in self.allowed.load().iter() {
            for to in to_all {
                edges.entry((from.clone(), to.clone())).or_default().0 = true;
            }
        }
        for (from, to_all) in self.counts.load().iter() {
            for (to, count) in to_all {
                edges.entry((from.to_string(), to.to_string())).or_default().1 = count.load(Ordering::Relaxed);
            }
        }
        let mut names: Vec<String> = services.collect();
        names.extend(edges.keys().flat_map(|(from, to)| [from.clone(), to.clone()]));
        names.sort_unstable();
        names.dedup();
        let edge = |((from, to), (allowed, calls))| EdgeRecord { from, to, allowed, calls };
        let uncounted = self.uncounted.load(Ordering::Relaxed);
        GraphRecord { services: names, edges: edges.into_iter().map(edge).collect(), uncounted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_and_calls_are_edges_of_one_graph() {
        let graph = Graph::default();
        graph.allow(BTreeMap::from([("orders".to_owned(), vec!["users".to_owned(), "pricing".to_owned()])]));
        for _ in 0..3 {
            graph.observed("orders", "users");
        }
        graph.observed("old", "users");
        let record = graph.record(["lonely".to_owned()].into_iter());
        assert_eq!(record.services, ["lonely", "old", "orders", "pricing", "users"]);
        let edges: Vec<_> = record.edges.iter().map(|e| (&*e.from, &*e.to, e.allowed, e.calls)).collect();
        let expected = [("old", "users", false, 1), ("orders", "pricing", true, 0), ("orders", "users", true, 3)];
        assert_eq!(edges, expected);
    }

    #[test]
    fn the_number_of_counted_pairs_is_bounded() {
        let graph = Graph::default();
        for n in 0..MAX_EDGES + 5 {
            graph.observed("a", &n.to_string());
        }
        graph.observed("a", "0");
        let record = graph.record(std::iter::empty());
        assert_eq!((record.edges.len(), record.uncounted), (MAX_EDGES, 5));
        assert_eq!(record.edges.iter().map(|edge| edge.calls).sum::<u64>(), MAX_EDGES as u64 + 1);
    }
}
