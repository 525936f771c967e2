//! Tokens of all kinds against providers of all kinds; keys are made here, servers run on this machine.

mod attacks;
mod first_keys;
mod of_identities;
mod rotation;
mod vectors;
mod wycheproof;

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::fetch::Fetcher;
use super::fuzz::NOW;
use super::*;
use crate::config::{Auth, JwksSource, JwtAlgorithm, JwtProvider, SecretRef};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key pair of an issuer.
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    fn es256(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y), "kid": id });
        Self { algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(&pair.serialize_der()), jwk }
    }

    fn secret(secret: &[u8]) -> Self {
        Self { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret), jwk: Value::Null }
    }

    /// Signs any two texts as header and claims.
    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    /// A token of this key with claims that are right.
    fn token(&self) -> String {
        let header = match self.jwk.get("kid") {
            Some(id) => json!({ "alg": self.algorithm, "typ": "JWT", "kid": id }),
            None => json!({ "alg": self.algorithm }),
        };
        self.sign(&header.to_string(), &claims().to_string())
    }
}

fn claims() -> Value {
    json!({ "iss": "idp", "aud": "orders", "sub": "ada", "iat": NOW, "exp": NOW + 600, "scope": "read write" })
}

fn jwks(keys: &[&Signer]) -> String {
    json!({ "keys": keys.iter().map(|signer| &signer.jwk).collect::<Vec<_>>() }).to_string()
}

/// A clock that stands until it is moved.
#[derive(Clone)]
struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    fn providers(&self) -> Providers {
        self.providers_with(Fetcher::new())
    }

    fn providers_with(&self, fetcher: Fetcher) -> Providers {
        let clock = self.clone();
        Providers::with(fetcher, Arc::new(move || *clock.0.lock().unwrap()))
    }
}

/// A provider whose keys are in a file of the folder.
fn from_file(dir: &tempfile::TempDir, text: &str) -> JwtProvider {
    let path = dir.path().join("keys.json");
    std::fs::write(&path, text).unwrap();
    JwtProvider { algorithms: vec![JwtAlgorithm::Es256], jwks: JwksSource::File(path), ..fuzz::provider() }
}

/// A provider with a shared secret in a file of the folder.
fn with_secret(dir: &tempfile::TempDir, secret: &[u8]) -> JwtProvider {
    let path = dir.path().join("secret");
    std::fs::write(&path, secret).unwrap();
    JwtProvider { jwks: JwksSource::Secret(SecretRef::File(path)), ..fuzz::provider() }
}

fn applied(providers: &Providers, settings: &[JwtProvider]) -> Vec<Arc<Provider>> {
    providers.apply(&Auth { providers: settings.to_vec() });
    settings.iter().map(|settings| providers.get(&settings.name).unwrap()).collect()
}

/// What one provider says about one token.
async fn ask(settings: &JwtProvider, token: &str, now: u64) -> Result<Identity, Refused> {
    let providers = applied(&Clock::new().providers(), std::slice::from_ref(settings));
    verify(&providers, token.as_bytes(), at(now)).await
}

fn refused(invalid: Invalid) -> Result<Identity, Refused> {
    Err(Refused::Invalid(invalid))
}

#[tokio::test]
async fn a_right_token_becomes_an_identity() {
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::es256("a");
    let identity = ask(&from_file(&dir, &jwks(&[&signer])), &signer.token(), NOW).await.unwrap();
    assert_eq!((identity.method, &*identity.provider, identity.subject.as_str()), (Method::Jwt, "idp", "ada"));
    assert!(identity.has_scope("read") && identity.has_scope("write") && !identity.has_scope("admin"));
    assert_eq!(identity.claim("exp"), Some(&json!(NOW + 600)));
}

