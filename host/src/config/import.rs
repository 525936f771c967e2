//! Routes of the Kubernetes Gateway API (`HTTPRoute`, v1) in Wharf's words: `wharf import`.
//!
//! Decided here: which documents of a file count, and that what comes out loads. `convert` says what each field becomes.
//! A part that has no counterpart is left out and reported with its place, never guessed. What would let more requests
//! through without it (a condition of a match, a filter that may ask for credentials) takes the match or rule with it.
//! What comes out is checked by the same code that checks files, one match at a time, so that a mistake costs one match
//! and not the route.
//!
//! Only the text is read; no cluster, no references. The Gateway API lets the oldest of equal routes win, which files
//! don't tell: here it is the first.

mod convert;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::check::{At, Check};
use super::model::Gateway;
use super::problem::{File, Problem, Problems};
use super::read::{Expect, read};
use super::tree::{Kind, Node, parse};
use convert::{Fields, Rule, text};

/// What became of a file.
#[derive(Debug)]
pub struct Imported {
    /// What `gateway.yaml` would say: `{ routes: […] }`.
    pub config: Value,
    /// What could not be carried over, in the order of the file.
    pub losses: Vec<Problem>,
    /// What was left out because it means nothing here.
    pub notes: Vec<Problem>,
}

/// Turns a file of one or more documents into routes.
///
/// # Errors
/// When the text is not YAML.
pub fn import(path: &Path, text: &str) -> Result<Imported, Problems> {
    let mut problems = Vec::new();
    let mut import = Import { routes: Vec::new(), names: HashSet::new(), losses: Vec::new(), notes: Vec::new() };
    for document in documents(text) {
        let file = Arc::new(File { path: path.to_owned(), text: document });
        if let Some(tree) = parse(&file, &mut problems) {
            import.document(&tree);
        }
    }
    match Problems::from_list(problems) {
        Some(problems) => Err(problems),
        None => {
            let Import { routes, mut losses, notes, .. } = import;
            losses.sort_by_key(Problem::position);
            Ok(Imported { config: json!({ "routes": routes }), losses, notes })
        }
    }
}

/// The documents of a file, each in a text of its own with everything at the line where it was.
fn documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            documents.push("\n".repeat(number));
        }
        if let Some(document) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents
}

/// What is collected on the way.
#[derive(Debug)]
pub(super) struct Import {
    routes: Vec<Value>,
    names: HashSet<String>,
    losses: Vec<Problem>,
    notes: Vec<Problem>,
}

/// A route under way.
#[derive(Debug)]
struct Route {
    /// Everything but the rules.
    head: Map<String, Value>,
    rules: Vec<Value>,
}

impl Route {
    /// As it stands in a file, with one more rule.
    fn with(&self, rule: Option<&Value>) -> Value {
        let mut route = self.head.clone();
        route.insert("rules".into(), self.rules.iter().chain(rule).cloned().collect());
        Value::Object(route)
    }
}

impl Import {
    fn document(&mut self, tree: &Node) {
        let mut fields = Fields::of(tree);
        let kind = fields.text("kind").unwrap_or_default();
        match kind {
            // Nothing between two `---`.
            "" if matches!(&tree.kind, Kind::Map(entries) if entries.is_empty()) => {}
            "" if matches!(tree.kind, Kind::Null) => {}
            "List" | "HTTPRouteList" => {
                for item in fields.items("items") {
                    self.document(item);
                }
            }
            "HTTPRoute" => self.route(tree, fields),
            "" => self.lost(tree, "no `kind`: only HTTPRoute is carried over"),
            kind => self.lost(tree, format!("kind {kind} is not carried over: only HTTPRoute is")),
        }
    }

