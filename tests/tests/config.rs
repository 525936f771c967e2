//! Configuration of a running host: what changes live, what lies over what, and what a mistake does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use wharf_tests::{Answer, Wharf, eventually};

/// A route of this name and prefix to `hostile`.
fn route(prefix: &str) -> String {
    format!(
        "routes: [{{ name: r, rules: [{{ matches: [{{ path: {{ prefix: {prefix} }} }}], \
         filters: [{{ rewrite: {{ prefix: / }} }}], backendRefs: [{{ service: hostile }}] }}] }}]\n"
    )
}

async fn answers(wharf: &Wharf, path: &str, status: u16) {
    eventually(&format!("{path} answers {status}"), async || (wharf.get(path).await.status == status).then_some(()))
        .await;
}

#[tokio::test]
async fn routes_come_and_go_with_the_file() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    wharf.get("/shop").await.assert_status(404);
    wharf.configure("gateway.yaml", &route("/shop"));
    answers(&wharf, "/shop", 200).await;
    wharf.configure("gateway.yaml", &route("/store"));
    answers(&wharf, "/store", 200).await;
    wharf.get("/shop").await.assert_status(404);
    fs::remove_file(wharf.dir().join("gateway-config/gateway.yaml")).unwrap();
    answers(&wharf, "/store", 404).await;
    wharf.get("/hostile/").await.assert_status(200);
}

#[tokio::test]
async fn a_file_of_a_service_comes_changes_and_goes() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    wharf.configure("services/hostile.yaml", "expose: /elsewhere");
    answers(&wharf, "/elsewhere/", 200).await;
    wharf.get("/hostile/").await.assert_status(404);
    wharf.configure("services/hostile.yaml", "expose: false");
    answers(&wharf, "/elsewhere/", 404).await;
    fs::remove_file(wharf.dir().join("gateway-config/services/hostile.yaml")).unwrap();
    answers(&wharf, "/hostile/", 200).await;
}

#[tokio::test]
async fn a_service_reads_its_configuration_and_sees_it_change() {
    let wharf = Wharf::builder()
        .plugin("settings")
        .service("settings", "config: { currency: EUR, pageSize: 20, answer: no }")
        .start()
        .await;
    for (key, value) in [("currency", "EUR"), ("pageSize", "20"), ("answer", "no"), ("other", "not set")] {
        assert_eq!(wharf.get(&format!("/settings/config/{key}")).await.text(), value);
    }
    wharf.configure("services/settings.yaml", "config: { currency: CHF }");
    eventually("the new value is read", async || {
        (wharf.get("/settings/config/currency").await.text() == "CHF").then_some(())
    })
    .await;
    assert_eq!(wharf.get("/settings/config/pageSize").await.text(), "not set");
}

#[tokio::test]
async fn the_quota_of_a_store_is_kept_and_can_be_raised_live() {
    let wharf = Wharf::builder().plugin("settings").service("settings", "keyValue: { quota: 10KiB }").start().await;
    let store = async |key: &str, bytes: usize| {
        wharf.send("PUT", &format!("/settings/values/{key}?bytes={bytes}"), "").await.status.as_u16()
    };
    assert_eq!(store("a", 6000).await, 204);
    assert_eq!(store("b", 6000).await, 507, "over the quota");
    assert_eq!(store("a", 7000).await, 204, "what is replaced does not count");
    wharf.configure("services/settings.yaml", "keyValue: { quota: 1MiB }");
    eventually("there is room", async || (store("b", 6000).await == 204).then_some(())).await;
}

