//! Instances of a service outside of this process, and the words by which instances are told apart.
//!
//! Decided here: what can be said, and the bounds of names, tags and metadata. The admin API takes instances, too, and
//! asks the same functions. Never decided here: whether an instance is there (`registry`), and how it is reached.
//!
//! A URL names a server, not a place in it: scheme, host and port. A path would have to be put before the path of every
//! request, which is what the filter `rewrite` is for; credentials in it would stand in logs and in the admin API.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::health_check::InstanceCheck;
use super::schema::text;
use super::units::UnitError;
use super::upstream::Protocol;

/// Weights have the bounds of those of routes.
pub const WEIGHT: RangeInclusive<u32> = 0..=1_000_000;
const MAX_INSTANCES: usize = 1000;
const MAX_TAGS: usize = 32;
const MAX_PAIRS: usize = 32;
const MAX_WORD: usize = 64;
const MAX_VALUE: usize = 256;
const MAX_URL: usize = 512;

/// A server that answers for a service, in any language and anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RemoteInstance {
    /// Unique in the service. Letters, digits, `.`, `_` and `-`, at most 64.
    #[schemars(with = "text::Word")]
    pub name: String,
    /// Where it listens: `http://host:port` or `https://host:port`.
    pub url: InstanceUrl,
    /// Which version of HTTP it speaks: `auto`, `http1` or `h2c`. With `auto`, https finds out, and http is HTTP/1.1.
    #[serde(default)]
    pub protocol: Protocol,
    /// Label of the version it runs; none if not given. Then it answers only for those who ask for no version.
    #[serde(default)]
    #[schemars(with = "Option<text::Word>")]
    pub version: Option<String>,
    /// How many of the service's requests it gets, beside the weights of the others; 0 for none. 0 to 1000000.
    #[serde(default = "weight")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub weight: u32,
    /// Words to find it by. At most 32.
    #[serde(default)]
    #[schemars(with = "Vec<text::Word>", length(max = 32))]
    pub tags: Vec<String>,
    /// What else is to be known about it. At most 32 pairs; keys like names, values up to 256 bytes.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, text::Scalar>")]
    pub metadata: BTreeMap<String, String>,
    /// How it is checked; as the service's `healthCheck` says if not given.
    #[serde(default)]
    pub health_check: Option<InstanceCheck>,
}

/// Scheme, host and port of an instance; written `http://127.0.0.1:9001`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceUrl {
    scheme: Scheme,
    authority: Authority,
}

fn weight() -> u32 {
    1
}

impl InstanceUrl {
    /// `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host, lowercase, and port if one was given.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl FromStr for InstanceUrl {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = |why: &str| {
            // Of a URL with a password in it, nothing is shown.
            let shown = if text.contains('@') { Cow::Borrowed("this") } else { text.escape_debug().to_string().into() };
            Err(UnitError::new(format!("`{shown}` is no URL of an instance: {why}")))
        };
        if text.len() > MAX_URL {
            return Err(UnitError::new(format!("a URL of an instance has at most {MAX_URL} bytes")));
        }
        // hyper's type forgets a fragment without a word.
        if text.contains('#') {
            return wrong("leave the fragment out");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("write it like http://127.0.0.1:9001");
        };
        let parts = uri.into_parts();
        let Some(scheme) = parts.scheme.filter(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) else {
            return wrong("it must begin with http:// or https://");
        };
        let Some(authority) = parts.authority else { return wrong("it names no host") };
        if authority.as_str().contains('@') {
            return wrong(
                "leave user and password out, they would be shown to everybody who may read the configuration",
            );
        }
        let path = parts.path_and_query.as_ref().map_or("/", |path| path.as_str());
        if path.contains('?') {
            return wrong("leave the query out");
        }
        if path != "/" && !path.is_empty() {
            return wrong("leave the path out: the filter `rewrite` puts one before that of a request");
        }
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        let port_is_wrong = !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0);
        if authority.host().is_empty() || port_is_wrong {
            return wrong("it needs a host, and a port from 1 to 65535 if it has one");
        }
        match authority.as_str().to_ascii_lowercase().parse() {
            Ok(authority) => Ok(Self { scheme, authority }),
            Err(_) => wrong("its host is none"),
        }
    }
}

impl fmt::Display for InstanceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl TryFrom<String> for InstanceUrl {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<InstanceUrl> for String {
    fn from(url: InstanceUrl) -> Self {
        url.to_string()
    }
}

impl JsonSchema for InstanceUrl {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "InstanceUrl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 512, "pattern": r"^[hH][tT][tT][pP][sS]?://[^/?#@\s\\]+/?$" })
    }
}

/// Whether this can be the name of an instance, the label of its version, a tag or a key of its metadata.
///
/// # Errors
/// Says which letters are allowed.
pub fn valid_word(word: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
    if !word.is_empty() && word.len() <= MAX_WORD && word.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = word.chars().take(MAX_WORD).collect();
    Err(format!(
        "`{}` has something else than letters, digits, `.`, `_`, `+` and `-`, or not 1 to {MAX_WORD} of them",
        shown.escape_debug()
    ))
}

