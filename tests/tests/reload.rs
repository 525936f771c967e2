//! Upgrades while clients watch: no request fails, no stream is cut, and a version that is no good never serves.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests, and what they measured"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use wharf_tests::{Connection, Wharf, binary, eventually, guest, versioned, within};

const UPGRADES: u64 = 50;

fn marker(n: u64) -> String {
    format!("version-marker-{n:09}")
}

fn number(marker: &str) -> u64 {
    marker.trim_start_matches("version-marker-").parse().unwrap_or_else(|_| panic!("no marker: {marker}"))
}

/// The fixture with an import that no host has; its length stays.
fn needing_the_impossible() -> Vec<u8> {
    const STANDARD: &[u8] = b"wasi:clocks/";
    let mut wasm = guest("versioned");
    let places: Vec<_> = (0..wasm.len() - STANDARD.len()).filter(|at| wasm[*at..].starts_with(STANDARD)).collect();
    assert!(!places.is_empty());
    for at in places {
        wasm[at..at + 4].copy_from_slice(b"acme");
    }
    wasm
}

/// Requests on one connection until told to stop; how many there were.
async fn keep_asking(wharf: Arc<Wharf>, stop: Arc<AtomicBool>, newest: Arc<AtomicU64>) -> u64 {
    let mut connection = Connection::open(wharf.address()).await.unwrap();
    let (mut last, mut requests) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let answer = connection.get("/versioned/").await.unwrap();
        answer.assert_status(200);
        let text = answer.text();
        assert_eq!(text.trim_end(), answer.header("x-version"), "half of an answer is of another version");
        let version = number(text.trim_end());
        assert!(version >= last, "version {last} came back as {version}");
        assert!(version <= newest.load(Ordering::Acquire), "version {version} is not there yet");
        last = version;
        requests += 1;
        // A steady load that leaves the compiler some of two cores.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    requests
}

/// Streams one after the other until told to stop; how many of them ended when a newer version served already.
async fn keep_listening(wharf: Arc<Wharf>, stop: Arc<AtomicBool>, serving: Arc<AtomicU64>) -> u64 {
    let (mut last, mut outlived) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let url = wharf.url("/versioned/sse?count=20&ms=50");
        let response = wharf.client().stream("GET", &url, "").await;
        assert_eq!(response.status(), 200);
        let began_as = number(response.headers()["x-version"].to_str().unwrap());
        let events = response.into_body().collect().await.expect("a stream is not cut").to_bytes();
        assert_eq!(events, format!("{}\n", marker(began_as)).repeat(20), "a stream is whole and of one version");
        assert!(began_as >= last, "version {last} came back as {began_as}");
        last = began_as;
        outlived += u64::from(serving.load(Ordering::Acquire) > began_as);
    }
    outlived
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_upgrades_under_load_fail_no_request_and_cut_no_stream() {
    let wharf = Arc::new(Wharf::builder().file("versioned", &versioned(&marker(0))).start().await);
    let stop = Arc::new(AtomicBool::new(false));
    let (newest, serving) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let asking: Vec<_> =
        (0..8).map(|_| tokio::spawn(keep_asking(Arc::clone(&wharf), Arc::clone(&stop), Arc::clone(&newest)))).collect();
    let mut listening = Vec::new();
    for n in 1..=UPGRADES {
        // Streams begin at different moments.
        if n <= 4 {
            let listener = keep_listening(Arc::clone(&wharf), Arc::clone(&stop), Arc::clone(&serving));
            listening.push(tokio::spawn(listener));
        }
        let wasm = versioned(&marker(n));
        newest.store(n, Ordering::Release);
        if n % 2 == 0 {
            wharf.install("versioned.wasm", &wasm);
        } else {
            std::fs::write(wharf.plugin_path("versioned.wasm"), &wasm).unwrap();
        }
        within(Duration::from_secs(20), "the upgrade serves", async || {
            (wharf.get("/versioned/").await.header("x-version") == marker(n)).then_some(())
        })
        .await;
        serving.store(n, Ordering::Release);
    }
    stop.store(true, Ordering::Relaxed);
    let (mut requests, mut outlived) = (0, 0);
    for load in asking {
        requests += load.await.expect("no request fails");
    }
    for load in listening {
        outlived += load.await.expect("no stream fails");
    }
    println!("{requests} requests, {outlived} streams that outlived their version");
    assert!(requests > UPGRADES * 8, "there was no load: {requests} requests");
    assert!(outlived > 4, "no stream saw an upgrade: {outlived}");
    eventually("all old versions but the last are retired", async || {
        (wharf.states("versioned").await == ["versioned.wasm retained", "versioned.wasm serving"]).then_some(())
    })
    .await;
    let loads = wharf.log().iter().filter(|line| line.contains("\"upgraded\"")).count() as u64;
    assert_eq!(loads, UPGRADES, "one load for each change");
}

