use super::*;

pub(super) fn admin(ready: bool) -> Admin {
    let rollouts = Arc::new(rollouts::tests::Fake::default());
    Admin::new(Arc::default(), rollouts, Metrics::default(), tokio_watch::channel(ready).1, CancellationToken::new())
}

async fn ask(admin: &Admin, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Answer> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    admin.answer(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()).await
}

pub(super) async fn get(admin: &Admin, path: &str, host: &str) -> StatusCode {
    ask(admin, Method::GET, path, &[("host", host)], "").await.status()
}

const HERE: (&str, &str) = ("host", "localhost");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn readiness_follows_start_and_drain() {
    assert_eq!(get(&admin(false), "/readyz", "localhost").await, 503);
    let admin = admin(true);
    assert_eq!(get(&admin, "/readyz", "127.0.0.1:9090").await, 200);
    admin.draining.cancel();
    assert_eq!(get(&admin, "/readyz", "127.0.0.1:9090").await, 503);
    assert_eq!(get(&admin, "/livez", "[::1]:9090").await, 200);
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let admin = admin(true);
    let openmetrics = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5";
    for (accept, content_type, end) in [
        (openmetrics, "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF\n"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", ""),
    ] {
        let response = ask(&admin, Method::GET, "/metrics", &[HERE, ("accept", accept)], "").await;
        assert_eq!(response.status(), 200, "{accept}");
        assert_eq!(response.headers()["content-type"], content_type);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), end, "{accept}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_loopback_is_refused() {
    for host in ["evil.example", "evil.example:9090", "127.0.0.1.evil.example", "10.0.0.1", ""] {
        assert_eq!(get(&admin(true), "/api/services", host).await, 403, "{host}");
    }
}

#[tokio::test]
async fn only_methods_with_a_meaning_are_there() {
    let admin = admin(true);
    for (method, path, allowed) in [
        (Method::POST, "/livez", "GET, HEAD"),
        (Method::POST, "/metrics", "GET, HEAD"),
        (Method::DELETE, "/api/services", "GET, HEAD, POST"),
        (Method::POST, "/api/watch", "GET, HEAD"),
        (Method::PUT, "/api/services/a/instances/b", "GET, HEAD, DELETE"),
        (Method::POST, "/api/services/a/instances/b/heartbeat", "PUT"),
    ] {
        let response = ask(&admin, method, path, &[HERE, JSON], "{}").await;
        assert_eq!(response.status(), 405, "{path}");
        assert_eq!(response.headers()["allow"], allowed, "{path}");
    }
    for path in ["/nothing", "/", "/api", "/api/services/a/b", "/api/services/"] {
        assert_eq!(get(&admin, path, "localhost").await, 404, "{path}");
    }
}

#[tokio::test]
async fn web_pages_of_other_places_are_refused() {
    let admin = admin(true);
    let body = r#"{ "service": "orders", "url": "http://127.0.0.1:9001" }"#;
    for origin in ["https://evil.example", "null", "http://localhost.evil.example", "http://10.0.0.1", "localhost"] {
        let response = ask(&admin, Method::POST, "/api/services", &[HERE, JSON, ("origin", origin)], body).await;
        assert_eq!(response.status(), 403, "{origin}");
    }
    for origin in ["http://localhost:9090", "http://127.0.0.1", "http://[::1]:3000"] {
        let response = ask(&admin, Method::POST, "/api/services", &[HERE, JSON, ("origin", origin)], body).await;
        assert!(response.status().is_success(), "{origin}");
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let headers = [HERE, ("content-type", content_type)];
        assert_eq!(ask(&admin, Method::POST, "/api/services", &headers, body).await.status(), 415, "{content_type}");
        let path = "/api/services/orders/instances/x/heartbeat";
        assert_eq!(ask(&admin, Method::PUT, path, &headers, "").await.status(), 415, "{content_type}");
    }
}

#[tokio::test]
async fn bodies_are_bounded_in_size_and_time() {
    let admin = admin(true);
    let large = format!(r#"{{ "service": "{}" }}"#, "x".repeat(64 << 10));
    let response = ask(&admin, Method::POST, "/api/services", &[HERE, JSON], &large).await;
    assert_eq!(response.status(), 413);
    assert_eq!(response.headers()["connection"], "close");
    tokio::time::pause();
    let request = Request::post("/api/services").header(HERE.0, HERE.1).header(JSON.0, JSON.1);
    let never = StreamBody::new(futures_util::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>());
    let response = admin.answer(request.body(never).unwrap()).await;
    assert_eq!(response.status(), 408);
}

#[tokio::test(start_paused = true)]
async fn a_watch_begins_with_a_snapshot_pings_and_ends_with_the_host() {
    let admin = admin(true);
    let response = ask(&admin, Method::GET, "/api/watch?service=orders", &[HERE], "").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = body.frame().await.map(|frame| frame.unwrap().into_data().unwrap());
        frame.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    };
    assert_eq!(next().await.unwrap(), "event: snapshot\nid: 0\ndata: {\"missed\":0,\"services\":[]}\n\n");
    for service in ["users", "orders"] {
        let body = format!(r#"{{ "service": "{service}", "url": "http://127.0.0.1:9001", "id": "{service}-1" }}"#);
        assert_eq!(ask(&admin, Method::POST, "/api/services", &[HERE, JSON], &body).await.status(), 201);
    }
    let event = next().await.unwrap();
    assert!(event.starts_with("event: instance.registered\nid: 2\ndata: {") && event.contains("orders-1"), "{event}");
    assert_eq!(next().await.unwrap(), ": ping\n\n");
    admin.draining.cancel();
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn watchers_are_bounded_and_give_their_place_back() {
    let admin = admin(true);
    let mut open = Vec::new();
    for _ in 0..MAX_WATCHERS {
        let response = ask(&admin, Method::GET, "/api/watch", &[HERE], "").await;
        assert_eq!(response.status(), 200);
        open.push(response);
    }
    let refused = ask(&admin, Method::GET, "/api/watch", &[HERE], "").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    open.pop();
    assert_eq!(get(&admin, "/api/watch", "localhost").await, 200);
}
