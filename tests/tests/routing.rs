//! What a request may say about itself and its sender, what it may not, and what is left of it at the service.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use wharf_tests::{Wharf, eventually, versioned};

const ONE: &str = "version-one--------00001";
const TWO: &str = "version-two--------00002";

/// The status code and the rest of a response as it came over the wire.
fn status(answer: &str) -> u16 {
    let line = answer.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("no response: {answer:?}"));
    line[..3].parse().unwrap()
}

/// A request whose bytes are written by hand; the connection ends after it.
fn request(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn what_a_rule_matched_is_what_the_service_gets() {
    let wharf = Wharf::builder().plugin("hostile").plugin_as("hostile", "other").start().await;
    // What comes after the prefix is the service's, in the one spelling of each path; queries are not touched.
    for (rest, seen) in [
        ("/request", "/request"),
        ("/request?x=%2e%2e/&y=a+b", "/request?x=%2e%2e/&y=a+b"),
        ("/request?", "/request?"),
        ("/request?a=1?b=2", "/request?a=1?b=2"),
        ("/x/../re%71uest", "/request"),
        ("//./request", "/request"),
    ] {
        let answer = wharf.raw(&request(&format!("/hostile{rest}"), "host: a.test\r\n")).await;
        assert!(answer.contains(&format!("target Some({seen:?})")), "{rest}: {answer}");
    }
    // The prefix itself has spellings, too.
    for path in ["/%68ostile/count", "//hostile/count", "/x/../hostile/count", "/other/%2e%2e/hostile/count"] {
        let answer = wharf.raw(&request(path, "host: a.test\r\n")).await;
        assert_eq!(status(&answer), 200, "{path}: {answer}");
    }
    let lines = eventually("all are logged", async || {
        let lines = wharf.access_log();
        (lines.len() == 10).then_some(lines)
    })
    .await;
    assert!(lines.iter().all(|line| line.contains(r#""service":"hostile""#)), "{lines:#?}");
    for path in ["/hostile%2fcount", "/hostile/..;/other/", "/hostile/x%00y", "/hostile;/count", "/hostile/%c0%ae"] {
        let answer = wharf.raw(&request(path, "host: a.test\r\n")).await;
        assert_eq!(status(&answer), 400, "{path}: {answer}");
        assert!(answer.contains("bad_request"), "{path}: {answer}");
    }
    let answer = wharf.raw(&request("/Hostile/", "host: a.test\r\n")).await;
    assert!(status(&answer) == 404 && answer.contains("no_route"), "{answer}");
}

#[tokio::test]
async fn what_requests_may_look_like_can_be_changed_while_they_come() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let get = async |path: &str, headers: &str| wharf.raw(&request(path, &format!("host: a.test\r\n{headers}"))).await;
    let long = format!("/hostile/request?{}", "a".repeat(9000));
    let odd = ["/hostile/request%2fx", "/hostile//request", "/hostile/request;x=1", &long];
    let statuses = async || {
        let mut all = Vec::new();
        for path in odd {
            let answer = get(path, "").await;
            all.push((
                status(&answer),
                answer.contains(&format!("target Some({:?})", path.trim_start_matches("/hostile"))),
            ));
        }
        let answer = get("/hostile/request", "x_a: 1\r\n").await;
        all.push((status(&answer), answer.contains("x_a: 1")));
        all
    };
    assert_eq!(statuses().await, [(400, false), (200, false), (400, false), (414, false), (400, false)]);
    let lax = "requests: { maxUri: 16KiB, encodedSlashes: forward, mergeSlashes: false, pathParameters: forward, underscoreHeaders: keep }";
    wharf.configure("gateway.yaml", lax);
    eventually("the new rules hold", async || (status(&get(&long, "").await) == 200).then_some(())).await;
    // Paths that the service does not know are its own 404.
    let found: Vec<_> = statuses().await.into_iter().map(|(status, _)| status).collect();
    assert_eq!(found, [404, 404, 404, 200, 200]);
    wharf.configure("gateway.yaml", "requests: { underscoreHeaders: drop }");
    eventually("underscores are dropped", async || {
        let answer = get("/hostile/request", "x_a: 1\r\n").await;
        (status(&answer) == 200 && !answer.contains("x_a")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    let route = "routes: [{ name: r, hostnames: [shop.test], rules: [{ matches: [{ path: { prefix: /shop } }], \
                 filters: [{ rewrite: { prefix: / } }], backendRefs: [{ service: hostile }] }] }]";
    let wharf = Wharf::builder().plugin("hostile").gateway(route).start().await;
    let ok = [
        request("/shop/request", "host: shop.test\r\n"),
        request("/shop/request", "Host: SHOP.test.:8080\r\n"),
        // The target's authority counts, whatever the header says.
        request("http://shop.test/shop/request", "host: shop.test\r\n"),
        request("http://shop.test:80/shop/request", "host: other.test\r\n"),
    ];
    for request in ok {
        let answer = wharf.raw(&request).await;
        assert_eq!(status(&answer), 200, "{request}: {answer}");
        let host = "x-forwarded-host: shop.test";
        assert!(answer.to_ascii_lowercase().contains(host), "{request}: {answer}");
        assert!(!answer.contains("other.test"), "{request}: {answer}");
    }
    for headers in
        ["", "host: shop.test\r\nhost: shop.test\r\n", "host: shop.test\r\nhost: other.test\r\n", "host:\r\n"]
    {
        let answer = wharf.raw(&request("/shop/request", headers)).await;
        assert_eq!(status(&answer), 400, "{headers:?}: {answer}");
    }
    for host in ["a b", "a/b", "user@shop.test", "shop.test#", "shop.test?x", "a\\b", "shop.test:port"] {
        let answer = wharf.raw(&request("/hostile/request", &format!("host: {host}\r\n"))).await;
        assert_eq!(status(&answer), 400, "{host}: {answer}");
        assert!(answer.contains(r#""reason":"bad_request""#), "{host}: {answer}");
    }
    // HTTP/1.0 cannot say what it means by another host, but must name one here.
    let answer = wharf.raw("GET /hostile/ HTTP/1.0\r\nhost: a.test\r\n\r\n").await;
    assert!(answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn nothing_can_be_smuggled_between_two_requests() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let hidden = "GET /hostile/count HTTP/1.1\r\nhost: a.test\r\n\r\n";
    let ambiguous = [
        // Two lengths; a length that is none; a coding nobody knows; a chunked body whose chunks are none.
        "content-length: 0\r\ncontent-length: 50\r\n",
        "content-length: +5\r\n",
        "content-length: 0x10\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding : chunked\r\n",
    ];
    for headers in ambiguous {
        let bytes = format!("POST /hostile/echo HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n{hidden}");
        let answer = wharf.raw(&bytes).await;
        assert_eq!(status(&answer), 400, "{headers:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{headers:?} hid a request: {answer}");
    }
    // With both, chunks count and the connection is not used again.
    let both = "POST /hostile/echo HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
    let answer = wharf.raw(&format!("{both}0\r\n\r\n{hidden}")).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    let lines = wharf.access_log();
    assert!(!lines.iter().any(|line| line.contains("/count")), "{lines:#?}");
    wharf.get("/hostile/").await.assert_status(200);
}

#[tokio::test]
async fn names_in_connection_do_not_make_us_forget_what_the_message_is() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let url = wharf.url("/hostile/request");
    let headers = [("connection", "content-length, host, x-a"), ("x-a", "1"), ("keep-alive", "5"), ("te", "trailers")];
    let text = wharf.client().send("POST", &url, &headers, "12345").await.text();
    assert!(text.contains("content-length: 5\n") && text.contains("te: trailers\n"), "{text}");
    assert!(text.contains(&format!("authority Some(\"{}\")", wharf.address())), "{text}");
    assert!(!text.contains("x-a") && !text.contains("keep-alive"), "{text}");
}

#[tokio::test]
async fn a_service_cannot_speak_for_the_connection_or_the_gateway() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    for name in ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-authenticate"] {
        let answer = wharf.get(&format!("/hostile/header?name={name}&value=close")).await;
        answer.assert_status(200);
        assert!(!answer.headers.contains_key(name) && answer.text().starts_with("refused"), "{name}: {answer:?}");
    }
    let answer = wharf.get("/hostile/header?name=x-request-id&value=forged").await;
    assert_ne!(answer.header("x-request-id"), "forged");
    assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
    assert_eq!(wharf.get("/hostile/header?name=x-own&value=kept").await.header("x-own"), "kept");
}

#[tokio::test]
async fn only_a_trusted_peer_can_name_the_client_and_the_request() {
    let seen = async |wharf: &Wharf, headers: &[(&str, &str)]| {
        let answer = wharf.client().send("GET", &wharf.url("/hostile/request"), headers, "").await;
        answer.assert_status(200);
        (answer.text(), answer.header("x-request-id").to_owned())
    };
    // (trusted proxies, sent, what the service sees)
    let cases = [
        // Trust is for the peer; naming other networks gives it to nobody else.
        ("[10.0.0.0/8]", "203.0.113.9", "127.0.0.1"),
        ("[127.0.0.1/32]", "203.0.113.9", "203.0.113.9, 127.0.0.1"),
        ("[127.0.0.1/32]", "1.1.1.1, 203.0.113.9", "203.0.113.9, 127.0.0.1"),
        ("[127.0.0.1/32, 203.0.113.0/24]", "1.1.1.1, 203.0.113.9", "1.1.1.1, 203.0.113.9, 127.0.0.1"),
        ("[127.0.0.1/32]", "unknown", "127.0.0.1"),
        ("[127.0.0.1/32]", "[2001:db8::7]:443", "2001:db8::7, 127.0.0.1"),
    ];
    let wharf = Wharf::builder().plugin("hostile").start().await;
    for (trusted, sent, expected) in cases {
        wharf.configure("gateway.yaml", &format!("trustedProxies: {trusted}"));
        eventually(&format!("{sent} with {trusted} is seen as {expected}"), async || {
            let (text, _) = seen(&wharf, &[("x-forwarded-for", sent)]).await;
            text.contains(&format!("\nx-forwarded-for: {expected}\n")).then_some(())
        })
        .await;
    }
    // Trusted from here on: what it says well is kept, the rest is replaced.
    let (text, id) =
        seen(&wharf, &[("x-request-id", "id-1"), ("x-forwarded-host", "shop.test"), ("x-forwarded-port", "443")]).await;
    assert_eq!(id, "id-1");
    for kept in ["x-request-id: id-1\n", "x-forwarded-host: shop.test\n", "x-forwarded-port: 443\n"] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    let long = "x".repeat(129);
    for bad in ["with space", "", &long] {
        let (text, id) = seen(&wharf, &[("x-request-id", bad)]).await;
        assert_eq!(id.len(), 36, "{bad:?} was taken over");
        assert_eq!(text.matches(&format!("x-request-id: {id}\n")).count(), 1, "{text}");
    }
    let (_, id) = seen(&wharf, &[("x-request-id", "one"), ("x-request-id", "two")]).await;
    assert_eq!(id.len(), 36, "of two ids none is the id");
    let strange = [("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a/b"), ("x-forwarded-port", "99999")];
    let (text, _) = seen(&wharf, &strange).await;
    assert!(!text.contains("gopher") && !text.contains("a/b") && !text.contains("99999"), "{text}");
}

#[tokio::test]
async fn nobody_else_says_which_prefix_was_taken_off() {
    let wharf = Wharf::builder().plugin("hostile").gateway("requests: { underscoreHeaders: keep }").start().await;
    let forged = [("x-forwarded-prefix", "/evil"), ("x_forwarded_prefix", "/evil"), ("x-forwarded-server", "evil")];
    let text = wharf.client().send("GET", &wharf.url("/hostile/request"), &forged, "").await.text();
    assert!(text.contains("x-forwarded-prefix: /hostile\n") && !text.contains("evil"), "{text}");
}

#[tokio::test]
async fn priority_cookies_addresses_and_expressions_choose_a_rule() {
    let routes = "
trustedProxies: [127.0.0.1/32]
routes:
  - name: r
    rules:
      - { matches: [{ path: { exact: /a } }], filters: [{ staticResponse: { status: 200, body: exact } }] }
      - { name: old, matches: [{ path: { regex: '/[a-z]' } }], filters: [{ staticResponse: { body: regex } }] }
      - { matches: [{ path: { prefix: /a }, cookies: { group: { regex: 'b.*' } } }], priority: 1, filters: [{ staticResponse: { body: cookie } }] }
      - { matches: [{ clientIps: [192.0.2.0/24] }], priority: 2, filters: [{ staticResponse: { body: address } }] }
      - { matches: [{ headers: { x-a: { present: true } }, queryParams: { q: { regex: '[0-9]+' } } }], priority: 3, filters: [{ staticResponse: { body: values } }] }
      - filters: [{ staticResponse: { body: rest } }]
";
    let wharf = Wharf::builder().plugin("hostile").gateway(routes).start().await;
    for (path, headers, expected) in [
        ("/a", vec![], "exact"),
        ("/b", vec![], "regex"),
        ("/bb", vec![], "rest"),
        ("/a", vec![("cookie", "x=y; group=beta")], "cookie"),
        ("/a", vec![("cookie", "group=alpha")], "exact"),
        ("/a", vec![("cookie", "group=beta"), ("x-forwarded-for", "192.0.2.7")], "address"),
        ("/a?q=12", vec![("x-a", ""), ("x-forwarded-for", "192.0.2.7")], "values"),
        ("/a?q=1x", vec![("x-a", "")], "exact"),
    ] {
        let answer = wharf.client().send("GET", &wharf.url(path), &headers, "").await;
        assert_eq!(answer.text(), expected, "{path} {headers:?}");
    }
}

#[tokio::test]
async fn the_most_specific_rule_wins_whatever_stands_first() {
    let routes = "
routes:
  - name: all
    rules:
      - backendRefs: [{ service: versioned, version: '1' }]
  - name: precise
    rules:
      - matches: [{ path: { prefix: /a } }]
        backendRefs: [{ service: versioned, version: '1' }]
      - matches: [{ path: { prefix: /a/b } }]
        backendRefs: [{ service: versioned, version: '2' }]
      - matches: [{ path: { exact: /a/b/c } }]
        backendRefs: [{ service: versioned, version: '1' }]
      - matches: [{ path: { prefix: /a/b }, method: DELETE }]
        backendRefs: [{ service: versioned, version: '1' }]
      - matches: [{ path: { prefix: /a }, headers: { x-group: testers } }]
        backendRefs: [{ service: versioned, version: '2' }]
";
    let wharf = Wharf::builder()
        .file("versioned@1", &versioned(ONE))
        .file("versioned@2", &versioned(TWO))
        .gateway(routes)
        .start()
        .await;
    let cases = [
        ("GET", "/", "", ONE),
        ("GET", "/a", "", ONE),
        ("GET", "/a/", "testers", TWO),
        ("GET", "/a/x", "others", ONE),
        ("GET", "/a/b", "", TWO),
        ("GET", "/a/b/x", "", TWO),
        ("GET", "/a/bx", "", ONE),
        ("GET", "/a/b/c", "", ONE),
        ("GET", "/a/b/c/", "", TWO),
        ("DELETE", "/a/b/x", "", ONE),
        // An automatic route is as long a prefix as it is.
        ("GET", "/versioned/", "", TWO),
    ];
    for (method, path, group, expected) in cases {
        let answer = wharf.client().send(method, &wharf.url(path), &[("x-group", group)], "").await;
        answer.assert_status(200);
        assert_eq!(answer.header("x-version"), expected, "{method} {path} {group}");
    }
    // The host is what HTTP/2 calls `:authority`.
    wharf.configure(
        "gateway.yaml",
        "routes: [{ name: h, hostnames: [localhost], rules: [{ backendRefs: [{ service: versioned }] }] }]",
    );
    eventually("no other host has the route", async || {
        (wharf.client().send_http2("GET", &wharf.url("/x"), &[], "").await.status == 404).then_some(())
    })
    .await;
    let url = format!("http://localhost:{}/x", wharf.address().port());
    wharf.client().send_http2("GET", &url, &[], "").await.assert_status(200);
}

#[tokio::test]
async fn a_version_that_is_not_there_is_not_another_one() {
    let route = "routes: [{ name: r, rules: [{ matches: [{ path: { prefix: /third } }], \
                 backendRefs: [{ service: versioned, version: '3' }] }] }]";
    let wharf = Wharf::builder().file("versioned@1", &versioned(ONE)).gateway(route).start().await;
    let answer = wharf.get("/third").await;
    answer.assert_problem(503, "no_instance");
    assert_eq!(answer.header("retry-after"), "1");
    wharf.install("versioned@3.wasm", &versioned(TWO));
    eventually("it came", async || (wharf.get("/third").await.header("x-version") == TWO).then_some(())).await;
}

#[tokio::test]
async fn a_rule_cannot_lengthen_the_timeout_of_a_service() {
    let routes = "routes: [{ name: long, rules: [{ matches: [{ path: { prefix: /long } }], \
                  filters: [{ rewrite: { prefix: / } }], timeouts: { request: 20s }, \
                  backendRefs: [{ service: hostile }] }] }]";
    let wharf = Wharf::builder()
        .plugin("hostile")
        .gateway(routes)
        .service("hostile", "timeouts: { request: 300ms }")
        .start()
        .await;
    let began = Instant::now();
    wharf.get("/long/hang").await.assert_problem(504, "request_timeout");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_try_of_a_service_may_take_so_long_for_its_head_and_its_body_longer() {
    let routes = "routes: [{ name: try, rules: [{ matches: [{ path: { prefix: /try } }], \
                  filters: [{ rewrite: { prefix: / } }], timeouts: { request: 10s, backendRequest: 400ms }, \
                  backendRefs: [{ service: hostile }] }] }]";
    let wharf = Wharf::builder().plugin("hostile").gateway(routes).start().await;
    let began = Instant::now();
    wharf.get("/try/hang").await.assert_problem(504, "request_timeout");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    wharf.get("/try/slow-body?count=3&ms=300").await.assert_status(200);
}

#[tokio::test]
async fn traces_go_on_through_the_gateway() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let seen = wharf.client().send("GET", &wharf.url("/hostile/request"), &[("traceparent", sent)], "").await.text();
    assert!(seen.contains("traceparent: 00-0af7651916cd43dd8448eb211c80319c-") && !seen.contains(sent), "{seen}");
    let found = async || wharf.access_log().into_iter().find(|line| line.contains("0af7651916cd43dd8448eb211c80319c"));
    let line = eventually("the trace is in the log", found).await;
    assert!(line.contains(r#""traceId":"0af7651916cd43dd8448eb211c80319c""#), "{line}");
    let seen =
        wharf.client().send("GET", &wharf.url("/hostile/request"), &[("traceparent", "00-bad")], "").await.text();
    assert!(seen.contains("traceparent: 00-") && !seen.contains("00-bad"), "{seen}");
}

#[tokio::test]
async fn the_log_tells_of_refused_requests_and_lets_nobody_write_their_own_lines() {
    let wharf = Wharf::builder().plugin("hostile").start().await;
    let target = "/nowhere/%22%7d?api_key=hunter2&%74oken=hunter3&note='},{x:1";
    let answer = wharf.raw(&request(target, "host: a.test\r\nuser-agent: \"}\u{e4}\t'; --\r\n")).await;
    assert_eq!(status(&answer), 404, "{answer}");
    let find = async |wharf: &Wharf, text: &str| {
        let line = async || wharf.access_log().into_iter().find(|line| line.contains(text));
        eventually(&format!("`{text}` is in the log"), line).await
    };
    let answer = wharf.raw(&request("/%0a%22%7d", "host: a.test\r\n")).await;
    assert_eq!(status(&answer), 400, "{answer}");
    let line = find(&wharf, "no_route").await;
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["status"], 404, "{line}");
    assert!(record["service"].is_null() && record["route"].is_null() && record["upstreamMs"].is_null(), "{line}");
    assert_eq!((&record["attempts"], &record["host"]), (&0.into(), &"a.test".into()), "{line}");
    assert!(!line.contains("hunter") && record["path"].as_str().unwrap().contains("api_key=REDACTED"), "{line}");

    wharf.configure("gateway.yaml", "accessLog: { format: text }");
    eventually("lines are text", async || {
        wharf.get("/hostile/").await;
        wharf.access_log().last().filter(|line| !line.starts_with('{')).map(|_| ())
    })
    .await;
    let answer = wharf.raw(&request("/hostile/x?password=hunter4&a=1", "host: b.test\r\n")).await;
    assert_eq!(status(&answer), 404, "{answer}");
    let line = find(&wharf, "password").await;
    assert!(!line.contains("hunter") && line.contains("password=REDACTED&a=1"), "{line}");
    assert!(line.contains("404") && line.contains("hostile"), "{line}");
}
