//! The parts of a run: what each needs, starts and tells.
//!
//! A part is a set of servers that are measured in turn under the same load, and what follows from the samples. Parts
//! know nothing of each other and can be run alone.

mod calls;
mod peers;
mod policies;
mod proxy;
mod sql;

use std::path::Path;

use clap::ValueEnum;

use crate::interrupt::Interrupt;
use crate::report::{Figure, Measured};
use crate::server::Server;
use crate::target::{Answer, Programs, Target};

/// Name of the service that answers; its route has it too.
const GREETER: &str = "greeter";

/// One part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Wharf beside `wasmtime serve` and native hyper
    Peers,
    /// What the policies cost: all of them against none
    Policies,
    /// A call between two services: in process against loopback HTTP
    Calls,
    /// Wharf as a proxy of another server, beside nginx and HAProxy
    Proxy,
    /// A point read of a service's database, beside native rusqlite
    Sql,
}

/// The servers of a part, started and checked.
#[derive(Default)]
pub(crate) struct Scene {
    /// They are measured in this order. All asleep.
    pub(crate) servers: Vec<Server>,
    /// They work for those, and are always awake.
    pub(crate) helpers: Vec<Server>,
    /// Length of the body that is asked for.
    pub(crate) answer_bytes: usize,
}

/// Where and with what servers are started.
pub(crate) struct Stage<'a> {
    pub(crate) programs: &'a Programs<'a>,
    /// The CPU of what is measured.
    pub(crate) server: Option<usize>,
    /// The CPU of the load generator, and of helpers.
    pub(crate) load: Option<usize>,
    pub(crate) connections: u32,
    pub(crate) interrupt: &'a Interrupt,
}

impl Part {
    /// What `run.sh` must have ready for it, besides Wharf and the greeter.
    pub(crate) fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Peers => &["wasmtime", "native"],
            Self::Policies => &[],
            Self::Calls => &["caller"],
            Self::Proxy => &["native", "proxies"],
            Self::Sql => &["native", "caller"],
        }
    }

    /// Heading of its numbers with the server on one CPU.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Peers => "one core",
            Self::Policies => "the policies",
            Self::Calls => "calls between services",
            Self::Proxy => "as a proxy",
            Self::Sql => "a service's database",
        }
    }

    /// What else runs on the CPU of the load.
    pub(crate) fn beside_load(self) -> &'static str {
        match self {
            Self::Peers | Self::Policies | Self::Calls | Self::Sql => "",
            Self::Proxy => " with the backend",
        }
    }

    /// Whether it is measured a second time with everything on all CPUs.
    pub(crate) fn on_whole_machine(self) -> bool {
        self == Self::Peers
    }

    pub(crate) fn start(self, stage: &Stage<'_>) -> anyhow::Result<Scene> {
        match self {
            Self::Peers => peers::start(stage),
            Self::Policies => policies::start(stage),
            Self::Calls => calls::start(stage),
            Self::Proxy => proxy::start(stage),
            Self::Sql => sql::start(stage),
        }
    }

    /// Keys of the targets whose ratios are worth a line, the first over the second.
    pub(crate) fn compared(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Peers => peers::COMPARED,
            Self::Policies => policies::COMPARED,
            Self::Calls | Self::Sql => &[],
            Self::Proxy => proxy::COMPARED,
        }
    }

    /// What it is measured for, if that is no plain ratio.
    pub(crate) fn figures(self, targets: &[Measured]) -> Vec<Figure> {
        match self {
            Self::Peers => Vec::new(),
            Self::Policies => policies::figures(targets),
            Self::Calls => calls::figures(targets),
            Self::Proxy => proxy::figures(targets),
            Self::Sql => sql::figures(targets),
        }
    }
}

impl Stage<'_> {
    fn server(&self, target: Target) -> anyhow::Result<(Server, Answer)> {
        Server::start(target, self.server, self.programs.scratch, self.interrupt)
    }

    fn helper(&self, target: Target) -> anyhow::Result<(Server, Answer)> {
        Server::start(target, self.load, self.programs.scratch, self.interrupt)
    }

    fn greeter(&self) -> [(&'static str, &Path); 1] {
        [(GREETER, self.programs.greeter)]
    }
}

impl Scene {
    /// Starts those that must all give the same answer; returns it.
    fn start_alike(
        &mut self,
        stage: &Stage<'_>,
        targets: impl IntoIterator<Item = Target>,
        mut expected: Option<Answer>,
    ) -> anyhow::Result<Option<Answer>> {
        for target in targets {
            let (server, answer) = stage.server(target)?;
            match &expected {
                Some(expected) => server.ensure_answers(expected, &answer)?,
                None => expected = Some(answer),
            }
            server.pause()?;
            self.servers.push(server);
        }
        self.answer_bytes = expected.as_ref().map_or(0, |answer| answer.body.len());
        Ok(expected)
    }
}
