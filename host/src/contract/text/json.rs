//! JSON, within bounds.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{MAX_DEPTH, too_deep, too_many, twice};

/// Reads bytes that may hold so many values.
///
/// # Errors
/// When they are no JSON, or more or deeper than that, or give a key twice.
pub(in crate::contract) fn read_bounded(bytes: &[u8], most: usize) -> Result<Value, serde_json::Error> {
    let mut values = 0;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Seed { depth: 0, values: &mut values, most }.deserialize(&mut reader)?;
    reader.end().map(|()| value)
}

/// Reads one value of JSON.
struct Seed<'a> {
    depth: usize,
    values: &'a mut usize,
    most: usize,
}

impl Seed<'_> {
    fn deeper(&mut self) -> Seed<'_> {
        Seed { depth: self.depth + 1, values: self.values, most: self.most }
    }

    fn one<E: de::Error>(&mut self) -> Result<(), E> {
        *self.values += 1;
        if *self.values > self.most {
            return Err(E::custom(too_many(self.most)));
        }
        if self.depth > MAX_DEPTH { Err(E::custom(too_deep())) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(mut self, reader: D) -> Result<Value, D::Error> {
        self.one()?;
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.deeper())? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(twice(&key)));
            }
            map.insert(key, entries.next_value_seed(self.deeper())?);
        }
        Ok(Value::Object(map))
    }
}
