//! Routing and what the gateway does to a request, through the real binary.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use http::HeaderName;
use wharf_tests::{Answer, Wharf, eventually, versioned};

const ONE: &str = "version-one--------00001";
const TWO: &str = "version-two--------00002";

/// What a guest saw of a request with these headers.
async fn seen(wharf: &Wharf, path: &str, headers: &[(&str, &str)]) -> String {
    let answer = wharf.client().send("GET", &wharf.url(path), headers, "").await;
    answer.assert_status(200);
    answer.text()
}

#[tokio::test]
async fn a_component_answers_under_its_name() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let answer = wharf.get("/hostile/").await;
    answer.assert_status(200);
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.header("content-length"), "2", "a body that is complete at once leaves with its length");
    wharf.get("/hostile").await.assert_status(200);
    wharf.get("/hostilex").await.assert_problem(404, "no_route");
    wharf.get("/").await.assert_problem(404, "no_route");
    let text = seen(&wharf, "/hostile/request?a=1&b=%2F", &[]).await;
    assert!(text.contains(r#"target Some("/request?a=1&b=%2F")"#), "{text}");
    assert!(text.contains("x-forwarded-prefix: /hostile\n"), "{text}");
}

#[tokio::test]
async fn expose_moves_the_automatic_route_or_takes_it_away() {
    let wharf = Wharf::builder().plugin("hostile").service("hostile", "expose: /deep/down").start().await;
    wharf.get("/deep/down/").await.assert_status(200);
    wharf.get("/hostile/").await.assert_problem(404, "no_route");
    wharf.configure("services/hostile.yaml", "expose: false");
    eventually("the route is gone", async || (wharf.get("/deep/down/").await.status == 404).then_some(())).await;
}

#[tokio::test]
async fn configured_routes_match_by_host_path_method_header_and_query() {
    let routes = "
routes:
  - name: shop
    hostnames: [shop.test, '*.shop.test']
    rules:
      - matches: [{ path: { exact: /one }, method: GET }]
        backendRefs: [{ service: versioned, version: '1' }]
      - matches:
          - { path: { prefix: /two } }
          - { headers: { x-version: two } }
          - { queryParams: { version: two } }
        backendRefs: [{ service: versioned, version: '2' }]
      - matches: [{ path: { prefix: /old } }]
        filters: [{ rewrite: { prefix: /request } }]
        backendRefs: [{ service: hostile }]
      - matches: [{ path: { exact: /none } }]
        backendRefs: [{ service: nobody }]
";
    let wharf = Wharf::builder()
        .plugin("hostile")
        .file("versioned@1", &versioned(ONE))
        .file("versioned@2", &versioned(TWO))
        .gateway(routes)
        .start()
        .await;
    let ask = async |method: &str, host: &str, path: &str, headers: &[(&str, &str)]| -> Answer {
        let headers: Vec<_> = headers.iter().copied().chain([("host", host)]).collect();
        wharf.client().send(method, &wharf.url(path), &headers, "").await
    };
    assert_eq!(ask("GET", "shop.test", "/one", &[]).await.header("x-version"), ONE);
    assert_eq!(ask("GET", "a.b.SHOP.test:8080", "/one", &[]).await.header("x-version"), ONE);
    ask("POST", "shop.test", "/one", &[]).await.assert_problem(404, "no_route");
    ask("GET", "other.test", "/one", &[]).await.assert_problem(404, "no_route");
    for (path, headers) in [("/two/x", [].as_slice()), ("/x", &[("X-Version", "two")]), ("/x?version=two", &[])] {
        assert_eq!(ask("GET", "shop.test", path, headers).await.header("x-version"), TWO, "{path}");
    }
    ask("GET", "shop.test", "/twofold", &[]).await.assert_problem(404, "no_route");
    let rewritten = ask("GET", "shop.test", "/old?q=1", &[]).await.text();
    assert!(rewritten.contains(r#"target Some("/request?q=1")"#), "{rewritten}");
    ask("GET", "shop.test", "/none", &[]).await.assert_problem(500, "no_instance");
    // A service of labelled files only has a default: the last label.
    assert_eq!(wharf.get("/versioned/").await.header("x-version"), TWO);
}

#[tokio::test]
async fn backends_that_cannot_answer_are_500_if_there_are_none_and_503_if_they_are_down() {
    let route = |backends: &str| {
        format!(
            "routes: [{{ name: r, rules: [{{ matches: [{{ path: {{ exact: /r }} }}], \
             filters: [{{ rewrite: {{ path: / }} }}]{backends} }}] }}]"
        )
    };
    let rule = |backends: &str| route(&format!(", backendRefs: [{backends}]"));
    // Left out, or an empty list: no configuration at all, so that nobody meets it.
    for nobody in [route(""), rule("")] {
        let said = Wharf::builder().gateway(&nobody).refused().await;
        assert!(said.contains("gateway.yaml:1:") && said.contains("backendRefs"), "{said}");
    }
    let down = "instances: [{ name: a, url: 'http://127.0.0.1:1' }]\nloadBalancer: { panicThreshold: 0 }\n\
                healthCheck: { path: /up, interval: 100ms, unhealthyThreshold: 1 }\n";
    let wharf = Wharf::builder()
        .plugin("hostile")
        .service("down", down)
        .file("broken", b"no component")
        .gateway(&rule("{ service: nobody }"))
        .start()
        .await;
    wharf.get("/r").await.assert_problem(500, "no_instance");
    for (backends, reason) in [("{ service: down }", "no_instance"), ("{ service: broken }", "no_instance")] {
        wharf.configure("gateway.yaml", &rule(backends));
        eventually("it is known and down", async || {
            let answer = wharf.get("/r").await;
            (answer.status == 503).then(|| answer.assert_problem(503, reason).clone())
        })
        .await;
    }
    // A version that nobody has is one that is not there now.
    wharf.configure("gateway.yaml", &rule("{ service: hostile, version: '9' }, { service: hostile, weight: 0 }"));
    eventually("it is in force", async || (wharf.get("/r").await.status == 503).then_some(())).await;

    let count = async || {
        let mut bad = 0;
        for _ in 0..400 {
            let answer = wharf.get("/r").await;
            match answer.status.as_u16() {
                200 => {}
                _ => {
                    answer.assert_problem(500, "no_instance");
                    bad += 1;
                }
            }
        }
        bad
    };
    for (weights, share) in [((1, 1), 0.5_f64), ((1, 9), 0.9)] {
        let (good, bad) = weights;
        wharf.configure(
            "gateway.yaml",
            &rule(&format!("{{ service: hostile, weight: {good} }}, {{ service: nobody, weight: {bad} }}")),
        );
        eventually("the good one answers", async || (wharf.get("/r").await.status == 200).then_some(())).await;
        if share > 0.5 {
            // The weights before have the same answers; these are in force when so many are bad.
            eventually("the weights are in force", async || (count().await > 300).then_some(())).await;
        }
        let bad = f64::from(count().await);
        // Five standard deviations of a binomial.
        let around = 5.0 * (400.0 * share * (1.0 - share)).sqrt();
        assert!((bad - 400.0 * share).abs() <= around, "{bad} of 400, {share} have no backend");
    }
}

#[tokio::test]
async fn weights_share_the_traffic_and_zero_gets_none() {
    let route = |one: u32, two: u32| {
        format!(
            "routes: [{{ name: split, rules: [{{ matches: [{{ path: {{ exact: /split }} }}], backendRefs: [\
             {{ service: versioned, version: '1', weight: {one} }}, {{ service: versioned, version: '2', weight: {two} }}] }}] }}]"
        )
    };
    let wharf = Wharf::builder()
        .file("versioned@1", &versioned(ONE))
        .file("versioned@2", &versioned(TWO))
        .gateway(&route(80, 20))
        .start()
        .await;
    let share = async || {
        let mut ones = 0;
        for _ in 0..400 {
            let answer = wharf.get("/split").await;
            answer.assert_status(200);
            ones += u32::from(answer.header("x-version") == ONE);
        }
        ones
    };
    let ones = share().await;
    // Five standard deviations of a binomial with n = 400 and p = 0.8.
    assert!((280..=360).contains(&ones), "{ones} of 400");
    wharf.configure("gateway.yaml", &route(0, 1));
    eventually("only the second gets requests", async || (share().await == 0).then_some(())).await;
}

#[tokio::test]
async fn a_rule_shortens_the_timeout() {
    let routes = "routes: [{ name: quick, rules: [{ matches: [{ path: { prefix: /quick } }], \
                  filters: [{ rewrite: { prefix: / } }], timeouts: { request: 200ms }, backendRefs: [{ service: hostile }] }] }]";
    let wharf = Wharf::builder().plugin("hostile").gateway(routes).start().await;
    wharf.get("/quick/sleep?ms=1000").await.assert_problem(504, "request_timeout");
    wharf.get("/hostile/sleep?ms=300").await.assert_status(200);
}

#[tokio::test]
async fn headers_of_the_hop_end_at_the_gateway_and_ours_cannot_be_forged() {
    let wharf = Wharf::builder().plugin("hostile").gateway("requests: { underscoreHeaders: keep }").start().await;
    let sent = [
        ("connection", "x-secret, x-forwarded-for"),
        ("x-secret", "1"),
        ("proxy-authorization", "Basic eDp5"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "for=6.6.6.6"),
        ("x-request-id", "forged"),
        ("x-kept", "yes"),
    ];
    let text = seen(&wharf, "/hostile/request", &sent).await;
    assert!(text.contains("x-kept: yes\n") && text.contains("x-forwarded-for: 127.0.0.1\n"), "{text}");
    for gone in ["6.6.6.6", "forged", "x-secret", "proxy-authorization", "connection"] {
        assert!(!text.contains(gone), "{gone} is still there: {text}");
    }
    assert!(text.contains(&format!("x-forwarded-host: {}\n", wharf.address())), "{text}");
    assert!(text.contains("x-forwarded-proto: http\n"), "{text}");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let wharf = Wharf::builder().plugin("hostile").gateway("trustedProxies: [127.0.0.0/8, 10.0.0.0/8]").start().await;
    let sent = [
        ("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", "id-7"),
    ];
    let text = seen(&wharf, "/hostile/request", &sent).await;
    assert!(text.contains("x-forwarded-for: 203.0.113.9, 10.1.1.1, 127.0.0.1\n"), "{text}");
    assert!(text.contains("x-forwarded-proto: https\n") && text.contains("x-request-id: id-7\n"), "{text}");
    eventually("the log has the client", async || {
        wharf
            .access_log()
            .into_iter()
            .find(|line| line.contains(r#""clientIp":"203.0.113.9""#) && line.contains("id-7"))
    })
    .await;
}

#[tokio::test]
async fn what_is_no_request_for_a_service_is_refused() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let answer = wharf.raw("GET /hostile/ HTTP/1.1\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(r#""reason":"bad_request""#), "{answer}");
    let answer = wharf.raw("CONNECT a.test:80 HTTP/1.1\r\nhost: a.test:80\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 501 "), "{answer}");
    let answer =
        wharf.raw("GET /hostile/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\nupgrade: websocket\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "an upgrade is not for guests, the request is: {answer}");
}

#[tokio::test]
async fn a_service_that_only_has_a_broken_file_is_not_available() {
    let wharf = Wharf::builder().file("broken", b"\0asm\x0d\0\x01\0").start().await;
    let answer = wharf.get("/broken/").await;
    answer.assert_problem(503, "no_instance");
    assert_eq!(answer.headers[HeaderName::from_static("retry-after")], "1");
}

#[tokio::test]
async fn the_access_log_has_everything_but_secrets_and_can_be_turned_off() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let url = wharf.url("/hostile/echo?access_token=hunter2&q=1");
    let headers = [("user-agent", "tests\u{7f}/1"), ("authorization", "Bearer hunter3")];
    // A control character in a header is refused by the client; a printable one is enough here.
    let headers = [("user-agent", "tests/1"), headers[1]];
    wharf.client().send("POST", &url, &headers, "12345").await.assert_status(200);
    let line =
        eventually("the line is there", async || wharf.access_log().into_iter().find(|line| line.contains("POST")))
            .await;
    assert!(!line.contains("hunter"), "{line}");
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    let expected = serde_json::json!({
        "method": "POST", "status": 200, "bytesIn": 5, "bytesOut": 5, "service": "hostile", "route": "auto:hostile",
        "version": "0.1.0", "attempts": 1, "userAgent": "tests/1", "clientIp": "127.0.0.1", "protocol": "HTTP/1.1",
        "reason": null, "host": wharf.address().to_string(),
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&record[field], value, "{field} in {line}");
    }
    assert!(record["durationMs"].as_f64().unwrap() > 0.0 && record["upstreamMs"].as_f64().unwrap() > 0.0, "{line}");

    wharf.configure("gateway.yaml", "accessLog: { format: text }");
    eventually("lines are text", async || {
        wharf.get("/hostile/").await;
        wharf.access_log().into_iter().find(|line| line.contains("GET") && !line.starts_with('{'))
    })
    .await;
    wharf.configure("gateway.yaml", "accessLog: { enabled: false }");
    eventually("no more lines come", async || {
        let before = wharf.access_log().len();
        wharf.get("/hostile/").await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        (wharf.access_log().len() == before).then_some(())
    })
    .await;
}
