//! A service as one request sees it: which version it gets.
//!
//! A request that names no version, or one that a file has in its name (`orders@2.wasm`), goes to that file: to what
//! serves there, or to the candidate on trial, by chance and in its percentage. A label that only a component has in
//! its metadata names exactly that component.

use std::sync::Arc;

use super::{File, Known, ServiceRuntime};
use crate::plugin::Version;
use crate::policy::Statistics;

/// A service in a snapshot.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) runtime: Arc<ServiceRuntime>,
    /// The place in `files` of the one for requests that name no version.
    default: Option<usize>,
    files: Vec<Serving>,
}

/// What serves from one file.
#[derive(Debug)]
struct Serving {
    /// From the name of the file.
    label: Option<Arc<str>>,
    stable: Arc<Version>,
    candidate: Option<OnTrial>,
}

/// A version on trial, and what the trial counts.
#[derive(Debug)]
struct OnTrial {
    version: Arc<Version>,
    percent: u8,
    of_candidate: Arc<Statistics>,
    of_stable: Arc<Statistics>,
}

/// The version that a request gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) version: &'a Arc<Version>,
    /// Where its outcome is counted, while there is a trial.
    pub(crate) statistics: Option<&'a Arc<Statistics>>,
}

impl Backend {
    pub(super) fn new(service: &Known) -> Self {
        let files: Vec<_> = service.files.values().filter_map(Serving::new).collect();
        // Without a plain file, the last label in alphabetical order; files are sorted by name.
        let default = files.iter().position(|file| file.label.is_none()).or_else(|| files.len().checked_sub(1));
        Self { runtime: Arc::clone(&service.runtime), default, files }
    }

    /// The version for a request that names this label, or none.
    pub(crate) fn choose(&self, label: Option<&str>) -> Option<Choice<'_>> {
        let Some(label) = label else { return Some(self.files.get(self.default?)?.split()) };
        let of_file = self.files.iter().find(|file| file.label.as_deref() == Some(label)).map(Serving::split);
        of_file.or_else(|| {
            let mut plain = self.files.iter().filter(|file| file.label.is_none()).flat_map(Serving::versions);
            plain.find(|choice| **choice.version.label() == *label)
        })
    }
}

impl Serving {
    fn new(file: &File) -> Option<Self> {
        let candidate = file.line.candidate().map(|candidate| OnTrial {
            version: Arc::clone(&candidate.version),
            percent: candidate.canary.percent(),
            of_candidate: Arc::clone(candidate.canary.candidate()),
            of_stable: Arc::clone(candidate.canary.stable()),
        });
        Some(Self { label: file.label.clone(), stable: Arc::clone(file.line.stable()?), candidate })
    }

    fn split(&self) -> Choice<'_> {
        match &self.candidate {
            Some(trial) if hits(trial.percent) => trial.choice(),
            Some(_) | None => self.stable(),
        }
    }

    fn stable(&self) -> Choice<'_> {
        Choice { version: &self.stable, statistics: self.candidate.as_ref().map(|trial| &trial.of_stable) }
    }

    fn versions(&self) -> impl Iterator<Item = Choice<'_>> {
        std::iter::once(self.stable()).chain(self.candidate.iter().map(OnTrial::choice))
    }
}

impl OnTrial {
    fn choice(&self) -> Choice<'_> {
        Choice { version: &self.version, statistics: Some(&self.of_candidate) }
    }
}

/// True in so many of a hundred cases.
fn hits(percent: u8) -> bool {
    fastrand::u8(..100) < percent
}

#[cfg(test)]
mod tests {
    use super::hits;

    #[test]
    fn a_percentage_is_kept_and_its_ends_are_exact() {
        assert!((0..10_000).all(|_| hits(100) && !hits(0)));
        let count = (0..100_000).filter(|_| hits(5)).count();
        // Six standard deviations.
        assert!((4580..5420).contains(&count), "{count}");
    }
}
