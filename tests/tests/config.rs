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

/// Fresh slots, and slots that serve many requests.
const SLOTS: [&str; 2] = ["slots: fresh", "slots: reuse"];

#[tokio::test]
async fn a_version_reads_values_of_its_own_and_sees_them_change() {
    for slots in SLOTS {
        let settings = |currency: &str| {
            format!(
                "{slots}\nconfig: {{ currency: EUR, page: 20 }}\n\
                 versions: {{ \"2\": {{ config: {{ currency: {currency}, only: here }} }} }}"
            )
        };
        let routes = "routes: [{ name: two, rules: [{ matches: [{ path: { prefix: /two } }], \
                      filters: [{ rewrite: { prefix: / } }], backendRefs: [{ service: settings, version: \"2\" }] }] }]";
        let wharf = Wharf::builder()
            .plugin("settings")
            .plugin_as("settings", "settings@2")
            .gateway(routes)
            .service("settings", &settings("CHF"))
            .start()
            .await;
        let read = async |path: &str| wharf.get(path).await.text();
        for (path, value) in [
            ("/settings/config/currency", "EUR"),
            ("/settings/config/only", "not set"),
            ("/two/config/currency", "CHF"),
            ("/two/config/page", "20"),
            ("/two/config/only", "here"),
        ] {
            assert_eq!(read(path).await, value, "{path}, {slots}");
        }
        wharf.configure("services/settings.yaml", &settings("USD"));
        eventually("the new value is read", async || (read("/two/config/currency").await == "USD").then_some(())).await;
        assert_eq!(read("/settings/config/currency").await, "EUR");
    }
}

const SECRETS: &str = "secrets: { stripe: { file: stripe.key }, other: { env: OTHER_KEY } }\n";

/// A service that reads a secret, and one that is told a name of it and was not granted any.
fn with_secret(slots: &str, secret: &str) -> wharf_tests::Builder {
    let wharf = Wharf::builder()
        .plugin("settings")
        .plugin_as("settings", "neighbour")
        .gateway(SECRETS)
        .service(
            "settings",
            &format!("{slots}\ngrants: {{ secrets: [stripe] }}\nconfig: {{ key: {{ secret: stripe }} }}"),
        )
        .service("neighbour", "config: { mine: 1 }")
        .variable("OTHER_KEY", "nobody-reads-this-one");
    fs::write(wharf.dir().join("stripe.key"), format!("{secret}\n")).unwrap();
    wharf
}

#[tokio::test]
async fn a_secret_is_read_by_whom_it_was_granted_and_follows_its_file() {
    for slots in SLOTS {
        let wharf = with_secret(slots, "first-s3cret").start().await;
        let read = async || wharf.get("/settings/config/key").await.text();
        assert_eq!(read().await, "first-s3cret");
        for key in ["key", "stripe", "secrets", "settings.key"] {
            assert_eq!(wharf.get(&format!("/neighbour/config/{key}")).await.text(), "not set", "{key}");
        }
        fs::write(wharf.dir().join("stripe.key"), "second-s3cret").unwrap();
        eventually("the new secret is read", async || (read().await == "second-s3cret").then_some(())).await;
        fs::remove_file(wharf.dir().join("stripe.key")).unwrap();
        wharf.logged("a secret cannot be read, its text from before stays in force").await;
        assert_eq!(read().await, "second-s3cret");
    }
}

#[tokio::test]
async fn a_secret_is_shown_nowhere() {
    let wharf = with_secret("slots: fresh", "hunter2-hunter2").start().await;
    wharf.send("POST", "/settings/print/key", "").await.assert_status(204);
    let answer = wharf.send("POST", "/settings/print/key?panic=true", "").await;
    assert!(answer.status.is_server_error() && !answer.text().contains("hunter2"), "{}", answer.text());
    for line in ["stdout has [redacted]", "stderr has [redacted]", "log has [redacted]", "panic has [redacted]"] {
        wharf.logged(line).await;
    }
    for path in ["/api/services", "/api/rollouts", "/metrics"] {
        assert!(!wharf.admin_get(path).await.text().contains("hunter2"), "{path}");
    }
    let shown: Vec<_> = wharf.log().into_iter().filter(|line| line.contains("hunter2")).collect();
    assert!(shown.is_empty(), "{shown:#?}");
    let source = wharf.dir().join("gateway-config");
    for command in ["config", "validate"] {
        let mut process = std::process::Command::new(wharf_tests::binary());
        let output = process.arg(command).arg("--config").arg(&source).current_dir(wharf.dir()).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !shown.contains("hunter2"), "{shown}");
        assert!(command == "validate" || shown.contains("secret: stripe"), "{shown}");
    }
}

#[tokio::test]
async fn a_configuration_whose_secret_is_not_granted_not_there_or_not_readable_is_not_put_in_force() {
    let wharf = with_secret("slots: fresh", "first-s3cret").start().await;
    for (settings, said) in [
        ("config: { key: { secret: stripe } }", "is not granted to this service"),
        ("grants: { secrets: [stirpe] }", "did you mean `stripe`?"),
    ] {
        wharf.configure("services/settings.yaml", settings);
        wharf.logged(said).await;
        assert_eq!(wharf.get("/settings/config/key").await.text(), "first-s3cret");
    }
    wharf.configure("services/settings.yaml", "grants: { secrets: [stripe] }\nconfig: { key: { secret: stripe } }");
    wharf.configure("gateway.yaml", "secrets: { stripe: { file: gone.key } }");
    wharf.logged("secrets.stripe: cannot read gone.key").await;
    assert_eq!(wharf.get("/settings/config/key").await.text(), "first-s3cret");

    let builder = with_secret("slots: fresh", "first-s3cret");
    fs::remove_file(builder.dir().join("stripe.key")).unwrap();
    let said = builder.refused().await;
    assert!(said.contains("secrets.stripe: cannot read stripe.key"), "{said}");
}

#[tokio::test]
async fn a_key_ends_by_itself_also_over_a_restart() {
    let wharf = Wharf::builder().plugin("settings").start().await;
    let put = async |wharf: &Wharf, path: &str| wharf.send("PUT", path, "").await.status.as_u16();
    assert_eq!(put(&wharf, "/settings/values/short?bytes=5&ttl=300").await, 204);
    assert_eq!(put(&wharf, "/settings/values/long?bytes=5&ttl=600000").await, 204);
    assert_eq!(put(&wharf, "/settings/values/stays?bytes=5").await, 204);
    eventually("it ends", async || (wharf.get("/settings/values/short").await.text() == "missing").then_some(())).await;
    assert_eq!(wharf.get("/settings/lifetimes/short").await.text(), "missing");
    assert_eq!(put(&wharf, "/settings/lifetimes/short?ttl=500").await, 404);
    assert_eq!(wharf.get("/settings/lifetimes/stays").await.text(), "unlimited");
    let wharf = wharf.stop().await.start().await;
    let left: u64 = wharf.get("/settings/lifetimes/long").await.text().parse().unwrap();
    assert!((1..600_000).contains(&left), "{left}");
    assert_eq!(put(&wharf, "/settings/lifetimes/long").await, 204);
    assert_eq!(wharf.get("/settings/lifetimes/long").await.text(), "unlimited");
    assert_eq!(wharf.get("/settings/values/stays").await.text(), "5 bytes");
    let refused = wharf.send("PUT", "/settings/values/a?ttl=999999999999999", "").await;
    assert!(refused.status == 507 && refused.text().contains("one millisecond to ten years"), "{}", refused.text());
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
