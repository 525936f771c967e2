//! A schema with what it refers to and what it is `allOf`, as one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::contract::document::{At, Document};

/// Schemas that are put together at most: what is more is left out.
const MAX_PARTS: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flat<'a> {
    /// Where it stands, behind its references.
    pub(super) pointer: String,
    /// Nothing if all are allowed.
    pub(super) types: Option<BTreeSet<&'a str>>,
    /// Nothing if all are allowed.
    pub(super) values: Option<Vec<&'a Value>>,
    pub(super) required: BTreeSet<&'a str>,
    pub(super) properties: BTreeMap<&'a str, At<'a>>,
    /// Whether there may be others.
    pub(super) open: bool,
    pub(super) items: Option<At<'a>>,
    /// Forms of which it must have one.
    pub(super) forms: Vec<At<'a>>,
    /// Lower bounds, upper bounds, and words that are there or not.
    pub(super) low: BTreeMap<&'static str, f64>,
    pub(super) high: BTreeMap<&'static str, f64>,
    pub(super) words: BTreeMap<&'static str, &'a str>,
    pub(super) read_only: bool,
    pub(super) write_only: bool,
}

const LOW: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const HIGH: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

impl<'a> Flat<'a> {
    pub(super) fn new(document: Document<'a>, at: At<'a>, old_words: bool) -> Self {
        let mut flat = Self { open: true, pointer: at.pointer.clone(), ..Self::default() };
        let mut parts = vec![at];
        let mut seen = BTreeSet::new();
        while let Some(part) = parts.pop() {
            if seen.len() >= MAX_PARTS || !seen.insert(part.pointer.clone()) {
                continue;
            }
            let reference = part.text("$ref");
            if let Some(target) = reference.and_then(|reference| document.target(&part.pointer, reference).ok()) {
                if seen.len() == 1 {
                    flat.pointer.clone_from(&target.pointer);
                }
                parts.push(target);
                if old_words {
                    continue;
                }
            }
            parts.extend(part.get("allOf").iter().flat_map(At::items));
            flat.add(&part, old_words);
        }
        flat
    }

    fn add(&mut self, at: &At<'a>, old_words: bool) {
        if let Some(mut types) = types(at) {
            if old_words && at.is_true("nullable") {
                types.insert("null");
            }
            // Of `allOf` all hold: `number` and `integer` together is `integer`.
            self.types = Some(match self.types.take() {
                Some(before) => before.into_iter().filter(|one| holds(&types, one)).collect(),
                None => types,
            });
        }
        let listed = at.get("enum").and_then(|list| list.value.as_array()).map(|list| list.iter().collect());
        let said = listed.or_else(|| Some(vec![at.value.get("const")?]));
        if let Some(mut values) = said {
            if let Some(before) = &self.values {
                values.retain(|value| before.contains(value));
            }
            self.values = Some(values);
        }
        self.required.extend(at.get("required").iter().flat_map(At::items).filter_map(|item| item.value.as_str()));
        for (name, property) in at.get("properties").iter().flat_map(At::entries) {
            self.properties.entry(name).or_insert(property);
        }
        self.open &= at.value.get("additionalProperties") != Some(&Value::Bool(false));
        self.items = self.items.take().or_else(|| at.get("items"));
        if let Some(forms) = at.get("oneOf").or_else(|| at.get("anyOf")) {
            self.forms = forms.items().collect();
        }
        let number = |word: &str| at.value.get(word).and_then(Value::as_f64);
        for word in LOW {
            if let Some(bound) = number(word) {
                self.low.entry(word).and_modify(|before| *before = before.max(bound)).or_insert(bound);
            }
        }
        for word in HIGH {
            if let Some(bound) = number(word) {
                self.high.entry(word).and_modify(|before| *before = before.min(bound)).or_insert(bound);
            }
        }
        for word in ["pattern", "format"] {
            if let Some(text) = at.text(word) {
                self.words.insert(word, text);
            }
        }
        self.read_only |= at.is_true("readOnly");
        self.write_only |= at.is_true("writeOnly");
    }
}

fn types<'a>(at: &At<'a>) -> Option<BTreeSet<&'a str>> {
    match at.value.get("type")? {
        Value::String(name) => Some(BTreeSet::from([name.as_str()])),
        Value::Array(names) => Some(names.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

/// Whether a value of this type is allowed by a list.
pub(super) fn holds(types: &BTreeSet<&str>, one: &str) -> bool {
    types.contains(one) || (one == "integer" && types.contains("number"))
}
