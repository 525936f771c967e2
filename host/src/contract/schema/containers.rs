//! Arrays and objects: where a check goes inside.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::check::Check;
use super::marks::Marks;
use super::node::{Access, Contains, Id, OfArray, OfObject};
use super::told::{Name, Step};
use super::values::are_unique;
use crate::contract::Direction;

impl Check<'_> {
    pub(super) fn array<'v>(
        &mut self,
        of: &OfArray,
        items: &'v [Value],
        path: Option<&Step<'_>>,
        tell: bool,
        marks: Option<&mut Marks<'v>>,
    ) -> bool {
        let OfArray { min, max, unique, prefix, items: rest, contains } = of;
        let mut right = true;
        if let Some(min) = min.filter(|min| items.len() < *min) {
            right = self.fault(path, tell, || format!("must have at least {min} items"));
        }
        if let Some(max) = max.filter(|max| items.len() > *max) {
            right = self.fault(path, tell, || format!("must have at most {max} items"));
        }
        if *unique && self.pay(items.len()) && !are_unique(items) {
            right = self.fault(path, tell, || "must not have the same item twice".to_owned());
        }
        for (index, item) in items.iter().enumerate() {
            let Some(id) = prefix.get(index).or(rest.as_ref()) else { break };
            if (!right && !tell) || self.over() {
                return false;
            }
            let step = Step { parent: path, name: Name::Index(index) };
            right &= self.check(*id, item, Some(&step), tell, None);
        }
        let mut others = HashSet::new();
        if let Some(Contains { what, min, max }) = contains {
            let mut count = 0;
            for (index, item) in items.iter().enumerate() {
                if self.check(*what, item, None, false, None) {
                    count += 1;
                    others.insert(index);
                }
                if self.exhausted {
                    return false;
                }
            }
            if count < *min || max.is_some_and(|max| count > max) {
                right = self.fault(path, tell, || "must have another number of certain items".to_owned());
            }
        }
        if let Some(marks) = marks {
            marks.items = marks.items.max(prefix.len());
            marks.all_items |= rest.is_some();
            marks.others.extend(others);
        }
        right
    }

    pub(super) fn object<'v>(
        &mut self,
        of: &OfObject,
        map: &'v Map<String, Value>,
        path: Option<&Step<'_>>,
        tell: bool,
        mut marks: Option<&mut Marks<'v>>,
    ) -> bool {
        let OfObject { min, max, required, properties, patterns, additional, names, dependent } = of;
        let mut right = self.pay(required.len() + dependent.len());
        if let Some(min) = min.filter(|min| map.len() < *min) {
            right = self.fault(path, tell, || format!("must have at least {min} properties"));
        }
        if let Some(max) = max.filter(|max| map.len() > *max) {
            right = self.fault(path, tell, || format!("must have at most {max} properties"));
        }
        for name in required {
            if !map.contains_key(name) && !self.is_for_others(properties.get(name)) {
                let step = Step { parent: path, name: Name::Key(name) };
                right = self.fault(Some(&step), tell, || "is required".to_owned());
            }
        }
        for (_, others) in dependent.iter().filter(|(name, _)| map.contains_key(name)) {
            for name in others.iter().filter(|name| !map.contains_key(*name)) {
                let step = Step { parent: path, name: Name::Key(name) };
                right = self.fault(Some(&step), tell, || "is required beside what is there".to_owned());
            }
        }
        for (name, value) in map {
            if (!right && !tell) || self.over() || !self.pay(1 + patterns.len()) {
                return false;
            }
            let step = Step { parent: path, name: Name::Key(name) };
            if let Some(names) = names {
                let text = Value::String(name.clone());
                let fits = self.check(*names, &text, None, false, None);
                right &= fits || self.fault(Some(&step), tell, || "is no name that is allowed here".to_owned());
            }
            let mut known = false;
            let of_patterns = patterns.iter().filter(|(pattern, _)| pattern.is_match(name)).map(|(_, id)| id);
            for id in properties.get(name).into_iter().chain(of_patterns) {
                known = true;
                right &= self.check(*id, value, Some(&step), tell, None);
            }
            if let (false, Some(additional)) = (known, additional) {
                known = true;
                right &= self.check(*additional, value, Some(&step), tell, None);
            }
            if let (true, Some(marks)) = (known, marks.as_deref_mut()) {
                marks.properties.insert(name);
            }
        }
        right
    }

    /// Whether only the other side sends this property.
    fn is_for_others(&self, id: Option<&Id>) -> bool {
        let access = id.map_or(Access::Both, |id| self.schemas.access(*id));
        matches!((access, self.direction), (Access::Read, Direction::Request) | (Access::Write, Direction::Response))
    }
}
