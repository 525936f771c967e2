//! Where in a text the value of a JSON pointer stands: asked only when something is wrong with it.
//!
//! JSON is near enough to YAML to be walked by the same parser; where that gives up, the place is that of the last
//! thing on the way that was found.

use granit_parser::{Event, Parser};

/// Line and column of what `pointer` means, from 1; of a value in a map, those of its key.
pub(super) fn of(text: &str, pointer: &str) -> (usize, usize) {
    let wanted: Vec<String> = pointer.split('/').skip(1).map(unescape).collect();
    let mut walk = Walk { wanted, stack: Vec::new(), best: (0, (1, 1)) };
    for event in Parser::new_from_str(text.trim_start_matches('\u{feff}')) {
        let Ok((event, span)) = event else { break };
        walk.take(&event, (span.start.line().max(1), span.start.col() + 1));
        if walk.best.0 == walk.wanted.len() {
            break;
        }
    }
    walk.best.1
}

/// One step of a pointer as it was meant.
pub(super) fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// One step of a pointer as it is written.
pub(super) fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}

struct Walk {
    wanted: Vec<String>,
    stack: Vec<Open>,
    /// How many steps of the pointer are found, and where.
    best: (usize, (usize, usize)),
}

enum Open {
    List {
        next: usize,
        /// Whether it lies on the way.
        on_way: bool,
    },
    Map {
        key: Option<(String, (usize, usize))>,
        on_way: bool,
    },
}

impl Walk {
    fn take(&mut self, event: &Event<'_>, place: (usize, usize)) {
        match event {
            Event::SequenceStart(..) => {
                let on_way = self.value(place);
                self.stack.push(Open::List { next: 0, on_way });
            }
            Event::MappingStart(..) => {
                let on_way = self.value(place);
                self.stack.push(Open::Map { key: None, on_way });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.stack.pop();
            }
            Event::Scalar(text, ..) => {
                if let Some(Open::Map { key: key @ None, .. }) = self.stack.last_mut() {
                    *key = Some((text.to_string(), place));
                } else {
                    self.value(place);
                }
            }
            Event::Alias(_) => {
                self.value(place);
            }
            _ => {}
        }
    }

    /// A value begins; whether it lies on the way.
    fn value(&mut self, place: (usize, usize)) -> bool {
        let depth = self.stack.len();
        let (step, place, parent) = match self.stack.last_mut() {
            None => return true,
            Some(Open::List { next, on_way }) => {
                let step = next.to_string();
                *next += 1;
                (step, place, *on_way)
            }
            Some(Open::Map { key, on_way }) => match key.take() {
                Some((key, at)) => (key, at, *on_way),
                None => return false,
            },
        };
        let on_way = parent && self.wanted.get(depth - 1) == Some(&step);
        if on_way && depth > self.best.0 {
            self.best = (depth, place);
        }
        on_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_pointer_in_both_notations() {
        let yaml =
            "openapi: 3.1.0\npaths:\n  /a/b:\n    get:\n      tags: [x, y]\n      parameters:\n        - name: q\n";
        for (pointer, place) in [
            ("", (1, 1)),
            ("/paths", (2, 1)),
            ("/paths/~1a~1b", (3, 3)),
            ("/paths/~1a~1b/get/tags/1", (5, 17)),
            ("/paths/~1a~1b/get/parameters/0/name", (7, 11)),
            // What is not there is where it would be.
            ("/paths/~1a~1b/get/responses", (4, 5)),
        ] {
            assert_eq!(of(yaml, pointer), place, "{pointer}");
        }
        let json = "{\n  \"openapi\": \"3.1.0\",\n  \"paths\": { \"/a\": {\n    \"get\": 5 } } }";
        assert_eq!(of(json, "/paths/~1a/get"), (4, 5));
    }
}
