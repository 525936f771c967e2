//! Numbers and texts against their bounds, and when two values are the same.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::{Number, Value};

use super::format::Format;
use super::node::{OfNumber, OfText};

impl OfNumber {
    /// What is wrong with it, if something is.
    pub(super) fn fault(&self, number: &Number) -> Option<String> {
        let Self { minimum, maximum, above, below, multiple_of, format } = self;
        let less = |bound: &&Number| compare(number, bound).is_lt();
        let more = |bound: &&Number| compare(number, bound).is_gt();
        if let Some(bound) = minimum.as_ref().filter(less) {
            return Some(format!("must be at least {bound}"));
        }
        if let Some(bound) = maximum.as_ref().filter(more) {
            return Some(format!("must be at most {bound}"));
        }
        if let Some(bound) = above.as_ref().filter(|bound| !more(bound)) {
            return Some(format!("must be more than {bound}"));
        }
        if let Some(bound) = below.as_ref().filter(|bound| !less(bound)) {
            return Some(format!("must be less than {bound}"));
        }
        if let Some(step) = multiple_of.as_ref().filter(|step| !is_multiple(number, step)) {
            return Some(format!("must be a multiple of {step}"));
        }
        let of_format = |number: &Number| number.as_i64().map_or_else(|| number.as_f64(), |whole| Some(whole as f64));
        let fits = |format: Format| match format {
            Format::Int64 if number.is_i64() => true,
            format => of_format(number).is_some_and(|number| format.holds_for_number(number)),
        };
        format.filter(|format| !fits(*format)).map(|format| format!("must fit {}", format.word()))
    }
}

impl OfText {
    /// What is wrong with it, if something is.
    pub(super) fn fault(&self, text: &str) -> Option<String> {
        let Self { min, max, pattern, format } = self;
        if min.is_some() || max.is_some() {
            let length = text.chars().count();
            if let Some(min) = min.filter(|min| length < *min) {
                return Some(format!("must have at least {min} characters"));
            }
            if let Some(max) = max.filter(|max| length > *max) {
                return Some(format!("must have at most {max} characters"));
            }
        }
        if let Some((shown, _)) = pattern.as_ref().filter(|(_, pattern)| !pattern.is_match(text)) {
            return Some(format!("must match the pattern {}", shown.escape_debug()));
        }
        format.filter(|format| !format.holds_for(text)).map(|format| format!("must be a {}", format.word()))
    }
}

fn compare(one: &Number, other: &Number) -> Ordering {
    if let (Some(one), Some(other)) = (whole(one), whole(other)) {
        return one.cmp(&other);
    }
    let float = |number: &Number| number.as_f64().unwrap_or_default();
    float(one).partial_cmp(&float(other)).unwrap_or(Ordering::Equal)
}

fn whole(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn is_multiple(number: &Number, step: &Number) -> bool {
    if let (Some(number), Some(step)) = (whole(number), whole(step)) {
        return step != 0 && number % step == 0;
    }
    let (Some(number), Some(step)) = (number.as_f64(), step.as_f64()) else { return false };
    let times = number / step;
    // 0.3 is three times 0.1 for people, and not quite for machines.
    (times - times.round()).abs() <= 1e-9 * times.abs().max(1.0)
}

/// Whether two values are the same one: numbers by what they mean, maps without their order.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => compare(one, other).is_eq(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let in_other = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(in_other)
        }
        (one, other) => one == other,
    }
}

/// Whether no item is there twice.
pub(super) fn are_unique(items: &[Value]) -> bool {
    let mut seen = BTreeSet::new();
    items.iter().all(|item| {
        let mut text = String::new();
        canonical(item, &mut text);
        seen.insert(text)
    })
}

/// The same text for the same value.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => match (whole(number), number.as_f64()) {
            (Some(whole), _) => text.push_str(&whole.to_string()),
            (None, Some(float)) if float.fract() == 0.0 && float.abs() < 1e18 => {
                text.push_str(&(float as i128).to_string());
            }
            _ => text.push_str(&number.to_string()),
        },
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in entries {
                text.push_str(&Value::String(key.clone()).to_string());
                text.push(':');
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}
