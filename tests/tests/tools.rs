//! Programs of other people against the gateway: attacks of slow clients, load over HTTP/2, and what `nghttp` and
//! `curl` say about the protocols. A program that is not installed leaves its checks out.
//!
//! The slow clients are those of `slowhttptest`, with more connections than a service has places. Meanwhile
//! somebody else asks a hundred times a second and must not notice. What the attack holds is counted in the gateway's
//! own process (its open files), because a client that does not read never sees that it was left.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]
#![allow(clippy::print_stderr, reason = "the numbers are worth reading")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustix::process::Signal;
use wharf_tests::{Client, Program, Wharf, eventually, have};

const LIMIT: Duration = Duration::from_secs(60);
/// Every timeout for slow clients in these tests.
const SLOW: Duration = Duration::from_secs(3);
/// New connections of an attack in a second.
const RATE: u32 = 200;
/// Who waits for a slow client waits until that one is left, so this is what an attack that hurts costs. How much quicker
/// it is depends on what else the machine does; the numbers are printed.
const P99: Duration = Duration::from_secs(2);
/// More memory than before, at most, for clients that no request is served to yet. The aim is 64 MiB, which a build with
/// optimizations keeps; without them, what a request waits in is half as large again.
const GROWTH: u64 = if cfg!(debug_assertions) { 96 << 20 } else { 64 << 20 };
/// The same for readers. The aim is 64 MiB here, too, and is missed: every request that is served holds a guest (about
/// 180 KiB) and what it has written, and 256 are served at once (`bulkhead.maxConcurrent`). This bounds it by half a
/// MiB for each of them, and as above.
const GROWTH_SERVED: u64 = if cfg!(debug_assertions) { 192 << 20 } else { 128 << 20 };

/// One attack: arguments of `slowhttptest`, and its number of connections.
struct Attack {
    kind: &'static [&'static str],
    path: &'static str,
    connections: u32,
    growth: u64,
}

/// What everybody else had to bear.
struct Others {
    /// In the order in which they were sent.
    latencies: Vec<Duration>,
    errors: Vec<String>,
}

impl Others {
    fn p99(&self) -> Duration {
        let mut latencies = self.latencies.clone();
        latencies.sort();
        latencies[(latencies.len() * 99 / 100).min(latencies.len() - 1)]
    }
}

/// GETs at a steady rate until told to stop: each is sent at its time, however long the one before takes.
async fn others(client: Client, url: String, stop: Arc<AtomicBool>) -> Others {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut running = Vec::new();
    while !stop.load(Ordering::Acquire) {
        tick.tick().await;
        let (client, url) = (client.clone(), url.clone());
        running.push(tokio::spawn(async move {
            let sent = Instant::now();
            let answer = client.try_send("GET", &url, &[], "").await;
            (sent.elapsed(), answer.and_then(|got| (got.status == 200).then_some(()).ok_or(got.text())))
        }));
    }
    let mut others = Others { latencies: Vec::new(), errors: Vec::new() };
    for (latency, answer) in futures_util::future::join_all(running).await.into_iter().map(Result::unwrap) {
        others.latencies.push(latency);
        others.errors.extend(answer.err());
    }
    others
}

/// Files that the process has open: its connections, and some that stay.
fn open_files(wharf: &Wharf) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", wharf.pid())).unwrap().count()
}

