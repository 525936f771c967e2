//! A tree as serde sees it.
//!
//! What a scalar is depends on what is asked for: text is always taken as written, numbers and truth values only when
//! written without quotes. An empty value is an empty map or list where one of these is wanted, so that a heading
//! whose lines are all commented out is no mistake. Parts that were refused are not there.

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

use super::super::tree::{Entry, Kind, Node};
use super::Fault;

/// A part of the tree, as serde reads it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a Node);

impl<'a> Reader<'a> {
    fn wrong_type(self, expected: &dyn Expected) -> Fault {
        let found = match &self.0.kind {
            Kind::Null => Unexpected::Unit,
            Kind::Scalar { text, .. } => Unexpected::Str(text),
            Kind::List(_) => Unexpected::Seq,
            Kind::Map(_) => Unexpected::Map,
        };
        de::Error::invalid_type(found, expected)
    }

    /// The entries that count; an absent map is an empty one.
    fn entries(self) -> Option<impl Iterator<Item = &'a Entry>> {
        let entries: &[Entry] = match &self.0.kind {
            Kind::Map(entries) if !self.0.is_refused() => entries,
            Kind::Null => &[],
            _ if self.0.is_refused() => &[],
            _ => return None,
        };
        Some(entries.iter().filter(|entry| !entry.value.is_refused()))
    }
}

/// Reads a text without quotes as the number or truth value it looks like.
fn visit_plain<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Fault> {
    let digits = text.bytes().next_back().is_some_and(|byte| byte.is_ascii_digit());
    match text {
        "true" => visitor.visit_bool(true),
        "false" => visitor.visit_bool(false),
        _ if !digits => visitor.visit_str(text),
        _ => match (text.parse::<u64>(), text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _, _) => visitor.visit_u64(number),
            (_, Ok(number), _) => visitor.visit_i64(number),
            (_, _, Ok(number)) => visitor.visit_f64(number),
            _ => visitor.visit_str(text),
        },
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Scalar { text, plain: true } => visit_plain(text, visitor),
            Kind::Scalar { text, plain: false } => visitor.visit_str(text),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Scalar { text, .. } => visitor.visit_str(text),
            // Where text has a long form; every other visitor says that a map is none.
            Kind::Map(_) => self.deserialize_map(visitor),
            Kind::Null | Kind::List(_) => Err(self.wrong_type(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.kind {
            Kind::Null => visitor.visit_none(),
            Kind::Scalar { .. } | Kind::List(_) | Kind::Map(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let items: &[Node] = match &self.0.kind {
            Kind::List(items) => items,
            Kind::Null => &[],
            Kind::Scalar { .. } | Kind::Map(_) => return Err(self.wrong_type(&visitor)),
        };
        visitor.visit_seq(Items(items.iter().filter(|item| !item.is_refused())))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.entries() {
            Some(entries) => visitor.visit_map(Entries { entries, current: None }),
            None => Err(self.wrong_type(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let one_of = || format!("one of {}", variants.join(", "));
        match &self.0.kind {
            Kind::Scalar { text, .. } => visitor.visit_enum(Choice { word: text, value: None }),
            Kind::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Choice { word: &entry.key, value: Some(entry) }),
                [] => Err(de::Error::custom(format_args!("expected {} as the only key", one_of()))),
                [_, second, ..] => {
                    let fault: Fault = de::Error::custom(format_args!("expected only one key, {}", one_of()));
                    Err(fault.at(&second.span))
                }
            },
            Kind::Null | Kind::List(_) => Err(self.wrong_type(&one_of().as_str())),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// The items of a list.
struct Items<I>(I);

impl<'a, 'de, I: Iterator<Item = &'a Node>> SeqAccess<'de> for Items<I> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(item) = self.0.next() else { return Ok(None) };
        seed.deserialize(Reader(item)).map(Some).map_err(|fault| fault.inside(item).refuse(item))
    }
}

/// The entries of a map.
struct Entries<'a, I> {
    entries: I,
    current: Option<&'a Entry>,
}

impl<'a, 'de, I: Iterator<Item = &'a Entry>> MapAccess<'de> for Entries<'a, I> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        self.current = self.entries.next();
        let Some(entry) = self.current else { return Ok(None) };
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        // A key that is wrong is left out together with its value.
        seed.deserialize(key).map(Some).map_err(|fault| fault.at(&entry.span).refuse(&entry.value))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        match self.current {
            Some(entry) => {
                seed.deserialize(Reader(&entry.value)).map_err(|fault| fault.inside(&entry.value).refuse(&entry.value))
            }
            None => Err(de::Error::custom("a value without a key")),
        }
    }
}

/// One of several forms: a word, or a map with the word as its only key.
struct Choice<'a> {
    word: &'a str,
    value: Option<&'a Entry>,
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let word: StrDeserializer<'_, Fault> = self.word.into_deserializer();
        match (seed.deserialize(word), self.value) {
            (Ok(variant), _) => Ok((variant, self)),
            (Err(fault), Some(entry)) => Err(fault.about_key().at(&entry.span)),
            (Err(fault), None) => Err(fault),
        }
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.value {
            None => Ok(()),
            Some(entry) => {
                let fault: Fault =
                    de::Error::custom(format_args!("`{0}` takes no value: write `{0}` alone", self.word));
                Err(fault.at(&entry.span))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match self.value {
            // What is wrong inside is refused there; what is wrong as a whole makes the choice wrong as a whole.
            Some(entry) => seed.deserialize(Reader(&entry.value)).map_err(|fault| fault.inside(&entry.value)),
            None => Err(de::Error::custom(format_args!("`{0}` needs a value: write `{{ {0}: … }}`", self.word))),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::TupleVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::StructVariant, &visitor))
    }
}
