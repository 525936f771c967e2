//! Short forms: what a person writes where a plain struct would be clumsy.
//!
//! `expose` is `true`, `false` or a path; `slots` is a word, or a map with the one key `reuse`. Both are read here
//! by hand, so that an error in them points at the word or key that is wrong and says what may stand there.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::service::{Expose, ExposeText, SlotReuse, Slots};

impl Expose {
    /// The prefix under which `service` is reached, or nothing when it has no automatic route. Begins with `/` and
    /// ends with none, except `/` itself.
    pub fn prefix(&self, service: &str) -> Option<String> {
        match self {
            Self::Name => Some(format!("/{service}")),
            Self::Prefix(path) => Some(path.clone()),
            Self::No => None,
        }
    }
}

impl TryFrom<ExposeText> for Expose {
    type Error = String;

    fn try_from(text: ExposeText) -> Result<Self, String> {
        match text {
            ExposeText::Flag(true) => Ok(Self::Name),
            ExposeText::Flag(false) => Ok(Self::No),
            ExposeText::Path(path) => {
                valid_path(&path)?;
                let trimmed = path.trim_end_matches('/');
                Ok(Self::Prefix(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }))
            }
        }
    }
}

impl From<Expose> for ExposeText {
    fn from(expose: Expose) -> Self {
        match expose {
            Expose::Name => Self::Flag(true),
            Expose::No => Self::Flag(false),
            Expose::Prefix(path) => Self::Path(path),
        }
    }
}

/// Whether requests can have this path: it begins with `/`, has no query or fragment, no space, no `..`.
pub(super) fn valid_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("`{path}` is no path: it must begin with `/`"));
    }
    if let Some(odd) = path.chars().find(|c| matches!(c, '?' | '#' | '\\') || c.is_whitespace() || c.is_control()) {
        return Err(format!("`{}` is no path: {odd:?} cannot stand in one", path.escape_debug()));
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(format!("`{path}` is no path: `.` and `..` are resolved before routes are matched"));
    }
    one_spelling(path)
}

/// Whether a character of a path is never encoded in the one spelling of paths: the unreserved ones, and those with no
/// meaning of their own inside a segment. `;` has one for some, and `+` is a space to some.
pub(crate) fn is_plain_in_paths(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*,=:@".contains(&byte)
}

/// Requests are normalised before rules look at them, so a path in another spelling would hold for none of them.
fn one_spelling(path: &str) -> Result<(), String> {
    let shown = path.escape_debug();
    if !path.is_ascii() {
        return Err(format!("`{shown}` is no path: only visible ASCII characters, others with percent signs"));
    }
    if let Some(odd) = path.bytes().find(|&byte| !is_plain_in_paths(byte) && !b"/;+%".contains(&byte)) {
        return Err(format!("`{shown}` never comes like this: write `%{odd:02X}` for `{}`", char::from(odd)));
    }
    for (at, _) in path.match_indices('%') {
        let digits = path.get(at + 1..at + 3).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some((digits, byte)) = digits.and_then(|digits| Some((digits, u8::from_str_radix(digits, 16).ok()?)))
        else {
            return Err(format!("`{shown}` is no path: a percent sign in it encodes nothing, write `%25` for it"));
        };
        let right = match byte {
            byte if is_plain_in_paths(byte) => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        if right.strip_prefix('%') != Some(digits) {
            return Err(format!("`{shown}` never comes like this: write `{right}` for `%{digits}`"));
        }
    }
    Ok(())
}

/// The keys of the long form of [`Slots`].
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum SlotsKey {
    Reuse,
}

/// The words of the short form of [`Slots`].
const SLOT_WORDS: &[&str] = &["auto", "fresh", "reuse"];

impl<'de> Deserialize<'de> for Slots {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SlotsVisitor;
        impl<'de> Visitor<'de> for SlotsVisitor {
            type Value = Slots;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("auto, fresh, reuse or a map such as { reuse: { idle: 30s } }")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Slots, E> {
                match word {
                    "auto" => Ok(Slots::Auto),
                    "fresh" => Ok(Slots::Fresh),
                    "reuse" => Ok(Slots::Reuse(SlotReuse::default())),
                    _ => Err(E::unknown_variant(word, SLOT_WORDS)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Slots, A::Error> {
                let Some(SlotsKey::Reuse) = map.next_key()? else {
                    return Err(de::Error::missing_field("reuse"));
                };
                let reuse = map.next_value()?;
                match map.next_key::<SlotsKey>()? {
                    None => Ok(Slots::Reuse(reuse)),
                    Some(SlotsKey::Reuse) => Err(de::Error::duplicate_field("reuse")),
                }
            }
        }
        deserializer.deserialize_any(SlotsVisitor)
    }
}

impl JsonSchema for Slots {
    fn schema_name() -> Cow<'static, str> {
        "Slots".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let reuse = generator.subschema_for::<SlotReuse>();
        json_schema!({
            "description": "Whether a slot serves one request or many.",
            "oneOf": [
                { "enum": SLOT_WORDS },
                {
                    "type": "object",
                    "properties": { "reuse": reuse },
                    "required": ["reuse"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
