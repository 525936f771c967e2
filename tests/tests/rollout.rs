//! New versions on trial: good ones walk the steps, bad ones go by themselves, and operators have the last word.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests, and what they measured"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::task::JoinHandle;
use wharf_tests::{Connection, Wharf, binary, eventually, versioned, within};

/// A busy machine must not look like a slow version.
const QUICK: &str = "rollout:
  canary: { steps: [20, 50, 100], interval: 1s, minRequests: 10, maxErrorRate: 1, maxLatencyRatio: 1000 }
";
/// A trial that goes on until somebody ends it.
const ENDLESS: &str = "rollout: { retain: 2, canary: { steps: [50], interval: 1h } }";

fn marker(n: u64) -> String {
    format!("version-marker-{n:09}")
}

async fn start(settings: &str) -> Arc<Wharf> {
    Arc::new(Wharf::builder().file("versioned", &versioned(&marker(1))).service("versioned", settings).start().await)
}

/// Answers by version and status, from connections that ask until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    connections: Vec<JoinHandle<BTreeMap<(String, u16), u64>>>,
}

impl Load {
    fn start(wharf: &Arc<Wharf>, connections: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ask = |_| {
            let (wharf, stop) = (Arc::clone(wharf), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut seen = BTreeMap::new();
                let mut connection = Connection::open(wharf.address()).await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let answer = connection.get("/versioned/").await.expect("no request fails without an answer");
                    let version = answer.header("x-version").to_owned();
                    *seen.entry((version, answer.status.as_u16())).or_default() += 1;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                seen
            })
        };
        Self { connections: (0..connections).map(ask).collect(), stop }
    }

    async fn stop(self) -> BTreeMap<(String, u16), u64> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for connection in self.connections {
            for (what, count) in connection.await.unwrap() {
                *all.entry(what).or_default() += count;
            }
        }
        println!("{all:?}");
        all
    }
}

/// Exit code and output of `wharf <arguments> --admin …`.
async fn run(wharf: &Wharf, arguments: &[&str]) -> (i32, String) {
    let admin = wharf.admin().to_string();
    let output = tokio::process::Command::new(binary()).args(arguments).args(["--admin", &admin]).output().await;
    let output = output.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// Waits until the versions are in these states, in alphabetical order.
async fn state(wharf: &Wharf, states: &[&str]) {
    within(Duration::from_secs(30), &format!("the states are {states:?}"), async || {
        let mut now = wharf.states("versioned").await;
        now.sort();
        (now == states).then_some(())
    })
    .await;
}

/// Versions that answered so many requests.
async fn answering(wharf: &Wharf, requests: usize) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..requests {
        let version = wharf.get("/versioned/").await.header("x-version").to_owned();
        if !seen.contains(&version) {
            seen.push(version);
        }
    }
    seen.sort();
    seen
}

fn install(wharf: &Wharf, marker: &str) {
    wharf.install("versioned.wasm", &versioned(marker));
}

const ON_TRIAL: [&str; 2] = ["versioned.wasm canary", "versioned.wasm serving"];

