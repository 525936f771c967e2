//! What every call has: frames, statuses, deadlines.

use super::*;

fn asked() -> Vec<u8> {
    framed(&GetProductRequest { id: "p7".to_owned() })
}

#[test]
fn what_the_services_say_has_a_code() {
    for (status, expected) in [
        (400, 3),
        (401, 16),
        (403, 7),
        (404, 5),
        (409, 9),
        (412, 9),
        (422, 3),
        (429, 8),
        (500, 13),
        (502, 14),
        (503, 14),
        (504, 4),
        (507, 13),
    ] {
        answered_by(move |_, _| Err(Error::new(status, "a secret: 100% café\n")));
        let (_, code, message) = answer::<Product>(request(PRODUCT, asked()));
        assert_eq!(code, expected, "{status}");
        let told = message == "a secret: 100%25 caf%C3%A9%0A";
        let ours = matches!(expected, 13 | 14 | 4);
        assert_eq!(told, !ours, "{status}: {message}");
    }
    answer_calls(|_| Ok(Response::text("no JSON")));
    assert_eq!(code::<Product>(request(PRODUCT, asked())), 14);
}

#[test]
fn a_message_has_a_bound_that_cuts_no_character() {
    let trailers = Status::new(Code::NotFound, "é".repeat(400)).trailers();
    assert_eq!(trailers[1].1, "%C3%A9".repeat(256));
}

#[test]
fn frames_are_whole_small_and_not_compressed() {
    answered_by(|_, _| Ok(Response::json(&product(7))));
    let long = |length: u32| [&[0_u8][..], &length.to_be_bytes()].concat();
    let flagged = |flag: u8| [&[flag][..], &asked()[1..]].concat();
    for (body, expected) in [
        (Vec::new(), 3),
        ([asked(), asked()].concat(), 3),
        (asked()[..3].to_vec(), 13),
        (asked()[..7].to_vec(), 13),
        (flagged(1), 13),
        (flagged(2), 13),
        (long(frame::LARGEST as u32 + 1), 8),
        (long(u32::MAX), 8),
        (long(100), 13),
        ([&[0, 0, 0, 0, 2][..], &[0xff, 0xff]].concat(), 3),
        (asked(), 0),
    ] {
        assert_eq!(code::<Product>(request(PRODUCT, body.clone())), expected, "{body:?}");
    }
}

#[test]
fn headers_say_what_is_not_understood() {
    let asked_for = answered_by(|_, _| Ok(Response::json(&product(7))));
    let with = |name: &str, value: &str| code::<Product>(request(PRODUCT, asked()).with_header(name, value));
    assert_eq!(with("grpc-encoding", "gzip"), 12);
    assert_eq!(with("grpc-timeout", "soon"), 3);
    assert_eq!(with("grpc-timeout", "0S"), 4);
    assert_eq!(asked_for.borrow().len(), 0);
    assert_eq!(with("grpc-encoding", "identity"), 0);
    assert_eq!(with("grpc-timeout", "5S"), 0);
    for path in ["/wharf.shop.v1.Catalog/Nothing", "/nothing/GetProduct", "/grpc.health.v1.Health/Watch"] {
        assert_eq!(code::<Product>(request(path, asked())), 12, "{path}");
    }
    let kind = |kind: &str| {
        let request = Request::new(Method::Post, PRODUCT).with_header("content-type", kind).with_body(asked());
        ROUTER.handle(request).status()
    };
    for (name, expected) in [
        ("application/grpc", 200),
        ("application/grpc+proto", 200),
        ("application/grpc; charset=utf-8", 200),
        ("application/grpc+json", 415),
        ("application/grpc-web", 415),
        ("application/json", 415),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
    assert_eq!(ROUTER.handle(Request::get(PRODUCT)).status(), 405);
}

#[test]
fn a_service_that_is_slow_is_no_deadline_and_a_deadline_is_one() {
    answered_by(|_, _| {
        deadline::pause(std::time::Duration::from_millis(60));
        Err(Error::new(503, "no place"))
    });
    assert_eq!(code::<Product>(request(PRODUCT, asked())), 14);
    answer_calls(|_| {
        deadline::pause(std::time::Duration::from_millis(60));
        Ok(Response::text("no JSON"))
    });
    assert_eq!(code::<Product>(request(PRODUCT, asked()).with_header("grpc-timeout", "50m")), 4);
}
