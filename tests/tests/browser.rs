//! CORS as a real browser enforces it: pages of several origins, in a headless Chromium, call the gateway.
//!
//! A small server hands out one page, under as many origins as there are names for it. The page runs the requests that
//! a test asks for, one after the other, and sends home what it could read. Whether a request reached the service is in
//! the gateway's access log, so "the browser kept the answer from the page" and "the browser did not even ask" are
//! two things here. Without Chromium nothing runs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wharf_tests::{Program, Wharf, eventually, have};

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const LIMIT: Duration = Duration::from_secs(60);

/// Runs `CASES` in order and sends home what the page could see of each.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>CORS</title><pre id="out"></pre><script>
(async () => {
  const seen = {};
  for (const { name, url, init } of CASES) {
    try {
      const response = await fetch(url, init);
      const headers = Object.fromEntries(response.headers);
      seen[name] = { status: response.status, headers, body: await response.text() };
    } catch (error) {
      seen[name] = { blocked: String(error) };
    }
  }
  document.getElementById('out').textContent = JSON.stringify(seen);
  await fetch('/seen', { method: 'POST', body: JSON.stringify(seen) });
})();
</script>"#;

/// The server of the page.
struct Site {
    port: u16,
    cases: Arc<Mutex<Value>>,
    seen: mpsc::Receiver<Value>,
}

/// What a page was able to read, by the name of the case.
struct Seen(Value);

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cases = Arc::new(Mutex::new(json!([])));
        let (sender, seen) = mpsc::channel(16);
        let shown = Arc::clone(&cases);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (shown, sender) = (Arc::clone(&shown), sender.clone());
                let service = service_fn(move |request| answer(request, Arc::clone(&shown), sender.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { port, cases, seen }
    }

    /// The origin of the page under this name.
    fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.port)
    }

    /// Shows the page to the browser and waits for what it has seen.
    async fn show(&mut self, browser: &Program, host: &str, cases: Value) -> Seen {
        *self.cases.lock().unwrap() = cases;
        let profile = tempfile::tempdir().unwrap();
        let running = browser.start([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            &format!("--user-data-dir={}", profile.path().display()),
            &format!("{}/", self.origin(host)),
        ]);
        let Ok(seen) = tokio::time::timeout(LIMIT, self.seen.recv()).await else {
            let outcome = running.stop().await;
            panic!("the page sends nothing home in {LIMIT:?}:\n{}\n{}", outcome.stdout, outcome.stderr);
        };
        running.stop().await;
        Seen(seen.expect("the server is there"))
    }
}

async fn answer(
    request: Request<Incoming>,
    cases: Arc<Mutex<Value>>,
    seen: mpsc::Sender<Value>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let response = Response::builder();
    let response = match request.uri().path() {
        "/" => {
            let page = PAGE.replace("CASES", &cases.lock().unwrap().to_string());
            // Cookies know no ports: the gateway, if it has the same host, gets it too.
            response.header("content-type", "text/html").header("set-cookie", "session=abc; Path=/").body(page.into())
        }
        "/seen" => {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            seen.send(serde_json::from_slice(&body).unwrap()).await.unwrap();
            response.status(204).body(Full::default())
        }
        _ => response.status(404).body(Full::default()),
    };
    Ok(response.unwrap())
}

impl Seen {
    fn case(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or_else(|| panic!("no case `{name}` in {:#}", self.0))
    }

    /// Fails unless the page could read an answer with this status.
    fn readable(&self, name: &str, status: u16) -> &Value {
        let case = self.case(name);
        assert_eq!(case["status"], status, "{name}: {case:#}");
        case
    }

    /// Fails unless the browser kept the answer from the page.
    fn blocked(&self, name: &str) {
        let case = self.case(name);
        assert!(case["blocked"].as_str().is_some_and(|why| why.contains("Failed to fetch")), "{name}: {case:#}");
    }
}

/// A rule for `/<name>`, which is taken off, with these filters.
fn rule(name: &str, filters: &str) -> String {
    format!(
        "{{ matches: [{{ path: {{ prefix: /{name} }} }}], filters: [{{ rewrite: {{ prefix: / }} }}, {filters}], \
         backendRefs: [{{ service: hostile }}] }}"
    )
}

fn cors(fields: &str) -> String {
    format!("{{ cors: {{ {fields} }} }}")
}

async fn gateway(rules: &[String]) -> Wharf {
    let yaml = format!("routes: [{{ name: pages, rules: [{}] }}]", rules.join(", "));
    Wharf::builder().plugin("hostile").gateway(&yaml).start().await
}

fn case(wharf: &Wharf, name: &str, path: &str, init: Value) -> Value {
    json!({ "name": name, "url": wharf.url(path), "init": init })
}

/// Requests that reached the gateway, as `METHOD path status`, when so many pages have made their last one.
async fn requests(wharf: &Wharf, pages: usize) -> Vec<String> {
    eventually("the last request is in the access log", async || {
        let requests: Vec<_> = wharf
            .access_log()
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|line| {
                let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
                let path = text("path");
                let path = path.split('?').next().unwrap_or_default();
                format!("{} {path} {}", text("method"), line["status"])
            })
            .collect();
        (count(&requests, "GET /end/ 200") == pages).then_some(requests)
    })
    .await
}

