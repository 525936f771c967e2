use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::config::{Config, HealthCheck, RemoteInstance, Service};

fn record(file: &str, digest: &str, state: VersionState) -> VersionRecord {
    VersionRecord {
        label: "1".to_owned(),
        digest: digest.to_owned(),
        file: file.to_owned(),
        size: 1,
        http: "0.2".to_owned(),
        state,
        since: jiff::Timestamp::UNIX_EPOCH,
        notes: Vec::new(),
    }
}

fn states(registry: &Registry) -> Vec<(String, &'static str)> {
    let services = registry.services();
    services.iter().flat_map(|s| &s.versions).map(|v| (v.digest.clone(), v.state.word())).collect()
}

#[test]
fn every_word_is_in_its_list() {
    let states = [
        VersionState::Compiling,
        VersionState::Probing,
        VersionState::Canary { percent: 5 },
        VersionState::Serving,
        VersionState::Draining,
        VersionState::Retained,
        VersionState::Rejected(String::new()),
    ];
    assert_eq!(states.map(|state| state.word()), VersionState::WORDS);
    let healths = [
        Health::Healthy,
        Health::Degraded(String::new()),
        Health::Starting,
        Health::Unhealthy(String::new()),
        Health::Stopping,
    ];
    assert_eq!(healths.map(|health| health.word()), Health::WORDS);
}

fn registration(service: &str, id: &str) -> Registration {
    Registration {
        id: Some(id.to_owned()),
        service: service.to_owned(),
        url: "http://127.0.0.1:9001".parse().unwrap(),
        protocol: crate::config::Protocol::Auto,
        version: Some("2".to_owned()),
        weight: 1,
        tags: vec!["eu".to_owned()],
        metadata: BTreeMap::new(),
        check: None,
        ttl: None,
    }
}

fn check() -> HealthCheck {
    HealthCheck { path: Some("/health".to_owned()), ..HealthCheck::default() }
}

