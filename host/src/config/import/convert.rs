//! What each field of an `HTTPRoute`'s rule becomes. Fields that are not known here are reported by [`Fields::finish`], so
//! nothing is dropped because it was forgotten.

mod filters;
mod retry;

use serde_json::{Map, Value, json};

use super::super::tree::{Entry, Kind, Node};
use super::Import;
use crate::config::Problem;

/// A converted rule.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    /// With an empty list of matches where they belong.
    pub(super) rule: Map<String, Value>,
    /// Each with its place.
    pub(super) matches: Vec<(&'a Node, Value)>,
    /// Whether it has no matches and so is for every request.
    pub(super) all: bool,
}

/// The fields of a map, and which of them were looked at.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    entries: &'a [Entry],
    taken: Vec<&'static str>,
}

/// The text of a scalar, as written.
pub(super) fn text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}

impl<'a> Fields<'a> {
    pub(super) fn of(node: &'a Node) -> Self {
        let entries: &[Entry] = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Null | Kind::Scalar { .. } | Kind::List(_) => &[],
        };
        Self { entries, taken: Vec::new() }
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.taken.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(&entry.value).filter(|value| !matches!(value.kind, Kind::Null))
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.get(key).and_then(text)
    }

    pub(super) fn items(&mut self, key: &'static str) -> &'a [Node] {
        match self.get(key).map(|node| &node.kind) {
            Some(Kind::List(items)) => items,
            _ => &[],
        }
    }

    /// The fields of the map behind a key.
    pub(super) fn fields(&mut self, key: &'static str) -> Self {
        self.get(key).map_or(Self { entries: &[], taken: Vec::new() }, Self::of)
    }

    /// Fields that mean nothing here.
    pub(super) fn ignore(&mut self, keys: &[&'static str]) {
        self.taken.extend(keys);
    }

    /// Reports what nobody looked at.
    pub(super) fn finish(self, import: &mut Import) {
        for entry in self.entries.iter().filter(|entry| !self.taken.contains(&entry.key.as_str())) {
            import.losses.push(Problem::at(&entry.span, format!("`{}` has no counterpart", entry.key)));
        }
    }
}

impl Import {
    /// Nothing if the rule would let something through that it should not.
    pub(super) fn rule<'a>(&mut self, source: &'a Node) -> Option<Rule<'a>> {
        let mut fields = Fields::of(source);
        let mut rule = Map::new();
        if let Some(name) = fields.text("name") {
            rule.insert("name".into(), json!(name));
        }
        rule.insert("matches".into(), json!([]));
        let written = fields.items("matches");
        let matches = written.iter().filter_map(|matched| Some((matched, self.matched(matched)?))).collect();
        let filters = self.filters(fields.items("filters"));
        if let Some(filters) = filters.as_ref().filter(|filters| !filters.is_empty()) {
            rule.insert("filters".into(), json!(filters));
        }
        let timeouts = self.timeouts(fields.fields("timeouts"));
        if !timeouts.is_empty() {
            rule.insert("timeouts".into(), json!(timeouts));
        }
        if let Some(retry) = fields.get("retry").and_then(|retry| self.retry(retry)) {
            rule.insert("retry".into(), Value::Object(retry));
        }
        let backends: Vec<Option<Option<Value>>> =
            fields.items("backendRefs").iter().map(|backend| self.backend(backend)).collect();
        let backends: Option<Vec<Option<Value>>> = backends.into_iter().collect();
        let whole = filters.is_some() && backends.is_some();
        let backends: Vec<Value> = backends.into_iter().flatten().flatten().collect();
        if !backends.is_empty() {
            rule.insert("backendRefs".into(), json!(backends));
        }
        fields.finish(self);
        if !whole {
            self.lost(source, "the rule is left out: without that filter it would let more through");
            return None;
        }
        Some(Rule { rule, matches, all: written.is_empty() })
    }

    /// Nothing if one of its conditions has no counterpart: without it, it would match more.
    fn matched(&mut self, source: &Node) -> Option<Value> {
        let before = self.losses.len();
        let mut fields = Fields::of(source);
        let mut matched = Map::new();
        if let Some(node) = fields.get("path") {
            let mut path = Fields::of(node);
            let value = path.text("value").unwrap_or("/");
            let kind = match path.text("type").unwrap_or("PathPrefix") {
                "Exact" => "exact",
                "PathPrefix" => "prefix",
                "RegularExpression" => "regex",
                other => {
                    self.lost(node, format!("paths of type {other} have no counterpart"));
                    other
                }
            };
            path.finish(self);
            matched.insert("path".into(), json!({ kind: value }));
        }
        matched.extend(fields.text("method").map(|method| ("method".to_owned(), json!(method))));
        for key in ["headers", "queryParams"] {
            let values = self.values(fields.items(key), key == "headers");
            if !values.is_empty() {
                matched.insert(key.into(), Value::Object(values));
            }
        }
        fields.finish(self);
        if self.losses.len() > before {
            self.lost(source, "the match is left out: without that condition it would match more");
            return None;
        }
        Some(Value::Object(matched))
    }

    /// Lists of `{ type, name, value }` as a map from names.
    pub(super) fn values(&mut self, items: &[Node], any_case: bool) -> Map<String, Value> {
        let mut values = Map::new();
        for item in items {
            let mut fields = Fields::of(item);
            let name = fields.text("name").unwrap_or_default();
            let name = if any_case { name.to_ascii_lowercase() } else { name.to_owned() };
            let value = fields.text("value").unwrap_or_default();
            let value = match fields.text("type").unwrap_or("Exact") {
                "Exact" => json!(value),
                "RegularExpression" => json!({ "regex": value }),
                other => {
                    self.lost(item, format!("values of type {other} have no counterpart"));
                    continue;
                }
            };
            fields.finish(self);
            // Of equal names the first counts in the Gateway API.
            values.entry(name).or_insert(value);
        }
        values
    }

    fn timeouts(&mut self, mut fields: Fields<'_>) -> Map<String, Value> {
        let mut timeouts = Map::new();
        for key in ["request", "backendRequest"] {
            let Some(node) = fields.get(key) else { continue };
            match text(node) {
                // In the Gateway API no timeout at all.
                Some("0s" | "0ms" | "0m" | "0h") => {
                    self.lost(
                        node,
                        "`0s` (no timeout) is not possible for one rule: set `timeouts.request` of the service",
                    );
                }
                time => timeouts.extend(time.map(|time| (key.to_owned(), json!(time)))),
            }
        }
        fields.finish(self);
        timeouts
    }

    /// Nothing inside if it is no service, nothing at all if one of its filters may not be left out.
    fn backend(&mut self, source: &Node) -> Option<Option<Value>> {
        let mut fields = Fields::of(source);
        let mut backend = Map::new();
        backend.extend(fields.text("name").map(|name| ("service".to_owned(), json!(name))));
        let kind = fields.text("kind").unwrap_or("Service");
        let group = fields.text("group").unwrap_or_default();
        if (group, kind) != ("", "Service") {
            self.lost(source, format!("left out: backends of kind {kind} have no counterpart"));
            return Some(None);
        }
        if let Some(namespace) = fields.get("namespace") {
            self.lost(namespace, "services have no namespaces here: the name alone is carried over");
        }
        if let Some(port) = fields.get("port")
            && self.notes.is_empty()
        {
            let note = "ports of services mean nothing here: a service is reached by its name";
            self.notes.push(Problem::at(&port.span, note));
        }
        if let Some(node) = fields.get("weight") {
            match text(node).and_then(|weight| weight.parse::<u32>().ok()) {
                Some(weight) => drop(backend.insert("weight".into(), json!(weight))),
                None => self.lost(node, "a weight is a whole number"),
            }
        }
        let filters = self.filters(fields.items("filters"));
        if let Some(filters) = filters.as_ref().filter(|filters| !filters.is_empty()) {
            backend.insert("filters".into(), json!(filters));
        }
        fields.finish(self);
        filters.map(|_| Some(Value::Object(backend)))
    }
}
