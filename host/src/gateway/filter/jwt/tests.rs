//! Where a token stands, what is left of the request, and what the service gets.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::super::told::Told;
use super::*;
use crate::config::{Auth, Filter, JwksSource, ProviderNames, SecretRef, TokenPlace};
use crate::gateway::identity::fuzz;

/// A provider with a shared secret, and its filter.
struct Fixture {
    providers: Providers,
    config: config::Jwt,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut config::Jwt)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, [fuzz::SECRET, b"\n"].concat()).unwrap();
        let provider = config::JwtProvider { jwks: JwksSource::Secret(SecretRef::File(path)), ..fuzz::provider() };
        let providers = Providers::new();
        providers.apply(&Auth { providers: vec![provider] });
        let mut config = config::Jwt {
            provider: ProviderNames(vec!["idp".to_owned()]),
            from: TokenPlace::default(),
            claims_to_headers: BTreeMap::new(),
            forward: false,
            optional: false,
        };
        change(&mut config);
        Self { providers, config, _dir: dir }
    }

    async fn run(&self, request: http::request::Builder) -> (Result<Option<Identity>, Unauthorized>, Parts) {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let filter = Jwt::new(&self.config, &self.providers).unwrap();
        let result = filter.authenticate(&parts, UNIX_EPOCH + Duration::from_secs(fuzz::NOW)).await;
        if let Ok(identity) = &result {
            filter.strip(&mut parts);
            Told::of_filters(&[Filter::Jwt(self.config.clone())]).strip(&mut parts.headers);
            if let Some(identity) = identity {
                filter.tell(&mut parts, identity);
            }
        }
        (result, parts)
    }
}

fn token(more: &Value) -> String {
    let mut claims = json!({ "iss": "idp", "aud": "orders", "sub": "ada", "exp": fuzz::NOW + 600 });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let signed = format!("eyJhbGciOiJIUzI1NiJ9.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = EncodingKey::from_secret(fuzz::SECRET);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{signed}.{signature}")
}

fn get(target: &str) -> http::request::Builder {
    Request::get(target)
}

