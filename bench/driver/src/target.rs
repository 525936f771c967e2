//! What is compared: which programs, with which settings, and why each.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The route that Wharf gives the component, from the name of its file.
pub(crate) const SERVICE: &str = "greeter";

/// Keep-resident of Wharf's pool, in bytes; the tuned peer gets the same.
const KEEP_RESIDENT: u32 = 1 << 20;
/// Requests for which a reused store lives: Wharf's default, given to the peer too.
const REUSE: u32 = 1000;

/// One server with its settings.
pub(crate) struct Target {
    /// Stable name in the JSON.
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// What is asked for.
    pub(crate) path: String,
    /// It writes a line for every request.
    pub(crate) logs: bool,
    /// How it differs from the program's defaults, for people. Without paths.
    pub(crate) settings: String,
}

/// The answer that every target must give.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

/// The programs to run.
pub(crate) struct Programs<'a> {
    pub(crate) wharf: &'a Path,
    pub(crate) wasmtime: &'a Path,
    pub(crate) native: &'a Path,
    pub(crate) component: &'a Path,
    /// A folder of this run's own.
    pub(crate) scratch: &'a Path,
}

pub(crate) const WHARF: &str = "wharf";
pub(crate) const WASMTIME: &str = "wasmtime";
pub(crate) const WASMTIME_TUNED: &str = "wasmtime-tuned";
pub(crate) const NATIVE: &str = "native";
pub(crate) const WHARF_REUSE: &str = "wharf-reuse";
pub(crate) const WASMTIME_REUSE: &str = "wasmtime-reuse";

impl Programs<'_> {
    /// Wharf as it is after installation: every policy at its default, the access log written to a file.
    pub(crate) fn wharf(&self) -> anyhow::Result<Target> {
        self.wharf_with(WHARF, "Wharf, defaults", "", "no configuration; access log (JSON) to a file")
    }

    /// All others.
    pub(crate) fn peers(&self, answer: &Answer) -> anyhow::Result<Vec<Target>> {
        let memory = format!("pooling-memory-keep-resident={KEEP_RESIDENT}");
        let table = format!("pooling-table-keep-resident={KEEP_RESIDENT}");
        let reuse = REUSE.to_string();
        let pool = ["-O", "pooling-allocator=y", "-O", "pooling-pagemap-scan=auto", "-O", &memory, "-O", &table];
        let with_reuse = [pool.as_slice(), &["--max-instance-reuse-count", &reuse]].concat();
        Ok(vec![
            self.wasmtime_with(WASMTIME, "`wasmtime serve`, defaults", &[]),
            self.wasmtime_with(WASMTIME_TUNED, "`wasmtime serve`, pool tuned", &pool),
            self.native(answer)?,
            self.wharf_with(
                WHARF_REUSE,
                "Wharf, `slots: reuse`",
                "slots: reuse\n",
                "`slots: reuse` for the service, the rest as above",
            )?,
            self.wasmtime_with(WASMTIME_REUSE, "`wasmtime serve`, tuned, reuse", &with_reuse),
        ])
    }

    fn wharf_with(
        &self,
        key: &'static str,
        title: &'static str,
        service: &str,
        settings: &str,
    ) -> anyhow::Result<Target> {
        let home = self.scratch.join(key);
        let (config, plugins) = (home.join("config"), home.join("plugins"));
        fs::create_dir_all(config.join("services"))?;
        fs::create_dir_all(&plugins)?;
        fs::copy(self.component, plugins.join(SERVICE).with_extension("wasm"))
            .with_context(|| format!("cannot copy the component {}", self.component.display()))?;
        if !service.is_empty() {
            fs::write(config.join("services").join(SERVICE).with_extension("yaml"), service)?;
        }
        let mut arguments = vec![OsString::from("serve")];
        for (flag, value) in [
            ("--config", config.into_os_string()),
            ("--plugins", plugins.into_os_string()),
            ("--state", home.join("state").into_os_string()),
            ("--listen", "127.0.0.1:0".into()),
            ("--admin", "127.0.0.1:0".into()),
        ] {
            arguments.extend([flag.into(), value]);
        }
        Ok(Target {
            key,
            title,
            program: self.wharf.to_owned(),
            arguments,
            path: format!("/{SERVICE}/"),
            logs: true,
            settings: settings.to_owned(),
        })
    }

    fn wasmtime_with(&self, key: &'static str, title: &'static str, flags: &[&str]) -> Target {
        let command = ["serve", "-Scli", "--addr", "127.0.0.1:0"];
        let mut arguments: Vec<OsString> = command.iter().chain(flags).map(OsString::from).collect();
        arguments.push(self.component.as_os_str().to_owned());
        let flags = if flags.is_empty() { String::new() } else { format!(" {}", flags.join(" ")) };
        Target {
            key,
            title,
            program: self.wasmtime.to_owned(),
            arguments,
            path: "/".to_owned(),
            logs: false,
            settings: format!("`wasmtime serve -Scli{flags}`"),
        }
    }

    fn native(&self, answer: &Answer) -> anyhow::Result<Target> {
        let body = self.scratch.join("body");
        fs::write(&body, &answer.body)?;
        let mut arguments = Vec::new();
        for (flag, value) in [
            ("--listen", "127.0.0.1:0".into()),
            ("--body", body.into_os_string()),
            ("--content-type", OsString::from(&answer.content_type)),
        ] {
            arguments.extend([flag.into(), value]);
        }
        Ok(Target {
            key: NATIVE,
            title: "native hyper, same bytes",
            program: self.native.to_owned(),
            arguments,
            path: "/".to_owned(),
            logs: false,
            settings: "no sandbox, no gateway, no log: the limit".to_owned(),
        })
    }
}
