//! A service's own SQL database: whether it has one, and its bounds.
//!
//! `sql: false` withholds it; a map sets bounds. All of them change while the database is in use.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::check::{At, Check};
use super::units::{Duration, Size};

/// Less is no database: the host's own tables need a few pages.
const QUOTA: RangeInclusive<Size> = Size::kib(256)..=Size::gib(1024);
const ROW: RangeInclusive<Size> = Size::kib(64)..=Size::mib(64);
const MS: Duration = Duration::millis(1);

/// For the test that schema, structs and samples agree.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"{
    "quota": "1GiB", "statementTimeout": "1s", "transactionTimeout": "2s", "migrationTimeout": "2m",
    "maxRowSize": "1MiB", "durability": "normal"
}"#;

/// The service's own SQL database.
#[derive(Debug, Clone, PartialEq)]
pub enum Sql {
    /// It has one, with these bounds.
    Granted(SqlBounds),
    /// It has none.
    No,
}

/// Bounds of a service's database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SqlBounds {
    /// Bytes of the database; a write over it fails. 256KiB to 1TiB.
    pub quota: Size,
    /// How long a statement may take, and wait for others.
    pub statement_timeout: Duration,
    /// How long a transaction or an unfinished result may be held before it is ended.
    pub transaction_timeout: Duration,
    /// How long one migration may take.
    pub migration_timeout: Duration,
    /// Bytes of a row, and of any value in a statement. 64KiB to 64MiB.
    pub max_row_size: Size,
    /// What a commit survives.
    pub durability: SqlDurability,
}

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum SqlDurability {
    /// The end of the process, and a power cut: each commit waits for the disk.
    Full,
    /// The end of the process. A power cut may take the last commits back.
    Normal,
}

impl Default for Sql {
    fn default() -> Self {
        Self::Granted(SqlBounds::default())
    }
}

impl Default for SqlBounds {
    fn default() -> Self {
        Self {
            quota: Size::mib(256),
            statement_timeout: Duration::secs(5),
            transaction_timeout: Duration::secs(10),
            migration_timeout: Duration::secs(60),
            max_row_size: Size::mib(2),
            durability: SqlDurability::Full,
        }
    }
}

impl Sql {
    /// Its bounds, if it is granted.
    pub fn bounds(&self) -> Option<&SqlBounds> {
        match self {
            Self::Granted(bounds) => Some(bounds),
            Self::No => None,
        }
    }

    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self::Granted(bounds) = self else { return };
        check.within(at.get("quota"), &bounds.quota, &QUOTA);
        check.within(at.get("maxRowSize"), &bounds.max_row_size, &ROW);
        for (key, value) in [
            ("statementTimeout", &bounds.statement_timeout),
            ("transactionTimeout", &bounds.transaction_timeout),
            ("migrationTimeout", &bounds.migration_timeout),
        ] {
            check.at_least(at.get(key), value, &MS);
        }
    }
}

impl Serialize for Sql {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Granted(bounds) => bounds.serialize(serializer),
            Self::No => serializer.serialize_bool(false),
        }
    }
}

impl<'de> Deserialize<'de> for Sql {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SqlVisitor;
        impl<'de> Visitor<'de> for SqlVisitor {
            type Value = Sql;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a map such as { quota: 1GiB }")
            }

            fn visit_bool<E>(self, granted: bool) -> Result<Sql, E> {
                Ok(if granted { Sql::default() } else { Sql::No })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Sql, A::Error> {
                SqlBounds::deserialize(MapAccessDeserializer::new(map)).map(Sql::Granted)
            }
        }
        deserializer.deserialize_any(SqlVisitor)
    }
}

impl JsonSchema for Sql {
    fn schema_name() -> Cow<'static, str> {
        "Sql".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bounds = generator.subschema_for::<SqlBounds>();
        json_schema!({
            "description": "The service's own SQL database, or `false` for none.",
            "oneOf": [ { "type": "boolean" }, bounds ],
        })
    }
}
