//! Which outside hosts a service may ask: `https://api.example.com`, `https://*.example.org:8443`, or a map with the
//! same under `url` and `allowPrivate` beside it.
//!
//! A rule names scheme, host and port, and each must be the same in a request; a port that is not written is the
//! scheme's. `*.` stands for one or more labels, never for none. There is no rule for everything: `*` alone is refused,
//! since a service that may ask anybody can be made to ask for anything.
//!
//! Only public addresses are asked, whatever a name resolves to. `allowPrivate` says that a host is meant to be one of
//! the own network.

use std::borrow::Cow;
use std::fmt;

use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::check::{At, Check};
use super::upstream::{Host, valid_port};

/// A kind of outside hosts that a service may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressRule {
    /// Whether it is https, and not http.
    pub secure: bool,
    /// Which hosts.
    pub hosts: EgressHosts,
    /// The port.
    pub port: u16,
    /// Whether the host may have addresses that are not public.
    pub allow_private: bool,
}

/// The hosts of an [`EgressRule`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EgressHosts {
    /// This one.
    Exact(Host),
    /// All below this name, which is in lower case, at any depth; not itself.
    Below(String),
}

impl EgressRule {
    /// Reads `scheme://host[:port]`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(url: &str, allow_private: bool) -> Result<Self, String> {
        let shown = url.escape_debug();
        let example = "write it like https://api.example.com or https://*.example.org:8443";
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| format!("`{shown}` is no whole address: {example}"))?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(format!("`{shown}` is neither http nor https: {example}")),
        };
        if rest.contains('@') {
            // Not shown: it may hold a password.
            return Err("credentials cannot stand in a rule for egress".to_owned());
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err(format!("`{shown}` has a path: rules for egress name scheme, host and port only"));
        }
        let (wild, authority) = match rest.strip_prefix("*.") {
            Some(below) => (true, below),
            None => (false, rest),
        };
        let uri: Uri =
            format!("{scheme}://{authority}").parse().map_err(|_| format!("`{shown}` is no address: {example}"))?;
        let port = valid_port(&uri)?.unwrap_or(if secure { 443 } else { 80 });
        let hosts = match (wild, uri.host().unwrap_or_default().parse()?) {
            (false, host) => EgressHosts::Exact(host),
            (true, Host::Name(name)) => EgressHosts::Below(name),
            (true, Host::Address(_)) => return Err(format!("`{shown}`: there is nothing below an address")),
        };
        Ok(Self { secure, hosts, port, allow_private })
    }

    /// What it says about addresses, as text.
    fn url(&self) -> String {
        let (scheme, usual) = if self.secure { ("https", 443) } else { ("http", 80) };
        let hosts = match &self.hosts {
            EgressHosts::Exact(host) => host.to_string(),
            EgressHosts::Below(name) => format!("*.{name}"),
        };
        let port = if self.port == usual { String::new() } else { format!(":{}", self.port) };
        format!("{scheme}://{hosts}{port}")
    }

    /// Reports rules that stand there twice, or go out in clear.
    pub(in crate::config) fn check_all(rules: &[Self], check: &mut Check<'_>, at: At<'_>) {
        for (number, (rule, at)) in rules.iter().zip(at.items()).enumerate() {
            let same = |other: &&Self| Self { allow_private: rule.allow_private, ..(*other).clone() } == *rule;
            if rules.iter().take(number).any(|other| same(&other)) {
                check.wrong(at, format!("`{}` stands here twice: give it once", rule.url()));
            } else if !rule.secure && !rule.allow_private {
                check.warn(
                    at,
                    format!("`{}` goes over the internet in clear: use https if the host has it", rule.url()),
                );
            }
        }
    }
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

/// The keys of the long form.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Key {
    Url,
    AllowPrivate,
}

impl<'de> Deserialize<'de> for EgressRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RuleVisitor;
        impl<'de> Visitor<'de> for RuleVisitor {
            type Value = EgressRule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "an address such as https://api.example.com or a map such as { url: …, allowPrivate: true }",
                )
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<EgressRule, E> {
                EgressRule::parse(url, false).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EgressRule, A::Error> {
                let (mut rule, mut allow_private) = (None, None);
                while let Some(key) = map.next_key()? {
                    match key {
                        // Read as a rule of its own, so that a mistake points at the address and not at the map.
                        Key::Url if rule.is_none() => rule = Some(map.next_value::<Short>()?.0),
                        Key::AllowPrivate if allow_private.is_none() => allow_private = Some(map.next_value()?),
                        Key::Url => return Err(de::Error::duplicate_field("url")),
                        Key::AllowPrivate => return Err(de::Error::duplicate_field("allowPrivate")),
                    }
                }
                let rule = rule.ok_or_else(|| de::Error::missing_field("url"))?;
                Ok(EgressRule { allow_private: allow_private.unwrap_or(false), ..rule })
            }
        }
        deserializer.deserialize_any(RuleVisitor)
    }
}

