//! Says how long a response may be kept: the working form of `cacheControl`.
//!
//! Unless told to override, it speaks only where the service says nothing. `Set-Cookie` counts as saying something:
//! a cached one hands a user's session to the next.

use http::StatusCode;
use http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderValue, PRAGMA, SET_COOKIE};

use crate::config::{self, CacheScope};

/// The header's value and when it is set.
#[derive(Debug)]
pub(crate) struct CacheControl {
    value: HeaderValue,
    replace: bool,
    statuses: Vec<u16>,
}

impl CacheControl {
    pub(crate) fn new(config: &config::CacheControl) -> Self {
        let mut words = Vec::new();
        let scope = config.scope.map(|scope| match scope {
            CacheScope::Public => "public",
            CacheScope::Private => "private",
            CacheScope::NoCache => "no-cache",
            CacheScope::NoStore => "no-store",
        });
        words.extend(scope.map(str::to_owned));
        let ages = [
            ("max-age", config.max_age),
            ("s-maxage", config.shared_max_age),
            ("stale-while-revalidate", config.stale_while_revalidate),
            ("stale-if-error", config.stale_if_error),
        ];
        words.extend(ages.into_iter().filter_map(|(name, age)| Some(format!("{name}={}", age?.get().as_secs()))));
        let flags = [("must-revalidate", config.must_revalidate), ("immutable", config.immutable)];
        words.extend(flags.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()));
        // Words and digits always are a header value; were they not, not to store is the safe thing to say.
        let value = HeaderValue::try_from(words.join(", "));
        Self {
            value: value.unwrap_or(const { HeaderValue::from_static("no-store") }),
            replace: config.replace,
            statuses: config.statuses.clone(),
        }
    }

    /// Sets the header of a response with this status, if it is for this filter to say.
    pub(crate) fn apply(&self, status: StatusCode, headers: &mut HeaderMap) {
        let said = [CACHE_CONTROL, EXPIRES, SET_COOKIE].iter().any(|name| headers.contains_key(name));
        if !self.statuses.contains(&status.as_u16()) || (said && !self.replace) {
            return;
        }
        headers.insert(CACHE_CONTROL, self.value.clone());
        // Both are older ways to say the same, and would contradict.
        headers.remove(EXPIRES);
        headers.remove(PRAGMA);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> CacheControl {
        CacheControl::new(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn fields_become_directives() {
        for (text, want) in [
            (r#"{ "maxAge": "1h" }"#, "max-age=3600"),
            (r#"{ "scope": "noStore" }"#, "no-store"),
            (r#"{ "scope": "noCache" }"#, "no-cache"),
            (
                r#"{ "scope": "private", "maxAge": "0s", "mustRevalidate": true }"#,
                "private, max-age=0, must-revalidate",
            ),
            (
                r#"{ "scope": "public", "maxAge": "1m", "sharedMaxAge": "2m", "staleWhileRevalidate": "3s",
                    "staleIfError": "4s", "immutable": true }"#,
                "public, max-age=60, s-maxage=120, stale-while-revalidate=3, stale-if-error=4, immutable",
            ),
        ] {
            assert_eq!(filter(text).value, want, "{text}");
        }
    }

    #[test]
    fn what_the_service_says_stays_unless_overridden() {
        for (name, value) in [("cache-control", "private"), ("expires", "0"), ("set-cookie", "a=1")] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            let before = headers.clone();
            filter(r#"{ "scope": "public" }"#).apply(StatusCode::OK, &mut headers);
            assert_eq!(headers, before, "{name}");
            filter(r#"{ "scope": "public", "override": true }"#).apply(StatusCode::OK, &mut headers);
            assert_eq!(headers[CACHE_CONTROL], "public", "{name}");
            assert!(!headers.contains_key(EXPIRES));
        }
    }

    #[test]
    fn other_statuses_are_left_alone() {
        let mut headers = HeaderMap::new();
        filter(r#"{ "maxAge": "1h" }"#).apply(StatusCode::INTERNAL_SERVER_ERROR, &mut headers);
        assert!(headers.is_empty());
        filter(r#"{ "maxAge": "1h", "statuses": [500] }"#).apply(StatusCode::INTERNAL_SERVER_ERROR, &mut headers);
        assert_eq!(headers[CACHE_CONTROL], "max-age=3600");
    }
}
