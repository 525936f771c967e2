use std::time::Instant;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::contract::Direction;
use crate::contract::document::{Document, Fault};

const BUDGET: u64 = 1_000_000;

fn compile(document: &Value, old: bool) -> Result<(Schemas, Id), Fault> {
    let document = Document(document);
    let mut compiler = Compiler::new(document, old);
    let id = compiler.schema(document.root().get("top").unwrap());
    Ok((compiler.finish()?, id))
}

fn check_in(schema: Value, defs: Value, value: &Value, direction: Direction, old: bool) -> Checked {
    let document = json!({ "top": schema, "defs": defs });
    let (schemas, id) = compile(&document, old).unwrap_or_else(|fault| panic!("{fault:?}"));
    schemas.check(id, value, direction, BUDGET)
}

fn check(schema: Value, value: Value) -> Checked {
    check_in(schema, json!({}), &value, Direction::Request, false)
}

fn found(checked: Checked) -> Vec<(String, String)> {
    match checked {
        Checked::Wrong(list) => list.into_iter().map(|found| (found.pointer, found.message)).collect(),
        other => panic!("{other:?}"),
    }
}

fn fault(schema: Value) -> Fault {
    compile(&json!({ "top": schema }), false).unwrap_err()
}

#[test]
fn every_fault_is_told_with_its_pointer() {
    let schema = json!({
        "type": "object", "required": ["id", "items"], "additionalProperties": false,
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "items": { "type": "array", "minItems": 1, "items": {
                "type": "object", "properties": { "a/b": { "type": "integer", "minimum": 1 } },
            } },
        },
    });
    let value = json!({ "id": "x", "items": [{ "a/b": 1 }, { "a/b": 0 }, { "a/b": "1" }], "more": 1 });
    assert_eq!(
        found(check(schema.clone(), value)),
        [
            ("/id".to_owned(), "must be a uuid".to_owned()),
            ("/items/1/a~1b".to_owned(), "must be at least 1".to_owned()),
            ("/items/2/a~1b".to_owned(), "must be a whole number".to_owned()),
            ("/more".to_owned(), "is not allowed here".to_owned()),
        ]
    );
    let missing = found(check(schema.clone(), json!({})));
    assert_eq!(missing[0], ("/id".to_owned(), "is required".to_owned()));
    assert_eq!(found(check(schema, json!([]))), [(String::new(), "must be an object".to_owned())]);
}

#[test]
fn the_form_that_was_meant_tells_what_is_wrong_with_it() {
    let schema = json!({ "oneOf": [{ "type": "null" }, { "type": "object", "required": ["a"] }] });
    assert_eq!(found(check(schema.clone(), json!({}))), [("/a".to_owned(), "is required".to_owned())]);
    assert_eq!(found(check(schema, json!(5)))[0].1, "has none of the forms that are allowed here");
    let both = json!({ "oneOf": [{ "minimum": 1 }, { "maximum": 5 }] });
    assert!(found(check(both, json!(3)))[0].1.contains("more than one"));
}

#[test]
fn what_only_the_other_side_sends_is_not_missed() {
    let schema = json!({
        "required": ["id", "password"],
        "properties": { "id": { "$ref": "#/defs/id" }, "password": { "type": "string", "writeOnly": true } },
    });
    let defs = json!({ "id": { "type": "string", "readOnly": true } });
    let check = |value: Value, direction| check_in(schema.clone(), defs.clone(), &value, direction, false);
    assert_eq!(check(json!({ "password": "x" }), Direction::Request), Checked::Right);
    assert_eq!(check(json!({ "id": "x" }), Direction::Response), Checked::Right);
    assert_eq!(found(check(json!({ "id": "x" }), Direction::Request))[0].0, "/password");
    assert_eq!(found(check(json!({ "password": "x" }), Direction::Response))[0].0, "/id");
}

#[test]
fn schemas_of_3_0_have_their_own_words() {
    let old = |schema: Value, value: Value| {
        check_in(schema, json!({ "a": { "type": "string" } }), &value, Direction::Request, true) == Checked::Right
    };
    assert!(old(json!({ "type": "string", "nullable": true, "enum": ["a"] }), json!(null)));
    assert!(!old(json!({ "type": "string" }), json!(null)));
    assert!(!old(json!({ "minimum": 1, "exclusiveMinimum": true }), json!(1)));
    assert!(old(json!({ "minimum": 1, "exclusiveMinimum": true }), json!(1.5)));
    // What stands beside a reference means nothing.
    assert!(old(json!({ "$ref": "#/defs/a", "minLength": 5 }), json!("x")));
    assert!(!old(json!({ "additionalProperties": false }), json!({ "a": 1 })));
}

