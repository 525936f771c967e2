//! Instances elsewhere, through the real gateway: who of them gets a request, and what passes through to them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use wharf_tests::{Answer, Reply, Upstream, Wharf, eventually, versioned, within};

const ONE: &str = "version-one--------00001";

/// `instances:` with these, named a, b, c …; each with more fields of its own.
fn instances(of: &[(&Upstream, &str)]) -> String {
    let mut yaml = "instances:\n".to_owned();
    for ((upstream, more), name) in of.iter().zip('a'..) {
        let _ = writeln!(yaml, "- {{ name: {name}, url: \"{}\"{more} }}", upstream.url());
    }
    yaml
}

/// A service `orders` with instances only.
async fn orders(of: &[(&Upstream, &str)], more: &str) -> Wharf {
    Wharf::builder().service("orders", &format!("{}{more}", instances(of))).start().await
}

async fn ask(wharf: &Wharf, path: &str, headers: &[(&str, &str)]) -> Answer {
    wharf.client().send("GET", &wharf.url(path), headers, "").await
}

/// How often which answer came, of so many.
async fn tally(wharf: &Wharf, path: &str, requests: usize) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for _ in 0..requests {
        let answer = wharf.get(path).await;
        answer.assert_status(200);
        *tally.entry(answer.text()).or_default() += 1;
    }
    tally
}

/// Whether `hits` of `n` draws are what a share gives: within six standard deviations, which 500 right draws of 30 % miss
/// less than once in 10⁸ times.
fn is_share(hits: usize, n: usize, percent: u32) -> bool {
    let (n, p) = (n as f64, f64::from(percent) / 100.0);
    (hits as f64 - n * p).abs() <= 6.0 * (n * p * (1.0 - p)).sqrt()
}

async fn register(wharf: &Wharf, body: serde_json::Value) {
    let url = format!("http://{}/api/services", wharf.admin());
    let json = [("content-type", "application/json")];
    let answer = wharf.client().send("POST", &url, &json, body.to_string()).await;
    assert!(answer.status.is_success(), "{}", answer.text());
}

#[tokio::test]
async fn instances_of_the_configuration_and_of_the_registry_answer_under_the_services_name() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let wharf = orders(&[(&a, "")], "loadBalancer: { strategy: roundRobin }").await;
    assert_eq!(tally(&wharf, "/orders/list?x=1", 4).await, BTreeMap::from([("a".to_owned(), 4)]));
    let seen = a.seen().remove(0);
    assert_eq!((&*seen.method, &*seen.target), ("GET", "/list?x=1"));
    assert_eq!(seen.header("x-forwarded-prefix"), "/orders");
    assert!(!seen.header("x-request-id").is_empty() && !seen.header("x-forwarded-for").is_empty(), "{seen:?}");

    register(&wharf, json!({ "service": "orders", "url": b.url(), "id": "b" })).await;
    eventually("b is asked, too", async || (wharf.get("/orders/").await.text() == "b").then_some(())).await;
    let shares = tally(&wharf, "/orders/", 20).await;
    assert_eq!(shares, BTreeMap::from([("a".to_owned(), 10), ("b".to_owned(), 10)]));

    // A service that nobody has configured is there for as long as it has an instance.
    register(&wharf, json!({ "service": "billing", "url": b.url(), "id": "c" })).await;
    eventually("billing answers", async || (wharf.get("/billing/").await.status == 200).then_some(())).await;
    let url = format!("http://{}/api/services/billing/instances/c", wharf.admin());
    wharf.client().send("DELETE", &url, &[], "").await.assert_status(204);
    eventually("billing is gone", async || (wharf.get("/billing/").await.status == 404).then_some(())).await;
}

#[tokio::test]
async fn weights_share_the_traffic_with_every_strategy_and_zero_gets_none() {
    let (a, b, none) = (Upstream::named("a").await, Upstream::named("b").await, Upstream::named("none").await);
    let of = [(&a, ", weight: 30"), (&b, ", weight: 70"), (&none, ", weight: 0")];
    let wharf = orders(&of, "").await;
    for strategy in ["random", "roundRobin", "leastRequest", "peakEwma"] {
        let yaml = format!("{}loadBalancer: {{ strategy: {strategy} }}", instances(&of));
        wharf.configure("services/orders.yaml", &yaml);
        // Nothing tells from outside that it is in force; until then the one before holds, which shares alike.
        let shares = tally(&wharf, "/orders/", 500).await;
        let share = |name: &str| shares.get(name).copied().unwrap_or_default();
        assert_eq!(share("none"), 0, "{strategy}: {shares:?}");
        assert_eq!(share("a") + share("b"), 500, "{strategy}: {shares:?}");
        // With peakEwma, one slow answer is reason enough to ask the other from then on, and only the machine knows who
        // gives it; what weights mean there is tested where latencies are made up (`policy/balance`).
        assert!(strategy == "peakEwma" || is_share(share("a"), 500, 30), "{strategy}: {shares:?}");
    }
    assert_eq!(none.count(), 0);
}

