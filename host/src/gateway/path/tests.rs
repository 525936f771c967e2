use proptest::prelude::*;

use super::*;

fn with(json: serde_json::Value) -> Requests {
    serde_json::from_value(json).unwrap()
}

fn normal(path: &str) -> Result<String, &'static str> {
    normalize(path, &Requests::default()).map(Cow::into_owned)
}

#[test]
fn ordinary_paths_are_not_copied() {
    for path in ["/", "/a", "/a/b/", "/a.b/c..d/e...", "/a-b_c~d", "/a:b@c!d$e&f'g(h)i*j+k,l=m"] {
        assert!(matches!(normalize(path, &Requests::default()), Ok(Cow::Borrowed(same)) if same == path), "{path}");
    }
}

#[test]
fn every_path_has_one_spelling() {
    for (path, expected) in [
        ("/%61dmin", "/admin"),
        ("/a%2db%5fc%7ed", "/a-b_c~d"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/.", "/a/b/"),
        ("/../../a", "/a"),
        ("//a///b//", "/a/b/"),
        ("/a//../b", "/b"),
        ("/.a/..b/...", "/.a/..b/..."),
        ("/%252e%252e/", "/%252e%252e/"),
        ("/%3f%23%25", "/%3F%23%25"),
        ("/%40x%21%24%26%27%28%29%2a%2c%3d%3a", "/@x!$&'()*,=:"),
        ("/a%2bb%3bc", "/a%2Bb%3Bc"),
        ("/.", "/"),
        ("/..", "/"),
        ("/a|b", "/a%7Cb"),
        ("/a%7cb", "/a%7Cb"),
        ("/{\"[^`<>]\"}", "/%7B%22%5B%5E%60%3C%3E%5D%22%7D"),
        ("/a%3b/%3Bb", "/a%3B/%3Bb"),
    ] {
        assert_eq!(normal(path).as_deref(), Ok(expected), "{path}");
    }
}

/// A rule protects `/admin`; another lets everybody in elsewhere. Whatever is sent either is `/admin…` to the rule, or
/// refused, or really is another resource to every program that reads paths by the standard.
#[test]
fn no_spelling_of_admin_slips_past_a_rule_for_it() {
    let spellings = [
        "/admin/secret",
        "//admin/secret",
        "///admin//secret",
        "/./admin/secret",
        "/%2e/admin/secret",
        "/x/../admin/secret",
        "/x/%2e%2e/admin/secret",
        "/x/.%2e/admin/secret",
        "/x/%2E./admin/secret",
        "/%61dmin/secret",
        "/%61%64%6d%69%6e/secret",
        "/%61%64%6D%69%6E/secret",
        "/adm%69n/secret",
        "/admin%2fsecret",
        "/admin%2Fsecret",
        "/admin%5csecret",
        "/admin%5Csecret",
        "/admin\\secret",
        "\\admin/secret",
        "/admin;/secret",
        "/admin;x=y/secret",
        "/;/admin/secret",
        "/;x/admin/secret",
        "/x/..;/admin/secret",
        "/x/.;/../admin/secret",
        "/x/..;a=b/admin/secret",
        "/x/..%3b/admin/secret",
        "/x/%2e%2e%3Ba/admin/secret",
        "/%2f/admin/secret",
        "/x%2f..%2fadmin/secret",
        "/x/..%2fadmin/secret",
        "/x%2f../admin/secret",
        "/..%5cadmin/secret",
        "/%00/admin/secret",
        "/admin%00/secret",
        "/admin/secret%00",
        "/%c0%ae%c0%ae/admin/secret",
        "/%c0%afadmin/secret",
        "/%e0%80%af/admin/secret",
        "/x/%c0%ae%c0%ae/admin/secret",
        "/admin/./secret",
        "/admin/x/../secret",
        "/admin/%0a/secret",
        "/admin%0d%0a/secret",
        "/admin%/secret",
        "/admin%2/secret",
        "/admin%zz/secret",
        "/%u0061dmin/secret",
        "/admin\u{ff0f}secret",
        "/admin/\u{e9}",
        "/admin#/../secret",
        "/../../../admin/secret",
        "/a/b/../../admin/secret",
        "/a//..//admin//secret",
    ];
    assert!(spellings.len() >= 40);
    for path in spellings {
        match normal(path) {
            Ok(path) => assert!(path == "/admin" || path.starts_with("/admin/"), "{path}"),
            Err(message) => assert!(!message.is_empty()),
        }
    }
}

#[test]
fn what_is_let_through_by_configuration_stays_as_it_is() {
    let forward = with(serde_json::json!({ "encodedSlashes": "forward", "pathParameters": "forward" }));
    for (path, expected) in [
        ("/a%2fb%5c", Ok("/a%2Fb%5C")),
        ("/a;v=1/b", Ok("/a;v=1/b")),
        ("/a%2f..%2fb", Ok("/a%2F..%2Fb")),
        ("/a/..;/b", Err(())),
        ("/a/.;x", Err(())),
        ("/;/a", Err(())),
        ("/a\\b", Err(())),
    ] {
        let result = normalize(path, &forward);
        assert_eq!(result.as_deref().map_err(|_| ()), expected, "{path}");
    }
    let apart = with(serde_json::json!({ "mergeSlashes": false }));
    for (path, expected) in [("//a//b/", "//a//b/"), ("/a//../b", "/a/b"), ("/a//", "/a//"), ("/%61//.", "/a//")] {
        assert_eq!(normalize(path, &apart).unwrap(), expected, "{path}");
    }
}

proptest! {
    #[test]
    fn a_normal_path_is_normal(path in "/[a-c./%;|\\[2-5bBeEfF\\\\]{0,30}", forward: bool, merge: bool) {
        let word = if forward { "forward" } else { "reject" };
        let rules = with(serde_json::json!({ "encodedSlashes": word, "pathParameters": word, "mergeSlashes": merge }));
        if let Ok(once) = normalize(&path, &rules) {
            prop_assert!(once.starts_with('/'));
            prop_assert!(once.split('/').all(|segment| !matches!(segment, "." | "..")), "{}", once);
            prop_assert_eq!(normalize(&once, &rules).map(Cow::into_owned), Ok(once.clone().into_owned()));
        }
    }

    #[test]
    fn any_text_is_answered(path in "\\PC*") {
        let _ = normalize(&path, &Requests::default());
    }
}
