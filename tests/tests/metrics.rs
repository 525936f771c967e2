//! What a running host tells about itself: `/metrics` for operators, `health.path` for whoever stands in front.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use rustix::process::Signal;
use serde_json::{Value, json};
use wharf_tests::{Answer, Builder, Wharf, eventually, have, root, versioned, within};

/// One page of metrics, read by the rules of the format.
#[derive(Debug, Default)]
struct Page {
    /// Type of each family.
    families: BTreeMap<String, String>,
    /// By `name{labels}` without the prefix.
    samples: BTreeMap<String, f64>,
    /// Names of labels by family, without `le`.
    labels: BTreeMap<String, BTreeSet<String>>,
}

impl Page {
    async fn of(wharf: &Wharf) -> Self {
        let answer = wharf.admin_get("/metrics").await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
        assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        Self::read(&answer.text())
    }

    /// Fails on anything that the text format 0.0.4 does not allow.
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut helped = String::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty(), "{line}");
                helped = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, helped, "help stands before the type");
                assert!(
                    ["wharf_", "process_"].iter().any(|prefix| name.starts_with(prefix))
                        && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                    "{line}"
                );
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                let again = page.families.insert(name.to_owned(), kind.to_owned());
                assert!(again.is_none(), "{name} is there twice");
                family = name.to_owned();
            } else {
                page.sample(&family, line);
            }
        }
        page
    }

    fn sample(&mut self, family: &str, line: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not in {family}"));
        let histogram = self.families[family] == "histogram";
        assert!(if histogram { ["_sum", "_count", "_bucket"].contains(&suffix) } else { suffix.is_empty() }, "{line}");
        let labels = labels.strip_suffix('}').unwrap();
        // No label of ours has a comma before a quote.
        let names = labels.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name.to_owned());
        self.labels.entry(family.to_owned()).or_default().extend(names.filter(|name| name != "le"));
        let key = series.strip_prefix("wharf_").unwrap_or(series).to_owned();
        assert!(self.samples.insert(key, value).is_none(), "{series} is there twice");
    }

    #[track_caller]
    fn get(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("there is no {series} in {:#?}", self.samples.keys()))
    }

    /// The sum of all series whose name begins so.
    fn sum(&self, begin: &str) -> f64 {
        self.samples.iter().filter(|(name, _)| name.starts_with(begin)).map(|(_, value)| value).sum()
    }
}

/// Everything that makes a metric, in one host.
fn busy() -> Builder {
    Wharf::builder()
        .plugin("hostile")
        .plugin("caller")
        .file("versioned", &versioned("version-marker-000000001"))
        .service("caller", "grants: { calls: [hostile] }")
        .service(
            "versioned",
            "rollout: { canary: { steps: [25], interval: 1h } }
instances: [{ name: gone, url: 'http://127.0.0.1:1', version: '9' }]",
        )
        .gateway(
            "routes:
  - name: r
    rules:
      - matches: [{ path: { prefix: /fault } }]
        filters: [{ fault: { abort: { status: 503, percent: 100 } } }]
        backendRefs: [{ service: hostile }]
      - matches: [{ path: { prefix: /copied } }]
        filters: [{ rewrite: { prefix: / } }, { mirror: { service: versioned } }]
        backendRefs: [{ service: hostile }]
queues: { mails: { retention: { age: 1h } } }
",
        )
}

/// A host with a version on trial, and what was asked of it.
async fn busy_host() -> Wharf {
    started(busy()).await
}

async fn started(builder: Builder) -> Wharf {
    let wharf = builder.start().await;
    wharf.install("versioned.wasm", &versioned("version-marker-000000002"));
    eventually("there is a trial", async || {
        wharf.states("versioned").await.contains(&"versioned.wasm canary".to_owned()).then_some(())
    })
    .await;
    for path in ["/hostile/", "/hostile/status?code=404", "/hostile/trap", "/fault/", "/copied/", "/nowhere"] {
        wharf.get(path).await;
    }
    wharf.get("/caller/call?url=http%3A%2F%2Fhostile.internal%2F").await.assert_status(200);
    wharf
}

