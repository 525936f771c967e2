use super::*;

fn record(file: &str, digest: &str, state: VersionState) -> VersionRecord {
    VersionRecord {
        label: "1".to_owned(),
        digest: digest.to_owned(),
        file: file.to_owned(),
        size: 1,
        http: "0.2".to_owned(),
        state,
        since: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn states(registry: &Registry) -> Vec<(String, &'static str)> {
    let services = registry.services();
    services.iter().flat_map(|s| &s.versions).map(|v| (v.digest.clone(), v.state.word())).collect()
}

#[test]
fn an_upgrade_shows_old_and_new_until_the_old_one_has_drained() {
    let registry = Registry::default();
    registry.record("a", record("a.wasm", "old", VersionState::Compiling));
    registry.record("a", record("a.wasm", "old", VersionState::Serving));
    registry.record("a", record("a.wasm", "new", VersionState::Compiling));
    assert_eq!(states(&registry), [("old".to_owned(), "serving"), ("new".to_owned(), "compiling")]);
    registry.set_state("a", "a.wasm", "old", VersionState::Draining);
    registry.record("a", record("a.wasm", "new", VersionState::Serving));
    assert_eq!(states(&registry), [("old".to_owned(), "draining"), ("new".to_owned(), "serving")]);
    registry.retire("a", "old");
    assert_eq!(states(&registry), [("new".to_owned(), "serving")]);
}

#[test]
fn a_rejected_version_stays_listed_beside_the_serving_one_until_its_file_changes() {
    let registry = Registry::default();
    registry.record("a", record("a.wasm", "good", VersionState::Serving));
    registry.record("a", record("a.wasm", "bad", VersionState::Rejected("broken".to_owned())));
    assert_eq!(states(&registry), [("good".to_owned(), "serving"), ("bad".to_owned(), "rejected")]);
    registry.record("a", record("a.wasm", "better", VersionState::Compiling));
    assert_eq!(states(&registry), [("good".to_owned(), "serving"), ("better".to_owned(), "compiling")]);
}

#[test]
fn a_service_without_versions_is_forgotten() {
    let registry = Registry::default();
    registry.record("a", record("a.wasm", "bad", VersionState::Rejected("broken".to_owned())));
    registry.remove_file("a", "a.wasm");
    assert_eq!(registry.services(), []);
}

#[test]
fn records_survive_json() {
    for state in [VersionState::Serving, VersionState::Rejected("why".to_owned())] {
        let before = record("a.wasm", "d", state);
        let json = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<VersionRecord>(&json).unwrap(), before, "{json}");
    }
}
