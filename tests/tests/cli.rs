//! The `wharf` command, one subcommand after the other, as somebody at a terminal or in CI uses it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use wharf_tests::{Wharf, binary, guest, versioned, within};

/// What the command does in this folder.
fn wharf(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(dir).env_remove("WHARF_ENV").stdin(Stdio::null());
    command.output().unwrap()
}

/// The same, for what must succeed.
fn prints(dir: &Path, arguments: &[&str]) -> String {
    let output = wharf(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same, for what must fail with this exit code; both outputs.
fn fails(dir: &Path, arguments: &[&str], code: i32) -> String {
    let output = wharf(dir, arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON ({error}): {text}"))
}

#[test]
fn help_mentions_every_command_and_flag() {
    let dir = folder(&[]);
    let help = prints(dir.path(), &["--help"]);
    for command in ["serve", "validate", "config", "schema", "inspect", "services", "new"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command} is not in:\n{help}");
    }
    for (command, flags) in [
        ("serve", &["--config", "--env", "--plugins", "--state", "--listen", "--admin", "WHARF_ENV"][..]),
        ("validate", &["--config", "--env", "--format"]),
        ("config", &["--config", "--env", "[SERVICE]"]),
        ("schema", &["gateway", "service", "overlay"]),
        ("inspect", &["<FILE>", "--json"]),
        ("services", &["--config", "--admin", "--json", "--watch"]),
        ("new", &["<NAME>", "--dir"]),
    ] {
        let help = prints(dir.path(), &[command, "--help"]);
        for flag in flags {
            assert!(help.contains(flag), "{command} {flag} is not in:\n{help}");
        }
    }
    assert!(prints(dir.path(), &["--version"]).starts_with("wharf 0."));
}

#[test]
fn what_is_not_understood_is_said_and_ends_with_2() {
    let dir = folder(&[]);
    assert!(fails(dir.path(), &["serve", "--plugin", "x"], 2).contains("--plugins"));
    assert!(fails(dir.path(), &["serve", "--listen", "nowhere"], 2).contains("invalid socket address"));
    assert!(fails(dir.path(), &["srve"], 2).contains("serve"));
    assert!(fails(dir.path(), &[], 2).contains("Usage: wharf"));
}

#[test]
fn a_valid_configuration_is_summed_up() {
    let dir = folder(&[
        ("gateway-config/gateway.yaml", b"listen: 127.0.0.1:8080"),
        ("gateway-config/services/orders.yaml", b"expose: /o"),
        ("gateway-config/env/test.yaml", b"drain: { timeout: 1s }"),
    ]);
    assert_eq!(prints(dir.path(), &["validate"]), "ok: 2 files, 1 service, 0 routes\n");
    let report = json(&prints(dir.path(), &["validate", "--env", "test", "--format", "json"]));
    assert_eq!(report, serde_json::json!({"ok": true, "files": 3, "services": 1, "routes": 0, "problems": []}));
}

#[test]
fn all_mistakes_of_all_files_are_shown_at_once() {
    let dir = folder(&[
        ("gateway-config/gateway.yaml", b"listen: here\ntrustedProxys: []\n"),
        ("gateway-config/services/orders.yaml", b"limits: { memory: 1TB }\nexpose: /a\nexpose: /b\n"),
    ]);
    let text = fails(dir.path(), &["validate"], 1);
    for place in [
        "gateway.yaml:1:9",
        "gateway.yaml:2:1",
        "did you mean `trustedProxies`?",
        "orders.yaml:1:19",
        "orders.yaml:3:1",
    ] {
        assert!(text.contains(place), "{place} is not in:\n{text}");
    }
    assert!(text.ends_with("4 problems in the configuration\n"), "{text}");
    let report = json(&fails(dir.path(), &["validate", "--format", "json"], 1));
    assert_eq!(report["ok"], false);
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 4, "{report}");
    for problem in problems {
        assert!(
            problem["file"].as_str().unwrap().ends_with(".yaml") && problem["line"].as_u64() > Some(0),
            "{problem}"
        );
        assert!(problem["column"].as_u64() > Some(0) && problem["message"].is_string(), "{problem}");
    }
    assert!(fails(dir.path(), &["validate", "--env", "none"], 1).contains("environment `none` has no file"));
}

#[test]
fn the_configuration_in_force_is_printed_with_its_defaults() {
    let dir = folder(&[
        ("gateway-config/services/orders.yaml", b"config: { currency: EUR }"),
        ("gateway-config/env/test.yaml", b"services: { orders: { drainTimeout: 7s } }"),
    ]);
    let all = prints(dir.path(), &["config"]);
    for line in ["listen: 127.0.0.1:8080", "pollInterval: 2s", "drainTimeout: 30s", "currency: EUR"] {
        assert!(all.contains(line), "{line} is not in:\n{all}");
    }
    let orders = prints(dir.path(), &["config", "--env", "test", "orders"]);
    assert!(orders.contains("drainTimeout: 7s") && !orders.contains("listen"), "{orders}");
    assert!(fails(dir.path(), &["config", "--env", "none"], 1).contains("has no file"));
}

#[test]
fn schemas_are_json() {
    let dir = folder(&[]);
    for (of, field) in [("gateway", "trustedProxies"), ("service", "drainTimeout"), ("overlay", "services")] {
        let schema = json(&prints(dir.path(), &["schema", of]));
        assert!(schema["properties"][field].is_object(), "{of}: {schema}");
    }
}

#[test]
fn a_component_is_inspected_without_running_it() {
    let dir = folder(&[
        ("good.wasm", &guest("versioned")),
        ("core.wasm", b"\0asm\x01\0\0\0"),
        ("garbage.wasm", b"garbage"),
        ("empty.wasm", b"\0asm\x0d\0\x01\0"),
    ]);
    let good = prints(dir.path(), &["inspect", "good.wasm"]);
    for words in ["wasi:http/incoming-handler@0.2", "wasi:clocks/monotonic-clock@0.2", "0.1.0", "this host can run it"]
    {
        assert!(good.contains(words), "{words} is not in:\n{good}");
    }
    let report = json(&prints(dir.path(), &["inspect", "--json", "good.wasm"]));
    assert_eq!((&report["runs"], &report["http"], &report["reason"]), (&true.into(), &"0.2".into(), &Value::Null));
    let imports = report["component"]["imports"].as_array().unwrap();
    assert!(imports.iter().all(|import| import["provided"] == true), "{report}");

    for (file, words) in [
        ("core.wasm", "wasm-tools component new"),
        ("garbage.wasm", "not a wasm component"),
        ("empty.wasm", "exports no HTTP handler"),
    ] {
        let text = fails(dir.path(), &["inspect", file], 1);
        assert!(text.contains(words), "{file}: {text}");
        let report = json(&fails(dir.path(), &["inspect", file, "--json"], 1));
        assert_eq!(report["runs"], false);
        assert!(report["reason"].as_str().unwrap().contains(words), "{report}");
    }
    assert!(fails(dir.path(), &["inspect", "missing.wasm"], 1).contains("cannot read missing.wasm"));
}

#[tokio::test]
async fn services_of_a_running_host_are_listed() {
    let host = Wharf::builder()
        .file("shop", &versioned("version-marker-000000002"))
        .file("shop@beta", &versioned("version-marker-000000003"))
        .file("broken", b"\0asm\x01\0\0\0")
        .file("Bad", &guest("versioned"))
        .start()
        .await;
    let admin = host.admin().to_string();
    let run = async |arguments: Vec<String>| {
        let dir = host.dir().to_owned();
        let run = move || prints(&dir, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let table = run(vec!["services".into(), "--admin".into(), admin.clone()]).await;
    let rows: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["SERVICE", "VERSION", "STATE", "SINCE", "HTTP", "SIZE", "FILE"], "{table}");
    let row = |file: &str| rows.iter().find(|row| row.len() > 6 && row.last() == Some(&file)).unwrap();
    assert_eq!(row("shop.wasm")[..3], ["shop", "0.1.0", "serving"], "{table}");
    assert_eq!(row("shop@beta.wasm")[..3], ["shop", "beta", "serving"], "{table}");
    assert_eq!(row("broken.wasm")[..3], ["broken", "-", "rejected"], "{table}");
    assert!(table.contains("broken.wasm is rejected: this is a core wasm module"), "{table}");
    assert!(table.contains("Bad.wasm is no service: `Bad` is no service name"), "{table}");

    // The address also comes from the configuration.
    host.configure("gateway.yaml", &format!("admin: {{ listen: '{admin}' }}"));
    let list = json(&run(vec!["services".into(), "--json".into()]).await);
    assert_eq!(list["services"][1]["name"], "shop", "{list}");
    assert_eq!(list["services"][1]["versions"][0]["digest"].as_str().unwrap().len(), 64, "{list}");
    assert_eq!(list["refused"][0]["file"], "Bad.wasm", "{list}");
}

#[test]
fn without_a_running_host_there_is_an_error_that_says_so() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let dir = folder(&[]);
    let text = fails(dir.path(), &["services", "--admin", &free], 1);
    assert!(text.contains(&free) && text.contains("is `wharf serve` running?"), "{text}");
}

#[tokio::test]
async fn a_host_that_cannot_start_says_why() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = Wharf::builder().without_flags().argument("--listen").argument(&address).refused().await;
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    let builder = Wharf::builder().without_flags().gateway("listen: 127.0.0.1:0");
    let said = builder.argument("--admin").argument("0.0.0.0:0").refused().await;
    assert!(said.contains("loopback"), "{said}");
}

