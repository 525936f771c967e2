//! `Vary`: which request headers a response depends on, so that caches keep answers to different clients apart.

use http::header::{HeaderMap, HeaderValue, VARY};

/// Adds a name (in lower case) to `Vary` unless it stands there already, alone or as `*`.
pub(super) fn vary(headers: &mut HeaderMap, name: &'static str) {
    let known = headers.get_all(VARY).iter().any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|item| item == b"*" || item.eq_ignore_ascii_case(name.as_bytes()))
    });
    if !known {
        headers.append(VARY, HeaderValue::from_static(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_added_once() {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static("Accept, ORIGIN"));
        vary(&mut headers, "origin");
        vary(&mut headers, "accept-encoding");
        vary(&mut headers, "accept-encoding");
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept, ORIGIN", "accept-encoding"]);
        headers.insert(VARY, HeaderValue::from_static("*"));
        vary(&mut headers, "origin");
        assert_eq!(headers.get_all(VARY).iter().collect::<Vec<_>>(), ["*"]);
    }
}
