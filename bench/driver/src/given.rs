//! What `run.sh` built or found, and what is told about it in a report.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::part::Part;
use crate::report::Version;
use crate::target::Programs;

/// What `run.sh` adds.
#[derive(Debug, clap::Args)]
pub(crate) struct Given {
    #[arg(long, hide = true)]
    pub(crate) wharf: PathBuf,
    #[arg(long, hide = true)]
    pub(crate) wasmtime: PathBuf,
    #[arg(long, hide = true)]
    pub(crate) native: PathBuf,
    /// Not measured if not given
    #[arg(long, hide = true)]
    pub(crate) nginx: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub(crate) haproxy: Option<PathBuf>,
    #[arg(long, hide = true)]
    pub(crate) greeter: PathBuf,
    #[arg(long, hide = true)]
    pub(crate) caller: PathBuf,
    /// The component with a database
    #[arg(long, hide = true)]
    pub(crate) ledger: PathBuf,
    /// The folder `bench`
    #[arg(long, hide = true)]
    pub(crate) home: PathBuf,
    /// How the peer was built
    #[arg(long, hide = true)]
    pub(crate) wasmtime_build: String,
    /// Commit of what is measured
    #[arg(long, hide = true)]
    pub(crate) revision: String,
}

impl Given {
    /// Everything that can be started, with a folder for its files.
    pub(crate) fn programs<'a>(&'a self, scratch: &'a Path) -> Programs<'a> {
        Programs {
            wharf: &self.wharf,
            wasmtime: &self.wasmtime,
            native: &self.native,
            nginx: self.nginx.as_deref(),
            haproxy: self.haproxy.as_deref(),
            greeter: &self.greeter,
            caller: &self.caller,
            ledger: &self.ledger,
            scratch,
        }
    }

    /// Of what these parts use.
    pub(crate) fn versions(&self, parts: &[Part]) -> anyhow::Result<Vec<Version>> {
        let hyper = include_str!("../../Cargo.lock").split("[[package]]").find_map(|package| {
            let version = package.trim_start().strip_prefix("name = \"hyper\"\nversion = \"")?;
            version.split_once('"').map(|(version, _)| version)
        });
        let dist = "fat LTO, one codegen unit, mimalloc";
        let size = fs::metadata(&self.greeter)?.len();
        let uses = |what: &str| parts.iter().any(|part| part.needs().contains(&what));
        let mut versions = vec![
            Version {
                what: "Wharf",
                version: format!("{}, commit {}; {dist}", said(&self.wharf, "--version")?, self.revision),
            },
            Version { what: "component", version: format!("greeter, Rust, wasi:http 0.2, {size} bytes") },
            Version { what: "load", version: said(Path::new("wrk"), "-v")? },
            Version { what: "compiler", version: said(Path::new("rustc"), "--version")? },
        ];
        if uses("wasmtime") {
            let version = format!("{}; {}", said(&self.wasmtime, "--version")?, self.wasmtime_build);
            versions.push(Version { what: "`wasmtime serve`", version });
        }
        if uses("native") {
            versions.push(Version { what: "native", version: format!("hyper {}; {dist}", hyper.unwrap_or("?")) });
        }
        for (what, program) in [("nginx", &self.nginx), ("HAProxy", &self.haproxy)] {
            if let Some(program) = program.as_ref().filter(|_| uses("proxies")) {
                versions.push(Version { what, version: said(program, "-v")? });
            }
        }
        Ok(versions)
    }
}

/// The first line of what a program says about itself, without its copyright.
fn said(program: &Path, flag: &str) -> anyhow::Result<String> {
    // The exit code means nothing here: wrk's is 1.
    let output =
        Command::new(program).arg(flag).output().with_context(|| format!("cannot run {}", program.display()))?;
    // nginx says it where others complain.
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let text = String::from_utf8_lossy(&said).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(" Copyright").next().unwrap_or_default();
    Ok(line.split(" - http").next().unwrap_or_default().trim().to_owned())
}
