//! Which calls are let through, and what they may say.

use http::HeaderName;

use super::super::filter::told;
use super::*;
use crate::capability::http::Trace;

fn caller(path: &[&str], service: &str) -> Caller {
    Caller {
        service: service.into(),
        version: "1".into(),
        request_id: "id".into(),
        deadline: None,
        trace: Trace::default(),
        cause: None,
        identity: HeaderMap::new(),
        path: path.iter().map(|name| Arc::from(*name)).collect(),
    }
}

fn refusal(path: &[&str], service: &str, name: &str, max_depth: u32) -> Option<String> {
    match way(&caller(path, service), &name.into(), max_depth) {
        Ok(way) => {
            let expected: Vec<Arc<str>> = path.iter().chain([&service]).map(|name| Arc::from(*name)).collect();
            assert_eq!(way, expected);
            None
        }
        Err(GatewayError::LoopDetected(way)) => Some(way),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_request_goes_so_many_calls_deep() {
    assert_eq!(refusal(&[], "a", "b", 1), None);
    assert_eq!(refusal(&["a"], "b", "c", 1).as_deref(), Some("a → b → c"));
    assert_eq!(refusal(&["a"], "b", "c", 2), None);
}

#[test]
fn a_service_is_on_the_way_three_times_at_most() {
    assert_eq!(refusal(&["a", "b"], "a", "b", 16), None, "a call back and forth is in order");
    assert_eq!(refusal(&["a", "b", "a", "b", "a"], "b", "a", 16).as_deref(), Some("a → b → a → b → a → b → a"));
    assert_eq!(refusal(&["a"], "a", "a", 16), None);
    assert_eq!(refusal(&["a", "a"], "a", "a", 16).as_deref(), Some("a → a → a → a"));
}

fn map(entries: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in entries {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

#[test]
fn an_identity_is_passed_on_and_never_made_up() {
    let told = told("x-user");
    let received = map(&[("x-user", "ann"), ("x-wharf-user-id", "7"), ("accept", "*/*"), ("client-cert", ":AA:")]);
    let identity = told_about_client(&told, &received);
    assert_eq!(identity, map(&[("x-user", "ann"), ("x-wharf-user-id", "7"), ("client-cert", ":AA:")]));
    for (sent, passed) in [
        (&[("x-user", "ann"), ("x-tenant", "t")][..], &[("x-user", "ann"), ("x-tenant", "t")][..]),
        (&[("x-user", "bob")], &[]),
        (&[("x-user", "ann"), ("x-user", "bob")], &[]),
        (&[("x_user", "ann")], &[]),
        (&[("x-wharf-user-id", "7")], &[("x-wharf-user-id", "7")]),
        (&[("x-wharf-user-id", "8")], &[]),
        (&[("x-wharf-user-roles", "admin")], &[]),
        (&[("client-cert", ":AA:")], &[("client-cert", ":AA:")]),
        (&[("client-cert", ":BB:")], &[]),
    ] {
        let mut headers = map(sent);
        forget_forged(&mut headers, &told, &identity);
        assert_eq!(headers, map(passed), "{sent:?}");
    }
}