#[tokio::test]
async fn a_busy_instance_gets_fewer_requests_and_round_robin_does_not_care() {
    let script = |ms| move |_: &_| Reply::text("x").after(Duration::from_millis(ms));
    let (slow, fast) = (Upstream::start(script(300)).await, Upstream::start(script(3)).await);
    let of = [(&slow, ""), (&fast, "")];
    for (strategy, percent) in [("leastRequest", 0..25), ("peakEwma", 0..25), ("roundRobin", 40..60)] {
        let wharf = orders(&of, &format!("loadBalancer: {{ strategy: {strategy} }}")).await;
        let (slow_before, fast_before) = (slow.count(), fast.count());
        let load = async || {
            for _ in 0..15 {
                wharf.get("/orders/").await.assert_status(200);
            }
        };
        join_all((0..8).map(|_| load())).await;
        let (slow, fast) = (slow.count() - slow_before, fast.count() - fast_before);
        assert_eq!(slow + fast, 120);
        assert!(percent.contains(&(slow * 100 / 120)), "{strategy}: {slow} of 120 to the slow one");
    }
}

#[tokio::test]
async fn a_component_and_instances_of_its_version_are_one_version_and_other_labels_another() {
    let (beside, other) = (Upstream::named("beside").await, Upstream::named("nine").await);
    let yaml = instances(&[(&beside, ""), (&other, ", version: \"9\"")]);
    let routes = "routes: [{ name: r, rules: [{ matches: [{ path: { prefix: /nine } }], \
                  backendRefs: [{ service: orders, version: \"9\" }] }] }]";
    let wharf = Wharf::builder()
        .file("orders", &versioned(ONE))
        .service("orders", &format!("{yaml}loadBalancer: {{ strategy: roundRobin }}"))
        .gateway(routes)
        .start()
        .await;
    let shares = tally(&wharf, "/orders/", 40).await;
    assert_eq!(shares.get("beside"), Some(&20), "{shares:?}");
    assert_eq!(shares.get("nine"), None, "{shares:?}");
    assert_eq!(shares.len(), 2, "{shares:?}");
    assert_eq!(wharf.get("/nine/").await.text(), "nine");
    // The component goes, and the instance goes on alone.
    std::fs::remove_file(wharf.plugin_path("orders.wasm")).unwrap();
    eventually("the component is gone", async || {
        (tally(&wharf, "/orders/", 4).await.get("beside") == Some(&4)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_takes_its_traffic_along() {
    let (kept, lost) = (Upstream::named("kept").await, Upstream::named("lost").await);
    let clocks = "registry: { heartbeatInterval: 300ms, unhealthyAfter: 1s, removeAfter: 3s }";
    let wharf = Wharf::builder()
        .gateway(&format!("{clocks}\ndefaults: {{ loadBalancer: {{ strategy: roundRobin }} }}"))
        .start()
        .await;
    for upstream in [&kept, &lost] {
        let id = if std::ptr::eq(upstream, &kept) { "kept" } else { "lost" };
        register(&wharf, json!({ "service": "orders", "url": upstream.url(), "id": id })).await;
    }
    let beat = async || {
        let url = format!("http://{}/api/services/orders/instances/kept/heartbeat", wharf.admin());
        wharf.client().send("PUT", &url, &[("content-type", "application/json")], "{}").await.assert_status(204);
    };
    eventually("both answer", async || {
        beat().await;
        wharf.get("/orders/").await;
        (lost.count() > 0 && kept.count() > 0).then_some(())
    })
    .await;
    within(Duration::from_secs(20), "one lease ends", async || {
        beat().await;
        let shares = tally(&wharf, "/orders/", 10).await;
        (shares.get("kept") == Some(&10)).then_some(())
    })
    .await;
    let before = lost.count();
    for _ in 0..10 {
        beat().await;
        tally(&wharf, "/orders/", 5).await;
    }
    assert_eq!(lost.count(), before);
}

#[tokio::test]
async fn a_sick_instance_gets_no_requests_until_it_is_well_again() {
    let (well, sick) = (Upstream::named("well").await, Upstream::named("sick").await);
    let check = "loadBalancer: { strategy: roundRobin }\nhealthCheck: { path: /up, interval: 100ms, timeout: 500ms, \
                 unhealthyThreshold: 2, healthyThreshold: 2, expectedStatuses: [204, 200-299] }";
    let wharf = orders(&[(&well, ""), (&sick, "")], check).await;
    eventually("both are checked", async || (well.checks() > 1 && sick.checks() > 1).then_some(())).await;
    assert_eq!(tally(&wharf, "/orders/", 10).await.len(), 2);
    // A status that is not expected, no answer in time, and no connection at all are three ways to be sick.
    for (how, reply) in [("300", Reply::status(300)), ("slow", Reply::hang()), ("reset", Reply::reset())] {
        sick.script(move |seen| if seen.is_check() { reply.clone() } else { Reply::text("sick") });
        eventually(&format!("it is out ({how})"), async || {
            (!tally(&wharf, "/orders/", 10).await.contains_key("sick")).then_some(())
        })
        .await;
        let instances = wharf.admin_get("/api/instances?service=orders&health=unhealthy").await.json();
        assert_eq!(instances["instances"][0]["id"], "orders/b", "{instances}");
        sick.script(|_| Reply::text("sick"));
        eventually(&format!("it is back ({how})"), async || {
            (tally(&wharf, "/orders/", 10).await.get("sick") == Some(&5)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_instance_may_have_a_check_of_its_own_and_changes_after_so_many_results() {
    let at = |path: &'static str| {
        Upstream::start(move |seen| match (seen.is_check(), seen.target == path) {
            (true, false) => Reply::status(404),
            _ => Reply::text(path),
        })
    };
    let (own, common) = (at("/own").await, at("/common").await);
    let check = "healthCheck: { path: /own, interval: 100ms, unhealthyThreshold: 3, healthyThreshold: 4 }";
    let yaml = "loadBalancer: { strategy: roundRobin }\nhealthCheck: { path: /common, interval: 100ms }";
    let wharf = orders(&[(&own, &format!(", {check}")), (&common, "")], yaml).await;
    eventually("both are checked", async || (own.checks() > 2 && common.checks() > 2).then_some(())).await;
    assert_eq!(tally(&wharf, "/orders/", 10).await.len(), 2, "each is well by its own check");
    let health = async |wanted: &str| {
        let found = wharf.admin_get("/api/services/orders/instances/orders%2Fa").await.json();
        (found["health"] == wanted).then_some(())
    };
    let before = own.checks();
    own.script(|_| Reply::status(500));
    eventually("it is ill", async || health("unhealthy").await).await;
    // One may have been under way with the answer from before.
    assert!((3..=5).contains(&(own.checks() - before)), "after {} checks", own.checks() - before);
    let before = own.checks();
    own.script(|_| Reply::text("/own"));
    eventually("it is well", async || health("healthy").await).await;
    assert!((4..=6).contains(&(own.checks() - before)), "after {} checks", own.checks() - before);
}

#[tokio::test]
async fn when_too_few_are_well_all_are_used_unless_the_threshold_is_zero() {
    let sick = |name: &'static str| {
        Upstream::start(move |seen| if seen.is_check() { Reply::status(500) } else { Reply::text(name) })
    };
    let (a, b, c) = (sick("a").await, sick("b").await, Upstream::named("c").await);
    let of = [(&a, ""), (&b, ""), (&c, "")];
    let with = |threshold: u32| {
        format!(
            "loadBalancer: {{ strategy: roundRobin, panicThreshold: {threshold} }}\n\
             healthCheck: {{ path: /up, interval: 100ms, unhealthyThreshold: 1, healthyThreshold: 1 }}"
        )
    };
    // One of three is well: less than half, more than a fifth.
    let wharf = orders(&of, &with(20)).await;
    eventually("only c", async || (tally(&wharf, "/orders/", 6).await.get("c") == Some(&6)).then_some(())).await;
    wharf.configure("services/orders.yaml", &format!("{}{}", instances(&of), with(50)));
    eventually("all", async || (tally(&wharf, "/orders/", 6).await.len() == 3).then_some(())).await;
    c.script(|seen| if seen.is_check() { Reply::status(500) } else { Reply::text("c") });
    wharf.configure("services/orders.yaml", &format!("{}{}", instances(&of), with(0)));
    eventually("nobody", async || (wharf.get("/orders/").await.status == 503).then_some(())).await;
    wharf.get("/orders/").await.assert_problem(503, "no_instance");
    wharf.configure("services/orders.yaml", &format!("{}{}", instances(&of), with(1)));
    eventually("all again", async || (wharf.get("/orders/").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_client_stays_with_its_instance_by_cookie_while_that_is_well() {
    let (a, b) = (Upstream::named("a").await, Upstream::named("b").await);
    let yaml = "loadBalancer: { strategy: roundRobin, stickySession: { cookie: at, ttl: 1h } }\n\
                healthCheck: { path: /up, interval: 100ms, unhealthyThreshold: 1, healthyThreshold: 1 }";
    let wharf = orders(&[(&a, ""), (&b, "")], yaml).await;
    let first = wharf.get("/orders/").await;
    let cookie = first.header("set-cookie").to_owned();
    assert!(cookie.starts_with("at=") && cookie.contains("; Max-Age=3600") && cookie.contains("HttpOnly"), "{cookie}");
    assert!(!cookie.contains("127.0.0.1"), "no address is told: {cookie}");
    let cookie = cookie.split(';').next().unwrap();
    for _ in 0..10 {
        let answer = ask(&wharf, "/orders/", &[("cookie", cookie)]).await;
        assert_eq!((answer.text(), answer.header("set-cookie")), (first.text(), ""));
    }
    let mine = if first.text() == "a" { &a } else { &b };
    mine.script(|seen| if seen.is_check() { Reply::status(500) } else { Reply::text("sick") });
    let moved = eventually("another one answers", async || {
        let answer = ask(&wharf, "/orders/", &[("cookie", cookie)]).await;
        (!["sick".to_owned(), first.text()].contains(&answer.text())).then_some(answer)
    })
    .await;
    assert!(moved.header("set-cookie").starts_with("at="), "the client learns its new instance: {moved:?}");
}

#[tokio::test]
async fn a_key_has_one_instance_and_all_have_keys() {
    let names = ["a", "b", "c"];
    let all = join_all(names.map(Upstream::named)).await;
    let of: Vec<_> = all.iter().map(|upstream| (upstream, "")).collect();
    let wharf = orders(&of, "loadBalancer: { strategy: { consistentHash: { key: { header: x-user } } } }").await;
    let mut used = BTreeMap::new();
    for user in 0..40 {
        let user = format!("user-{user}");
        let first = ask(&wharf, "/orders/", &[("x-user", &user)]).await.text();
        for _ in 0..3 {
            assert_eq!(ask(&wharf, "/orders/", &[("x-user", &user)]).await.text(), first, "{user}");
        }
        *used.entry(first).or_insert(0) += 1;
    }
    assert_eq!(used.len(), 3, "{used:?}");
    for key in ["{ cookie: u }", "{ queryParam: u }"] {
        let yaml = format!("loadBalancer: {{ strategy: {{ consistentHash: {{ key: {key} }} }} }}");
        wharf.configure("services/orders.yaml", &format!("{}{yaml}", instances(&of)));
        let send = async |user: u32| {
            let (cookie, path) = (format!("u={user}"), format!("/orders/?u={user}"));
            if key.contains("cookie") {
                ask(&wharf, "/orders/", &[("cookie", &cookie)]).await.text()
            } else {
                wharf.get(&path).await.text()
            }
        };
        let shares = eventually(&format!("{key} decides"), async || {
            let mut used = BTreeMap::new();
            for user in 0..20 {
                let first = send(user).await;
                for _ in 0..3 {
                    if send(user).await != first {
                        return None;
                    }
                }
                *used.entry(first).or_insert(0) += 1;
            }
            Some(used)
        })
        .await;
        assert!(shares.len() > 1, "{key}: {shares:?}");
    }
    // All from one address: all to one instance.
    let yaml = "loadBalancer: { strategy: { consistentHash: { key: clientIp } } }";
    wharf.configure("services/orders.yaml", &format!("{}{yaml}", instances(&of)));
    eventually("one for all", async || (tally(&wharf, "/orders/", 20).await.len() == 1).then_some(())).await;
}

#[tokio::test]
async fn a_key_that_is_too_popular_is_shared_and_without_a_bound_it_is_not() {
    let slow = |_: &_| Reply::text("x").after(Duration::from_millis(200));
    let (a, b) = (Upstream::start(slow).await, Upstream::start(slow).await);
    for (bound, both) in [(100, true), (0, false)] {
        let strategy = format!("{{ consistentHash: {{ key: {{ header: x-user }}, boundedLoad: {bound} }} }}");
        let wharf = orders(&[(&a, ""), (&b, "")], &format!("loadBalancer: {{ strategy: {strategy} }}")).await;
        let before = (a.count(), b.count());
        join_all((0..16).map(|_| ask(&wharf, "/orders/", &[("x-user", "one")]))).await;
        let got = (a.count() - before.0, b.count() - before.1);
        assert_eq!(got.0 > 0 && got.1 > 0, both, "boundedLoad {bound}: {got:?}");
    }
}

#[tokio::test]
async fn preferred_tags_come_first_and_others_take_over_when_those_are_sick() {
    let (near, far) = (Upstream::named("near").await, Upstream::named("far").await);
    let yaml = "loadBalancer: { strategy: roundRobin, preferTags: [eu, fast] }\n\
                healthCheck: { path: /up, interval: 100ms, unhealthyThreshold: 1, healthyThreshold: 1 }";
    let wharf = orders(&[(&near, ", tags: [fast, eu]"), (&far, ", tags: [eu]")], yaml).await;
    eventually("both are well", async || (near.checks() > 0 && far.checks() > 0).then_some(())).await;
    assert_eq!(tally(&wharf, "/orders/", 10).await, BTreeMap::from([("near".to_owned(), 10)]));
    near.script(|_| Reply::status(500));
    eventually("the other one takes over", async || (wharf.get("/orders/").await.text() == "far").then_some(())).await;
}

#[tokio::test]
async fn a_new_instance_starts_slowly_only_if_it_is_to() {
    for (slow_start, shares) in [("4s", 1..35), ("0s", 45..56)] {
        let (old, new) = (Upstream::named("old").await, Upstream::named("new").await);
        let settings = format!("defaults: {{ loadBalancer: {{ strategy: roundRobin, slowStart: {slow_start} }} }}");
        let wharf = Wharf::builder().gateway(&settings).service("orders", &instances(&[(&old, "")])).start().await;
        if slow_start != "0s" {
            // The old one has to be old: time itself is what is waited for.
            tokio::time::sleep(Duration::from_millis(4200)).await;
        }
        register(&wharf, json!({ "service": "orders", "url": new.url(), "id": "new" })).await;
        eventually("it answers", async || (wharf.get("/orders/").await.text() == "new").then_some(())).await;
        let tally = tally(&wharf, "/orders/", 100).await;
        let hits = tally.get("new").copied().unwrap_or_default();
        assert!(shares.contains(&hits), "slowStart {slow_start}: {tally:?}");
    }
}

#[tokio::test]
async fn an_instance_that_fails_is_ejected_for_its_time_and_comes_back() {
    let (good, bad) = (Upstream::named("good").await, Upstream::start(|_| Reply::status(500)).await);
    let yaml = "loadBalancer: { strategy: roundRobin }\ncircuitBreaker: { enabled: false }\noutlierDetection: \
                { consecutiveFailures: 3, interval: 1s, baseEjectionTime: 1500ms, maxEjectionTime: 3s, \
                maxEjectionPercent: 50 }";
    let wharf = orders(&[(&good, ""), (&bad, "")], yaml).await;
    for _ in 0..20 {
        wharf.get("/orders/").await;
    }
    assert_eq!(bad.count(), 3, "after three failures it is out");
    wharf.logged("ejected for").await;
    eventually("the registry tells", async || {
        let found = wharf.admin_get("/api/services/orders/instances/orders%2Fb").await.json();
        found.to_string().contains("eject").then_some(())
    })
    .await;
    let ejected = Instant::now();
    eventually("it is asked again", async || {
        wharf.get("/orders/").await;
        (bad.count() > 3).then_some(())
    })
    .await;
    // Less what jitter takes off, and the time until here.
    assert!(ejected.elapsed() > Duration::from_millis(300), "{:?}", ejected.elapsed());
    bad.script(|_| Reply::text("better"));
    eventually("it is back for good", async || {
        (tally(&wharf, "/orders/", 10).await.get("better") == Some(&5)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rate_of_failures_ejects_and_no_more_than_a_percentage_goes() {
    let alternating = || Upstream::start(|seen| Reply::status(if seen.number % 2 == 0 { 500 } else { 200 }));
    let (good, one, two) = (Upstream::named("good").await, alternating().await, alternating().await);
    let settings = |rate: u32, minimum: u32, percent: u32| {
        format!(
            "loadBalancer: {{ strategy: roundRobin, panicThreshold: 0 }}\ncircuitBreaker: {{ enabled: false }}\n\
             outlierDetection: {{ failureRateThreshold: {rate}, minimumNumberOfCalls: {minimum}, \
             maxEjectionPercent: {percent}, interval: 10m, baseEjectionTime: 1h, maxEjectionTime: 1h }}"
        )
    };
    let of = [(&good, ""), (&one, ""), (&two, "")];
    for (rate, minimum, percent, out) in [(0, 4, 100, 0), (40, 1000, 100, 0), (40, 4, 100, 2), (40, 4, 40, 1)] {
        let wharf = orders(&of, &settings(rate, minimum, percent)).await;
        let send = async || {
            for _ in 0..30 {
                wharf.get("/orders/").await;
            }
        };
        send().await;
        let before = [one.count(), two.count()];
        send().await;
        let gone = before.iter().zip([one.count(), two.count()]).filter(|(before, now)| *before == now).count();
        assert_eq!(gone, out, "rate {rate}, minimum {minimum}, percent {percent}");
    }
}

#[tokio::test]
async fn plain_http2_and_tls_are_spoken_as_configured() {
    let named = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root.pem");
    std::fs::write(&root, named.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(named.signing_key.serialize_der()).unwrap();
    let acceptor = |offers: &[&str]| {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let mut config = config.with_single_cert(vec![named.cert.der().clone()], key.clone_key()).unwrap();
        config.alpn_protocols = offers.iter().map(|offer| offer.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    };
    let plain = Upstream::with_hyper(None).await;
    let both = Upstream::with_hyper(Some(acceptor(&["h2", "http/1.1"]))).await;
    let old = Upstream::with_hyper(Some(acceptor(&["http/1.1"]))).await;
    let one = |scheme: &str, upstream: &Upstream, protocol: &str| {
        let port = upstream.address().port();
        let host = if scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("instances: [{{ name: a, url: \"{scheme}://{host}:{port}\", protocol: {protocol} }}]")
    };
    let wharf = Wharf::builder()
        .variable("SSL_CERT_FILE", root.to_str().unwrap())
        .service("plain", &one("http", &plain, "auto"))
        .service("h2c", &one("http", &plain, "h2c"))
        .service("both", &one("https", &both, "auto"))
        .service("old", &one("https", &old, "auto"))
        .service("forced", &one("https", &both, "http1"))
        // Nobody vouches for this name.
        .service("stranger", &one("https", &both, "auto").replace("localhost", "127.0.0.1"))
        .start()
        .await;
    for (service, version) in
        [("plain", "HTTP/1.1"), ("h2c", "HTTP/2.0"), ("both", "HTTP/2.0"), ("old", "HTTP/1.1"), ("forced", "HTTP/1.1")]
    {
        let path = format!("/{service}/");
        let answers = join_all((0..10).map(|_| wharf.get(&path))).await;
        for answer in answers {
            assert!(answer.assert_status(200).text().starts_with(version), "{service}: {}", answer.text());
        }
    }
    wharf.get("/stranger/").await.assert_problem(503, "connect_failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_mebibytes_pass_both_ways_and_stay_nowhere() {
    const BYTES: u64 = 100 << 20;
    let upstream =
        Upstream::start(|seen| if seen.method == "POST" { Reply::echo() } else { Reply::stream(BYTES) }).await;
    let wharf = orders(&[(&upstream, "")], "limits: { requestBody: 200MiB }\ntimeouts: { request: 2m }").await;
    wharf.get("/orders/").await.assert_status(200);
    let before = wharf.memory();
    let count = async |mut body: hyper::body::Incoming| {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.expect("the body is whole").data_ref().map_or(0, |data| data.len() as u64);
        }
        bytes
    };
    let down = wharf.client().stream("GET", &wharf.url("/orders/"), "").await;
    assert_eq!(count(down.into_body()).await, BYTES);
    let up = vec![b'x'; BYTES as usize];
    let echoed = wharf.client().stream("POST", &wharf.url("/orders/"), up).await;
    assert_eq!(count(echoed.into_body()).await, BYTES);
    assert_eq!(upstream.seen().last().unwrap().body_bytes, BYTES);
    let grown = wharf.memory().saturating_sub(before);
    assert!(grown < 40 << 20, "{grown} bytes more");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_and_while_it_is_sent_on() {
    let upstream = Upstream::named("a").await;
    let wharf = orders(&[(&upstream, "")], "limits: { requestBody: 1KiB }").await;
    wharf.send("POST", "/orders/", vec![b'x'; 1024]).await.assert_status(200);
    wharf.send("POST", "/orders/", vec![b'x'; 1025]).await.assert_problem(413, "payload_too_large");
    let chunked = format!(
        "POST /orders/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
         transfer-encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n",
        "x".repeat(1025)
    );
    let answer = wharf.raw(&chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_response_over_the_limit_is_refused_or_cut() {
    let upstream = Upstream::start(|seen| match &*seen.target {
        "/fits" => Reply::stream(1024),
        "/announced" => Reply::stream(1025),
        _ => Reply::events(200, Duration::from_millis(1)),
    })
    .await;
    let wharf = orders(&[(&upstream, "")], "limits: { responseBody: 1KiB }").await;
    assert_eq!(wharf.get("/orders/fits").await.assert_status(200).body.len(), 1024);
    wharf.get("/orders/announced").await.assert_problem(502, "upstream_invalid_response");
    let cut = wharf.client().try_send("GET", &wharf.url("/orders/as-it-comes"), &[], "").await;
    assert!(cut.is_err(), "what is cut does not look whole: {cut:?}");
}

#[tokio::test]
async fn text_and_bytes_come_back_through_a_websocket_and_its_place_with_its_end() {
    let upstream = Upstream::start(|_| Reply::web_socket()).await;
    let wharf = orders(&[(&upstream, "")], "bulkhead: { maxConcurrent: 1, maxPending: 0 }").await;
    let (head, mut socket) = wharf.web_socket("/orders/chat").await;
    assert!(head.starts_with("HTTP/1.1 101 ") && head.to_ascii_lowercase().contains("upgrade: websocket"), "{head}");
    assert_eq!(upstream.seen()[0].target, "/chat");
    for frame in [&b"\x81\x85\x00\x00\x00\x00hello"[..], b"\x82\x83\x00\x00\x00\x00\x00\xff\x80"] {
        socket.write_all(frame).await.unwrap();
        let mut back = vec![0; frame.len()];
        tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut back)).await.expect("it comes").unwrap();
        assert_eq!(back, frame);
    }
    let (refused, _) = wharf.web_socket("/orders/chat").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "it holds its place: {refused}");
    drop(socket);
    eventually("the place is free", async || {
        wharf.web_socket("/orders/chat").await.0.starts_with("HTTP/1.1 101 ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_open_websocket_counts_for_its_instance_and_a_handshake_has_its_time() {
    let (a, b) = (Upstream::start(|_| Reply::web_socket()).await, Upstream::start(|_| Reply::web_socket()).await);
    let wharf = orders(&[(&a, ""), (&b, "")], "loadBalancer: { stickySession: {} }").await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let (head, socket) = wharf.web_socket("/orders/").await;
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("wharf-instance="), "{head}");
        open.push(socket);
    }
    assert_eq!((a.open(), b.open()), (10, 10), "whoever has fewer gets the next one");

    let silent = Upstream::start(|_| Reply::hang()).await;
    let wharf = orders(&[(&silent, "")], "timeouts: { backendRequest: 300ms }").await;
    let began = Instant::now();
    let (head, _) = wharf.web_socket("/orders/").await;
    assert!(head.starts_with("HTTP/1.1 504 ") && began.elapsed() < Duration::from_secs(5), "{head}");
}

#[tokio::test]
async fn a_component_has_the_weight_that_its_service_says_beside_others() {
    let upstream = Upstream::named("elsewhere").await;
    let weight = |balancer: &str| {
        format!("{}loadBalancer: {{ strategy: roundRobin, {balancer} }}\n", instances(&[(&upstream, "")]))
    };
    let wharf = Wharf::builder().plugin("hostile").service("hostile", &weight("panicThreshold: 50")).start().await;
    // Of sixteen.
    let at_home = async || {
        let mut here = 0;
        for _ in 0..16 {
            here += usize::from(wharf.get("/hostile/").await.text() == "ok");
        }
        here
    };
    assert_eq!(at_home().await, 8, "1, if nobody says otherwise");
    for (balancer, here) in [("localWeight: 3", 12), ("localWeight: 0", 0), ("localWeight: 1", 8)] {
        wharf.configure("services/hostile.yaml", &weight(balancer));
        eventually("it is in force", async || (at_home().await == here).then_some(())).await;
        assert_eq!(at_home().await, here, "{balancer}");
    }
}

#[tokio::test]
async fn a_websocket_goes_past_components_to_instances_that_can_take_it() {
    let upstream = Upstream::start(|seen| {
        if seen.headers.contains_key("upgrade") { Reply::web_socket() } else { Reply::text("elsewhere") }
    })
    .await;
    let all =
        format!("{}loadBalancer: {{ strategy: roundRobin, panicThreshold: 100 }}\n", instances(&[(&upstream, "")]));
    let wharf = Wharf::builder().plugin("hostile").service("hostile", &all).start().await;
    let mut open = Vec::new();
    for _ in 0..20 {
        let (head, socket) = wharf.web_socket("/hostile/").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        open.push(socket);
    }
    let mut texts = std::collections::BTreeSet::new();
    eventually("requests go to both", async || {
        texts.insert(wharf.get("/hostile/").await.text());
        (texts.len() == 2).then_some(())
    })
    .await;
    // Nobody is left that could take one, and who is there could not.
    let gone = "healthCheck: { path: /none, interval: 100ms, unhealthyThreshold: 1, expectedStatuses: ['201'] }\n\
                loadBalancer: { panicThreshold: 0 }\n";
    wharf.configure("services/hostile.yaml", &format!("{}{gone}", instances(&[(&upstream, "")])));
    eventually("it is no instance's fault", async || {
        wharf.web_socket("/hostile/").await.0.starts_with("HTTP/1.1 503 ").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_does_not_want_a_websocket_answers_and_nothing_is_raw() {
    let upstream = Upstream::start(|_| Reply::status(403)).await;
    let wharf = Wharf::builder().plugin("hostile").service("orders", &instances(&[(&upstream, "")])).start().await;
    let (head, mut socket) = wharf.web_socket("/orders/chat").await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let mut body = [0; 3];
    socket.read_exact(&mut body).await.unwrap();
    // What follows is the next request to the gateway, not bytes for the server.
    let smuggled = b"GET /secret HTTP/1.1\r\nhost: a\r\n\r\n";
    // The gateway may have closed already.
    let _ = socket.write_all(smuggled).await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), socket.read_to_end(&mut rest)).await;
    assert!(upstream.seen().iter().all(|seen| seen.target == "/chat"), "{:?}", upstream.seen());
    let (local, _) = wharf.web_socket("/hostile/").await;
    assert!(local.starts_with("HTTP/1.1 501 "), "components answer requests only: {local}");
}

#[tokio::test]
async fn times_of_connections_are_kept() {
    // Accepts, and never shakes hands.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("https://localhost:{}", silent.local_addr().unwrap().port());
    let (kept, dropped) = (Upstream::named("kept").await, Upstream::named("dropped").await);
    let stops = Upstream::start(|_| Reply::part(10)).await;
    let wharf = Wharf::builder()
        .service("silent", &format!("instances: [{{ name: a, url: \"{silent}\" }}]\ntimeouts: {{ connect: 400ms }}"))
        .service("kept", &instances(&[(&kept, "")]))
        .service("dropped", &format!("{}timeouts: {{ idle: 300ms }}", instances(&[(&dropped, "")])))
        .service("stops", &format!("{}timeouts: {{ streamIdle: 400ms }}", instances(&[(&stops, "")])))
        .start()
        .await;
    let began = Instant::now();
    wharf.get("/silent/").await.assert_problem(503, "connect_failed");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(5), "{took:?}");

    for service in ["kept", "dropped"] {
        wharf.get(&format!("/{service}/")).await.assert_status(200);
    }
    eventually("the idle connection is closed", async || (dropped.open() == 0).then_some(())).await;
    for service in ["kept", "dropped"] {
        wharf.get(&format!("/{service}/")).await.assert_status(200);
    }
    assert_eq!((kept.connections(), dropped.connections()), (1, 2));

    let began = Instant::now();
    let stopped = wharf.client().try_send("GET", &wharf.url("/stops/"), &[], "").await;
    assert!(stopped.is_err(), "a body that breaks off does not look whole: {stopped:?}");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn events_outlast_the_timeout_of_their_request() {
    let upstream = Upstream::start(|_| Reply::events(20, Duration::from_millis(100))).await;
    let wharf = orders(&[(&upstream, "")], "timeouts: { request: 500ms }").await;
    let answer = wharf.get("/orders/").await;
    assert!(answer.assert_status(200).text().ends_with("data: 19\n\n"), "{}", answer.text());
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along_and_gives_its_place_back() {
    let upstream =
        Upstream::start(|seen| if seen.target == "/hang" { Reply::hang() } else { Reply::text("good") }).await;
    let wharf =
        orders(&[(&upstream, "")], "bulkhead: { maxConcurrent: 1, maxPending: 0 }\ntimeouts: { request: 5m }").await;
    let mut client = TcpStream::connect(wharf.address()).await.unwrap();
    client.write_all(b"GET /orders/hang HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    eventually("it has arrived", async || (upstream.count() == 1).then_some(())).await;
    wharf.get("/orders/").await.assert_problem(503, "bulkhead_full");
    drop(client);
    eventually("nobody works for nobody", async || (upstream.open() == 0).then_some(())).await;
    wharf.get("/orders/").await.assert_status(200);
}

#[tokio::test]
async fn copies_of_requests_reach_instances_too() {
    let (main, shadow) = (Upstream::named("main").await, Upstream::start(|_| Reply::status(500)).await);
    let wharf = Wharf::builder()
        .service(
            "orders",
            &format!("{}filters: [{{ mirror: {{ service: shadow, percent: 100 }} }}]", instances(&[(&main, "")])),
        )
        .service("shadow", &instances(&[(&shadow, "")]))
        .start()
        .await;
    for number in 0..10 {
        let answer = wharf.send("POST", &format!("/orders/{number}"), "a body").await;
        assert_eq!(answer.assert_status(200).text(), "main");
    }
    eventually("all copies are there", async || (shadow.count() == 10).then_some(())).await;
    assert!(shadow.seen().iter().all(|seen| seen.body == b"a body"));
    // What becomes of copies opens nothing for those who ask themselves.
    wharf.get("/shadow/").await.assert_status(500);
}

#[tokio::test]
async fn an_open_websocket_does_not_keep_the_host_from_stopping() {
    let upstream = Upstream::start(|_| Reply::web_socket()).await;
    let yaml = instances(&[(&upstream, "")]);
    let mut wharf = Wharf::builder().gateway("drain: { timeout: 500ms }").service("orders", &yaml).start().await;
    let (head, mut socket) = wharf.web_socket("/orders/").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    wharf.signal(rustix::process::Signal::TERM);
    let signalled = Instant::now();
    assert_eq!(wharf.ended().await.code(), Some(0));
    assert!(signalled.elapsed() < Duration::from_secs(5), "{:?}", signalled.elapsed());
    // Both ends are told.
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await.expect("it is closed");
    eventually("the server's end is closed", async || (upstream.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_changed_address_is_followed_and_the_instance_stays_the_same() {
    let (old, new) = (Upstream::named("old").await, Upstream::named("new").await);
    let wharf = orders(&[(&old, "")], "").await;
    assert_eq!(wharf.get("/orders/").await.text(), "old");
    let registered =
        async || wharf.admin_get("/api/services/orders/instances/orders%2Fa").await.json()["registeredAt"].clone();
    let before = registered().await;
    wharf.configure("services/orders.yaml", &instances(&[(&new, "")]));
    eventually("the new one answers", async || (wharf.get("/orders/").await.text() == "new").then_some(())).await;
    assert_eq!(registered().await, before);
    let asked = old.count();
    tally(&wharf, "/orders/", 5).await;
    assert_eq!(old.count(), asked);
}

#[tokio::test]
async fn requests_in_flight_to_an_instance_that_leaves_are_finished() {
    let upstream = Upstream::start(|_| Reply::text("late").after(Duration::from_millis(800))).await;
    let wharf = orders(&[(&upstream, "")], "").await;
    let left = Arc::new(AtomicBool::new(false));
    let (client, url, flag) = (wharf.client().clone(), wharf.url("/orders/"), Arc::clone(&left));
    let waiting = tokio::spawn(async move {
        let answer = client.get(&url).await;
        (answer, flag.load(Ordering::SeqCst))
    });
    eventually("it has arrived", async || (upstream.count() == 1).then_some(())).await;
    wharf.configure("services/orders.yaml", "");
    eventually("the service is gone", async || (wharf.get("/orders/").await.status == 404).then_some(())).await;
    left.store(true, Ordering::SeqCst);
    let (answer, was_gone) = waiting.await.unwrap();
    answer.assert_status(200);
    assert!(was_gone || answer.text() == "late");
}
