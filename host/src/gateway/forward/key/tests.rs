use http::header::COOKIE;
use serde_json::json;

use super::*;

fn config(value: serde_json::Value) -> LoadBalancer {
    serde_json::from_value(value).unwrap()
}

fn hashed(key: serde_json::Value) -> Hashed {
    Hashed::new(&config(json!({ "strategy": { "consistentHash": { "key": key } } }))).unwrap()
}

#[test]
fn the_key_is_what_the_configuration_names_and_nothing_else() {
    let mut headers = HeaderMap::new();
    headers.insert("x-user", HeaderValue::from_static("ada"));
    headers.insert(COOKIE, HeaderValue::from_static("session=s1; other=2"));
    let uri: Uri = "/a?cart=c1&x=2".parse().unwrap();
    let keys = Keys { uri: &uri, headers: &headers, client: Some([192, 0, 2, 7].into()) };
    for (key, expected) in [
        (json!({ "header": "X-User" }), Some(hash_key(b"ada"))),
        (json!({ "header": "x-none" }), None),
        (json!({ "cookie": "session" }), Some(hash_key(b"s1"))),
        (json!({ "queryParam": "cart" }), Some(hash_key(b"c1"))),
        (json!({ "queryParam": "none" }), None),
        (json!("clientIp"), Some(hash_key(&[192, 0, 2, 7]))),
    ] {
        assert_eq!(hashed(key.clone()).of(&keys), expected, "{key}");
    }
    assert_eq!(hashed(json!("clientIp")).of(&Keys { client: None, ..keys }), None, "a service has no address");
    assert!(Hashed::new(&config(json!({ "strategy": "random" }))).is_none());
}

#[test]
fn customers_of_ipv6_have_one_key_for_their_whole_network() {
    let (uri, headers) = (Uri::default(), HeaderMap::new());
    let of = |client: &str| {
        let client = Some(client.parse().unwrap());
        hashed(json!("clientIp")).of(&Keys { uri: &uri, headers: &headers, client })
    };
    assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
    assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
}

#[test]
fn a_session_cookie_is_sent_once_and_says_as_much_as_it_must() {
    let sticky = Sticky::new(&config(json!({ "stickySession": { "cookie": "sid", "ttl": "1m" } }))).unwrap();
    let token = Token::of("orders/a").to_string();
    for (uri, expected) in [
        ("/", format!("sid={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=60")),
        ("https://a.test/", format!("sid={token}; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60")),
    ] {
        let uri: Uri = uri.parse().unwrap();
        let keys = Keys { uri: &uri, headers: &HeaderMap::new(), client: None };
        assert_eq!(sticky.cookie("orders/a", &keys).unwrap(), expected);
    }
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::try_from(format!("sid={token}")).unwrap());
    let keys = Keys { uri: &Uri::default(), headers: &headers, client: None };
    assert_eq!(sticky.cookie("orders/a", &keys), None, "the client has it");
    assert!(sticky.cookie("orders/b", &keys).is_some(), "it is at another instance now");
    let session = Sticky::new(&config(json!({ "stickySession": {} }))).unwrap();
    let keys = Keys { uri: &Uri::default(), headers: &HeaderMap::new(), client: None };
    assert!(!session.cookie("a", &keys).unwrap().to_str().unwrap().contains("Max-Age"));
}
