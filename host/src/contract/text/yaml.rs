//! YAML, within bounds: anchors and aliases work, but what they copy is counted.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Number, Value};

use super::{MAX_DEPTH, MAX_VALUES, Wrong, too_deep, too_many, twice};

/// Values that anchors and aliases copy.
const MAX_COPIED: usize = 10_000;

/// Reads one document.
pub(super) fn read(text: &str) -> Result<Value, Wrong> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| Wrong {
            line: error.marker().line().max(1),
            column: error.marker().col() + 1,
            message: format!("not valid YAML: {}", error.info()),
        })?;
        let place = (span.start.line().max(1), span.start.col() + 1);
        builder.take(event).map_err(|message| Wrong { line: place.0, column: place.1, message })?;
    }
    Ok(builder.root.unwrap_or(Value::Null))
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    anchors: HashMap<usize, Value>,
    values: usize,
    copied: usize,
    documents: usize,
    root: Option<Value>,
}

/// A list or map whose end is still to come.
struct Open {
    anchor: usize,
    value: Value,
    /// In a map, the key whose value comes next.
    key: Option<String>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document in one file".to_owned());
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style == ScalarStyle::Plain, tag.as_deref())?;
                return self.finish(value, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Value::Array(Vec::new()), anchor, tag.as_deref(), "seq")?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(Value::Object(Map::new()), anchor, tag.as_deref(), "map")?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.stack.pop() {
                    return self.finish(open.value, open.anchor);
                }
            }
            Event::Alias(id) => {
                let value = self.anchors.get(&id).cloned().ok_or("an alias inside its own anchor")?;
                let copied = count(&value);
                self.copied += copied;
                self.values += copied;
                if self.copied > MAX_COPIED {
                    return Err(format!("aliases copy more than {MAX_COPIED} values"));
                }
                if self.stack.len() + depth(&value) > MAX_DEPTH {
                    return Err(too_deep());
                }
                return self.finish(value, 0);
            }
            // Beginnings and ends of the stream, and what the options turn off.
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, value: Value, anchor: usize, tag: Option<&Tag>, expected: &str) -> Result<(), String> {
        match tag {
            Some(tag) if tag.core_suffix() != Some(expected) => return Err(no_tag(tag)),
            _ => {}
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep());
        }
        self.stack.push(Open { anchor, value, key: None });
        Ok(())
    }

    fn finish(&mut self, value: Value, anchor: usize) -> Result<(), String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(too_many(MAX_VALUES));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
            // A copy that nobody may ever use, and still a copy.
            self.copied += count(&value);
            if self.copied > MAX_COPIED {
                return Err(format!("anchors and aliases copy more than {MAX_COPIED} values"));
            }
        }
        let Some(parent) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        match (&mut parent.value, parent.key.take()) {
            (Value::Array(items), _) => items.push(value),
            (Value::Object(map), Some(key)) => {
                map.insert(key, value);
            }
            (Value::Object(map), None) => {
                let key = key_of(value)?;
                if key == "<<" {
                    return Err("merge keys (`<<`) are no part of YAML 1.2: write out what they stand for".to_owned());
                }
                if map.contains_key(&key) {
                    return Err(twice(&key));
                }
                parent.key = Some(key);
            }
            _ => {}
        }
        Ok(())
    }
}

/// `200:` is a key of text, like everything before a colon.
fn key_of(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null => Ok("null".to_owned()),
        Value::Array(_) | Value::Object(_) => Err("a key must be a word".to_owned()),
    }
}

fn scalar(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Value, String> {
    match tag.map(|tag| (tag, tag.core_suffix())) {
        None if plain => Ok(resolved(text)),
        None | Some((_, Some("str"))) => Ok(text.into()),
        Some((_, Some("int" | "float" | "bool" | "null"))) => Ok(resolved(text)),
        Some((tag, _)) => Err(no_tag(tag)),
    }
}

/// A word without quotes, as the core schema of YAML 1.2 has it.
fn resolved(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return true.into(),
        "false" | "False" | "FALSE" => return false.into(),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix, radix| text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok());
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return number.into();
    }
    let starts = digits.starts_with(|c: char| c.is_ascii_digit())
        || digits.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let allowed = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !starts || !digits.chars().all(allowed) {
        return text.into();
    }
    let whole = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = whole.parse::<i64>() {
        return number.into();
    }
    if let Ok(number) = whole.parse::<u64>() {
        return number.into();
    }
    whole.parse().ok().and_then(Number::from_f64).map_or_else(|| text.into(), Value::Number)
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn no_tag(tag: &Tag) -> String {
    format!("the tag `{}` has no meaning here", tag.original().chars().take(60).collect::<String>().escape_debug())
}
