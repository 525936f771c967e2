//! Which query parameters are secrets, and what is written in place of their values.

use std::borrow::Cow;

/// What stands in place of a secret.
pub(crate) const REDACTED: &str = "REDACTED";

/// Endings of parameter names that speak of a secret, whatever stands before: `token` is also `access_token`,
/// `X-Amz-Security-Token` and `idToken`. Too many is harmless, too few is not.
const SECRETS: [&str; 14] = [
    "token",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "key",
    "sig",
    "signature",
    "credential",
    "credentials",
    "jwt",
    "otp",
    "assertion",
];

/// The query with the values of secrets replaced.
pub(super) fn query(query: &str) -> Cow<'_, str> {
    if !query.split('&').any(|pair| pair.split_once('=').is_some_and(|(name, _)| is_secret(name))) {
        return Cow::Borrowed(query);
    }
    let pairs: Vec<Cow<'_, str>> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => Cow::Owned(format!("{name}={REDACTED}")),
            _ => Cow::Borrowed(pair),
        })
        .collect();
    Cow::Owned(pairs.join("&"))
}

/// Compared from the end, ignoring case. An escaped name (`%74oken`) is one that somebody hides: a secret.
fn is_secret(name: &str) -> bool {
    let ends = |secret: &str| {
        let start = name.len().checked_sub(secret.len());
        start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(secret))
    };
    SECRETS.into_iter().any(ends) || hides_letters(name)
}

/// Whether a letter is percent-encoded, which nothing asks for.
fn hides_letters(name: &str) -> bool {
    name.split('%').skip(1).any(|escape| {
        let digits = escape.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        digits.is_some_and(|byte| byte.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secrets_are_replaced_and_nothing_else() {
        for (sent, logged) in [
            ("a=1&access_token=abc&b=2", "a=1&access_token=REDACTED&b=2"),
            ("token=a&token=b", "token=REDACTED&token=REDACTED"),
            ("apiKey=x", "apiKey=REDACTED"),
            ("X-Amz-Signature=x=y", "X-Amz-Signature=REDACTED"),
            ("PASSWORD=x&client_secret=y&sig=z", "PASSWORD=REDACTED&client_secret=REDACTED&sig=REDACTED"),
            ("%74oken=x", "%74oken=REDACTED"),
            ("q=token&keys=1&page%5B0%5D=2&token", "q=token&keys=1&page%5B0%5D=2&token"),
            ("", ""),
        ] {
            assert_eq!(query(sent), logged);
        }
    }
}
