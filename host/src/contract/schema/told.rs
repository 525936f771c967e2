//! A fault in words: where it is and what is asked for there.

use super::node::{ARRAY, BOOLEAN, INTEGER, NULL, NUMBER, OBJECT, STRING, Types};
use crate::contract::place::escape;

/// Longest pointer that is told.
const MAX_POINTER: usize = 200;

/// The way to a value.
#[derive(Debug)]
pub(super) struct Step<'p> {
    pub(super) parent: Option<&'p Step<'p>>,
    pub(super) name: Name<'p>,
}

/// One step.
#[derive(Debug)]
pub(super) enum Name<'p> {
    Key(&'p str),
    Index(usize),
}

/// The way as a JSON pointer. Names in it are a stranger's, and cut.
pub(super) fn pointer(mut path: Option<&Step<'_>>) -> String {
    let mut steps = Vec::new();
    while let Some(step) = path {
        steps.push(match step.name {
            Name::Key(name) => escape(&name.chars().take(MAX_POINTER).collect::<String>()),
            Name::Index(index) => index.to_string(),
        });
        path = step.parent;
    }
    let text: String = steps.iter().rev().map(|step| format!("/{step}")).collect();
    match text.char_indices().nth(MAX_POINTER) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// A set of types.
pub(super) fn words(types: Types) -> String {
    let names = [
        (NULL, "null"),
        (BOOLEAN, "a boolean"),
        (NUMBER, "a number"),
        (INTEGER, "a whole number"),
        (STRING, "text"),
        (ARRAY, "an array"),
        (OBJECT, "an object"),
    ];
    // A number may be a whole one.
    let said = |one: Types| types & one != 0 && (one != INTEGER || types & NUMBER == 0);
    let words: Vec<&str> = names.into_iter().filter(|(one, _)| said(*one)).map(|(_, word)| word).collect();
    if words.is_empty() { "nothing at all".to_owned() } else { words.join(" or ") }
}
