//! What can be asked of an identity.

use super::*;

fn identity(claims: Value) -> Identity {
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    let scopes = scopes(&claims);
    Identity { method: Method::Jwt, provider: "idp".into(), subject: "ada".to_owned(), scopes, claims }
}

#[test]
fn a_dotted_path_reaches_into_claims_unless_a_claim_has_that_very_name() {
    let ada = identity(json!({ "realm_access": { "roles": ["a"] }, "a.b": 1, "a": { "b": 2, "c": null } }));
    assert_eq!(ada.claim("realm_access.roles"), Some(&json!(["a"])));
    assert_eq!(ada.claim("a.b"), Some(&json!(1)));
    assert_eq!(ada.claim("a.c"), Some(&Value::Null));
    for missing in ["", ".", "a.", "a.c.d", "realm_access.roles.0", "b"] {
        assert_eq!(ada.claim(missing), None, "{missing}");
    }
}

#[test]
fn scopes_are_read_from_text_and_arrays_under_both_names() {
    for (claims, expected) in [
        (json!({ "scope": "read  write" }), vec!["read", "write"]),
        (json!({ "scope": ["read", 5, "a b"] }), vec!["read", "a b"]),
        (json!({ "scp": ["read"], "scope": "write" }), vec!["write", "read"]),
        (json!({ "scp": "read write" }), vec!["read", "write"]),
        (json!({ "scope": 5, "scp": { "read": true } }), vec![]),
        (json!({}), vec![]),
    ] {
        assert_eq!(identity(claims.clone()).scopes, expected, "{claims}");
    }
    let ada = identity(json!({ "scope": "orders:read" }));
    assert!(ada.has_scope("orders:read"));
    assert!(!ada.has_scope("orders") && !ada.has_scope("ORDERS:READ") && !ada.has_scope(""));
}

#[test]
fn claims_do_not_appear_in_the_debug_form() {
    let text = format!("{:?}", identity(json!({ "email": "ada@example.com" })));
    assert!(!text.contains("ada"), "{text}");
}
