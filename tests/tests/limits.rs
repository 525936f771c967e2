//! Every limit of a service: changing it changes what happens.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use wharf_tests::{Wharf, eventually};

async fn hostile(yaml: &str) -> Wharf {
    Wharf::builder().plugin("hostile").service("hostile", yaml).start().await
}

#[tokio::test]
async fn memory() {
    let wharf = hostile("limits: { memory: 16MiB }").await;
    wharf.get("/hostile/alloc?mib=8").await.assert_status(200);
    wharf.get("/hostile/alloc?mib=24").await.assert_problem(502, "guest_out_of_memory");
    wharf.configure("services/hostile.yaml", "limits: { memory: 48MiB }");
    eventually("more memory is there", async || (wharf.get("/hostile/alloc?mib=24").await.status == 200).then_some(()))
        .await;
}

/// Work that takes some 300 ms of CPU.
const WORK: &str = "/hostile/work?millions=250";

#[tokio::test]
async fn cpu_time() {
    let wharf = hostile("limits: { cpuTime: 50ms }").await;
    wharf.get("/hostile/spin?ms=20").await.assert_status(200);
    wharf.get(WORK).await.assert_problem(504, "guest_deadline");
    wharf.configure("services/hostile.yaml", "limits: { cpuTime: 10s }");
    eventually("more time is there", async || (wharf.get(WORK).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn cpu_time_is_not_what_the_machine_spends_on_something_else() {
    let wharf = Arc::new(hostile("limits: { cpuTime: 3s }\ntimeouts: { request: 60s }").await);
    // What a busy machine does to the host all the time, once and for long: it does not get a core. Were that the
    // guest's time, it would be more than the guest has.
    let stopped = Duration::from_millis(3500);
    for round in 1.. {
        let (before, working) = (wharf.cpu_seconds(), Arc::clone(&wharf));
        let working = tokio::spawn(async move { working.get(WORK).await });
        while wharf.cpu_seconds() < before + 0.05 && !working.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        wharf.signal(Signal::STOP);
        let in_work = wharf.cpu_seconds();
        tokio::time::sleep(stopped).await;
        wharf.signal(Signal::CONT);
        working.await.unwrap().assert_status(200);
        // It was still at work when it was stopped, and not with its last instructions.
        if wharf.cpu_seconds() >= in_work + 0.05 {
            return;
        }
        assert!(round < 5, "the work was always done before the host was stopped");
    }
}

#[tokio::test]
async fn request_body_by_its_length_and_as_it_comes() {
    let wharf = hostile("limits: { requestBody: 100KiB }").await;
    let body = |kib: usize| vec![b'x'; kib << 10];
    let answer = wharf.send("POST", "/hostile/echo", body(100)).await;
    answer.assert_status(200);
    assert_eq!(answer.body.len(), 100 << 10);
    wharf.send("POST", "/hostile/echo", body(101)).await.assert_problem(413, "payload_too_large");
    let chunked = [("transfer-encoding", "chunked")];
    // Without a length: found out on the way, while the guest reads.
    let answer = wharf.client().send("POST", &wharf.url("/hostile/read?ms=0"), &chunked, body(300)).await;
    answer.assert_problem(413, "payload_too_large");
}

#[tokio::test]
async fn response_body_that_is_complete_at_once() {
    let wharf = hostile("limits: { responseBody: 10KiB }").await;
    wharf.get("/hostile/big?bytes=10240").await.assert_status(200);
    wharf.get("/hostile/big?bytes=10241").await.assert_problem(502, "guest_invalid_response");
}

#[tokio::test]
async fn resources() {
    let wharf = hostile("limits: { resources: 300 }").await;
    wharf.get("/hostile/resources?n=200").await.assert_status(200);
    wharf.get("/hostile/resources?n=400").await.assert_problem(502, "guest_trap");
    wharf.configure("services/hostile.yaml", "limits: { resources: 600 }");
    eventually("more resources are there", async || {
        (wharf.get("/hostile/resources?n=400").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_request_timeout_does_not_end_server_sent_events() {
    let wharf = hostile("timeouts: { request: 500ms }").await;
    let answer = wharf.get("/hostile/sse?count=10&ms=100").await;
    assert!(answer.text().ends_with("data: 9\n\n"), "{}", answer.text());
    let slow = wharf.url("/hostile/slow-body?count=10&ms=100");
    let cut = wharf.client().try_send("GET", &slow, &[], "").await;
    // On a busy machine the deadline may come before the head.
    let in_time = cut.as_ref().map_or(true, |answer| answer.status == 504);
    assert!(in_time, "another body is cut at the deadline, not {cut:?}");
    wharf.configure("services/hostile.yaml", "timeouts: { request: 0s }");
    eventually("no limit is in force", async || wharf.client().try_send("GET", &slow, &[], "").await.ok()).await;
}

#[tokio::test]
async fn the_bulkhead_has_places_and_a_waiting_room_with_a_clock() {
    let wharf = hostile("bulkhead: { maxConcurrent: 1, maxPending: 1, maxWait: 300ms }").await;
    let get = |path: &str| {
        let (client, url) = (wharf.client().clone(), wharf.url(path));
        tokio::spawn(async move { client.get(&url).await })
    };
    let first = get("/hostile/sleep?ms=1500");
    tokio::time::sleep(Duration::from_millis(150)).await;
    let waiting = get("/hostile/");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = std::time::Instant::now();
    let refused = wharf.get("/hostile/").await;
    refused.assert_problem(503, "bulkhead_full");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(began.elapsed() < Duration::from_millis(150), "refused at once: {:?}", began.elapsed());
    waiting.await.unwrap().assert_problem(503, "bulkhead_full");
    first.await.unwrap().assert_status(200);

    wharf.configure("services/hostile.yaml", "bulkhead: { maxConcurrent: 1, maxPending: 10, maxWait: 5s }");
    eventually("the waiting room is larger", async || {
        let all = futures_util::future::join_all((0..5).map(|_| wharf.get("/hostile/sleep?ms=20"))).await;
        all.iter().all(|answer| answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_fresh_slot_forgets_and_a_reused_one_remembers_until_it_has_served_its_time() {
    let wharf = hostile("slots: fresh").await;
    for _ in 0..3 {
        assert_eq!(wharf.get("/hostile/count").await.text(), "1");
    }
    wharf.configure("services/hostile.yaml", "slots: { reuse: { maxRequests: 3, idle: 30s } }");
    let mut counts = Vec::new();
    eventually("the slot is used again", async || {
        counts.push(wharf.get("/hostile/count").await.text());
        counts.ends_with(&["1".into(), "2".into(), "3".into(), "1".into()]).then_some(())
    })
    .await;
    wharf.configure("services/hostile.yaml", "slots: { reuse: { maxRequests: 1000, idle: 100ms } }");
    eventually("an idle slot is dropped", async || {
        wharf.get("/hostile/count").await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        (wharf.get("/hostile/count").await.text() == "1").then_some(())
    })
    .await;
    // A failure ends the slot: what it left behind is not used again.
    wharf.configure("services/hostile.yaml", "slots: { reuse: { maxRequests: 1000, idle: 30s } }");
    eventually("it remembers", async || (wharf.get("/hostile/count").await.text() == "3").then_some(())).await;
    wharf.get("/hostile/trap").await.assert_status(502);
    assert_eq!(wharf.get("/hostile/count").await.text(), "1");
}

#[tokio::test]
async fn reuse_is_the_way_of_0_3_and_fresh_is_possible() {
    let wharf = Wharf::builder().plugin("hostile3").start().await;
    assert_eq!(wharf.get("/hostile3/count").await.text(), "1");
    eventually("the slot is used again", async || (wharf.get("/hostile3/count").await.text() == "3").then_some(()))
        .await;
    wharf.configure("services/hostile3.yaml", "slots: fresh");
    eventually("each request has a slot of its own", async || {
        let counts = (wharf.get("/hostile3/count").await.text(), wharf.get("/hostile3/count").await.text());
        (counts == ("1".into(), "1".into())).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_full_pool_is_overload_and_no_failure() {
    let yaml = "{ engine: { maxSlots: 3 }, defaults: { bulkhead: { maxWait: 200ms } } }";
    let wharf = Wharf::builder().plugin("hostile").gateway(yaml).start().await;
    let answers = futures_util::future::join_all((0..8).map(|_| wharf.get("/hostile/sleep?ms=700"))).await;
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(served, 3, "as many as there are slots");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        refused.assert_problem(503, "bulkhead_full");
    }
    wharf.get("/hostile/").await.assert_status(200);
}

#[tokio::test]
async fn idle_slots_make_room_for_another_service() {
    let wharf = Wharf::builder()
        .plugin_as("hostile", "one")
        .plugin_as("hostile", "two")
        .gateway("{ engine: { maxSlots: 2 }, defaults: { slots: { reuse: {} } } }")
        .start()
        .await;
    let both = futures_util::future::join(wharf.get("/one/sleep?ms=100"), wharf.get("/one/sleep?ms=100")).await;
    both.0.assert_status(200);
    both.1.assert_status(200);
    wharf.get("/two/").await.assert_status(200);
}
