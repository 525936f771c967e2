//! What is done with a share of requests, through the real gateway: faults, copies, and the choice among versions.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wharf_tests::{Answer, Builder, Wharf, eventually, versioned};

const ONE: &str = "version-one--------00001";
const TWO: &str = "version-two--------00002";
const THREE: &str = "version-three------00003";

/// A rule for `/<path>`, whose prefix is taken off, with these filters and fields besides.
fn rule(path: &str, service: &str, filters: &str) -> String {
    format!(
        "{{ matches: [{{ path: {{ prefix: /{path} }} }}], filters: [{{ rewrite: {{ prefix: / }} }}, {filters}], \
         backendRefs: [{{ service: {service} }}] }}"
    )
}

fn routes(rules: &[String]) -> String {
    format!("routes: [{{ name: r, rules: [{}] }}]", rules.join(", "))
}

/// `main` answers whatever the path is; `shadow` does what the path says, and its log may be long.
fn services() -> Builder {
    Wharf::builder()
        .file("main", &versioned(ONE))
        .plugin_as("hostile", "shadow")
        .service("shadow", "limits: { logRate: 100MiB }")
}

async fn ask(wharf: &Wharf, path: &str, headers: &[(&str, &str)]) -> Answer {
    wharf.client().send("GET", &wharf.url(path), headers, "").await
}

/// Whether `hits` of `n` draws are what a share gives: within five standard deviations.
fn is_share(hits: usize, n: usize, percent: u32) -> bool {
    let (n, p) = (n as f64, f64::from(percent) / 100.0);
    (hits as f64 - n * p).abs() <= 5.0 * (n * p * (1.0 - p)).sqrt()
}

