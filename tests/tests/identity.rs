//! Who a client is: tokens, keys and passwords through the real gateway, what services are told about it, and what the
//! client is told when it is not believed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use wharf_tests::{Answer, Wharf, binary, eventually, root, within};

/// An issuer with one key.
struct Issuer {
    key: KeyPair,
    kid: &'static str,
}

impl Issuer {
    fn new(kid: &'static str) -> Self {
        Self { key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), kid }
    }

    fn jwk(&self) -> Value {
        let point = self.key.public_key_raw();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.kid, "x": part(1..33), "y": part(33..65) })
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.key.serialize_der())).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({ "iss": "https://id.test", "aud": "shop", "sub": "ann", "exp": now() + 300, "scope": "orders:read", "roles": ["a", "b"] })
}

const AUTH: &str = "auth: { providers: [{ name: local, issuer: https://id.test, audiences: [shop], algorithms: [ES256], \
                    leeway: 0s, jwks: { file: keys.json } }] }\n";

fn with_token(token: &str) -> [(String, String); 1] {
    [("authorization".to_owned(), format!("Bearer {token}"))]
}

async fn ask(wharf: &Wharf, method: &str, path: &str, headers: &[(String, String)]) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    wharf.client().send(method, &wharf.url(path), &headers, "").await
}

/// A gateway that wants tokens of an issuer for everything, with further configuration.
async fn gateway(issuer: &Issuer, filters: &str, rest: &str) -> Wharf {
    let keys = json!({ "keys": [issuer.jwk()] }).to_string();
    let builder = Wharf::builder().plugin("hostile").plugin_as("hostile", "open");
    let path = builder.dir().join("keys.json");
    std::fs::write(&path, keys).unwrap();
    let auth = AUTH.replace("keys.json", path.to_str().unwrap());
    builder.gateway(&format!("{auth}filters: [{filters}]\n{rest}")).service("open", "public: true").start().await
}

#[tokio::test]
async fn a_good_token_is_needed_and_tells_the_service_who_comes() {
    let issuer = Issuer::new("k1");
    let wharf =
        gateway(&issuer, "{ jwt: { provider: local, claimsToHeaders: { sub: x-user, roles: x-roles } } }", "").await;
    let token = issuer.sign(&claims());
    let answer = ask(&wharf, "GET", "/hostile/request", &with_token(&token)).await;
    answer.assert_status(200);
    assert!(answer.text().contains("x-user: ann\n") && answer.text().contains("x-roles: a,b\n"), "{}", answer.text());
    // The token is the gateway's business, and nobody else can say who somebody is.
    assert!(!answer.text().contains("authorization"), "{}", answer.text());
    let mut forged = with_token(&token).to_vec();
    forged.push(("x-user".into(), "root".into()));
    let answer = ask(&wharf, "GET", "/hostile/request", &forged).await;
    assert!(!answer.text().contains("root"), "{}", answer.text());
    let found = async || wharf.access_log().into_iter().find(|line| line.contains(r#""subject":"ann""#));
    let line = eventually("the subject is in the access log", found).await;
    assert!(!line.contains(&token), "{line}");

    let refused = ask(&wharf, "GET", "/hostile/request", &[]).await;
    refused.assert_problem(401, "unauthorized");
    assert!(refused.header("www-authenticate").starts_with("Bearer"), "{:?}", refused.headers);
    assert!(!refused.header("www-authenticate").contains("invalid_token"));
    let with = |changes: Value| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        issuer.sign(&claims)
    };
    let stranger = Issuer::new("k1");
    let unsigned =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims().to_string()));
    for (what, token) in [
        ("expired", with(json!({ "exp": now() - 5 }))),
        ("not yet", with(json!({ "nbf": now() + 100 }))),
        ("for others", with(json!({ "aud": "bank" }))),
        ("by others", with(json!({ "iss": "https://evil.test" }))),
        ("signed by a stranger", stranger.sign(&claims())),
        ("not signed", unsigned),
        ("cut", token[..token.len() - 2].to_owned()),
        ("no token", "abc".to_owned()),
    ] {
        let refused = ask(&wharf, "GET", "/hostile/request", &with_token(&token)).await;
        refused.assert_problem(401, "unauthorized");
        assert!(
            refused.header("www-authenticate").contains(r#"error="invalid_token""#),
            "{what}: {:?}",
            refused.headers
        );
    }
    // Public services ask nobody, and preflights are never asked.
    ask(&wharf, "GET", "/open/request", &[]).await.assert_status(200);
}

