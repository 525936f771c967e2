//! A share of a hundred, as people write it: `5`, `12.5`, `0.01`.
//!
//! Kept as whole millionths, so that two equal shares are equal and a draw against one has no rounding; four decimals
//! can be said, and more is refused instead of being rounded to something else.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// From 0 to 100, with up to four decimals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    millionths: u32,
}

/// Millionths in one percent.
const ONE: u32 = 10_000;
const EXPECTED: &str = "a number from 0 to 100, with at most four decimals";

impl Percent {
    /// Everything.
    pub const ALL: Self = Self { millionths: 100 * ONE };

    /// Whether something that happens to this share of all happens, where `random` is uniform over all of `u64`.
    pub fn hits(self, random: u64) -> bool {
        // Bias of the remainder: below 2^-44.
        random % u64::from(Self::ALL.millionths) < u64::from(self.millionths)
    }

    fn new(percent: f64) -> Option<Self> {
        let millionths = percent * f64::from(ONE);
        let whole = millionths.round();
        let is_whole = (millionths - whole).abs() < 1e-6;
        // Between 0 and a million: a `u32` holds it.
        ((0.0..=100.0).contains(&percent) && is_whole).then_some(Self { millionths: whole as u32 })
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.millionths) / f64::from(ONE)).fmt(f)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.millionths.is_multiple_of(ONE) {
            return serializer.serialize_u32(self.millionths / ONE);
        }
        serializer.serialize_f64(f64::from(self.millionths) / f64::from(ONE))
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Percent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Percent, E> {
                Percent::new(number).ok_or_else(|| E::custom(format!("`{number}` is no percentage: write {EXPECTED}")))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Percent, E> {
                self.visit_f64(number as f64)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Percent, E> {
                self.visit_f64(number as f64)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl JsonSchema for Percent {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 100 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(json: &str) -> Result<Percent, String> {
        serde_json::from_str(json).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn percentages_print_what_they_read() {
        for text in ["0", "5", "12.5", "0.01", "33.3333", "0.0001", "99.9999", "100"] {
            let read = percent(text).unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        assert_eq!(percent("5.0").unwrap(), percent("5").unwrap());
        assert_eq!(percent("100").unwrap(), Percent::ALL);
    }

    #[test]
    fn what_is_no_share_of_a_hundred_is_refused() {
        for text in ["-1", "-0.5", "101", "100.0001", "0.00001", "1e300", "18446744073709551615"] {
            let error = percent(text).unwrap_err();
            assert!(error.contains("is no percentage: write a number from 0 to 100"), "{text}: {error}");
        }
        for text in ["\"5\"", "\"5%\"", "true", "[]", "null"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn none_hits_never_and_all_hits_always_and_the_rest_its_share() {
        for (text, hits) in [("0", 0), ("0.0001", 1), ("12.5", 125_000), ("100", 1_000_000)] {
            let percent = percent(text).unwrap();
            // Whatever the draw's upper digits are.
            let offset = u64::MAX / 1_000_000 * 1_000_000 - 1_000_000;
            let drawn = (0..1_000_000).filter(|draw| percent.hits(offset + draw)).count();
            assert_eq!(drawn, hits, "{text}");
        }
    }
}