#[tokio::test]
async fn a_bad_file_leaves_the_running_version_and_everybody_is_told_why() {
    let good = versioned(&marker(1));
    let wharf =
        Wharf::builder().file("versioned", &good).service("versioned", "healthCheck: { path: /health }").start().await;
    let missing = needing_the_impossible();
    let cases: [(&str, &[u8], &[&str]); 4] = [
        ("a core module", b"\0asm\x01\0\0\0", &["core wasm module", "wasm32-wasip2", "wasm-tools component new"]),
        ("a sick one", &versioned("sick-version-00000000001"), &["health check", "/health", "503"]),
        ("a missing import", &missing, &["acme:clocks/monotonic-clock@0.2", "no such interface"]),
        ("a broken component", b"\0asm\x0d\0\x01\0\x0b\x03\xff\xff\xff", &["not a wasm component"]),
    ];
    for (what, wasm, words) in cases {
        wharf.install("versioned.wasm", wasm);
        let reason = wharf.rejection("versioned").await;
        let listed = services(&wharf).await;
        let logged = wharf.logged(&reason.replace('"', "\\\"")).await;
        for word in words {
            assert!(reason.contains(word), "{what}: {reason}");
            assert!(listed.contains(word), "{what}: {listed}");
            assert!(logged.contains(word) && logged.contains("rejected") && logged.contains("versioned"), "{logged}");
        }
        assert_eq!(wharf.states("versioned").await, ["versioned.wasm serving", "versioned.wasm rejected"], "{what}");
        assert_eq!(wharf.get("/versioned/").await.header("x-version"), marker(1), "{what}");
        // The file that serves put back takes the refusal away.
        wharf.install("versioned.wasm", &good);
        eventually("the refusal is taken back", async || {
            (wharf.states("versioned").await == ["versioned.wasm serving"]).then_some(())
        })
        .await;
    }
    let upgrades = wharf.log().iter().filter(|line| line.contains("\"upgraded\"")).count();
    assert_eq!(upgrades, 0, "nothing else ever served");
}

#[tokio::test]
async fn a_file_that_is_no_wasm_leaves_the_running_version_and_everybody_is_told_why() {
    let wharf = Wharf::builder().file("versioned", &versioned(&marker(1))).start().await;
    wharf.install("versioned.wasm", b"#!/bin/sh\necho no component\n");
    wharf.logged("is not WebAssembly").await;
    let list = wharf.admin_get("/api/services").await.json();
    assert_eq!(list["refused"][0]["file"], "versioned.wasm");
    let listed = services(&wharf).await;
    assert!(listed.contains("versioned.wasm is no service: is not WebAssembly"), "{listed}");
    assert_eq!(wharf.get("/versioned/").await.header("x-version"), marker(1));
    wharf.install("versioned.wasm", &versioned(&marker(2)));
    eventually("the next good file serves", async || {
        (wharf.get("/versioned/").await.header("x-version") == marker(2)).then_some(())
    })
    .await;
    assert_eq!(wharf.admin_get("/api/services").await.json()["refused"], serde_json::json!([]));
}

