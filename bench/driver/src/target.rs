//! A server with its settings, and how a Wharf with given files is one.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// One server with its settings.
pub(crate) struct Target {
    /// Stable name in the JSON.
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// Where it listens; without, it prints that itself.
    pub(crate) address: Option<SocketAddr>,
    /// What is asked for.
    pub(crate) path: String,
    /// It writes a line for every request.
    pub(crate) logs: bool,
    /// Every answer under load must have the body of the first one, byte by byte. Otherwise its status is enough, which
    /// costs the load generator less.
    pub(crate) exact: bool,
    /// How it differs from the program's defaults, for people. Without paths.
    pub(crate) settings: String,
}

/// What a target answers; all that are compared must give the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) content_type: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The programs to run.
pub(crate) struct Programs<'a> {
    pub(crate) wharf: &'a Path,
    pub(crate) wasmtime: &'a Path,
    pub(crate) native: &'a Path,
    pub(crate) nginx: Option<&'a Path>,
    pub(crate) haproxy: Option<&'a Path>,
    /// The component that answers.
    pub(crate) greeter: &'a Path,
    /// The component that calls it.
    pub(crate) caller: &'a Path,
    /// The component with a database.
    pub(crate) ledger: &'a Path,
    /// A folder of this run's own.
    pub(crate) scratch: &'a Path,
}

/// A Wharf with files of its own.
#[derive(Default)]
pub(crate) struct Wharf<'a> {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) settings: &'static str,
    /// Names and files of the components.
    pub(crate) plugins: &'a [(&'a str, &'a Path)],
    /// `gateway.yaml`; none if empty.
    pub(crate) gateway: &'a str,
    /// Names and contents of `services/<name>.yaml`.
    pub(crate) services: &'a [(&'a str, &'a str)],
    /// Any free one if not given.
    pub(crate) address: Option<SocketAddr>,
    pub(crate) path: &'a str,
    /// The access log is on, as it is by default.
    pub(crate) logs: bool,
}

impl Programs<'_> {
    /// Writes the files; every Wharf of a run has a folder of its own.
    pub(crate) fn wharf(&self, wharf: &Wharf<'_>) -> anyhow::Result<Target> {
        let home = self.scratch.join(wharf.key);
        let (config, plugins) = (home.join("config"), home.join("plugins"));
        fs::create_dir_all(config.join("services"))?;
        fs::create_dir_all(&plugins)?;
        for (name, component) in wharf.plugins {
            fs::copy(component, plugins.join(name).with_extension("wasm"))
                .with_context(|| format!("cannot copy the component {}", component.display()))?;
        }
        if !wharf.gateway.is_empty() {
            fs::write(config.join("gateway.yaml"), wharf.gateway)?;
        }
        for (name, service) in wharf.services {
            fs::write(config.join("services").join(name).with_extension("yaml"), service)?;
        }
        let listen = wharf.address.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let arguments = flags([
            ("--config", config.into_os_string()),
            ("--plugins", plugins.into_os_string()),
            ("--state", home.join("state").into_os_string()),
            ("--listen", listen.into()),
            ("--admin", "127.0.0.1:0".into()),
        ]);
        Ok(Target {
            key: wharf.key,
            title: wharf.title,
            program: self.wharf.to_owned(),
            arguments: [vec![OsString::from("serve")], arguments].concat(),
            address: wharf.address,
            path: wharf.path.to_owned(),
            logs: wharf.logs,
            exact: false,
            settings: wharf.settings.to_owned(),
        })
    }

    /// The native server that reads so many rows by key for each request.
    pub(crate) fn native_points(&self, key: &'static str, title: &'static str, points: u32) -> Target {
        Target {
            key,
            title,
            program: self.native.to_owned(),
            arguments: flags([
                ("--listen", "127.0.0.1:0".into()),
                ("--content-type", "text/plain".into()),
                ("--database", self.scratch.join(key).into_os_string()),
                ("--points", points.to_string().into()),
            ]),
            address: None,
            path: "/".to_owned(),
            logs: false,
            exact: true,
            settings: "hyper and rusqlite, a connection for each thread, statements kept compiled".to_owned(),
        }
    }

    /// The native server that gives this answer.
    pub(crate) fn native(&self, key: &'static str, title: &'static str, answer: &Answer) -> anyhow::Result<Target> {
        let body = self.scratch.join("body");
        fs::write(&body, &answer.body)?;
        let content_type = answer.content_type.as_deref().context("the answer has no content type")?;
        Ok(Target {
            key,
            title,
            program: self.native.to_owned(),
            arguments: flags([
                ("--listen", "127.0.0.1:0".into()),
                ("--body", body.into_os_string()),
                ("--content-type", content_type.into()),
            ]),
            address: None,
            path: "/".to_owned(),
            logs: false,
            exact: false,
            settings: "no sandbox, no gateway, no log: the limit".to_owned(),
        })
    }
}

fn flags<const N: usize>(flags: [(&str, OsString); N]) -> Vec<OsString> {
    flags.into_iter().flat_map(|(flag, value)| [flag.into(), value]).collect()
}

/// An address that is free now, for what must be told its own before it starts.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