/// The text form alone.
struct Short(EgressRule);

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = Cow::<'de, str>::deserialize(deserializer)?;
        EgressRule::parse(&url, false).map(Self).map_err(de::Error::custom)
    }
}

impl Serialize for EgressRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.allow_private {
            return serializer.serialize_str(&self.url());
        }
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("url", &self.url())?;
        map.serialize_entry("allowPrivate", &true)?;
        map.end()
    }
}

impl JsonSchema for EgressRule {
    fn schema_name() -> Cow<'static, str> {
        "EgressRule".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let url = json_schema!({
            "type": "string",
            "pattern": r"^https?://(\*\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$",
        });
        json_schema!({
            "description": "An outside host that the service may ask: scheme, host (or `*.` and a name) and port.",
            "oneOf": [
                url,
                {
                    "type": "object",
                    "properties": {
                        "url": url,
                        "allowPrivate": {
                            "type": "boolean",
                            "default": false,
                            "description": "Whether the host may have addresses that are not public.",
                        },
                    },
                    "required": ["url"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}

/// Both forms, as the tests of the format use them.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"[
    "https://api.example.com", "https://*.example.org:8443", { "url": "http://10.0.0.7:9000", "allowPrivate": true }
]"#;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::problem::File;
    use super::super::tree::parse;
    use super::*;

    #[test]
    fn both_forms_are_read_and_written_back() {
        let rules: Vec<EgressRule> = serde_json::from_str(EXAMPLE).unwrap();
        let again: serde_json::Value = serde_json::to_value(&rules).unwrap();
        assert_eq!(again, serde_json::from_str::<serde_json::Value>(EXAMPLE).unwrap());
        assert_eq!(rules[1].hosts, EgressHosts::Below("example.org".to_owned()));
        assert_eq!(rules.iter().map(|rule| rule.port).collect::<Vec<_>>(), [443, 8443, 9000]);
        assert!(rules[2].allow_private && !rules[2].secure && rules[1].secure);
    }

    #[test]
    fn the_schema_says_what_the_reader_says() {
        let schema = serde_json::to_value(schemars::schema_for!(EgressRule)).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        for rule in serde_json::from_str::<Vec<serde_json::Value>>(EXAMPLE).unwrap() {
            assert!(validator.is_valid(&rule), "{rule}");
        }
        for wrong in [
            r#""api.example.com""#,
            r#""ftp://a.test""#,
            r#""https://a.test/path""#,
            r#""https://*""#,
            r#""https://""#,
            r#""https://u:secret@a.test""#,
            r#""https://a.*.test""#,
            r#"{ "allowPrivate": true }"#,
            "7",
            r#"{ "url": "https://a.test", "other": 1 }"#,
            r#"{ "url": 7 }"#,
            r#"{ "url": "https://a.test/x" }"#,
        ] {
            let value: serde_json::Value = serde_json::from_str(wrong).unwrap();
            assert!(!validator.is_valid(&value), "{wrong}");
            let error = serde_json::from_str::<EgressRule>(wrong).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn odd_spellings_of_hosts_and_ports_are_refused() {
        for wrong in [
            "https://2130706433",
            "http://0x7f.1",
            "https://*.10.0.0.1",
            "https://a.test:0",
            "https://a.test:",
            "https://a.test:70000",
            "https://*.*.test",
            "https://a..test",
            "HTTPS://a.test",
            "https://[::1",
            "https://*.",
        ] {
            assert!(EgressRule::parse(wrong, false).is_err(), "{wrong}");
        }
        assert_eq!(
            EgressRule::parse("https://API.Example.com.:443/", false).unwrap().to_string(),
            "https://api.example.com"
        );
    }

    #[test]
    fn a_rule_twice_is_wrong_and_one_in_clear_is_told() {
        let text = r#"["https://a.test", "http://a.test", { "url": "https://a.test:443", "allowPrivate": true }]"#;
        let rules: Vec<EgressRule> = serde_json::from_str(text).unwrap();
        let mut problems = Vec::new();
        let tree = parse(&Arc::new(File { path: "a.yaml".into(), text: text.to_owned() }), &mut problems).unwrap();
        EgressRule::check_all(&rules, &mut Check { problems: &mut problems }, At::root(&tree));
        let shown: Vec<String> = problems.iter().map(|problem| format!("{problem:?}")).collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].contains("in clear") && shown[1].contains("twice"), "{shown:?}");
    }
}
