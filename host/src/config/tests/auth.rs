//! Mistakes in `auth` and in `jwt` filters: where they are found, and what is said.

use super::*;

/// A provider that is right, with one line of it changed.
fn provider(key: &str, value: &str) -> String {
    let lines = [
        ("name", "idp"),
        ("issuer", "https://idp.example"),
        ("audiences", "[orders]"),
        ("algorithms", "[ES256]"),
        ("jwks", "{ url: 'https://idp.example/jwks' }"),
        ("leeway", "60s"),
        ("maxAge", "1h"),
        ("cacheFor", "10m"),
        ("fetchTimeout", "1s"),
        ("staleFor", "24h"),
    ];
    let lines = lines.map(|(name, right)| format!("    {name}: {}\n", if name == key { value } else { right }));
    format!("auth:\n  providers:\n  -\n{}", lines.concat())
}

#[track_caller]
fn assert_complaint(text: &str, place: &str, message: &str) {
    let found = complaints(&[("gateway.yaml", text)], None);
    let [found] = found.as_slice() else { panic!("one complaint expected: {found:?}\n{text}") };
    assert!(found.starts_with(&format!("gateway.yaml:{place} ")) && found.contains(message), "{found}\n{text}");
}

#[test]
fn a_provider_that_makes_no_sense_is_pointed_at() {
    assert_eq!(complaints(&[("gateway.yaml", &provider("", ""))], None), Vec::<String>::new());
    for (key, value, place, message) in [
        ("name", "''", "4:11", "`` is no name"),
        ("issuer", "''", "5:13", "`` is no issuer"),
        ("audiences", "[]", "6:16", "no audience: say whom tokens are for, or `any`"),
        ("audiences", "['']", "6:17", "an empty audience"),
        ("audiences", "all", "6:16", "expected a list of audiences, or any, found text `all`"),
        ("audiences", "[[a]]", "6:17", "expected text, found a list"),
        ("algorithms", "[]", "7:17", "no algorithm: say how tokens are signed"),
        ("algorithms", "[none]", "7:18", "unknown value `none`"),
        ("algorithms", "[es256]", "7:18", "unknown value `es256`"),
        ("algorithms", "[ES256, ES256]", "7:25", "an algorithm twice"),
        ("algorithms", "[ES256, RS256]", "7:25", "RSA beside EC: one provider has keys of one family"),
        ("algorithms", "[HS256]", "8:11", "HS algorithms need a shared secret"),
        ("jwks", "{ secret: { env: A } }", "8:13", "EC algorithms need public keys"),
        ("jwks", "{ secret: { env: '' } }", "8:", ""),
        ("jwks", "{ file: '' }", "8:19", "an empty path"),
        ("jwks", "{ url: 'http://idp.example/jwks' }", "8:18", "is not safe: keys come by https"),
        ("jwks", "{ url: 'ftp://127.0.0.1/jwks' }", "8:18", "is not safe"),
        ("jwks", "{ url: 'https://u:hunter2@idp.example/' }", "8:18", "neither credentials nor a fragment"),
        ("jwks", "{ url: 'https://idp.example/#a' }", "8:18", "neither credentials nor a fragment"),
        ("jwks", "{ url: '/jwks' }", "8:18", "is no whole address"),
        ("jwks", "{ url: a, file: b }", "8:21", "expected only one key"),
        ("leeway", "11m", "9:13", "`11m` is out of bounds"),
        ("maxAge", "0s", "10:13", "`0s` is too little"),
        ("cacheFor", "0s", "11:15", "`0s` is out of bounds"),
        ("fetchTimeout", "1m", "12:19", "`1m` is out of bounds"),
        ("staleFor", "169h", "13:15", "`169h` is out of bounds"),
    ] {
        if message.is_empty() {
            // Wrong in two ways at once.
            assert_eq!(complaints(&[("gateway.yaml", &provider(key, value))], None).len(), 2);
            continue;
        }
        assert_complaint(&provider(key, value), place, message);
    }
    let credentials = provider("jwks", "{ url: 'https://u:hunter2@idp.example/' }");
    assert!(!complaints(&[("gateway.yaml", &credentials)], None)[0].contains("hunter2"));
    for url in ["http://127.0.0.1:8080/jwks", "http://localhost/jwks", "http://[::1]:80/jwks", "https://a/?p=b"] {
        let right = provider("jwks", &format!("{{ url: '{url}' }}"));
        assert_eq!(complaints(&[("gateway.yaml", &right)], None), Vec::<String>::new(), "{url}");
    }
    let twice = format!("{}{}", provider("", ""), provider("", "").replace("auth:\n  providers:\n", ""));
    assert_complaint(&twice, "15:11", "a second provider `idp`");
}