fn remote(name: &str) -> RemoteInstance {
    let json = format!(r#"{{ "name": "{name}", "url": "http://127.0.0.1:9001" }}"#);
    serde_json::from_str(&json).unwrap()
}

fn config(instances: Vec<RemoteInstance>, health_check: HealthCheck) -> Config {
    let orders = Service { instances, health_check, tags: vec!["commerce".to_owned()], ..Service::default() };
    Config { services: BTreeMap::from([("orders".to_owned(), orders)]), ..Config::default() }
}

/// `id health` of all instances.
fn health(registry: &Registry) -> Vec<String> {
    let all = registry.discover(&Filter::default());
    all.iter().map(|instance| format!("{} {}", instance.id, instance.health.word())).collect()
}

fn failed() -> CheckResult {
    CheckResult::Failed("answered 500".to_owned())
}

#[tokio::test]
async fn an_upgrade_shows_old_and_new_until_the_old_one_has_drained() {
    let registry = Registry::default();
    registry.record("a", record("a.wasm", "old", VersionState::Compiling));
    registry.record("a", record("a.wasm", "old", VersionState::Serving));
    registry.record("a", record("a.wasm", "new", VersionState::Compiling));
    assert_eq!(states(&registry), [("old".to_owned(), "serving"), ("new".to_owned(), "compiling")]);
    registry.set_state("a", "a.wasm", "old", VersionState::Draining);
    registry.record("a", record("a.wasm", "new", VersionState::Serving));
    assert_eq!(states(&registry), [("old".to_owned(), "draining"), ("new".to_owned(), "serving")]);
    assert_eq!(health(&registry), ["a/1@new healthy", "a/1@old stopping"]);
    registry.retire("a", "old");
    assert_eq!(states(&registry), [("new".to_owned(), "serving")]);
    assert_eq!(health(&registry), ["a/1@new healthy"]);
}

#[tokio::test]
async fn a_rejected_version_stays_listed_beside_the_serving_one_until_its_file_changes() {
    let registry = Registry::default();
    registry.record("a", record("a.wasm", "good", VersionState::Serving));
    registry.record("a", record("a.wasm", "bad", VersionState::Rejected("broken".to_owned())));
    assert_eq!(states(&registry), [("good".to_owned(), "serving"), ("bad".to_owned(), "rejected")]);
    registry.record("a", record("a.wasm", "better", VersionState::Compiling));
    assert_eq!(states(&registry), [("good".to_owned(), "serving"), ("better".to_owned(), "compiling")]);
    assert_eq!(health(&registry), ["a/1@good healthy"]);
}

#[tokio::test]
async fn a_service_without_versions_is_forgotten() {
    let registry = Registry::default();
    registry.record("a", record("a.wasm", "bad", VersionState::Rejected("broken".to_owned())));
    registry.remove_file("a", "a.wasm");
    assert_eq!(registry.services(), []);
}

#[tokio::test]
async fn two_files_with_one_component_are_one_instance_until_both_are_gone() {
    let registry = Registry::default();
    registry.record("a", record("a.wasm", "same", VersionState::Serving));
    registry.record("a", record("a@1.wasm", "same", VersionState::Serving));
    registry.set_state("a", "a.wasm", "same", VersionState::Draining);
    assert_eq!(health(&registry), ["a/1@same healthy"]);
    registry.set_state("a", "a@1.wasm", "same", VersionState::Draining);
    assert_eq!(health(&registry), ["a/1@same stopping"]);
    registry.retire("a", "same");
    assert_eq!(health(&registry), [""; 0]);
}

#[test]
fn records_survive_json() {
    for state in [VersionState::Serving, VersionState::Rejected("why".to_owned())] {
        let before = record("a.wasm", "d", state);
        let json = serde_json::to_string(&before).unwrap();
        assert_eq!(serde_json::from_str::<VersionRecord>(&json).unwrap(), before, "{json}");
    }
    let registry = Registry::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let before = runtime.block_on(async { registry.register(registration("orders", "b")).unwrap().record });
    let json = serde_json::to_string(&before).unwrap();
    assert_eq!(serde_json::from_str::<InstanceRecord>(&json).unwrap(), before, "{json}");
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_heartbeats_fades_and_one_with_them_stays() {
    let registry = Arc::new(Registry::default());
    tokio::spawn(Arc::clone(&registry).run());
    for id in ["quiet", "alive"] {
        assert!(registry.register(registration("orders", id)).unwrap().created);
    }
    let mut seen = Vec::new();
    for _ in 0..7 {
        tokio::time::sleep(Duration::from_millis(5100)).await;
        registry.heartbeat("orders", "alive", Health::Healthy).unwrap();
        seen.push(health(&registry).iter().find(|it| it.starts_with("quiet")).cloned().unwrap_or_default());
        assert!(health(&registry).contains(&"alive healthy".to_owned()));
    }
    let words = ["quiet healthy", "quiet degraded", "quiet unhealthy", "quiet unhealthy", "quiet unhealthy", "", ""];
    assert_eq!(seen, words);
    let error = registry.heartbeat("orders", "quiet", Health::Healthy).unwrap_err();
    assert_eq!(error, RegistryError::Unknown("quiet".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn registering_again_updates_renews_and_keeps_health() {
    let registry = Registry::default();
    registry.register(registration("orders", "b")).unwrap();
    registry.heartbeat("orders", "b", Health::Degraded("its disk is slow".to_owned())).unwrap();
    advance(Duration::from_secs(14)).await;
    let held = registry.instances("orders").remove(0);
    let again = registry.register(Registration { weight: 7, ..registration("orders", "b") }).unwrap();
    assert!(!again.created);
    assert_eq!((again.record.weight, again.record.health.word()), (7, "healthy"));
    assert_eq!(again.record.lease.unwrap().age, crate::config::Duration::ZERO);
    assert!(held.is_eligible(), "those who hold the old one see the same health");
    registry.heartbeat("orders", "b", Health::Unhealthy("out of memory".to_owned())).unwrap();
    assert!(!held.is_eligible());
}

#[tokio::test]
async fn an_id_belongs_to_one_service_and_files_cannot_be_overruled() {
    let registry = Registry::default();
    registry.register(registration("orders", "b")).unwrap();
    let taken = RegistryError::Taken { id: "b".to_owned(), service: "orders".to_owned() };
    assert_eq!(registry.register(registration("users", "b")).unwrap_err(), taken);
    assert_eq!(registry.deregister("users", "b").unwrap_err(), RegistryError::Unknown("b".to_owned()));
    registry.apply(&config(vec![remote("a")], HealthCheck::default()));
    let not_leased = RegistryError::NotLeased("orders/a".to_owned());
    assert_eq!(registry.register(registration("orders", "orders/a")).unwrap_err(), not_leased);
    assert_eq!(registry.deregister("orders", "orders/a").unwrap_err(), not_leased);
    assert_eq!(registry.heartbeat("orders", "orders/a", Health::Healthy).unwrap_err(), not_leased);
}

#[tokio::test]
async fn leases_are_bounded_and_files_do_not_count() {
    let registry = Registry::default();
    let mut config = config(vec![remote("a")], HealthCheck::default());
    config.gateway.registry.max_instances = 2;
    registry.apply(&config);
    for id in ["x", "y", "x"] {
        registry.register(registration("orders", id)).unwrap();
    }
    assert_eq!(registry.register(registration("orders", "z")).unwrap_err(), RegistryError::Full(2));
    assert_eq!(registry.all_instances().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_deregistered_stops_and_then_is_gone() {
    let registry = Registry::default();
    registry.register(registration("orders", "b")).unwrap();
    let held = registry.instances("orders").remove(0);
    registry.deregister("orders", "b").unwrap();
    assert_eq!((health(&registry), held.is_eligible()), (vec!["b stopping".to_owned()], false));
    assert!(registry.heartbeat("orders", "b", Health::Healthy).is_err(), "a heartbeat does not bring it back");
    let due = registry.sweep(Instant::now()).unwrap();
    assert_eq!(due - Instant::now(), Duration::from_secs(5));
    assert_eq!(registry.sweep(due), None);
    assert_eq!(health(&registry), [""; 0]);
    registry.register(registration("orders", "b")).unwrap();
    registry.deregister("orders", "b").unwrap();
    registry.register(registration("orders", "b")).unwrap();
    assert_eq!(health(&registry), ["b healthy"], "registering does");
}

#[tokio::test]
async fn configured_instances_are_one_set_and_keep_id_and_health() {
    let registry = Registry::default();
    registry.apply(&config(vec![remote("a"), remote("b")], check()));
    assert_eq!(health(&registry), ["orders/a starting", "orders/b starting"]);
    let now = Instant::now();
    let change = registry.checked("orders/a", CheckResult::Ok, now).unwrap();
    assert_eq!(change, (Health::Starting, Health::Healthy));
    let checked = registry.discover(&Filter { id: Some("orders/a".to_owned()), ..Filter::default() });
    assert!(checked[0].last_check.is_some() && checked[0].health_check.is_some(), "{checked:?}");
    let (before, generation) = (registry.instances("orders"), registry.changed());

    let more = RemoteInstance { weight: 5, ..remote("a") };
    let quicker = HealthCheck { unhealthy_threshold: 1, ..check() };
    registry.apply(&config(vec![more, remote("c")], quicker));
    assert_eq!(health(&registry), ["orders/a healthy", "orders/c starting"]);
    assert!(!before[1].is_eligible(), "who is gone is not used any more");
    assert_eq!(registry.instances("orders")[0].weight, 5);
    assert!(generation.has_changed().unwrap());
    let change = registry.checked("orders/a", failed(), now).unwrap();
    assert_eq!(change.1.word(), "unhealthy", "the new threshold holds");

    let elsewhere = RemoteInstance { url: "http://127.0.0.1:9002".parse().unwrap(), ..remote("a") };
    registry.apply(&config(vec![elsewhere], check()));
    assert_eq!(health(&registry), ["orders/a starting"], "another place is another instance");
}

#[tokio::test]
async fn the_same_configuration_again_changes_nothing() {
    let registry = Registry::default();
    registry.record("orders", record("orders.wasm", "d", VersionState::Serving));
    registry.apply(&config(vec![remote("a")], check()));
    let (before, generation) = (registry.instances("orders"), registry.changed());
    registry.apply(&config(vec![remote("a")], check()));
    assert!(!generation.has_changed().unwrap());
    for (old, new) in before.iter().zip(registry.instances("orders")) {
        assert!(Arc::ptr_eq(old, &new));
    }
}

#[tokio::test]
async fn a_flip_of_health_is_seen_live_and_is_no_change_of_the_set() {
    let registry = Registry::default();
    registry.apply(&config(Vec::new(), check()));
    registry.record("orders", record("orders.wasm", "0123456789", VersionState::Serving));
    let held = registry.instances("orders").remove(0);
    assert_eq!((&*held.id, &held.tags[..]), ("orders/1@01234567", &["commerce".to_owned()][..]));
    let generation = registry.changed();
    let words =
        [CheckResult::Ok, failed(), failed(), failed(), CheckResult::Inconclusive, CheckResult::Ok].map(|result| {
            registry.checked(&held.id, result, Instant::now());
            (held.health().word(), held.is_eligible())
        });
    let expected = [
        ("healthy", true),
        ("degraded", true),
        ("degraded", true),
        ("unhealthy", false),
        ("unhealthy", false),
        ("unhealthy", false),
    ];
    assert_eq!(words, expected);
    assert!(!generation.has_changed().unwrap());
    registry.checked(&held.id, CheckResult::Ok, Instant::now());
    registry.set_ejected(&held.id, true);
    assert_eq!((held.health().word(), held.is_eligible()), ("degraded", true));
    registry.set_ejected(&held.id, false);
    assert_eq!(held.health(), Health::Healthy);
}

#[tokio::test]
async fn instances_are_found_by_what_they_say() {
    let registry = Registry::default();
    registry.apply(&config(vec![remote("a")], HealthCheck::default()));
    registry.register(registration("orders", "b")).unwrap();
    registry.register(registration("users", "c")).unwrap();
    registry.heartbeat("users", "c", Health::Degraded("slow".to_owned())).unwrap();
    let found = |filter: Filter| registry.discover(&filter).into_iter().map(|it| it.id).collect::<Vec<_>>();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found(Filter { service: some("orders"), ..Filter::default() }), ["b", "orders/a"]);
    assert_eq!(found(Filter { tag: some("eu"), ..Filter::default() }), ["b", "c"]);
    assert_eq!(found(Filter { tag: some("commerce"), ..Filter::default() }), ["b", "orders/a"]);
    assert_eq!(found(Filter { version: some("2"), health: some("healthy"), ..Filter::default() }), ["b"]);
    assert_eq!(found(Filter { health: some("degraded"), ..Filter::default() }), ["c"]);
    assert_eq!(found(Filter { id: some("orders/a"), ..Filter::default() }), ["orders/a"]);
    assert_eq!(found(Filter { id: some("x"), ..Filter::default() }), [""; 0]);
}

async fn next_event(watcher: &mut Watcher) -> Arc<Event> {
    match watcher.next().await {
        Update::Event(event) => event,
        Update::Snapshot(snapshot) => panic!("a snapshot: {snapshot:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_every_change_after_its_snapshot_with_old_and_new() {
    let registry = Arc::new(Registry::default());
    registry.register(registration("orders", "before")).unwrap();
    let mut watcher = registry.watch();
    registry.register(registration("orders", "b")).unwrap();
    registry.heartbeat("orders", "b", Health::Degraded("slow".to_owned())).unwrap();
    registry.heartbeat("orders", "b", Health::Degraded("slower".to_owned())).unwrap();
    registry.register(Registration { weight: 2, ..registration("orders", "b") }).unwrap();
    registry.deregister("orders", "b").unwrap();
    advance(Duration::from_secs(5)).await;
    registry.sweep(Instant::now());
    registry.record("orders", record("orders.wasm", "d", VersionState::Compiling));

    let Update::Snapshot(snapshot) = watcher.next().await else { panic!("no snapshot") };
    assert_eq!((snapshot.missed, snapshot.services[0].instances.len()), (0, 1));
    let mut seen = Vec::new();
    for number in 1..=7 {
        let event = next_event(&mut watcher).await;
        assert_eq!(event.id, snapshot.id + number);
        let word = |subject: &Option<Subject>| match subject {
            Some(Subject::Instance(instance)) => instance.health.word(),
            Some(Subject::Version(version)) => version.state.word(),
            Some(Subject::Breaker(breaker)) => breaker.state.shown(),
            None => "-",
        };
        seen.push((event.kind.as_str(), word(&event.old), word(&event.new)));
    }
    let expected = [
        ("instance.registered", "-", "healthy"),
        ("instance.health", "healthy", "degraded"),
        ("instance.updated", "degraded", "degraded"),
        ("instance.health", "degraded", "healthy"),
        ("instance.health", "healthy", "stopping"),
        ("instance.deregistered", "stopping", "-"),
        ("version.changed", "-", "compiling"),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_and_gets_everything_again() {
    let registry = Arc::new(Registry::default());
    let mut watcher = registry.watch();
    assert!(matches!(watcher.next().await, Update::Snapshot(_)));
    let flips = watch::CAPACITY as u64 + 100;
    registry.register(registration("orders", "b")).unwrap();
    for flip in 0..flips {
        let says = if flip % 2 == 0 { Health::Unhealthy("no".to_owned()) } else { Health::Healthy };
        registry.heartbeat("orders", "b", says).unwrap();
    }
    let Update::Snapshot(snapshot) = watcher.next().await else { panic!("no snapshot") };
    assert_eq!(snapshot.missed, 101);
    assert_eq!((snapshot.id, snapshot.services[0].instances[0].health.word()), (flips + 1, "healthy"));
    registry.deregister("orders", "b").unwrap();
    assert_eq!(next_event(&mut watcher).await.id, flips + 2, "nothing comes twice, nothing is left out");
}

#[tokio::test]
async fn a_summary_is_as_bad_as_what_still_answers() {
    let registry = Registry::default();
    assert_eq!(registry.health_summary().health, Overall::Healthy, "nothing is wrong with nothing");
    for (service, id) in [("orders", "a"), ("orders", "b"), ("users", "c")] {
        registry.register(registration(service, id)).unwrap();
    }
    assert_eq!(registry.health_summary().health, Overall::Healthy);
    registry.heartbeat("orders", "a", Health::Unhealthy("disk full".to_owned())).unwrap();
    let summary = registry.health_summary();
    let orders = &summary.services["orders"];
    assert_eq!((summary.health, orders.health), (Overall::Degraded, Overall::Degraded));
    assert_eq!((orders.instances, orders.eligible, &*orders.reasons["a"]), (2, 1, "disk full"));
    registry.deregister("orders", "b").unwrap();
    assert_eq!(registry.health_summary().services["orders"].health, Overall::Unhealthy);
    assert_eq!(registry.health_summary().health, Overall::Degraded);
    registry.deregister("users", "c").unwrap();
    assert_eq!(registry.health_summary().health, Overall::Unhealthy);
}
