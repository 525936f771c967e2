//! Fills a struct from a tree, and finds every mistake on the way instead of the first.
//!
//! serde stops at an error. So [`read`] asks again: each error is noted with the place of the key or value it is
//! about, that part of the tree is refused (it then counts as absent, and the field keeps its default), and the whole
//! is read once more until nothing is left to complain about. Every round refuses at least one node, so it ends; a
//! round takes microseconds. A complaint that only follows from a refusal (a required field whose value was wrong)
//! is not noted.
//!
//! The structs and their `deny_unknown_fields` stay the only description of the format. The alternative, a second
//! description that is walked to collect errors, would have to be kept equal to it by hand.

mod reader;

use std::fmt;

use serde::de::{self, DeserializeOwned, Expected, Unexpected};

use super::problem::{Problem, Span, closest};
use super::tree::{Entry, Kind, Node};
use reader::Reader;

/// What is particular about a tree.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expect<'a> {
    /// Keys that are right at the top although there is no such field; not in the tree any more.
    pub(super) also: &'a [&'a str],
    /// A part could not be read at all, so nothing can be called missing.
    pub(super) incomplete: bool,
}

/// Reads `root`, noting all problems.
pub(super) fn read<T: DeserializeOwned + Default>(root: &Node, expect: Expect<'_>, problems: &mut Vec<Problem>) -> T {
    loop {
        let fault = match T::deserialize(Reader(root)) {
            Ok(value) => return value,
            Err(fault) => fault,
        };
        if !fault.refused {
            if root.is_refused() {
                return T::default();
            }
            root.refuse();
        }
        let excused = expect.incomplete && matches!(fault.what, What::Missing(_));
        if !fault.expected_after_refusal && !excused {
            let also = if fault.enclosed { &[] } else { expect.also };
            problems.push(fault.problem(&root.span, also));
        }
    }
}

/// One thing that does not fit. Its place is filled in by the innermost reader that it passes on its way out.
#[derive(Debug)]
struct Fault {
    what: What,
    span: Option<Span>,
    /// Whether the node in question was refused already.
    refused: bool,
    /// Whether it is about something inside the root, and not the root's own keys.
    enclosed: bool,
    expected_after_refusal: bool,
}

#[derive(Debug)]
enum What {
    Message(String),
    Unknown { kind: &'static str, word: String, allowed: &'static [&'static str] },
    Missing(&'static str),
}

impl Fault {
    fn new(what: What) -> Self {
        Self { what, span: None, refused: false, enclosed: false, expected_after_refusal: false }
    }

    /// Places the fault, if nothing further inside did.
    fn at(mut self, span: &Span) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    /// Refuses `node`, if nothing further inside was refused.
    fn refuse(mut self, node: &Node) -> Self {
        if !self.refused {
            node.refuse();
            self.refused = true;
        }
        self
    }

    /// The fault came out of reading `node`, which is part of something larger.
    fn inside(mut self, node: &Node) -> Self {
        if let (What::Missing(field), None, Kind::Map(entries)) = (&self.what, &self.span, &node.kind) {
            let (refused, good): (Vec<&Entry>, Vec<&Entry>) =
                entries.iter().partition(|entry| entry.value.is_refused());
            let meant = refused.iter().any(|entry| closest(&entry.key, [*field]).is_some());
            self.expected_after_refusal = meant || (good.is_empty() && !refused.is_empty());
        }
        self.enclosed = true;
        self.at(node.place())
    }

    /// The unknown word is a key, and not a value.
    fn about_key(mut self) -> Self {
        if let What::Unknown { kind, .. } = &mut self.what {
            *kind = "key";
        }
        self
    }

    fn problem(self, root: &Span, also: &[&str]) -> Problem {
        let span = self.span.as_ref().unwrap_or(root);
        match self.what {
            What::Message(message) => Problem::at(span, message),
            What::Missing(field) => Problem::at(span, format!("`{field}` is missing")),
            What::Unknown { kind, word, allowed } => {
                let allowed: Vec<&str> = allowed.iter().chain(also).copied().collect();
                let problem = Problem::at(span, format!("unknown {kind} `{word}`"));
                let problem = match closest(&word, allowed.iter().copied()) {
                    Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                    None => problem,
                };
                problem.note(format!("allowed here: {}", allowed.join(", ")))
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::Message(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {}, found {}", plain_words(expected), shown(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(word: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(What::Unknown { kind: "value", word: word.to_owned(), allowed })
    }

    fn unknown_field(word: &str, allowed: &'static [&'static str]) -> Self {
        Self::new(What::Unknown { kind: "field", word: word.to_owned(), allowed })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing(field))
    }
}

/// serde's names of types, in words that say something to a person who writes YAML.
fn plain_words(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "a string" | "string" => "text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" => "a whole number".to_owned(),
        word if word.starts_with("struct ") => "a map of settings".to_owned(),
        word => word.to_owned(),
    }
}

fn shown(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("`{number}`"),
        Unexpected::Signed(number) => format!("`{number}`"),
        Unexpected::Float(number) => format!("`{number}`"),
        Unexpected::Str(text) => format!("text `{text}`"),
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}
