//! A service as one request sees it: which version it gets, and who can answer for that.
//!
//! A request that names no version, or one that a file has in its name (`orders@2.wasm`), goes to that file: to what
//! serves there, or to the candidate on trial, in its percentage. A label that only a component has in its metadata
//! names exactly that component. Remote instances stand beside the component of the same label; those of a label that no
//! component has are a version of their own, and those without a label are instances of whatever serves requests that
//! name none.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;

use super::rollouts::hex;
use super::{File, Known, ServiceRuntime};
use crate::config::Service;
use crate::gateway::forward::{Names, Pool, Target};
use crate::gateway::split::{Facts, Split};
use crate::plugin::{Version, number};
use crate::policy::{RetryPolicy, Statistics};
use crate::registry::{Instance, Kind};

/// What a request may say to get one of the two versions of a trial.
const TRIAL: [&str; 2] = ["stable", "canary"];

/// A service in a snapshot.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) runtime: Arc<ServiceRuntime>,
    pub(crate) settings: Arc<Service>,
    /// When requests are tried again, if their rule does not say.
    pub(crate) retry: Option<RetryPolicy>,
    /// Who gets which version of a trial.
    split: Split,
    /// The place in `versions` of the one for requests that name none.
    default: Option<usize>,
    versions: Vec<Serving>,
}

/// What serves under one label, or from one file.
#[derive(Debug)]
struct Serving {
    /// From the name of the file, or of the remote instances.
    label: Option<Arc<str>>,
    stable: Pool,
    candidate: Option<OnTrial>,
}

/// A version on trial, and what the trial counts.
#[derive(Debug)]
struct OnTrial {
    pool: Pool,
    percent: u8,
    of_candidate: Arc<Statistics>,
    of_stable: Arc<Statistics>,
}

/// The version that a request gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) pool: &'a Pool,
    /// Where its outcome is counted, while there is a trial.
    pub(crate) statistics: Option<&'a Arc<Statistics>>,
}

/// What a backend is made of.
pub(super) struct Parts<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) settings: Arc<Service>,
    /// As the registry has them.
    pub(super) instances: Vec<Arc<Instance>>,
}

impl Backend {
    pub(super) fn new(service: &Known, parts: Parts<'_>) -> Self {
        let Parts { name, settings, instances } = parts;
        let (mut remotes, locals): (Vec<_>, Vec<_>) = instances.into_iter().partition(|instance| instance.is_remote());
        let runtime = Arc::clone(&service.runtime);
        let files: Vec<&File> = service.files.values().filter(|file| file.line.stable().is_some()).collect();
        // Without a plain file, the last label in alphabetical order; files are sorted by name.
        let of_files = files.iter().position(|file| file.label.is_none()).or_else(|| files.len().checked_sub(1));
        let maker = Maker { name, settings: &settings, runtime: &runtime, locals: &locals };
        let mut versions = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let Some(stable) = file.line.stable() else { continue };
            let label = file.label.as_ref().unwrap_or(stable.label());
            let (beside, rest) = remotes.into_iter().partition(|remote| match &remote.version {
                Some(version) => version == label,
                None => of_files == Some(index),
            });
            remotes = rest;
            versions.push(maker.of_file(file, stable, beside));
        }
        remotes.sort_by(|a, b| a.version.cmp(&b.version));
        for group in remotes.chunk_by(|a, b| a.version == b.version) {
            versions.extend(maker.of_remotes(group));
        }
        let default = of_files.or_else(|| {
            let unnamed = versions.iter().position(|version| version.label.is_none());
            unnamed.or_else(|| versions.len().checked_sub(1))
        });
        let canary = settings.rollout.canary.as_ref();
        let split = Split::new(&canary.and_then(|canary| canary.split.clone()).unwrap_or_default(), name);
        let retry = settings.retry.as_ref().map(|retry| RetryPolicy::new(&retry.terms()));
        Self { runtime, retry, split, default, versions, settings }
    }

    /// The version for a request that names this label, or none. A WebSocket is no part of a trial: components, and only
    /// they are on trial, do not speak it.
    pub(crate) fn choose(
        &self,
        label: Option<&str>,
        headers: &HeaderMap,
        client: Option<IpAddr>,
        is_web_socket: bool,
    ) -> Option<Choice<'_>> {
        let serving = match label {
            None => Some(self.versions.get(self.default?)?),
            Some(label) => self.versions.iter().find(|version| version.label.as_deref() == Some(label)),
        };
        if let Some(serving) = serving {
            return Some(match is_web_socket {
                true => Choice { statistics: None, ..serving.stable() },
                false => serving.split(&self.split, headers, client),
            });
        }
        let label = label?;
        let mut plain = self.versions.iter().filter(|version| version.label.is_none()).flat_map(Serving::choices);
        plain.find(|choice| *choice.pool.label == *label)
    }

    /// The newest version whose label is a semantic version like this: its label, or none if it is the one for requests
    /// that name none.
    pub(crate) fn newest(&self, fits: impl Fn(&semver::Version) -> bool) -> Option<Option<Arc<str>>> {
        let found = self.labelled().filter(|(number, ..)| fits(number)).max_by(|(a, ..), (b, ..)| a.cmp(b));
        found.map(|(_, index, label)| (self.default != Some(index)).then(|| Arc::clone(label)))
    }

    /// The first numbers of its versions.
    pub(crate) fn numbers(&self) -> Vec<String> {
        let mut numbers: Vec<u64> = self.labelled().map(|(number, ..)| number.major).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().map(u64::to_string).collect()
    }

    fn labelled(&self) -> impl Iterator<Item = (semver::Version, usize, &Arc<str>)> {
        self.versions.iter().enumerate().filter_map(|(index, version)| {
            let label = version.label.as_ref().unwrap_or(&version.stable.label);
            Some((number(label)?, index, label))
        })
    }

    /// Everybody who can answer for it.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.versions.iter().flat_map(Serving::choices).map(|choice| choice.pool)
    }
}