fn count(requests: &[String], wanted: &str) -> usize {
    requests.iter().filter(|request| *request == wanted).count()
}

#[tokio::test]
async fn pages_of_allowed_origins_read_answers_and_others_do_not() {
    let Some(browser) = have(&BROWSERS, 9) else { return };
    let mut site = Site::start().await;
    let us = site.origin("127.0.0.1");
    let shared = format!("allowOrigins: ['{us}', 'http://*.localhost:{}']", site.port);
    let wharf = gateway(&[
        rule("named", &cors(&format!("allowOrigins: ['{us}']"))),
        rule("shared", &cors(&shared)),
        rule("all", &cors("allowOrigins: ['*']")),
        rule("silent", "{ responseHeaders: { set: { x-a: b } } }"),
        rule("end", &cors("allowOrigins: ['*']")),
    ])
    .await;
    // What the service says itself would make two of them, which no browser takes.
    let own = "/header?name=access-control-allow-origin&value=*";
    let cases = json!([
        case(&wharf, "named", "/named/request", json!({})),
        case(&wharf, "own", &format!("/named{own}"), json!({})),
        case(&wharf, "shared", "/shared/request", json!({})),
        case(&wharf, "all", "/all/request", json!({})),
        case(&wharf, "silent", "/silent/request", json!({})),
        case(&wharf, "end", "/end/", json!({})),
    ]);
    let seen = site.show(&browser, "127.0.0.1", cases.clone()).await;
    let text = seen.readable("named", 200)["body"].as_str().unwrap();
    assert!(text.contains(&format!("origin: {us}\n")), "{text}");
    assert!(!text.contains("cookie:"), "nothing was said about credentials: {text}");
    seen.readable("own", 200);
    seen.readable("shared", 200);
    seen.readable("all", 200);
    seen.blocked("silent");
    // A simple request is sent all the same; only the answer is withheld.
    let log = requests(&wharf, 1).await;
    assert_eq!(count(&log, "GET /silent/request 200"), 1, "{log:?}");
    assert!(log.iter().all(|request| !request.starts_with("OPTIONS")), "{log:?}");

    let seen = site.show(&browser, "shop.localhost", cases).await;
    seen.blocked("named");
    seen.readable("shared", 200);
    seen.readable("all", 200);
    let log = requests(&wharf, 2).await;
    assert_eq!(count(&log, "GET /named/request 200"), 2, "{log:?}");
}

#[tokio::test]
async fn preflights_decide_what_a_page_may_send_and_are_remembered() {
    let Some(browser) = have(&BROWSERS, 10) else { return };
    let mut site = Site::start().await;
    let origin = format!("allowOrigins: ['{}']", site.origin("127.0.0.1"));
    let allowed = format!("{origin}, allowMethods: [GET, PUT], allowHeaders: [x-custom]");
    let wharf = gateway(&[
        rule("kept", &cors(&format!("{allowed}, maxAge: 1h"))),
        rule("asked", &cors(&format!("{allowed}, maxAge: 0s"))),
        rule("any", &cors("allowOrigins: ['*'], allowMethods: ['*'], allowHeaders: ['*']")),
        rule("none", &cors(&origin)),
        rule("end", &cors("allowOrigins: ['*']")),
    ])
    .await;
    let put = json!({ "method": "PUT", "body": "hello", "headers": { "x-custom": "1" } });
    let other = json!({ "method": "PUT", "body": "hello", "headers": { "x-other": "1" } });
    let delete = json!({ "method": "DELETE" });
    let cases = json!([
        case(&wharf, "first", "/kept/echo", put.clone()),
        case(&wharf, "second", "/kept/echo", put.clone()),
        case(&wharf, "header", "/kept/request", other.clone()),
        case(&wharf, "method", "/kept/request", delete.clone()),
        case(&wharf, "asked", "/asked/echo", put.clone()),
        case(&wharf, "asked again", "/asked/echo", put.clone()),
        case(&wharf, "any header", "/any/echo", other),
        case(&wharf, "any method", "/any/request", delete),
        case(&wharf, "none", "/none/echo", put),
        case(&wharf, "end", "/end/", json!({})),
    ]);
    let seen = site.show(&browser, "127.0.0.1", cases).await;
    for name in ["first", "second", "asked", "asked again", "any header"] {
        assert_eq!(seen.readable(name, 200)["body"], "hello", "{name}");
    }
    seen.readable("any method", 200);
    for name in ["header", "method", "none"] {
        seen.blocked(name);
    }
    let log = requests(&wharf, 1).await;
    for (request, times) in [
        ("OPTIONS /kept/echo 204", 1),
        ("PUT /kept/echo 200", 2),
        ("OPTIONS /kept/request 204", 2),
        ("OPTIONS /asked/echo 204", 2),
        ("OPTIONS /none/echo 204", 1),
    ] {
        assert_eq!(count(&log, request), times, "{request} in {log:?}");
    }
    // What a preflight refuses is never sent.
    for request in ["PUT /kept/request", "DELETE /kept/request", "PUT /none/echo"] {
        assert!(!log.iter().any(|line| line.starts_with(request)), "{request} in {log:?}");
    }
}

