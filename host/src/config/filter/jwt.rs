//! Demanding a JSON Web Token.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::super::auth::Auth;
use super::super::check::{At, Check};
use super::Filter;
use super::headers::is_gateways;

/// Headers that mean something to the connection or the token itself: no claim may be written into them, nor into the
/// gateway's own.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Demands a JSON Web Token of a provider in `auth.providers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Jwt {
    /// Name of the provider that issues the tokens, or a list of names: the token's `iss` then chooses.
    pub provider: ProviderNames,
    /// Where the token stands; `Authorization: Bearer …` if not given.
    #[serde(default)]
    pub from: TokenPlace,
    /// Claims that the service gets, as headers: claim (dots reach inside) to header name. What the client sent under
    /// such a name is removed. Names that begin with `x-wharf-user-` are removed even if no filter sets them, so a
    /// service may believe them whatever the configuration is.
    #[serde(default)]
    pub claims_to_headers: BTreeMap<String, String>,
    /// Whether the service sees the token.
    #[serde(default)]
    pub forward: bool,
    /// Whether a request without a token may pass, as nobody. A wrong token never does.
    #[serde(default)]
    pub optional: bool,
}

/// One name, or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderNames(pub Vec<String>);

/// Where a token stands in a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TokenPlace {
    /// A header. In `authorization` after the word `Bearer`, in others alone.
    Header(#[schemars(length(min = 1))] String),
    /// A parameter of the query. Addresses end up in logs and histories, so prefer a header.
    Query(#[schemars(length(min = 1))] String),
    /// A cookie. Guard the service against cross-site requests then.
    Cookie(#[schemars(length(min = 1))] String),
}

impl Default for TokenPlace {
    fn default() -> Self {
        Self::Header("authorization".to_owned())
    }
}

impl Jwt {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let Self { provider: ProviderNames(providers), from, claims_to_headers, forward: _, optional: _ } = self;
        let provider_at = at.get("provider");
        if providers.is_empty() && !provider_at.has_refused() {
            check.wrong(provider_at, "no provider: name one of `auth.providers`");
        }
        self.check_place(from, check, at.get("from"));
        let headers_at = at.get("claimsToHeaders");
        let mut taken: HashMap<HeaderName, &str> = HashMap::new();
        for (claim, header) in claims_to_headers {
            if claim.is_empty() {
                check.wrong(headers_at.key(claim), format!("`{header}` needs a claim"));
            }
            let Ok(name) = header.parse::<HeaderName>() else {
                let message = format!("`{}` is no header name", header.escape_debug());
                check.wrong(headers_at.get(claim), message);
                continue;
            };
            // Backends that turn names into variables make no difference between the two.
            let alias = name.as_str().replace('_', "-");
            if RESERVED.contains(&alias.as_str()) || is_gateways(&alias) {
                let message = format!("`{name}` is not for claims: it has a meaning of its own, so take another");
                check.wrong(headers_at.get(claim), message);
                continue;
            }
            let name = alias.parse::<HeaderName>().unwrap_or(name);
            if let Some(other) = taken.insert(name, claim) {
                check.wrong(headers_at.get(claim), format!("`{header}` is taken by the claim `{other}`"));
            }
        }
    }

    fn check_place(&self, place: &TokenPlace, check: &mut Check<'_>, at: At<'_>) {
        match place {
            TokenPlace::Header(name) if name.parse::<HeaderName>().is_err() => {
                check.wrong(at.get("header"), format!("`{}` is no header name", name.escape_debug()));
            }
            TokenPlace::Query(name) if name.is_empty() => check.wrong(at.get("query"), "a parameter needs a name"),
            // A cookie's name is a token (RFC 6265 §4.1.1), like a header's.
            TokenPlace::Cookie(name) if name.parse::<HeaderName>().is_err() => {
                check.wrong(at.get("cookie"), format!("`{}` is no cookie name", name.escape_debug()));
            }
            TokenPlace::Header(_) | TokenPlace::Query(_) | TokenPlace::Cookie(_) => {}
        }
    }

    /// Whether the providers that the `jwt` filters of a list name are there; `at` is the list.
    pub(in crate::config) fn check_providers(filters: &[Filter], auth: &Auth, check: &mut Check<'_>, at: At<'_>) {
        for (filter, at) in filters.iter().zip(at.items()) {
            let Filter::Jwt(Self { provider: ProviderNames(names), .. }) = filter else { continue };
            let at = at.get("jwt").get("provider");
            let mut items = at.items();
            for name in names {
                let at = items.next().unwrap_or(at);
                if auth.providers.iter().any(|provider| provider.name == *name) {
                    continue;
                }
                let known: Vec<&str> = auth.providers.iter().map(|provider| provider.name.as_str()).collect();
                let known = if known.is_empty() { "nobody".to_owned() } else { known.join(", ") };
                let name = name.escape_debug();
                check.wrong(at, format!("no provider `{name}` in `auth.providers`: there is {known}"));
            }
        }
    }
}

impl Serialize for ProviderNames {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [name] => serializer.serialize_str(name),
            names => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ProviderNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = ProviderNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a provider's name, or a list of names")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ProviderNames, E> {
                Ok(ProviderNames(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ProviderNames, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = items.next_element()? {
                    names.push(name);
                }
                Ok(ProviderNames(names))
            }
        }
        deserializer.deserialize_any(NamesVisitor)
    }
}

impl JsonSchema for ProviderNames {
    fn schema_name() -> Cow<'static, str> {
        "ProviderNames".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let name = json_schema!({ "type": "string", "minLength": 1 });
        json_schema!({
            "description": "One name, or several.",
            "oneOf": [name, { "type": "array", "items": name, "minItems": 1 }],
        })
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "provider": ["idp"], "from": { "header": "x-token" }, "claimsToHeaders": { "sub": "x-user" },
    "forward": true, "optional": true
}"#;
