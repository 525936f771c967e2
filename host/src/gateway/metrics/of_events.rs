//! What is counted of events.

use std::fmt::Error;

use super::page::{Family, Page};
use crate::events::{Counted, Events};

const PUBLISHED: Family<1> =
    Family { name: "events_published", help: "Events that a service has published.", labels: ["service"] };
const CUT: Family<1> = Family {
    name: "event_chains_cut",
    help: "Publishes refused because events.maxChain events had followed from one another.",
    labels: ["service"],
};
const DELIVERIES: Family<3> = Family {
    name: "event_deliveries",
    help: "Deliveries of events by what they came to: handled, retried, dead, or deferred because nobody was there.",
    labels: ["service", "subscription", "outcome"],
};

const EXPIRED: Family<2> = Family {
    name: "queue_messages_expired",
    help: "Messages that lay in a queue for longer than its retention, by what became of them: dropped or dead.",
    labels: ["queue", "outcome"],
};

/// A number of a subscription as it is now.
type Ask = fn(&Counted) -> f64;

const GAUGES: [(Family<2>, Ask); 4] = [
    (of_subscription("subscription_lag", "Places of the event log that are before it, of any topic."), |of| {
        of.lag as f64
    }),
    (of_subscription("subscription_in_flight", "Events on their way to the service."), |of| of.in_flight as f64),
    (of_subscription("subscription_waiting", "Events to be tried again, or held back by such."), |of| {
        of.waiting as f64
    }),
    (of_subscription("subscription_paused", "1 while the service is not there, else 0."), |of| {
        f64::from(u8::from(of.paused))
    }),
];

const fn of_subscription(name: &'static str, help: &'static str) -> Family<2> {
    Family { name, help, labels: ["service", "subscription"] }
}

pub(super) fn write(page: &mut Page<'_>, events: Option<&Events>) -> Result<(), Error> {
    let (published, all) = events.map(|events| (events.published(), events.counted())).unwrap_or_default();
    page.counters(&PUBLISHED, published.into_iter().map(|(service, count)| ([service], count)))?;
    let cut = events.map(Events::cut).unwrap_or_default();
    page.counters(&CUT, cut.into_iter().map(|(service, count)| ([service], count)))?;
    page.counters(
        &DELIVERIES,
        all.iter().flat_map(|of| {
            of.outcomes.map(|(outcome, count)| ([of.service.clone(), of.name.clone(), outcome.to_owned()], count))
        }),
    )?;
    let expired = events.map(Events::expired_messages).unwrap_or_default();
    page.counters(&EXPIRED, expired.into_iter().map(|(queue, outcome, count)| ([queue, outcome.to_owned()], count)))?;
    for (family, read) in GAUGES {
        page.gauges(&family, all.iter().map(|of| ([of.service.clone(), of.name.clone()], read(of))))?;
    }
    Ok(())
}