#[tokio::test]
async fn a_rotated_key_is_taken_in_use_and_the_old_one_is_not_believed_any_more() {
    let (old, new) = (Issuer::new("old"), Issuer::new("new"));
    let wharf = gateway(&old, "{ jwt: { provider: local } }", "").await;
    ask(&wharf, "GET", "/hostile/", &with_token(&old.sign(&claims()))).await.assert_status(200);
    std::fs::write(wharf.dir().join("keys.json"), json!({ "keys": [new.jwk()] }).to_string()).unwrap();
    within(Duration::from_secs(20), "the new key is known", async || {
        (ask(&wharf, "GET", "/hostile/", &with_token(&new.sign(&claims()))).await.status == 200).then_some(())
    })
    .await;
    ask(&wharf, "GET", "/hostile/", &with_token(&old.sign(&claims()))).await.assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn rules_decide_what_an_identity_may_do() {
    let issuer = Issuer::new("k1");
    let rules = "{ jwt: { provider: local } }, { authorization: { rules: [\
        { allow: { methods: [GET], paths: [{ prefix: /hostile }], scopes: ['orders:read'] } },\
        { allow: { claims: { roles: [admin] } } }] } }";
    let wharf = gateway(&issuer, rules, "").await;
    let reader = with_token(&issuer.sign(&claims()));
    ask(&wharf, "GET", "/hostile/", &reader).await.assert_status(200);
    ask(&wharf, "POST", "/hostile/echo", &reader).await.assert_problem(403, "forbidden");
    let mut other = claims();
    other["scope"] = json!("other");
    ask(&wharf, "GET", "/hostile/", &with_token(&issuer.sign(&other))).await.assert_problem(403, "forbidden");
    other["roles"] = json!(["admin"]);
    ask(&wharf, "POST", "/hostile/echo", &with_token(&issuer.sign(&other))).await.assert_status(200);
    ask(&wharf, "GET", "/hostile/", &[]).await.assert_problem(401, "unauthorized");
}

/// What a command of `wharf` prints.
fn wharf_prints(arguments: &[&str], stdin: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(binary())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn keys_and_passwords_are_hashed_at_rest_and_one_of_them_is_enough() {
    let printed = wharf_prints(&["hash", "api-key", "till"], "");
    let line = printed.lines().find(|line| line.starts_with("till ")).unwrap_or_else(|| panic!("no line: {printed}"));
    let key = printed.split_whitespace().find(|word| word.starts_with("whk_")).unwrap();
    let password = wharf_prints(&["hash", "password", "ann"], "correct horse\n");
    let builder = Wharf::builder().plugin("hostile");
    let (keys, users) = (builder.dir().join("keys.txt"), builder.dir().join("users.txt"));
    std::fs::write(&keys, format!("# tills\n{line}\n")).unwrap();
    std::fs::write(&users, &password).unwrap();
    assert!(!std::fs::read_to_string(&keys).unwrap().contains(key) && !password.contains("correct"));
    let filters = format!(
        "filters: [{{ apiKey: {{ keys: {{ file: {} }}, subjectHeader: x-user }} }}, \
         {{ basicAuth: {{ users: {{ file: {} }}, realm: shop, subjectHeader: x-user }} }}]",
        keys.display(),
        users.display()
    );
    let wharf = builder.gateway(&filters).start().await;
    let basic = |text: &str| ("authorization".to_owned(), format!("Basic {}", STANDARD.encode(text)));
    let seen = ask(&wharf, "GET", "/hostile/request", &[("x-api-key".into(), key.to_owned())]).await;
    seen.assert_status(200);
    assert!(seen.text().contains("x-user: till\n") && !seen.text().contains(key), "{}", seen.text());
    let seen = ask(&wharf, "GET", "/hostile/request", &[basic("ann:correct horse")]).await;
    seen.assert_status(200);
    assert!(seen.text().contains("x-user: ann\n") && !seen.text().contains("authorization"), "{}", seen.text());
    for headers in
        [vec![], vec![basic("ann:wrong")], vec![basic("bob:correct horse")], vec![("x-api-key".into(), "x".repeat(30))]]
    {
        let refused = ask(&wharf, "GET", "/hostile/request", &headers).await;
        refused.assert_problem(401, "unauthorized");
        let challenges: Vec<_> =
            refused.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(challenges.iter().any(|challenge| challenge.starts_with("Basic realm=\"shop\"")), "{challenges:?}");
    }
    assert!(
        wharf
            .log()
            .iter()
            .chain(&wharf.access_log())
            .all(|line| !line.contains(key) && !line.contains("correct horse"))
    );
    // A key that is taken out of the file is not believed any more.
    std::fs::write(&keys, "# none\n").unwrap();
    eventually("the key is gone", async || {
        (ask(&wharf, "GET", "/hostile/", &[("x-api-key".into(), key.to_owned())]).await.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_one_rule_says_about_clients_cannot_be_said_by_clients_on_another() {
    let issuer = Issuer::new("k1");
    let routes = "routes: [{ name: r, rules: [\
        { matches: [{ path: { prefix: /in } }], filters: [{ jwt: { provider: local, claimsToHeaders: { sub: x-client } } }, \
          { rewrite: { prefix: / } }], backendRefs: [{ service: hostile }] },\
        { matches: [{ path: { prefix: /out } }], filters: [{ rewrite: { prefix: / } }], backendRefs: [{ service: hostile }] }] }]";
    let wharf = gateway(&issuer, "", routes).await;
    let seen = ask(&wharf, "GET", "/in/request", &with_token(&issuer.sign(&claims()))).await.text();
    assert!(seen.contains("x-client: ann\n"), "{seen}");
    for path in ["/out/request", "/hostile/request", "/open/request"] {
        let seen = ask(&wharf, "GET", path, &[("x-client".into(), "root".into())]).await.text();
        assert!(seen.contains("method") && !seen.contains("root"), "{path}: {seen}");
    }
}

/// A gateway whose service `users` (that of the shop) issues the tokens and shows the keys, at the gateway's own address.
async fn gateway_of_users() -> Wharf {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = std::fs::read_to_string(root().join("gateway-config/services/users.yaml")).unwrap();
    let gateway = format!(
        "listen: 127.0.0.1:{port}\nadmin: {{ listen: 127.0.0.1:0 }}\nplugins: {{ dir: plugins }}\n\
         state: {{ path: state }}\nauth:\n  providers:\n    - name: shop\n      issuer: wharf-shop\n      \
         audiences: [shop]\n      algorithms: [ES256]\n      fetchTimeout: 5s\n      \
         jwks: {{ url: 'http://127.0.0.1:{port}/api/users/.well-known/jwks.json' }}\n"
    );
    let builder = Wharf::builder().plugin("users").service("users", &settings).gateway(&gateway);
    builder.without_flags().start().await
}

#[tokio::test]
async fn keys_that_a_service_behind_the_gateway_shows_are_there_for_the_first_request() {
    let mut wharf = gateway_of_users().await;
    let send = async |wharf: &Wharf, path: &str, body: Value| {
        let headers = [("content-type", "application/json")];
        wharf.client().send("POST", &wharf.url(path), &headers, body.to_string()).await
    };
    let person =
        json!({ "username": "ann", "email": "ann@shop.test", "password": "correct horse battery", "name": "Ann" });
    let user = send(&wharf, "/api/users", person.clone()).await;
    user.assert_status(201);
    let login = send(&wharf, "/api/users/login", json!({ "username": "ann", "password": person["password"] })).await;
    let path = format!("/api/users/{}", user.json()["id"].as_str().unwrap());
    let token = login.json()["token"].as_str().unwrap().to_owned();
    // Nobody had to know keys for that. Here somebody has to, and it is the first request since the host is ready.
    ask(&wharf, "GET", &path, &with_token(&token)).await.assert_status(200);
    let quiet = |wharf: &Wharf| {
        let loud: Vec<String> = wharf.log().into_iter().filter(|line| line.contains(r#""level":"WARN""#)).collect();
        assert!(loud.is_empty(), "{loud:?}");
    };
    quiet(&wharf);
    for _ in 0..3 {
        let again = wharf.stop().await.start().await;
        ask(&again, "GET", &path, &with_token(&token)).await.assert_status(200);
        quiet(&again);
        wharf = again;
    }
}