impl Serving {
    fn split(&self, split: &Split, headers: &HeaderMap, client: Option<IpAddr>) -> Choice<'_> {
        let Some(trial) = &self.candidate else { return self.stable() };
        let percent = u32::from(trial.percent);
        let choices = TRIAL.into_iter().zip([100u32.saturating_sub(percent), percent]);
        match split.choose(choices, Facts { headers, client }, fastrand::u64(..)) {
            Some(1) => trial.choice(),
            Some(_) | None => self.stable(),
        }
    }

    fn stable(&self) -> Choice<'_> {
        Choice { pool: &self.stable, statistics: self.candidate.as_ref().map(|trial| &trial.of_stable) }
    }

    fn choices(&self) -> impl Iterator<Item = Choice<'_>> {
        std::iter::once(self.stable()).chain(self.candidate.iter().map(OnTrial::choice))
    }
}

impl OnTrial {
    fn choice(&self) -> Choice<'_> {
        Choice { pool: &self.pool, statistics: Some(&self.of_candidate) }
    }
}

/// Makes the pools of one service.
struct Maker<'a> {
    name: &'a Arc<str>,
    settings: &'a Service,
    runtime: &'a ServiceRuntime,
    locals: &'a [Arc<Instance>],
}

impl Maker<'_> {
    fn of_file(&self, file: &File, stable: &Arc<Version>, remotes: Vec<Arc<Instance>>) -> Serving {
        let candidate = file.line.candidate().map(|candidate| OnTrial {
            pool: self.pool(&candidate.version, Vec::new()),
            percent: candidate.canary.percent(),
            of_candidate: Arc::clone(candidate.canary.candidate()),
            of_stable: Arc::clone(candidate.canary.stable()),
        });
        Serving { label: file.label.clone(), stable: self.pool(stable, remotes), candidate }
    }

    fn pool(&self, version: &Arc<Version>, remotes: Vec<Arc<Instance>>) -> Pool {
        let hex = hex(version.digest());
        let is_it = |one: &&Arc<Instance>| matches!(&one.kind, Kind::Local { digest } if **digest == *hex);
        let instance = self.locals.iter().find(is_it).cloned();
        let digest = hex.get(..8).unwrap_or_default();
        let key: Arc<str> = format!("{}/{}@{digest}", self.name, version.label()).into();
        let mut endpoints = vec![(Arc::clone(&key), instance, Target::Local(Arc::clone(version)))];
        endpoints.extend(self.remote(&remotes));
        let names = self.names(key, version.label(), Some(digest));
        Pool::new(&names, self.settings, &self.runtime.carried, endpoints)
    }

    /// A version that nobody has here.
    fn of_remotes(&self, remotes: &[Arc<Instance>]) -> Option<Serving> {
        let label = remotes.first()?.version.clone();
        let key = format!("{}/{}@remote", self.name, label.as_deref().unwrap_or_default()).into();
        let shown = label.clone().unwrap_or_default();
        let endpoints = self.remote(remotes).collect();
        let names = self.names(key, &shown, None);
        let stable = Pool::new(&names, self.settings, &self.runtime.carried, endpoints);
        Some(Serving { label, stable, candidate: None })
    }

    fn names(&self, key: Arc<str>, label: &Arc<str>, digest: Option<&str>) -> Names {
        Names { service: Arc::clone(self.name), key, label: Arc::clone(label), digest: digest.map(Into::into) }
    }

    fn remote(&self, remotes: &[Arc<Instance>]) -> impl Iterator<Item = (Arc<str>, Option<Arc<Instance>>, Target)> {
        remotes.iter().filter_map(|remote| {
            let upstream = self.runtime.carried.upstream(remote)?;
            Some((Arc::clone(&remote.id), Some(Arc::clone(remote)), Target::Remote(upstream)))
        })
    }
}
