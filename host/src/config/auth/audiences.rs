//! `audiences`: a list, or the word `any` for those who mean it.
//!
//! An empty list as "anybody" would be one forgotten line away from taking tokens that were issued for others.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Whom tokens are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// Anybody: `aud` is not looked at.
    Any,
    /// One of these.
    These(Vec<String>),
}

const ANY: &str = "any";

impl Serialize for Audiences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str(ANY),
            Self::These(audiences) => audiences.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Audiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AudiencesVisitor;
        impl<'de> Visitor<'de> for AudiencesVisitor {
            type Value = Audiences;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of audiences, or any")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Audiences, E> {
                if word == ANY { Ok(Audiences::Any) } else { Err(E::invalid_type(de::Unexpected::Str(word), &self)) }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Audiences, A::Error> {
                let mut audiences = Vec::new();
                while let Some(audience) = items.next_element()? {
                    audiences.push(audience);
                }
                Ok(Audiences::These(audiences))
            }
        }
        deserializer.deserialize_any(AudiencesVisitor)
    }
}

impl JsonSchema for Audiences {
    fn schema_name() -> Cow<'static, str> {
        "Audiences".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Whom tokens are for.",
            "oneOf": [{ "const": ANY }, { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 }],
        })
    }
}
