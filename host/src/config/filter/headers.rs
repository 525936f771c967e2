//! Changing headers of requests and responses.
//!
//! Headers that frame a message or belong to one connection are the gateway's, and so is what it says about the client
//! and the request's id: none of them can be changed here, since a wrong one splits messages or lies to services.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::{At, Check};
use super::super::schema::text;

/// Changes of headers. Names are the same in upper and lower case, and each may stand in one field only.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct HeaderChanges {
    /// Header name to value; replaces what is there.
    #[schemars(with = "BTreeMap<String, text::Scalar>")]
    pub set: BTreeMap<String, String>,
    /// Header name to value; set only where there is none yet.
    #[schemars(with = "BTreeMap<String, text::Scalar>")]
    pub set_if_absent: BTreeMap<String, String>,
    /// Header name to value; added to what is there as `there,value`.
    #[schemars(with = "BTreeMap<String, text::Scalar>")]
    pub add: BTreeMap<String, String>,
    /// Names of headers to remove.
    pub remove: Vec<String>,
}

impl HeaderChanges {
    pub(in crate::config) fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        let mut seen = BTreeSet::new();
        let maps = [("set", &self.set), ("setIfAbsent", &self.set_if_absent), ("add", &self.add)];
        for (field, map) in maps {
            let at = at.get(field);
            for (name, value) in map {
                self.name(name, &mut seen, check, at.key(name));
                if HeaderValue::from_str(value).is_err() {
                    check.wrong(at.get(name), "a header's value cannot contain control characters");
                }
            }
        }
        for (name, at) in self.remove.iter().zip(at.get("remove").items()) {
            self.name(name, &mut seen, check, at);
        }
        let readable = ["set", "setIfAbsent", "add", "remove"].into_iter().all(|field| !at.get(field).has_refused());
        if readable && maps.iter().all(|(_, map)| map.is_empty()) && self.remove.is_empty() {
            check.wrong(at, "changes nothing: give `set`, `setIfAbsent`, `add` or `remove`");
        }
    }

    fn name(&self, name: &str, seen: &mut BTreeSet<String>, check: &mut Check<'_>, at: At<'_>) {
        match changeable(name) {
            Err(message) => check.wrong(at, message),
            Ok(name) if seen.contains(name.as_str()) => {
                check.wrong(at, format!("`{name}` is named twice: say once what happens to it"));
            }
            Ok(name) => {
                seen.insert(name.as_str().to_owned());
            }
        }
    }
}

/// The parsed name of a header that configuration may set or remove.
pub(super) fn changeable(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes());
    let Ok(parsed) = parsed else { return Err(format!("`{}` is no header name", name.escape_debug())) };
    // Many servers take `_` for `-`.
    match parsed.as_str().replace('_', "-").as_str() {
        "host" => Err("`host` is changed by `rewrite.host`".to_owned()),
        "connection" | "keep-alive" | "proxy-connection" | "te" | "trailer" | "transfer-encoding" | "upgrade"
        | "content-length" | "expect" | "http2-settings" => {
            Err(format!("`{parsed}` belongs to one connection, not to the message: it cannot be changed"))
        }
        folded if is_gateways(folded) => Err(format!("`{parsed}` is the gateway's own: it cannot be changed")),
        _ => Ok(parsed),
    }
}

/// Whether only the gateway itself says this to services. `folded` is a name in small letters and with `-` for `_`.
/// `x-wharf-user-…` is for filters to set: it says who the client is, and no client can send it.
pub(super) fn is_gateways(folded: &str) -> bool {
    let is_one = matches!(folded, "forwarded" | "x-real-ip" | "x-request-id");
    let is_ours = folded.starts_with("x-wharf-") && !folded.starts_with("x-wharf-user-");
    is_one || is_ours || folded.starts_with("x-forwarded-")
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"{
    "set": { "x-set": "1" }, "setIfAbsent": { "x-absent": "2" }, "add": { "x-add": "3" }, "remove": ["x-remove"]
}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_and_the_gateways_own_headers_cannot_be_changed() {
        for bad in [
            "Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "transfer_encoding",
            "Upgrade",
            "Host",
            "Content-Length",
            "Forwarded",
            "X-Forwarded-For",
            "x_forwarded_for",
            "x-forwarded-anything",
            "X-Real-IP",
            "X-Request-Id",
            "X-Wharf-Mirror",
            "x_wharf_caller",
            "x-wharf-",
            "x-wharf-user",
            "",
            "a b",
            "a\n",
            ":path",
            "ä",
        ] {
            assert!(changeable(bad).is_err(), "{bad:?}");
        }
        for good in ["X-Version", "cookie", "Set-Cookie", "authorization", "x_own", "cache-control", "X-Wharf-User-Id"]
        {
            assert!(changeable(good).is_ok(), "{good}");
        }
    }
}
