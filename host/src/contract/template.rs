//! Paths of a document, and which of them a request means.
//!
//! A path is compared segment by segment. Where several match, the one with a word wins over one with `{name}`, from
//! the first segment on, as the standard has it; two that differ in nothing but names are refused with the document. A
//! `/` at the end counts.

use std::cmp::Ordering;
use std::collections::HashMap;

use percent_encoding::percent_decode_str;

/// One path, such as `/orders/{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Word(String),
    /// Words and names in turn, such as `{name}.json`.
    Pieces(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Word(String),
    Name(String),
}

/// Names and what stands in their place, as it was sent.
pub(super) type Values<'p> = Vec<(String, &'p str)>;

impl Template {
    /// Reads a path of a document.
    pub(super) fn new(path: &str) -> Result<Self, String> {
        let Some(rest) = path.strip_prefix('/') else { return Err("a path begins with `/`".to_owned()) };
        let mut names: Vec<String> = Vec::new();
        let mut segments = Vec::new();
        for segment in rest.split('/') {
            let pieces = pieces(segment)?;
            for piece in &pieces {
                if let Piece::Name(name) = piece {
                    if names.contains(name) {
                        return Err(format!("`{{{name}}}` is in the path twice"));
                    }
                    names.push(name.clone());
                }
            }
            segments.push(match pieces.as_slice() {
                [] => Segment::Word(String::new()),
                [Piece::Word(word)] => Segment::Word(word.clone()),
                _ => Segment::Pieces(pieces),
            });
        }
        Ok(Self { segments })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(|segment| {
            let pieces = match segment {
                Segment::Word(_) => &[],
                Segment::Pieces(pieces) => pieces.as_slice(),
            };
            pieces.iter().filter_map(|piece| match piece {
                Piece::Name(name) => Some(name.as_str()),
                Piece::Word(_) => None,
            })
        })
    }

    fn matches<'p>(&self, path: &[&'p str]) -> Option<Values<'p>> {
        let mut values = Vec::new();
        for (segment, sent) in self.segments.iter().zip(path) {
            match segment {
                Segment::Word(word) => {
                    let same = sent == word || percent_decode_str(sent).eq(word.bytes());
                    same.then_some(())?;
                }
                Segment::Pieces(pieces) => fill(pieces, sent, &mut values)?,
            }
        }
        Some(values)
    }

    /// What must not be there twice: the path without its names.
    fn shape(&self) -> Vec<Vec<Option<&str>>> {
        let shape = |segment: &'_ Segment| match segment {
            Segment::Word(_) => Vec::new(),
            Segment::Pieces(pieces) => pieces.iter().map(|_| None).collect(),
        };
        let mut shapes: Vec<Vec<Option<&str>>> = self.segments.iter().map(shape).collect();
        for (shape, segment) in shapes.iter_mut().zip(&self.segments) {
            match segment {
                Segment::Word(word) => shape.push(Some(word)),
                Segment::Pieces(pieces) => {
                    for (place, piece) in shape.iter_mut().zip(pieces) {
                        if let Piece::Word(word) = piece {
                            *place = Some(word);
                        }
                    }
                }
            }
        }
        shapes
    }

    /// The more definite first.
    fn order(&self, other: &Self) -> Ordering {
        let rank = |segment: &Segment| match segment {
            Segment::Word(_) => 0,
            Segment::Pieces(pieces) if pieces.len() > 1 => 1,
            Segment::Pieces(_) => 2,
        };
        self.segments.iter().map(rank).cmp(other.segments.iter().map(rank))
    }
}

/// All paths of a document, each with its place in the list they were made from.
#[derive(Debug, Default)]
pub(super) struct Paths {
    by_length: HashMap<usize, Vec<(Template, usize)>>,
}

