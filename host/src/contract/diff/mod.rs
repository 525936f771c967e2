//! Whether a new document breaks who relies on the old one.
//!
//! A client relies on two things: that what it sends is still taken, and that what it gets is still what it knows. So
//! requests may only become wider and responses only narrower. `schema` asks that of two schemas, in the one
//! direction or the other; here it is asked of paths, operations, parameters, bodies and statuses.
//!
//! It errs on the side of silence where schemas say the same in other forms (`anyOf` against `enum`): a warning that is
//! wrong is soon not read any more. What it reports, breaks somebody.

mod flat;
mod schema;

use std::fmt;

use serde_json::Value;

use super::Contract;
use super::document::{At, Document, Fault};
use super::media;
use super::operation::{METHODS, Statuses};

use schema::Compare;

/// Breaks that are told.
const MAX_BREAKS: usize = 200;

/// One thing that breaks clients.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Break {
    /// Where: in the new document, or in the old one if the new one no longer has it.
    pub pointer: String,
    /// Which operation, such as `POST /orders`.
    pub operation: String,
    /// What is different.
    pub message: String,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (at {})", self.operation, self.message, self.pointer.escape_debug())
    }
}

/// Everything in `new` that breaks clients of `old`, at most 200 of them.
pub fn breaks(old: &Contract, new: &Contract) -> Vec<Break> {
    let mut diff = Diff {
        old: Document(old.document()),
        new: Document(new.document()),
        is_old_30: [is_30(old), is_30(new)],
        found: Vec::new(),
    };
    // References of both were followed when they were read.
    let _followed: Result<(), Fault> = diff.paths();
    diff.found.truncate(MAX_BREAKS);
    diff.found
}

fn is_30(contract: &Contract) -> bool {
    contract.document().get("openapi").and_then(Value::as_str).is_some_and(|version| version.starts_with("3.0"))
}

struct Diff<'a> {
    old: Document<'a>,
    new: Document<'a>,
    is_old_30: [bool; 2],
    found: Vec<Break>,
}

impl<'a> Diff<'a> {
    fn tell(&mut self, operation: &str, pointer: &str, message: impl Into<String>) {
        if self.found.len() < MAX_BREAKS {
            self.found.push(Break { pointer: pointer.into(), operation: operation.into(), message: message.into() });
        }
    }

