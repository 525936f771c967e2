//! Query parameters as far as routing needs them: the first parameter of a name. Names and exact values are compared
//! without decoding into a new string, so that a match on a query costs no allocation; only a regular expression needs
//! the decoded value as a whole, and then only where something is encoded.

use std::borrow::Cow;

/// The value of the first parameter called `name`, as sent. `%XX` and `+` are decoded in the name; a parameter without
/// `=` has the value `""`.
pub(super) fn first<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(sent, _)| decoded(sent).eq(name.bytes())).map(|(_, value)| value)
}

/// Whether a value as sent means `value`.
pub(super) fn is(sent: &str, value: &str) -> bool {
    decoded(sent).eq(value.bytes())
}

/// What a value as sent means.
pub(super) fn decode(sent: &str) -> Cow<'_, [u8]> {
    if sent.contains(['%', '+']) { Cow::Owned(decoded(sent).collect()) } else { Cow::Borrowed(sent.as_bytes()) }
}

/// The bytes of a query component; `%` without two hex digits stands for itself.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (b'%', rest.get(1..)?),
            },
            [b'+', after @ ..] => (b' ', after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        rest = after;
        Some(byte)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_is(query: &str, name: &str, value: &str) -> bool {
        first(query, name).is_some_and(|sent| is(sent, value) && *decode(sent) == *value.as_bytes())
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert!(first_is("a=1&animal=blue%20whale", "animal", "blue whale"));
        assert!(first_is("%61nimal=blue+whale", "animal", "blue whale"));
        assert!(first_is("animal=100%&x", "animal", "100%"));
        assert!(first_is("animal=%zz", "animal", "%zz"));
        assert!(first_is("flag&animal=x", "flag", ""));
        assert!(first_is("animal=%C3%A9", "animal", "é"));
    }

    #[test]
    fn only_the_first_parameter_of_a_name_counts() {
        assert!(first_is("a=1&a=2", "a", "1"));
        assert!(!first_is("a=1&a=2", "a", "2"));
        assert!(!first_is("", "a", ""));
        assert!(!first_is("ab=1", "a", "1"));
    }
}
