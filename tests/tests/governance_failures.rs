//! Failures that services behind gateways are known for, each provoked at the real one; the list is `docs/failures.md`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http_body_util::BodyExt;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wharf_tests::{Client, Load, Reply, Upstream, Wharf, eventually, within};

const OFF: &str = "circuitBreaker: { enabled: false }\noutlierDetection: { consecutiveFailures: 0 }\n";

fn instances(urls: &[String]) -> String {
    let mut yaml = "instances:\n".to_owned();
    for (number, url) in urls.iter().enumerate() {
        let _ = writeln!(yaml, "- {{ name: i{number}, url: \"{url}\" }}");
    }
    yaml
}

fn service(of: &[&Upstream], more: &str) -> String {
    let urls: Vec<_> = of.iter().map(|upstream| upstream.url()).collect();
    format!("{}{more}", instances(&urls))
}

async fn orders(of: &[&Upstream], more: &str) -> Wharf {
    Wharf::builder().service("orders", &service(of, more)).start().await
}

/// So many requests by so many clients at once; how many had which status is not looked at.
async fn flood(client: &Client, url: &str, clients: usize, each: usize) {
    let load = async || {
        for _ in 0..each {
            let _ = client.try_send("GET", url, &[], "").await;
        }
    };
    join_all((0..clients).map(|_| load())).await;
}

