//! What each filter of an `HTTPRoute` becomes.

use serde_json::{Map, Value, json};

use super::super::super::tree::Node;
use super::super::Import;
use super::{Fields, text};

impl Import {
    /// Nothing if one may not be left out.
    pub(super) fn filters(&mut self, items: &[Node]) -> Option<Vec<Value>> {
        // Each of them, so that all losses are told.
        let all: Vec<Option<Option<Value>>> = items.iter().map(|item| self.filter(item)).collect();
        all.into_iter().collect::<Option<Vec<_>>>().map(|filters| filters.into_iter().flatten().collect())
    }

    /// Nothing inside if it can be done without, nothing at all if not: an extension may ask for credentials.
    fn filter(&mut self, item: &Node) -> Option<Option<Value>> {
        let mut fields = Fields::of(item);
        let (name, value) = match fields.text("type").unwrap_or_default() {
            "RequestHeaderModifier" => ("requestHeaders", self.header_changes(fields.fields("requestHeaderModifier"))),
            "ResponseHeaderModifier" => {
                ("responseHeaders", self.header_changes(fields.fields("responseHeaderModifier")))
            }
            "URLRewrite" => ("rewrite", self.url_rewrite(fields.fields("urlRewrite"))),
            "RequestRedirect" => ("redirect", self.request_redirect(fields.fields("requestRedirect"))),
            "CORS" => ("cors", self.cors(fields.fields("cors"))),
            "RequestMirror" => match self.request_mirror(fields.fields("requestMirror")) {
                Some(mirror) => ("mirror", mirror),
                // Requests go where they went.
                None => return Some(None),
            },
            other => {
                self.lost(item, format!("filters of type {other} have no counterpart"));
                return None;
            }
        };
        fields.finish(self);
        Some(Some(json!({ name: value })))
    }

    fn header_changes(&mut self, mut fields: Fields<'_>) -> Map<String, Value> {
        let mut changes = Map::new();
        for key in ["set", "add"] {
            let values = self.values(fields.items(key), true);
            if !values.is_empty() {
                changes.insert(key.into(), Value::Object(values));
            }
        }
        let remove: Vec<&str> = fields.items("remove").iter().filter_map(text).collect();
        if !remove.is_empty() {
            changes.insert("remove".into(), json!(remove));
        }
        fields.finish(self);
        changes
    }

    fn url_rewrite(&mut self, mut fields: Fields<'_>) -> Map<String, Value> {
        let mut rewrite = self.path_modifier(fields.get("path"));
        rewrite.extend(fields.text("hostname").map(|host| ("host".to_owned(), json!(host))));
        fields.finish(self);
        rewrite
    }

    fn request_redirect(&mut self, mut fields: Fields<'_>) -> Map<String, Value> {
        let mut redirect = Map::new();
        redirect.extend(fields.text("scheme").map(|scheme| ("scheme".to_owned(), json!(scheme))));
        redirect.extend(fields.text("hostname").map(|host| ("host".to_owned(), json!(host))));
        for (key, name) in [("port", "port"), ("statusCode", "status")] {
            let number = fields.text(key).and_then(|number| number.parse::<u16>().ok());
            redirect.extend(number.map(|number| (name.to_owned(), json!(number))));
        }
        redirect.extend(self.path_modifier(fields.get("path")));
        fields.finish(self);
        redirect
    }

    /// Nothing if nobody would get the copies.
    fn request_mirror(&mut self, mut fields: Fields<'_>) -> Option<Map<String, Value>> {
        let backend = fields.get("backendRef").and_then(|backend| self.backend(backend)?);
        let percent = fields.text("percent").and_then(|percent| percent.parse::<f64>().ok());
        let mut fraction = fields.fields("fraction");
        let mut part = |key| fraction.text(key).and_then(|number| number.parse::<u32>().ok());
        let (numerator, denominator) = (part("numerator"), part("denominator"));
        let share = numerator.map(|part| 100.0 * f64::from(part) / f64::from(denominator.unwrap_or(100)));
        fraction.finish(self);
        fields.finish(self);
        let Some(Value::Object(mut mirror)) = backend else { return None };
        // Four decimals can be said.
        let percent = percent.or(share).map(|percent| (percent * 10_000.0).round() / 10_000.0);
        mirror.extend(percent.map(|percent| {
            // A whole number is written as one.
            let whole = (percent.fract() == 0.0).then(|| json!(percent as u64));
            ("percent".to_owned(), whole.unwrap_or_else(|| json!(percent)))
        }));
        Some(mirror)
    }

    fn path_modifier(&mut self, node: Option<&Node>) -> Map<String, Value> {
        let mut path = Map::new();
        let Some(node) = node else { return path };
        let mut fields = Fields::of(node);
        let (key, name) = match fields.text("type").unwrap_or_default() {
            "ReplaceFullPath" => ("replaceFullPath", "path"),
            "ReplacePrefixMatch" => ("replacePrefixMatch", "prefix"),
            other => {
                self.lost(node, format!("changes of paths of type `{other}` have no counterpart"));
                return path;
            }
        };
        let value = fields.text(key).filter(|value| !value.is_empty()).unwrap_or("/");
        path.insert(name.into(), json!(value));
        fields.finish(self);
        path
    }

    fn cors(&mut self, mut fields: Fields<'_>) -> Map<String, Value> {
        let mut cors = Map::new();
        for key in ["allowOrigins", "allowMethods", "allowHeaders", "exposeHeaders"] {
            let list: Vec<&str> = fields.items(key).iter().filter_map(text).collect();
            if !list.is_empty() {
                cors.insert(key.into(), json!(list));
            }
        }
        if fields.text("allowCredentials") == Some("true") {
            cors.insert("allowCredentials".into(), json!(true));
        }
        cors.extend(fields.text("maxAge").map(|seconds| ("maxAge".to_owned(), json!(format!("{seconds}s")))));
        fields.finish(self);
        cors
    }
}
