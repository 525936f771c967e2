//! Whether everything that one schema allows, another allows as well.
//!
//! Of a request, what was allowed before must be allowed now; of a response, what is allowed now must have been before.
//! Bounds and patterns are compared in requests only: a response that is longer than it used to be breaks few, and a
//! request that is refused breaks everybody.

use std::collections::BTreeSet;

use super::Side;
use super::flat::{Flat, holds};
use crate::contract::document::{At, Document};
use crate::contract::place::escape;

/// Pairs of schemas that are compared at most.
const MAX_PAIRS: usize = 20_000;
/// Schemas inside each other.
const MAX_DEPTH: usize = 64;

/// Compares schemas of an old and a new document.
pub(super) struct Compare<'a> {
    documents: [Document<'a>; 2],
    old_words: [bool; 2],
    side: Side,
    seen: BTreeSet<(String, String)>,
    depth: usize,
    /// Pairs that may still be compared.
    left: usize,
    /// Where in the document, where in the value, and what.
    pub(super) found: Vec<(String, String, String)>,
}

impl<'a> Compare<'a> {
    pub(super) fn new(documents: [Document<'a>; 2], old_words: [bool; 2], side: Side) -> Self {
        Self { documents, old_words, side, seen: BTreeSet::new(), depth: 0, left: MAX_PAIRS, found: Vec::new() }
    }

    pub(super) fn compare(&mut self, before: At<'a>, now: At<'a>, way: &str) {
        let pair = (before.pointer.clone(), now.pointer.clone());
        if self.depth >= MAX_DEPTH || self.left == 0 || !self.seen.insert(pair) {
            return;
        }
        self.left -= 1;
        let [old_document, new_document] = self.documents;
        let [old_words, new_words] = self.old_words;
        let before = Flat::new(old_document, before, old_words);
        let now = Flat::new(new_document, now, new_words);
        self.depth += 1;
        self.types(&before, &now, way);
        self.values(&before, &now, way);
        self.properties(&before, &now, way);
        if let (Some(before), Some(now)) = (&before.items, &now.items) {
            self.compare(before.clone(), now.clone(), &format!("{way}/*"));
        }
        self.forms(&before, &now, way);
        if self.side == Side::Request {
            self.bounds(&before, &now, way);
        }
        self.depth -= 1;
    }

    fn tell(&mut self, at: &Flat<'_>, way: &str, message: impl Into<String>) {
        self.found.push((at.pointer.clone(), way.to_owned(), message.into()));
    }

    fn types(&mut self, before: &Flat<'a>, now: &Flat<'a>, way: &str) {
        let (narrow, wide) = match self.side {
            Side::Request => (&before.types, &now.types),
            Side::Response => (&now.types, &before.types),
        };
        let Some(wide) = wide else { return };
        let fits = narrow.as_ref().is_some_and(|narrow| narrow.iter().all(|one| holds(wide, one)));
        // A schema whose type is left to its forms or values says it there.
        let unsaid =
            narrow.is_none() && [before, now].iter().any(|flat| !flat.forms.is_empty() || flat.values.is_some());
        if !fits && !unsaid {
            let words = |flat: &Flat<'_>| {
                let names = flat.types.as_ref().map(|types| types.iter().copied().collect::<Vec<_>>().join(" or "));
                names.unwrap_or_else(|| "anything".to_owned())
            };
            self.tell(now, way, format!("was {} and is now {}", words(before), words(now)));
        }
    }

    fn values(&mut self, before: &Flat<'a>, now: &Flat<'a>, way: &str) {
        let printed = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let shown = |value: &serde_json::Value| value.to_string().chars().take(60).map(printed).collect::<String>();
        match (self.side, &before.values, &now.values) {
            (Side::Request, Some(before), Some(values)) => {
                for gone in before.iter().filter(|value| !values.contains(value)) {
                    self.tell(now, way, format!("no longer takes {}", shown(gone)));
                }
            }
            (Side::Request, None, Some(_)) => self.tell(now, way, "now takes only certain values"),
            (Side::Response, Some(before), Some(values)) => {
                for new in values.iter().filter(|value| !before.contains(value)) {
                    self.tell(now, way, format!("may now be {}", shown(new)));
                }
            }
            (Side::Response, Some(_), None) => self.tell(now, way, "may now be anything and not only certain values"),
            (_, None, None) | (Side::Request, Some(_), None) | (Side::Response, None, Some(_)) => {}
        }
    }

