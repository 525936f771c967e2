//! What is warned about, where, and what is not. Each warning has a neighbour that is fine.

use super::super::{Source, load};

/// `file:line:column message` of all warnings about files that have no errors.
fn warnings_of(files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let config = load(&Source { dir: dir.path().to_owned(), env: None }).unwrap_or_else(|errors| panic!("{errors}"));
    let lines = config.warnings.iter().flatten().map(|warning| {
        let file = warning.file().strip_prefix(dir.path()).unwrap().display();
        let (line, column) = warning.position().unwrap();
        format!("{file}:{line}:{column} {}", warning.message())
    });
    lines.collect()
}

/// The same for a `gateway.yaml` alone, without its name.
fn of_gateway(text: &str) -> Vec<String> {
    let warnings = warnings_of(&[("gateway.yaml", text)]);
    warnings.into_iter().map(|line| line.strip_prefix("gateway.yaml:").unwrap().to_owned()).collect()
}

/// What begins with what is wanted, one for one.
#[track_caller]
fn assert_warns(gateway: &str, wanted: &[&str]) {
    let found = of_gateway(gateway);
    let same = found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, want)| found.starts_with(want));
    assert!(same, "{gateway}\nwant {wanted:#?}\nhave {found:#?}");
}

#[test]
fn an_ordinary_configuration_is_not_warned_about() {
    assert_warns("", &[]);
    assert_warns("trustedProxies: [10.0.0.0/8, 192.0.2.1/32, 'fd00::/8']", &[]);
}

#[test]
fn believing_every_peer_is_warned_about() {
    assert_warns(
        "trustedProxies: [0.0.0.0/0, 10.0.0.0/8, '::/0']",
        &["1:18 `0.0.0.0/0` believes everybody", "1:41 `::/0` believes everybody"],
    );
}

#[test]
fn a_timeout_that_cannot_apply_is_warned_about() {
    let rule = |timeout: &str, services: &str| {
        format!("routes: [{{ name: r, rules: [{{ timeouts: {{ request: {timeout} }}, backendRefs: [{services}] }}] }}]")
    };
    let warning = "1:52 `20s` has no effect: a rule only shortens `timeouts.request` of its services, which is 15s";
    assert_warns(&rule("20s", "{ service: a }"), &[warning]);
    assert_warns(&rule("15s", "{ service: a }"), &[]);
    assert_warns(&rule("14s", "{ service: a }"), &[]);
    let gateway = rule("20s", "{ service: a }, { service: b }");
    for (of_b, warned) in [("10s", true), ("20s", false), ("30s", false), ("0s", false)] {
        let file = format!("timeouts: {{ request: {of_b} }}");
        let found = warnings_of(&[("gateway.yaml", &gateway), ("services/b.yaml", &file)]);
        assert_eq!(found.len(), usize::from(warned), "{of_b} {found:?}");
    }
}
