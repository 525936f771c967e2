//! What a service reads about itself: values, values of one version, and secrets by name.
//!
//! Decided here: the words, and that a value which names a secret names one that exists (`secrets` in `gateway.yaml`) and
//! that the service was granted (`grants.secrets`). Whether the secret can be read is found out where it is put to use,
//! so that `wharf validate` works on a machine that has none of them.
//!
//! The value of a key is that of the version's label under `versions`, else that of `config`. Labels match letter for
//! letter, as in `backendRefs`: the label from the file's name, else the component's version, else the digest's first
//! eight digits. A version that nobody has is no mistake, because files come and go while the configuration stays.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::instances::valid_word;
use super::problem::closest;
use super::secret::SecretRef;
use super::service::Service;

/// What a key of `config` holds: text, or `{ secret: NAME }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigValue {
    /// This text.
    Text(String),
    /// The secret of this name in `gateway.yaml`.
    Secret(String),
}

/// What is different for one version of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct VersionSettings {
    /// Values that this version reads instead of, or besides, those of the service.
    pub config: BTreeMap<String, ConfigValue>,
}

impl From<&str> for ConfigValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for ConfigValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Secret(name) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("secret", name)?;
                map.end()
            }
        }
    }
}

/// The keys of the long form.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    Secret,
}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = ConfigValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a map such as { secret: name }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ConfigValue, E> {
                Ok(ConfigValue::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConfigValue, A::Error> {
                let Some(Key::Secret) = map.next_key()? else {
                    return Err(de::Error::missing_field("secret"));
                };
                let name = map.next_value()?;
                match map.next_key::<Key>()? {
                    None => Ok(ConfigValue::Secret(name)),
                    Some(Key::Secret) => Err(de::Error::duplicate_field("secret")),
                }
            }
        }
        // Text as it is written, also where it looks like a number.
        deserializer.deserialize_str(ValueVisitor)
    }
}

impl JsonSchema for ConfigValue {
    fn schema_name() -> Cow<'static, str> {
        "ConfigValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text, or `{ secret: NAME }`: the secret of this name in `gateway.yaml`.",
            "oneOf": [
                { "type": ["string", "number", "boolean"] },
                {
                    "type": "object",
                    "properties": { "secret": { "type": "string", "minLength": 1 } },
                    "required": ["secret"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

impl Service {
    /// Names of the secrets that any version of it reads.
    pub fn secrets(&self) -> BTreeSet<&str> {
        let of_versions = self.versions.values().flat_map(|version| version.config.values());
        let values = self.config.values().chain(of_versions);
        values
            .filter_map(|value| match value {
                ConfigValue::Secret(name) => Some(name.as_str()),
                ConfigValue::Text(_) => None,
            })
            .collect()
    }
}

/// `secrets` of `gateway.yaml`.
pub(super) fn check_secrets(secrets: &BTreeMap<String, SecretRef>, check: &mut Check<'_>, at: At<'_>) {
    for (name, secret) in secrets {
        if let Err(message) = valid_word(name) {
            check.wrong(at.key(name), message);
        }
        secret.check(check, at.get(name));
    }
}

/// `config`, `versions` and `grants.secrets` of a service. `secrets` are those there are; nothing when that cannot be
/// told, because a part of `gateway.yaml` was refused.
pub(super) fn check_settings(
    service: &Service,
    secrets: Option<&BTreeMap<String, SecretRef>>,
    check: &mut Check<'_>,
    at: At<'_>,
) {
    let known = |name: &str| secrets.is_none_or(|secrets| secrets.contains_key(name));
    let mut granted = BTreeSet::new();
    for (name, at) in service.grants.secrets.iter().zip(at.get("grants").get("secrets").items()) {
        if !known(name) {
            check.wrong(at, no_such_secret(name, secrets));
        } else if !granted.insert(name.as_str()) {
            check.wrong(at, format!("`{}` is granted already: name each secret once", name.escape_debug()));
        }
    }
    let mut values = |config: &BTreeMap<String, ConfigValue>, at: At<'_>| {
        for (key, value) in config {
            if key.is_empty() {
                let message = match value {
                    ConfigValue::Text(text) => format!("`{text}` needs a key"),
                    ConfigValue::Secret(name) => format!("the secret `{name}` needs a key"),
                };
                check.wrong(at.key(key), message);
            }
            let ConfigValue::Secret(name) = value else { continue };
            let shown = name.escape_debug();
            if !known(name) {
                check.wrong(at.get(key), no_such_secret(name, secrets));
            } else if !service.grants.secrets.contains(name) {
                let message = format!("the secret `{shown}` is not granted to this service: add it to grants.secrets");
                check.wrong(at.get(key), message);
            }
        }
    };
    values(&service.config, at.get("config"));
    for (label, version) in &service.versions {
        values(&version.config, at.get("versions").get(label).get("config"));
    }
    for label in service.versions.keys() {
        if let Err(message) = valid_word(label) {
            check.wrong(at.get("versions").key(label), message);
        }
    }
}

fn no_such_secret(name: &str, secrets: Option<&BTreeMap<String, SecretRef>>) -> String {
    let names = secrets.into_iter().flat_map(BTreeMap::keys).map(String::as_str);
    let shown = name.escape_debug();
    match closest(name, names) {
        Some(meant) => format!("there is no secret `{shown}` in gateway.yaml; did you mean `{meant}`?"),
        None => format!("there is no secret `{shown}` in gateway.yaml: say under `secrets` where it is"),
    }
}
