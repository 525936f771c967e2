//! What schemas have looked at in a value, for those that ask for the rest of it (`unevaluatedProperties`).

use std::collections::HashSet;

/// What of a value some schema has looked at.
#[derive(Debug, Default)]
pub(super) struct Marks<'v> {
    pub(super) all_properties: bool,
    pub(super) properties: HashSet<&'v str>,
    pub(super) all_items: bool,
    /// So many from the first.
    pub(super) items: usize,
    pub(super) others: HashSet<usize>,
}

impl<'v> Marks<'v> {
    pub(super) fn add(&mut self, other: Self) {
        self.all_properties |= other.all_properties;
        self.properties.extend(other.properties);
        self.all_items |= other.all_items;
        self.items = self.items.max(other.items);
        self.others.extend(other.others);
    }
}