/// What is wrong with tags, by their places.
pub fn wrong_tags(tags: &[String]) -> Vec<(usize, String)> {
    let mut wrong: Vec<_> =
        tags.iter().enumerate().filter_map(|(at, tag)| Some((at, valid_word(tag).err()?))).collect();
    if tags.len() > MAX_TAGS {
        wrong.push((MAX_TAGS, format!("{} tags are too many: at most {MAX_TAGS}", tags.len())));
    }
    let repeated = tags.iter().enumerate().filter(|(at, tag)| tags.iter().take(*at).any(|before| before == *tag));
    wrong.extend(repeated.map(|(at, tag)| (at, format!("`{}` stands twice", tag.escape_debug()))));
    wrong
}

/// What is wrong with metadata, by keys.
pub fn wrong_metadata(metadata: &BTreeMap<String, String>) -> Vec<(&str, String)> {
    let mut wrong = Vec::new();
    for (key, value) in metadata {
        if let Err(message) = valid_word(key) {
            wrong.push((key.as_str(), message));
        }
        if value.len() > MAX_VALUE {
            wrong.push((key.as_str(), format!("its value has {} bytes: at most {MAX_VALUE}", value.len())));
        } else if value.chars().any(char::is_control) {
            wrong.push((key.as_str(), format!("`{}` has control characters: leave them out", value.escape_debug())));
        }
    }
    if let Some((key, _)) = metadata.iter().nth(MAX_PAIRS) {
        wrong.push((key.as_str(), format!("{} pairs are too many: at most {MAX_PAIRS}", metadata.len())));
    }
    wrong
}

/// Checks what tells a service or an instance apart from others.
pub(super) fn check_labels(tags: &[String], metadata: &BTreeMap<String, String>, check: &mut Check<'_>, at: At<'_>) {
    let tags_at = at.get("tags");
    for (index, message) in wrong_tags(tags) {
        check.wrong(tags_at.items().nth(index).unwrap_or(tags_at), message);
    }
    for (key, message) in wrong_metadata(metadata) {
        check.wrong(at.get("metadata").key(key), message);
    }
}

/// Checks the instances of one service together.
pub(super) fn check_instances(instances: &[RemoteInstance], check: &mut Check<'_>, at: At<'_>) {
    if instances.len() > MAX_INSTANCES {
        check.wrong(at, format!("{} instances are too many: at most {MAX_INSTANCES}", instances.len()));
    }
    let mut names = std::collections::HashSet::new();
    for (instance, at) in instances.iter().zip(at.items()) {
        if let Err(message) = valid_word(&instance.name) {
            check.wrong(at.get("name"), message);
        } else if !names.insert(instance.name.as_str()) {
            check.wrong(at.get("name"), format!("`{}` is the name of another instance of this service", instance.name));
        }
        if let Some(Err(message)) = instance.version.as_deref().map(valid_word) {
            check.wrong(at.get("version"), message);
        }
        check.within(at.get("weight"), &instance.weight, &WEIGHT);
        check_labels(&instance.tags, &instance.metadata, check, at);
        if let Some(health_check) = &instance.health_check {
            health_check.check(check, at.get("healthCheck"));
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(super) const EXAMPLE: &str = r#"[{
    "name": "a", "url": "http://127.0.0.1:9001", "protocol": "http1", "version": "1", "weight": 5, "tags": ["eu"],
    "metadata": { "zone": "a" },
    "healthCheck": {
        "path": "/healthz", "timeout": "1s", "interval": "5s", "unhealthyThreshold": 2, "healthyThreshold": 1,
        "expectedStatuses": ["200-299"]
    }
}]"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<String, String> {
        text.parse::<InstanceUrl>().map(|url| url.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_is_scheme_host_and_port() {
        for (text, read) in [
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("https://Orders.Example/", "https://orders.example"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("HTTP://host", "http://host"),
        ] {
            assert_eq!(url(text).as_deref(), Ok(read), "{text}");
        }
        for (text, why) in [
            ("127.0.0.1:9001", "http://"),
            ("ftp://host", "http:// or https://"),
            ("/path", "http:// or https://"),
            ("http://", "write it like"),
            ("http://host/api", "`rewrite`"),
            ("http://host?x=1", "query"),
            ("http://host#x", "fragment"),
            ("http://host:0", "port"),
            ("http://host:70000", "port"),
            ("http://:80", "host"),
            ("http://a b", "write it like"),
            ("http://a\r\nx", "write it like"),
            ("", "write it like"),
        ] {
            let error = url(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_refused_and_not_shown() {
        let error = url("http://user:hunter2@host").unwrap_err();
        assert!(error.contains("leave user and password out") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn tags_and_metadata_are_bounded_plain_text() {
        let tags = ["eu".to_owned(), "a b".to_owned(), "eu".to_owned(), "x\u{7}".to_owned(), "x".repeat(65)];
        let places: Vec<_> = wrong_tags(&tags).into_iter().map(|(at, _)| at).collect();
        assert_eq!(places, [1, 3, 4, 2]);
        let many: Vec<_> = (0..33).map(|n| n.to_string()).collect();
        assert_eq!(wrong_tags(&many).len(), 1);

        let pair = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(wrong_metadata(&pair("zone", "Zürich a")), []);
        for bad in [pair("", "a"), pair("a\n", "a"), pair("a", "\u{1b}[2J"), pair("a", &"x".repeat(257))] {
            assert_eq!(wrong_metadata(&bad).len(), 1, "{bad:?}");
        }
        let many = (0..33).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(wrong_metadata(&many).len(), 1);
    }
}
