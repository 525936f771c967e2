//! The keywords of a schema that are about one type of value.

use serde_json::{Number, Value};

use super::compile::Compiler;
use super::format::Format;
use super::node::{
    ALL, ARRAY, BOOLEAN, Contains, INTEGER, NULL, NUMBER, OBJECT, OfArray, OfNumber, OfObject, OfText, STRING, Types,
};
use crate::contract::document::{At, Fault};

impl<'a> Compiler<'a> {
    pub(super) fn types(&self, at: &At<'a>) -> Result<Option<Types>, Fault> {
        let Some(said) = at.get("type") else { return Ok(None) };
        let one = |at: &At<'_>| match at.value.as_str() {
            Some("null") if !self.old => Ok(NULL),
            Some("boolean") => Ok(BOOLEAN),
            Some("integer") => Ok(INTEGER),
            Some("number") => Ok(NUMBER | INTEGER),
            Some("string") => Ok(STRING),
            Some("array") => Ok(ARRAY),
            Some("object") => Ok(OBJECT),
            _ => Err(at.fault("no type: one of boolean, integer, number, string, array, object (and null in 3.1)")),
        };
        let mut types = match said.value {
            Value::Array(_) if !self.old => {
                let mut types = 0;
                for item in said.items() {
                    types |= one(&item)?;
                }
                types
            }
            _ => one(&said)?,
        };
        if self.old && at.is_true("nullable") {
            types |= NULL;
        }
        Ok((types != ALL).then_some(types))
    }

    pub(super) fn number(&self, at: &At<'a>) -> Result<Option<OfNumber>, Fault> {
        let mut of = OfNumber {
            minimum: number(at, "minimum")?,
            maximum: number(at, "maximum")?,
            multiple_of: number(at, "multipleOf")?,
            format: format(at).filter(|format| format.is_of_numbers()),
            ..OfNumber::default()
        };
        if self.old {
            if at.is_true("exclusiveMinimum") {
                of.above = of.minimum.take();
            }
            if at.is_true("exclusiveMaximum") {
                of.below = of.maximum.take();
            }
        } else {
            (of.above, of.below) = (number(at, "exclusiveMinimum")?, number(at, "exclusiveMaximum")?);
        }
        if of.multiple_of.as_ref().and_then(Number::as_f64).is_some_and(|number| number <= 0.0) {
            return Err(at.fault("`multipleOf` is more than 0"));
        }
        let OfNumber { minimum, maximum, above, below, multiple_of, format } = &of;
        let any = [minimum, maximum, above, below, multiple_of].iter().any(|bound| bound.is_some()) || format.is_some();
        Ok(any.then_some(of))
    }

    pub(super) fn text(&mut self, at: &At<'a>) -> Result<Option<OfText>, Fault> {
        let mut of = OfText {
            min: size(at, "minLength")?,
            max: size(at, "maxLength")?,
            pattern: None,
            format: format(at).filter(|format| !format.is_of_numbers()),
        };
        if let Some(at) = at.get("pattern") {
            let text = at.value.as_str().ok_or_else(|| at.fault("a pattern is text"))?;
            of.pattern = Some((text.to_owned(), self.pattern(&at, text)?));
        }
        let any = of.min.is_some() || of.max.is_some() || of.pattern.is_some() || of.format.is_some();
        Ok(any.then_some(of))
    }

    pub(super) fn array(&mut self, at: &At<'a>) -> Result<Option<OfArray>, Fault> {
        let mut of = OfArray {
            min: size(at, "minItems")?,
            max: size(at, "maxItems")?,
            unique: at.is_true("uniqueItems"),
            ..OfArray::default()
        };
        if let Some(prefix) = at.get("prefixItems").filter(|_| !self.old) {
            if !prefix.value.is_array() {
                return Err(prefix.fault("a list of schemas is expected here"));
            }
            of.prefix = prefix.items().map(|item| self.schema(item)).collect();
        }
        of.items = at.get("items").map(|items| self.schema(items));
        if let Some(contains) = at.get("contains").filter(|_| !self.old) {
            let (min, max) = (size(at, "minContains")?.unwrap_or(1), size(at, "maxContains")?);
            of.contains = Some(Contains { what: self.schema(contains), min, max });
        }
        let any = of.min.is_some() || of.max.is_some() || of.unique || of.items.is_some() || of.contains.is_some();
        Ok((any || !of.prefix.is_empty()).then_some(of))
    }

    pub(super) fn object(&mut self, at: &At<'a>) -> Result<Option<OfObject>, Fault> {
        let mut of = OfObject {
            min: size(at, "minProperties")?,
            max: size(at, "maxProperties")?,
            required: at.get("required").map(|list| words(&list)).transpose()?.unwrap_or_default(),
            properties: self.named(at, "properties")?.into_iter().collect(),
            additional: at.get("additionalProperties").and_then(|at| match at.value {
                Value::Bool(true) => None,
                // 3.0 has truth values here, and nowhere else.
                Value::Bool(false) => Some(self.never(&at)),
                _ => Some(self.schema(at)),
            }),
            ..OfObject::default()
        };
        if !self.old {
            for (at, pattern) in at.get("patternProperties").iter().flat_map(At::entries).map(|(key, at)| (at, key)) {
                of.patterns.push((self.pattern(&at, pattern)?, self.schema(at)));
            }
            of.names = at.get("propertyNames").map(|names| self.schema(names));
            for (name, list) in at.get("dependentRequired").iter().flat_map(At::entries) {
                of.dependent.push((name.to_owned(), words(&list)?));
            }
        }
        let any = of.min.is_some() || of.max.is_some() || !of.required.is_empty() || !of.properties.is_empty();
        let more = of.additional.is_some() || of.names.is_some() || !of.patterns.is_empty() || !of.dependent.is_empty();
        Ok((any || more).then_some(of))
    }
}

fn format(at: &At<'_>) -> Option<Format> {
    at.text("format").and_then(Format::named)
}

fn number(at: &At<'_>, word: &str) -> Result<Option<Number>, Fault> {
    match at.get(word) {
        None => Ok(None),
        Some(At { value: Value::Number(number), .. }) => Ok(Some(number.clone())),
        Some(at) => Err(at.fault(format!("`{word}` is a number"))),
    }
}

fn size(at: &At<'_>, word: &str) -> Result<Option<usize>, Fault> {
    let Some(at) = at.get(word) else { return Ok(None) };
    let whole = at.value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0);
    // More than fits is more than anything has.
    whole.map(|number| Some(number as usize)).ok_or_else(|| at.fault(format!("`{word}` is a whole number from 0")))
}

fn words(list: &At<'_>) -> Result<Vec<String>, Fault> {
    let wrong = || list.fault("a list of names is expected here");
    let items = list.value.as_array().ok_or_else(wrong)?;
    items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}
