//! Lays one tree over another.
//!
//! Maps merge by key. Lists whose items are all maps with a `name` merge by that name: an item of the upper list lies
//! over its namesake, or is added at the end. Everything else is replaced whole, because half of one list and half
//! of another is rarely what anybody meant. Every value keeps the place it came from. A key with nothing behind it
//! leaves a map or list below it alone, and takes a plain value away.

use super::tree::{Entry, Kind, Node};

/// `over` wins.
pub(super) fn merge(mut base: Node, over: Node) -> Node {
    if over.is_refused() {
        return base;
    }
    if base.is_refused() {
        return over;
    }
    match (&mut base.kind, over.kind) {
        (Kind::Map(below), Kind::Map(above)) => {
            merge_maps(below, above);
            base
        }
        (Kind::List(below), Kind::List(above)) if all_named(below) && all_named(&above) => {
            merge_named(below, above);
            base
        }
        (Kind::Map(_) | Kind::List(_), Kind::Null) => base,
        (_, kind) => Node::new(over.span, kind),
    }
}

fn merge_maps(below: &mut Vec<Entry>, above: Vec<Entry>) {
    for entry in above {
        match below.iter_mut().find(|old| old.key == entry.key) {
            Some(old) => {
                old.value = merge(old.value.clone(), entry.value);
                old.span = entry.span;
            }
            None => below.push(entry),
        }
    }
}

fn merge_named(below: &mut Vec<Node>, above: Vec<Node>) {
    for item in above {
        match below.iter_mut().find(|old| name(old) == name(&item)) {
            Some(old) => *old = merge(old.clone(), item),
            None => below.push(item),
        }
    }
}

/// An empty list names nothing: it replaces, so that an overlay can take all routes away.
fn all_named(items: &[Node]) -> bool {
    !items.is_empty() && items.iter().all(|item| name(item).is_some())
}

fn name(item: &Node) -> Option<&str> {
    match &item.get("name")?.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::Null | Kind::List(_) | Kind::Map(_) => None,
    }
}
