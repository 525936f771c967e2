//! A document that was read: what a reference means, and how a fault of it is told.
//!
//! References are followed inside the document only. One to another file or address is refused, not fetched: a document
//! must mean the same on every machine, and nobody but the operator decides what this host asks for.

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::place::{escape, unescape};

/// References that may follow each other before something is there.
const MAX_HOPS: usize = 32;

/// Something that a document may not say, at a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) pointer: String,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) value: &'a Value,
    pub(super) pointer: String,
}

impl<'a> At<'a> {
    /// The value under a key, if there is one.
    pub(super) fn get(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key)?;
        Some(Self { value, pointer: format!("{}/{}", self.pointer, escape(key)) })
    }

    /// What is in a list.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> {
        let items = self.value.as_array().map(Vec::as_slice).unwrap_or_default();
        items.iter().enumerate().map(|(index, value)| Self { value, pointer: format!("{}/{index}", self.pointer) })
    }

    /// What is in a map; nothing if it is none.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Self)> {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.as_str(), Self { value, pointer: format!("{}/{}", self.pointer, escape(key)) }))
    }

    /// The text under a key.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.value.get(key)?.as_str()
    }

    /// Whether `key: true` is said.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.value.get(key).and_then(Value::as_bool) == Some(true)
    }

    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.pointer.as_str(), message)
    }

    /// The same, if it is a map.
    pub(super) fn map(self) -> Result<Self, Fault> {
        if self.value.is_object() { Ok(self) } else { Err(self.fault("a map is expected here")) }
    }
}

/// The whole of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a>(pub(super) &'a Value);

impl<'a> Document<'a> {
    pub(super) fn root(self) -> At<'a> {
        At { value: self.0, pointer: String::new() }
    }

    /// What stands there, or what the reference there means.
    pub(super) fn follow(self, at: At<'a>) -> Result<At<'a>, Fault> {
        let mut here = at.clone();
        for _ in 0..MAX_HOPS {
            let Some(reference) = here.value.get("$ref").and_then(Value::as_str) else { return Ok(here) };
            here = self.target(&here.pointer, reference)?;
        }
        Err(at.fault("references follow each other in a ring"))
    }

    /// What one reference at `from` means.
    pub(super) fn target(self, from: &str, reference: &str) -> Result<At<'a>, Fault> {
        let fault = |message: String| Fault::new(format!("{from}/$ref"), message);
        let shown = || reference.chars().take(100).collect::<String>().escape_debug().to_string();
        let Some(pointer) = local(reference) else {
            return Err(fault(format!(
                "`{}` is not in this document: only references such as `#/components/schemas/Order` are followed",
                shown()
            )));
        };
        let value = self.0.pointer(&pointer);
        let value = value.ok_or_else(|| fault(format!("there is no `{}` in this document", shown())))?;
        // One spelling of each place: what is compiled once is found again by it.
        let pointer: String = pointer.split('/').skip(1).map(|step| format!("/{}", escape(&unescape(step)))).collect();
        Ok(At { value, pointer })
    }
}

/// The JSON pointer of a reference into the same document.
pub(super) fn local(reference: &str) -> Option<String> {
    let pointer = reference.strip_prefix('#')?;
    let pointer = percent_decode_str(pointer).decode_utf8().ok()?;
    (pointer.is_empty() || pointer.starts_with('/')).then(|| pointer.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_followed_in_the_document_and_nowhere_else() {
        let root = json!({
            "a": { "$ref": "#/b/x~1y" }, "b": { "x/y": { "$ref": "#/c%20d" } }, "c d": { "found": true },
            "ring": { "$ref": "#/gnir" }, "gnir": { "$ref": "#/ring" },
        });
        let document = Document(&root);
        let at = |key: &str| document.root().get(key).unwrap();
        let found = document.follow(at("a")).unwrap();
        assert_eq!((found.pointer.as_str(), found.is_true("found")), ("/c d", true));
        assert!(document.follow(at("ring")).unwrap_err().message.contains("ring"));
        for foreign in ["other.yaml", "https://example.com/a.json#/b", "file:///etc/passwd", "#anchor", "other.yaml#/a"]
        {
            let fault = document.target("/a", foreign).unwrap_err();
            assert!(fault.message.contains("is not in this document"), "{foreign}: {}", fault.message);
            assert_eq!(fault.pointer, "/a/$ref");
        }
        assert!(document.target("/a", "#/nothing").unwrap_err().message.starts_with("there is no"));
    }
}
