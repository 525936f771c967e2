//! The address that a service sees, where a rule changes it.

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Uri};

use super::GatewayError;
use super::filter::Rewrite;

/// The part of the path that was taken off before the service sees it.
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Changes path and host, and says what was taken off the path.
///
/// # Errors
/// When no valid address comes out.
pub(super) fn apply(rewrite: &Rewrite, parts: &mut Parts, matched_prefix: Option<&str>) -> Result<(), GatewayError> {
    let path = parts.uri.path();
    let rewritten = rewrite.path(path, matched_prefix);
    // What a service needs for links that lead back to it. Of `/users`, which becomes `/`, it is all.
    let stripped = path.strip_suffix(&*rewritten).or_else(|| (rewritten == "/").then_some(path));
    let stripped = stripped.filter(|stripped| !stripped.is_empty());
    let stripped = stripped.and_then(|stripped| HeaderValue::from_str(stripped).ok());
    let host = rewrite.host();
    parts.uri = with_path(&parts.uri, &rewritten, host.map(|(authority, _)| authority))
        .ok_or(GatewayError::BadRequest("the path is not valid"))?;
    if let Some(stripped) = stripped {
        parts.headers.insert(X_FORWARDED_PREFIX, stripped);
    }
    if let Some((_, value)) = host {
        parts.headers.insert(HOST, value.clone());
    }
    Ok(())
}

/// The address with another path and, if it names a host, another host. The query stays.
pub(super) fn with_path(uri: &Uri, path: &str, authority: Option<&Authority>) -> Option<Uri> {
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    // An address without a host stays so: then only `Host` says it.
    if let (Some(authority), Some(_)) = (authority, &parts.authority) {
        parts.authority = Some(authority.clone());
    }
    Uri::from_parts(parts).ok()
}
