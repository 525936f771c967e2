//! What a schema comes to.

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Number, Value};

use super::format::Format;

/// A set of types of values.
pub(crate) type Types = u8;
pub(crate) const NULL: Types = 1;
pub(crate) const BOOLEAN: Types = 2;
pub(crate) const INTEGER: Types = 4;
/// Those that are no whole numbers.
pub(crate) const NUMBER: Types = 8;
pub(crate) const STRING: Types = 16;
pub(crate) const ARRAY: Types = 32;
pub(crate) const OBJECT: Types = 64;
pub(super) const ALL: Types = 127;

/// References that are followed to find out what a schema is about.
const MAX_HOPS: usize = 16;

/// A schema of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(pub(super) usize);

/// All schemas of a document.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    pub(super) nodes: Vec<Node>,
}

/// Who may send a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Access {
    /// Requests and responses.
    #[default]
    Both,
    /// `readOnly`: responses.
    Read,
    /// `writeOnly`: requests.
    Write,
}

/// One schema.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Those that depend on what others have looked at come last.
    pub(super) keywords: Vec<Keyword>,
    pub(super) access: Access,
    /// Whether one of its keywords asks what others have looked at.
    pub(super) tracks: bool,
}

/// One thing that a schema asks for, or several about the same type of value.
#[derive(Debug)]
pub(super) enum Keyword {
    Never,
    Types(Types),
    Values(Vec<Value>),
    Number(Box<OfNumber>),
    Text(Box<OfText>),
    Array(Box<OfArray>),
    Object(Box<OfObject>),
    Reference(Id),
    All(Vec<Id>),
    Any(Vec<Id>),
    One(Vec<Id>),
    Not(Id),
    If {
        condition: Id,
        then: Option<Id>,
        otherwise: Option<Id>,
    },
    /// When there is such a property.
    Dependent(Vec<(String, Id)>),
    UnevaluatedItems(Id),
    UnevaluatedProperties(Id),
}

#[derive(Debug, Default)]
pub(super) struct OfNumber {
    pub(super) minimum: Option<Number>,
    pub(super) maximum: Option<Number>,
    pub(super) above: Option<Number>,
    pub(super) below: Option<Number>,
    pub(super) multiple_of: Option<Number>,
    pub(super) format: Option<Format>,
}

#[derive(Debug, Default)]
pub(super) struct OfText {
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
    pub(super) pattern: Option<(String, Regex)>,
    pub(super) format: Option<Format>,
}

#[derive(Debug, Default)]
pub(super) struct OfArray {
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
    pub(super) unique: bool,
    pub(super) prefix: Vec<Id>,
    pub(super) items: Option<Id>,
    pub(super) contains: Option<Contains>,
}

#[derive(Debug)]
pub(super) struct Contains {
    pub(super) what: Id,
    pub(super) min: usize,
    pub(super) max: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct OfObject {
    pub(super) min: Option<usize>,
    pub(super) max: Option<usize>,
    pub(super) required: Vec<String>,
    pub(super) properties: HashMap<String, Id>,
    pub(super) patterns: Vec<(Regex, Id)>,
    pub(super) additional: Option<Id>,
    pub(super) names: Option<Id>,
    pub(super) dependent: Vec<(String, Vec<String>)>,
}

impl Keyword {
    /// Schemas that it asks about the same value.
    pub(super) fn in_place(&self) -> Vec<Id> {
        match self {
            Self::Reference(id) | Self::Not(id) => vec![*id],
            Self::All(ids) | Self::Any(ids) | Self::One(ids) => ids.clone(),
            Self::If { condition, then, otherwise } => {
                [Some(*condition), *then, *otherwise].into_iter().flatten().collect()
            }
            Self::Dependent(list) => list.iter().map(|(_, id)| *id).collect(),
            Self::Never
            | Self::Types(_)
            | Self::Values(_)
            | Self::Number(_)
            | Self::Text(_)
            | Self::Array(_)
            | Self::Object(_)
            | Self::UnevaluatedItems(_)
            | Self::UnevaluatedProperties(_) => Vec::new(),
        }
    }
}

impl Schemas {
    pub(super) fn node(&self, id: Id) -> Option<&Node> {
        self.nodes.get(id.0)
    }

    /// Who may send a property with this schema.
    pub(super) fn access(&self, mut id: Id) -> Access {
        for _ in 0..MAX_HOPS {
            let Some(node) = self.node(id) else { break };
            let next = node.keywords.iter().find_map(|keyword| match keyword {
                Keyword::Reference(id) => Some(*id),
                _ => None,
            });
            match (node.access, next) {
                (Access::Both, Some(next)) => id = next,
                (access, _) => return access,
            }
        }
        Access::Both
    }

    /// Types that a value may have, as far as schemas about the same value say so plainly.
    pub(crate) fn types(&self, id: Id) -> Types {
        self.types_within(id, MAX_HOPS)
    }

    fn types_within(&self, id: Id, hops: usize) -> Types {
        let (Some(node), Some(hops)) = (self.node(id), hops.checked_sub(1)) else { return ALL };
        let mut types = ALL;
        for keyword in &node.keywords {
            types &= match keyword {
                Keyword::Never => 0,
                Keyword::Types(types) => *types,
                Keyword::Values(values) => values.iter().map(type_of).fold(0, std::ops::BitOr::bitor),
                Keyword::Reference(id) => self.types_within(*id, hops),
                // Wide lists would make this long; what they allow is found out by trying.
                Keyword::All(ids) if ids.len() <= 4 => {
                    ids.iter().fold(ALL, |types, id| types & self.types_within(*id, hops / 2))
                }
                Keyword::Any(ids) | Keyword::One(ids) if ids.len() <= 4 => {
                    ids.iter().fold(0, |types, id| types | self.types_within(*id, hops / 2))
                }
                _ => ALL,
            };
        }
        types
    }

    /// The schema of a list's items, or of a property, where it is said plainly.
    pub(crate) fn inside(&self, mut id: Id, name: Option<&str>) -> Option<Id> {
        for _ in 0..MAX_HOPS {
            let mut next = None;
            for keyword in &self.node(id)?.keywords {
                match (keyword, name) {
                    (Keyword::Array(array), None) => return array.items,
                    (Keyword::Object(object), Some(name)) => {
                        return object.properties.get(name).copied().or(object.additional);
                    }
                    (Keyword::Reference(id), _) => next = Some(*id),
                    _ => {}
                }
            }
            id = next?;
        }
        None
    }

    /// Names of properties, where they are said plainly.
    pub(crate) fn properties(&self, mut id: Id) -> Vec<&str> {
        for _ in 0..MAX_HOPS {
            let Some(node) = self.node(id) else { break };
            let mut next = None;
            for keyword in &node.keywords {
                match keyword {
                    Keyword::Object(object) => return object.properties.keys().map(String::as_str).collect(),
                    Keyword::Reference(id) => next = Some(*id),
                    _ => {}
                }
            }
            let Some(found) = next else { break };
            id = found;
        }
        Vec::new()
    }
}

/// The one type that a value has.
pub(super) fn type_of(value: &Value) -> Types {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => INTEGER,
        Value::Number(_) => NUMBER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}