#[tokio::test]
async fn a_new_service_builds_and_answers() {
    let dir = folder(&[]);
    let printed = prints(dir.path(), &["new", "my-orders"]);
    assert!(printed.contains("cargo build --release --target wasm32-wasip2"), "{printed}");
    assert!(fails(dir.path(), &["new", "my-orders"], 1).contains("exists already"));
    assert!(fails(dir.path(), &["new", "Orders"], 1).contains("`Orders` cannot be a service"));

    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-service");
    let build = |network: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--target", "wasm32-wasip2"]).args(network);
        cargo.current_dir(dir.path().join("my-orders")).env("CARGO_TARGET_DIR", &target).output().unwrap()
    };
    // The fixtures have brought its only dependency to this machine; if a newer one is wanted, it is fetched.
    let mut built = build(&["--offline"]);
    if !built.status.success() {
        built = build(&[]);
    }
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let host = Wharf::builder().start().await;
    fs::copy(target.join("wasm32-wasip2/release/my_orders.wasm"), host.plugin_path("my-orders.wasm")).unwrap();
    within(Duration::from_secs(20), "the new service answers", async || {
        (host.get("/my-orders/").await.text() == "hello from my-orders\n").then_some(())
    })
    .await;
    host.get("/my-orders/health").await.assert_status(200);
    host.get("/my-orders/else").await.assert_status(404);
}

#[test]
fn warnings_fail_only_when_asked_to() {
    let dir = folder(&[("gateway-config/gateway.yaml", b"trustedProxies: [0.0.0.0/0]\n")]);
    for text in [prints(dir.path(), &["validate"]), fails(dir.path(), &["validate", "--strict"], 2)] {
        assert!(text.starts_with("warning: `0.0.0.0/0` believes everybody"), "{text}");
        assert!(text.ends_with("\nok: 1 file, 0 services, 0 routes\n"), "{text}");
    }
    let report = json(&fails(dir.path(), &["validate", "--strict", "--format", "json"], 2));
    assert_eq!((&report["ok"], &report["problems"][0]["severity"]), (&true.into(), &"warning".into()));
    let dir = folder(&[("gateway-config/gateway.yaml", b"trustedProxies: [10.0.0.0/8]\n")]);
    prints(dir.path(), &["validate", "--strict"]);
}