    fn paths(&mut self) -> Result<(), Fault> {
        let of = |document: Document<'a>| -> Vec<(&'a str, At<'a>)> {
            let paths = document.root().get("paths");
            paths.iter().flat_map(At::entries).filter(|(path, _)| !path.starts_with("x-")).collect()
        };
        let new = of(self.new);
        for (path, item) in of(self.old) {
            let item = self.old.follow(item)?;
            let shape = shape(path);
            let Some((renamed, other)) = new.iter().find(|(other, _)| self::shape(other) == shape) else {
                self.tell(&path.escape_debug().to_string(), &item.pointer, "the path is gone");
                continue;
            };
            let names: Vec<(String, String)> = names(path).into_iter().zip(names(renamed)).collect();
            let other = self.new.follow(other.clone())?;
            for method in METHODS {
                let Some(operation) = item.get(method) else { continue };
                let name = format!("{} {}", method.to_ascii_uppercase(), path.escape_debug());
                match other.get(method) {
                    None => self.tell(&name, &operation.pointer, "the operation is gone"),
                    Some(now) => self.operation(&name, &names, (&item, operation), (&other, now))?,
                }
            }
        }
        Ok(())
    }

    fn operation(
        &mut self,
        name: &str,
        renamed: &[(String, String)],
        (old_item, old): (&At<'a>, At<'a>),
        (new_item, new): (&At<'a>, At<'a>),
    ) -> Result<(), Fault> {
        let before = parameters(self.old, old_item, &old)?;
        let now = parameters(self.new, new_item, &new)?;
        for parameter in &now {
            let (Some(word), Some(place)) = (parameter.text("name"), parameter.text("in")) else { continue };
            let was = before.iter().find(|one| {
                let old_word = one.text("name").unwrap_or_default();
                let same_name = match place {
                    "path" => renamed.iter().any(|(before, now)| before == old_word && now == word),
                    "header" => old_word.eq_ignore_ascii_case(word),
                    _ => old_word == word,
                };
                one.text("in") == Some(place) && same_name
            });
            let shown = format!("{place} parameter `{}`", word.escape_debug());
            match was {
                None if parameter.is_true("required") && place != "path" => {
                    self.tell(name, &parameter.pointer, format!("the {shown} is new and required"));
                }
                None => {}
                Some(was) => {
                    if parameter.is_true("required") && !was.is_true("required") {
                        self.tell(name, &parameter.pointer, format!("the {shown} is now required"));
                    }
                    if let (Some(before), Some(now)) = (was.get("schema"), parameter.get("schema")) {
                        self.schemas(name, &shown, Side::Request, before, now);
                    }
                }
            }
        }
        self.body(name, &old, &new)?;
        self.responses(name, &old, &new)
    }

    fn body(&mut self, name: &str, old: &At<'a>, new: &At<'a>) -> Result<(), Fault> {
        let before = old.get("requestBody").map(|at| self.old.follow(at)).transpose()?;
        let now = new.get("requestBody").map(|at| self.new.follow(at)).transpose()?;
        let Some(now) = now else {
            if let Some(before) = before {
                self.tell(name, &before.pointer, "the request has no body any more");
            }
            return Ok(());
        };
        if now.is_true("required") && !before.as_ref().is_some_and(|before| before.is_true("required")) {
            self.tell(name, &now.pointer, "the request's body is now required");
        }
        if let Some(before) = before {
            self.content(name, "the request's body", Side::Request, &before, &now);
        }
        Ok(())
    }

    fn responses(&mut self, name: &str, old: &At<'a>, new: &At<'a>) -> Result<(), Fault> {
        let (Some(before), Some(now)) = (old.get("responses"), new.get("responses")) else { return Ok(()) };
        for (word, response) in before.entries().filter(|(word, _)| !word.starts_with("x-")) {
            let class = match Statuses::named(word) {
                Some(Statuses::One(status)) => format!("{}XX", status / 100),
                _ => word.to_owned(),
            };
            let found = [word, class.as_str(), "default"].iter().find_map(|word| now.get(word));
            let Some(found) = found else {
                self.tell(name, &response.pointer, format!("the status {} is gone", word.escape_debug()));
                continue;
            };
            let (response, found) = (self.old.follow(response)?, self.new.follow(found)?);
            let shown = format!("the response {}", word.escape_debug());
            self.content(name, &shown, Side::Response, &response, &found);
        }
        Ok(())
    }

    fn content(&mut self, name: &str, shown: &str, side: Side, before: &At<'a>, now: &At<'a>) {
        let (Some(before), Some(content)) = (before.get("content"), now.get("content")) else {
            if let (Some(before), Side::Response) = (before.get("content").filter(|at| has_entries(at)), side) {
                self.tell(name, &before.pointer, format!("{shown} has no content any more"));
            }
            return;
        };
        for (kind, entry) in before.entries() {
            let same = |other: &str| media::parts(other).is_some_and(|other| media::parts(kind) == Some(other));
            let Some((_, now)) = content.entries().find(|(other, _)| same(other)) else {
                let kind = kind.escape_debug();
                self.tell(name, &entry.pointer, format!("{shown} is no longer {kind}"));
                continue;
            };
            if let (Some(before), Some(now)) = (entry.get("schema"), now.get("schema")) {
                self.schemas(name, shown, side, before, now);
            }
        }
    }

    fn schemas(&mut self, name: &str, shown: &str, side: Side, before: At<'a>, now: At<'a>) {
        let (documents, old_words) = ([self.old, self.new], self.is_old_30);
        let mut compare = Compare::new(documents, old_words, side);
        compare.compare(before, now, "");
        for (pointer, way, message) in compare.found {
            let place = if way.is_empty() { String::new() } else { format!(" {}", way.escape_debug()) };
            self.tell(name, &pointer, format!("{shown}{place} {message}"));
        }
    }
}

/// Whose promise a schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

fn has_entries(at: &At<'_>) -> bool {
    at.value.as_object().is_some_and(|map| !map.is_empty())
}

/// Those of an operation and of its path; its own stand for those of the path.
fn parameters<'a>(document: Document<'a>, item: &At<'a>, operation: &At<'a>) -> Result<Vec<At<'a>>, Fault> {
    let mut found: Vec<At<'a>> = Vec::new();
    for list in [operation.get("parameters"), item.get("parameters")].into_iter().flatten() {
        for parameter in list.items() {
            let parameter = document.follow(parameter)?;
            let same = |one: &At<'_>| ["name", "in"].iter().all(|key| one.text(key) == parameter.text(key));
            if !found.iter().any(same) {
                found.push(parameter);
            }
        }
    }
    Ok(found)
}

/// A path without the names in it, which clients do not see.
fn shape(path: &str) -> String {
    let mut shape = String::new();
    let mut inside = false;
    for letter in path.chars() {
        match letter {
            '{' => inside = true,
            '}' => {
                inside = false;
                shape.push_str("{}");
            }
            letter if !inside => shape.push(letter),
            _ => {}
        }
    }
    shape
}

fn names(path: &str) -> Vec<String> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests;