/// What `wharf services` prints about it.
async fn services(wharf: &Wharf) -> String {
    let admin = wharf.admin().to_string();
    let output = tokio::process::Command::new(binary()).args(["services", "--admin", &admin]).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_service_that_is_not_well_at_the_start_does_not_serve() {
    let wharf = Wharf::builder()
        .plugin_as("hostile", "well")
        .plugin_as("hostile", "lost")
        .plugin_as("hostile", "late")
        .plugin_as("hostile", "trapping")
        .plugin_as("versioned", "slow")
        .service("well", "healthCheck: { path: / }")
        .service("lost", "healthCheck: { path: /nowhere }")
        .service("late", "healthCheck: { path: /hang, startTimeout: 300ms }")
        .service("trapping", "healthCheck: { path: /trap }")
        // It answers after half a second, which the default timeout allows.
        .service("slow", "healthCheck: { path: /slow }")
        .start()
        .await;
    wharf.get("/well/").await.assert_status(200);
    wharf.get("/slow/").await.assert_status(200);
    for (service, words) in [
        ("lost", "its health check at /nowhere answered 404"),
        ("late", "healthCheck.startTimeout (300ms)"),
        ("trapping", "its health check at /trap failed"),
    ] {
        let reason = wharf.rejection(service).await;
        assert!(reason.contains(words), "{service}: {reason}");
        wharf.get(&format!("/{service}/")).await.assert_status(503);
    }
}

#[tokio::test]
async fn two_versions_of_a_service_serve_at_once_and_each_is_upgraded_alone() {
    let wharf = Wharf::builder()
        .file("versioned@a", &versioned(&marker(1)))
        .file("versioned@b", &versioned(&marker(2)))
        .gateway(
            "
routes:
  - name: both
    rules:
      - { matches: [{ path: { prefix: /a } }], backendRefs: [{ service: versioned, version: a }] }
      - { matches: [{ path: { prefix: /b } }], backendRefs: [{ service: versioned, version: b }] }
",
        )
        .start()
        .await;
    let version = async |path: &str| wharf.get(path).await.header("x-version").to_owned();
    assert_eq!(version("/a").await, marker(1));
    assert_eq!(version("/b").await, marker(2));
    assert_eq!(version("/versioned/").await, marker(2), "without a plain file the last label serves");
    let labels: Vec<_> = wharf.versions("versioned").await.iter().map(|version| version["label"].clone()).collect();
    assert_eq!(labels, ["a", "b"]);

    wharf.install("versioned@a.wasm", &versioned(&marker(3)));
    eventually("a is upgraded", async || (version("/a").await == marker(3)).then_some(())).await;
    assert_eq!(version("/b").await, marker(2));

    wharf.install("versioned.wasm", &versioned(&marker(4)));
    eventually("the plain file serves", async || (version("/versioned/").await == marker(4)).then_some(())).await;
    assert_eq!((version("/a").await, version("/b").await), (marker(3), marker(2)));

    std::fs::remove_file(wharf.plugin_path("versioned@b.wasm")).unwrap();
    eventually("b is gone", async || (wharf.get("/b").await.status == 503).then_some(())).await;
    assert_eq!(version("/a").await, marker(3));
}

#[tokio::test]
async fn a_deleted_service_is_unknown_while_its_requests_in_flight_finish() {
    let wharf = Arc::new(Wharf::builder().file("versioned", &versioned(&marker(1))).start().await);
    let slow = tokio::spawn({
        let wharf = Arc::clone(&wharf);
        async move { wharf.get("/versioned/slow?ms=3000").await }
    });
    let stream = wharf.client().stream("GET", &wharf.url("/versioned/sse?count=30&ms=100"), "").await;
    std::fs::remove_file(wharf.plugin_path("versioned.wasm")).unwrap();
    eventually("it is deregistered", async || (wharf.get("/versioned/").await.status == 404).then_some(())).await;
    assert!(!slow.is_finished(), "the machine is too slow for this test");
    assert_eq!(wharf.states("versioned").await, ["versioned.wasm draining"]);
    slow.await.unwrap().assert_status(200);
    let events = stream.into_body().collect().await.expect("the stream is whole").to_bytes();
    assert_eq!(events, format!("{}\n", marker(1)).repeat(30));
    eventually("it is forgotten", async || wharf.states("versioned").await.is_empty().then_some(())).await;
    // The same file again is a service again.
    wharf.install("versioned.wasm", &versioned(&marker(1)));
    eventually("it is back", async || (wharf.get("/versioned/").await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn a_replaced_version_is_cut_after_its_drain_timeout_and_not_before() {
    let wharf = Wharf::builder()
        .file("versioned", &versioned(&marker(1)))
        .service("versioned", "drainTimeout: 1s")
        .start()
        .await;
    let mut stream = wharf.client().stream("GET", &wharf.url("/versioned/sse?count=400&ms=25"), "").await.into_body();
    wharf.install("versioned.wasm", &versioned(&marker(2)));
    let upgraded = Instant::now();
    let mut replaced = None;
    let cut = loop {
        match tokio::time::timeout(Duration::from_secs(10), stream.frame()).await.expect("it is cut") {
            Some(Ok(_)) => {}
            Some(Err(_)) => break Instant::now(),
            None => panic!("a stream that was cut must not look whole"),
        }
        if replaced.is_none() && wharf.log().iter().any(|line| line.contains("\"upgraded\"")) {
            replaced = Some(Instant::now());
        }
    };
    let replaced = replaced.expect("it goes on after the upgrade");
    assert!(cut - upgraded >= Duration::from_secs(1), "cut {:?} after the file came", cut - upgraded);
    assert!(cut - replaced <= Duration::from_secs(3), "cut {:?} after the upgrade", cut - replaced);
    wharf.logged("cut off at drainTimeout").await;
    assert_eq!(wharf.get("/versioned/").await.header("x-version"), marker(2));
    eventually("the old one is retained", async || {
        (wharf.states("versioned").await == ["versioned.wasm retained", "versioned.wasm serving"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn twenty_files_at_once_all_serve_what_they_contain() {
    let wharf = Wharf::builder().start().await;
    for n in 0..20 {
        let copy = versioned(&marker(n));
        std::fs::write(wharf.plugin_path(&format!("copy-{n}.wasm")), copy).unwrap();
    }
    for n in 0..20 {
        within(Duration::from_secs(30), "the copy serves", async || {
            (wharf.get(&format!("/copy-{n}/")).await.header("x-version") == marker(n)).then_some(())
        })
        .await;
    }
}