#[test]
fn trees_may_refer_to_themselves_and_rings_may_not() {
    let tree = json!({ "type": "object", "properties": { "next": { "$ref": "#/top" } }, "required": ["v"] });
    assert_eq!(check(tree.clone(), json!({ "v": 1, "next": { "v": 2 } })), Checked::Right);
    assert_eq!(found(check(tree, json!({ "v": 1, "next": { "next": { "v": 3 } } })))[0].0, "/next/v");
    for ring in [json!({ "$ref": "#/top" }), json!({ "anyOf": [{ "type": "null" }, { "$ref": "#/top" }] })] {
        assert!(fault(ring).message.contains("defined by itself"));
    }
    // A long chain is no ring, and no deep stack either.
    let mut defs: serde_json::Map<String, Value> =
        (0..20_000).map(|n| (format!("d{n}"), json!({ "$ref": format!("#/defs/d{}", n + 1) }))).collect();
    defs.insert("d20000".to_owned(), json!({ "type": "null" }));
    let value = json!(null);
    let document = json!({ "top": { "$ref": "#/defs/d0" }, "defs": defs });
    let (schemas, id) = compile(&document, false).unwrap();
    assert_eq!(schemas.check(id, &value, Direction::Request, BUDGET), Checked::TooCostly);
}

#[test]
fn nothing_that_a_schema_asks_costs_more_than_its_budget() {
    let began = Instant::now();
    // 2^40 questions about one value.
    let mut defs = serde_json::Map::new();
    for n in 0..40 {
        let next = json!({ "$ref": format!("#/defs/d{}", n + 1) });
        defs.insert(format!("d{n}"), json!({ "allOf": [next, next] }));
    }
    defs.insert("d40".to_owned(), json!({ "type": "string" }));
    let ask = |word: &str, value: Value| {
        let text = Value::Object(defs.clone()).to_string().replace("allOf", word);
        let defs: Value = serde_json::from_str(&text).unwrap();
        check_in(json!({ "$ref": "#/defs/d0" }), defs, &value, Direction::Request, false)
    };
    for word in ["allOf", "anyOf", "oneOf"] {
        for value in [json!("x"), json!(5)] {
            // `anyOf` stops at the first that fits.
            let easy = word == "allOf" && value == json!(5) || word == "anyOf" && value == json!("x");
            let expected = if easy { None } else { Some(Checked::TooCostly) };
            let came = ask(word, value.clone());
            assert!(expected.is_none_or(|expected| came == expected), "{word} {value}: {came:?}");
        }
    }
    // A tree whose branches are asked twice, and a deep value.
    let twice = json!({ "properties": { "n": { "allOf": [{ "$ref": "#/top" }, { "$ref": "#/top" }] } } });
    let deep = (0..60).fold(json!({}), |inside, _| json!({ "n": inside }));
    assert_eq!(check(twice, deep), Checked::TooCostly);
    let wide = json!({ "items": { "enum": (0..1000).collect::<Vec<_>>() } });
    assert_eq!(check(wide, (0..100_000).map(|_| json!(999)).collect()), Checked::TooCostly);
    assert!(began.elapsed().as_secs() < 30, "{:?}", began.elapsed());
}

#[test]
fn words_of_the_wrong_type_and_words_that_are_not_kept_are_faults() {
    for (schema, pointer) in [
        (json!({ "type": "strnig" }), "/top/type"),
        (json!({ "minimum": "1" }), "/top/minimum"),
        (json!({ "minLength": -1 }), "/top/minLength"),
        (json!({ "required": "id" }), "/top/required"),
        (json!({ "properties": { "a": 5 } }), "/top/properties/a"),
        (json!({ "properties": [] }), "/top/properties"),
        (json!({ "allOf": {} }), "/top/allOf"),
        (json!({ "pattern": "(?=a)" }), "/top/pattern"),
        (json!({ "$ref": "other.json#/a" }), "/top/$ref"),
        (json!({ "$ref": "#/nowhere" }), "/top/$ref"),
        (json!({ "$id": "https://example.com/a" }), "/top/$id"),
        (json!({ "$dynamicRef": "#a" }), "/top/$dynamicRef"),
        (json!({ "items": "x" }), "/top/items"),
        (json!({ "multipleOf": 0 }), "/top"),
        (json!({ "readOnly": true, "writeOnly": true }), "/top"),
    ] {
        assert_eq!(fault(schema.clone()).pointer, pointer, "{schema}");
    }
    let patterns: Value = (0..300).map(|n| json!({ "pattern": format!("a{n}") })).collect();
    assert!(fault(json!({ "allOf": patterns })).message.contains("at most"));
}