#[tokio::test]
async fn cookies_are_for_pages_that_may_have_credentials() {
    let Some(browser) = have(&BROWSERS, 6) else { return };
    let mut site = Site::start().await;
    let us = format!("allowOrigins: ['{}']", site.origin("127.0.0.1"));
    let echoed = "allowOrigins: ['*'], allowCredentials: true, allowMethods: ['*'], allowHeaders: ['*']";
    let wharf = gateway(&[
        rule("trusted", &cors(&format!("{us}, allowCredentials: true"))),
        rule("named", &cors(&us)),
        rule("all", &cors("allowOrigins: ['*']")),
        rule("echoed", &cors(echoed)),
    ])
    .await;
    let with = json!({ "credentials": "include" });
    let put = json!({ "credentials": "include", "method": "PUT", "headers": { "x-custom": "1" } });
    let cases = json!([
        case(&wharf, "trusted", "/trusted/request", with.clone()),
        case(&wharf, "without", "/trusted/request", json!({ "credentials": "omit" })),
        case(&wharf, "named", "/named/request", with.clone()),
        case(&wharf, "all", "/all/request", with.clone()),
        case(&wharf, "echoed", "/echoed/request", with),
        case(&wharf, "echoed put", "/echoed/request", put),
    ]);
    let seen = site.show(&browser, "127.0.0.1", cases).await;
    let cookie = "cookie: session=abc\n";
    let body = |name: &str| seen.readable(name, 200)["body"].as_str().unwrap().to_owned();
    assert!(body("trusted").contains(cookie), "{}", body("trusted"));
    assert!(!body("without").contains("cookie:"), "{}", body("without"));
    seen.blocked("named");
    seen.blocked("all");
    assert!(body("echoed").contains(cookie), "{}", body("echoed"));
    assert!(body("echoed put").contains(cookie), "{}", body("echoed put"));
}

#[tokio::test]
async fn pages_read_exposed_headers_and_why_the_gateway_refused_them() {
    let Some(browser) = have(&BROWSERS, 8) else { return };
    let mut site = Site::start().await;
    let us = format!("allowOrigins: ['{}']", site.origin("127.0.0.1"));
    let keys = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(keys.path(), "# nobody\n").unwrap();
    let locked = format!(
        "{}, {{ apiKey: {{ keys: {{ file: {} }} }} }}",
        cors(&format!("{us}, allowHeaders: [x-api-key], exposeHeaders: [www-authenticate]")),
        keys.path().display()
    );
    let limited = format!(
        "{}, {{ rateLimit: {{ requests: 1, per: 1h }} }}",
        cors(&format!("{us}, exposeHeaders: [retry-after, ratelimit]"))
    );
    let wharf = gateway(&[
        rule("shown", &cors(&format!("{us}, exposeHeaders: [x-shown]"))),
        rule("all", &cors("allowOrigins: ['*'], exposeHeaders: ['*']")),
        rule("locked", &locked),
        rule("limited", &limited),
    ])
    .await;
    let key = json!({ "headers": { "x-api-key": "wrong" } });
    let cases = json!([
        case(&wharf, "shown", "/shown/header?name=x-shown&value=1", json!({})),
        case(&wharf, "hidden", "/shown/header?name=x-hidden&value=1", json!({})),
        case(&wharf, "any", "/all/header?name=x-hidden&value=1", json!({})),
        case(&wharf, "no key", "/locked/", json!({})),
        case(&wharf, "wrong key", "/locked/", key),
        case(&wharf, "within", "/limited/", json!({})),
        case(&wharf, "over", "/limited/", json!({})),
        case(&wharf, "trap", "/shown/trap", json!({})),
    ]);
    let seen = site.show(&browser, "127.0.0.1", cases).await;
    assert_eq!(seen.readable("shown", 200)["headers"]["x-shown"], "1");
    assert_eq!(seen.readable("hidden", 200)["headers"].get("x-hidden"), None);
    assert_eq!(seen.readable("any", 200)["headers"]["x-hidden"], "1");
    seen.readable("within", 200);
    for (name, status, reason, header) in [
        ("no key", 401, "unauthorized", "www-authenticate"),
        // Its preflight carries no key, and is answered.
        ("wrong key", 401, "unauthorized", "www-authenticate"),
        ("over", 429, "rate_limited", "retry-after"),
        ("trap", 502, "guest_trap", "content-type"),
    ] {
        let case = seen.readable(name, status);
        let problem: Value = serde_json::from_str(case["body"].as_str().unwrap()).unwrap();
        assert_eq!(problem["reason"], reason, "{name}: {problem}");
        assert!(case["headers"][header].is_string(), "{name}: {case:#}");
    }
}
