//! Changes headers of a request or a response: the working form of `requestHeaders` and `responseHeaders`.
//!
//! Order: remove, set, set if absent, add. It cannot be seen from outside, because a name stands in one list only.

use http::HeaderName;
use http::header::{COOKIE, Entry, HeaderMap, HeaderValue, SET_COOKIE};

use crate::config;

/// Changes of headers, with names and values parsed.
#[derive(Debug)]
pub(crate) struct HeaderChanges {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    set_if_absent: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderChanges {
    /// Leaves out what is no header; validation has refused it.
    pub(crate) fn new(config: &config::HeaderChanges) -> Self {
        let name = |name: &String| HeaderName::from_bytes(name.as_bytes()).ok();
        let pairs = |map: &std::collections::BTreeMap<String, String>| {
            map.iter().filter_map(|(key, value)| Some((name(key)?, HeaderValue::from_str(value).ok()?))).collect()
        };
        Self {
            remove: config.remove.iter().filter_map(name).collect(),
            set: pairs(&config.set),
            set_if_absent: pairs(&config.set_if_absent),
            add: pairs(&config.add),
        }
    }

    /// Makes the changes.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.set_if_absent {
            if let Entry::Vacant(entry) = headers.entry(name) {
                entry.insert(value.clone());
            }
        }
        for (name, value) in &self.add {
            add(headers, name, value);
        }
    }
}

/// Appends to the list in one line. `Set-Cookie` is no list, and cookies are separated by `;`.
fn add(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    let separator: &[u8] = if *name == COOKIE { b"; " } else { b"," };
    if *name == SET_COOKIE {
        headers.append(name, value.clone());
        return;
    }
    let mut lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    lines.retain(|line| !line.is_empty());
    lines.push(value.as_bytes());
    // Values that are valid one by one are valid together.
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(separator)) {
        headers.insert(name, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(text: &str) -> HeaderChanges {
        HeaderChanges::new(&serde_json::from_str(text).unwrap())
    }

    fn changed(changes: &HeaderChanges, before: &[(&'static str, &str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        changes.apply(&mut headers);
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    /// Port of the Gateway API's HTTPRouteRequestHeaderModifier and HTTPRouteResponseHeaderModifier cases.
    #[test]
    fn headers_are_set_added_and_removed_as_in_the_gateway_api() {
        let set = changes(r#"{ "set": { "X-Header-Set": "set-overwrites-values" } }"#);
        assert_eq!(changed(&set, &[]), ["x-header-set: set-overwrites-values"]);
        let before = [("x-header-set", "some-other-value"), ("x-header-set", "more")];
        assert_eq!(changed(&set, &before), ["x-header-set: set-overwrites-values"]);

        let add = changes(r#"{ "add": { "X-Header-Add": "add-appends-values" } }"#);
        assert_eq!(changed(&add, &[]), ["x-header-add: add-appends-values"]);
        let before = [("x-header-add", "some-other-value")];
        assert_eq!(changed(&add, &before), ["x-header-add: some-other-value,add-appends-values"]);
        let before = [("x-header-add", "a"), ("x-header-add", "b")];
        assert_eq!(changed(&add, &before), ["x-header-add: a,b,add-appends-values"]);

        let remove = changes(r#"{ "remove": ["X-Header-Remove"] }"#);
        let before = [("x-header-remove", "a"), ("x-header-remove", "b"), ("keep", "c")];
        assert_eq!(changed(&remove, &before), ["keep: c"]);

        let many = changes(
            r#"{ "set": { "X-Set-1": "1", "x-set-2": "2" }, "add": { "x-add-1": "1" }, "remove": ["x-REMOVE"] }"#,
        );
        let before = [("x-set-1", "0"), ("x-add-1", "0"), ("x-remove", "0"), ("another", "0")];
        assert_eq!(changed(&many, &before), ["another: 0", "x-add-1: 0,1", "x-set-1: 1", "x-set-2: 2"]);
    }

    #[test]
    fn set_if_absent_keeps_what_is_there() {
        let changes = changes(r#"{ "setIfAbsent": { "a": "1" } }"#);
        assert_eq!(changed(&changes, &[]), ["a: 1"]);
        assert_eq!(changed(&changes, &[("a", "0"), ("a", "")]), ["a: ", "a: 0"]);
    }

    #[test]
    fn cookies_are_not_joined_with_commas() {
        let changes = changes(r#"{ "add": { "cookie": "b=2", "set-cookie": "b=2" } }"#);
        let before = [("cookie", "a=1"), ("set-cookie", "a=1")];
        assert_eq!(changed(&changes, &before), ["cookie: a=1; b=2", "set-cookie: a=1", "set-cookie: b=2"]);
    }
}
