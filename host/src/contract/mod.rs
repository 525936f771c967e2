//! Contracts: what an OpenAPI document promises, and whether a message keeps it.
//!
//! ```text
//! text ─ JSON or YAML, within bounds     document, place ─ references, and where a fault stands
//! schema ─ JSON Schema                   template, parameter, media, operation ─ what a document describes
//! message ─ one request, one response    source ─ where a component's document lies
//! outside ─ a document as clients see it diff ─ whether a new document breaks an old one
//! ```
//!
//! Nothing here knows of services, routes or connections: it is told a message and says what is wrong with it. Whether
//! anybody minds is for `gateway::contract`.
//!
//! Everything in a document is bounded when it is read, everything that a message can cost when it is checked.

pub mod diff;
mod document;
#[cfg(fuzzing)]
pub(crate) mod fuzz;
mod media;
mod message;
mod operation;
pub(crate) mod outside;
mod parameter;
mod place;
mod schema;
mod source;
mod template;
mod text;

use std::fmt;

use serde_json::Value;

pub(crate) use message::{BodyRule, Effort, Head, Schema, Skipped};
pub use source::{ContractFile, ContractSource, SourceError, contract_of};
pub(crate) use source::{SECTION, read_section};

use document::{Document, Fault};
use operation::{Operation, Reader};
use schema::{Compiler, Schemas};
use template::{Paths, Template};

/// Most paths of a document.
const MAX_PATHS: usize = 5000;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the service.
    Request,
    /// From it.
    Response,
}

/// What kind of promise is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// There is no such path.
    Path,
    /// The path has no such method.
    Method,
    /// A parameter is missing or wrong.
    Parameter,
    /// The content has another type than those listed.
    ContentType,
    /// The body is missing or wrong.
    Body,
    /// The status is not listed.
    Status,
}

/// Where in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its head.
    Head,
    /// One of its parameters.
    Parameter {
        /// `path`, `query`, `header` or `cookie`.
        location: &'static str,
        /// As the document has it.
        name: String,
    },
    /// A value in its body, as JSON pointer.
    Body(String),
}

/// A promise that a message breaks. What is said is what the document says, but for pointers, which hold names that a
/// stranger chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    pub(crate) message: String,
}

/// A document that can be used.
pub struct Contract {
    document: Value,
    schemas: Schemas,
    paths: Paths,
    /// Of each path, in its order.
    operations: Vec<Vec<Operation>>,
}

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}:{line}:{column}: {message}{}", at(.pointer))]
pub struct ContractError {
    /// The file, or what stands for it.
    pub name: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What in the document it is about, as JSON pointer; empty for the document as a whole.
    pub pointer: String,
}

fn at(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!(" (at {})", pointer.escape_debug()) }
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Path, Self::Method, Self::Parameter, Self::ContentType, Self::Body, Self::Status];

    /// The word for metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Method => "method",
            Self::Parameter => "parameter",
            Self::ContentType => "content_type",
            Self::Body => "body",
            Self::Status => "status",
        }
    }
}

impl Direction {
    /// The word for metrics and the log.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Head => write!(f, "{}", self.message),
            Place::Parameter { location, name } => {
                write!(f, "{location} parameter `{}` {}", name.escape_debug(), self.message)
            }
            Place::Body(pointer) => write!(f, "body {} {}", pointer.escape_debug(), self.message),
        }
    }
}

impl Contract {
    /// Reads a document. `name` is what it is called in errors. Takes its time: not for an executor's thread.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with its place.
    pub fn read(name: &str, text: &str) -> Result<Self, ContractError> {
        let error =
            |line, column, message, pointer| ContractError { name: name.to_owned(), line, column, message, pointer };
        let document =
            text::read(text).map_err(|wrong| error(wrong.line, wrong.column, wrong.message, String::new()))?;
        match compile(&document) {
            Ok((schemas, paths, operations)) => Ok(Self { document, schemas, paths, operations }),
            Err(Fault { pointer, message }) => {
                let (line, column) = place::of(text, &pointer);
                Err(error(line, column, message, pointer))
            }
        }
    }

    /// The document, as it is written.
    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// Whether the document describes a `GET` of this path word for word.
    pub(crate) fn describes(&self, path: &str) -> bool {
        self.document.get("paths").and_then(|paths| paths.get(path)).is_some_and(|item| item.get("get").is_some())
    }

    /// How many operations it has.
    pub fn operations(&self) -> usize {
        self.operations.iter().map(Vec::len).sum()
    }
}

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contract").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

type Compiled = (Schemas, Paths, Vec<Vec<Operation>>);

fn compile(document: &Value) -> Result<Compiled, Fault> {
    let document = Document(document);
    let root = document.root().map()?;
    let old = match root.text("openapi") {
        Some(version) if version == "3.0" || version.starts_with("3.0.") => true,
        Some(version) if version == "3.1" || version.starts_with("3.1.") => false,
        Some(version) => {
            let version = version.chars().take(20).collect::<String>();
            let message = format!("OpenAPI {} is not supported: 3.0 and 3.1 are", version.escape_debug());
            return Err(root.get("openapi").unwrap_or(root).fault(message));
        }
        None => return Err(root.fault("this is no OpenAPI document: `openapi: 3.1.0` is missing (as text)")),
    };
    if let Some(dialect) = root.get("jsonSchemaDialect")
        && !dialect.value.as_str().is_some_and(|dialect| DIALECTS.contains(&dialect))
    {
        return Err(dialect.fault("schemas of this dialect are not supported: leave it out"));
    }
    let mut compiler = Compiler::new(document, old);
    let mut templates = Vec::new();
    let mut operations = Vec::new();
    if let Some(paths) = root.get("paths") {
        let paths = paths.map()?;
        for (path, at) in paths.entries().filter(|(path, _)| !path.starts_with("x-")) {
            if templates.len() == MAX_PATHS {
                return Err(at.fault(format!("a document has at most {MAX_PATHS} paths")));
            }
            let template = Template::new(path).map_err(|why| at.fault(why))?;
            let names: Vec<&str> = template.names().collect();
            let pointer = at.pointer.clone();
            operations.push(Reader { document, compiler: &mut compiler }.path(path, &names, at)?);
            templates.push((template, pointer));
        }
    }
    let (templates, pointers): (Vec<Template>, Vec<String>) = templates.into_iter().unzip();
    let paths = Paths::new(templates).map_err(|index| {
        let pointer = pointers.get(index).cloned().unwrap_or_default();
        Fault::new(pointer, "another path means the same: they differ in nothing but names")
    })?;
    // Also those that nothing refers to: a fault is told when it is made, not when it is first used.
    for (_, at) in root.get("components").and_then(|at| at.get("schemas")).iter().flat_map(document::At::entries) {
        compiler.schema(at);
    }
    Ok((compiler.finish()?, paths, operations))
}

/// What `jsonSchemaDialect` may say: what is meant without it.
const DIALECTS: [&str; 3] = [
    "https://spec.openapis.org/oas/3.1/dialect/base",
    "https://spec.openapis.org/oas/3.1/dialect/2024-11-10",
    "https://json-schema.org/draft/2020-12/schema",
];

#[cfg(test)]
mod tests;