#[test]
fn what_cannot_be_guessed_about_a_provider_must_be_written() {
    for key in ["name", "issuer", "audiences", "algorithms", "jwks"] {
        let text: String =
            provider("", "").split_inclusive('\n').filter(|line| !line.contains(&format!("    {key}:"))).collect();
        assert_complaint(&text, "4:5", &format!("`{key}` is missing"));
    }
}

#[test]
fn a_jwt_filter_that_makes_no_sense_is_pointed_at() {
    // The piece that is blamed stands once in each.
    for (filter, blamed, message) in [
        ("{}", "{}", "`provider` is missing"),
        ("{ provider: [] }", "[]", "no provider: name one"),
        ("{ provider: { q: b } }", "{ q", "expected a provider's name, or a list of names, found a map"),
        ("{ provider: a, from: { header: 'a b' } }", "'a b'", "`a b` is no header name"),
        ("{ provider: a, from: { query: '' } }", "''", "a parameter needs a name"),
        ("{ provider: a, from: { cookie: 'a;b' } }", "'a;b'", "`a;b` is no cookie name"),
        ("{ provider: a, from: { body: a } }", "body", "unknown key `body`"),
        ("{ provider: a, claimsToHeaders: { sub: 'x:y' } }", "'x:y'", "`x:y` is no header name"),
        ("{ provider: a, claimsToHeaders: { sub: Host } }", "Host", "`host` is not for claims"),
        ("{ provider: a, claimsToHeaders: { sub: X_Forwarded_For } }", "X_", "is not for claims"),
        ("{ provider: a, claimsToHeaders: { a: x-user, b: X_User } }", "X_User", "`X_User` is taken by the claim `a`"),
        ("{ provider: a, claimsToHeaders: { '': x-user } }", "''", "`x-user` needs a claim"),
        ("{ provider: a, forward: 'yes' }", "'yes'", "expected true or false"),
    ] {
        let auth =
            "\nauth: { providers: [{ name: a, issuer: a, audiences: any, algorithms: [EdDSA], jwks: { file: a } }] }";
        let text = format!("filters: [{{ jwt: {filter} }}]{auth}");
        let found = complaints(&[("gateway.yaml", &text)], None);
        let found = found.first().unwrap_or_else(|| panic!("no complaint: {text}"));
        let place = format!("gateway.yaml:1:{} ", text.find(blamed).unwrap() + 1);
        assert!(found.starts_with(&place) && found.contains(message), "{found}\n{text}");
    }
}

#[test]
fn what_is_printed_of_providers_reads_back_and_shows_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "hunter2-hunter2-hunter2-hunter2-").unwrap();
    let jwks = format!("{{ secret: {{ file: '{}' }} }}", secret.display());
    let text = provider("algorithms", "[HS256]").replace("{ url: 'https://idp.example/jwks' }", &jwks);
    let config = load_files(&[("gateway.yaml", &text)], None).unwrap();
    let printed = serde_saphyr::to_string(&config.gateway).unwrap();
    assert!(!printed.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{printed}");
    assert_eq!(load_files(&[("gateway.yaml", &printed)], None).unwrap().gateway, config.gateway);
}

#[test]
fn a_filter_names_providers_that_are_there() {
    let text = provider("", "") + "filters: [{ jwt: { provider: [idp, other] } }, { jwt: { provider: third } }]";
    let dir = folder(&[("gateway.yaml", &text)]);
    let file = super::super::problem::File { path: dir.path().join("gateway.yaml"), text };
    let mut problems = Vec::new();
    let tree = super::super::tree::parse(&std::sync::Arc::new(file), &mut problems).unwrap();
    let gateway: Gateway = super::super::read::read(&tree, Default::default(), &mut problems);
    let at = super::super::check::At::root(&tree).get("filters");
    let mut check = super::super::check::Check { problems: &mut problems };
    Jwt::check_providers(&gateway.filters, &gateway.auth, &mut check, at);
    let found: Vec<(usize, String)> =
        problems.iter().map(|problem| (problem.position().unwrap().1, problem.message().to_owned())).collect();
    let message = |name: &str| format!("no provider `{name}` in `auth.providers`: there is idp");
    assert_eq!(found, [(36, message("other")), (67, message("third"))]);
}