async fn on_trial(wharf: &Wharf) {
    within(Duration::from_secs(30), "the new version is on trial", async || {
        let states = wharf.states("versioned").await;
        ON_TRIAL.iter().all(|state| states.iter().any(|known| known == state)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_version_walks_the_steps_and_takes_over_without_a_failed_request() {
    let wharf = start(QUICK).await;
    let load = Load::start(&wharf, 6);
    install(&wharf, &marker(2));
    on_trial(&wharf).await;
    let (code, told) = run(&wharf, &["rollout", "status", "versioned", "--watch"]).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("20 % of the requests") && told.contains("promoted"), "{told}");
    let seen = load.stop().await;
    assert!(seen.keys().all(|(_, status)| *status == 200), "{seen:?}");
    let count = |n| seen[&(marker(n), 200)];
    assert!(count(1) > 50 && count(2) > 50, "{seen:?}");
    assert_eq!(answering(&wharf, 50).await, [marker(2)]);
    state(&wharf, &["versioned.wasm retained", "versioned.wasm serving"]).await;
    let record = wharf.admin_get("/api/rollouts/versioned").await.json();
    let words: Vec<_> = record["history"].as_array().unwrap().iter().map(|event| event["what"].clone()).collect();
    assert_eq!(words, ["promoted", "advanced", "advanced", "canary", "serving"]);
    wharf.logged("rollout: promoted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_fails_is_rolled_back_by_itself_and_few_clients_notice() {
    let wharf = start(QUICK).await;
    for (nth, (bad, reasons, most)) in [
        ("fail-050-000000000000001", ["error rate ", "its first "], 100),
        // Which it is depends on how many requests come between two looks.
        ("trap-100-000000000000001", ["error rate 100.0 % against 0.0 %", "its first "], 100),
    ]
    .into_iter()
    .enumerate()
    {
        let load = Load::start(&wharf, 6);
        install(&wharf, bad);
        let rejection = within(Duration::from_secs(30), "it is rolled back", async || {
            let record = wharf.admin_get("/api/rollouts/versioned").await.json();
            let history = record["history"].as_array().unwrap();
            let ended = history.iter().filter(|event| event["what"] == "rolledBack").count();
            (ended > nth).then(|| record["rejected"].as_str().unwrap().to_owned())
        })
        .await;
        let why = rejection.strip_prefix("rolled back: ").unwrap();
        assert!(reasons.iter().any(|reason| why.starts_with(reason)), "{why}");
        assert_eq!(wharf.rejection("versioned").await, rejection);
        let seen = load.stop().await;
        let failed: u64 = seen.iter().filter(|((_, status), _)| *status >= 500).map(|(_, count)| count).sum();
        let old = seen[&(marker(1), 200)];
        assert!(failed <= most && failed < old, "{failed} of {seen:?}");
        let logged = wharf.logged(why).await;
        assert!(logged.contains("rollout: rolled back") && logged.contains("WARN"), "{logged}");
        assert_eq!(answering(&wharf, 50).await, [marker(1)]);
        let (code, told) = run(&wharf, &["rollout", "status"]).await;
        assert!(code == 0 && told.contains("what versioned.wasm contains does not serve: rolled back"), "{told}");
    }
    // The same content again is no reason to try again; other content is.
    install(&wharf, "trap-100-000000000000001");
    wharf.install("other.wasm", &versioned(&marker(9)));
    eventually("the folder was looked at", async || (wharf.get("/other/").await.status == 200).then_some(())).await;
    state(&wharf, &["versioned.wasm rejected", "versioned.wasm serving"]).await;
    install(&wharf, &marker(2));
    on_trial(&wharf).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_much_slower_is_rolled_back() {
    let settings = "rollout: { canary: { steps: [50, 100], interval: 1s, minRequests: 10, maxLatencyRatio: 1.5 } }";
    let wharf = start(settings).await;
    let load = Load::start(&wharf, 2);
    install(&wharf, "slow-900-000000000000001");
    let reason = wharf.rejection("versioned").await;
    assert!(reason.starts_with("rolled back: 99th percentile ") && reason.contains(" ms against "), "{reason}");
    let seen = load.stop().await;
    assert!(seen.keys().all(|(_, status)| *status == 200), "{seen:?}");
}

#[tokio::test]
async fn operators_promote_abort_and_roll_back() {
    let wharf = start(ENDLESS).await;
    for arguments in [&["rollout", "promote", "versioned"][..], &["rollout", "abort", "versioned"]] {
        let (code, told) = run(&wharf, arguments).await;
        assert_eq!((code, told.contains("no canary of `versioned` is running")), (1, true), "{told}");
    }
    let (code, told) = run(&wharf, &["rollback", "versioned"]).await;
    assert_eq!((code, told.contains("no older version of `versioned` is retained")), (1, true), "{told}");
    let (code, told) = run(&wharf, &["rollback", "nothing"]).await;
    assert_eq!((code, told.contains("there is no service `nothing`")), (1, true), "{told}");
    let (code, told) = run(&wharf, &["rollout", "status", "versioned", "--watch"]).await;
    assert_eq!((code, told.as_str()), (0, "no canary of versioned is running\n"));

    // Abort: the old one goes on, and a watcher's exit code says so.
    install(&wharf, &marker(2));
    on_trial(&wharf).await;
    assert_eq!(answering(&wharf, 60).await, [marker(1), marker(2)]);
    let (code, told) = run(&wharf, &["rollout", "status", "versioned"]).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("gets 50 % of the requests") && told.contains("waits for"), "{told}");
    let watching = tokio::spawn({
        let wharf = Arc::clone(&wharf);
        async move { run(&wharf, &["rollout", "status", "versioned", "--watch"]).await }
    });
    let (code, told) = tokio::join!(run(&wharf, &["rollout", "status", "--json"]), async {
        // The watcher must have seen the trial.
        tokio::time::sleep(Duration::from_secs(2)).await;
    })
    .0;
    let list: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &list["rollouts"][0]["candidate"]["percent"]), (0, &serde_json::json!(50)));
    assert_eq!(run(&wharf, &["rollout", "abort", "versioned"]).await.0, 0);
    assert_eq!(answering(&wharf, 30).await, [marker(1)]);
    let (code, told) = watching.await.unwrap();
    assert_eq!((code, told.contains("aborted (ordered by an operator)")), (1, true), "{told}");
    assert_eq!(wharf.rejection("versioned").await, "aborted: ordered by an operator");

    // Promote: the new one serves, the old one stays within reach.
    install(&wharf, &marker(3));
    on_trial(&wharf).await;
    assert_eq!(run(&wharf, &["rollout", "promote", "versioned"]).await.0, 0);
    assert_eq!(answering(&wharf, 30).await, [marker(3)]);
    state(&wharf, &["versioned.wasm retained", "versioned.wasm serving"]).await;

    // Rollback: without loading anything, although the file holds the other content.
    let (code, told) = run(&wharf, &["rollback", "versioned"]).await;
    assert_eq!((code, told.contains("serves again")), (0, true), "{told}");
    assert_eq!(answering(&wharf, 30).await, [marker(1)]);
    assert!(wharf.rejection("versioned").await.starts_with("rolled back: ordered by an operator"));
    install(&wharf, &marker(3));
    install(&wharf, &marker(4));
    on_trial(&wharf).await;
    let (code, told) = run(&wharf, &["rollback", "versioned"]).await;
    assert_eq!((code, told.contains("serves again")), (0, false), "it ends the trial: {told}");
    assert_eq!(answering(&wharf, 30).await, [marker(1)]);
}

#[tokio::test]
async fn files_and_settings_may_change_during_a_trial() {
    let wharf = start(ENDLESS).await;
    install(&wharf, &marker(2));
    on_trial(&wharf).await;
    // A newer file takes the place of the one on trial.
    install(&wharf, &marker(3));
    eventually("the newer one is on trial", async || {
        (answering(&wharf, 40).await == [marker(1), marker(3)]).then_some(())
    })
    .await;
    // The old file put back ends the trial.
    install(&wharf, &marker(1));
    state(&wharf, &["versioned.wasm serving"]).await;
    assert_eq!(answering(&wharf, 30).await, [marker(1)]);
    // Other steps count from the next one on.
    install(&wharf, &marker(4));
    on_trial(&wharf).await;
    wharf.configure(
        "services/versioned.yaml",
        "rollout: { canary: { steps: [60, 100], interval: 1s, minRequests: 5, maxLatencyRatio: 1000 } }",
    );
    within(Duration::from_secs(20), "it has walked the new steps", async || {
        (answering(&wharf, 20).await == [marker(4)]).then_some(())
    })
    .await;
    wharf.logged("gets 60 % of the requests").await;
    // Without a canary in the configuration there is no trial any more.
    wharf.configure("services/versioned.yaml", ENDLESS);
    wharf.logged("configuration in force").await;
    install(&wharf, &marker(5));
    on_trial(&wharf).await;
    wharf.configure("services/versioned.yaml", "rollout: { retain: 0 }");
    eventually("the new one serves", async || (answering(&wharf, 20).await == [marker(5)]).then_some(())).await;
    state(&wharf, &["versioned.wasm serving"]).await;
    // A deleted file takes its candidate with it.
    wharf.configure("services/versioned.yaml", ENDLESS);
    install(&wharf, &marker(6));
    within(Duration::from_secs(20), "it is on trial or serves", async || {
        answering(&wharf, 20).await.contains(&marker(6)).then_some(())
    })
    .await;
    std::fs::remove_file(wharf.plugin_path("versioned.wasm")).unwrap();
    eventually("it is gone", async || (wharf.get("/versioned/").await.status == 404).then_some(())).await;
    state(&wharf, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_new_files_one_after_the_other_fail_no_request() {
    let wharf = start(QUICK).await;
    let load = Load::start(&wharf, 4);
    for n in 2..=51 {
        install(&wharf, &marker(n));
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    within(Duration::from_secs(60), "the last one serves", async || {
        (answering(&wharf, 20).await == [marker(51)]).then_some(())
    })
    .await;
    let seen = load.stop().await;
    assert!(seen.keys().all(|(_, status)| *status == 200), "{seen:?}");
    state(&wharf, &["versioned.wasm retained", "versioned.wasm serving"]).await;
}

#[tokio::test]
async fn after_a_restart_the_file_in_the_folder_is_the_truth() {
    let wharf = start(ENDLESS).await;
    install(&wharf, &marker(2));
    on_trial(&wharf).await;
    let wharf = Arc::into_inner(wharf).unwrap().stop().await.start().await;
    assert_eq!(answering(&wharf, 30).await, [marker(2)]);
    assert_eq!(wharf.states("versioned").await, ["versioned.wasm serving"]);
}

#[tokio::test]
async fn a_version_that_comes_back_while_it_drains_keeps_its_requests() {
    let wharf = start("drainTimeout: 1s").await;
    let stream = wharf.client().stream("GET", &wharf.url("/versioned/sse?count=40&ms=100"), "").await;
    install(&wharf, &marker(2));
    eventually("it is replaced", async || (answering(&wharf, 1).await == [marker(2)]).then_some(())).await;
    assert_eq!(run(&wharf, &["rollback", "versioned"]).await.0, 0);
    let events = stream.into_body().collect().await.expect("it is not cut").to_bytes();
    assert_eq!(events, format!("{}\n", marker(1)).repeat(40));
    assert_eq!(answering(&wharf, 10).await, [marker(1)]);
    assert_eq!(wharf.log().iter().filter(|line| line.contains("cut off at drainTimeout")).count(), 0);
    // It can be replaced and cut as any other.
    let stream = wharf.client().stream("GET", &wharf.url("/versioned/sse?count=100&ms=100"), "").await;
    install(&wharf, &marker(3));
    assert!(stream.into_body().collect().await.is_err(), "it is cut");
    // And serves again after that.
    assert_eq!(run(&wharf, &["rollback", "versioned"]).await.0, 0);
    assert_eq!(answering(&wharf, 10).await, [marker(1)]);
}

#[tokio::test]
async fn what_was_rejected_is_tried_again_when_the_settings_change() {
    let wharf = start("healthCheck: { path: /health }").await;
    install(&wharf, "sick-version-00000000001");
    assert!(wharf.rejection("versioned").await.contains("/health answered 503"));
    wharf.configure("services/versioned.yaml", "healthCheck: { path: /well }");
    eventually("it serves under the new settings", async || {
        (answering(&wharf, 1).await == ["sick-version-00000000001"]).then_some(())
    })
    .await;
    state(&wharf, &["versioned.wasm retained", "versioned.wasm serving"]).await;
}

#[tokio::test]
async fn a_version_that_needs_what_is_not_granted_is_held_while_the_old_one_serves() {
    let wharf = start("").await;
    // A custom section at the end of the component.
    let (name, text) = ("wharf:needs", "calls: inventory, users");
    let mut wasm = versioned(&marker(2));
    wasm.extend([0, u8::try_from(1 + name.len() + text.len()).unwrap(), u8::try_from(name.len()).unwrap()]);
    wasm.extend([name, text].concat().bytes());
    wharf.install("versioned.wasm", &wasm);
    assert_eq!(wharf.rejection("versioned").await, "needs grant calls: inventory, users");
    assert_eq!(answering(&wharf, 10).await, [marker(1)]);
}