#[tokio::test]
async fn an_overlay_is_chosen_by_flag_or_variable_and_the_flag_wins() {
    let builder = || {
        Wharf::builder()
            .plugin("hostile")
            .gateway(&route("/base"))
            .config_file("env/one.yaml", "services: { hostile: { expose: /one } }")
            .config_file("env/two.yaml", &route("/two"))
    };
    let seen = async |wharf: &Wharf| {
        let mut found = Vec::new();
        for path in ["/base", "/hostile/", "/one", "/two"] {
            if wharf.get(path).await.status == 200 {
                found.push(path);
            }
        }
        found
    };
    assert_eq!(seen(&builder().start().await).await, ["/base", "/hostile/"]);
    let one = builder().argument("--env").argument("one").start().await;
    assert_eq!(seen(&one).await, ["/base", "/one"]);
    let two = builder().variable("WHARF_ENV", "two").start().await;
    assert_eq!(seen(&two).await, ["/hostile/", "/two"], "a route of the same name is laid over");
    let both = builder().variable("WHARF_ENV", "two").argument("--env=one").start().await;
    assert_eq!(seen(&both).await, ["/base", "/one"]);

    // The overlay is live too.
    one.configure("env/one.yaml", "services: { hostile: { expose: /uno } }");
    answers(&one, "/uno", 200).await;

    let said = builder().variable("WHARF_ENV", "three").refused().await;
    assert!(said.contains("environment `three` has no file"), "{said}");
}

#[tokio::test]
async fn everything_can_come_from_files_and_is_read_at_the_start() {
    let builder = Wharf::builder().without_flags().gateway(
        "
listen: 127.0.0.2:0
admin: { listen: 127.0.0.3:0 }
plugins: { dir: components }
state: { path: data/here }
",
    );
    let dir = builder.dir().to_owned();
    fs::create_dir(dir.join("components")).unwrap();
    fs::write(dir.join("components/versioned.wasm"), wharf_tests::guest("versioned")).unwrap();
    let wharf = builder.start().await;
    assert_eq!(wharf.address().ip().to_string(), "127.0.0.2");
    assert_eq!(wharf.admin().ip().to_string(), "127.0.0.3");
    wharf.get("/versioned/").await.assert_status(200);
    assert!(dir.join("data/here/compiled").is_dir());
    assert!(!dir.join(".wharf").exists());
}

#[tokio::test]
async fn flags_win_over_files() {
    let wharf = Wharf::builder()
        .plugin("versioned")
        .gateway(
            "
listen: 127.0.0.2:0
admin: { listen: 127.0.0.3:0 }
plugins: { dir: not-this-one }
state: { path: nor-this-one }
",
        )
        .start()
        .await;
    assert_eq!(wharf.address().ip().to_string(), "127.0.0.1");
    assert_eq!(wharf.admin().ip().to_string(), "127.0.0.1");
    wharf.get("/versioned/").await.assert_status(200);
    assert!(wharf.dir().join("state/compiled").is_dir());
    assert!(!wharf.dir().join("not-this-one").exists() && !wharf.dir().join("nor-this-one").exists());
    // They still do after a reload.
    wharf.configure("gateway.yaml", "listen: 127.0.0.4:0\ndefaults: { timeouts: { request: 200ms } }");
    wharf.logged("configuration in force").await;
    assert!(!wharf.log().iter().any(|line| line.contains("only a restart")), "{:?}", wharf.log());
}