    fn route(&mut self, tree: &Node, mut fields: Fields<'_>) {
        let version = fields.text("apiVersion").unwrap_or_default();
        if !matches!(version, "gateway.networking.k8s.io/v1" | "gateway.networking.k8s.io/v1beta1") {
            return self.lost(tree, format!("apiVersion `{version}` is not known: write gateway.networking.k8s.io/v1"));
        }
        fields.ignore(&["status"]);
        // Labels, annotations and what a cluster adds mean nothing here.
        let mut metadata = fields.fields("metadata");
        let name = self.unique(metadata.text("name").unwrap_or("imported"), metadata.text("namespace"));
        let mut spec = fields.fields("spec");
        fields.finish(self);

        let Some(listeners) = self.listeners(spec.items("parentRefs")) else {
            return self.lost(tree, format!("route `{name}` is left out: none of its parents is a Gateway"));
        };
        let hostnames: Vec<&str> = spec.items("hostnames").iter().filter_map(text).collect();
        let mut route = Route { head: Map::new(), rules: Vec::new() };
        route.head.insert("name".into(), json!(name));
        for (key, names) in [("hostnames", hostnames), ("listeners", listeners)] {
            if !names.is_empty() {
                route.head.insert(key.into(), json!(names));
            }
        }
        let rules = spec.items("rules");
        spec.ignore(&["useDefaultGateways"]);
        spec.finish(self);
        for rule in rules {
            if let Some(converted) = self.rule(rule) {
                self.add_rule(&mut route, rule, converted);
            }
        }
        if route.rules.is_empty() {
            self.lost(tree, format!("route `{name}` is left out: it has no rule that could be carried over"));
        } else {
            self.routes.push(route.with(None));
        }
    }

    /// Names of routes are unique in a namespace there and everywhere here.
    fn unique(&mut self, name: &str, namespace: Option<&str>) -> String {
        let with_namespace = format!("{name}.{}", namespace.unwrap_or("default"));
        let numbered = (2..).map(|number| format!("{with_namespace}-{number}"));
        let mut names = [name.to_owned(), with_namespace.clone()].into_iter().chain(numbered);
        let free = names.find(|name| !self.names.contains(name)).unwrap_or(with_namespace);
        self.names.insert(free.clone());
        free
    }

    /// The names of its listeners; empty for all of them. Nothing if it is no route of a gateway.
    fn listeners<'a>(&mut self, parents: &'a [Node]) -> Option<Vec<&'a str>> {
        let mut names = Vec::new();
        let mut all = parents.is_empty();
        for parent in parents {
            let mut fields = Fields::of(parent);
            fields.ignore(&["group", "name", "namespace"]);
            match fields.text("kind") {
                None | Some("Gateway") => match fields.text("sectionName") {
                    Some(name) => names.push(name),
                    None => all = true,
                },
                Some(kind) => self.lost(parent, format!("a parent of kind {kind} has no counterpart")),
            }
            fields.finish(self);
        }
        match (all, names.as_slice()) {
            (true, _) => Some(Vec::new()),
            (false, []) => None,
            (false, _) => Some(names),
        }
    }

    /// Adds a rule with those of its matches that load beside everything that was added before.
    fn add_rule(&mut self, route: &mut Route, source: &Node, Rule { rule, matches, all }: Rule<'_>) {
        let mut kept: Vec<Value> = Vec::new();
        let mut said = HashSet::new();
        let mut best = None;
        let matches = matches.into_iter().map(|(place, matched)| (place, Some(matched)));
        for (place, matched) in matches.chain(all.then_some((source, None))) {
            let mut attempt = kept.clone();
            attempt.extend(matched);
            let mut rule = rule.clone();
            if attempt.is_empty() {
                rule.shift_remove("matches");
            } else {
                rule.insert("matches".into(), json!(attempt));
            }
            let rule = Value::Object(rule);
            match complaint(&self.routes, &route.with(Some(&rule))) {
                None => {
                    kept = attempt;
                    best = Some(rule);
                }
                // A filter that is wrong is wrong with every match.
                Some(message) if said.contains(&message) => {}
                Some(message) => {
                    self.lost(place, format!("left out: {message}"));
                    said.insert(message);
                }
            }
        }
        route.rules.extend(best);
    }

    pub(super) fn lost(&mut self, place: &Node, message: impl Into<String>) {
        self.losses.push(Problem::at(place.place(), message));
    }
}

/// What is wrong with routes, if anything is.
fn complaint(before: &[Value], route: &Value) -> Option<String> {
    let mut routes: Vec<Value> = before.iter().chain([route]).cloned().collect();
    // Which listeners there are stands elsewhere.
    for route in routes.iter_mut().filter_map(Value::as_object_mut) {
        route.remove("listeners");
    }
    // JSON is YAML.
    let text = json!({ "routes": routes }).to_string();
    let mut problems = Vec::new();
    let tree = parse(&Arc::new(File { path: "imported".into(), text }), &mut problems)?;
    let gateway: Gateway = read(&tree, Expect::default(), &mut problems);
    Check { problems: &mut problems }.gateway(&gateway, At::root(&tree));
    let message = problems.first()?.message();
    // A line of a text that nobody sees.
    Some(message.split(" in line ").next().unwrap_or(message).to_owned())
}
