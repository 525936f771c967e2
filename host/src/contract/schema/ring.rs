//! Schemas that come back to themselves about the same value.

use super::node::{Id, Keyword, Node};

/// A schema that comes back to itself about the same value.
pub(super) fn ring(nodes: &[Node]) -> Option<Id> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        OnWay,
        Done,
    }
    let mut seen = vec![Seen::Not; nodes.len()];
    let next = |id: Id| -> Vec<Id> {
        nodes.get(id.0).into_iter().flat_map(|node| node.keywords.iter().flat_map(Keyword::in_place)).collect()
    };
    for start in (0..nodes.len()).map(Id) {
        if seen.get(start.0) != Some(&Seen::Not) {
            continue;
        }
        // Each with those that it has yet to ask: a call for each would be as deep as the document likes.
        let mut way = vec![(start, next(start))];
        while let Some((id, left)) = way.last_mut() {
            let id = *id;
            if let Some(place) = seen.get_mut(id.0) {
                *place = Seen::OnWay;
            }
            match left.pop() {
                Some(child) => match seen.get(child.0) {
                    Some(Seen::OnWay) => return Some(child),
                    Some(Seen::Not) => way.push((child, next(child))),
                    Some(Seen::Done) | None => {}
                },
                None => {
                    if let Some(place) = seen.get_mut(id.0) {
                        *place = Seen::Done;
                    }
                    way.pop();
                }
            }
        }
    }
    None
}
