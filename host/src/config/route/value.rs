//! What a header, a query parameter or a cookie must be: `v` for exactly that, `{ regex: … }`, or `{ present: … }`.
//!
//! Read by hand, so that the common case stays a plain word (`version: two`, taken as written: `1.10` is no number)
//! and an error in the long form points at the key or value that is wrong. Whether a pattern compiles is checked with
//! the other values of a route.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::super::schema::text;

/// What a value must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueMatch {
    /// Exactly this.
    Exact(String),
    /// The regular expression matches all of it.
    Regex(String),
    /// There is one, whatever it is (`true`), or none (`false`).
    Present(bool),
}

/// The keys of the long forms.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    Regex,
    Present,
}

impl Key {
    fn name(&self) -> &'static str {
        match self {
            Self::Regex => "regex",
            Self::Present => "present",
        }
    }
}

impl<'de> Deserialize<'de> for ValueMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = ValueMatch;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, { regex: … } or { present: … }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ValueMatch, E> {
                Ok(ValueMatch::Exact(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ValueMatch, A::Error> {
                let Some(key) = map.next_key()? else {
                    return Err(de::Error::missing_field("regex"));
                };
                let value = match key {
                    Key::Regex => ValueMatch::Regex(map.next_value()?),
                    Key::Present => ValueMatch::Present(map.next_value()?),
                };
                match map.next_key::<Key>()? {
                    None => Ok(value),
                    Some(second) => {
                        let (first, second) = (key.name(), second.name());
                        Err(de::Error::custom(format_args!("`{first}` and `{second}` exclude each other: give one")))
                    }
                }
            }
        }
        // As text even where it looks like a number; a map is visited as a map.
        deserializer.deserialize_str(ValueVisitor)
    }
}

impl Serialize for ValueMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match self {
            Self::Exact(text) => return serializer.serialize_str(text),
            Self::Regex(_) | Self::Present(_) => serializer.serialize_map(Some(1))?,
        };
        match self {
            Self::Exact(_) => {}
            Self::Regex(pattern) => map.serialize_entry("regex", pattern)?,
            Self::Present(present) => map.serialize_entry("present", present)?,
        }
        map.end()
    }
}

impl JsonSchema for ValueMatch {
    fn schema_name() -> Cow<'static, str> {
        "ValueMatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let scalar = generator.subschema_for::<text::Scalar>();
        let pattern = generator.subschema_for::<text::Pattern>();
        json_schema!({
            "description": "What a value must be: exactly this text, what a regular expression matches, or there at all.",
            "oneOf": [
                scalar,
                {
                    "type": "object",
                    "properties": { "regex": pattern },
                    "required": ["regex"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": { "present": { "type": "boolean" } },
                    "required": ["present"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_prints_as_it_is_read() {
        for (json, value) in [
            (r#""regex""#, ValueMatch::Exact("regex".into())),
            (r#"{"regex":"v[12]"}"#, ValueMatch::Regex("v[12]".into())),
            (r#"{"present":false}"#, ValueMatch::Present(false)),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
        }
    }
}
