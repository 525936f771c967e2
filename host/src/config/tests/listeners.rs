//! Listeners: mistakes and their places, short and long forms.

use super::*;

fn one(text: &str) -> Vec<String> {
    complaints(&[("gateway.yaml", text)], None)
}

const TLS: &str = "tls: { certificates: [{ cert: a, key: b }] }";

#[test]
fn mistakes_are_found_where_they_are() {
    let listener = |rest: &str| format!("listeners:\n  - {{ name: a, address: '127.0.0.1:1', {rest} }}\n");
    let rows = [
        ("listeners: [{ name: a }]".to_owned(), "gateway.yaml:1:13 ", "address"),
        ("listeners: [{ name: A, address: '127.0.0.1:1' }]".to_owned(), "gateway.yaml:1:21 ", "a listener's name"),
        (listener("hostname: 'a b'"), "gateway.yaml:2:50 ", "no host name"),
        (listener("redirectToHttps: 0"), "gateway.yaml:2:57 ", "no port"),
        (listener("redirectToHttps: maybe"), "gateway.yaml:2:57 ", "true, false or a port"),
        (listener(&format!("redirectToHttps: true, {TLS}")), "gateway.yaml:2:57 ", "has TLS already"),
        (listener("tls: { certificates: [] }"), "gateway.yaml:2:47 ", "at least one"),
        (listener("tls: { certificates: [{ cert: '', key: b }] }"), "gateway.yaml:2:70 ", "an empty path"),
        (listener("tls: { certificates: [{ cert: a }] }"), "gateway.yaml:2:62 ", "key"),
        (listener("tls: { certificates: [{ cert: a, key: b }], minVersion: '1.1' }"), "gateway.yaml:2:96 ", "1.1"),
        (
            listener("tls: { certificates: [{ cert: a, key: b }], clientAuth: { ca: '' } }"),
            "gateway.yaml:2:102 ",
            "an empty path",
        ),
        (
            listener("tls: { certificates: [{ cert: a, key: b }], hsts: { preload: true } }"),
            "gateway.yaml:2:101 ",
            "includeSubDomains",
        ),
        (format!("listen: 127.0.0.1:81\n{}", listener("")), "gateway.yaml:1:1 ", "is not used"),
        (format!("{}  - {{ name: a, address: '127.0.0.1:2' }}", listener("")), "gateway.yaml:3:13 ", "named `a` too"),
        (
            format!("{}  - {{ name: b, address: '127.0.0.1:1' }}", listener("")),
            "gateway.yaml:3:25 ",
            "only listeners with TLS",
        ),
        (
            format!("{}  - {{ name: b, address: '127.0.0.1:1', {TLS} }}", listener(TLS)),
            "gateway.yaml:3:25 ",
            "the same `hostname`",
        ),
        ("listeners: [{ name: a, address: '127.0.0.1:9090' }]".to_owned(), "gateway.yaml:1:33 ", "admin API's"),
    ];
    for (text, place, message) in rows {
        let complaints = one(&text);
        assert_eq!(complaints.len(), 1, "{text}: {complaints:#?}");
        assert!(complaints[0].starts_with(place) && complaints[0].contains(message), "{text}: {complaints:#?}");
    }
}

#[test]
fn what_makes_sense_is_accepted() {
    let text = format!(
        "listeners:\n  - {{ name: a, address: '127.0.0.1:1', {TLS} }}\n  \
         - {{ name: b, address: '127.0.0.1:1', hostname: b.example.com, {TLS} }}\n  \
         - {{ name: c, address: '127.0.0.1:2', redirectToHttps: 8443 }}\n  \
         - {{ name: d, address: '127.0.0.1:3', redirectToHttps: true }}\n  \
         - {{ name: e, address: '127.0.0.1:0' }}\n  - {{ name: f, address: '127.0.0.1:0' }}\n"
    );
    let config = load_files(&[("gateway.yaml", &text)], None).unwrap_or_else(|problems| panic!("{problems}"));
    let listeners = &config.gateway.listeners;
    assert_eq!(listeners[2].redirect_to_https, RedirectToHttps::Port(8443));
    assert_eq!(listeners[3].redirect_to_https, RedirectToHttps::Port(443));
    assert_eq!(config.gateway.public_listeners().len(), 6);
    let unquoted = text.replacen("certificates:", "minVersion: 1.3, certificates:", 1);
    let config = load_files(&[("gateway.yaml", &unquoted)], None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.gateway.listeners[0].tls.as_ref().unwrap().min_version, TlsVersion::V1_3);
}

#[test]
fn listen_is_one_plain_listener() {
    let config = load_files(&[("gateway.yaml", "listen: 127.0.0.1:81")], None).unwrap();
    let listeners = config.gateway.public_listeners();
    assert_eq!(listeners.len(), 1);
    assert_eq!((listeners[0].name.as_str(), listeners[0].address.port()), ("default", 81));
    assert!(listeners[0].tls.is_none());
}

#[test]
fn the_example_is_right() {
    let text = format!("{{ \"listeners\": [{}] }}", super::super::listener::EXAMPLE);
    let config = load_files(&[("gateway.yaml", &text)], None).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.gateway.listeners.len(), 1);
}
