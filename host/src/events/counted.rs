//! What metrics tell of events. Series follow from the configuration: services that may publish, and subscriptions.

use super::Events;
use super::subscription::Standing;

/// A subscription in numbers.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    pub(crate) service: String,
    pub(crate) name: String,
    /// Deliveries by what they came to.
    pub(crate) outcomes: [(&'static str, u64); 4],
    /// Places of the log that it has not come past.
    pub(crate) lag: u64,
    pub(crate) in_flight: usize,
    pub(crate) waiting: usize,
    /// Its service is not there.
    pub(crate) paused: bool,
}

impl Events {
    /// Events by the service that published them.
    pub(crate) fn published(&self) -> Vec<(String, u64)> {
        self.parts.bus.published()
    }

    /// Chains of events that were cut, by the service that would have gone on.
    pub(crate) fn cut(&self) -> Vec<(String, u64)> {
        self.parts.bus.cut()
    }

    /// All subscriptions of the configuration.
    pub(crate) fn counted(&self) -> Vec<Counted> {
        let set = self.lock();
        let counted = set.known.iter().map(|(id, known)| Counted {
            service: id.service.clone(),
            name: id.name.clone(),
            outcomes: known.shared.outcomes(),
            lag: known.shared.lag(),
            in_flight: known.shared.in_flight(),
            waiting: known.shared.waiting(),
            paused: known.shared.standing().0 == Standing::Paused,
        });
        counted.collect()
    }
}
