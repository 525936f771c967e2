//! Rate limits through the real gateway: who is counted, what is said, and what a reload keeps.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use wharf_tests::{Answer, Wharf, eventually};

const TRUSTED: &str = "trustedProxies: [127.0.0.1/32]\n";

async fn gateway(limit: &str) -> Wharf {
    Wharf::builder()
        .plugin("hostile")
        .gateway(&format!("{TRUSTED}filters: [{{ rateLimit: {{ {limit} }} }}]"))
        .start()
        .await
}

async fn from(wharf: &Wharf, ip: &str) -> Answer {
    wharf.client().send("GET", &wharf.url("/hostile/"), &[("x-forwarded-for", ip)], "").await
}

#[tokio::test]
async fn an_address_gets_so_many_and_is_told_how_many_are_left() {
    let wharf = gateway("requests: 3, per: 1h, name: shop").await;
    let first = from(&wharf, "192.0.2.1").await;
    assert_eq!(first.header("ratelimit-policy"), r#""shop";q=3;w=3600"#);
    assert!(first.header("ratelimit").starts_with(r#""shop";r=2;t="#), "{:?}", first.headers);
    for _ in 0..2 {
        from(&wharf, "192.0.2.1").await.assert_status(200);
    }
    let refused = from(&wharf, "192.0.2.1").await;
    refused.assert_problem(429, "rate_limited");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=1200).contains(&seconds), "{seconds}");
    assert!(refused.header("ratelimit").starts_with(r#""shop";r=0;t="#));
    from(&wharf, "192.0.2.2").await.assert_status(200);
    // One customer has a whole /64 of version 6.
    for host in 1..=3 {
        from(&wharf, &format!("2001:db8::{host}")).await.assert_status(200);
    }
    from(&wharf, "2001:db8::ffff:4").await.assert_problem(429, "rate_limited");
    from(&wharf, "2001:db8:0:1::1").await.assert_status(200);
}

#[tokio::test]
async fn an_address_cannot_be_made_up() {
    let wharf =
        Wharf::builder().plugin("hostile").gateway("filters: [{ rateLimit: { requests: 2, per: 1h } }]").start().await;
    from(&wharf, "192.0.2.1").await.assert_status(200);
    from(&wharf, "192.0.2.2").await.assert_status(200);
    from(&wharf, "192.0.2.3").await.assert_problem(429, "rate_limited");
}

#[tokio::test]
async fn a_header_or_the_service_can_be_what_is_counted() {
    let wharf = gateway("requests: 1, per: 1h, key: { header: x-tenant }, headers: xRateLimit").await;
    let tenant =
        async |name: &str| wharf.client().send("GET", &wharf.url("/hostile/"), &[("x-tenant", name)], "").await;
    let first = tenant("a").await;
    assert_eq!((first.header("x-ratelimit-limit"), first.header("x-ratelimit-remaining")), ("1", "0"));
    tenant("a").await.assert_problem(429, "rate_limited");
    tenant("b").await.assert_status(200);

    let wharf = Wharf::builder()
        .plugin("hostile")
        .plugin_as("hostile", "other")
        .gateway("filters: [{ rateLimit: { requests: 1, per: 1h, key: service, headers: none } }]")
        .start()
        .await;
    let first = wharf.get("/hostile/").await;
    first.assert_status(200);
    assert_eq!(first.headers.get("ratelimit"), None);
    wharf.get("/hostile/").await.assert_problem(429, "rate_limited");
    wharf.get("/other/").await.assert_status(200);
}

#[tokio::test]
async fn a_limit_can_be_tried_without_refusing_anybody() {
    let wharf = gateway("requests: 1, per: 1h, mode: observe").await;
    for _ in 0..3 {
        from(&wharf, "192.0.2.1").await.assert_status(200);
    }
    wharf.logged("would have been").await;
}

#[tokio::test]
async fn what_was_used_is_not_forgotten_when_the_configuration_changes() {
    let wharf = gateway("requests: 2, per: 1h").await;
    for _ in 0..2 {
        from(&wharf, "192.0.2.1").await.assert_status(200);
    }
    wharf.configure("gateway.yaml", &format!("{TRUSTED}filters: [{{ rateLimit: {{ requests: 2, per: 1h }} }}, {{ responseHeaders: {{ set: {{ x-new: yes }} }} }}]"));
    eventually("the new configuration holds", async || {
        from(&wharf, "192.0.2.9").await.headers.contains_key("x-new").then_some(())
    })
    .await;
    from(&wharf, "192.0.2.1").await.assert_problem(429, "rate_limited");
}
