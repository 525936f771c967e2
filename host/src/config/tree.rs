//! A YAML file as a tree in which every key and value knows its place.
//!
//! Scalars keep their text as written: whether `1.10` is a number or a version label is decided by the field it
//! fills, so YAML's guesses (`no` is false, `1.10` is `1.1`) never happen. What configuration does not need is
//! refused with a reason: tags, several documents in a file, keys that are not plain words. Anchors and aliases
//! work, but what aliases copy is bounded, so that a file cannot expand without end.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::problem::{File, Problem, Span};

/// Nodes that all aliases of a file together may copy.
const MAX_ALIASED_NODES: usize = 10_000;

/// Lists and maps inside each other.
const MAX_DEPTH: usize = 64;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
    /// Whether a problem was found with it: then it counts as absent, so that reading can go on.
    refused: Cell<bool>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Nothing: `key:`, `~` or `null`.
    Null,
    /// Text as written; `plain` when without quotes, so that it may be a number or a truth value.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file; no key twice.
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Of the key.
    pub(super) span: Span,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn new(span: Span, kind: Kind) -> Self {
        Self { span, kind, refused: Cell::new(false) }
    }

    /// What a file that says nothing, or does not exist, holds.
    pub(super) fn empty(file: &Arc<File>) -> Self {
        Self::new(Span::start_of(file), Kind::Map(Vec::new()))
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused.get()
    }

    pub(super) fn refuse(&self) {
        self.refused.set(true);
    }

    /// Where to point when the node as a whole is meant: a map or list without brackets begins with its first part.
    pub(super) fn place(&self) -> &Span {
        let first = match &self.kind {
            _ if !self.span.range.is_empty() => None,
            Kind::Null | Kind::Scalar { .. } => None,
            Kind::List(items) => items.first().map(Self::place),
            Kind::Map(entries) => entries.first().map(|entry| &entry.span),
        };
        first.unwrap_or(&self.span)
    }

    /// Whether the node or anything in it was refused.
    pub(super) fn has_refused(&self) -> bool {
        self.is_refused()
            || match &self.kind {
                Kind::Null | Kind::Scalar { .. } => false,
                Kind::List(items) => items.iter().any(Self::has_refused),
                Kind::Map(entries) => entries.iter().any(|entry| entry.value.has_refused()),
            }
    }

    /// The entry with this key, if the node is a map that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            Kind::Null | Kind::Scalar { .. } | Kind::List(_) => None,
        }
    }

    /// As [`Node::entry`], without the ones a problem was found with.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value).filter(|value| !value.is_refused())
    }

    fn count(&self) -> usize {
        match &self.kind {
            Kind::Null | Kind::Scalar { .. } => 1,
            Kind::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Kind::Map(entries) => 1 + entries.iter().map(|entry| entry.value.count()).sum::<usize>(),
        }
    }
}

/// Reads a file's text. Nothing is returned when the text is not YAML at all; then there is exactly one problem.
pub(super) fn parse(file: &Arc<File>, problems: &mut Vec<Problem>) -> Option<Node> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder { file, problems, stack: Vec::new(), anchors: HashMap::new(), aliased: 0, root: None };
    match builder.run(Parser::new_from_str_with_options(&file.text, options)) {
        Ok(()) => Some(builder.root.unwrap_or_else(|| Node::empty(file))),
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

struct Builder<'a> {
    file: &'a Arc<File>,
    problems: &'a mut Vec<Problem>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    aliased: usize,
    root: Option<Node>,
}

/// A list or map whose end was not reached yet.
struct Open {
    anchor: usize,
    node: Node,
    /// In a map, the key whose value comes next; `None` inside `Some` when the key itself was refused.
    key: Option<Option<(String, Span)>>,
}

