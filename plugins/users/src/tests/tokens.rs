//! Logging in, and the keys behind it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use wharf_sdk::{set_config, sql};

use super::*;

fn token_of(username: &str) -> String {
    login(username, "correct horse").json["token"].as_str().unwrap().to_owned()
}

fn rotate() -> Answer {
    call_as(Some(("a", "admin,customer")), Method::Post, "/keys/rotate", &Value::Null)
}

fn jwks() -> Vec<Value> {
    read("/.well-known/jwks.json").json["keys"].as_array().unwrap().clone()
}

/// The key that has signed a token.
fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

/// The keys that are shown so many seconds from now.
fn kids(later: i64) -> Vec<String> {
    let keys = serde_json::to_value(keys::public(now().unwrap() + later).unwrap()).unwrap();
    keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// The claims of a token whose signature fits one of the keys that the service shows.
fn verified(token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let header: Value = serde_json::from_slice(&decoded(header)).unwrap();
    assert_eq!((&header["alg"], &header["typ"]), (&json!("ES256"), &json!("JWT")));
    let key = jwks().into_iter().find(|key| key["kid"] == header["kid"])?;
    let mut point = vec![4];
    point.extend(["x", "y"].iter().flat_map(|part| decoded(key[part].as_str().unwrap())));
    let signature = Signature::from_slice(&decoded(signature)).unwrap();
    VerifyingKey::from_sec1_bytes(&point).unwrap().verify(signed.as_bytes(), &signature).ok()?;
    Some(serde_json::from_slice(&decoded(claims)).unwrap())
}

#[test]
fn a_token_says_who_it_is_and_can_be_checked_with_the_key_set() {
    start();
    set_config("admins", "root, Boss");
    set_config("token-ttl", "10m");
    let (ann, boss) = (registered("ann"), registered("boss"));
    let answer = login("ANN", "correct horse").json;
    assert_eq!(
        (&answer["tokenType"], &answer["expiresIn"], &answer["userId"]),
        (&json!("Bearer"), &json!(600), &json!(ann))
    );
    let claims = verified(answer["token"].as_str().unwrap()).unwrap();
    let iat = claims["iat"].as_i64().unwrap();
    assert!((now().unwrap() - iat).abs() < 60);
    let expected =
        json!({ "iss": "wharf-shop", "aud": "shop", "sub": ann, "roles": ["customer"], "iat": iat, "exp": iat + 600 });
    assert_eq!(claims, expected);
    let claims = verified(&token_of("boss")).unwrap();
    assert_eq!((&claims["sub"], &claims["roles"]), (&json!(boss), &json!(["admin", "customer"])));
}

#[test]
fn a_name_of_administrators_makes_one_once() {
    start();
    set_config("admins", "boss");
    let boss = registered("Boss");
    assert_eq!(call(Method::Delete, &format!("/{boss}"), &Value::Null).status, 204);
    registered("boss");
    assert_eq!(verified(&token_of("boss")).unwrap()["roles"], json!(["customer"]));
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_the_same() {
    start();
    registered("ann");
    let (wrong, unknown) = (login("ann", "wrong horse"), login("nobody", "correct horse"));
    assert_eq!((wrong.status, unknown.status), (401, 401));
    assert_eq!(wrong.json, unknown.json);
    assert_eq!(call(Method::Post, "/login", &json!({ "username": "ann" })).status, 400);
}

#[test]
fn a_life_of_tokens_that_makes_no_sense_is_the_operators_mistake() {
    start();
    registered("ann");
    for ttl in ["0s", "25h", "soon"] {
        set_config("token-ttl", ttl);
        assert_eq!(login("ann", "correct horse").status, 500, "{ttl}");
    }
}

#[test]
fn after_a_rotation_old_tokens_hold_until_they_end() {
    start();
    registered("ann");
    let before = token_of("ann");
    let shown = kids(0);
    assert_eq!(rotate().status, 200);
    let after = token_of("ann");
    assert!(verified(&before).is_some() && verified(&after).is_some());
    let (old, new) = (kid(&before), kid(&after));
    assert_ne!(old, new);
    assert!(shown.contains(&old) && shown.contains(&new), "a key is shown before it signs: gateways know it");
    let secrets: Vec<(String,)> = sql::all("SELECT kid FROM keys WHERE secret IS NULL", &[]).unwrap();
    assert_eq!(secrets, [(old.clone(),)], "the secret of the old one is forgotten, and no other");
    // The longest of them lives for an hour.
    assert!(kids(3600).contains(&old));
    assert!(!kids(3700).contains(&old) && kids(3700).contains(&new));
    keys::rotate(now().unwrap() + 3700).unwrap();
    let left: Vec<(String,)> = sql::all("SELECT kid FROM keys WHERE kid = ?1", wharf_sdk::params![old]).unwrap();
    assert_eq!(left, [], "it is deleted");
}

#[test]
fn a_key_stays_for_its_longest_token() {
    start();
    registered("ann");
    set_config("token-ttl", "24h");
    let old = kid(&token_of("ann"));
    set_config("token-ttl", "1m");
    token_of("ann");
    rotate();
    assert!(kids(86_400).contains(&old) && !kids(86_500).contains(&old));
}

#[test]
fn after_a_revocation_no_key_from_before_is_shown() {
    start();
    registered("ann");
    let (before, shown) = (token_of("ann"), kids(0));
    let revoke = |value: &str| {
        let target = format!("/keys/rotate?revoke={value}");
        call_as(Some(("a", "admin")), Method::Post, &target, &Value::Null).status
    };
    assert_eq!((revoke("yes"), verified(&before).is_some()), (422, true));
    assert_eq!(revoke("true"), 200);
    assert_eq!(verified(&before), None);
    assert!(kids(0).len() == 2 && !kids(0).iter().any(|kid| shown.contains(kid)), "the next one is another, too");
    assert!(verified(&token_of("ann")).is_some());
}

#[test]
fn keys_cannot_be_piled_up() {
    start();
    assert_eq!(jwks().len(), 2, "made when they are first asked for: the one that signs, and the next");
    let statuses: Vec<_> = (0..20).map(|_| rotate().status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 18);
    assert_eq!((statuses.last(), jwks().len()), (Some(&409), 20));
}

#[test]
fn the_id_of_a_key_is_its_thumbprint() {
    start();
    let key = jwks().remove(0);
    let (x, y) = (key["x"].as_str().unwrap(), key["y"].as_str().unwrap());
    assert_eq!(key["kid"], keys::thumbprint(x, y));
    // Computed with another implementation for the key of RFC 7515, A.3.
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    assert_eq!(keys::thumbprint(x, y), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}
