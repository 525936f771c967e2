//! Parameters of a query by their name, however its letters are escaped, and a query without one of them: what carries
//! credentials is found and taken away in every spelling that a service could read.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode;

/// The values of all parameters called `name`, as sent.
pub(in crate::gateway) fn all<'u>(uri: &'u Uri, name: &str) -> impl Iterator<Item = &'u str> {
    uri.query().unwrap_or_default().split('&').filter_map(move |pair| value(pair, name))
}

/// Takes all parameters called `name` away.
pub(super) fn remove(uri: &mut Uri, name: &str) {
    let Some(query) = uri.query().filter(|query| query.split('&').any(|pair| value(pair, name).is_some())) else {
        return;
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| value(pair, name).is_none()).collect();
    let target = if kept.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), kept.join("&")) };
    let mut parts = std::mem::take(uri).into_parts();
    // Part of what was a target is one.
    if let Ok(target) = PathAndQuery::try_from(target) {
        parts.path_and_query = Some(target);
    }
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

/// The value of a pair, if it has this name; `+` is a space, as in forms.
fn value<'q>(pair: &'q str, name: &str) -> Option<&'q str> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let key = if key.contains('+') { Cow::Owned(key.replace('+', " ")) } else { Cow::Borrowed(key) };
    percent_decode(key.as_bytes()).eq(name.bytes()).then_some(value)
}