impl Builder<'_> {
    fn run<'input>(&mut self, mut parser: Parser<'input, granit_parser::StrInput<'input>>) -> Result<(), Problem> {
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, place) = event.map_err(|error| self.syntax_error(&error))?;
            let span = Span { file: Arc::clone(self.file), range: place.byte_range().unwrap_or(0..0) };
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(Problem::at(&span, "a second document in one file")
                            .hint("one file holds one document: remove the `---`"));
                    }
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.no_tag(tag.as_deref(), &span);
                    let plain = style == ScalarStyle::Plain;
                    let kind = match text.as_ref() {
                        "" | "~" | "null" if plain => Kind::Null,
                        _ => Kind::Scalar { text: text.into_owned(), plain },
                    };
                    self.finish(Node::new(span, kind), anchor);
                }
                Event::SequenceStart(_, anchor, tag) => self.open(Kind::List(Vec::new()), span, anchor, tag.as_deref()),
                Event::MappingStart(_, anchor, tag) => self.open(Kind::Map(Vec::new()), span, anchor, tag.as_deref()),
                Event::SequenceEnd | Event::MappingEnd => {
                    if let Some(open) = self.stack.pop() {
                        self.finish(open.node, open.anchor);
                    }
                }
                Event::Alias(id) => {
                    let node = self.anchors.get(&id).cloned();
                    self.aliased += node.as_ref().map_or(0, Node::count);
                    match node {
                        Some(node) if self.aliased <= MAX_ALIASED_NODES => self.finish(node, 0),
                        Some(_) => return Err(Problem::at(&span, "aliases copy too much")),
                        None => return Err(Problem::at(&span, "an alias inside its own anchor")),
                    }
                }
                // Beginnings and ends of the stream, and what the options turn off.
                _ => {}
            }
        }
        Ok(())
    }

    fn syntax_error(&self, error: &granit_parser::ScanError) -> Problem {
        let text = &self.file.text;
        let start = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
        let end = text.get(start..).and_then(|rest| rest.chars().next()).map_or(start, |c| start + c.len_utf8());
        let span = Span { file: Arc::clone(self.file), range: start..end };
        Problem::at(&span, format!("not valid YAML: {}", error.info()))
    }

    fn no_tag(&mut self, tag: Option<&Tag>, span: &Span) {
        if let Some(tag) = tag {
            let problem = Problem::at(span, format!("tag `{}` has no meaning here", tag.original()));
            self.problems.push(problem.hint("remove the tag before it"));
        }
    }

    fn open(&mut self, kind: Kind, span: Span, anchor: usize, tag: Option<&Tag>) {
        self.no_tag(tag, &span);
        self.stack.push(Open { anchor, node: Node::new(span, kind), key: None });
    }

    /// Puts a complete node where it belongs: into the list, behind its key, or as the next key.
    fn finish(&mut self, mut node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(Open { node: parent, key, .. }) = self.stack.last_mut() else {
            self.root = Some(node);
            return;
        };
        match (&mut parent.kind, key.take()) {
            (Kind::List(items), _) => items.push(node),
            (Kind::Map(entries), None) => *key = Some(check_key(node, entries, self.problems)),
            (Kind::Map(entries), Some(Some((key, span)))) => {
                // An absent value has no place of its own.
                if matches!(node.kind, Kind::Null) {
                    node.span = span.clone();
                }
                entries.push(Entry { key, span, value: node });
            }
            (Kind::Map(_), Some(None)) | (Kind::Null | Kind::Scalar { .. }, _) => {}
        }
    }
}

/// The key, unless it is no word or already in the map.
fn check_key(node: Node, entries: &[Entry], problems: &mut Vec<Problem>) -> Option<(String, Span)> {
    let Kind::Scalar { text, .. } = node.kind else {
        problems.push(Problem::at(&node.span, "a key must be a word"));
        return None;
    };
    if let Some(first) = entries.iter().find(|entry| entry.key == text) {
        let (line, _) = first.span.position();
        let problem = Problem::at(&node.span, format!("`{text}` is given twice"));
        problems.push(problem.hint(format!("the first is in line {line}")));
        return None;
    }
    Some((text, node.span))
}
