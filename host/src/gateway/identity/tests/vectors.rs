//! The examples of RFC 7515 (appendix A), RFC 7519 (§6.1) and RFC 8037 (appendix A).

use super::*;
use crate::config::Audiences;

const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const EXPIRES: u64 = 1_300_819_380;

fn joe(settings: JwtProvider, algorithm: JwtAlgorithm) -> JwtProvider {
    JwtProvider { issuer: "joe".to_owned(), audiences: Audiences::Any, algorithms: vec![algorithm], ..settings }
}

async fn assert_is_joe(settings: &JwtProvider, token: &str) {
    let identity = ask(settings, token, EXPIRES - 1).await.unwrap();
    assert_eq!(identity.claim("http://example.com/is_root"), Some(&json!(true)));
    // The same with another letter in the signature.
    let at = token.rfind('.').unwrap() + 5;
    let other = if &token[at..=at] == "A" { "B" } else { "A" };
    let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
    assert_eq!(ask(settings, &forged, EXPIRES - 1).await, refused(Invalid::Signature));
}

#[tokio::test]
async fn rfc_7515_a_1_hmac() {
    let dir = tempfile::tempdir().unwrap();
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let settings = joe(with_secret(&dir, &URL_SAFE_NO_PAD.decode(secret).unwrap()), JwtAlgorithm::Hs256);
    let token =
        format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_is_joe(&settings, &token).await;
}

#[tokio::test]
async fn rfc_7515_a_2_rsa() {
    let dir = tempfile::tempdir().unwrap();
    let modulus = concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ",
        "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2",
        "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD",
        "TW9gb54h4FRWyuXpoQ",
    );
    let signature = concat!(
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CU",
        "Ar7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d",
        "O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig",
        "cN_IoypGlUPQGe77Rw",
    );
    let keys = json!({ "keys": [{ "kty": "RSA", "n": modulus, "e": "AQAB" }] });
    let settings = joe(from_file(&dir, &keys.to_string()), JwtAlgorithm::Rs256);
    assert_is_joe(&settings, &format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}.{signature}")).await;
}

#[tokio::test]
async fn rfc_7515_a_3_ecdsa() {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y }] });
    let settings = joe(from_file(&dir, &keys.to_string()), JwtAlgorithm::Es256);
    let signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert_is_joe(&settings, &format!("eyJhbGciOiJFUzI1NiJ9.{CLAIMS}.{signature}")).await;
}

#[tokio::test]
async fn rfc_7519_6_1_a_token_without_signature_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let settings = joe(with_secret(&dir, fuzz::SECRET), JwtAlgorithm::Hs256);
    assert_eq!(ask(&settings, &format!("eyJhbGciOiJub25lIn0.{CLAIMS}."), EXPIRES - 1).await, refused(Invalid::Form));
}

#[test]
fn rfc_8037_a_4_ed25519() {
    let jwk = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = jwks::KeySet::from_jwks(jwk.as_bytes()).unwrap();
    let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let token = format!("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.{signature}");
    let mut token = token::take_apart(token.as_bytes()).unwrap();
    let holds = |token: &token::Unproven<'_>| keys.verify(token.algorithm, None, token.signed, &token.signature);
    assert_eq!(holds(&token), Some(true));
    // Its payload is text, not claims.
    assert_eq!(claims::read(&token.claims), Err(Invalid::Claims));
    token.signature[3] ^= 1;
    assert_eq!(holds(&token), Some(false));
}
