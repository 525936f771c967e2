//! From the schemas of a document to [`Schemas`].
//!
//! Every place is compiled once, references and all, from a list of what is still to do: neither a chain of references
//! nor a ring of them is a chain of calls here. Rings are how trees are described and are in order, but for one that
//! never looks into the value (`A` is `B`, `B` is `A`): nobody could say whether anything fits that, so it is refused.
//!
//! What a schema says is taken at its word: a keyword with a value of the wrong type is a fault, and so are the few
//! that would change what references mean (`$id`, `$dynamicRef`). Words that are not known are notes, as the standard
//! has it.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use super::node::{Access, Id, Keyword, Node, Schemas};
use super::pattern;
use super::ring::ring;
use crate::contract::document::{At, Document, Fault};

/// Most expressions of one document: each may take a megabyte.
const MAX_PATTERNS: usize = 200;

/// Words that would give references another meaning.
const REFUSED: [&str; 5] = ["$id", "$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$vocabulary"];

/// See the module.
#[derive(Debug)]
pub(in crate::contract) struct Compiler<'a> {
    document: Document<'a>,
    /// OpenAPI 3.0, whose schemas are its own.
    pub(super) old: bool,
    nodes: Vec<Node>,
    known: HashMap<String, Id>,
    waiting: VecDeque<(Id, At<'a>)>,
    patterns: usize,
}

impl<'a> Compiler<'a> {
    pub(in crate::contract) fn new(document: Document<'a>, old: bool) -> Self {
        let (known, waiting) = (HashMap::new(), VecDeque::new());
        Self { document, old, nodes: Vec::new(), known, waiting, patterns: 0 }
    }

    /// The schema at this place.
    pub(in crate::contract) fn schema(&mut self, at: At<'a>) -> Id {
        if let Some(id) = self.known.get(&at.pointer) {
            return *id;
        }
        let id = Id(self.nodes.len());
        self.nodes.push(Node::default());
        self.known.insert(at.pointer.clone(), id);
        self.waiting.push_back((id, at));
        id
    }

    /// Compiles everything that was asked for, and what that refers to.
    pub(in crate::contract) fn finish(mut self) -> Result<Schemas, Fault> {
        while let Some((id, at)) = self.waiting.pop_front() {
            let compiled = self.compile(&at)?;
            if let Some(node) = self.nodes.get_mut(id.0) {
                *node = compiled;
            }
        }
        if let Some(id) = ring(&self.nodes) {
            let pointer = self.known.into_iter().find(|(_, known)| *known == id).map(|(pointer, _)| pointer);
            return Err(Fault::new(
                pointer.unwrap_or_default(),
                "this schema is defined by itself: following its references comes back to it without looking at \
                 anything inside the value",
            ));
        }
        Ok(Schemas { nodes: self.nodes })
    }

    fn compile(&mut self, at: &At<'a>) -> Result<Node, Fault> {
        match at.value {
            Value::Bool(true) if !self.old => return Ok(Node::default()),
            Value::Bool(false) if !self.old => {
                return Ok(Node { keywords: vec![Keyword::Never], ..Node::default() });
            }
            Value::Object(_) => {}
            _ => return Err(at.fault("a schema is a map")),
        }
        for word in REFUSED {
            if let Some(at) = at.get(word) {
                return Err(at.fault(format!("`{word}` is not supported: refer to schemas by `$ref: '#/…'`")));
            }
        }
        let mut keywords = Vec::new();
        if let Some(reference) = at.get("$ref") {
            let text = reference.value.as_str().ok_or_else(|| reference.fault("a reference is text"))?;
            let target = self.document.target(&at.pointer, text)?;
            keywords.push(Keyword::Reference(self.schema(target)));
            if self.old {
                // What stands beside a reference means nothing in 3.0.
                return Ok(Node { keywords, ..Node::default() });
            }
        }
        keywords.extend(self.types(at)?.map(Keyword::Types));
        if let Some(values) = at.get("enum") {
            let mut list = values.value.as_array().ok_or_else(|| values.fault("a list is expected here"))?.clone();
            if self.old && at.is_true("nullable") {
                list.push(Value::Null);
            }
            keywords.push(Keyword::Values(list));
        }
        keywords.extend(at.get("const").map(|value| Keyword::Values(vec![value.value.clone()])));
        keywords.extend(self.number(at)?.map(|of| Keyword::Number(Box::new(of))));
        keywords.extend(self.text(at)?.map(|of| Keyword::Text(Box::new(of))));
        keywords.extend(self.array(at)?.map(|of| Keyword::Array(Box::new(of))));
        keywords.extend(self.object(at)?.map(|of| Keyword::Object(Box::new(of))));
        for (word, make) in [("allOf", Keyword::All as fn(_) -> _), ("anyOf", Keyword::Any), ("oneOf", Keyword::One)] {
            if let Some(list) = at.get(word) {
                if list.value.as_array().is_none_or(Vec::is_empty) {
                    return Err(list.fault("a list of schemas is expected here"));
                }
                keywords.push(make(list.items().map(|item| self.schema(item)).collect()));
            }
        }
        keywords.extend(at.get("not").map(|not| Keyword::Not(self.schema(not))));
        if let Some(condition) = at.get("if") {
            let condition = self.schema(condition);
            let then = at.get("then").map(|then| self.schema(then));
            let otherwise = at.get("else").map(|otherwise| self.schema(otherwise));
            keywords.push(Keyword::If { condition, then, otherwise });
        }
        let dependent = self.named(at, "dependentSchemas")?;
        if !dependent.is_empty() {
            keywords.push(Keyword::Dependent(dependent));
        }
        let before = keywords.len();
        keywords.extend(at.get("unevaluatedItems").map(|at| Keyword::UnevaluatedItems(self.schema(at))));
        keywords.extend(at.get("unevaluatedProperties").map(|at| Keyword::UnevaluatedProperties(self.schema(at))));
        let access = match (at.is_true("readOnly"), at.is_true("writeOnly")) {
            (true, true) => return Err(at.fault("`readOnly` and `writeOnly` at once: nobody could send it")),
            (true, false) => Access::Read,
            (false, true) => Access::Write,
            (false, false) => Access::Both,
        };
        Ok(Node { tracks: keywords.len() > before, keywords, access })
    }

    pub(super) fn pattern(&mut self, at: &At<'_>, text: &str) -> Result<regex::Regex, Fault> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(at.fault(format!("a document has at most {MAX_PATTERNS} patterns")));
        }
        pattern::compile(text).map_err(|why| at.fault(why))
    }

    pub(super) fn never(&mut self, at: &At<'a>) -> Id {
        let id = Id(self.nodes.len());
        self.nodes.push(Node { keywords: vec![Keyword::Never], ..Node::default() });
        self.known.insert(at.pointer.clone(), id);
        id
    }

    /// A map of schemas.
    pub(super) fn named(&mut self, at: &At<'a>, word: &str) -> Result<Vec<(String, Id)>, Fault> {
        let Some(map) = at.get(word) else { return Ok(Vec::new()) };
        let map = map.map()?;
        Ok(map.entries().map(|(name, at)| (name.to_owned(), self.schema(at))).collect())
    }
}
