//! JSON Schema as OpenAPI uses it, compiled once and asked for every body.
//!
//! ```text
//! compile, words ─ a document's schemas, each place once     ring ─ those that say nothing but themselves
//! node ─ what a schema comes to                              pattern, format ─ what is asked of texts
//! check, containers ─ one value, within a budget             marks ─ what was looked at, values ─ numbers and texts
//! ```
//!
//! Why not a library: a document and a body may both be a stranger's, and what they cost together must have a bound. A
//! schema of thirty lines can ask for 2^30 comparisons, and a validator that cannot be stopped asks them all. Here
//! every step is paid for, a schema is compiled once however often it is referred to, and what only a request or only a
//! response must have (`readOnly`, `writeOnly`) is known while it is checked. Tests hold it against such a library.

mod check;
mod compile;
mod containers;
mod format;
mod marks;
mod node;
mod pattern;
mod ring;
mod told;
mod values;
mod words;

pub(super) use check::{Checked, Found};
pub(super) use compile::Compiler;
pub(super) use node::{ARRAY, BOOLEAN, INTEGER, Id, NULL, NUMBER, OBJECT, Schemas};

#[cfg(test)]
mod tests;
