use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use prometheus_client::metrics::MetricType;
use serde_json::json;
use tokio::time::Instant;

use super::page::{Family, Value};
use super::*;
use crate::capability::fake_bus::FakeBus;
use crate::config::Config;
use crate::policy::Outcome;
use crate::state::sqlite::SqliteState;

/// A host without components whose services all have instances elsewhere.
fn host(dir: &tempfile::TempDir, services: serde_json::Value) -> (Metrics, Arc<Services>) {
    let config = Config { services: serde_json::from_value(services).unwrap(), ..Config::default() };
    let registry = Arc::<Registry>::default();
    let state = Arc::new(SqliteState::new(dir.path()));
    let services =
        Arc::new(Services::new(Arc::new(config), Arc::clone(&registry), state, Arc::new(FakeBus::default())).unwrap());
    services.instances_changed();
    (Metrics::new(Arc::clone(&services), registry, Arc::default()), services)
}

/// `name{labels}` and value of each sample.
fn samples(page: &str) -> BTreeMap<&str, f64> {
    let lines: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let samples: BTreeMap<_, _> = lines
        .iter()
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name, value.parse().unwrap()))
        .collect();
    assert_eq!(samples.len(), lines.len(), "no series is there twice:\n{page}");
    samples
}

#[tokio::test]
async fn a_breaker_that_opens_is_seen_in_its_state_in_one_of_three_and_as_a_transition() {
    let dir = tempfile::tempdir().unwrap();
    let instance = |name: &str| json!({ "name": name, "url": "http://127.0.0.1:1", "version": "2" });
    let (metrics, services) = host(
        &dir,
        json!({ "orders": {
            "instances": [instance("a"), instance("b")], "circuitBreaker": { "consecutiveFailures": 1 },
        } }),
    );
    let labels = r#"service="orders",version="2",digest="""#;
    let check = |state: f64, one_hot: [f64; 3], opened: f64| {
        let page = metrics.page(Format::Text);
        let found = samples(&page);
        assert_eq!(found[&*format!("wharf_circuit_breaker_state{{{labels}}}")], state);
        let words = ["closed", "half_open", "open"];
        assert_eq!(words.map(|word| found[&*format!("wharf_circuit_breaker{{{labels},state=\"{word}\"}}")]), one_hot);
        assert_eq!(found[&*format!("wharf_circuit_breaker_transitions_total{{{labels},to=\"open\"}}")], opened);
        assert_eq!(found[&*format!("wharf_version_instances{{{labels}}}")], 2.0);
        assert_eq!(found[&*format!("wharf_panic{{{labels}}}")], 0.0);
    };
    check(0.0, [1.0, 0.0, 0.0], 0.0);
    let snapshot = services.snapshot();
    let pool = snapshot.service("orders").unwrap().pools().next().unwrap();
    let now = Instant::now();
    pool.state.breaker.admit(now).unwrap().record(Outcome::Failure, now);
    check(2.0, [0.0, 0.0, 1.0], 1.0);
}

#[tokio::test]
async fn a_version_whose_instances_are_mostly_sick_is_in_panic() {
    let dir = tempfile::tempdir().unwrap();
    let instance = |name: &str| json!({ "name": name, "url": "http://127.0.0.1:1" });
    let outliers = json!({ "consecutiveFailures": 1, "maxEjectionPercent": 100 });
    let instances = ["a", "b", "c"].map(instance);
    let settings = json!({ "instances": instances, "outlierDetection": outliers });
    let (metrics, services) = host(&dir, json!({ "orders": settings }));
    let snapshot = services.snapshot();
    let pool = snapshot.service("orders").unwrap().pools().next().unwrap();
    let now = Instant::now();
    for endpoint in &pool.endpoints[..2] {
        endpoint.state.outlier.record(Outcome::Failure, now, &pool.state.group).unwrap();
    }
    let page = metrics.page(Format::Text);
    let found = samples(&page);
    let of = |name: &str| found[&*format!("wharf_{name}{{service=\"orders\",version=\"\",digest=\"\"}}")];
    assert_eq!((of("panic"), of("version_instances_ejected"), of("version_instances_well")), (1.0, 2.0, 1.0));
}

#[tokio::test]
async fn both_formats_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (metrics, services) =
        host(&dir, json!({ "orders": { "instances": [{ "name": "a", "url": "http://127.0.0.1:1" }] } }));
    services.snapshot().service("orders").unwrap().runtime.carried.counters.ejections.store(7, Ordering::Relaxed);
    let (text, openmetrics) = (metrics.page(Format::Text), metrics.page(Format::OpenMetrics));
    let stable = |page: &str| {
        // What the system says of the process changes from one page to the next.
        let samples = samples(page).into_iter().filter(|(name, _)| !name.starts_with("process_"));
        let samples = samples.map(|(name, value)| (name.to_owned(), value)).collect::<BTreeMap<_, _>>();
        assert_eq!(samples[r#"wharf_ejections_total{service="orders"}"#], 7.0);
        samples
    };
    assert_eq!(stable(&text), stable(&openmetrics));
    assert!(text.contains("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total "), "{text}");
    assert!(openmetrics.contains("# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total "), "{openmetrics}");
    assert!(text.contains("# TYPE wharf_ejections_total counter\n") && !text.contains("# EOF"));
    assert!(openmetrics.contains("# TYPE wharf_ejections counter\n") && openmetrics.ends_with("# EOF\n"));
}

/// Writes a series twice, and words that mean something to the format.
#[derive(Debug)]
struct Odd;

impl Collector for Odd {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let family = Family { name: "odd", help: "Odd.", labels: ["word"] };
        let values = [("b", 1.0), ("a\"}\n\\", 2.0), ("b", 3.0)];
        let values = values.map(|(word, value)| ([word.to_owned()], Value::Gauge(value)));
        Page::new(encoder, Format::Text).family(&family, MetricType::Gauge, values)
    }
}

#[test]
fn series_are_sorted_escaped_and_there_once() {
    let mut exposition = Exposition::with_prefix(PREFIX);
    exposition.register_collector(Box::new(Odd));
    let mut page = String::new();
    text::encode_registry(&mut page, &exposition).unwrap();
    let series: Vec<_> = page.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(series, [r#"wharf_odd{word="a\"}\n\\"} 2.0"#, r#"wharf_odd{word="b"} 1.0"#]);
}

#[test]
fn nothing_is_written_of_nothing() {
    assert_eq!(Metrics::default().page(Format::Text), "");
}
