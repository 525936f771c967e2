//! Takes a service's own secrets out of what it writes to its log.
//!
//! What is found is a secret as it was given to the guest, and each line of one that has several (a key in PEM), because
//! output becomes lines; and both as they look inside quotes in JSON or in a program's own debug output. A guest that encodes a secret, or writes it letter by letter on lines of their own, gets it into
//! the log: this is a net under mistakes, such as a printed configuration, and no wall. A secret, or a line of one, that
//! has fewer than [`SHORTEST`] bytes is not looked for: it would black out ordinary words.
//!
//! Where text was cut, the part of a secret that is left at the cut is taken out too, if it has [`REST`] bytes or more.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};

/// Shortest text that is looked for, in bytes.
pub const SHORTEST: usize = 8;
/// Least part of a secret that is taken out at a cut, in bytes.
const REST: usize = 4;
/// Stands for a secret.
const REDACTED: &[u8] = b"[redacted]";

/// Which ends of a text are not its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    No,
    /// Something came before.
    Start,
    /// Something comes after.
    End,
}

/// Finds the secrets of one service.
pub(super) struct Redactor {
    wanted: Vec<Vec<u8>>,
    find: AhoCorasick,
}

impl Redactor {
    /// Nothing when there is nothing to look for.
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut wanted: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            let parts = std::iter::once(secret.trim()).chain(secret.lines().map(str::trim));
            for part in parts.filter(|part| part.len() >= SHORTEST) {
                wanted.push(part.as_bytes().to_vec());
                wanted.push(part.escape_debug().to_string().into_bytes());
                let quoted = serde_json::Value::from(part).to_string();
                let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                wanted.extend(inside.map(|inside| inside.as_bytes().to_vec()));
            }
        }
        wanted.sort();
        wanted.dedup();
        if wanted.is_empty() {
            return None;
        }
        // It fails only for more patterns than it can number.
        let find = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&wanted).ok()?;
        Some(Self { wanted, find })
    }

    /// The text without them.
    pub(super) fn redact<'t>(&self, text: &'t [u8], cut: Cut) -> Cow<'t, [u8]> {
        let mut clean = Vec::new();
        let mut from = 0;
        for found in self.find.find_iter(text) {
            clean.extend_from_slice(text.get(from..found.start()).unwrap_or_default());
            clean.extend_from_slice(REDACTED);
            from = found.end();
        }
        let rest = text.get(from..).unwrap_or_default();
        match cut {
            Cut::No if from == 0 => return Cow::Borrowed(text),
            Cut::No => clean.extend_from_slice(rest),
            Cut::End => {
                let begun = self.begun_at_end(rest);
                clean.extend_from_slice(rest.get(..rest.len() - begun).unwrap_or_default());
                clean.extend_from_slice(if begun > 0 { REDACTED } else { &[] });
            }
            Cut::Start => {
                clean.extend_from_slice(rest);
                let ended = self.ended_at_start(&clean);
                if ended > 0 {
                    clean.splice(..ended, REDACTED.iter().copied());
                }
            }
        }
        Cow::Owned(clean)
    }

    /// Bytes at the end of `text` that are the beginning of a secret.
    fn begun_at_end(&self, text: &[u8]) -> usize {
        let begun = |wanted: &Vec<u8>| {
            let most = text.len().min(wanted.len().saturating_sub(1));
            (REST..=most).rev().find(|&bytes| wanted.get(..bytes).is_some_and(|part| text.ends_with(part)))
        };
        self.wanted.iter().filter_map(begun).max().unwrap_or(0)
    }

    /// Bytes at the start of `text` that are the end of a secret, or all of `text` when it is a part from its middle.
    fn ended_at_start(&self, text: &[u8]) -> usize {
        let line = text.iter().position(|&byte| byte == b'\n').unwrap_or(text.len());
        let line = text.get(..line).unwrap_or_default();
        let ended = |wanted: &Vec<u8>| {
            let most = line.len().min(wanted.len().saturating_sub(1));
            let tail = |bytes: usize| wanted.get(wanted.len() - bytes..);
            let end = (REST..=most).rev().find(|&bytes| tail(bytes).is_some_and(|part| line.starts_with(part)));
            let inside = line.len() >= REST && wanted.windows(line.len()).any(|part| part == line);
            if inside { Some(line.len()) } else { end }
        };
        self.wanted.iter().filter_map(ended).max().unwrap_or(0)
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(secrets: &[&str], text: &str, cut: Cut) -> String {
        let redactor = Redactor::new(secrets.iter().copied()).unwrap();
        String::from_utf8(redactor.redact(text.as_bytes(), cut).into_owned()).unwrap()
    }

    #[test]
    fn a_secret_is_taken_out_wherever_it_stands_and_the_rest_stays() {
        let secrets = ["hunter2-hunter2", "tok_live_1234567890"];
        assert_eq!(shown(&secrets, "nothing here", Cut::No), "nothing here");
        assert_eq!(shown(&secrets, "hunter2-hunter2", Cut::No), "[redacted]");
        assert_eq!(shown(&secrets, "a hunter2-hunter2 b tok_live_1234567890!", Cut::No), "a [redacted] b [redacted]!");
        assert_eq!(shown(&["abcdefgh", "abcdefghij"], "abcdefghij", Cut::No), "[redacted]", "the longer one");
    }

    #[test]
    fn every_line_of_a_key_is_a_secret_of_its_own() {
        let key = "-----BEGIN KEY-----\r\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\nshort\n-----END KEY-----\n";
        for line in ["-----BEGIN KEY-----", "MIIEvQIBADANBg", "kqhkiG9w0BAQEF"] {
            assert_eq!(shown(&[key], &format!("> {line} <"), Cut::No), "> [redacted] <");
        }
        assert_eq!(shown(&[key], "a short one", Cut::No), "a short one");
        assert_eq!(shown(&[key], &format!("all: {key}"), Cut::No).matches("redacted").count(), 1);
    }

    #[test]
    fn a_secret_in_quotes_is_found_too() {
        let secret = "pass\"word\\one";
        let json = serde_json::json!({ "key": secret }).to_string();
        assert_eq!(shown(&[secret], &json, Cut::No), r#"{"key":"[redacted]"}"#);
        assert_eq!(shown(&[secret], &format!("{:?}", Some(secret)), Cut::No), r#"Some("[redacted]")"#);
        let lines = "first line\nsecond line";
        assert_eq!(shown(&[lines], &format!("{lines:?}"), Cut::No), r#""[redacted]""#);
    }

    #[test]
    fn short_secrets_are_not_looked_for() {
        assert!(Redactor::new(["1234567", ""]).is_none());
        assert!(Redactor::new(["12345678"]).is_some());
    }

    #[test]
    fn what_is_left_at_a_cut_goes_too() {
        let secret = ["hunter2-hunter2"];
        assert_eq!(shown(&secret, "key: hunter2-hun", Cut::End), "key: [redacted]");
        assert_eq!(shown(&secret, "key: hun", Cut::End), "key: hun", "three letters say little");
        assert_eq!(shown(&secret, "key: hunter2-hun", Cut::No), "key: hunter2-hun");
        assert_eq!(shown(&secret, "ter2-hunter2 and more", Cut::Start), "[redacted] and more");
        assert_eq!(shown(&secret, "er2-hunt", Cut::Start), "[redacted]", "a part from the middle");
        assert_eq!(shown(&secret, "er2-hunt\nnext", Cut::Start), "[redacted]\nnext");
        assert_eq!(shown(&secret, "er2 something", Cut::Start), "er2 something");
    }

    #[test]
    fn debug_shows_nothing() {
        assert!(!format!("{:?}", Redactor::new(["hunter2-hunter2"])).contains("hunter"));
    }
}