/// The most that may arrive of so many requests in this time, when `percent` of them and so many a second may be added.
/// The budget is that of ten seconds: those that have not passed yet count, too.
fn at_most(requests: usize, percent: usize, per_second: usize, took: Duration) -> usize {
    requests + requests * percent / 100 + per_second * (10 + took.as_secs() as usize + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_do_not_become_a_storm() {
    let upstream = Upstream::start(|_| Reply::status(503)).await;
    for (budget, percent, per_second) in [
        ("{}", 20, 10),
        ("{ percent: 0, minRetriesPerSecond: 3 }", 0, 3),
        ("{ percent: 50, minRetriesPerSecond: 0 }", 50, 0),
    ] {
        let wharf =
            orders(&[&upstream], &format!("{OFF}retry: {{ attempts: 5, backoff: 1ms, budget: {budget} }}\n")).await;
        let (before, began) = (upstream.count(), Instant::now());
        flood(wharf.client(), &wharf.url("/orders/"), 10, 100).await;
        let sent = upstream.count() - before;
        let bound = at_most(1000, percent, per_second, began.elapsed());
        assert!(sent > 1000 && sent <= bound, "{budget}: {sent} arrived of 1000, {bound} may");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_outage_is_no_storm_in_any_second() {
    const SECONDS: u64 = 10;
    let upstream = Upstream::start(|_| Reply::status(503)).await;
    let wharf = orders(&[&upstream], &format!("{OFF}retry: {{ attempts: 5, backoff: 1ms }}\n")).await;
    let (client, url) = (wharf.client(), wharf.url("/orders/"));
    let began = Instant::now();
    let load = async || {
        let mut pace = tokio::time::interval(Duration::from_millis(25));
        let mut times = Vec::new();
        while began.elapsed() < Duration::from_secs(SECONDS) {
            pace.tick().await;
            times.push(began.elapsed().as_secs());
            let _ = client.try_send("GET", &url, &[], "").await;
        }
        times
    };
    let asked: Vec<u64> = join_all((0..10).map(|_| load())).await.concat();
    let arrived: Vec<u64> = upstream.seen().iter().map(|seen| (seen.at - began).as_secs()).collect();
    let bound = at_most(asked.len(), 20, 10, began.elapsed());
    assert!(asked.len() > 500, "the machine is too slow for this test: {} requests", asked.len());
    assert!(arrived.len() > asked.len() && arrived.len() <= bound, "{} of {}", arrived.len(), asked.len());
    // The budget of ten seconds may be spent in one, and is there once.
    for second in 1..SECONDS {
        let in_it = |times: &[u64]| times.iter().filter(|time| **time == second).count();
        let (asked_then, asked_before) = (in_it(&asked), asked.iter().filter(|time| **time <= second).count());
        let most = asked_then + asked_before / 5 + 100 + 10;
        assert!(in_it(&arrived) <= most, "second {second}: {} of {asked_then}, {most} may", in_it(&arrived));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_behind_gateways_do_not_multiply_retries() {
    let upstream = Upstream::start(|_| Reply::status(503)).await;
    let retry = format!("{OFF}retry: {{ attempts: 5, backoff: 1ms, budget: {{ minRetriesPerSecond: 1 }} }}\n");
    let mut url = upstream.url();
    let mut chain = Vec::new();
    for _ in 0..3 {
        let yaml = format!("{}expose: /\n{retry}", instances(&[url]));
        let wharf = Wharf::builder().service("orders", &yaml).start().await;
        url = wharf.url("");
        chain.push(wharf);
    }
    let began = Instant::now();
    flood(chain[2].client(), &format!("{url}/"), 8, 100).await;
    let bound = (0..3).fold(800, |requests, _| at_most(requests, 20, 1, began.elapsed()));
    let sent = upstream.count();
    assert!(sent > 800 && sent <= bound, "{sent} arrived of 800, {bound} may");
}

#[tokio::test]
async fn a_post_on_a_dead_connection_is_sent_exactly_once() {
    // Each connection answers once; then it takes one more request and dies.
    let upstream = Upstream::start(|_| Reply::text("good")).await;
    let seen = Arc::new(AtomicUsize::new(usize::MAX));
    let last = Arc::clone(&seen);
    upstream.script(move |request| {
        if last.swap(request.connection, Ordering::SeqCst) == request.connection {
            Reply::close()
        } else {
            Reply::text("good")
        }
    });
    let wharf = orders(&[&upstream], &format!("{OFF}retry: {{ attempts: 2, backoff: 1ms }}\n")).await;
    for round in 0..10 {
        wharf.get("/orders/first").await.assert_status(200);
        let path = format!("/post/{round}");
        let answer = wharf.send("POST", &format!("/orders{path}"), "once").await;
        assert!(matches!(answer.status.as_u16(), 502 | 503), "it may have been done: {answer:?}");
        let sent: Vec<_> = upstream.seen().into_iter().filter(|seen| seen.target == path).collect();
        assert_eq!(sent.len(), 1, "round {round}");
        assert_eq!(sent[0].body, b"once");
        // Whoever only reads may do so again, and gets an answer.
        wharf.get("/orders/second").await.assert_status(200);
        let path = format!("/get/{round}");
        wharf.get(&format!("/orders{path}")).await.assert_status(200);
        assert_eq!(upstream.seen().iter().filter(|seen| seen.target == path).count(), 2, "round {round}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_request() {
    // It says that it keeps the connection, and does not.
    let upstream = Upstream::start(|_| Reply::text("good").closing()).await;
    let wharf = orders(&[&upstream], OFF).await;
    for round in 0..50 {
        wharf.send("POST", "/orders/", "once").await.assert_status(200);
        assert_eq!(upstream.count(), round + 1);
    }
}

#[tokio::test]
async fn tries_are_never_made_at_once() {
    let upstream = Upstream::start(|_| Reply::status(503)).await;
    let wharf =
        orders(&[&upstream], &format!("{OFF}retry: {{ attempts: 3, backoff: 40ms, maxBackoff: 400ms }}\n")).await;
    let mut firsts = Vec::new();
    for number in 0..12 {
        let target = format!("/{number}");
        wharf.get(&format!("/orders{target}")).await.assert_status(503);
        let times: Vec<_> =
            upstream.seen().into_iter().filter(|seen| seen.target == target).map(|seen| seen.at).collect();
        assert_eq!(times.len(), 4);
        for pair in times.windows(2) {
            // A timer may fire within the same millisecond.
            assert!(pair[1] - pair[0] >= Duration::from_millis(39), "{:?}", pair[1] - pair[0]);
        }
        firsts.push(times[1] - times[0]);
    }
    firsts.sort_unstable();
    // Uniform in 40 to 120 ms: all twelve in a quarter of that is as likely as a lightning.
    assert!(firsts[11] - firsts[0] > Duration::from_millis(20), "they come back together: {firsts:?}");
}

#[tokio::test]
async fn tries_do_not_cost_a_connection_each() {
    let upstream = Upstream::start(|_| Reply::status(503)).await;
    let wharf = orders(&[&upstream], &format!("{OFF}retry: {{ attempts: 3, backoff: 30ms }}\n")).await;
    for _ in 0..10 {
        wharf.get("/orders/").await.assert_status(503);
    }
    assert_eq!(upstream.count(), 40);
    assert!(upstream.connections() < 10, "{} connections for 40 tries", upstream.connections());
}

#[tokio::test]
async fn a_probe_whose_client_leaves_gives_its_permit_back() {
    let upstream = Upstream::start(|_| Reply::status(500)).await;
    let breaker = "circuitBreaker: { consecutiveFailures: 2, waitDurationInOpenState: 300ms, \
                   permittedNumberOfCallsInHalfOpenState: 1, maxWaitDurationInHalfOpenState: 1h }";
    let wharf = orders(&[&upstream], breaker).await;
    for status in [500, 500, 503] {
        wharf.get("/orders/").await.assert_status(status);
    }
    upstream.script(|_| Reply::hang());
    for round in 0..3 {
        // One of these is the probe; all of them leave.
        within(Duration::from_secs(10), "a probe is let through", async || {
            let before = upstream.count();
            let mut client = TcpStream::connect(wharf.address()).await.unwrap();
            client.write_all(b"GET /orders/ HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
            let answered = tokio::time::timeout(Duration::from_millis(300), client.read_u8()).await;
            (answered.is_err() && upstream.count() > before).then_some(())
        })
        .await;
        assert_eq!(upstream.count(), 3 + round);
    }
    upstream.script(|_| Reply::text("good"));
    within(Duration::from_secs(3), "it closes", async || (wharf.get("/orders/").await.status == 200).then_some(()))
        .await;
    for _ in 0..5 {
        wharf.get("/orders/").await.assert_status(200);
    }
}

#[tokio::test]
async fn a_breaker_does_not_flap() {
    // Every other request fails.
    let upstream = Upstream::start(|seen| Reply::status(if seen.number % 2 == 0 { 500 } else { 200 })).await;
    let breaker = "circuitBreaker: { slidingWindow: 1m, minimumNumberOfCalls: 4, failureRateThreshold: 50, \
                   waitDurationInOpenState: 100ms, permittedNumberOfCallsInHalfOpenState: 1 }";
    let wharf = orders(&[&upstream], breaker).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        wharf.get("/orders/").await;
    }
    let opened = wharf.log().iter().filter(|line| line.contains("circuit breaker")).count();
    // 100, 200, 400, 800, 1600, 3200 ms: six times open, and two more changes for each.
    assert!((3..=24).contains(&opened), "{opened} changes in five seconds");
}

#[tokio::test]
async fn when_every_instance_fails_all_are_still_asked() {
    let all = join_all((0..3).map(|_| Upstream::start(|_| Reply::status(500)))).await;
    let of: Vec<_> = all.iter().collect();
    let yaml = "circuitBreaker: { enabled: false }\nloadBalancer: { strategy: roundRobin }\n\
                outlierDetection: { consecutiveFailures: 2, baseEjectionTime: 1h, maxEjectionTime: 1h, \
                maxEjectionPercent: 100 }\n\
                healthCheck: { path: /up, interval: 100ms, unhealthyThreshold: 1 }";
    let wharf = orders(&of, yaml).await;
    for _ in 0..60 {
        let answer = wharf.get("/orders/").await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (500, "500"), "an instance answers, not the gateway");
    }
    eventually("all are unhealthy", async || {
        let sick = wharf.admin_get("/api/instances?service=orders&health=unhealthy").await.json();
        (sick["instances"].as_array().unwrap().len() == 3).then_some(())
    })
    .await;
    let before: Vec<_> = all.iter().map(Upstream::count).collect();
    for _ in 0..30 {
        assert_eq!(wharf.get("/orders/").await.text(), "500");
    }
    for (upstream, before) in all.iter().zip(before) {
        assert_eq!(upstream.count() - before, 10, "all are used alike");
    }
    all[1].script(|_| Reply::text("better"));
    eventually("whoever is well again is asked", async || {
        (wharf.get("/orders/").await.text() == "better").then_some(())
    })
    .await;
}

#[tokio::test]
async fn overload_is_no_sickness() {
    let all = join_all((0..2).map(|_| Upstream::start(|_| Reply::status(429).header("retry-after", "1")))).await;
    let of: Vec<_> = all.iter().collect();
    let yaml = "loadBalancer: { strategy: roundRobin }\ncircuitBreaker: { failureRateThreshold: 0 }\n\
                outlierDetection: { consecutiveFailures: 1 }\nretry: { backoff: 1ms }\n";
    let wharf = orders(&of, yaml).await;
    for _ in 0..50 {
        let answer = wharf.get("/orders/").await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (429, "429"));
    }
    assert_eq!(all.iter().map(Upstream::count).collect::<Vec<_>>(), [25, 25], "nobody is ejected, nothing sent twice");
    assert!(!wharf.log().iter().any(|line| line.contains("ejected for") || line.contains("circuit breaker")));
}

#[tokio::test]
async fn clients_that_send_slowly_open_no_breaker_and_eject_nobody() {
    let (a, b) = (Upstream::named("good").await, Upstream::named("good").await);
    for (timeouts, retry) in [
        ("request: 1s", ""),
        ("request: 1m, backendRequest: 1s", ""),
        ("backendRequest: 1s", "retry: { retryNonIdempotent: true }\n"),
    ] {
        let more = format!(
            "{retry}timeouts: {{ {timeouts} }}\noutlierDetection: {{ consecutiveFailures: 2 }}\n\
             loadBalancer: {{ strategy: roundRobin }}\n"
        );
        let wharf = Wharf::builder()
            .plugin("hostile")
            .service("hostile", &format!("timeouts: {{ {timeouts} }}"))
            .service("orders", &service(&[&a, &b], &more))
            .start()
            .await;
        // It reads all before it answers.
        for (slow, quick) in [("/orders/", "/orders/"), ("/hostile/read?ms=0", "/hostile/")] {
            let mut clients = Vec::new();
            for _ in 0..8 {
                let mut client = TcpStream::connect(wharf.address()).await.unwrap();
                let head = format!("POST {slow} HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nx");
                client.write_all(head.as_bytes()).await.unwrap();
                clients.push(client);
            }
            for mut client in clients {
                let mut status = [0; 13];
                client.read_exact(&mut status).await.expect("it is answered");
                assert_eq!(&status, b"HTTP/1.1 504 ", "{slow} {timeouts}");
            }
            wharf.get(quick).await.assert_status(200);
        }
        for number in 0..8 {
            wharf.get(&format!("/orders/{number}")).await.assert_status(200);
        }
        let log = wharf.log();
        assert!(!log.iter().any(|line| line.contains("circuit breaker") || line.contains("ejected for")), "{log:?}");
    }
    // Nobody pays for whoever has all of the request and does not answer: that is what breakers are for.
    a.script(|_| Reply::hang());
    let wharf = orders(&[&a], "timeouts: { request: 300ms }").await;
    for status in [504, 504, 504, 504, 504, 503] {
        assert_eq!(wharf.send("POST", "/orders/", "whole").await.status, status);
    }
}

/// Events as they come, until the stream ends; how many, and whether it ended in order.
fn listen(client: &Client, url: String) -> tokio::task::JoinHandle<(usize, bool)> {
    let client = client.clone();
    tokio::spawn(async move {
        let mut body = client.stream("GET", &url, "").await.into_body();
        let mut events = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    events += frame.data_ref().map_or(0, |data| data.windows(6).filter(|it| it == b"data: ").count())
                }
                Err(_) => return (events, false),
            }
        }
        (events, true)
    })
}

async fn echoes(socket: &mut TcpStream, text: &[u8]) {
    socket.write_all(text).await.expect("the tunnel stands");
    let mut back = vec![0; text.len()];
    let read = tokio::time::timeout(Duration::from_secs(10), socket.read_exact(&mut back)).await;
    read.expect("an echo comes").expect("the tunnel stands");
    assert_eq!(back, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_lose_no_request_no_stream_and_no_state() {
    const RELOADS: usize = 50;
    let good = Upstream::start(|seen| match &*seen.target {
        "/events" => Reply::events(1000, Duration::from_millis(60)),
        "/chat" => Reply::web_socket(),
        _ => Reply::text("good"),
    })
    .await;
    let broken = Upstream::start(|_| Reply::status(500)).await;
    let slow = Upstream::start(|_| Reply::hang()).await;
    let (busy, free) = (
        Upstream::start(|seen| if seen.target == "/hold" { Reply::hang() } else { Reply::text("busy") }).await,
        Upstream::named("free").await,
    );
    let breaker =
        "circuitBreaker: { consecutiveFailures: 2, waitDurationInOpenState: 1h, maxWaitDurationInOpenState: 1h }\n";
    let ejection = "circuitBreaker: { enabled: false }\nloadBalancer: { strategy: roundRobin }\n\
                    outlierDetection: { consecutiveFailures: 2, baseEjectionTime: 1h, maxEjectionTime: 1h }\n";
    let gateway = |round: usize| {
        format!(
            "defaults: {{ timeouts: {{ request: {}s, backendRequest: 0s }} }}\n\
             routes: [{{ name: r, rules: [{{ matches: [{{ path: {{ exact: /limited }} }}], \
             filters: [{{ rateLimit: {{ requests: 5, per: 1h }} }}, {{ rewrite: {{ path: / }} }}], \
             backendRefs: [{{ service: good }}] }}] }}]",
            100 + round
        )
    };
    let wharf = Wharf::builder()
        .gateway(&gateway(0))
        .plugin("hostile")
        .service("good", &service(&[&good], "bulkhead: { maxConcurrent: 100 }\n"))
        .service("broken", &service(&[&broken], breaker))
        .service("ejecting", &service(&[&good, &broken], ejection))
        .service("slow", &service(&[&slow], "bulkhead: { maxConcurrent: 1, maxPending: 0 }\n"))
        .service("pair", &service(&[&busy, &free], ""))
        .start()
        .await;
    let wharf = Arc::new(wharf);
    let hold = |path: &str| {
        let (client, url) = (wharf.client().clone(), wharf.url(path));
        tokio::spawn(async move { client.get(&url).await })
    };
    let ask = async |path: &str| wharf.get(path).await.status.as_u16();

    // State of every kind.
    for status in [500, 500, 503] {
        assert_eq!(ask("/broken/").await, status);
    }
    for _ in 0..10 {
        ask("/ejecting/").await;
    }
    for _ in 0..5 {
        assert_eq!(ask("/limited").await, 200);
    }
    let held = [hold("/slow/"), hold("/pair/hold")];
    eventually("both are there", async || (slow.count() == 1).then_some(())).await;
    while busy.count() == 0 {
        // It went to the other one, which answers at once.
        assert!(held[1].is_finished() || free.count() == 0);
        tokio::time::sleep(Duration::from_millis(10)).await;
        if held[1].is_finished() {
            break;
        }
    }
    let second_hold = (busy.count() == 0).then(|| (0..20).map(|_| hold("/pair/hold")).collect::<Vec<_>>());
    eventually("one is busy", async || (busy.count() > 0).then_some(())).await;
    let broken_before = broken.count();
    let as_before = async |when: &str| {
        assert_eq!(ask("/broken/").await, 503, "{when}: the breaker is open");
        for _ in 0..3 {
            assert_eq!(ask("/ejecting/").await, 200, "{when}: one is ejected");
        }
        assert_eq!(ask("/limited").await, 429, "{when}: what was used is not forgotten");
        assert_eq!(ask("/slow/").await, 503, "{when}: its place is taken");
        for _ in 0..3 {
            assert_eq!(wharf.get("/pair/").await.text(), "free", "{when}: the other one is busy");
        }
        assert_eq!(broken.count(), broken_before, "{when}");
    };
    as_before("before").await;

    let streams: Vec<_> = (0..10)
        .flat_map(|_| {
            ["/good/events", "/hostile/sse?count=1000&ms=60"].map(|path| listen(wharf.client(), wharf.url(path)))
        })
        .collect();
    let mut chats = Vec::new();
    for _ in 0..20 {
        let (head, mut chat) = wharf.web_socket("/good/chat").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        echoes(&mut chat, b"\x81\x85\x00\x00\x00\x00hello").await;
        chats.push(chat);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = (0..4)
        .map(|_| {
            let (wharf, stop) = (Arc::clone(&wharf), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut requests = 0;
                while !stop.load(Ordering::Acquire) {
                    wharf.get("/good/").await.assert_status(200);
                    wharf.get("/hostile/").await.assert_status(200);
                    requests += 2;
                }
                requests
            })
        })
        .collect();

    let began = Instant::now();
    for round in 1..=RELOADS {
        // Something changes for everybody, and each time an instance comes or goes.
        wharf.configure("gateway.yaml", &gateway(round));
        let with = if round % 2 == 0 { vec![&good] } else { vec![&good, &good] };
        wharf.configure("services/good.yaml", &service(&with, "bulkhead: { maxConcurrent: 100 }\n"));
        eventually("it is in force", async || {
            let found = wharf.admin_get("/api/instances?service=good").await.json();
            (found["instances"].as_array().unwrap().len() == with.len()).then_some(())
        })
        .await;
        for chat in &mut chats {
            echoes(chat, format!("round {round}").as_bytes()).await;
        }
        as_before(&format!("after {round} reloads")).await;
    }
    // A minute, with a machine that does many other things.
    assert!(began.elapsed() < Duration::from_secs(60), "{RELOADS} reloads took {:?}", began.elapsed());
    for round in 0..5 {
        wharf.configure("gateway.yaml", &format!("routes: [{{ nmae: {round} }}]"));
        eventually("the mistake is in the log", async || {
            (wharf.log().iter().filter(|line| line.contains("nmae")).count() > round).then_some(())
        })
        .await;
        as_before("after a mistake").await;
    }
    stop.store(true, Ordering::Release);
    for load in loads {
        assert!(load.await.expect("no request fails") > 20);
    }
    for stream in streams {
        if stream.is_finished() {
            let (events, whole) = stream.await.unwrap();
            assert!(whole && events == 1000, "{events}");
        } else {
            stream.abort();
        }
    }
    for held in held {
        held.abort();
    }
    second_hold.into_iter().flatten().for_each(|held| held.abort());
}

#[tokio::test]
async fn those_who_were_ejected_together_do_not_come_back_together() {
    let bad = Upstream::start(|_| Reply::status(500)).await;
    let urls: Vec<_> = (0..20).map(|_| bad.url()).collect();
    let yaml = format!(
        "{}circuitBreaker: {{ enabled: false }}\nloadBalancer: {{ strategy: roundRobin, panicThreshold: 0 }}\n\
         outlierDetection: {{ consecutiveFailures: 1, baseEjectionTime: 1000s, maxEjectionTime: 1h, \
         maxEjectionPercent: 100 }}\n",
        instances(&urls)
    );
    let wharf = Wharf::builder().service("orders", &yaml).start().await;
    for _ in 0..60 {
        wharf.get("/orders/").await.assert_status(500);
    }
    let ejections = wharf.log().into_iter().filter(|line| line.contains("ejected for"));
    let times: Vec<f64> = ejections
        .map(|line| line.split("ejected for ").nth(1).unwrap().split('s').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(times.len(), 19, "all but one");
    let (first, last) =
        times.iter().fold((f64::MAX, 0.0_f64), |(least, most), time| (least.min(*time), most.max(*time)));
    assert!(first >= 750.0 && last <= 1000.0, "{times:?}");
    assert!(last - first > 100.0, "they come back within {} of 1000 s", last - first);
}

#[tokio::test]
async fn a_check_that_flaps_does_not_churn_connections() {
    let flips = AtomicUsize::new(0);
    let upstream = Upstream::start(move |seen| {
        let number = if seen.is_check() { flips.fetch_add(1, Ordering::SeqCst) } else { 0 };
        Reply::status(if number % 2 == 0 { 200 } else { 500 })
    })
    .await;
    let check = "healthCheck: { path: /up, interval: 100ms, unhealthyThreshold: 1, healthyThreshold: 1 }\n\
                 loadBalancer: { panicThreshold: 100 }\n";
    let wharf = orders(&[&upstream], check).await;
    within(Duration::from_secs(20), "it is checked often", async || {
        // Ill or not, the only one there is answers.
        wharf.get("/orders/").await.assert_status(200);
        (upstream.checks() > 20).then_some(())
    })
    .await;
    assert!(upstream.connections() <= 4, "{} connections for {} checks", upstream.connections(), upstream.checks());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_fails_no_request_to_instances() {
    let upstream = Upstream::start(|seen| {
        Reply::text("good").after(Duration::from_millis(if seen.target == "/slow" { 1500 } else { 2 }))
    })
    .await;
    let mut wharf = orders(&[&upstream, &upstream], "").await;
    let load = Load::until_nobody_accepts(wharf.address(), "/orders/", 8);
    let (client, url) = (wharf.client().clone(), wharf.url("/orders/slow"));
    let slow = tokio::spawn(async move { client.get(&url).await });
    eventually("the slow one is there", async || {
        upstream.seen().iter().any(|seen| seen.target == "/slow").then_some(())
    })
    .await;
    load.expect_stop();
    wharf.signal(Signal::TERM);
    slow.await.unwrap().assert_status(200);
    load.all_answered().await;
    assert_eq!(wharf.ended().await.code(), Some(0));
    assert!(wharf.log().iter().any(|line| line.contains("\"cut\":0")));
    eventually("no connection is left", async || (upstream.open() == 0).then_some(())).await;
}

#[test]
fn a_clock_that_jumps_changes_no_decision() {
    // Nobody can turn this machine's clock in a test, so: who decides does not look at it.
    let mut files =
        vec![wharf_tests::root().join("host/src/policy"), wharf_tests::root().join("host/src/gateway/forward")];
    let mut looked = BTreeSet::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let code = std::fs::read_to_string(&path).unwrap();
        for word in ["SystemTime", "chrono", "OffsetDateTime", "UNIX_EPOCH"] {
            assert!(!code.contains(word), "{} asks the wall clock", path.display());
        }
        looked.insert(path);
    }
    assert!(looked.len() > 20, "the code lies elsewhere");
}

/// The time that 99 of 100 requests do not take longer than.
async fn p99(wharf: &Wharf, path: &str, requests: usize) -> Duration {
    let mut times = Vec::new();
    for _ in 0..requests {
        let began = Instant::now();
        wharf.get(path).await.assert_status(200);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[requests * 99 / 100 - 1]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_that_burn_cpu_and_memory_do_not_starve_others() {
    let upstream = Upstream::named("elsewhere").await;
    let wharf = Wharf::builder()
        .plugin("hostile")
        .plugin_as("hostile", "greedy")
        .plugin("versioned")
        .service(
            "hostile",
            "limits: { cpuTime: 1s }\nbulkhead: { maxConcurrent: 2 }\ncircuitBreaker: { enabled: false }",
        )
        .service(
            "greedy",
            "limits: { memory: 16MiB }\nbulkhead: { maxConcurrent: 2 }\ncircuitBreaker: { enabled: false }",
        )
        .service("orders", &service(&[&upstream], ""))
        .start()
        .await;
    let wharf = Arc::new(wharf);
    let mut before = Vec::new();
    for path in ["/versioned/", "/orders/"] {
        before.push(p99(&wharf, path, 200).await);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = ["/hostile/loop", "/hostile/loop", "/greedy/alloc", "/greedy/alloc"]
        .into_iter()
        .map(|path| {
            let (wharf, stop) = (Arc::clone(&wharf), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut failed = 0;
                while !stop.load(Ordering::Acquire) {
                    failed += usize::from(wharf.get(path).await.status.is_server_error());
                }
                failed
            })
        })
        .collect();
    for (path, before) in ["/versioned/", "/orders/"].into_iter().zip(before) {
        let beside = p99(&wharf, path, 200).await;
        println!("{path}: 99 of 100 within {before:?} alone, {beside:?} beside them");
        // Twice as long; and what a busy machine with two cores adds, which has nothing to do with the gateway.
        assert!(beside <= before * 2 + Duration::from_millis(100), "{path}: {before:?} alone, {beside:?} beside them");
        let began = Instant::now();
        wharf.admin_get("/readyz").await.assert_status(200);
        assert!(began.elapsed() < Duration::from_secs(1), "the admin listener took {:?}", began.elapsed());
    }
    stop.store(true, Ordering::Release);
    for load in loads {
        assert!(load.await.unwrap() > 0, "they did what they are here for");
    }
}
