//! Which version of a service's API a request names: by a header, or by the first segment of its path.
//!
//! ```text
//! accept-version: 2       the newest version that serves and whose label is 2.x.y; v2, 2.1 and 2.1.3 are more or less exact
//! /v2/items               the same; the service sees /items
//! ```
//!
//! Labels are read as semantic versions; those that are none cannot be named like this. A version that is not there is
//! 404 by its path and 406 by its header, and never another one: whoever names a version has a reason. The path comes
//! first. A route that names a version itself is not asked about.
//!
//! Who names the version that requests get anyway takes part in its trials like everybody else.

use std::sync::Arc;

use http::Uri;
use http::header::HeaderName;
use http::request::Parts;

use super::GatewayError;
use super::services::Backend;

/// A version as far as it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    major: u64,
    minor: Option<u64>,
    patch: Option<u64>,
}

/// The label of the version that a request names, if it names one. A version in the path is taken off.
///
/// # Errors
/// When no version that serves is like that.
pub(super) fn named(backend: &Backend, parts: &mut Parts) -> Result<Option<Arc<str>>, GatewayError> {
    let versioning = &backend.settings.versioning;
    if versioning.path
        && let Some((wanted, rest)) = in_path(parts.uri.path())
    {
        let Some(found) = find(backend, wanted) else { return Err(none(backend, true)) };
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut uri = parts.uri.clone().into_parts();
        uri.path_and_query = format!("{rest}{query}").parse().ok();
        // A path that was one is one without its beginning.
        parts.uri = Uri::from_parts(uri).map_err(|_| GatewayError::Internal)?;
        return Ok(found);
    }
    let Some(name) = versioning.header.as_deref().and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok()) else {
        return Ok(None);
    };
    let mut sent = parts.headers.get_all(name).iter();
    match (sent.next(), sent.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => {
            let wanted = one.to_str().ok().and_then(Wanted::read).ok_or_else(|| none(backend, false))?;
            find(backend, wanted).ok_or_else(|| none(backend, false))
        }
        // Of two, which one is meant?
        (Some(_), Some(_)) => Err(none(backend, false)),
    }
}

fn find(backend: &Backend, wanted: Wanted) -> Option<Option<Arc<str>>> {
    backend.newest(|version| wanted.is(version))
}

fn none(backend: &Backend, in_path: bool) -> GatewayError {
    GatewayError::NoVersion { in_path, there: backend.numbers().join(", ") }
}

/// `/v2/items` is 2 and `/items`.
fn in_path(path: &str) -> Option<(Wanted, &str)> {
    let rest = path.strip_prefix("/v")?;
    let end = rest.find('/').unwrap_or(rest.len());
    let (number, rest) = rest.split_at_checked(end)?;
    let rest = if rest.is_empty() { "/" } else { rest };
    Some((Wanted { major: digits(number)?, minor: None, patch: None }, rest))
}

fn digits(text: &str) -> Option<u64> {
    let one_spelling = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    (one_spelling && digits).then(|| text.parse().ok())?
}

impl Wanted {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.');
        let major = digits(numbers.next()?)?;
        let minor = numbers.next().map(|text| digits(text).ok_or(())).transpose().ok()?;
        let patch = numbers.next().map(|text| digits(text).ok_or(())).transpose().ok()?;
        numbers.next().is_none().then_some(Self { major, minor, patch })
    }

    fn is(self, version: &semver::Version) -> bool {
        self.major == version.major
            && self.minor.is_none_or(|minor| minor == version.minor)
            && self.patch.is_none_or(|patch| patch == version.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_named_in_one_spelling() {
        let wanted = |major, minor, patch| Some(Wanted { major, minor, patch });
        assert_eq!(Wanted::read("2"), wanted(2, None, None));
        assert_eq!(Wanted::read(" v2.1 "), wanted(2, Some(1), None));
        assert_eq!(Wanted::read("2.1.3"), wanted(2, Some(1), Some(3)));
        for text in ["", "v", "02", "2.", "2.x", "2.1.3.4", "-1", "latest", "99999999999"] {
            assert_eq!(Wanted::read(text), None, "{text}");
        }
        assert_eq!(in_path("/v2/items"), Some((Wanted::read("2").unwrap(), "/items")));
        assert_eq!(in_path("/v2"), Some((Wanted::read("2").unwrap(), "/")));
        for path in ["/", "/v", "/v/2", "/v2x", "/v02/a", "/items/v2", "/V2/a", "/v2.1/a"] {
            assert_eq!(in_path(path), None, "{path}");
        }
    }
}
