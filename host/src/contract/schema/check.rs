//! One value against one schema.
//!
//! Every schema that is asked about a value is paid for from a budget, and so is every name and every letter that is
//! looked at; when nothing is left, the answer is [`Checked::TooCostly`] and not "right". At most [`MAX_FOUND`] faults
//! are told. What is said of a fault is what the schema says, never the value: that is a stranger's text.
//!
//! Asked of `anyOf`, `not` and the like, a schema only says yes or no. If just one of several has the type of the
//! value, it is the one that was meant, and tells its faults.

use serde_json::Value;

use super::marks::Marks;
use super::node::{Id, Keyword, Node, Schemas, type_of};
use super::told::{Name, Step, pointer, words};
use super::values::same;
use crate::contract::Direction;

/// Faults of one value that are told.
const MAX_FOUND: usize = 10;
/// Schemas inside each other, about the same value or one inside it. Each takes room on a stack.
const MAX_DEPTH: usize = 400;
/// What a value came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) enum Checked {
    Right,
    /// At least one fault.
    Wrong(Vec<Found>),
    /// The budget was used up.
    TooCostly,
}

/// A fault of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::contract) struct Found {
    /// Where in the value, as a JSON pointer.
    pub(in crate::contract) pointer: String,
    pub(in crate::contract) message: String,
}

pub(super) struct Check<'a> {
    pub(super) schemas: &'a Schemas,
    pub(super) direction: Direction,
    budget: u64,
    pub(super) exhausted: bool,
    depth: usize,
    found: Vec<Found>,
}

impl Schemas {
    /// Checks a value, which may cost so much.
    pub(in crate::contract) fn check(&self, id: Id, value: &Value, direction: Direction, budget: u64) -> Checked {
        let mut check = Check { schemas: self, direction, budget, exhausted: false, depth: 0, found: Vec::new() };
        let right = check.check(id, value, None, true, None);
        match (check.exhausted, right) {
            (true, _) => Checked::TooCostly,
            (false, true) => Checked::Right,
            (false, false) => Checked::Wrong(check.found),
        }
    }
}

