//! The part of the shop that has no events, behind the real configuration, with an issuer of the test's own.
//!
//! Compiling these services takes longer than all else, so what one test has compiled is kept for the next one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use wharf_tests::{Wharf, root, within};

pub(crate) struct Shop {
    pub(crate) wharf: Wharf,
    key: KeyPair,
}

impl Shop {
    /// This service and those that an order needs.
    pub(crate) async fn start(service: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&key.public_key_raw()[range]);
        let jwk =
            json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "a", "x": part(1..33), "y": part(33..65) });
        let config = |name: &str| fs::read_to_string(root().join("gateway-config").join(name)).unwrap();
        let gateway = config("gateway.yaml");
        let jwks = "jwks: { url: http://127.0.0.1:8080/api/users/.well-known/jwks.json }";
        assert!(gateway.contains(jwks), "the keys are where they were");
        let mut builder = Wharf::builder();
        let keys = builder.dir().join("keys.json");
        fs::write(&keys, json!({ "keys": [jwk] }).to_string()).unwrap();
        builder = builder.gateway(&gateway.replace(jwks, &format!("jwks: {{ file: {} }}", keys.display())));
        for name in ["users", "catalog", "pricing", "orders", service] {
            builder = builder.plugin(name).service(name, &config(&format!("services/{name}.yaml")));
        }
        let compiled = builder.dir().join("state/compiled");
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("front-compiled");
        copy(&cache, &compiled);
        let wharf = builder.without_waiting().start().await;
        within(Duration::from_secs(240), "all services are compiled", async || {
            (wharf.admin_get("/readyz").await.status == 200).then_some(())
        })
        .await;
        if names(&compiled) != names(&cache) {
            let aside = |what: &str| cache.with_extension(format!("{}.{what}", std::process::id()));
            copy(&compiled, &aside("new"));
            // Another test may have been quicker, or use it right now; then its cache is as good.
            let _ = fs::rename(&cache, aside("old"));
            let _ = fs::rename(aside("new"), &cache);
            let _ = (fs::remove_dir_all(aside("new")), fs::remove_dir_all(aside("old")));
        }
        Self { wharf, key }
    }

    /// A token of this user.
    pub(crate) fn token(&self, user: &str, roles: &[&str]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({
            "iss": "wharf-shop", "aud": "shop", "sub": user, "roles": roles, "iat": now, "exp": now + 600
        });
        let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::ES256) };
        let key = EncodingKey::from_ec_der(&self.key.serialize_der());
        format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &key).unwrap())
    }

    pub(crate) fn admin(&self) -> String {
        self.token("00000000-0000-0000-0000-000000000000", &["admin"])
    }

    /// POST of JSON, which has to succeed.
    pub(crate) async fn post(&self, token: &str, path: &str, body: &Value) -> Value {
        let headers = [("authorization", token), ("content-type", "application/json")];
        let headers = if token.is_empty() { &headers[1..] } else { &headers };
        let answer = self.wharf.client().send("POST", &self.wharf.url(path), headers, body.to_string()).await;
        assert!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text());
        answer.json()
    }

    /// The id of a new user.
    pub(crate) async fn user(&self, name: &str) -> String {
        let body = json!({ "username": name, "email": format!("{name}@shop.example"), "password": "correct horse" });
        id(&self.post("", "/api/users", &body).await)
    }

    /// The id of a new product.
    pub(crate) async fn product(&self, name: &str, amount: i64) -> String {
        let price = json!({ "amount": amount, "currency": "EUR" });
        let body = json!({ "sku": name.replace(' ', "-"), "name": name, "category": "books", "price": price });
        id(&self.post(&self.admin(), "/api/products", &body).await)
    }

    /// The id of a new order of these products.
    pub(crate) async fn order(&self, user: &str, products: &[&String]) -> String {
        let items: Vec<_> = products.iter().map(|id| json!({ "productId": id, "quantity": 2 })).collect();
        let address = json!({ "line1": "1 High Street", "city": "London", "postalCode": "N1", "country": "GB" });
        let body = json!({ "items": items, "currency": "EUR", "card": "tok_visa", "shippingAddress": address });
        id(&self.post(&self.token(user, &[]), "/api/orders", &body).await)
    }
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into()).collect();
    names.sort();
    names
}

/// All of a folder, if it is there, readable for its owner only: the host takes nothing else.
fn copy(from: &Path, to: &Path) {
    for name in names(from) {
        fs::create_dir_all(to).unwrap();
        for dir in to.ancestors().take(if to.ends_with("state/compiled") { 2 } else { 1 }) {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
        }
        // A file that goes away meanwhile is compiled anew.
        let _ = fs::copy(from.join(&name), to.join(&name));
    }
}