impl Paths {
    /// The second of two paths that mean the same is the error.
    pub(super) fn new(templates: Vec<Template>) -> Result<Self, usize> {
        let mut by_length: HashMap<usize, Vec<(Template, usize)>> = HashMap::new();
        let mut shapes = HashMap::new();
        for (index, template) in templates.iter().enumerate() {
            if shapes.insert(template.shape(), index).is_some() {
                return Err(index);
            }
        }
        for (index, template) in templates.iter().enumerate() {
            by_length.entry(template.segments.len()).or_default().push((template.clone(), index));
        }
        by_length.values_mut().for_each(|list| list.sort_by(|(one, _), (other, _)| one.order(other)));
        Ok(Self { by_length })
    }

    /// The path that a request means.
    pub(super) fn find<'p>(&self, path: &'p str) -> Option<(usize, Values<'p>)> {
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        let candidates = self.by_length.get(&segments.len())?;
        candidates.iter().find_map(|(template, index)| Some((*index, template.matches(&segments)?)))
    }
}

fn pieces(segment: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = segment;
    while let Some((word, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or("a `{` has no `}`")?;
        if name.is_empty() || name.contains('{') {
            return Err("`{}` needs a name inside".to_owned());
        }
        if !word.is_empty() {
            pieces.push(Piece::Word(word.to_owned()));
        } else if matches!(pieces.last(), Some(Piece::Name(_))) {
            return Err("two names beside each other: nobody could say where one ends".to_owned());
        }
        pieces.push(Piece::Name(name.to_owned()));
        rest = after;
    }
    if rest.contains('}') {
        return Err("a `}` has no `{`".to_owned());
    }
    if !rest.is_empty() {
        pieces.push(Piece::Word(rest.to_owned()));
    }
    Ok(pieces)
}

/// Fills the names of one segment; each takes as little as it can.
fn fill<'p>(pieces: &[Piece], sent: &'p str, values: &mut Values<'p>) -> Option<()> {
    let mut rest = sent;
    for (index, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Word(word) => rest = rest.strip_prefix(word.as_str())?,
            Piece::Name(name) => {
                let end = match pieces.get(index + 1) {
                    Some(Piece::Word(word)) if index + 2 == pieces.len() => rest.len().checked_sub(word.len())?,
                    Some(Piece::Word(word)) => rest.find(word.as_str())?,
                    _ => rest.len(),
                };
                let (value, after) = rest.split_at_checked(end)?;
                // A name stands for something.
                (!value.is_empty()).then_some(())?;
                values.push((name.clone(), value));
                rest = after;
            }
        }
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(list: &[&str]) -> Result<Paths, usize> {
        Paths::new(list.iter().map(|path| Template::new(path).unwrap()).collect())
    }

    #[test]
    fn the_most_definite_path_is_meant() {
        let paths = paths(&["/a/{x}", "/a/b", "/{y}/b", "/a/{x}.json", "/", "/a/b/", "/é", "/{p}-{q}/z"]).unwrap();
        for (path, index, values) in [
            ("/a/b", 1, vec![]),
            ("/a/c", 0, vec![("x", "c")]),
            ("/a/c.json", 3, vec![("x", "c")]),
            ("/a/.json", 0, vec![("x", ".json")]),
            ("/c/b", 2, vec![("y", "c")]),
            ("/", 4, vec![]),
            ("/a/b/", 5, vec![]),
            ("/%C3%A9", 6, vec![]),
            ("/1-2-3/z", 7, vec![("p", "1"), ("q", "2-3")]),
            ("/a/x%2Fy", 0, vec![("x", "x%2Fy")]),
        ] {
            let (found, filled) = paths.find(path).unwrap();
            let filled: Vec<_> = filled.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            assert_eq!((found, filled), (index, values), "{path}");
        }
        for path in ["/a", "/a/b/c", "/c/d", "//b", ""] {
            assert!(paths.find(path).is_none_or(|(index, _)| path.is_empty() && index == 4), "{path}");
        }
    }

    #[test]
    fn paths_that_mean_the_same_and_broken_ones_are_refused() {
        assert_eq!(paths(&["/a/{x}", "/b", "/a/{y}"]).unwrap_err(), 2);
        for broken in ["a", "/{", "/}", "/{}", "/{a}{b}", "/{a}/{a}", "/{{a}}"] {
            assert!(Template::new(broken).is_err(), "{broken}");
        }
    }
}
