//! A document as clients see it: with the addresses that the gateway has for its paths.
//!
//! [`alone`] is the document itself with another `servers`. [`together`] puts the documents of several services into
//! one: paths get their service's prefix, names of components and operations its name, and every operation its tag, so
//! that nothing collides. What a document says of servers is left out: clients come through the gateway. Documents of
//! 3.0 are put into the words of 3.1 on the way.

use serde_json::{Map, Value, json};

use super::Contract;
use super::operation::METHODS;
use super::place::{escape, unescape};

/// Keys of the root that have a meaning; others move to a place of the service's own.
const ROOT: [&str; 11] = [
    "openapi",
    "info",
    "servers",
    "paths",
    "components",
    "security",
    "tags",
    "externalDocs",
    "webhooks",
    "jsonSchemaDialect",
    "$self",
];

/// Keys whose value is a map of names, not of words that mean something.
const NAMES: [&str; 18] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
    "schemas",
    "responses",
    "parameters",
    "examples",
    "requestBodies",
    "headers",
    "securitySchemes",
    "links",
    "callbacks",
    "pathItems",
    "content",
    "encoding",
    "variables",
];

/// Keys whose value is data.
const DATA: [&str; 5] = ["example", "default", "enum", "const", "value"];

/// A service whose document is put beside others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) service: &'a str,
    /// Where its paths begin outside, without a `/` at the end.
    pub(crate) prefix: &'a str,
    pub(crate) contract: &'a Contract,
}

/// The document of one service, under this prefix.
pub(crate) fn alone(contract: &Contract, prefix: &str) -> Value {
    let mut document = contract.document().clone();
    if let Some(root) = document.as_object_mut() {
        let url = if prefix.is_empty() { "/" } else { prefix };
        root.insert("servers".to_owned(), json!([{ "url": url }]));
        root.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten().for_each(|(_, item)| {
            forget_servers(item);
        });
    }
    document
}

/// The documents of several services as one.
pub(crate) fn together<'a>(parts: impl Iterator<Item = Part<'a>>) -> Value {
    let (mut paths, mut components, mut webhooks) = (Map::new(), Map::new(), Map::new());
    let mut tags = Vec::new();
    let mut own = Map::new();
    for part in parts {
        let document = part.contract.document();
        let old = document.get("openapi").and_then(Value::as_str).is_some_and(|version| version.starts_with("3.0"));
        let moved = Moved { service: part.service, prefix: part.prefix, old };
        let get = |key: &str| document.get(key).and_then(Value::as_object).into_iter().flatten();
        for (path, item) in get("paths").filter(|(path, _)| !path.starts_with("x-")) {
            let item = moved.item(item, document);
            // Two services under one prefix: the first keeps the path, like the route.
            paths.entry(format!("{}{path}", part.prefix)).or_insert(item);
        }
        for (kind, named) in get("components") {
            let place = components.entry(kind.clone()).or_insert_with(|| json!({}));
            let named = named.as_object().into_iter().flatten();
            if let Some(place) = place.as_object_mut() {
                place.extend(named.map(|(name, value)| (moved.name(name), moved.value(value))));
            }
        }
        webhooks.extend(get("webhooks").map(|(name, item)| (moved.name(name), moved.item(item, document))));
        let others = document.as_object().into_iter().flatten().filter(|(key, _)| !ROOT.contains(&key.as_str()));
        let others: Map<String, Value> = others.map(|(key, value)| (key.clone(), moved.value(value))).collect();
        if !others.is_empty() {
            own.insert(format!("x-{}", part.service), Value::Object(others));
        }
        let info = |key: &str| document.pointer(&format!("/info/{key}")).and_then(Value::as_str);
        let mut tag = Map::from_iter([("name".to_owned(), part.service.into())]);
        if let Some(text) = info("description").or_else(|| info("title")) {
            tag.insert("description".to_owned(), text.into());
        }
        tags.push(tag);
    }
    let mut root = json!({
        "openapi": "3.1.0",
        "info": { "title": "All services", "version": "1" },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": components,
    });
    if let Some(root) = root.as_object_mut() {
        if !webhooks.is_empty() {
            root.insert("webhooks".to_owned(), webhooks.into());
        }
        root.extend(own);
    }
    root
}

