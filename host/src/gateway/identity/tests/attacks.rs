//! Ways to be somebody else (RFC 8725), each refused for its own reason.

use proptest::prelude::*;

use super::*;

fn secret() -> Signer {
    Signer::secret(fuzz::SECRET)
}

/// A token with this header and right claims, signed rightly.
fn with_header(header: &str) -> String {
    secret().sign(header, &claims().to_string())
}

/// A token with these claims beside those that are needed, signed rightly.
fn with_claims(more: &str) -> String {
    secret().sign(r#"{"alg":"HS256"}"#, &format!(r#"{{"iss":"idp","aud":"orders","exp":{}{more}}}"#, NOW + 600))
}

#[track_caller]
fn assert_refused(token: &str, expected: Invalid) {
    assert_eq!(fuzz::verify_bytes(token.as_bytes()), Err(expected), "{token}");
}

#[test]
fn the_token_that_the_attacks_change_is_right() {
    assert_eq!(fuzz::verify_bytes(secret().token().as_bytes()), Ok(()));
    assert_eq!(fuzz::verify_bytes(with_header(r#"{"alg":"HS256"}"#).as_bytes()), Ok(()));
    assert_eq!(fuzz::verify_bytes(with_claims("").as_bytes()), Ok(()));
}

#[test]
fn no_algorithm_is_no_signature() {
    for name in ["none", "None", "NONE", "nOnE", "", "HS257", "hs256", "RSA-OAEP"] {
        assert_refused(&with_header(&format!(r#"{{"alg":"{name}"}}"#)), Invalid::Algorithm);
    }
    for header in ["{}", r#"{"alg":null}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":256}"#] {
        assert_refused(&with_header(header), Invalid::Algorithm);
    }
    let token = with_header(r#"{"alg":"none"}"#);
    assert_refused(&token[..=token.rfind('.').unwrap()], Invalid::Form);
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::es256("a");
    let text = jwks(&[&signer]);
    let provider = from_file(&dir, &text);
    let point = [&[4], &*URL_SAFE_NO_PAD.decode(signer.jwk["x"].as_str().unwrap()).unwrap()].concat();
    for secret in [text.as_bytes(), signer.jwk.to_string().as_bytes(), &point] {
        let token = Signer::secret(secret).sign(r#"{"alg":"HS256","kid":"a"}"#, &claims().to_string());
        assert_eq!(ask(&provider, &token, NOW).await, refused(Invalid::Algorithm));
    }
    // Even where both kinds were allowed, the key's own kind decides.
    let keys = jwks::KeySet::from_jwks(text.as_bytes()).unwrap();
    assert_eq!(keys.verify(Algorithm::HS256, Some("a"), b"", &vec![0; 32]), None);
    assert_eq!(keys.verify(Algorithm::ES384, Some("a"), b"", &vec![0; 96]), None);
}

#[tokio::test]
async fn a_key_id_is_a_name_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::es256("a");
    let provider = from_file(&dir, &jwks(&[&signer]));
    for id in ["../../../dev/null", "a' OR '1'='1", "A", "a ", "a\0", "https://evil.example/jwks", "/etc/passwd"] {
        let header = json!({ "alg": "ES256", "kid": id }).to_string();
        let token = signer.sign(&header, &claims().to_string());
        assert_eq!(ask(&provider, &token, NOW).await, refused(Invalid::UnknownKey), "{id}");
    }
    for id in ["5", "null", "[\"a\"]", "{}", "\"\"", &format!("\"{}\"", "a".repeat(257))] {
        let token = signer.sign(&format!(r#"{{"alg":"ES256","kid":{id}}}"#), &claims().to_string());
        assert_eq!(ask(&provider, &token, NOW).await, refused(Invalid::KeyId), "{id}");
    }
}

#[tokio::test]
async fn keys_that_a_token_brings_along_are_not_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let (signer, evil) = (Signer::es256("a"), Signer::es256("a"));
    let provider = from_file(&dir, &jwks(&[&signer]));
    for (name, value) in [
        ("jwk", evil.jwk.clone()),
        ("jku", json!("http://127.0.0.1:1/jwks")),
        ("x5u", json!("http://127.0.0.1:1/cert")),
        ("x5c", json!(["MIIB"])),
    ] {
        let header = json!({ "alg": "ES256", "kid": "a", name: value }).to_string();
        let forged = evil.sign(&header, &claims().to_string());
        assert_eq!(ask(&provider, &forged, NOW).await, refused(Invalid::Signature), "{name}");
        let right = signer.sign(&header, &claims().to_string());
        assert!(ask(&provider, &right, NOW).await.is_ok(), "{name} is ignored, not refused");
    }
}

#[test]
fn extensions_that_nobody_here_understands_are_refused() {
    for header in [
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":true}"#,
    ] {
        assert_refused(&with_header(header), Invalid::Extension);
    }
}

#[test]
fn a_token_of_another_type_is_no_access_token() {
    for kind in ["JWT", "jwt", "at+jwt", "application/at+JWT", "application/jwt"] {
        let token = with_header(&format!(r#"{{"alg":"HS256","typ":"{kind}"}}"#));
        assert_eq!(fuzz::verify_bytes(token.as_bytes()), Ok(()), "{kind}");
    }
    for kind in [r#""dpop+jwt""#, r#""logout+jwt""#, r#""JOSE""#, r#""""#, "5", "null", r#"["JWT"]"#] {
        assert_refused(&with_header(&format!(r#"{{"alg":"HS256","typ":{kind}}}"#)), Invalid::Type);
    }
}

#[test]
fn members_that_are_there_twice_are_refused() {
    assert_refused(&with_header(r#"{"alg":"HS256","alg":"HS256"}"#), Invalid::Header);
    assert_refused(&with_header(r#"{"alg":"HS256","\u0061lg":"none"}"#), Invalid::Header);
    assert_refused(&with_claims(r#","sub":"ada","sub":"root""#), Invalid::Claims);
    assert_refused(&with_claims(r#","a":{"b":1,"b":2}"#), Invalid::Claims);
    assert_refused(&with_claims(&format!(r#","exp":{}"#, NOW + 9999)), Invalid::Claims);
}

#[test]
fn times_that_are_no_whole_seconds_are_refused() {
    let claims = |name: &str, value: &str| {
        let expires = if name == "exp" { String::new() } else { format!(r#""exp":{},"#, NOW + 600) };
        secret().sign(r#"{"alg":"HS256"}"#, &format!(r#"{{"iss":"idp","aud":"orders",{expires}"{name}":{value}}}"#))
    };
    for name in ["exp", "nbf", "iat"] {
        for value in
            ["-1", "1.5", "1e3", "1700000600.0", "\"1700000600\"", "null", "true", "[]", "18446744073709551615"]
        {
            assert_refused(&claims(name, value), Invalid::Time);
        }
        // No number that JSON readers agree on.
        for value in ["1e400", "-1e400", "0x10", "01", "NaN", "Infinity"] {
            assert_refused(&claims(name, value), Invalid::Claims);
        }
    }
}

#[test]
fn the_issuer_is_the_same_letter_by_letter() {
    for issuer in [r#""IDP""#, r#""idp/""#, r#"" idp""#, r#""idp\u0000""#, r#"["idp"]"#, "null", "5"] {
        let claims = format!(r#"{{"iss":{issuer},"aud":"orders","exp":{}}}"#, NOW + 600);
        assert_refused(&secret().sign(r#"{"alg":"HS256"}"#, &claims), Invalid::Issuer);
    }
    assert_refused(&secret().sign(r#"{"alg":"HS256"}"#, "{}"), Invalid::Issuer);
}

#[test]
fn a_token_for_others_is_not_for_us() {
    let for_whom = |audience: &str| {
        let claims = format!(r#"{{"iss":"idp","aud":{audience},"exp":{}}}"#, NOW + 600);
        secret().sign(r#"{"alg":"HS256"}"#, &claims)
    };
    for audience in [r#""orders""#, r#"["orders"]"#, r#"["billing","orders"]"#] {
        assert_eq!(fuzz::verify_bytes(for_whom(audience).as_bytes()), Ok(()), "{audience}");
    }
    for audience in [
        r#""billing""#,
        r#""orders ""#,
        r#""orders,billing""#,
        "[]",
        r#"["billing"]"#,
        r#"["orders",5]"#,
        r#"[["orders"]]"#,
        r#"{"orders":true}"#,
        "null",
        "true",
    ] {
        assert_refused(&for_whom(audience), Invalid::Audience);
    }
    assert_refused(
        &secret().sign(r#"{"alg":"HS256"}"#, &format!(r#"{{"iss":"idp","exp":{}}}"#, NOW + 600)),
        Invalid::Audience,
    );
}

#[test]
fn a_subject_is_text() {
    for subject in ["5", "null", "[\"ada\"]", "{}"] {
        assert_refused(&with_claims(&format!(r#","sub":{subject}"#)), Invalid::Subject);
    }
}

#[test]
fn one_token_has_one_spelling() {
    let token = secret().token();
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!() };
    // 32 bytes leave two bits of the last letter that do not count.
    let last = signature.chars().last().unwrap();
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = letters.chars().nth(letters.find(last).unwrap() + 1).unwrap();
    let loose = format!("{}{next}", &signature[..signature.len() - 1]);
    for other in [
        format!("{header}.{claims}.{loose}"),
        format!("{header}.{claims}.{signature}="),
        format!("{header}=.{claims}.{signature}"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{header}. {claims}.{signature}"),
        format!("{header}.{claims}\n.{signature}"),
        format!("{header}.{claims}.{}", signature.replace(['-', '_'], "+") + "+"),
        format!("A{header}.{claims}.{signature}"),
    ] {
        let result = fuzz::verify_bytes(other.as_bytes());
        assert!(matches!(result, Err(Invalid::Form | Invalid::Header)), "{other}: {result:?}");
    }
}

#[test]
fn only_the_compact_form_of_three_parts_is_read() {
    let token = secret().token();
    let (head, tail) = token.split_once('.').unwrap();
    let (claims, signature) = tail.split_once('.').unwrap();
    let json = json!({ "protected": head, "payload": claims, "signature": signature }).to_string();
    for other in [
        "",
        ".",
        "..",
        "...",
        head,
        &format!("{head}.{claims}"),
        &format!("{head}.{claims}."),
        &format!("{head}..{signature}"),
        &format!(".{claims}.{signature}"),
        &format!("{token}."),
        &format!("{token}.{signature}.{signature}"),
        &json,
    ] {
        assert_refused(other, Invalid::Form);
    }
    assert_eq!(fuzz::verify_bytes(b"\xff\xfe.\x00.\x80"), Err(Invalid::Form));
}

#[test]
fn a_token_beyond_8_kib_is_not_even_read() {
    let filled = |length: usize| with_claims(&format!(r#","x":"{}""#, "y".repeat(length)));
    let just = (5000..6200).map(filled).take_while(|token| token.len() <= token::MAX_TOKEN).last().unwrap();
    assert_eq!(fuzz::verify_bytes(just.as_bytes()), Ok(()));
    assert_refused(&filled(6200), Invalid::TooLong);
}

#[test]
fn keys_that_are_for_something_else_verify_nothing() {
    let signer = Signer::es256("a");
    let with = |name: &str, value: Value| {
        let mut jwk = signer.jwk.clone();
        jwk[name] = value;
        let set = jwks::KeySet::from_jwks(json!({ "keys": [jwk] }).to_string().as_bytes());
        let token = signer.token();
        let token = token::take_apart(token.as_bytes()).unwrap();
        set.ok().and_then(|set| set.verify(token.algorithm, Some("a"), token.signed, &token.signature))
    };
    assert_eq!(with("use", json!("sig")), Some(true));
    assert_eq!(with("key_ops", json!(["sign", "verify"])), Some(true));
    assert_eq!(with("alg", json!("ES256")), Some(true));
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!(5)),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!("verify")),
        ("alg", json!("ES384")),
        ("alg", json!("ECDH-ES")),
        ("kty", json!("oct")),
        ("kty", json!("RSA")),
        ("crv", json!("P-384")),
        ("crv", json!("secp256k1")),
        ("x", json!("AAAA")),
        ("x", json!(null)),
        ("kid", json!(["a"])),
    ] {
        assert_eq!(with(name, value.clone()), None, "{name}: {value}");
    }
    // A point that is not on the curve is a key of nothing.
    assert_eq!(with("x", json!(encode([1; 32]))), Some(false));
}

#[test]
fn a_key_set_is_bounded_and_secrets_do_not_come_from_public_places() {
    use jwks::{KeySet, KeysError, MAX_KEYS};
    let signer = Signer::es256("a");
    let set = |count: usize| json!({ "keys": vec![&signer.jwk; count] }).to_string();
    assert_eq!(KeySet::from_jwks(set(MAX_KEYS).as_bytes()).unwrap().len(), MAX_KEYS);
    assert_eq!(KeySet::from_jwks(set(MAX_KEYS + 1).as_bytes()).unwrap_err(), KeysError::TooMany);
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(KeySet::from_jwks(text.as_bytes()).unwrap_err(), KeysError::NoSet, "{text}");
    }
    let secret = json!({ "keys": [{ "kty": "oct", "k": encode(fuzz::SECRET) }] });
    assert_eq!(KeySet::from_jwks(secret.to_string().as_bytes()).unwrap_err(), KeysError::NoneFits);
    let short = json!({ "keys": [{ "kty": "RSA", "n": encode([255; 128]), "e": "AQAB" }] });
    assert_eq!(KeySet::from_jwks(short.to_string().as_bytes()).unwrap_err(), KeysError::NoneFits);
    // One key of no use beside a good one is no harm.
    let mixed = json!({ "keys": [{ "kty": "new" }, signer.jwk, 5] });
    assert_eq!(KeySet::from_jwks(mixed.to_string().as_bytes()).unwrap().len(), 1);
    assert_eq!(KeySet::from_secret(&[7; 31]).unwrap_err(), KeysError::ShortSecret);
    let secret = KeySet::from_secret(&[7; 32]).unwrap();
    assert_eq!(secret.verify(Algorithm::HS512, None, b"", &vec![0; 64]), None, "too short for it");
}

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
        prop_assert!(fuzz::verify_bytes(&bytes).is_err());
    }

    #[test]
    fn any_change_of_a_right_token_is_refused(at: proptest::sample::Index, byte: u8) {
        let token = secret().token().into_bytes();
        let mut changed = token.clone();
        changed[at.index(token.len())] = byte;
        prop_assert_eq!(fuzz::verify_bytes(&changed).is_ok(), changed == token);
    }

    #[test]
    fn any_header_and_claims_that_are_signed_are_read_without_a_panic(header in "\\PC*", claims in "\\PC*") {
        prop_assert!(fuzz::verify_bytes(secret().sign(&header, &claims).as_bytes()).is_err());
    }
}