#[tokio::test]
async fn without_configuration_there_are_defaults() {
    let builder = Wharf::builder().plugin("hostile");
    fs::remove_dir_all(builder.dir().join("gateway-config")).unwrap();
    let wharf = builder.start().await;
    wharf.get("/hostile/").await.assert_status(200);
    eventually("it is in the access log", async || (!wharf.access_log().is_empty()).then_some(())).await;
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_the_log_points_at_the_mistake() {
    let wharf = Wharf::builder().plugin("hostile").gateway(&route("/shop")).start().await;
    wharf.configure("gateway.yaml", &format!("{}accesLog: {{ enabled: false }}\n", route("/store")));
    wharf.configure("services/hostile.yaml", "limits:\n  memory: 5 apples\n");
    let first = wharf.logged("gateway.yaml:2:1").await;
    assert!(first.contains("unknown field `accesLog`") && first.contains("did you mean `accessLog`?"), "{first}");
    let second = wharf.logged("hostile.yaml:2:11").await;
    assert!(second.contains("stays in force") && second.contains("5 apples"), "{second}");
    wharf.get("/shop").await.assert_status(200);
    wharf.get("/store").await.assert_status(404);

    // Repairing one of two is not enough.
    wharf.configure("gateway.yaml", &route("/store"));
    eventually("only one problem is left", async || {
        let log = wharf.log();
        let last = log.iter().rfind(|line| line.contains("stays in force"))?;
        (!last.contains("accesLog") && last.contains("hostile.yaml:2:11")).then_some(())
    })
    .await;
    wharf.get("/store").await.assert_status(404);
    wharf.configure("services/hostile.yaml", "limits:\n  memory: 5MiB\n");
    answers(&wharf, "/store", 200).await;

    let said = Wharf::builder().gateway("listn: 1\n").refused().await;
    assert!(said.contains("gateway.yaml:1:1") && said.contains("did you mean `listen`?"), "{said}");
}

#[tokio::test]
async fn what_needs_a_restart_is_named() {
    let start = "listen: 127.0.0.1:0\nadmin: { listen: 127.0.0.1:0 }\n";
    let wharf = Wharf::builder().without_flags().plugin("versioned").gateway(start).start().await;
    wharf.configure(
        "gateway.yaml",
        "
listen: 127.0.0.1:0
admin: { listen: 127.0.0.2:0 }
plugins: { pollInterval: 5s }
state: { path: other }
engine: { maxSlots: 10 }
",
    );
    for field in ["admin.listen", "plugins", "state", "engine"] {
        let line = wharf.logged(&format!("\"field\":\"{field}\"")).await;
        assert!(line.contains("only a restart puts it in force"), "{line}");
    }
    wharf.get("/versioned/").await.assert_status(200);
}

#[tokio::test]
async fn trusted_proxies_are_believed_as_soon_as_they_are_configured() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let ask = async || -> Answer {
        let headers = [("x-request-id", "from-the-proxy"), ("x-forwarded-for", "203.0.113.9")];
        wharf.client().send("GET", &wharf.url("/hostile/request"), &headers, Bytes::new()).await
    };
    let answer = ask().await;
    assert_ne!(answer.header("x-request-id"), "from-the-proxy");
    assert!(!answer.text().contains("203.0.113.9"), "{}", answer.text());
    wharf.configure("gateway.yaml", "trustedProxies: [127.0.0.0/8]");
    eventually("the peer is believed", async || (ask().await.header("x-request-id") == "from-the-proxy").then_some(()))
        .await;
    assert!(ask().await.text().contains("203.0.113.9"));
    wharf.configure("gateway.yaml", "trustedProxies: [10.0.0.0/8]");
    eventually("it is not any more", async || (ask().await.header("x-request-id") != "from-the-proxy").then_some(()))
        .await;
}

#[tokio::test]
async fn the_access_log_follows_its_settings() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    // Asks for `path` until the log has a line about one such request that looks right.
    let logs = async |path: &str, right: fn(&str) -> bool| {
        eventually(&format!("{path} is logged"), async || {
            wharf.get(path).await;
            wharf.access_log().iter().any(|line| line.contains(path) && right(line)).then_some(())
        })
        .await;
    };
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    logs("/hostile/?as-json", is_json).await;
    wharf.configure("gateway.yaml", "accessLog: { format: text }");
    logs("/hostile/?as-text", |line| serde_json::from_str::<serde_json::Value>(line).is_err()).await;
    wharf.configure("gateway.yaml", "accessLog: { enabled: false }");
    let quiet = |seen: usize| seen == wharf.access_log().len();
    eventually("it is off", async || {
        let before = wharf.access_log().len();
        wharf.get("/hostile/?off").await;
        // A line that is coming is there well before this.
        tokio::time::sleep(Duration::from_millis(100)).await;
        quiet(before).then_some(())
    })
    .await;
    wharf.configure("gateway.yaml", "accessLog: { enabled: true }");
    logs("/hostile/?again", is_json).await;
}

#[tokio::test]
async fn drain_settings_are_those_of_the_moment_of_the_signal() {
    let mut wharf = Wharf::builder().plugin("hostile").gateway("drain: { timeout: 1h }").start().await;
    let _stream = wharf.client().stream("GET", &wharf.url("/hostile/sse?count=600&ms=100"), "").await;
    wharf.configure("gateway.yaml", "drain: { timeout: 100ms }");
    wharf.logged("configuration in force").await;
    wharf.signal(rustix::process::Signal::TERM);
    assert_eq!(wharf.ended().await.code(), Some(0));
}
