use std::str::FromStr;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::gateway::identity;

fn filter(config: Value) -> Authorization {
    Authorization::new(&serde_json::from_value(config).unwrap())
}

/// A client whose claims are these; `null` is nobody.
fn client(claims: &Value) -> Option<Identity> {
    let claims = claims.as_object()?.clone();
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
    let scopes = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
    let scopes = scopes.split_whitespace().map(str::to_owned).collect();
    Some(Identity { method: identity::Method::Jwt, provider: "idp".into(), subject, scopes, claims })
}

const ALLOWED: Result<(), Denied> = Ok(());
const FORBIDDEN: Result<(), Denied> = Err(Denied::Forbidden);
const WHO: Result<(), Denied> = Err(Denied::Unauthenticated);

#[test]
fn the_first_rule_whose_conditions_all_hold_decides() {
    let nobody = json!(null);
    let ada =
        json!({ "sub": "ada", "scope": "read write", "role": ["dev", "admin"], "org": { "id": 7, "paid": true } });
    let bob = json!({ "sub": "bob", "scope": "read", "role": "dev" });
    let rows = [
        // Nothing said: refused.
        (json!([]), "GET /", &nobody, WHO),
        (json!([]), "GET /", &ada, FORBIDDEN),
        (json!([{ "allow": {} }]), "GET /", &nobody, ALLOWED),
        (json!([{ "deny": {} }]), "GET /", &ada, FORBIDDEN),
        // Methods.
        (json!([{ "allow": { "methods": ["GET", "PUT"] } }]), "PUT /", &nobody, ALLOWED),
        (json!([{ "allow": { "methods": ["GET", "PUT"] } }]), "POST /", &ada, FORBIDDEN),
        (json!([{ "allow": { "methods": ["GET"] } }]), "HEAD /", &nobody, ALLOWED),
        (json!([{ "deny": { "methods": ["GET"] } }, { "allow": {} }]), "HEAD /", &ada, FORBIDDEN),
        (json!([{ "allow": { "methods": ["HEAD"] } }]), "GET /", &ada, FORBIDDEN),
        (json!([{ "allow": { "methods": ["GET"] } }]), "get /", &ada, FORBIDDEN),
        // Paths.
        (json!([{ "allow": { "paths": [{ "exact": "/a" }] } }]), "GET /a", &nobody, ALLOWED),
        (json!([{ "allow": { "paths": [{ "exact": "/a" }] } }]), "GET /a/", &ada, FORBIDDEN),
        (json!([{ "allow": { "paths": [{ "exact": "/a" }] } }]), "GET /A", &ada, FORBIDDEN),
        (json!([{ "allow": { "paths": [{ "prefix": "/a" }] } }]), "GET /a", &nobody, ALLOWED),
        (json!([{ "allow": { "paths": [{ "prefix": "/a/" }] } }]), "GET /a", &nobody, ALLOWED),
        (json!([{ "allow": { "paths": [{ "prefix": "/a" }] } }]), "GET /a/b", &nobody, ALLOWED),
        (json!([{ "allow": { "paths": [{ "prefix": "/a" }] } }]), "GET /ab", &ada, FORBIDDEN),
        (json!([{ "allow": { "paths": [{ "prefix": "/" }] } }]), "GET /x", &nobody, ALLOWED),
        (json!([{ "allow": { "paths": [{ "exact": "/x" }, { "prefix": "/y" }] } }]), "GET /y/z", &nobody, ALLOWED),
        // Scopes.
        (json!([{ "allow": { "scopes": ["read", "write"] } }]), "GET /", &ada, ALLOWED),
        (json!([{ "allow": { "scopes": ["read", "write"] } }]), "GET /", &bob, FORBIDDEN),
        (json!([{ "allow": { "scopes": ["read"] } }]), "GET /", &nobody, WHO),
        (json!([{ "allow": { "anyScope": ["write", "read"] } }]), "GET /", &bob, ALLOWED),
        (json!([{ "allow": { "anyScope": ["write"] } }]), "GET /", &bob, FORBIDDEN),
        (json!([{ "allow": { "anyScope": ["rea"] } }]), "GET /", &bob, FORBIDDEN),
        // Claims.
        (json!([{ "allow": { "claims": { "role": ["admin", "ops"] } } }]), "GET /", &ada, ALLOWED),
        (json!([{ "allow": { "claims": { "role": ["admin", "ops"] } } }]), "GET /", &bob, FORBIDDEN),
        (json!([{ "allow": { "claims": { "role": ["dev"] } } }]), "GET /", &bob, ALLOWED),
        (json!([{ "allow": { "claims": { "org.id": ["7"] } } }]), "GET /", &ada, ALLOWED),
        (json!([{ "allow": { "claims": { "org.paid": ["true"] } } }]), "GET /", &ada, ALLOWED),
        (json!([{ "allow": { "claims": { "org": ["7"] } } }]), "GET /", &ada, FORBIDDEN),
        (json!([{ "allow": { "claims": { "org.id": ["7"], "role": ["ops"] } } }]), "GET /", &ada, FORBIDDEN),
        (json!([{ "allow": { "claims": { "missing": ["null"] } } }]), "GET /", &ada, FORBIDDEN),
        (json!([{ "allow": { "claims": { "role": ["dev"] } } }]), "GET /", &nobody, WHO),
        // Subjects, and whether there is one.
        (json!([{ "allow": { "subjects": ["eve", "bob"] } }]), "GET /", &bob, ALLOWED),
        (json!([{ "allow": { "subjects": ["eve", "bob"] } }]), "GET /", &ada, FORBIDDEN),
        (json!([{ "allow": { "subjects": [""] } }]), "GET /", &json!({}), FORBIDDEN),
        (json!([{ "allow": { "authenticated": true } }]), "GET /", &bob, ALLOWED),
        (json!([{ "allow": { "authenticated": true } }]), "GET /", &nobody, WHO),
        (json!([{ "allow": { "authenticated": false } }]), "GET /", &nobody, ALLOWED),
        (json!([{ "allow": { "authenticated": false } }]), "GET /", &bob, FORBIDDEN),
        // Order.
        (json!([{ "deny": { "subjects": ["bob"] } }, { "allow": {} }]), "GET /", &bob, FORBIDDEN),
        (json!([{ "deny": { "subjects": ["bob"] } }, { "allow": {} }]), "GET /", &nobody, ALLOWED),
        (json!([{ "allow": { "subjects": ["bob"] } }, { "deny": {} }]), "GET /", &bob, ALLOWED),
    ];
    for (rules, request, who, expected) in rows {
        let (method, path) = request.split_once(' ').unwrap();
        let decided =
            filter(json!({ "rules": rules })).decide(&Method::from_str(method).unwrap(), path, client(who).as_ref());
        assert_eq!(decided, expected, "{rules} {request} {who}");
    }
}

#[test]
fn the_default_can_be_to_allow() {
    let filter = filter(json!({ "rules": [{ "deny": { "paths": [{ "prefix": "/admin" }] } }], "default": "allow" }));
    assert_eq!(filter.decide(&Method::GET, "/", None), ALLOWED);
    assert_eq!(filter.decide(&Method::GET, "/admin/x", None), WHO);
}

proptest! {
    #[test]
    fn without_a_rule_that_allows_nothing_is_allowed(
        paths in proptest::collection::vec("/[a-c]{0,2}", 0..4), method in "[A-Z]{1,5}", path in "/[a-c/]{0,4}",
        known: bool,
    ) {
        let rules: Vec<Value> = paths.iter().map(|path| json!({ "deny": { "paths": [{ "prefix": path }] } })).collect();
        let who = known.then(|| client(&json!({ "sub": "ada", "scope": "read" })).unwrap());
        let decided = filter(json!({ "rules": rules })).decide(&Method::from_str(&method).unwrap(), &path, who.as_ref());
        prop_assert!(decided.is_err());
    }
}
