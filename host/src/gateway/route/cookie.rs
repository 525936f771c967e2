//! Cookies as far as routing needs them: the value of the first cookie of a name, in all `Cookie` headers (HTTP/2
//! clients may send several, RFC 9113 §8.2.3). Nothing is decoded: quotes and `%XX` belong to the value, as browsers
//! have it.

use http::HeaderMap;
use http::header::COOKIE;

/// The value of the first cookie called `name`.
pub(super) fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let pairs = headers.get_all(COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.map(split).find(|(sent, _)| *sent == name.as_bytes()).map(|(_, value)| value)
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
    use http::HeaderValue;

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
