//! New paths and hosts: the working form of `rewrite`, and what `redirect` shares with it.
//!
//! Pure functions on text; the caller keeps the query and says `X-Forwarded-Prefix` and `X-Forwarded-Host`.

use std::borrow::Cow;

use http::HeaderValue;
use http::uri::Authority;

use crate::config;

/// How a path changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewPath {
    /// It stays.
    Same,
    /// The matched prefix is replaced by this.
    Prefix(Box<str>),
    /// All of it is replaced by this.
    Whole(Box<str>),
}

impl NewPath {
    pub(super) fn new(prefix: Option<&str>, path: Option<&str>) -> Self {
        match (prefix, path) {
            (Some(prefix), _) => Self::Prefix(prefix.into()),
            (None, Some(path)) => Self::Whole(path.into()),
            (None, None) => Self::Same,
        }
    }

    /// The new path; begins with `/`. `matched_prefix` is what the rule matched (with or without `/` at its end), or
    /// nothing if it matched otherwise: then no prefix is replaced.
    pub(crate) fn apply<'a>(&'a self, path: &'a str, matched_prefix: Option<&str>) -> Cow<'a, str> {
        match (self, matched_prefix) {
            (Self::Whole(new), _) => Cow::Borrowed(&**new),
            (Self::Prefix(new), Some(prefix)) => replace_prefix(path, prefix, new),
            (Self::Prefix(_), None) | (Self::Same, _) => Cow::Borrowed(path),
        }
    }
}

/// `path` with `prefix` replaced by `new`, joined by exactly one `/` as the Gateway API's `ReplacePrefixMatch` table
/// has it. A path that does not begin with `prefix` stays.
fn replace_prefix<'a>(path: &'a str, prefix: &str, new: &str) -> Cow<'a, str> {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    let Some(rest) = rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) else { return Cow::Borrowed(path) };
    let kept = new.trim_end_matches('/');
    match (kept, rest) {
        ("", "") => Cow::Borrowed("/"),
        ("", rest) => Cow::Borrowed(rest),
        // Nothing is left of the path: the replacement stands as it was written.
        (_, "") => Cow::Owned(new.to_owned()),
        (kept, rest) => Cow::Owned(format!("{kept}{rest}")),
    }
}

/// The working form of `rewrite`.
#[derive(Debug)]
pub(crate) struct Rewrite {
    path: NewPath,
    host: Option<(Authority, HeaderValue)>,
}

impl Rewrite {
    pub(crate) fn new(config: &config::Rewrite) -> Self {
        let host = config
            .host
            .as_deref()
            .and_then(|host| Some((host.parse::<Authority>().ok()?, HeaderValue::from_str(host).ok()?)));
        Self { path: NewPath::new(config.prefix.as_deref(), config.path.as_deref()), host }
    }

    /// Both together: of what both speak of, this one has the last word.
    pub(crate) fn over(&self, below: &Self) -> Self {
        let path = if self.path == NewPath::Same { &below.path } else { &self.path };
        Self { path: path.clone(), host: self.host.clone().or_else(|| below.host.clone()) }
    }

    /// The path that the service sees; see [`NewPath::apply`].
    pub(crate) fn path<'a>(&'a self, path: &'a str, matched_prefix: Option<&str>) -> Cow<'a, str> {
        self.path.apply(path, matched_prefix)
    }

    /// The authority that the service sees in place of the client's, also as the value of `Host`.
    pub(crate) fn host(&self) -> Option<(&Authority, &HeaderValue)> {
        self.host.as_ref().map(|(authority, value)| (authority, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(text: &str) -> Rewrite {
        Rewrite::new(&serde_json::from_str(text).unwrap())
    }

    /// Port of HTTPRouteRewritePath.
    #[test]
    fn paths_are_rewritten_as_in_the_gateway_api() {
        for (prefix, new, path, want) in [
            ("/prefix/one", "/one", "/prefix/one/two", "/one/two"),
            ("/strip-prefix", "/", "/strip-prefix/three", "/three"),
            ("/strip-prefix", "/", "/strip-prefix", "/"),
            ("/strip-prefix/", "/", "/strip-prefix/", "/"),
            ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
            ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
            ("/foo", "/xyz", "/foo", "/xyz"),
            ("/foo", "/xyz", "/foo/", "/xyz/"),
            ("/", "/v1", "/a", "/v1/a"),
            ("", "/v1", "/", "/v1/"),
            ("/foo", "/", "/foo//evil", "//evil"),
            ("/foo", "/xyz", "/foobar", "/foobar"),
        ] {
            let filter = rewrite(&format!(r#"{{ "prefix": "{new}" }}"#));
            assert_eq!(filter.path(path, Some(prefix)), want, "{path}: {prefix} to {new}");
        }
        let full = rewrite(r#"{ "path": "/one" }"#);
        assert_eq!(full.path("/full/one/two", Some("/full/one")), "/one");
        assert_eq!(full.path("/full/one/two", None), "/one");
        assert_eq!(rewrite(r#"{ "prefix": "/x" }"#).path("/a", None), "/a");
    }

    #[test]
    fn a_backend_changes_only_what_it_speaks_of() {
        let rule = rewrite(r#"{ "prefix": "/", "host": "rule" }"#);
        let host = rewrite(r#"{ "host": "backend" }"#).over(&rule);
        assert_eq!(host.path("/a/b", Some("/a")), "/b");
        assert_eq!(host.host().unwrap().0, "backend");
        let path = rewrite(r#"{ "path": "/x" }"#).over(&rule);
        assert_eq!(path.path("/a/b", Some("/a")), "/x");
        assert_eq!(path.host().unwrap().0, "rule");
    }

    /// Port of HTTPRouteRewriteHost.
    #[test]
    fn hosts_are_rewritten() {
        let filter = rewrite(r#"{ "host": "one.example.org:8080" }"#);
        let (authority, value) = filter.host().unwrap();
        assert_eq!((authority.as_str(), value.as_bytes()), ("one.example.org:8080", &b"one.example.org:8080"[..]));
        assert_eq!(filter.path("/a", Some("/")), "/a");
        assert!(rewrite(r#"{ "path": "/" }"#).host().is_none());
    }
}