fn forget_servers(item: &mut Value) {
    let Some(item) = item.as_object_mut() else { return };
    item.shift_remove("servers");
    for method in METHODS {
        if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
            operation.shift_remove("servers");
        }
    }
}

/// What becomes of the parts of one document.
struct Moved<'a> {
    service: &'a str,
    prefix: &'a str,
    old: bool,
}

impl Moved<'_> {
    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.service)
    }

    fn item(&self, item: &Value, document: &Value) -> Value {
        let mut item = self.value(item);
        forget_servers(&mut item);
        for method in METHODS {
            let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) else { continue };
            operation.insert("tags".to_owned(), json!([self.service]));
            // What a document asks for as a whole, it asks for here.
            if let (None, Some(security)) = (operation.get("security"), document.get("security")) {
                operation.insert("security".to_owned(), self.security(security));
            }
        }
        item
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => {
                let mut map: Map<String, Value> =
                    map.iter().map(|(key, value)| (key.clone(), self.entry(key, value))).collect();
                if self.old {
                    renew(&mut map);
                }
                Value::Object(map)
            }
            other => other.clone(),
        }
    }

    fn entry(&self, key: &str, value: &Value) -> Value {
        match (key, value) {
            ("$ref" | "operationRef", Value::String(reference)) => self.reference(reference).into(),
            ("operationId", Value::String(id)) => self.name(id).into(),
            ("security", Value::Array(_)) => self.security(value),
            ("mapping", Value::Object(map)) => {
                let named = |name: &str| match name.starts_with('#') {
                    true => self.reference(name),
                    false => self.name(name),
                };
                map.iter()
                    .map(|(key, name)| (key.clone(), name.as_str().map_or(json!(null), |n| named(n).into())))
                    .collect()
            }
            (key, Value::Object(map)) if NAMES.contains(&key) => {
                map.iter().map(|(name, value)| (name.clone(), self.value(value))).collect()
            }
            (key, value) if DATA.contains(&key) || key.starts_with("x-") => value.clone(),
            (_, value) => self.value(value),
        }
    }

    fn security(&self, value: &Value) -> Value {
        let renamed = |one: &Value| -> Value {
            let entries = one.as_object().into_iter().flatten();
            entries.map(|(name, scopes)| (self.name(name), scopes.clone())).collect()
        };
        value.as_array().into_iter().flatten().map(renamed).collect()
    }

    fn reference(&self, reference: &str) -> String {
        let Some(pointer) = super::document::local(reference) else { return reference.to_owned() };
        let steps: Vec<String> = pointer.split('/').skip(1).map(unescape).collect();
        let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
        let to = match steps.as_slice() {
            ["components", kind, name, rest @ ..] => join(&["components", kind, &self.name(name)], rest),
            ["paths", path, rest @ ..] => join(&["paths", &format!("{}{path}", self.prefix)], rest),
            ["webhooks", name, rest @ ..] => join(&["webhooks", &self.name(name)], rest),
            [first, ..] if !ROOT.contains(first) => join(&[&format!("x-{}", self.service)], &steps),
            _ => return reference.to_owned(),
        };
        // What a fragment of an address may not have; a pointer of ours may have anything.
        format!("#{}", percent_encoding::utf8_percent_encode(&to, FRAGMENT))
    }
}

const FRAGMENT: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'%').add(b'{').add(b'}');

fn join(first: &[&str], rest: &[&str]) -> String {
    first.iter().chain(rest).map(|step| format!("/{}", escape(step))).collect()
}

/// A schema of 3.0 in the words of 3.1.
fn renew(map: &mut Map<String, Value>) {
    if map.get("nullable").is_some_and(Value::is_boolean) {
        let nullable = map.shift_remove("nullable") == Some(Value::Bool(true));
        if let (true, Some(Value::String(name))) = (nullable, map.get("type").cloned()) {
            map.insert("type".to_owned(), json!([name, "null"]));
            if let Some(Value::Array(values)) = map.get_mut("enum")
                && !values.contains(&Value::Null)
            {
                values.push(Value::Null);
            }
        }
    }
    for (word, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(Value::Bool(exclusive)) = map.get(word).cloned() {
            map.shift_remove(word);
            if let (true, Some(limit)) = (exclusive, map.shift_remove(bound)) {
                map.insert(word.to_owned(), limit);
            }
        }
    }
}

#[cfg(test)]
mod tests;
