//! The plan of the house, checked against the sources: who may know whom, what stands in one place only, and that
//! nothing in fixtures or documentation is without a test.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use wharf_tests::root;

/// Who may know whom. A module that is not here fails, and so does a name that is not in its row.
const MAY_KNOW: [(&str, &[&str]); 16] = [
    ("config", &[]),
    // Documents and messages, and nobody who sends them.
    ("contract", &[]),
    // Only there when the fuzz targets are built.
    ("fuzzing", &["config", "contract", "gateway"]),
    ("telemetry", &["config"]),
    ("policy", &["config"]),
    ("registry", &["config", "telemetry"]),
    ("state", &["config", "telemetry"]),
    ("capability", &["state", "config", "telemetry"]),
    ("plugin", &["capability", "contract", "config", "telemetry"]),
    // Reaches services by the one trait that the gateway implements.
    ("events", &["capability", "state", "policy", "config", "telemetry"]),
    // Composes the others. Of `server` it implements the one trait by which requests come in.
    (
        "gateway",
        &["registry", "policy", "plugin", "events", "capability", "contract", "state", "server", "config", "telemetry"],
    ),
    // Of `gateway` it knows what a connection is.
    ("server", &["gateway", "config", "telemetry"]),
    ("admin", &["gateway", "events", "capability", "state", "registry", "server", "config", "telemetry"]),
    ("reload", &["host", "server", "gateway", "events", "config", "telemetry"]),
    ("host", &["reload", "admin", "server", "gateway", "events", "registry", "plugin", "state", "config", "telemetry"]),
    // And the names that the library shows to any program that embeds it.
    // `explain` asks the gateway's own table.
    (
        "cli",
        &[
            "gateway",
            "config",
            "contract",
            "plugin",
            "registry",
            "events",
            "state",
            "telemetry",
            "Host",
            "HostError",
            "Options",
            "Running",
            "RolloutList",
            "ServiceList",
        ],
    ),
];

/// A source file of the host.
struct Source {
    /// Below `host/src`.
    path: String,
    /// Without comments.
    code: String,
}

impl Source {
    /// The top-level module it belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// How many modules it lies in, counting itself.
    fn depth(&self) -> usize {
        self.path.trim_end_matches("/mod.rs").split('/').count()
    }
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|known| known == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let dir = root().join("host/src");
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        Source { path: path.strip_prefix(&dir).unwrap().to_str().unwrap().to_owned(), code: code.join("\n") }
    };
    let sources: Vec<_> = files(&dir, "rs").iter().map(read).collect();
    assert!(sources.len() > 50, "the sources are somewhere else");
    sources
}