#[tokio::test]
async fn a_fault_aborts_its_share_of_requests_with_its_status_and_says_so() {
    let wharf = services()
        .gateway(&routes(&[
            rule("all", "main", "{ fault: { abort: { status: 418, percent: 100 } } }"),
            rule("none", "main", "{ fault: { abort: { status: 500, percent: 0 } } }"),
            rule("some", "main", "{ fault: { abort: { status: 503, percent: 20 } } }"),
        ]))
        .start()
        .await;
    wharf.get("/all/").await.assert_problem(418, "fault_injected");
    eventually("the log says why", async || {
        wharf.access_log().into_iter().find(|line| line.contains(r#""reason":"fault_injected""#))
    })
    .await;
    let (mut none, mut some) = (0, 0);
    for _ in 0..500 {
        none += usize::from(wharf.get("/none/").await.status != 200);
        some += usize::from(wharf.get("/some/").await.status == 503);
    }
    assert_eq!(none, 0);
    assert!(is_share(some, 500, 20), "{some} of 500");
}

#[tokio::test]
async fn a_fault_holds_requests_up_and_only_those_that_have_the_header() {
    let delay = "delay: { duration: 400ms, percent: 100 }";
    let wharf = services()
        .gateway(&routes(&[
            rule("delay", "main", &format!("{{ fault: {{ {delay} }} }}")),
            rule("both", "main", &format!("{{ fault: {{ {delay}, abort: {{ status: 500, percent: 100 }} }} }}")),
            rule("asked", "main", &format!("{{ fault: {{ {delay}, header: X-Fault }} }}")),
        ]))
        .start()
        .await;
    let timed = async |path: &str, headers: &[(&str, &str)]| {
        let began = Instant::now();
        let status = ask(&wharf, path, headers).await.status.as_u16();
        (status, began.elapsed() >= Duration::from_millis(400))
    };
    assert_eq!(timed("/delay/", &[]).await, (200, true));
    assert_eq!(timed("/both/", &[]).await, (500, true));
    assert_eq!(timed("/asked/", &[("x-other", "1")]).await, (200, false));
    // Whatever its value says.
    assert_eq!(timed("/asked/", &[("x-fault", "abort=503, delay=0s")]).await, (200, true));
}

#[tokio::test]
async fn a_delay_ends_at_the_deadline_and_no_more_wait_than_may() {
    let delay = |max| format!("{{ fault: {{ delay: {{ duration: 1m, percent: 100 }}, maxActive: {max} }} }}");
    let short = rule("short", "main", &delay(1)).replace("backendRefs", "timeouts: { request: 300ms }, backendRefs");
    let wharf = services().gateway(&routes(&[short, rule("long", "main", &delay(1))])).start().await;
    let began = Instant::now();
    wharf.get("/short/").await.assert_problem(504, "request_timeout");
    assert!((300..5000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());

    let waits = async || tokio::time::timeout(Duration::from_millis(300), wharf.get("/long/")).await.is_err();
    // One that is not answered at once has the place.
    let mut client = TcpStream::connect(wharf.address()).await.unwrap();
    client.write_all(b"GET /long/ HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut byte = [0];
    let answered = tokio::time::timeout(Duration::from_millis(300), client.read(&mut byte)).await;
    assert!(answered.is_err(), "it does not wait");
    // While one waits, nobody else does; when its client has left, the next one waits.
    assert!(!waits().await);
    drop(client);
    eventually("the client's place is free", async || waits().await.then_some(())).await;
}

#[tokio::test]
async fn a_fault_of_the_gateway_holds_everywhere_but_where_a_rule_or_a_service_has_its_own() {
    let wharf = services()
        .plugin("hostile")
        .service("hostile", "filters: [{ fault: { abort: { status: 501, percent: 100 } } }]")
        .gateway(&format!(
            "filters: [{{ fault: {{ abort: {{ status: 500, percent: 100 }} }} }}]\n{}",
            routes(&[
                rule("off", "main", "{ fault: { abort: { status: 500, percent: 0 } } }"),
                rule("on", "main", "{ cacheControl: { scope: noStore } }"),
                "{ matches: [{ path: { exact: /static } }], filters: [{ staticResponse: {} }] }".to_owned(),
            ])
        ))
        .start()
        .await;
    for (path, status) in [("/main/", 500), ("/on/", 500), ("/off/", 200), ("/hostile/", 501), ("/static", 200)] {
        assert_eq!(wharf.get(path).await.status, status, "{path}");
    }
    // Live, like everything.
    wharf.configure("gateway.yaml", "filters: [{ fault: { abort: { status: 599, percent: 100 } } }]");
    eventually("the new status", async || (wharf.get("/main/").await.status.as_u16() == 599).then_some(())).await;
}

/// What a service has shown of requests in its log, in the order in which they came.
fn shown(wharf: &Wharf, service: &str) -> Vec<String> {
    let lines = wharf.log().into_iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    let lines = lines.filter(|line| line["service"] == service);
    lines.filter_map(|line| Some(line["message"].as_str()?.strip_prefix("shown ")?.to_owned())).collect()
}

#[tokio::test]
async fn a_mirror_gets_what_the_service_gets_and_the_client_only_the_services_answer() {
    let mirrors = "{ mirror: { service: shadow } }, { mirror: { service: other, version: '2' } }, \
                   { requestHeaders: { set: { x-set: new } } }";
    let wharf = services()
        .plugin("hostile")
        .plugin_as("hostile", "other")
        .plugin_as("hostile", "other@2")
        .gateway(&routes(&[rule("x", "hostile", mirrors)]))
        .start()
        .await;
    let sent = [("x-user", "ann"), ("x-wharf-mirror", "true")];
    let answer = wharf.client().send("POST", &wharf.url("/x/show?a=b"), &sent, vec![b'x'; 1000]).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "shown"));
    let all = eventually("all have shown it", async || {
        let all = ["hostile", "shadow", "other"].map(|service| shown(&wharf, service));
        all.iter().all(|shown| !shown.is_empty()).then_some(all)
    })
    .await;
    let [original, copy, other] = all.map(|shown| {
        assert_eq!(shown.len(), 1, "{shown:?}");
        shown[0].clone()
    });
    for part in ["method Method::Post", r#"target Some("/show?a=b")"#, "x-user: ann", "x-set: new", "of 1000 bytes"] {
        assert!(original.contains(part), "{part}: {original}");
    }
    // Nobody outside can say that a request is a copy.
    assert!(!original.contains("mirror"), "{original}");
    assert!(copy.contains("x-wharf-mirror: true"), "{copy}");
    assert_eq!(copy.replace(" | x-wharf-mirror: true", ""), original);
    assert_eq!(copy, other);
    let of_other =
        wharf.log().into_iter().find(|line| line.contains(r#""service":"other""#) && line.contains("shown")).unwrap();
    assert!(of_other.contains(r#""version":"2""#), "{of_other}");
    // With the line of a later request, those of all before are there.
    wharf.get("/main/last").await.assert_status(200);
    let lines = eventually("the last request is logged", async || {
        let lines = wharf.access_log();
        lines.iter().any(|line| line.contains("/main/last")).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), 2, "a copy is no request of a client: {lines:#?}");
}

#[tokio::test]
async fn a_mirror_gets_its_share() {
    let shares = [20, 35, 50];
    let to_shadow = |share| format!("{{ mirror: {{ service: shadow, percent: {share}, maxConcurrent: 1000 }} }}");
    let rules = shares.iter().chain(&[100]).map(|share| rule(&format!("p{share}"), "main", &to_shadow(share)));
    let wharf = services().gateway(&routes(&rules.collect::<Vec<_>>())).start().await;
    for share in shares {
        for _ in 0..500 {
            let answer = wharf.get(&format!("/p{share}/show?share={share}")).await;
            assert_eq!(answer.header("x-version"), ONE);
        }
    }
    // Copies are sent as requests come: with this one, all are there.
    wharf.get("/p100/show?last").await.assert_status(200);
    let last = async || shown(&wharf, "shadow").into_iter().find(|line| line.contains("/show?last"));
    eventually("the last copy", last).await;
    let shown = shown(&wharf, "shadow");
    for share in shares {
        let hits = shown.iter().filter(|line| line.contains(&format!("/show?share={share}"))).count();
        assert!(is_share(hits, 500, share), "{hits} of 500 for {share} %");
    }
}

#[tokio::test]
async fn a_mirror_that_hangs_fails_or_is_not_there_disturbs_nobody() {
    let mirrors = "{ mirror: { service: shadow, timeout: 300ms, maxConcurrent: 2, maxBodySize: 999B } }, \
                   { mirror: { service: nobody } }";
    let wharf = services()
        .service("main", "bulkhead: { maxConcurrent: 1, maxPending: 0 }")
        .gateway(&routes(&[rule("x", "main", mirrors)]))
        .start()
        .await;
    let reason = async |word: &str| wharf.logged(&format!(r#""reason":"{word}""#)).await;
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(wharf.get("/x/hang").await.header("x-version"), ONE);
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    for (word, mirror) in [("busy", "shadow"), ("timed_out", "shadow"), ("failed", "nobody")] {
        let line = reason(word).await;
        assert!(line.contains(&format!(r#"rule \"r\"/0 to {mirror}""#)), "{line}");
    }
    wharf.send("POST", "/x/show?too-long", vec![b'x'; 1000]).await.assert_status(200);
    reason("too_large").await;
    // When those that hang have ended, copies are made again; a trap is the mirror's own.
    let fits = async || {
        wharf.send("POST", "/x/show?fits", vec![b'x'; 999]).await.assert_status(200);
        shown(&wharf, "shadow").into_iter().find(|line| line.contains("/show?fits"))
    };
    assert!(eventually("a copy that fits", fits).await.contains("body of 999 bytes"));
    assert!(!shown(&wharf, "shadow").iter().any(|line| line.contains("too-long")));
    for path in ["/x/trap", "/x/panic?msg=mirrored", "/x/recurse", "/x/endless", "/x/exit"] {
        assert_eq!(wharf.get(path).await.header("x-version"), ONE, "{path}");
    }
    let traps = async || {
        wharf.get("/x/trap").await.assert_status(200);
        wharf.log().into_iter().find(|line| line.contains(r#""service":"shadow""#) && line.contains("unreachable"))
    };
    eventually("the trap is in the log", traps).await;
    wharf.get("/shadow/").await.assert_status(200);
}

#[tokio::test]
async fn uploads_pass_a_mirror_as_they_come_and_are_not_kept() {
    let wharf = services()
        .plugin("hostile")
        .service("hostile", "limits: { requestBody: 1GiB, responseBody: 1GiB }")
        .gateway(&routes(&[rule("x", "hostile", "{ mirror: { service: shadow, maxBodySize: 16MiB } }")]))
        .start()
        .await;
    wharf.send("POST", "/x/echo", "warm").await.assert_status(200);
    let before = wharf.memory();
    let answer = wharf.send("POST", "/x/echo", vec![b'x'; 64 << 20]).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 64 << 20));
    let grown = wharf.memory().saturating_sub(before);
    assert!(grown < 48 << 20, "{} MiB more for a body of 64 MiB", grown >> 20);
    wharf.logged(r#""reason":"too_large""#).await;
}

/// Three versions of `orders` behind `/x`, and who gets which.
fn split(split: &str, weights: [u32; 3]) -> String {
    let backends = [1, 2, 3].map(|version| {
        let weight = weights[version - 1];
        format!("{{ service: orders, version: '{version}', weight: {weight} }}")
    });
    format!(
        "routes: [{{ name: r, rules: [{{ matches: [{{ path: {{ prefix: /x }} }}], {split} backendRefs: [{}] }}] }}]",
        backends.join(", ")
    )
}

async fn orders(gateway: &str) -> Wharf {
    let versions = [ONE, TWO, THREE].into_iter().zip(1..);
    let builder = versions.fold(Wharf::builder(), |builder, (marker, version)| {
        builder.file(&format!("orders@{version}"), &versioned(marker))
    });
    builder.gateway(gateway).start().await
}

#[tokio::test]
async fn weights_of_seventy_thirty_and_nothing_hold_over_five_hundred_requests() {
    let wharf = orders(&split("", [70, 30, 0])).await;
    let mut tries = 0;
    loop {
        let mut hits = [0_i32; 3];
        for _ in 0..500 {
            let answer = wharf.get("/x/").await;
            let version = [ONE, TWO, THREE].iter().position(|marker| answer.header("x-version") == *marker).unwrap();
            hits[version] += 1;
        }
        assert_eq!(hits[2], 0);
        // Five points, up to ten tries, as the conformance tests of the Gateway API have it.
        if (hits[0] - 350).abs() <= 25 {
            return;
        }
        tries += 1;
        assert!(tries < 10, "{hits:?}");
    }
}

#[tokio::test]
async fn a_tester_names_a_version_by_header_or_cookie() {
    let wharf = orders(&split("split: { header: x-version, cookie: version },", [1, 0, 0])).await;
    for (headers, version) in [
        (&[][..], ONE),
        (&[("x-version", "2")], TWO),
        (&[("cookie", "a=b; version=3")], THREE),
        (&[("x-version", "2"), ("cookie", "version=3")], TWO),
        (&[("x-version", "4")], ONE),
        (&[("x-version", "2, 3")], ONE),
        (&[("x-version", "")], ONE),
        (&[("x-version", "orders@2")], ONE),
    ] {
        assert_eq!(ask(&wharf, "/x/", headers).await.header("x-version"), version, "{headers:?}");
    }
    // Without the field it means nothing.
    wharf.configure("gateway.yaml", &split("split: { header: x-label },", [1, 0, 0]));
    eventually("another header", async || {
        let chosen = ask(&wharf, "/x/", &[("x-version", "2"), ("x-label", "3")]).await;
        (chosen.header("x-version") == THREE).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_user_stays_with_a_version_and_whoever_is_on_the_growing_one_stays_there() {
    let sticky = "split: { stickyBy: { header: x-user } },";
    let wharf = orders(&split(sticky, [80, 20, 0])).await;
    let versions = async || {
        let mut versions = Vec::new();
        for user in 0..60 {
            let user = format!("user-{user}");
            versions.push(ask(&wharf, "/x/", &[("x-user", &user)]).await.header("x-version").to_owned());
        }
        versions
    };
    let before = versions().await;
    assert_eq!(versions().await, before);
    let on_two = before.iter().filter(|version| *version == TWO).count();
    assert!((1..40).contains(&on_two), "{on_two} of 60");
    wharf.configure("gateway.yaml", &split(sticky, [40, 60, 0]));
    let after = eventually("the new weights hold", async || {
        let after = versions().await;
        (after != before).then_some(after)
    })
    .await;
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || after == TWO));

    // Nobody is nobody: the draw decides. A session or an address is a user, too.
    let spread = async |headers: &[(&str, &str)]| {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..40 {
            seen.insert(ask(&wharf, "/x/", headers).await.header("x-version").to_owned());
        }
        seen.len()
    };
    assert_eq!(spread(&[]).await, 2);
    wharf.configure("gateway.yaml", &split("split: { stickyBy: clientIp },", [50, 50, 0]));
    eventually("addresses are users", async || (spread(&[]).await == 1).then_some(())).await;
    wharf.configure("gateway.yaml", &split("split: { stickyBy: { cookie: session } },", [50, 50, 0]));
    eventually("cookies are users", async || (spread(&[]).await == 2).then_some(())).await;
    assert_eq!(spread(&[("cookie", "session=abc")]).await, 1);
}