/// Name to type and labels, as the documentation lists them.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).filter(|row| row.matches(" | ").count() >= 3);
    let rows = rows.map(|row| {
        let mut cells = row.split(" | ");
        let name = cells.next().unwrap().trim_end_matches('`').to_owned();
        let kind = cells.next().unwrap().to_owned();
        let labels = cells.next().unwrap().split('`').skip(1).step_by(2).map(str::to_owned).collect();
        (name, (kind, labels))
    });
    rows.collect()
}

#[tokio::test]
async fn the_documentation_lists_exactly_the_metrics_that_there_are() {
    let events = "grants: { publish: [a] }\nsubscriptions: [{ topic: a }]";
    let wharf = started(busy().plugin("subscriber").service("subscriber", events)).await;
    wharf.send("POST", "/subscriber/publish?topic=a", "{}").await.assert_status(200);
    let page = Page::of(&wharf).await;
    let documented = documented();
    assert!(documented.len() > 30, "the tables look different: {documented:?}");
    assert_eq!(page.families.keys().collect::<Vec<_>>(), documented.keys().collect::<Vec<_>>());
    for (name, (kind, labels)) in &documented {
        assert_eq!((&page.families[name], page.labels.get(name)), (kind, Some(labels)), "{name}");
    }
}

#[tokio::test]
async fn requests_are_counted_by_service_asker_and_status() {
    let wharf = busy_host().await;
    let page = Page::of(&wharf).await;
    let requests = |labels: &str| page.get(&format!("requests_total{{{labels}}}"));
    // `/`, `/copied/`; `/trap`, `/fault/`.
    assert_eq!(requests(r#"service="hostile",from="client",status="2xx""#), 2.0);
    assert_eq!(requests(r#"service="hostile",from="client",status="4xx""#), 1.0);
    assert_eq!(requests(r#"service="hostile",from="client",status="5xx""#), 2.0);
    assert_eq!(requests(r#"service="hostile",from="service",status="2xx""#), 1.0);
    assert_eq!(requests(r#"service="caller",from="client",status="2xx""#), 1.0);
    assert_eq!(requests(r#"service="",from="client",status="4xx""#), 1.0);
    let errors =
        |service: &str, reason: &str| page.get(&format!("errors_total{{service=\"{service}\",reason=\"{reason}\"}}"));
    assert_eq!(
        [errors("hostile", "guest_trap"), errors("hostile", "fault_injected"), errors("", "no_route")],
        [1.0; 3]
    );
    assert_eq!(page.sum(r#"errors_total{service="hostile""#), 2.0);
    // The fault is no try; the 404 says nothing.
    let tries = |outcome: &str| page.get(&format!("attempts_total{{service=\"hostile\",outcome=\"{outcome}\"}}"));
    assert_eq!(["success", "failure", "ignored", "overloaded"].map(tries), [3.0, 1.0, 1.0, 0.0]);
    let time = |what: &str| page.get(&format!("request_duration_seconds_{what}"));
    assert_eq!(time(r#"count{service="hostile",from="client"}"#), 5.0);
    assert_eq!(time(r#"bucket{le="+Inf",service="hostile",from="client"}"#), 5.0);
    let sum = time(r#"sum{service="hostile",from="client"}"#);
    assert!(sum > 0.0 && sum < 60.0, "{sum}");
}

#[tokio::test]
async fn a_response_that_breaks_off_after_its_head_is_counted_for_itself() {
    let wharf = Wharf::builder()
        .plugin("hostile")
        .service("hostile", "timeouts: { request: 1s }\nlimits: { responseBody: 1MiB }")
        .start()
        .await;
    let broken = async || Page::of(&wharf).await.get(r#"broken_responses_total{service="hostile"}"#);
    assert_eq!(broken().await, 0.0);
    let get = async |path: &str| wharf.client().try_send("GET", &wharf.url(path), &[], "").await;
    get("/hostile/").await.unwrap();
    get("/hostile/stream?bytes=10").await.unwrap();
    wharf.get("/hostile/trap").await.assert_status(502);
    assert_eq!(broken().await, 0.0, "whole answers, and one of the gateway");
    for (count, path) in (1u8..).zip([
        "/hostile/trap-mid-stream?ms=50",
        "/hostile/unfinished?ms=50",
        "/hostile/stream?bytes=2000000",
        "/hostile/slow-body?count=100&ms=100",
    ]) {
        assert!(get(path).await.is_err(), "{path} is cut");
        eventually("it is counted", async || (broken().await == f64::from(count)).then_some(())).await;
    }
    let page = Page::of(&wharf).await;
    assert_eq!(page.get(r#"requests_total{service="hostile",from="client",status="2xx"}"#), 6.0);
    assert_eq!(page.sum(r#"errors_total{service="hostile""#), 1.0, "only those that had no other answer");
}

#[tokio::test]
async fn the_process_is_measured_as_its_system_sees_it() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let before = Page::of(&wharf).await;
    let [cpu, memory, files] = ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"];
    let held = wharf.memory() as f64;
    assert!((held / 2.0..held * 2.0).contains(&before.get(memory)), "{} of {held}", before.get(memory));
    assert!(before.get("process_virtual_memory_bytes") > before.get(memory));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let started = before.get("process_start_time_seconds");
    assert!((now - 120.0..=now + 2.0).contains(&started), "{started} at {now}");
    assert!((before.get("start_time_seconds") - started).abs() < 60.0);
    let sockets =
        futures_util::future::join_all((0..50).map(|_| tokio::net::TcpStream::connect(wharf.address()))).await;
    for _ in 0..20 {
        wharf.get("/hostile/spin?ms=20").await.assert_status(200);
    }
    let spent = wharf.cpu_seconds();
    let after = Page::of(&wharf).await;
    let spent = spent..=wharf.cpu_seconds();
    // Some files of the start may have been closed since.
    assert!(after.get(files) >= before.get(files) + 40.0, "{} then {}", before.get(files), after.get(files));
    assert!(after.get(files) < after.get("process_max_fds"));
    assert!(after.get(cpu) > before.get(cpu), "{} then {}", before.get(cpu), after.get(cpu));
    assert!(spent.contains(&after.get(cpu)), "{} is not in {spent:?}", after.get(cpu));
    drop(sockets);
}

#[tokio::test]
async fn filters_rollouts_versions_and_instances_are_counted() {
    let wharf = busy_host().await;
    let page = eventually("the copy has arrived", async || {
        let page = Page::of(&wharf).await;
        (page.sum(r#"mirror_copies_total{filter="rule \"r\"/1 to versioned",result="sent"#) == 1.0).then_some(page)
    })
    .await;
    assert_eq!(page.get(r#"faults_total{filter="rule \"r\"/0",fault="aborted"}"#), 1.0);
    let decided =
        |word: &str| page.get(&format!("rollout_decisions_total{{service=\"versioned\",decision=\"{word}\"}}"));
    assert_eq!([decided("serving"), decided("canary"), decided("rolled_back")], [1.0, 1.0, 0.0]);
    assert_eq!(page.sum(r#"canary_ratio{service="versioned""#), 0.25);
    assert_eq!(page.get(r#"versions{service="versioned",state="canary"}"#), 1.0);
    assert_eq!(page.get(r#"versions{service="versioned",state="serving"}"#), 1.0);
    // Two components here, with one label, and one version elsewhere.
    assert_eq!(page.sum(r#"version_instances{service="versioned""#), 3.0);
    assert_eq!(page.sum(r#"instances{service="versioned""#), 3.0);
    assert_eq!(page.sum(r#"build_info{version=""#), 1.0);

    let order = format!("http://{}/api/rollouts/versioned/abort", wharf.admin());
    let answer = wharf.client().send("POST", &order, &[("content-type", "application/json")], "").await;
    answer.assert_status(200);
    let page = Page::of(&wharf).await;
    assert_eq!(page.get(r#"rollout_decisions_total{service="versioned",decision="aborted"}"#), 1.0);
    assert_eq!(page.sum("canary_ratio"), 0.0);
}

#[tokio::test]
async fn retries_an_open_breaker_and_a_full_bulkhead_are_counted() {
    let wharf = Wharf::builder()
        .plugin("hostile")
        .service(
            "hostile",
            "retry: { attempts: 1, codes: [500], backoff: 1ms, maxBackoff: 1ms }
circuitBreaker: { consecutiveFailures: 4, waitDurationInOpenState: 60s }
bulkhead: { maxConcurrent: 1, maxPending: 0 }",
        )
        .start()
        .await;
    let page = async || Page::of(&wharf).await;
    let of = |page: &Page, name: &str| page.get(&format!("{name}{{service=\"hostile\"}}"));
    let slow = wharf.client().stream("GET", &wharf.url("/hostile/slow-body?count=1000&ms=20"), "").await;
    assert_eq!(slow.status(), 200);
    let busy = page().await;
    assert_eq!([of(&busy, "bulkhead_limit"), of(&busy, "bulkhead_in_flight")], [1.0, 1.0]);
    assert_eq!(busy.sum("version_requests_in_flight"), 1.0);
    wharf.get("/hostile/").await.assert_problem(503, "bulkhead_full");
    drop(slow);
    eventually("the place is free", async || (of(&page().await, "bulkhead_in_flight") == 0.0).then_some(())).await;

    let before = page().await;
    assert!(of(&before, "bulkhead_refusals_total") >= 1.0);
    assert_eq!(before.sum(r#"circuit_breaker{service="hostile""#), 1.0);
    for _ in 0..2 {
        wharf.get("/hostile/status?code=500").await.assert_status(500);
    }
    wharf.get("/hostile/").await.assert_problem(503, "circuit_open");
    let after = page().await;
    let more = |name: &str| of(&after, name) - of(&before, name);
    assert_eq!([more("retries_total"), more("retry_successes_total")], [2.0, 0.0]);
    assert!(more("circuit_breaker_refusals_total") >= 1.0);
    assert_eq!(after.get(r#"not_retried_total{service="hostile",reason="exhausted"}"#), 2.0);
    assert_eq!(after.sum("circuit_breaker_state{"), 2.0);
    let opened = after.samples.iter().filter(|(name, value)| name.contains(r#"to="open""#) && **value == 1.0);
    assert_eq!(opened.count(), 1);
    let budget = of(&after, "retry_budget_tries");
    assert!((95.0..100.0).contains(&budget), "{budget}");
}

#[tokio::test]
async fn the_number_of_series_does_not_grow_with_what_clients_send() {
    let wharf = busy_host().await;
    let names = async || Page::of(&wharf).await.samples.into_keys().collect::<BTreeSet<_>>();
    let before = names().await;
    let asked = futures_util::stream::iter(0..10_000_u32).map(|n| {
        let method = format!("M{n}");
        let method = if n % 3 == 0 { method.as_str() } else { "GET" };
        let begin = ["", "/hostile", "/caller", "/nobody"][n as usize % 4];
        let (url, host) = (wharf.url(&format!("{begin}/path-{n}?query={n}")), format!("host-{n}.example.com"));
        let request = (method.to_owned(), url, host);
        async {
            let (method, url, host) = request;
            let headers = [("host", host.as_str()), ("x-version", host.as_str()), ("user-agent", host.as_str())];
            wharf.client().send(&method, &url, &headers, "").await.status.as_u16()
        }
    });
    let statuses: BTreeMap<u16, u32> = asked
        .buffer_unordered(16)
        .fold(BTreeMap::new(), async |mut seen, status| {
            *seen.entry(status).or_default() += 1;
            seen
        })
        .await;
    assert!(statuses.contains_key(&404), "{statuses:?}");
    let after = names().await;
    assert_eq!(after.symmetric_difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    let counted = Page::of(&wharf).await.sum("requests_total");
    assert!(counted >= 10_000.0, "all were counted: {counted}");
}

#[tokio::test]
async fn changes_of_the_configuration_are_counted_good_and_bad() {
    let wharf = Wharf::builder().start().await;
    let state = async |good: f64, bad: f64, is_good: f64| {
        within(Duration::from_secs(20), &format!("{good} good and {bad} bad changes"), async || {
            let page = Page::of(&wharf).await;
            let reloads = |result: &str| page.get(&format!("config_reloads_total{{result=\"{result}\"}}"));
            let found = [reloads("success"), reloads("failure"), page.get("config_last_reload_successful")];
            (found == [good, bad, is_good]).then_some(page)
        })
        .await
    };
    let info = |page: &Page| page.samples.keys().find(|name| name.starts_with("config_info")).unwrap().clone();
    const SINCE: &str = "config_last_reload_success_timestamp_seconds";
    let first = state(0.0, 0.0, 1.0).await;
    assert_eq!(first.get(SINCE), first.get("start_time_seconds"));
    wharf.configure("gateway.yaml", "accessLog: { enabled: nonsense }");
    let broken = state(0.0, 1.0, 0.0).await;
    assert_eq!((info(&broken), broken.get(SINCE)), (info(&first), first.get(SINCE)), "the one before is in force");
    wharf.configure("gateway.yaml", "accessLog: { enabled: false }");
    let good = state(1.0, 1.0, 1.0).await;
    assert_ne!(info(&good), info(&first));
    assert!(good.get(SINCE) > first.get(SINCE));
}

#[tokio::test]
async fn the_page_is_read_by_prometheus_itself() {
    let Some(promtool) = have(&["promtool"], 1) else { return };
    let wharf = busy_host().await;
    let page = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(page.path(), wharf.admin_get("/metrics").await.body).unwrap();
    let input = std::fs::File::open(page.path()).unwrap();
    let outcome = promtool.run_on(["check", "metrics"], input.into(), Duration::from_secs(60)).await;
    outcome.assert_success();
    assert_eq!(outcome.stderr, "", "it has nothing to say against names and types");
}

#[tokio::test]
async fn prometheus_scrapes_it_as_openmetrics() {
    let Some(prometheus) = have(&["prometheus"], 2) else { return };
    let wharf = busy_host().await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "scrape_configs: [{{ job_name: wharf, scrape_interval: 1s, static_configs: [{{ targets: ['{}'] }}] }}]",
        wharf.admin()
    );
    let file = dir.path().join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let running = prometheus.start([
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", dir.path().join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let ask = async |query: &str| {
        let url = format!("http://127.0.0.1:{port}/api/v1/query?query={query}");
        let answer = wharf.client().try_send("GET", &url, &[], "").await.ok()?;
        if answer.status != 200 {
            return None;
        }
        let result = answer.json()["data"]["result"].clone();
        Some(result.as_array()?.first()?["value"][1].as_str()?.to_owned())
    };
    let up = within(Duration::from_secs(30), "it was scraped", async || ask("up").await.filter(|up| up == "1")).await;
    assert_eq!(up, "1");
    let requests = "wharf_requests_total%7Bservice%3D%22hostile%22%2Cstatus%3D%224xx%22%2Cfrom%3D%22client%22%7D";
    assert_eq!(ask(requests).await.as_deref(), Some("1"));
    running.stop().await;
}

async fn health(wharf: &Wharf) -> (u16, Value) {
    let answer = wharf.get("/api/health").await;
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), ("application/json", "no-store"));
    (answer.status.as_u16(), answer.json())
}

/// The answer as soon as it has this status and this word.
async fn becomes(wharf: &Wharf, status: u16, word: &str) -> Value {
    eventually(&format!("it is {word}"), async || {
        let (found, document) = health(wharf).await;
        (found == status && document["status"] == word).then_some(document)
    })
    .await
}

const SICK: &str = "instances: [{ name: a, url: 'http://127.0.0.1:1', healthCheck: \
     { path: /, interval: 100ms, timeout: 100ms, unhealthyThreshold: 1 } }]";

#[tokio::test]
async fn strangers_learn_how_everything_is_and_no_names() {
    let wharf = Wharf::builder().plugin("hostile").service("sick", SICK).start().await;
    let document = becomes(&wharf, 200, "degraded").await;
    assert_eq!(document, json!({ "status": "degraded", "counts": { "healthy": 1, "degraded": 0, "unhealthy": 1 } }));
    let send = async |method: &str| wharf.send(method, "/api/health", "").await;
    let head = send("HEAD").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let post = send("POST").await;
    assert_eq!((post.status.as_u16(), post.header("allow")), (405, "GET, HEAD"));
    wharf.get("/api/health/more").await.assert_problem(404, "no_route");
    wharf.get("/api").await.assert_problem(404, "no_route");

    wharf.configure("gateway.yaml", "health: { path: /up, details: true }");
    let named = eventually("it has moved", async || {
        let answer = wharf.get("/up").await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(named["services"], json!({ "hostile": "healthy", "sick": "unhealthy" }));
    wharf.get("/api/health").await.assert_problem(404, "no_route");
    wharf.configure("gateway.yaml", "health: { enabled: false }");
    eventually("it is gone", async || (wharf.get("/up").await.status == 404).then_some(())).await;
    wharf.get("/api/health").await.assert_problem(404, "no_route");
}

#[tokio::test]
async fn it_is_unhealthy_only_when_nobody_answers() {
    let wharf = Wharf::builder().service("sick", SICK).start().await;
    becomes(&wharf, 503, "unhealthy").await;
    wharf.install("hostile.wasm", &wharf_tests::guest("hostile"));
    becomes(&wharf, 200, "degraded").await;
    let none = Wharf::builder().start().await;
    assert_eq!(health(&none).await.0, 200, "no services are no failure");
}

#[tokio::test]
async fn whoever_serves_the_path_comes_first() {
    let wharf = Wharf::builder().plugin_as("hostile", "api").plugin("caller").start().await;
    let body = async |path: &str| wharf.get(path).await.text();
    assert_eq!(body("/api/health").await, "no such misdeed", "the service's own answer");
    wharf.configure(
        "gateway.yaml",
        "health: { path: /up }
routes: [{ name: r, rules: [{ matches: [{ path: { exact: /up } }], filters: [{ staticResponse: { body: mine } }] }] }]",
    );
    eventually("the route is there", async || (body("/up").await == "mine").then_some(())).await;
}

#[tokio::test]
async fn a_host_that_was_told_to_stop_is_no_place_for_new_requests() {
    let mut wharf = Wharf::builder().gateway("drain: { preStopDelay: 3s }").start().await;
    assert_eq!(health(&wharf).await.0, 200);
    wharf.signal(Signal::TERM);
    becomes(&wharf, 503, "draining").await;
    assert!(wharf.ended().await.success());
}

#[tokio::test]
async fn metrics_are_only_read() {
    let wharf = Wharf::builder().start().await;
    let url = format!("http://{}/metrics", wharf.admin());
    let post: Answer = wharf.client().send("POST", &url, &[("content-type", "application/json")], "{}").await;
    post.assert_status(405);
    let openmetrics = wharf.client().send("GET", &url, &[("accept", "application/openmetrics-text")], "").await;
    assert_eq!(openmetrics.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(openmetrics.text().ends_with("# EOF\n"));
    wharf.get("/metrics").await.assert_problem(404, "no_route");
}
