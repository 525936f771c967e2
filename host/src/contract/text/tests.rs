use std::time::Instant;

use serde_json::{Value, json};

use super::*;

fn wrong(text: &str) -> (usize, usize, String) {
    let Wrong { line, column, message } = read(text).unwrap_err();
    (line, column, message)
}

#[test]
fn both_notations_are_read() {
    assert_eq!(
        read("{\"a\": [1, 2.5, null, true, \"x\\u00e9\\/\"]}").unwrap(),
        json!({"a": [1, 2.5, null, true, "xé/"]})
    );
    let yaml =
        "a: &x [1, 0x1F, 0o17, 1e3, .5, '1', \"b\", no, ~, True]\n200: *x\nv: 3.0.3\nd: 2024-01-01\nt: !!str 5\n";
    let list = json!([1, 31, 15, 1000.0, 0.5, "1", "b", "no", null, true]);
    assert_eq!(read(yaml).unwrap(), json!({"a": list, "200": list, "v": "3.0.3", "d": "2024-01-01", "t": "5"}));
    assert_eq!(read("\u{feff}{}").unwrap(), json!({}));
    assert_eq!(read("").unwrap(), Value::Null);
    assert_eq!(read("a: 99999999999999999999\nb: 18446744073709551615").unwrap()["b"], json!(u64::MAX));
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(wrong("{\n \"a\": 1,\n \"a\": 2}").0, 3);
    assert_eq!(wrong("{\n \"a\" 1}"), (2, 6, "expected `:`".to_owned()));
    assert_eq!(wrong("a: 1\na: 2"), (2, 1, "`a` is given twice".to_owned()));
    assert_eq!(wrong("a: [1\nb: 2").0, 2);
    assert_eq!(wrong("a: 1\n---\nb: 2").0, 2);
    assert!(wrong("a:\n  <<: {b: 1}").2.contains("merge keys"));
    assert!(wrong("a: !include x").2.contains("has no meaning here"));
    assert!(wrong("? [a]\n: b").2.contains("must be a word"));
}

#[test]
fn bombs_are_refused_before_they_grow() {
    let began = Instant::now();
    let laughs: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","))).collect();
    assert!(wrong(&format!("a0: &a0 [x]\n{laughs}")).2.contains("copy more than"));
    assert!(wrong("a: &a [*a]").2.contains("alias"));
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |inside: &str| format!("{inside}{}1{}", open.repeat(100_000), close.repeat(100_000));
        assert!(read(&format!("{{\"a\": {}}}", deep(""))).is_err());
        assert!(read(&deep("a: ")).is_err());
    }
    let blocks: String = (0..500).map(|depth| format!("{}- \n", "  ".repeat(depth))).collect();
    assert!(read(&format!("a:\n{blocks}")).is_err());
    assert!(wrong(&format!("{{\"a\": [{}1]}}", "1,".repeat(MAX_VALUES))).2.contains("more than"));
    assert!(wrong(&format!("a: [{}1]", "1,".repeat(MAX_VALUES))).2.contains("more than"));
    assert!(wrong(&" ".repeat(MAX_BYTES + 1)).2.contains("at most"));
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}