#[tokio::test]
async fn times_hold_to_the_second_with_leeway_for_clocks() {
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::secret(fuzz::SECRET);
    let provider = with_secret(&dir, fuzz::SECRET);
    let aged = JwtProvider { max_age: Some(crate::config::Duration::secs(100)), ..provider.clone() };
    let endless = JwtProvider { require_expiration: false, ..provider.clone() };
    let with = |more: Value| {
        let mut claims = json!({ "iss": "idp", "aud": ["others", "orders"] });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        signer.sign(r#"{"alg":"HS256","typ":"at+JWT"}"#, &claims.to_string())
    };
    let end = json!(NOW + 1000);
    for (settings, more, expected) in [
        (&provider, json!({ "exp": NOW - 59 }), None),
        (&provider, json!({ "exp": NOW - 60 }), Some(Invalid::Expired)),
        (&provider, json!({ "exp": 0 }), Some(Invalid::Expired)),
        (&provider, json!({ "exp": end, "nbf": NOW + 60 }), None),
        (&provider, json!({ "exp": end, "nbf": NOW + 61 }), Some(Invalid::NotYet)),
        (&provider, json!({ "exp": end, "iat": NOW + 60 }), None),
        (&provider, json!({ "exp": end, "iat": NOW + 61 }), Some(Invalid::Future)),
        (&provider, json!({}), Some(Invalid::NoExpiration)),
        (&endless, json!({}), None),
        (&endless, json!({ "exp": NOW - 60 }), Some(Invalid::Expired)),
        (&aged, json!({ "exp": end, "iat": NOW - 160 }), None),
        (&aged, json!({ "exp": end, "iat": NOW - 161 }), Some(Invalid::TooOld)),
        (&aged, json!({ "exp": end }), Some(Invalid::TooOld)),
    ] {
        let result = ask(settings, &with(more.clone()), NOW).await;
        assert_eq!(result.err(), expected.map(Refused::Invalid), "{more}");
    }
}

#[tokio::test]
async fn a_remembered_token_still_ends_when_the_wall_clock_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::es256("a");
    let providers = applied(&Clock::new().providers(), &[from_file(&dir, &jwks(&[&signer]))]);
    let token = signer.token();
    for (now, expected) in [(NOW, None), (NOW + 659, None), (NOW + 660, Some(Invalid::Expired)), (NOW, None)] {
        let result = verify(&providers, token.as_bytes(), at(now)).await;
        assert_eq!(result.err(), expected.map(Refused::Invalid), "{now}");
    }
    // An hour back: it was not issued yet.
    assert_eq!(verify(&providers, token.as_bytes(), at(NOW - 3600)).await, refused(Invalid::Future));
}

#[tokio::test]
async fn the_issuer_chooses_among_several_providers() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (signer, secret) = (Signer::es256("a"), Signer::secret(fuzz::SECRET));
    let first = from_file(&dir, &jwks(&[&signer]));
    let same_issuer = JwtProvider { name: "old".to_owned(), ..with_secret(&dir, fuzz::SECRET) };
    let silent = JwtProvider {
        name: "silent".to_owned(),
        issuer: "elsewhere".to_owned(),
        jwks: JwksSource::File(other_dir.path().join("missing")),
        ..first.clone()
    };
    let providers = applied(&Clock::new().providers(), &[first, silent, same_issuer]);
    let verified = |token: String| {
        let providers = providers.clone();
        async move { verify(&providers, token.as_bytes(), at(NOW)).await.map(|identity| identity.provider.to_string()) }
    };
    assert_eq!(verified(signer.token()).await, Ok("idp".to_owned()));
    assert_eq!(verified(secret.token()).await, Ok("old".to_owned()));
    let elsewhere = claims().to_string().replace("\"idp\"", "\"elsewhere\"");
    let token = signer.sign(r#"{"alg":"ES256"}"#, &elsewhere);
    assert_eq!(verified(token).await, Err(Refused::Unavailable("silent".into())));
    let nobody = claims().to_string().replace("\"idp\"", "\"nobody\"");
    assert_eq!(verified(signer.sign(r#"{"alg":"ES256"}"#, &nobody)).await, Err(Refused::Invalid(Invalid::Issuer)));
}

#[tokio::test]
async fn an_environment_variable_can_hold_the_secret() {
    // Every process has this one; how long it is differs.
    let name = "PATH";
    let secret = std::env::var_os(name).unwrap();
    let settings = JwtProvider { jwks: JwksSource::Secret(SecretRef::Env(name.to_owned())), ..fuzz::provider() };
    let token = Signer::secret(secret.as_encoded_bytes()).token();
    let expected = if secret.len() < 32 { Some(Refused::Unavailable("idp".into())) } else { None };
    assert_eq!(ask(&settings, &token, NOW).await.err(), expected);
    let missing = JwtProvider { jwks: JwksSource::Secret(SecretRef::Env("NO_SUCH_VARIABLE".to_owned())), ..settings };
    assert_eq!(ask(&missing, &token, NOW).await.err(), Some(Refused::Unavailable("idp".into())));
}

#[test]
fn debug_forms_show_no_secret() {
    let keys = jwks::KeySet::from_secret(fuzz::SECRET).unwrap();
    assert!(!format!("{keys:?}").contains("secret of"));
}
