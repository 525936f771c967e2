//! What a document may be before anything else looks at it.
//!
//! Fragments in fragments make a short document a long one: a few lines can stand for billions of fields, and a
//! validator that walks through all of them is busy for ever. Here each fragment is measured once. Introspection is
//! bounded in the same way: its types lead to fields, which have types, which have fields. Depth and cost are limits of
//! the schema; they are checked after this, on what can be walked through.

use std::collections::HashMap;

use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use async_graphql::{Name, Positioned};

use crate::failure::Failure;

/// Fields and fragments, with each fragment as often as it is used.
const MOST_SELECTIONS: usize = 2000;
/// Questions about the schema.
const MOST_INTROSPECTIONS: usize = 10;
/// Lists in lists of the schema: types have fields, and these have arguments; nobody needs more.
const MOST_LISTS: usize = 3;

/// Lists of the schema, which lead from type to type.
const LISTS: [&str; 6] = ["types", "fields", "inputFields", "interfaces", "possibleTypes", "args"];

/// How much a part of a document is, written out.
#[derive(Clone, Copy, Default)]
struct Size {
    selections: usize,
    introspections: usize,
    lists: usize,
}

struct Measure<'a> {
    document: &'a ExecutableDocument,
    /// Nothing while it is being measured.
    fragments: HashMap<&'a Name, Option<Size>>,
}

/// # Errors
/// When the document is larger than anybody needs.
pub(crate) fn check(document: &ExecutableDocument, introspection: bool) -> Result<(), Failure> {
    let mut measure = Measure { document, fragments: HashMap::new() };
    let mut all = Size::default();
    for (_, operation) in document.operations.iter() {
        all = all.with(measure.set(&operation.node.selection_set)?);
    }
    // Those that no operation uses are validated, too.
    for name in document.fragments.keys() {
        all = all.with(measure.fragment(name)?);
    }
    let Size { selections, introspections, lists } = all;
    if selections > MOST_SELECTIONS {
        let message = format!("the query has more than {MOST_SELECTIONS} fields, with its fragments written out");
        return Err(Failure::new("QUERY_TOO_LARGE", 400, message));
    }
    if !introspection && introspections > 0 {
        return Err(Failure::new("INTROSPECTION_DISABLED", 400, "this service does not tell its schema"));
    }
    if introspections > MOST_INTROSPECTIONS || introspections > 0 && lists > MOST_LISTS {
        return Err(Failure::new("QUERY_TOO_LARGE", 400, "the query asks too much about the schema"));
    }
    Ok(())
}

/// What kind of operation is to be run; nothing if the document has none of this name.
pub(crate) fn kind(document: &ExecutableDocument, name: Option<&str>) -> Option<OperationType> {
    let mut operations = document.operations.iter();
    let found = match name {
        Some(name) => operations.find(|(known, _)| known.is_some_and(|known| known == name)),
        None => operations.next(),
    };
    found.map(|(_, operation)| operation.node.ty)
}

impl Size {
    /// Both, side by side.
    fn with(self, other: Self) -> Self {
        Self {
            selections: self.selections.saturating_add(other.selections),
            introspections: self.introspections.saturating_add(other.introspections),
            lists: self.lists.max(other.lists),
        }
    }
}

impl<'a> Measure<'a> {
    fn set(&mut self, set: &'a Positioned<SelectionSet>) -> Result<Size, Failure> {
        let mut all = Size::default();
        for selection in &set.node.items {
            let one = Size { selections: 1, ..Size::default() };
            let below = match &selection.node {
                Selection::Field(field) => {
                    let name = field.node.name.node.as_str();
                    let mut below = self.set(&field.node.selection_set)?;
                    below.introspections =
                        below.introspections.saturating_add(usize::from(matches!(name, "__schema" | "__type")));
                    below.lists = below.lists.saturating_add(usize::from(LISTS.contains(&name)));
                    below
                }
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set)?,
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?,
            };
            all = all.with(one).with(below);
        }
        Ok(all)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<Size, Failure> {
        match self.fragments.get(name) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(Failure::new("GRAPHQL_VALIDATION_FAILED", 400, "a fragment contains itself")),
            None => {}
        }
        // The validation says what is missing.
        let Some(fragment) = self.document.fragments.get(name) else { return Ok(Size::default()) };
        self.fragments.insert(name, None);
        let size = self.set(&fragment.node.selection_set)?;
        self.fragments.insert(name, Some(size));
        Ok(size)
    }
}
