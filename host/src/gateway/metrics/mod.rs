//! `GET /metrics`: everything that is counted anyway, read when somebody asks.
//!
//! There are no second counters that could say something else than what policies decide by: breakers, bulkheads,
//! balancers, the registry and rollouts are asked at the moment of the scrape. A scrape takes some locks for the time of
//! a map operation; no request waits for one.
//!
//! What a series may be named by: a service, a version and its digest, a filter's place in the configuration, and words
//! of fixed lists. Nothing that a client sends, so the number of series follows from the configuration and from what is
//! registered; it does not grow with requests. Instances have no series of their own, because they come and go: they
//! are counted by health. Each series is there from the start, at 0, so that its first increase is seen.
//!
//! `page` writes, `of_services`, `of_versions`, `of_host` and `of_process` say what. `docs/metrics.md` lists all; a test compares.

mod of_events;
mod of_host;
mod of_process;
mod of_services;
mod of_versions;
mod page;

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry as Exposition;

pub(crate) use page::Format;

use super::services::Services;
use crate::events::Events;
use crate::registry::Registry;
use crate::telemetry::Reloads;
use page::Page;

/// What all names begin with.
const PREFIX: &str = "wharf";

/// What there is to be read; nothing, by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics(Option<Sources>);

#[derive(Debug, Clone)]
struct Sources {
    services: Arc<Services>,
    registry: Arc<Registry>,
    reloads: Arc<Reloads>,
    events: Option<Arc<Events>>,
}

/// One reading.
#[derive(Debug)]
struct Scrape {
    sources: Sources,
    format: Format,
}

impl Metrics {
    pub(crate) fn new(services: Arc<Services>, registry: Arc<Registry>, reloads: Arc<Reloads>) -> Self {
        Self(Some(Sources { services, registry, reloads, events: None }))
    }

    /// The same, with events.
    pub(crate) fn with_events(self, events: Arc<Events>) -> Self {
        Self(self.0.map(|sources| Sources { events: Some(events), ..sources }))
    }

    /// All metrics as they are now.
    pub(crate) fn page(&self, format: Format) -> String {
        let mut exposition = Exposition::default();
        if let Some(sources) = &self.0 {
            let scrape = Scrape { sources: sources.clone(), format };
            exposition.sub_registry_with_prefix(PREFIX).register_collector(Box::new(scrape));
            exposition.register_collector(Box::new(of_process::Process(format)));
        }
        let mut page = String::new();
        let written = match format {
            Format::Text => text::encode_registry(&mut page, &exposition),
            Format::OpenMetrics => text::encode(&mut page, &exposition),
        };
        if written.is_err() {
            // Writing to memory does not fail.
            tracing::error!("the metrics could not be written");
        }
        page
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Sources { services, registry, reloads, events } = &self.sources;
        let mut page = Page::new(encoder, self.format);
        let snapshot = services.snapshot();
        of_host::write(&mut page, services, registry, reloads)?;
        of_services::write(&mut page, services, &snapshot, registry)?;
        of_versions::write(&mut page, services, &snapshot)?;
        of_events::write(&mut page, events.as_deref())
    }
}

#[cfg(test)]
mod tests;