impl Check<'_> {
    pub(super) fn pay(&mut self, cost: usize) -> bool {
        match self.budget.checked_sub(cost as u64) {
            Some(left) => self.budget = left,
            None => self.exhausted = true,
        }
        !self.exhausted
    }

    pub(super) fn over(&self) -> bool {
        self.exhausted || self.found.len() >= MAX_FOUND
    }

    pub(super) fn fault(&mut self, path: Option<&Step<'_>>, tell: bool, message: impl FnOnce() -> String) -> bool {
        if tell && self.found.len() < MAX_FOUND {
            self.found.push(Found { pointer: pointer(path), message: message() });
        }
        false
    }

    pub(super) fn check<'v>(
        &mut self,
        id: Id,
        value: &'v Value,
        path: Option<&Step<'_>>,
        tell: bool,
        marks: Option<&mut Marks<'v>>,
    ) -> bool {
        let schemas = self.schemas;
        let Some(node) = schemas.node(id) else { return true };
        if !self.pay(1 + node.keywords.len()) {
            return false;
        }
        if self.depth >= MAX_DEPTH {
            self.exhausted = true;
            return false;
        }
        self.depth += 1;
        let mut own = (marks.is_some() || node.tracks).then(Marks::default);
        let right = self.keywords(node, value, path, tell, own.as_mut());
        self.depth -= 1;
        if let (true, Some(marks), Some(own)) = (right, marks, own) {
            marks.add(own);
        }
        right
    }

    fn keywords<'v>(
        &mut self,
        node: &Node,
        value: &'v Value,
        path: Option<&Step<'_>>,
        tell: bool,
        mut marks: Option<&mut Marks<'v>>,
    ) -> bool {
        let mut right = true;
        for keyword in &node.keywords {
            right &= self.keyword(keyword, value, path, tell, marks.as_deref_mut());
            // A value of the wrong type is wrong in every other way, too.
            let told = !right && (!tell || matches!(keyword, Keyword::Types(_)));
            if told || self.over() {
                return right && !self.exhausted;
            }
        }
        right
    }

    fn keyword<'v>(
        &mut self,
        keyword: &Keyword,
        value: &'v Value,
        path: Option<&Step<'_>>,
        tell: bool,
        mut marks: Option<&mut Marks<'v>>,
    ) -> bool {
        match keyword {
            Keyword::Never => self.fault(path, tell, || "is not allowed here".to_owned()),
            Keyword::Types(types) => {
                let right = types & type_of(value) != 0;
                right || self.fault(path, tell, || format!("must be {}", words(*types)))
            }
            Keyword::Values(values) => {
                let right = self.pay(values.len()) && values.iter().any(|one| same(one, value));
                right || self.fault(path, tell, || "is none of the values that are allowed here".to_owned())
            }
            Keyword::Number(of) => match value {
                Value::Number(number) => match of.fault(number) {
                    Some(message) => self.fault(path, tell, || message),
                    None => true,
                },
                _ => true,
            },
            Keyword::Text(of) => match value {
                Value::String(text) if self.pay(text.len() / 16) => match of.fault(text) {
                    Some(message) => self.fault(path, tell, || message),
                    None => true,
                },
                Value::String(_) => false,
                _ => true,
            },
            Keyword::Array(of) => match value {
                Value::Array(items) => self.array(of, items, path, tell, marks),
                _ => true,
            },
            Keyword::Object(of) => match value {
                Value::Object(map) => self.object(of, map, path, tell, marks),
                _ => true,
            },
            Keyword::Reference(id) => self.check(*id, value, path, tell, marks),
            Keyword::All(ids) => {
                let mut right = true;
                for id in ids {
                    right &= self.check(*id, value, path, tell, marks.as_deref_mut());
                    if (!right && !tell) || self.over() {
                        break;
                    }
                }
                right
            }
            Keyword::Any(ids) => {
                let mut right = false;
                for id in ids {
                    right |= self.check(*id, value, path, false, marks.as_deref_mut());
                    // Whoever asks what was looked at must have asked everybody.
                    if (right && marks.is_none()) || self.exhausted {
                        break;
                    }
                }
                right || self.none_of(ids, value, path, tell)
            }
            Keyword::One(ids) => {
                let mut fits = 0;
                for id in ids {
                    fits += u32::from(self.check(*id, value, path, false, marks.as_deref_mut()));
                    if fits > 1 || self.exhausted {
                        break;
                    }
                }
                match fits {
                    0 => self.none_of(ids, value, path, tell),
                    1 => true,
                    _ => {
                        self.fault(path, tell, || "fits more than one of the forms of which it must be one".to_owned())
                    }
                }
            }
            Keyword::Not(id) => {
                let fits = self.check(*id, value, path, false, None);
                !fits || self.fault(path, tell, || "has a form that is not allowed here".to_owned())
            }
            Keyword::If { condition, then, otherwise } => {
                let fits = self.check(*condition, value, path, false, marks.as_deref_mut());
                let next = if fits { then } else { otherwise };
                next.is_none_or(|id| self.check(id, value, path, tell, marks))
            }
            Keyword::Dependent(list) => {
                let Value::Object(map) = value else { return true };
                let mut right = true;
                for (name, id) in list {
                    if map.contains_key(name) {
                        right &= self.check(*id, value, path, tell, marks.as_deref_mut());
                    }
                    if !self.pay(1) {
                        return false;
                    }
                }
                right
            }
            Keyword::UnevaluatedItems(id) => {
                let (Value::Array(items), Some(marks)) = (value, marks) else { return true };
                let mut right = true;
                for (index, item) in items.iter().enumerate() {
                    if marks.all_items || index < marks.items || marks.others.contains(&index) {
                        continue;
                    }
                    let step = Step { parent: path, name: Name::Index(index) };
                    right &= self.check(*id, item, Some(&step), tell, None);
                    if self.over() {
                        break;
                    }
                }
                marks.all_items = true;
                right
            }
            Keyword::UnevaluatedProperties(id) => {
                let (Value::Object(map), Some(marks)) = (value, marks) else { return true };
                let mut right = true;
                for (name, value) in map {
                    if marks.all_properties || marks.properties.contains(name.as_str()) {
                        continue;
                    }
                    let step = Step { parent: path, name: Name::Key(name) };
                    right &= self.check(*id, value, Some(&step), tell, None);
                    if self.over() {
                        break;
                    }
                }
                marks.all_properties = true;
                right
            }
        }
    }

    fn none_of(&mut self, ids: &[Id], value: &Value, path: Option<&Step<'_>>, tell: bool) -> bool {
        if !tell || !self.pay(ids.len()) {
            return false;
        }
        let schemas = self.schemas;
        let mut meant = ids.iter().filter(|id| schemas.types(**id) & type_of(value) != 0);
        if let (Some(id), None) = (meant.next(), meant.next()) {
            return self.check(*id, value, path, true, None);
        }
        self.fault(path, tell, || "has none of the forms that are allowed here".to_owned())
    }
}