/// The names that follow a `crate::`: one, or the first of each item of a group.
fn names(after: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = after.strip_prefix('{') else { return vec![word(after)] };
    let (mut depth, mut names, mut begins) = (0, Vec::new(), true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => return names,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if depth == 0 && begins && !c.is_whitespace() => {
                names.push(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    panic!("a group without an end: {after}");
}

/// Every word `crate` of a file with what stands around it.
fn mentions(code: &str) -> impl Iterator<Item = (&str, &str)> {
    code.match_indices("crate").map(|(at, word)| (&code[..at], &code[at + word.len()..])).filter(|(before, after)| {
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(before.chars().next_back()) && !joins(after.chars().next())
    })
}

#[test]
fn modules_know_only_whom_they_may() {
    let mut wrong = Vec::new();
    for source in sources() {
        // The binary sees only what the library shows.
        if matches!(source.module(), "bin" | "lib") {
            continue;
        }
        let Some((module, allowed)) = MAY_KNOW.iter().find(|(module, _)| *module == source.module()) else {
            wrong.push(format!("{}: this module is not in the table", source.path));
            continue;
        };
        for (before, after) in mentions(&source.code) {
            let Some(after) = after.strip_prefix("::") else {
                // Visibility is no knowledge.
                if !(before.ends_with('(') && after.starts_with(')')) {
                    wrong.push(format!("{}: `crate` in a way that this test does not understand", source.path));
                }
                continue;
            };
            for name in names(after) {
                if name != *module && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{}: {module} must not know `{name}`", source.path));
                }
            }
        }
        // The way out of a module by its parent would not be seen above. Tests inside a file lie one deeper.
        let (code, tests) = source.code.split_once("mod tests {").unwrap_or((&source.code, ""));
        for (part, depth) in [(code, source.depth()), (tests, source.depth() + 1)] {
            if part.contains(&"super::".repeat(depth)) {
                wrong.push(format!("{}: `super::` leads to the root of the crate, write `crate::`", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_check_itself_sees_every_way_to_write_an_import() {
    assert_eq!(names("plugin::Version;"), ["plugin"]);
    assert_eq!(names("{config::{self, Gateway}, plugin, Host as H};"), ["config", "plugin", "Host"]);
    assert_eq!(names("{\n    gateway::x,\n    state,\n}"), ["gateway", "state"]);
    assert_eq!(names("*;"), [""], "which is in no row");
    let code = "pub(crate) fn f(a: crate::plugin::V) { use crate as wharf; let crates = 1; }";
    let after: Vec<_> = mentions(code).map(|(_, after)| &after[..4]).collect();
    assert_eq!(after, [") fn", "::pl", " as "]);
}

/// Files whose code contains one of these words.
fn with(words: &[&str]) -> Vec<String> {
    let contains = |source: &Source| words.iter().any(|word| source.code.contains(word));
    sources().into_iter().filter(contains).map(|source| source.path).collect()
}

#[test]
fn only_one_place_turns_failures_into_statuses() {
    // The admin API has answers of its own and no failures of services, and the CLI reads those; the pipeline asks which
    // answers have no body, and some filters answer by themselves or look at what was answered. What a handler said of an
    // event travels as a status, `events.internal` says that something was done, a listener sends its clients to TLS, and
    // documents are only read. None of these is about a failure.
    let known = [
        "admin/events.rs",
        "admin/mod.rs",
        "admin/problem.rs",
        "admin/rollouts.rs",
        "capability/delivery.rs",
        "cli/admin.rs",
        "events/deliver.rs",
        "gateway/calls/events/queue.rs",
        "gateway/calls/events.rs",
        "gateway/contract/documents.rs",
        "gateway/edge.rs",
        "gateway/error.rs",
        "gateway/filter/cache_control.rs",
        "gateway/filter/compression.rs",
        "gateway/filter/cors.rs",
        "gateway/filter/redirect.rs",
        "gateway/filter/static_response.rs",
        "gateway/identity/fetch.rs",
        "gateway/overview.rs",
        "gateway/pipeline.rs",
    ];
    let found: Vec<_> = with(&["StatusCode::", "StatusCode}", "StatusCode,"]);
    assert_eq!(
        found.iter().filter(|path| !path.contains("/tests")).collect::<Vec<_>>(),
        known.iter().collect::<Vec<_>>()
    );
}

#[test]
fn only_one_place_holds_generated_code() {
    assert_eq!(with(&["bindgen!"]), ["capability/bindings.rs"]);
}

#[test]
fn only_configuration_and_the_admin_api_have_a_form_in_files() {
    let others: Vec<_> = with(&["Deserialize"])
        .into_iter()
        // A backup says what is in it, and a restore what it is about to do.
        .filter(|path| !["config/", "admin/", "registry/", "state/backup/"].iter().any(|dir| path.starts_with(dir)))
        // Tokens and keys come from the net, not from files.
        .filter(|path| path != "gateway/identity/json.rs")
        // Documents of services are read as values, within bounds.
        .filter(|path| path != "contract/text/json.rs")
        // Events of guests, and what the admin API tells of events to the CLI.
        .filter(|path| !["capability/cloud_event/json.rs", "cli/asker.rs"].contains(&path.as_str()))
        .filter(|path| !["events/record.rs", "events/record/queues.rs"].contains(&path.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn only_one_place_is_unsafe() {
    assert_eq!(with(&["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code"]), ["plugin/compile.rs"]);
}

#[test]
fn policies_touch_neither_files_nor_sockets() {
    for source in sources().iter().filter(|source| source.module() == "policy") {
        for word in ["std::fs", "std::net", "tokio::fs", "tokio::net", "tracing::"] {
            assert!(!source.code.contains(word), "{} uses {word}", source.path);
        }
    }
}

/// Tests that a page names as `file::test`: end-to-end ones by the file's name, others by the module's path.
fn named_tests(page: &str) -> Vec<(&str, &str)> {
    let plain = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_/".contains(c));
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter_map(|text| text.split_once("::")).filter(|(file, test)| plain(file) && plain(test)).collect()
}

#[test]
fn every_failure_in_the_list_is_proved_by_a_test_that_exists() {
    let page = fs::read_to_string(root().join("docs/failures.md")).unwrap();
    let exists = |(file, test): (&str, &str)| {
        let places = [format!("tests/tests/{file}.rs"), format!("host/src/{file}.rs")].into_iter();
        let places = places.chain(["mod", "tests"].map(|inner| format!("host/src/{file}/{inner}.rs")));
        let texts = places.filter_map(|place| fs::read_to_string(root().join(place)).ok());
        texts.into_iter().any(|text| {
            let Some((head, _)) = text.split_once(&format!("fn {test}(")) else { return false };
            let above = head.trim_end().lines().rev().skip_while(|line| line.trim() == "async");
            let mut above = above.take_while(|line| line.trim_start().starts_with(['#', '/']));
            above.any(|line| line.contains("test]") || line.contains("test("))
        })
    };
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| **")).collect();
    assert!(rows.len() > 10, "the tables look different: {rows:?}");
    let unproved: Vec<_> = rows.iter().filter(|row| named_tests(row).is_empty()).collect();
    assert!(unproved.is_empty(), "no test is named in {unproved:#?}");
    let missing: Vec<_> = rows.iter().flat_map(|row| named_tests(row)).filter(|named| !exists(*named)).collect();
    assert!(missing.is_empty(), "there is no {missing:#?}");
    assert!(!exists(("routing", "no_such_test")) && !exists(("nowhere", "a_request_is_for_one_host")));
    assert!(!exists(("routing", "status")), "a helper proves nothing");
}

#[test]
fn every_gateway_yaml_in_the_documentation_is_valid() {
    let mut blocks = 0;
    for page in files(&root().join("docs"), "md") {
        let text = fs::read_to_string(&page).unwrap();
        for block in text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            if !block.starts_with("# gateway.yaml") {
                continue;
            }
            blocks += 1;
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("gateway.yaml"), block).unwrap();
            let arguments = ["validate", "--config", dir.path().to_str().unwrap()];
            let output = std::process::Command::new(wharf_tests::binary()).args(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{}: {said}\n{block}", page.display());
        }
    }
    assert!(blocks > 10, "the examples look different: {blocks}");
}

/// All end-to-end tests, without this one.
fn tests() -> String {
    let files = files(&root().join("tests/tests"), "rs");
    let others = files.iter().filter(|path| !path.ends_with("architecture.rs"));
    others.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn every_fixture_and_every_path_of_it_is_named_by_a_test() {
    let tests = tests();
    let mut unnamed = Vec::new();
    for entry in fs::read_dir(root().join("tests/guests")).unwrap() {
        let guest = entry.unwrap().path();
        let Ok(code) = fs::read_to_string(guest.join("src/lib.rs")) else { continue };
        let name = guest.file_name().unwrap().to_str().unwrap().to_owned();
        let is_component = fs::read_to_string(guest.join("Cargo.toml")).unwrap().contains("cdylib");
        if is_component && !tests.contains(&format!("\"{name}\"")) {
            unnamed.push(format!("the fixture {name}"));
        }
        // `"/path" =>`, also one of several; and `get("/path/{parameter}", …)`.
        let arms = code.lines().filter_map(|line| line.split_once("=>").map(|(arm, _)| arm.to_owned()));
        let routes = code.lines().filter(|line| ["get(\"", "put(\"", "post(\""].iter().any(|how| line.contains(how)));
        for text in arms.chain(routes.map(str::to_owned)) {
            for path in text.split('"').filter(|text| text.len() > 1 && text.starts_with('/')) {
                let path = path.split("/{").next().unwrap();
                let used = tests.match_indices(path).any(|(at, _)| {
                    let after = tests[at + path.len()..].chars().next().unwrap();
                    !(after.is_alphanumeric() || after == '-')
                });
                if !used {
                    unnamed.push(format!("{name} {path}"));
                }
            }
        }
    }
    assert!(unnamed.is_empty(), "no test names {unnamed:#?}");
}

/// The fields in the tables of a page of documentation.
fn fields(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let tables = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    // A row of another table has no type behind the field.
    tables.filter(|(_, rest)| rest.matches('|').count() == 4).map(|(field, _)| field.to_owned()).collect()
}

#[test]
fn every_documented_field_is_set_by_a_test() {
    let docs = root().join("docs");
    let end_to_end = tests();
    let unit: String = sources()
        .iter()
        .filter(|source| source.path.contains("tests") || source.code.contains("cfg(test)"))
        .map(|source| source.code.as_str())
        .collect();
    let mut unset = Vec::new();
    let mut count = 0;
    let pages =
        ["configuration.md", "policies.md", "connections.md", "requests.md", "tls.md", "identity.md", "contracts.md"]
            .map(|name| docs.join(name));
    for page in pages.into_iter().chain(files(&docs.join("filters"), "md")) {
        // What concerns the host as a whole is tried with the real host.
        let whole = page.ends_with("configuration.md");
        for field in fields(&page) {
            count += 1;
            let key = field.rsplit('.').next().unwrap().trim_start_matches("routes[]");
            let set = end_to_end.contains(&format!("{key}:"))
                || (!whole && (unit.contains(&format!("\"{key}\"")) || unit.contains(&format!("{key}:"))));
            if !set {
                unset.push(field);
            }
        }
    }
    assert!(count > 120, "the tables look different: {count}");
    assert!(unset.is_empty(), "no test sets {unset:#?}");
}
