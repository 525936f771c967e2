//! Cookies of a request, read one way for routes, rate limits and tokens: name and value in all `Cookie` headers (HTTP/2
//! clients may send several, RFC 9113 §8.2.3). Nothing is decoded: quotes and `%XX` belong to the value, as browsers
//! have it. Space around a name counts no more than for a service that takes it away.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// The values of all cookies called `name`.
pub(super) fn all<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    let pairs = headers.get_all(COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.map(split).filter(move |(sent, _)| *sent == name.as_bytes()).map(|(_, value)| value)
}

/// The value of the first cookie called `name`.
pub(super) fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    all(headers, name).next()
}

/// A `Cookie` header without the cookies called `name`; nothing when no other is in it.
pub(super) fn without(value: &HeaderValue, name: &str) -> Option<HeaderValue> {
    let pairs = value.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let kept: Vec<&[u8]> = pairs.filter(|pair| !pair.is_empty() && split(pair).0 != name.as_bytes()).collect();
    if kept.is_empty() { None } else { HeaderValue::from_bytes(&kept.join(b"; ".as_slice())).ok() }
}

/// Name and value without the spaces around them; what has no `=` is a name without a value.
fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=').and_then(|at| pair.split_at_checked(at)) {
        Some((name, rest)) => (name.trim_ascii(), rest.get(1..).unwrap_or_default().trim_ascii()),
        None => (pair.trim_ascii(), b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cookie_of_a_name_counts_in_all_headers() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; b = two ;c;a=2"));
        headers.append(COOKIE, HeaderValue::from_static("d=x=y; b=3; Q=\"q\""));
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("two")),
            ("c", Some("")),
            ("d", Some("x=y")),
            ("Q", Some("\"q\"")),
            ("A", None),
        ] {
            assert_eq!(first(&headers, name), value.map(str::as_bytes), "{name}");
        }
        assert_eq!(first(&HeaderMap::new(), "a"), None);
    }
}
