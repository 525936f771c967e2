//! Filters through the real gateway: each does what its page says, in the fixed order, for gateway, service and rule.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use http_body_util::BodyExt;

use wharf_tests::{Answer, Wharf, eventually};

async fn wharf(gateway: &str) -> Wharf {
    Wharf::builder().plugin("hostile").gateway(gateway).start().await
}

/// A gateway with one rule for `/x`, whose prefix is taken off, with these filters.
fn rule(filters: &str) -> String {
    format!(
        "routes: [{{ name: r, rules: [{{ matches: [{{ path: {{ prefix: /x }} }}], filters: [{filters}], \
         backendRefs: [{{ service: hostile }}] }}] }}]"
    )
}

async fn ask(wharf: &Wharf, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    wharf.client().send(method, &wharf.url(path), headers, "").await
}

fn all(answer: &Answer, name: &str) -> Vec<String> {
    answer.headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn cors_answers_preflights_and_marks_every_answer_even_a_refusal() {
    let filters = "rewrite: { prefix: / } }, { cors: { allowOrigins: ['https://*.shop.test'], allowMethods: [GET, PUT], \
                   allowHeaders: [x-a], exposeHeaders: [x-b], allowCredentials: true, maxAge: 1h } }, \
                   { ipRules: { deny: [192.0.2.0/24] } }, { rateLimit: { requests: 1, per: 1h, key: { header: x-key } }";
    let wharf = wharf(&format!("trustedProxies: [127.0.0.1/32]\n{}", rule(&format!("{{ {filters} }}")))).await;
    let origin = ("origin", "https://a.shop.test");
    let asks = [origin, ("access-control-request-method", "PUT"), ("access-control-request-headers", "x-a")];
    let answer = ask(&wharf, "OPTIONS", "/x/request", &asks).await;
    answer.assert_status(204);
    assert_eq!(answer.header("access-control-allow-origin"), "https://a.shop.test");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-max-age"), "3600");
    assert!(answer.header("access-control-allow-methods").contains("PUT"));
    // The service's own never doubles the gateway's.
    let own = "/x/header?name=access-control-allow-origin&value=*";
    let answer = ask(&wharf, "GET", own, &[origin]).await;
    assert_eq!(all(&answer, "access-control-allow-origin"), ["https://a.shop.test"]);
    assert!(all(&answer, "vary").join(",").to_lowercase().contains("origin"));
    let stranger = ask(&wharf, "GET", own, &[("origin", "https://shop.test.evil")]).await;
    assert_eq!(stranger.headers.get("access-control-allow-origin"), None);
    // What the gateway refuses, a page can read too.
    let refused = ask(&wharf, "GET", "/x/request", &[origin, ("x-forwarded-for", "192.0.2.7")]).await;
    refused.assert_problem(403, "forbidden");
    assert_eq!(refused.header("access-control-allow-origin"), "https://a.shop.test");
    ask(&wharf, "GET", "/x/request", &[origin, ("x-key", "1")]).await.assert_status(200);
    let refused = ask(&wharf, "GET", "/x/request", &[origin, ("x-key", "1")]).await;
    refused.assert_problem(429, "rate_limited");
    assert_eq!(refused.header("access-control-allow-origin"), "https://a.shop.test");
}

#[tokio::test]
async fn headers_are_changed_on_both_ways() {
    let filters = "{ rewrite: { prefix: / } }, \
        { requestHeaders: { set: { x-set: new }, add: { x-add: two }, remove: [x-gone], setIfAbsent: { x-maybe: ours } } }, \
        { responseHeaders: { set: { x-frame-options: DENY }, add: { x-list: b }, remove: [x-secret] } }";
    let wharf = wharf(&rule(filters)).await;
    let sent = [("X-Set", "old"), ("x-add", "one"), ("x-gone", "1"), ("x-maybe", "theirs")];
    let seen = ask(&wharf, "GET", "/x/request", &sent).await;
    let text = seen.text();
    for line in ["x-set: new\n", "x-add: one,two\n", "x-maybe: theirs\n"] {
        assert!(text.replace(", ", ",").contains(line), "{line} in {text}");
    }
    assert!(!text.contains("x-gone"), "{text}");
    assert_eq!(seen.header("x-frame-options"), "DENY");
    assert!(ask(&wharf, "GET", "/x/request", &[]).await.text().contains("x-maybe: ours\n"));
    let answer = ask(&wharf, "GET", "/x/header?name=x-secret&value=1", &[]).await;
    assert_eq!(answer.headers.get("x-secret"), None);
    let answer = ask(&wharf, "GET", "/x/header?name=x-list&value=a", &[]).await;
    assert_eq!(all(&answer, "x-list").join(",").replace(' ', ""), "a,b");
    // Also on what the gateway says itself.
    let failed = ask(&wharf, "GET", "/x/trap", &[]).await;
    failed.assert_problem(502, "guest_trap");
    assert_eq!(failed.header("x-frame-options"), "DENY");
}

#[tokio::test]
async fn a_backend_has_filters_of_its_own() {
    let backends = "[{ service: hostile, filters: [{ requestHeaders: { set: { x-backend: one } } }, \
                    { responseHeaders: { set: { x-by: one } } }, { rewrite: { prefix: /request } }] }]";
    let wharf =
        wharf(&rule("{ requestHeaders: { set: { x-rule: r } } }").replace("[{ service: hostile }]", backends)).await;
    let seen = ask(&wharf, "GET", "/x", &[]).await;
    seen.assert_status(200);
    assert!(seen.text().contains("x-backend: one\n") && seen.text().contains("x-rule: r\n"), "{}", seen.text());
    assert_eq!(seen.header("x-by"), "one");
}

#[tokio::test]
async fn the_address_is_rewritten_whole_or_in_part_and_the_host_with_it() {
    let wharf = wharf(
        "routes: [{ name: r, rules: [\
         { matches: [{ path: { prefix: /p } }], filters: [{ rewrite: { prefix: /request, host: one.example } }], backendRefs: [{ service: hostile }] },\
         { matches: [{ path: { exact: /whole } }], filters: [{ rewrite: { path: /request } }], backendRefs: [{ service: hostile }] }] }]",
    )
    .await;
    let seen = ask(&wharf, "GET", "/p?a=b", &[]).await.text();
    assert!(seen.contains(r#"target Some("/request?a=b")"#), "{seen}");
    assert!(seen.contains(r#"authority Some("one.example")"#), "{seen}");
    assert!(seen.contains(&format!("x-forwarded-host: {}", wharf.address())), "{seen}");
    let seen = ask(&wharf, "GET", "/whole?a=b", &[]).await.text();
    assert!(seen.contains(r#"target Some("/request?a=b")"#), "{seen}");
}

#[tokio::test]
async fn redirects_and_static_responses_need_no_service() {
    let wharf = wharf(
        "routes: [{ name: r, rules: [\
         { matches: [{ path: { prefix: /old } }], filters: [{ redirect: { prefix: /new, status: 308 } }] },\
         { matches: [{ path: { prefix: /away } }], filters: [{ redirect: { scheme: https, host: b.example, port: 8443 } }] },\
         { matches: [{ path: { exact: /robots.txt } }], filters: [{ staticResponse: { status: 203, body: \"User-agent: *\\n\", \
           contentType: text/plain, headers: { x-a: b } } }, { cacheControl: { scope: public, maxAge: 1m, statuses: [203] } }] }] }]",
    )
    .await;
    let answer = ask(&wharf, "GET", "/old/page?q=1", &[]).await;
    answer.assert_status(308);
    assert_eq!(answer.header("location"), format!("http://{}/new/page?q=1", wharf.address()));
    let answer = ask(&wharf, "GET", "/away/x", &[]).await;
    answer.assert_status(302);
    assert_eq!(answer.header("location"), "https://b.example:8443/away/x");
    let answer = ask(&wharf, "GET", "/robots.txt", &[]).await;
    answer.assert_status(203);
    assert_eq!((answer.text().as_str(), answer.header("content-type")), ("User-agent: *\n", "text/plain"));
    assert_eq!((answer.header("x-a"), answer.header("cache-control")), ("b", "public, max-age=60"));
    let head = ask(&wharf, "HEAD", "/robots.txt", &[]).await;
    assert_eq!((head.body.len(), head.header("content-length")), (0, "14"));
}

#[tokio::test]
async fn responses_are_compressed_for_those_who_ask_and_streams_are_not_held_back() {
    let filters = "{ rewrite: { prefix: / } }, { compression: { minSize: 100B, types: [text/*] } }, \
                   { responseHeaders: { setIfAbsent: { content-type: text/plain } } }";
    let wharf = wharf(&rule(filters)).await;
    let plain = ask(&wharf, "GET", "/x/big?bytes=100000", &[]).await;
    assert_eq!((plain.body.len(), plain.headers.get("content-encoding")), (100_000, None));
    assert!(all(&plain, "vary").join(",").to_lowercase().contains("accept-encoding"));
    for coding in ["gzip", "br", "zstd"] {
        let answer = ask(&wharf, "GET", "/x/big?bytes=100000", &[("accept-encoding", coding)]).await;
        assert_eq!(answer.header("content-encoding"), coding);
        assert!(answer.body.len() < 1000, "{coding}: {}", answer.body.len());
        let small = ask(&wharf, "GET", "/x/big?bytes=50", &[("accept-encoding", coding)]).await;
        assert_eq!(small.headers.get("content-encoding"), None);
    }
    // A body that trickles arrives as it is written, compressed or not; events are never compressed.
    for (path, compressed) in [("/x/slow-body", true), ("/x/sse", false)] {
        let uri = wharf.url(&format!("{path}?n=3&ms=300"));
        let request = http::Request::get(uri).header("accept-encoding", "gzip").body(String::new()).unwrap();
        let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let began = std::time::Instant::now();
        let mut response = client.request(request).await.unwrap();
        assert_eq!(response.headers().contains_key("content-encoding"), compressed, "{path}");
        let first = response.body_mut().frame().await.unwrap().unwrap();
        assert!(first.data_ref().is_some_and(|data| !data.is_empty()));
        assert!(
            began.elapsed() < Duration::from_millis(600),
            "{path}: the first bytes came after {:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_body_limit_of_a_rule_is_tighter_than_the_services_and_checked_while_streaming() {
    let wharf = wharf(&rule("{ rewrite: { prefix: / } }, { bodyLimit: { max: 1KiB } }")).await;
    let send = async |bytes: usize| wharf.send("POST", "/x/echo", vec![b'x'; bytes]).await;
    send(1024).await.assert_status(200);
    send(1025).await.assert_problem(413, "payload_too_large");
    // Without an announced length.
    let chunk = format!("{:x}\r\n{}\r\n", 2000, "x".repeat(2000));
    let raw = format!(
        "POST /x/echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"
    );
    let answer = wharf.raw(&raw).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    // The automatic route has the service's limit.
    wharf.send("POST", "/hostile/echo", vec![b'x'; 5000]).await.assert_status(200);
}

#[tokio::test]
async fn the_gateways_filters_hold_for_automatic_routes_and_a_services_own_come_on_top() {
    let wharf = Wharf::builder()
        .plugin("hostile")
        .plugin_as("hostile", "other")
        .gateway("filters: [{ responseHeaders: { set: { x-all: yes } } }, { ipRules: { deny: [192.0.2.0/24] } }]\ntrustedProxies: [127.0.0.1/32]")
        .service("other", "filters: [{ responseHeaders: { set: { x-other: yes } } }, { ipRules: { deny: [198.51.100.0/24] } }]")
        .start()
        .await;
    let from = async |path: &str, ip: &str| ask(&wharf, "GET", path, &[("x-forwarded-for", ip)]).await;
    let answer = from("/hostile/", "203.0.113.1").await;
    assert_eq!((answer.header("x-all"), answer.headers.get("x-other")), ("yes", None));
    let answer = from("/other/", "203.0.113.1").await;
    assert_eq!((answer.header("x-all"), answer.header("x-other")), ("yes", "yes"));
    from("/hostile/", "198.51.100.1").await.assert_status(200);
    from("/other/", "198.51.100.1").await.assert_problem(403, "forbidden");
    from("/other/", "192.0.2.1").await.assert_problem(403, "forbidden");
    // Changed live.
    wharf.configure("services/other.yaml", "filters: [{ responseHeaders: { set: { x-other: changed } } }]");
    eventually("the new filters hold", async || {
        (from("/other/", "198.51.100.1").await.headers.get("x-other")? == "changed").then_some(())
    })
    .await;
}