#[test]
fn numbers_are_compared_by_what_they_mean() {
    let fits = |schema: Value, value: Value| check(schema, value) == Checked::Right;
    assert!(fits(json!({ "const": 1 }), json!(1.0)));
    assert!(fits(json!({ "type": "integer" }), json!(1.0)) && !fits(json!({ "type": "integer" }), json!(1.5)));
    assert!(!fits(json!({ "uniqueItems": true }), json!([1, 1.0])));
    assert!(fits(json!({ "uniqueItems": true }), json!([1, "1", [1], { "a": 1 }])));
    assert!(!fits(json!({ "uniqueItems": true }), json!([{ "a": 1, "b": 2 }, { "b": 2, "a": 1 }])));
    assert!(fits(json!({ "multipleOf": 0.1 }), json!(0.3)) && !fits(json!({ "multipleOf": 0.1 }), json!(0.35)));
    assert!(fits(json!({ "maximum": u64::MAX }), json!(u64::MAX)));
    assert!(!fits(json!({ "maximum": u64::MAX - 1 }), json!(u64::MAX)));
    assert!(
        fits(json!({ "format": "int64" }), json!(i64::MAX)) && !fits(json!({ "format": "int64" }), json!(u64::MAX))
    );
}

/// Small schemas and values over the same few words, so that they meet.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        prop::sample::select(vec!["null", "boolean", "integer", "number", "string", "array", "object"])
            .prop_map(|name| json!({ "type": name })),
        (-2_i64..3).prop_map(|n| json!({ "minimum": n })),
        (-2_i64..3).prop_map(|n| json!({ "exclusiveMaximum": n })),
        (0_usize..3).prop_map(|n| json!({ "minLength": n })),
        (0_usize..3).prop_map(|n| json!({ "maxItems": n })),
        (0_usize..3).prop_map(|n| json!({ "minProperties": n })),
        Just(json!({ "enum": [1, "a", null, [1]] })),
        Just(json!({ "const": { "a": 1 } })),
        Just(json!({ "pattern": "^[ab]+$" })),
        Just(json!({ "uniqueItems": true })),
        Just(json!({ "required": ["a"] })),
        Just(json!({ "dependentRequired": { "a": ["b"] } })),
        Just(json!({ "multipleOf": 2 })),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            list().prop_map(|list| json!({ "allOf": list })),
            list().prop_map(|list| json!({ "anyOf": list })),
            list().prop_map(|list| json!({ "oneOf": list })),
            inner.clone().prop_map(|one| json!({ "not": one })),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| json!({ "if": a, "then": b, "else": c })),
            inner.clone().prop_map(|one| json!({ "items": one })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "prefixItems": [a], "unevaluatedItems": b })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "prefixItems": [a], "items": b })),
            inner.clone().prop_map(|one| json!({ "contains": one, "maxContains": 1 })),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({ "properties": { "a": a }, "additionalProperties": b })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "patternProperties": { "^a": a, "b": b } })),
            inner.clone().prop_map(|one| json!({ "propertyNames": one })),
            inner.clone().prop_map(|one| json!({ "dependentSchemas": { "b": one } })),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| json!({
                "anyOf": [{ "properties": { "a": a } }, { "properties": { "b": b } }], "unevaluatedProperties": c,
            })),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({ "allOf": [{ "contains": a }], "unevaluatedItems": b })),
        ]
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        Just(json!(1.5)),
        Just(json!(2.0)),
        "[abc]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[ab]{1,2}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    /// A widely used validator is the judge.
    #[test]
    fn the_same_values_are_right_as_elsewhere(schema in schemas(), value in values()) {
        let judge = jsonschema::draft202012::new(&schema).unwrap();
        let ours = check(schema.clone(), value.clone());
        prop_assert_eq!(ours == Checked::Right, judge.is_valid(&value), "{} {} {:?}", schema, value, ours);
    }
}
