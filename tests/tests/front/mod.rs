//! The part of the shop that has no events, behind the real configuration, with an issuer of the test's own.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use wharf_tests::{Compiled, Wharf, root, within};

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
        let state = builder.dir().join("state");
        let compiled = Compiled::lock();
        compiled.give(&state);
        let wharf = builder.without_waiting().start().await;
        within(Duration::from_secs(240), "all services are compiled", async || {
            (wharf.admin_get("/readyz").await.status == 200).then_some(())
        })
        .await;
        compiled.take(&state);
        Self { wharf, key }
    }

    /// What was not as the documents of the services describe it: nothing.
    pub(crate) async fn assert_as_described(&self) {
        let page = self.wharf.admin_get("/metrics").await.text();
        let counters: Vec<_> =
            page.lines().filter(|line| line.starts_with("wharf_contract_violations_total")).collect();
        assert!(counters.len() > 4, "{page}");
        let broken: Vec<_> = counters.into_iter().filter(|line| !line.ends_with(" 0")).collect();
        assert!(broken.is_empty(), "{}", broken.join("\n"));
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