#[tokio::test]
async fn the_header_authorization_needs_the_word_bearer_and_one_token() {
    let fixture = Fixture::new(|_| {});
    let token = token(&json!({}));
    for value in
        [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER   {token}"), format!("Bearer\t{token}")]
    {
        let (result, parts) = fixture.run(get("/").header("authorization", &value)).await;
        assert_eq!(result.unwrap().unwrap().subject, "ada", "{value}");
        assert!(parts.headers.is_empty(), "the service does not see it");
    }
    for value in [format!("Basic {token}"), token.clone(), format!("Bearer{token}"), "Bear".to_owned()] {
        let (result, parts) = fixture.run(get("/").header("authorization", &value)).await;
        assert_eq!(result, Ok(None), "{value}");
        assert_eq!(parts.headers["authorization"], value, "it may be for another filter");
    }
    for value in ["Bearer", "Bearer ", "Bearer x", &format!("Bearer {token} "), &format!("Bearer {token}, {token}")] {
        let (result, _) = fixture.run(get("/").header("authorization", value)).await;
        assert_eq!(result, Err(Unauthorized::Invalid(Invalid::Form)), "{value}");
    }
    let two = get("/").header("authorization", format!("Bearer {token}")).header("authorization", "Basic x");
    assert_eq!(fixture.run(two).await.0, Err(Unauthorized::Invalid(Invalid::Several)));
}

#[tokio::test]
async fn a_token_in_another_header_stands_alone() {
    let fixture = Fixture::new(|config| config.from = TokenPlace::Header("X-Token".to_owned()));
    let token = token(&json!({}));
    let (result, parts) = fixture.run(get("/").header("x-token", &token).header("authorization", "Basic x")).await;
    assert_eq!(result.unwrap().unwrap().subject, "ada");
    assert_eq!(parts.headers.len(), 1, "only the token is taken: {:?}", parts.headers);
    let (result, _) = fixture.run(get("/").header("x-token", format!("Bearer {token}"))).await;
    assert_eq!(result, Err(Unauthorized::Invalid(Invalid::Form)));
    let (result, _) = fixture.run(get("/").header("authorization", format!("Bearer {token}"))).await;
    assert_eq!(result, Ok(None));
}

#[tokio::test]
async fn a_token_in_the_query_is_taken_out_of_the_address() {
    let fixture = Fixture::new(|config| config.from = TokenPlace::Query("access_token".to_owned()));
    let token = token(&json!({}));
    for (target, left) in [
        (format!("/a?access_token={token}"), "/a"),
        (format!("/a?x=1&access_token={token}&y=%26"), "/a?x=1&y=%26"),
        (format!("/a?access%5Ftoken={token}&x"), "/a?x"),
        (format!("/a?access_token={}", token.replace('.', "%2E")), "/a"),
        (format!("http://h.example/a?access_token={token}"), "http://h.example/a"),
    ] {
        let (result, parts) = fixture.run(get(&target)).await;
        assert_eq!(result.unwrap().unwrap().subject, "ada", "{target}");
        assert_eq!(parts.uri, *left, "{target}");
    }
    let twice = format!("/a?access_token=x&access%5ftoken={token}");
    assert_eq!(fixture.run(get(&twice)).await.0, Err(Unauthorized::Invalid(Invalid::Several)));
    for missing in ["/a", "/a?", "/a?Access_Token=x", "/a?x=access_token"] {
        assert_eq!(fixture.run(get(missing)).await.0, Ok(None), "{missing}");
    }
    assert_eq!(fixture.run(get("/a?access_token")).await.0, Err(Unauthorized::Invalid(Invalid::Form)));
}

#[tokio::test]
async fn a_token_in_a_cookie_leaves_the_other_cookies() {
    let fixture = Fixture::new(|config| config.from = TokenPlace::Cookie("session".to_owned()));
    let token = token(&json!({}));
    for (sent, left) in [
        (vec![format!("session={token}")], vec![]),
        (vec![format!("a=1; session={token};b=2")], vec!["a=1; b=2"]),
        (vec!["a=1".to_owned(), format!("session={token}")], vec!["a=1"]),
        (vec![format!("sessions=x; session={token}; Session=y")], vec!["sessions=x; Session=y"]),
    ] {
        let request = sent.iter().fold(get("/"), |request, cookie| request.header("cookie", cookie));
        let (result, parts) = fixture.run(request).await;
        assert_eq!(result.unwrap().unwrap().subject, "ada", "{sent:?}");
        assert_eq!(parts.headers.get_all("cookie").iter().collect::<Vec<_>>(), left, "{sent:?}");
    }
    let twice = get("/").header("cookie", "session=x").header("cookie", format!("session={token}"));
    assert_eq!(fixture.run(twice).await.0, Err(Unauthorized::Invalid(Invalid::Several)));
    // Services take the space away and see two.
    let hidden = get("/").header("cookie", format!("session={token}; session =x"));
    assert_eq!(fixture.run(hidden).await.0, Err(Unauthorized::Invalid(Invalid::Several)));
    assert_eq!(fixture.run(get("/").header("cookie", "sessions=x")).await.0, Ok(None));
}

#[tokio::test]
async fn a_forwarded_token_stays_where_it_was() {
    let token = token(&json!({}));
    let (header, cookie, query) =
        (format!("Bearer {token}"), format!("a=1;session={token}"), format!("/a?access_token={token}&x"));
    for from in [TokenPlace::default(), TokenPlace::Cookie("session".into()), TokenPlace::Query("access_token".into())]
    {
        let fixture = Fixture::new(|config| (config.forward, config.from) = (true, from));
        let (result, parts) = fixture.run(get(&query).header("authorization", &header).header("cookie", &cookie)).await;
        assert!(result.unwrap().is_some());
        assert_eq!(parts.headers["authorization"], *header);
        assert_eq!(parts.headers["cookie"], *cookie);
        assert_eq!(parts.uri, *query);
    }
}

#[tokio::test]
async fn an_optional_token_may_be_missing_but_not_wrong() {
    let fixture = Fixture::new(|config| config.optional = true);
    assert_eq!(fixture.run(get("/")).await.0, Ok(None));
    assert_eq!(fixture.run(get("/").header("authorization", "Basic x")).await.0, Ok(None));
    let (result, _) = fixture.run(get("/").header("authorization", "Bearer x.y.z")).await;
    assert!(matches!(result, Err(Unauthorized::Invalid(_))));
    let (result, _) = fixture.run(get("/").header("authorization", format!("Bearer {}", token(&json!({}))))).await;
    assert!(result.unwrap().is_some());
}

#[tokio::test]
async fn what_clients_send_under_the_names_of_claims_never_arrives() {
    let fixture = Fixture::new(|config| {
        config.optional = true;
        let headers = [("sub", "X-User-Id"), ("missing", "x-missing")];
        config.claims_to_headers = headers.map(|(claim, name)| (claim.to_owned(), name.to_owned())).into();
    });
    let forged = || {
        ["x-user-id", "X-USER-ID", "x_user_id", "x-user_id", "X_USER-ID", "x-missing", "x-user"]
            .into_iter()
            .fold(get("/"), |request, name| request.header(name, "root"))
    };
    let (result, parts) = fixture.run(forged()).await;
    assert_eq!(result, Ok(None));
    assert_eq!(parts.headers.keys().collect::<Vec<_>>(), ["x-user"]);
    let authorization = format!("Bearer {}", token(&json!({})));
    let (_, parts) = fixture.run(forged().header("authorization", authorization)).await;
    assert_eq!(parts.headers.get_all("x-user-id").iter().collect::<Vec<_>>(), ["ada"]);
    assert_eq!(parts.headers.len(), 2);
}

#[tokio::test]
async fn claims_inside_of_claims_become_headers_too() {
    let fixture = Fixture::new(|config| {
        config.claims_to_headers = BTreeMap::from([("realm_access.roles".to_owned(), "x-roles".to_owned())]);
    });
    let token = token(&json!({ "realm_access": { "roles": ["reader", "writer"] } }));
    let (_, parts) = fixture.run(get("/").header("authorization", format!("Bearer {token}"))).await;
    assert_eq!(parts.headers["x-roles"], "reader,writer");
}

#[test]
fn a_claim_has_one_form_as_a_header() {
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for (claim, expected) in [
        (json!("ada"), "ada"),
        (json!("a, b"), "a, b"),
        (json!(""), ""),
        (json!("Ada Ł"), "Ada Ł"),
        (json!(5), "5"),
        (json!(-1.5), "-1.5"),
        (json!(true), "true"),
        (json!(["a", 5, false]), "a,5,false"),
    ] {
        assert_eq!(header_value(&claim).unwrap().as_bytes(), expected.as_bytes(), "{claim}");
    }
    for claim in [
        json!({ "a": 1 }),
        json!([]),
        json!([""]),
        json!(["a,b"]),
        json!([["a"]]),
        json!([null]),
        json!(" root"),
        json!("root "),
        json!("a\r\nx-admin: 1"),
        json!("a\0"),
        json!("\u{85}"),
        json!("\t"),
    ] {
        assert_eq!(header_value(&claim).unwrap(), *encoded(&claim), "{claim}");
    }
    assert_eq!(header_value(&Value::Null), None);
}

#[test]
fn refusals_say_how_to_come_back_and_not_why() {
    let challenge = |refusal: Unauthorized| refusal.challenge().map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(challenge(Invalid::Expired.into()).as_deref(), Some("Bearer error=\"invalid_token\""));
    assert_eq!(challenge(Unauthorized::Unavailable("idp".into())), None);
}

#[tokio::test]
async fn a_filter_needs_its_provider() {
    let fixture = Fixture::new(|config| config.provider = ProviderNames(vec!["idp".to_owned(), "other".to_owned()]));
    let error = Jwt::new(&fixture.config, &fixture.providers).unwrap_err();
    assert_eq!(error.to_string(), "no provider `other`: add it to `auth.providers`");
}
