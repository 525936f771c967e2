//! Wharf beside `wasmtime serve` and native hyper: which settings, and why each.

use std::ffi::OsString;

use anyhow::Context;

use super::{GREETER, Scene, Stage};
use crate::target::{Target, Wharf};

/// Keep-resident of Wharf's pool, in bytes; the tuned peer gets the same.
const KEEP_RESIDENT: u32 = 1 << 20;
/// Requests for which a reused store lives: Wharf's default, given to the peer too.
const REUSE: u32 = 1000;

const WHARF: &str = "wharf";
const WASMTIME: &str = "wasmtime";
const WASMTIME_TUNED: &str = "wasmtime-tuned";
const NATIVE: &str = "native";
const WHARF_REUSE: &str = "wharf-reuse";
const WASMTIME_REUSE: &str = "wasmtime-reuse";

pub(super) const COMPARED: &[(&str, &str)] = &[
    (WHARF, WASMTIME),
    (WHARF, WASMTIME_TUNED),
    (WHARF, NATIVE),
    (WHARF_REUSE, WASMTIME_REUSE),
    (WHARF_REUSE, NATIVE),
];

pub(super) fn start(stage: &Stage<'_>) -> anyhow::Result<Scene> {
    let path = format!("/{GREETER}/");
    // As it is after installation: every policy at its default, the access log written to a file.
    let defaults = Wharf {
        key: WHARF,
        title: "Wharf, defaults",
        settings: "no configuration; access log (JSON) to a file",
        plugins: &stage.greeter(),
        path: &path,
        logs: true,
        ..Wharf::default()
    };
    let reuse = Wharf {
        key: WHARF_REUSE,
        title: "Wharf, `slots: reuse`",
        settings: "`slots: reuse` for the service, the rest as above",
        services: &[(GREETER, "slots: reuse\n")],
        ..defaults
    };
    let memory = format!("pooling-memory-keep-resident={KEEP_RESIDENT}");
    let table = format!("pooling-table-keep-resident={KEEP_RESIDENT}");
    let times = REUSE.to_string();
    let pool = ["-O", "pooling-allocator=y", "-O", "pooling-pagemap-scan=auto", "-O", &memory, "-O", &table];
    let with_reuse = [pool.as_slice(), &["--max-instance-reuse-count", &times]].concat();

    let mut scene = Scene::default();
    let answer = scene.start_alike(stage, [stage.programs.wharf(&defaults)?], None)?;
    let answer = answer.context("nobody answered")?;
    let others = [
        wasmtime(stage, WASMTIME, "`wasmtime serve`, defaults", &[]),
        wasmtime(stage, WASMTIME_TUNED, "`wasmtime serve`, pool tuned", &pool),
        stage.programs.native(NATIVE, "native hyper, same bytes", &answer)?,
        stage.programs.wharf(&reuse)?,
        wasmtime(stage, WASMTIME_REUSE, "`wasmtime serve`, tuned, reuse", &with_reuse),
    ];
    scene.start_alike(stage, others, Some(answer))?;
    Ok(scene)
}

fn wasmtime(stage: &Stage<'_>, key: &'static str, title: &'static str, flags: &[&str]) -> Target {
    let command = ["serve", "-Scli", "--addr", "127.0.0.1:0"];
    let mut arguments: Vec<OsString> = command.iter().chain(flags).map(OsString::from).collect();
    arguments.push(stage.programs.greeter.as_os_str().to_owned());
    let flags = if flags.is_empty() { String::new() } else { format!(" {}", flags.join(" ")) };
    Target {
        key,
        title,
        program: stage.programs.wasmtime.to_owned(),
        arguments,
        address: None,
        path: "/".to_owned(),
        logs: false,
        exact: false,
        settings: format!("`wasmtime serve -Scli{flags}`"),
    }
}
