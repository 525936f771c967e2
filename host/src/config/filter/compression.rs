//! Compressing responses for clients that ask for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::units::Size;

/// Compresses responses on their way out. Server-sent events and what is compressed already are left alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Compression {
    /// What is offered; among those that the client likes best, the first is used.
    #[schemars(length(min = 1))]
    pub algorithms: Vec<Algorithm>,
    /// Smaller responses are left alone, if their size is known before they are sent.
    pub min_size: Size,
    /// Media types to compress: `application/json`, or `text/*` for all of a kind.
    #[schemars(length(min = 1))]
    pub types: Vec<String>,
    /// Speed against size.
    pub level: CompressionLevel,
}

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Algorithm {
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Br,
    /// Gzip (RFC 1952).
    Gzip,
}

/// Speed against size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum CompressionLevel {
    /// Least time.
    Fast,
    /// Good for responses that are made on demand.
    #[default]
    Default,
    /// Least bytes that are still sensible for a server; several times slower.
    Best,
}

impl Default for Compression {
    fn default() -> Self {
        let types = [
            "text/*",
            "application/json",
            "application/*+json",
            "application/javascript",
            "application/xml",
            "application/*+xml",
            "application/wasm",
            "image/svg+xml",
        ];
        Self {
            algorithms: vec![Algorithm::Zstd, Algorithm::Br, Algorithm::Gzip],
            min_size: Size::kib(1),
            types: types.map(str::to_owned).into(),
            level: CompressionLevel::Default,
        }
    }
}

impl Compression {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let lists = [("algorithms", self.algorithms.is_empty()), ("types", self.types.is_empty())];
        for (field, _) in lists.into_iter().filter(|(_, empty)| *empty) {
            if !at.get(field).has_refused() {
                check.wrong(at.get(field), "an empty list compresses nothing: name at least one");
            }
        }
        let mut seen = Vec::new();
        for (algorithm, at) in self.algorithms.iter().zip(at.get("algorithms").items()) {
            if seen.contains(algorithm) {
                check.wrong(at, "named twice: give it once");
            }
            seen.push(*algorithm);
        }
        for (text, at) in self.types.iter().zip(at.get("types").items()) {
            if !valid_type(text) {
                let text = text.escape_debug();
                let message = format!("`{text}` is no media type: write it like application/json, text/* or */*+json");
                check.wrong(at, message);
            }
        }
    }
}

/// `kind/name`, where the name may be `*` or `*+suffix`, in lower case and without parameters.
fn valid_type(text: &str) -> bool {
    let token = |text: &str| {
        let byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.bytes().all(byte)
    };
    let Some((kind, name)) = text.split_once('/') else { return false };
    let rest = name.strip_prefix('*');
    (kind == "*" || token(kind))
        && (token(name) || rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('+') && token(rest))))
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "algorithms": ["br", "gzip"], "minSize": "2KiB", "types": ["text/*", "application/json"], "level": "fast"
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_plain_or_have_one_star() {
        let defaults = Compression::default().types;
        for good in defaults.iter().map(String::as_str).chain(["*/*", "*/*+json", "a/b"]) {
            assert!(valid_type(good), "{good}");
        }
        for bad in
            ["", "text", "text/", "/a", "Text/html", "text/html; charset=utf-8", "te*/x", "a/b*", "a/*b", "a/b/c"]
        {
            assert!(!valid_type(bad), "{bad}");
        }
    }
}
