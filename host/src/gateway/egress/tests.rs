use http::Uri;

use super::*;
use crate::config::EgressRule;
use crate::gateway::upstream::tests::{Server, get, soon, text};

fn rules(rules: &[(&str, bool)]) -> EgressRules {
    let rules: Vec<EgressRule> = rules.iter().map(|(url, private)| EgressRule::parse(url, *private).unwrap()).collect();
    EgressRules::new(&rules)
}

fn check(rules: &EgressRules, uri: &str) -> Result<Origin, Denied> {
    rules.check(&uri.parse::<Uri>().map_err(|error| Denied::Invalid(error.to_string()))?)
}

#[test]
fn scheme_host_and_port_must_be_granted() {
    let rules = rules(&[
        ("https://api.example.com", false),
        ("https://*.example.org:8443", false),
        ("http://10.0.0.7:9000", true),
        ("http://[::1]", true),
    ]);
    for uri in [
        "https://api.example.com/",
        "https://API.Example.COM:443/a?b",
        "https://api.example.com./",
        "https://a.example.org:8443/",
        "https://a.b.example.org:8443/",
        "http://10.0.0.7:9000/",
        "http://[0:0:0:0:0:0:0:1]/",
    ] {
        assert!(check(&rules, uri).is_ok(), "{uri}");
    }
    for uri in [
        "http://api.example.com/",
        "https://api.example.com:444/",
        "https://example.com/",
        "https://api.example.com.evil.test/",
        "https://evilapi.example.com/",
        "https://example.org:8443/",
        "https://.example.org:8443/",
        "https://evilexample.org:8443/",
        "https://a.example.org/",
        "http://10.0.0.7/",
        "http://10.0.0.8:9000/",
        "https://api.example.com@evil.test/",
        "https://evil.test/?https://api.example.com",
        "/api.example.com",
        "ftp://api.example.com/",
    ] {
        assert!(check(&rules, uri).is_err(), "{uri}");
    }
    assert!(check(&EgressRules::default(), "https://api.example.com/").is_err(), "nothing is granted by default");
}

#[test]
fn an_address_has_one_spelling() {
    let rules = rules(&[("http://127.0.0.1", true)]);
    assert!(check(&rules, "http://127.0.0.1/").is_ok());
    for uri in [
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1.example/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::127.0.0.1]/",
        "http://localhost/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1%2f/",
    ] {
        assert!(check(&rules, uri).is_err(), "{uri}");
    }
}

fn request(url: &str) -> Request<crate::gateway::upstream::tests::TestBody> {
    let mut request = get("/");
    *request.uri_mut() = url.parse().unwrap();
    request
}

async fn ask(egress: &Egress, url: &str) -> Result<Response<UpstreamBody>, EgressError> {
    soon(egress.send(request(url), Patience::default(), None)).await
}

#[tokio::test]
async fn a_granted_host_is_asked_by_its_own_name() {
    let server = Server::start().await;
    let url = format!("http://127.0.0.1:{}", server.port());
    let egress = Egress::new(rules(&[(&url, true)]));
    let asked = tokio::spawn({
        let (egress, url) = (Arc::clone(&egress), format!("{url}/a?b"));
        async move { ask(&egress, &url).await }
    });
    let mut peer = server.accept().await;
    assert_eq!(peer.head().await, ["GET /a?b HTTP/1.1".to_owned(), format!("host: 127.0.0.1:{}", server.port())]);
    // A redirect is for the guest to judge.
    peer.send("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 2\r\n\r\nok").await;
    let response = asked.await.unwrap().unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(text(response.into_body()).await.unwrap(), "ok");
}

#[tokio::test]
async fn names_of_this_machine_are_asked_only_if_that_is_meant() {
    let server = Server::start().await;
    let url = format!("http://localhost:{}", server.port());
    let egress = Egress::new(rules(&[(&url, false)]));
    let error = ask(&egress, &url).await.unwrap_err();
    assert!(
        matches!(&error, EgressError::Denied(Denied::Address { host, .. }) if host.starts_with("localhost:")),
        "{error:?}"
    );
    egress.set_rules(rules(&[(&url, true)]));
    let asked = tokio::spawn(async move { ask(&egress, &url).await });
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(asked.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_without_allow_private() {
    for host in
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0"]
    {
        let url = format!("http://{host}:81");
        let error = ask(&Egress::new(rules(&[(&url, false)])), &url).await.unwrap_err();
        assert!(matches!(error, EgressError::Denied(Denied::Address { .. })), "{host}: {error:?}");
    }
}

#[tokio::test]
async fn a_service_has_so_many_requests_open_and_no_more() {
    let server = Server::start().await;
    let url = format!("http://127.0.0.1:{}", server.port());
    let egress = Egress::with(rules(&[(&url, true)]), Tls::default(), 1);
    let first = tokio::spawn({
        let (egress, url) = (Arc::clone(&egress), url.clone());
        async move { ask(&egress, &url).await }
    });
    let mut peer = server.accept().await;
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
    let response = first.await.unwrap().unwrap();
    let short = Patience { connect: Some(Duration::from_millis(20)), ..Patience::default() };
    let error = egress.send(request(&url), short, None).await.unwrap_err();
    assert_eq!(error, EgressError::TooMany, "the first is open until its body has ended");
    peer.send("ok").await;
    assert_eq!(text(response.into_body()).await.unwrap(), "ok");
    let second = tokio::spawn(async move { ask(&egress, &url).await });
    peer.head().await;
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(second.await.unwrap().unwrap().status(), 200, "and on the same connection");
}

#[tokio::test]
async fn a_guest_may_be_less_patient_than_the_host() {
    let server = Server::start().await;
    let url = format!("http://127.0.0.1:{}", server.port());
    let egress = Egress::new(rules(&[(&url, true)]));
    let short = Some(Duration::from_millis(50));
    let no_head = Patience { first_byte: short, ..Patience::default() };
    let error = soon(egress.send(request(&url), no_head, None)).await.unwrap_err();
    assert_eq!(error, EgressError::Upstream(UpstreamError::Timeout));
    let deadline = short.map(|short| Instant::now() + short);
    let error = soon(egress.send(request(&url), Patience::default(), deadline)).await.unwrap_err();
    assert_eq!(error, EgressError::Upstream(UpstreamError::Timeout));
}

#[tokio::test]
async fn services_do_not_share_connections() {
    let server = Server::start().await;
    let url = format!("http://127.0.0.1:{}", server.port());
    let mut peers = Vec::new();
    for _ in 0..2 {
        let egress = Egress::new(rules(&[(&url, true)]));
        let url = url.clone();
        let asked = tokio::spawn(async move { (ask(&egress, &url).await, egress) });
        let mut peer = server.accept().await;
        peer.head().await;
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        peers.push((peer, asked.await.unwrap()));
    }
    assert!(peers.iter().all(|(_, (answer, _))| answer.is_ok()));
}

#[test]
fn the_hosts_that_are_remembered_are_bounded() {
    let egress = Egress::new(rules(&[("https://*.example.org", false)]));
    let rules = egress.rules.load();
    for number in 0..2 * MAX_TARGETS {
        egress.target(check(&rules, &format!("https://h{number}.example.org/")).unwrap());
        assert!(egress.targets.lock().unwrap().len() <= MAX_TARGETS);
    }
}
