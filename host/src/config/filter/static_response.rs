//! Answering without a service.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderValue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::schema::text;
use super::super::units::Size;
use super::headers::changeable;

/// Largest body that can stand in the configuration.
const MAX_BODY: Size = Size::kib(64);

/// Answers by itself; no service is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct StaticResponse {
    /// 200 to 599.
    #[schemars(range(min = 200, max = 599))]
    pub status: u16,
    /// Header name to value.
    #[schemars(with = "BTreeMap<String, text::Scalar>")]
    pub headers: BTreeMap<String, String>,
    /// The body, at most `64KiB`. Not with status 204, 205 or 304.
    pub body: Option<String>,
    /// `Content-Type` of the body.
    pub content_type: String,
}

impl Default for StaticResponse {
    fn default() -> Self {
        Self { status: 200, headers: BTreeMap::new(), body: None, content_type: "text/plain; charset=utf-8".to_owned() }
    }
}

impl StaticResponse {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        check.within(at.get("status"), &self.status, &(200..=599));
        let headers_at = at.get("headers");
        let mut seen = BTreeSet::new();
        for (name, value) in &self.headers {
            match changeable(name) {
                Err(message) => check.wrong(headers_at.key(name), message),
                Ok(parsed) if parsed == http::header::CONTENT_TYPE => {
                    check.wrong(headers_at.key(name), "`content-type` is given by `contentType`");
                }
                Ok(parsed) if !seen.insert(parsed.as_str().to_owned()) => {
                    check.wrong(headers_at.key(name), format!("`{parsed}` is named twice: give it once"));
                }
                Ok(_) => {}
            }
            if HeaderValue::from_str(value).is_err() {
                check.wrong(headers_at.get(name), "a header's value cannot contain control characters");
            }
        }
        if HeaderValue::from_str(&self.content_type).is_err() || self.content_type.is_empty() {
            check.wrong(at.get("contentType"), "write a media type, like application/json");
        }
        let Some(body) = &self.body else { return };
        if body.len() as u64 > MAX_BODY.get() {
            check.wrong(at.get("body"), format!("too long: at most {MAX_BODY}"));
        }
        if matches!(self.status, 204 | 205 | 304) {
            check.wrong(at.key("body"), format!("a response with status {} has no body: remove it", self.status));
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "status": 503, "headers": { "retry-after": "60" }, "body": "{}", "contentType": "application/json"
}"#;
