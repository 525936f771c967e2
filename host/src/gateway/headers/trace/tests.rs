use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const TRACE: &str = "12345678901234567890123456789012";
const VALID: &str = "00-12345678901234567890123456789012-1234567890123456-01";

fn sent(pairs: &[(&str, &str)]) -> (HeaderMap, Trace) {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let trace = trace(&mut headers);
    let said: Vec<_> = headers.get_all(TRACEPARENT).iter().collect();
    assert_eq!(said, [&trace.0], "there is one, and it is the one that is told");
    assert!(parent(&headers).is_some(), "{said:?} is valid");
    (headers, trace)
}

fn state_of(lines: &[&str]) -> Option<String> {
    let mut pairs = vec![("traceparent", VALID)];
    pairs.extend(lines.iter().map(|line| ("tracestate", *line)));
    let (headers, trace) = sent(&pairs);
    assert_eq!(trace.id(), TRACE, "{lines:?}: the trace goes on whatever its state is");
    let states: Vec<_> = headers.get_all(TRACESTATE).iter().collect();
    assert!(states.len() <= 1);
    states.first().map(|state| state.to_str().unwrap().to_owned())
}

#[test]
fn a_request_without_trace_begins_one_that_nobody_must_record() {
    let (headers, trace) = sent(&[("tracestate", "foo=1")]);
    assert!(trace.id().len() == 32 && trace.id() != "0".repeat(32));
    assert!(trace.0.to_str().unwrap().ends_with("-02"));
    assert!(!headers.contains_key(TRACESTATE), "there is no trace that it belongs to");
    assert_ne!(sent(&[]).1, sent(&[]).1);
}

#[test]
fn a_request_stays_in_its_trace_and_has_a_new_parent() {
    for (value, flags) in [
        (VALID, "01"),
        ("00-12345678901234567890123456789012-1234567890123456-00", "00"),
        ("00-12345678901234567890123456789012-1234567890123456-02", "02"),
        // Flags that nobody knows are not passed on.
        ("00-12345678901234567890123456789012-1234567890123456-ff", "03"),
        // Later versions say the same at the beginning; only one flag stays what it is.
        ("cc-12345678901234567890123456789012-1234567890123456-03", "01"),
        ("cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like", "01"),
        ("cc-12345678901234567890123456789012-1234567890123456-01-", "01"),
        ("fe-12345678901234567890123456789012-1234567890123456-00", "00"),
        (" \t00-12345678901234567890123456789012-1234567890123456-01\t ", "01"),
    ] {
        let (_, trace) = sent(&[("TraceParent", value)]);
        assert_eq!(trace.id(), TRACE, "{value}");
        let said = trace.0.to_str().unwrap();
        assert!(said.starts_with("00-") && said.ends_with(&format!("-{flags}")), "{value}: {said}");
        assert!(!said.contains("1234567890123456-0"), "{value}: {said} has the old parent");
    }
}

#[test]
fn what_is_no_trace_begins_a_new_one() {
    let two = [("traceparent", VALID), ("traceparent", "00-12345678901234567890123456789011-1234567890123456-01")];
    let (_, trace) = sent(&two);
    assert!(!trace.id().starts_with("123456789012345678901234567890"), "{trace:?}");
    let (_, trace) = sent(&[("traceparent", VALID), ("traceparent", VALID)]);
    assert_ne!(trace.id(), TRACE, "not even if both are the same");
    for name in ["trace-parent", "trace.parent", "trace_parent"] {
        let (_, trace) = sent(&[(name, VALID)]);
        assert_ne!(trace.id(), TRACE, "{name}");
    }
    let (id, span) = (TRACE, "1234567890123456");
    let bad = [
        String::new(),
        "-".to_owned(),
        // Versions.
        format!("00-{id}-{span}-01."),
        format!("00-{id}-{span}-01-what-the-future-will-be-like"),
        format!("cc-{id}-{span}-01.what-the-future-will-be-like"),
        format!("cc-{id}-{span}-010"),
        format!("ff-{id}-{span}-01"),
        format!(".0-{id}-{span}-01"),
        format!("0.-{id}-{span}-01"),
        format!("0G-{id}-{span}-01"),
        format!("CC-{id}-{span}-01"),
        format!("000-{id}-{span}-01"),
        format!("0000-{id}-{span}-01"),
        format!("0-{id}-{span}-01"),
        format!("+0-{id}-{span}-01"),
        format!("{id}-{span}-01"),
        // Trace ids.
        format!("00-{}-{span}-01", "0".repeat(32)),
        format!("00-.2345678901234567890123456789012-{span}-01"),
        format!("00-1234567890123456789012345678901.-{span}-01"),
        format!("00-1234567890123456789012345678901A-{span}-01"),
        format!("00-+2345678901234567890123456789012-{span}-01"),
        format!("00-{id}3-{span}-01"),
        format!("00-1234567890123456789012345678901-{span}-01"),
        format!("00--{span}-01"),
        // Parents.
        format!("00-{id}-{}-01", "0".repeat(16)),
        format!("00-{id}-.234567890123456-01"),
        format!("00-{id}-123456789012345.-01"),
        format!("00-{id}-123456789012345A-01"),
        format!("00-{id}-{span}7-01"),
        format!("00-{id}-123456789012345-01"),
        format!("00-{id}--01"),
        // Flags.
        format!("00-{id}-{span}-.0"),
        format!("00-{id}-{span}-0."),
        format!("00-{id}-{span}-0A"),
        format!("00-{id}-{span}-001"),
        format!("00-{id}-{span}-1"),
        format!("00-{id}-{span}-"),
        format!("00-{id}-{span}"),
        // Separators, and two in one line.
        format!("00_{id}-{span}-01"),
        format!("00-{id}_{span}-01"),
        format!("00-{id} -{span}-01"),
        format!("{VALID},{VALID}"),
    ];
    for value in bad {
        let (headers, trace) = sent(&[("traceparent", &value), ("tracestate", "foo=1")]);
        assert_ne!(trace.id(), TRACE, "{value}");
        assert!(!headers.contains_key(TRACESTATE), "{value}");
    }
}