async fn withstand(tool: &Program, attack: &Attack) {
    let seconds = SLOW.as_secs();
    let names = ["firstByteTimeout", "headTimeout", "idleTimeout", "bodyTimeout", "writeTimeout"];
    let timeouts = names.map(|name| format!("{name}: {seconds}s")).join(", ");
    let wharf = Wharf::builder()
        .plugin("hostile")
        .plugin("versioned")
        .gateway(&format!("accessLog: {{ enabled: false }}\nconnections: {{ {timeouts} }}\n"))
        .start()
        .await;
    wharf.get("/versioned/").await.assert_status(200);
    wharf.get("/hostile/").await.assert_status(200);
    let stop = Arc::new(AtomicBool::new(false));
    let others = tokio::spawn(others(wharf.client().clone(), wharf.url("/versioned/"), Arc::clone(&stop)));
    // What the steady client needs is no part of the attack.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (files, memory) = (open_files(&wharf), wharf.memory());

    let arguments = ["-c", &attack.connections.to_string(), "-r", &RATE.to_string(), "-l", "90", "-p", "3"];
    let url = wharf.url(attack.path);
    let began = Instant::now();
    let running = tool.start(attack.kind.iter().chain(&arguments).chain(&["-u", &url]));
    let opening = Duration::from_secs((attack.connections / RATE).into());
    let (mut most, mut peak, mut over) = (0, memory, None);
    // Some files of the process come and go.
    let spare = 8;
    while over.is_none() && began.elapsed() < LIMIT {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let held = open_files(&wharf).saturating_sub(files);
        (most, peak) = (most.max(held), peak.max(wharf.memory()));
        over = (began.elapsed() > opening && held <= spare).then(|| began.elapsed());
    }
    stop.store(true, Ordering::Release);
    let others = others.await.unwrap();
    let outcome = running.stop().await;
    let p99 = others.p99();
    let growth = peak - memory;
    eprintln!(
        "slowhttptest {:?}: {} connections, {most} held at most, all left after {over:?}; {} requests of others, \
         {} failed, p99 {p99:?}; {} KiB more memory",
        attack.kind,
        attack.connections,
        others.latencies.len(),
        others.errors.len(),
        growth >> 10,
    );
    let report = format!("{}\n{}", outcome.stdout, outcome.stderr);
    assert!(most > 50, "there was no attack: {report}");
    assert!(over.is_some(), "slow clients are held for ever: {report}");
    assert!(p99 < P99, "p99 of everybody else: {p99:?}");
    assert!(others.errors.is_empty(), "{:?}", &others.errors[..others.errors.len().min(5)]);
    assert!(others.latencies.len() > 500, "the machine is too slow for this test");
    assert!(growth < attack.growth, "{growth} bytes more memory");
    wharf.get("/versioned/").await.assert_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_send_headers_slowly_hurt_nobody() {
    let Some(tool) = have(&["slowhttptest"], 6) else { return };
    withstand(&tool, &Attack { kind: &["-H", "-i", "1"], path: "/hostile/", connections: 1000, growth: GROWTH }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_send_bodies_slowly_hurt_nobody() {
    let Some(tool) = have(&["slowhttptest"], 6) else { return };
    // Every piece gives a client more time, so the first comes after all this is over.
    withstand(&tool, &Attack { kind: &["-B", "-i", "20"], path: "/hostile/echo", connections: 1000, growth: GROWTH })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_slowly_hurt_nobody() {
    let Some(tool) = have(&["slowhttptest"], 6) else { return };
    let kind = &["-X", "-w", "1", "-y", "2", "-z", "1", "-n", "1"];
    // More than a service serves at once: 256 hold a request, as many wait, and the rest is refused.
    withstand(&tool, &Attack { kind, path: "/hostile/stream?bytes=8388608", connections: 500, growth: GROWTH_SERVED })
        .await;
}

/// An authority (`ca.pem`), its certificate for `shop.test` (`a.pem`, `a.key`) and for a client (`me.pem`, `me.key`).
fn certificates(dir: &Path) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    // OpenSSL takes a certificate for self-signed that has the name of its issuer.
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    std::fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for (file, name) in [("a", "shop.test"), ("me", "me.test")] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        std::fs::write(dir.join(format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

/// A gateway that speaks TLS; with `strict` to nobody without a certificate.
async fn with_tls(strict: bool, service: &str) -> (Wharf, SocketAddr) {
    let held: [_; 2] = std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [public, admin] = held.map(|socket| socket.local_addr().unwrap());
    let builder = Wharf::builder().without_flags().plugin(service).service(service, WIDE);
    certificates(builder.dir());
    let mode = if strict { "" } else { ", mode: request" };
    let gateway = format!(
        "admin: {{ listen: '{admin}' }}\nlisteners:\n  - {{ name: public, address: '{public}', \
         tls: {{ certificates: [{{ cert: a.pem, key: a.key }}], clientAuth: {{ ca: ca.pem{mode} }} }} }}\n"
    );
    (builder.gateway(&gateway).start().await, public)
}

/// Room for all that a load generator asks at once.
const WIDE: &str = "bulkhead: { maxConcurrent: 1000, maxPending: 1000, maxWait: 30s }\ntimeouts: { request: 60s }";

fn line<'a>(text: &'a str, begin: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no `{begin}` in {text}"))
}

async fn load(tool: &Program, url: &str) {
    let outcome = tool.run(["-n", "10000", "-c", "10", "-m", "100", url], LIMIT).await;
    let text = &outcome.assert_success().stdout;
    let (protocol, speed) = (line(text, "Application protocol:"), line(text, "finished in"));
    eprintln!("h2load {protocol}; {speed}");
    assert!(protocol.contains("h2"), "{protocol}");
    let expected = "10000 total, 10000 started, 10000 done, 10000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(line(text, "requests:").contains(expected), "{text}");
    assert!(line(text, "status codes:").contains("10000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{text}");
}

#[tokio::test]
async fn ten_thousand_requests_at_a_hundred_streams_all_succeed_over_http2() {
    let Some(tool) = have(&["h2load"], 6) else { return };
    let wharf = Wharf::builder().plugin("versioned").service("versioned", WIDE).start().await;
    load(&tool, &wharf.url("/versioned/")).await;
    let (_wharf, address) = with_tls(false, "versioned").await;
    load(&tool, &format!("https://{address}/versioned/")).await;
}

#[tokio::test]
async fn nghttp_sees_our_settings_and_trailers() {
    let Some(tool) = have(&["nghttp"], 5) else { return };
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let outcome = tool.run(["-v", &wharf.url("/hostile/trailers")], LIMIT).await;
    let text = &outcome.assert_success().stdout;
    // What the client sends stands there, too.
    let ours = &text[text.find("recv SETTINGS").unwrap()..];
    for expected in [
        "[SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100]",
        "[SETTINGS_INITIAL_WINDOW_SIZE(0x04):65536]",
        "[SETTINGS_MAX_HEADER_LIST_SIZE(0x06):65536]",
        ":status: 200",
        "x-checksum: abc123",
    ] {
        assert!(ours.contains(expected), "no `{expected}` in {text}");
    }
    let (body, trailers) = (ours.find("recv DATA").unwrap(), ours.find("x-checksum: abc123").unwrap());
    assert!(body < trailers, "{text}");
    let errors = text.lines().filter(|line| line.contains("recv RST_STREAM") || line.contains("PROTOCOL_ERROR"));
    assert_eq!(errors.count(), 0, "{text}");
}

#[tokio::test]
async fn nghttp_is_told_of_a_drain_and_gets_its_answer_whole() {
    let Some(tool) = have(&["nghttp"], 4) else { return };
    let mut wharf = Wharf::builder().plugin("hostile").start().await;
    // The harness asks the admin listener on a connection that it keeps.
    let files = open_files(&wharf);
    let running = tool.start(["-v", &wharf.url("/hostile/sse?count=20&ms=100")]);
    // It is there when its connection is: its request comes with the first packet.
    eventually("the client has come", async || (open_files(&wharf) > files).then_some(())).await;
    wharf.signal(Signal::TERM);
    let outcome = running.ended(LIMIT).await;
    let text = &outcome.assert_success().stdout;
    let goaway = text.find("recv GOAWAY frame").unwrap_or_else(|| panic!("no GOAWAY in {text}"));
    assert!(text[goaway..].contains("error_code=NO_ERROR(0x00)"), "{text}");
    assert!(text[goaway..].contains("data: 19"), "what was begun is finished: {text}");
    assert_eq!(wharf.ended().await.code(), Some(0));
}

/// Status and protocol of an answer, after its body.
const WRITE: [&str; 4] = ["-sS", "--http2", "-w", "\n%{http_code} %{http_version}"];

#[tokio::test]
async fn curl_speaks_http2_with_prior_knowledge_and_http1_when_it_asks_for_an_upgrade() {
    let Some(tool) = have(&["curl"], 4) else { return };
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let url = wharf.url("/hostile/request");
    let outcome = tool.run(WRITE.iter().chain(&["--http2-prior-knowledge", &url]), LIMIT).await;
    assert!(outcome.assert_success().stdout.ends_with("\n200 2"), "{}", outcome.stdout);
    // The upgrade from HTTP/1.1 to h2c is none that HTTP still has: the answer comes by HTTP/1.1.
    let outcome = tool.run(WRITE.iter().chain(&[url.as_str()]), LIMIT).await;
    assert!(outcome.assert_success().stdout.ends_with("\n200 1.1"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains("upgrade:") && !outcome.stdout.contains("http2-settings"), "{}", outcome.stdout);
}

#[tokio::test]
async fn curl_is_known_by_its_certificate_over_tls() {
    let Some(tool) = have(&["curl"], 4) else { return };
    for strict in [false, true] {
        let (wharf, address) = with_tls(strict, "hostile").await;
        let path = |name: &str| wharf.dir().join(name).display().to_string();
        let url = format!("https://shop.test:{}/hostile/request", address.port());
        let (ca, resolve) = (path("ca.pem"), format!("shop.test:{}:127.0.0.1", address.port()));
        let common = ["--cacert", &ca, "--resolve", &resolve, &url];
        let outcome = tool.run(WRITE.iter().chain(&common), LIMIT).await;
        if strict {
            assert_ne!(outcome.code, Some(0), "nobody gets in without one: {}", outcome.stdout);
        } else {
            assert!(outcome.assert_success().stdout.ends_with("\n200 2"), "{}", outcome.stdout);
            assert!(!outcome.stdout.contains("client-cert:"), "{}", outcome.stdout);
        }
        let (cert, key) = (path("me.pem"), path("me.key"));
        let outcome = tool.run(WRITE.iter().chain(&common).chain(&["--cert", &cert, "--key", &key]), LIMIT).await;
        assert!(outcome.assert_success().stdout.ends_with("\n200 2"), "{}", outcome.stdout);
        assert!(outcome.stdout.to_lowercase().contains("client-cert: :"), "{}", outcome.stdout);
    }
}
