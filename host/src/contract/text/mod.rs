//! The text of a document as a value: JSON, or YAML 1.2 with the tags of its core schema and no others.
//!
//! The text is somebody else's, so what it can cost is bounded before anything is made of it: [`MAX_BYTES`] of text,
//! [`MAX_DEPTH`] lists and maps inside each other, [`MAX_VALUES`] values. A key that is given twice is refused in both
//! notations, because readers do not agree on which of the two counts.
//!
//! Two parsers, because JSON is not quite YAML: escapes and long keys mean other things there.

mod json;
mod yaml;

use serde_json::Value;

pub(super) use json::read_bounded;

/// Most bytes of a document.
pub(crate) const MAX_BYTES: usize = 2 << 20;
/// Lists and maps inside each other.
const MAX_DEPTH: usize = 64;
/// Values of a document, with those that aliases copy.
const MAX_VALUES: usize = 200_000;

/// What is wrong with a text, and where: line and column, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) message: String,
}

/// Reads a text of either notation.
pub(super) fn read(text: &str) -> Result<Value, Wrong> {
    if text.len() > MAX_BYTES {
        let message = format!("the document has {} bytes; at most {MAX_BYTES} are read", text.len());
        return Err(Wrong { line: 1, column: 1, message });
    }
    let text = text.trim_start_matches('\u{feff}');
    if !text.trim_start().starts_with('{') {
        return yaml::read(text);
    }
    read_bounded(text.as_bytes(), MAX_VALUES).map_err(|error| {
        let (line, column) = (error.line().max(1), error.column().max(1));
        let said = error.to_string();
        let message = said.rsplit_once(" at line ").map_or(said.as_str(), |(message, _place)| message);
        Wrong { line, column, message: message.to_owned() }
    })
}

fn twice(key: &str) -> String {
    format!("`{}` is given twice", key.chars().take(60).collect::<String>().escape_debug())
}

fn too_many(most: usize) -> String {
    format!("there are more than {most} values")
}

fn too_deep() -> String {
    format!("lists and maps are more than {MAX_DEPTH} deep")
}

#[cfg(test)]
mod tests;