#[test]
fn the_state_of_a_trace_is_passed_on_as_one_line() {
    let long_key = format!("{}=1", "z".repeat(256));
    let tenant = format!("{}@{}=1", "t".repeat(241), "v".repeat(14));
    let long_value = format!("foo={}", "v".repeat(256));
    let many: Vec<String> = (0..32).map(|n| format!("bar{n:02}={n:02}")).collect();
    let many = many.join(",");
    for (lines, expected) in [
        (vec!["foo=1,bar=2"], "foo=1,bar=2"),
        (vec!["foo=1", "bar=2"], "foo=1,bar=2"),
        (vec!["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (vec!["foo=1,", ",,bar=2"], "foo=1,bar=2"),
        (vec!["foo=1,foo=2"], "foo=1,foo=2"),
        (vec!["foo= 1 2"], "foo= 1 2"),
        (vec!["a-_*/0=!~<>"], "a-_*/0=!~<>"),
        (vec!["0t@v=1"], "0t@v=1"),
        (vec![&long_key], &long_key),
        (vec![&tenant], &tenant),
        (vec![&long_value], &long_value),
        (vec![&many], &many),
    ] {
        assert_eq!(state_of(&lines).as_deref(), Some(expected), "{lines:?}");
    }
}

#[test]
fn a_malformed_state_is_dropped_and_the_trace_goes_on() {
    let key = format!("{}=1", "z".repeat(257));
    let tenant = format!("{}@v=1", "t".repeat(242));
    let vendor = format!("t@{}=1", "v".repeat(15));
    let value = format!("foo={}", "v".repeat(257));
    let many = (0..33).map(|n| format!("b{n}=1")).collect::<Vec<_>>().join(",");
    for line in [
        "",
        " ",
        ",",
        "foo",
        "foo=",
        "=1",
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "0foo=1",
        "_foo=1",
        "foo@=1",
        "@foo=1",
        "foo@@bar=1",
        "foo@bar@baz=1",
        "t@0=1",
        "foo=bar=baz",
        "foo=1\u{e9}",
        "foo=\t1",
        &key,
        &tenant,
        &vendor,
        &value,
        &many,
    ] {
        assert_eq!(state_of(&[line]), None, "{line}");
    }
    assert_eq!(state_of(&["foo=1", "="]), None, "a part of it is as bad");
}

#[test]
fn what_is_too_long_loses_long_members_first_and_then_the_oldest() {
    let member = |name: &str, length: usize| format!("{name}={}", "v".repeat(length - name.len() - 1));
    let whole = [member("a", 128), member("b", 128), member("c", 128), member("d", 125)].join(",");
    assert_eq!(whole.len(), 512);
    assert_eq!(state_of(&[&whole]), Some(whole.clone()));
    let with_long = format!("{},{whole}", member("long", 129));
    assert_eq!(state_of(&[&with_long]), Some(whole.clone()));
    let with_old = format!("{whole},e=1,f=1");
    assert_eq!(state_of(&[&with_old]), Some(whole));
    let only_long = [member("a", 200), member("b", 200), member("c", 200)].join(",");
    assert_eq!(state_of(&[&only_long]), None);
}

proptest! {
    #[test]
    fn whatever_is_sent_there_is_a_valid_trace(
        parent in "(00|cc|ff|[0-9a-f]{1,3})-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}(-[ -~]{0,4})?|[ -~]{0,60}",
        state in "[ -~\\t]{0,60}",
    ) {
        let (headers, _) = sent(&[("traceparent", &parent), ("tracestate", &state)]);
        if let Some(state) = headers.get(TRACESTATE) {
            prop_assert!(state.len() <= 512 && parent.trim().len() >= 55);
        }
    }
}