    fn properties(&mut self, before: &Flat<'a>, now: &Flat<'a>, way: &str) {
        let inside = |name: &str| format!("{way}/{}", escape(name));
        for (name, was) in &before.properties {
            match now.properties.get(name) {
                Some(is) => self.compare(was.clone(), is.clone(), &inside(name)),
                None => self.gone(name, was, now, &inside(name)),
            }
        }
        match self.side {
            Side::Request => {
                for name in now.required.difference(&before.required) {
                    let property = now.properties.get(name).map(|at| self.flat(1, at));
                    if property.is_none_or(|property| !property.read_only) {
                        self.tell(now, &inside(name), "is now required");
                    }
                }
                if before.open && !now.open {
                    self.tell(now, way, "no longer takes properties that are not listed");
                }
            }
            Side::Response => {
                for name in before.required.difference(&now.required) {
                    // One that is gone was told.
                    if now.properties.contains_key(name) || !before.properties.contains_key(name) {
                        self.tell(now, &inside(name), "may now be missing");
                    }
                }
            }
        }
    }

    fn gone(&mut self, name: &str, was: &At<'a>, now: &Flat<'a>, way: &str) {
        let was = self.flat(0, was);
        match self.side {
            // Taken and not looked at, unless nothing else is taken.
            Side::Request if now.open || was.read_only => {}
            Side::Request => {
                self.tell(&was, way, format!("is no longer taken: the request has no `{}`", name.escape_debug()))
            }
            Side::Response if was.write_only => {}
            Side::Response => self.tell(&was, way, "is gone"),
        }
    }

    fn flat(&self, which: usize, at: &At<'a>) -> Flat<'a> {
        let [old, new] = self.documents;
        let document = if which == 0 { old } else { new };
        Flat::new(document, at.clone(), self.old_words.get(which) == Some(&true))
    }

    /// Each form of the narrower side must be one of the wider's.
    fn forms(&mut self, before: &Flat<'a>, now: &Flat<'a>, way: &str) {
        let (narrow, wide) = match self.side {
            Side::Request => (&before.forms, &now.forms),
            Side::Response => (&now.forms, &before.forms),
        };
        if narrow.is_empty() || wide.is_empty() {
            return;
        }
        for form in narrow {
            let fits = wide.iter().any(|other| {
                let (old, new) = match self.side {
                    Side::Request => (form, other),
                    Side::Response => (other, form),
                };
                let mut inner = Self::new(self.documents, self.old_words, self.side);
                // What is compared further up is taken to fit: a tree comes back to itself.
                inner.seen.clone_from(&self.seen);
                (inner.depth, inner.left) = (self.depth, self.left);
                inner.compare(old.clone(), new.clone(), "");
                self.left = inner.left;
                inner.found.is_empty()
            });
            if !fits {
                let message = match self.side {
                    Side::Request => "no longer takes one of the forms that it took",
                    Side::Response => "may now have a form that it did not have",
                };
                self.found.push((form.pointer.clone(), way.to_owned(), message.to_owned()));
            }
        }
    }

    fn bounds(&mut self, before: &Flat<'a>, now: &Flat<'a>, way: &str) {
        for (word, bound) in &now.low {
            if before.low.get(word).is_none_or(|before| before < bound) {
                self.tell(now, way, format!("has another `{word}`: {bound}"));
            }
        }
        for (word, bound) in &now.high {
            if before.high.get(word).is_none_or(|before| before > bound) {
                self.tell(now, way, format!("has another `{word}`: {bound}"));
            }
        }
        for (word, text) in &now.words {
            if before.words.get(word) != Some(text) {
                self.tell(now, way, format!("has another `{word}`: {}", text.escape_debug()));
            }
        }
    }
}
