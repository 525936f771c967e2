//! Writing metrics: families in a fixed order, the series of each sorted and each of them once.
//!
//! Two formats. OpenMetrics calls a family of counters `x` and its samples `x_total`; the older text format has one name
//! for both. Readers that do not ask for OpenMetrics get the older one, which every tool understands.

use std::collections::BTreeMap;
use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// One value of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Only ever grows.
    Count(u64),
    /// Only ever grows, and not in whole steps.
    Sum(f64),
    /// As it is now.
    Gauge(f64),
    /// All seconds together, and how many lie below each bound and above the one before.
    Times(f64, Vec<(f64, u64)>),
}

/// What a family is called, without prefix and `_total`, and what it means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family<const N: usize> {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) labels: [&'static str; N],
}

/// A page that is being written.
#[derive(Debug)]
pub(super) struct Page<'a> {
    encoder: DescriptorEncoder<'a>,
    format: Format,
}

impl Format {
    /// What a reader wants that sends this as `Accept`.
    pub(crate) fn wanted(accept: Option<&str>) -> Self {
        let openmetrics = accept.is_some_and(|accept| accept.contains("application/openmetrics-text"));
        if openmetrics { Self::OpenMetrics } else { Self::Text }
    }

    /// The media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>, format: Format) -> Self {
        Self { encoder, format }
    }

    /// Counters.
    pub(super) fn counters<const N: usize>(
        &mut self,
        family: &Family<N>,
        samples: impl IntoIterator<Item = ([String; N], u64)>,
    ) -> Result<(), Error> {
        let samples = samples.into_iter().map(|(labels, count)| (labels, Value::Count(count)));
        self.family(family, MetricType::Counter, samples)
    }

    /// Gauges.
    pub(super) fn gauges<const N: usize>(
        &mut self,
        family: &Family<N>,
        samples: impl IntoIterator<Item = ([String; N], f64)>,
    ) -> Result<(), Error> {
        let samples = samples.into_iter().map(|(labels, value)| (labels, Value::Gauge(value)));
        self.family(family, MetricType::Gauge, samples)
    }

    /// A family and its series. Of two that have the same labels the first is written: two would make the page invalid.
    pub(super) fn family<const N: usize>(
        &mut self,
        family: &Family<N>,
        kind: MetricType,
        samples: impl IntoIterator<Item = ([String; N], Value)>,
    ) -> Result<(), Error> {
        let mut sorted = BTreeMap::new();
        for (labels, value) in samples {
            sorted.entry(labels).or_insert(value);
        }
        let classic = self.format == Format::Text;
        let total = (classic && matches!(kind, MetricType::Counter)).then(|| format!("{}_total", family.name));
        let name = total.as_deref().unwrap_or(family.name);
        let mut encoder = self.encoder.encode_descriptor(name, family.help, None, kind)?;
        for (values, value) in &sorted {
            if N == 0 {
                write(&mut encoder, value, classic)?;
            } else {
                let pairs: Vec<(&str, &str)> =
                    family.labels.into_iter().zip(values.iter().map(String::as_str)).collect();
                write(&mut encoder.encode_family(&pairs)?, value, classic)?;
            }
        }
        Ok(())
    }
}

fn write(encoder: &mut MetricEncoder<'_>, value: &Value, classic: bool) -> Result<(), Error> {
    match value {
        // Its name ends in `_total` already.
        Value::Sum(sum) if classic => encoder.encode_gauge(sum),
        Value::Sum(sum) => encoder.encode_counter::<NoLabelSet, f64, f64>(sum, None),
        Value::Count(count) if classic => encoder.encode_gauge(count),
        Value::Count(count) => encoder.encode_counter::<NoLabelSet, u64, f64>(count, None),
        Value::Gauge(value) => encoder.encode_gauge(value),
        Value::Times(seconds, times) => {
            // Counted from the same numbers, so that it agrees with them whatever is added meanwhile.
            let count = times.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram::<NoLabelSet>(*seconds, count, times, None)
        }
    }
}
