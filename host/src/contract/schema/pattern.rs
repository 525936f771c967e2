//! Regular expressions of JSON Schema, which are those of ECMAScript, for an engine whose time is linear in the text.
//!
//! What needs backtracking (`(?=`, `\1`) is refused with the document: a pattern that is not checked would be a promise
//! that nobody keeps, and one that backtracks can be made to run for hours.

use regex::{Regex, RegexBuilder};

/// Most bytes of one compiled expression.
const MAX_COMPILED: usize = 1 << 20;
/// Longest expression.
const MAX_TEXT: usize = 4096;

/// Compiles an expression.
///
/// # Errors
/// What is wrong with it, in one line.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > MAX_TEXT {
        return Err(format!("a pattern has at most {MAX_TEXT} bytes"));
    }
    let mut builder = RegexBuilder::new(&translate(pattern));
    builder.size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED);
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large when it is compiled".to_owned(),
        error => {
            let said = error.to_string();
            let why = said.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("the pattern cannot be used: {why}")
        }
    })
}

/// The same expression in the words of the engine: classes are of ASCII, and a bracket in a class is a letter.
fn translate(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len() + 16);
    let mut class = false;
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('d') => text.push_str("[0-9]"),
                Some('D') => text.push_str("[^0-9]"),
                Some('w') => text.push_str("[A-Za-z0-9_]"),
                Some('W') => text.push_str("[^A-Za-z0-9_]"),
                Some('b') if class => text.push_str("\\x08"),
                Some('/') => text.push('/'),
                Some(other) => text.extend(['\\', other]),
                None => text.push('\\'),
            },
            '[' if class => text.push_str("\\["),
            '[' => {
                class = true;
                text.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    text.push('^');
                }
            }
            ']' if class => {
                class = false;
                text.push(']');
            }
            // In a class of the engine two of these are an operator.
            '&' | '~' if class => text.extend(['\\', letter]),
            '-' if class && letters.peek() == Some(&'-') => text.push_str("\\-"),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_in_ecmascript() {
        for (pattern, yes, no) in [
            (r"^\d+$", "42", "४२"),
            (r"^[\w.-]+$", "a_b.c-d", "é"),
            (r"^[^\W\d]$", "a", "1"),
            (r"^a\/b$", "a/b", "a\\/b"),
            (r"^[a[&]+$", "a[&", "b"),
            (r"^[a&&b]+$", "a&b", "c"),
            (r"^(?:x|y){2}$", "xy", "xyx"),
            (r"^é$", "é", "e"),
        ] {
            let regex = compile(pattern).unwrap();
            assert!(regex.is_match(yes), "{pattern} {yes}");
            assert!(!regex.is_match(no), "{pattern} {no}");
        }
    }

    #[test]
    fn what_could_run_without_end_is_refused() {
        for pattern in [r"(?=a)b", r"(a)\1", r"(?<!a)b", "((a{1,1000}){1,1000}){1,1000}", &"a".repeat(5000), "["] {
            assert!(compile(pattern).unwrap_err().contains("pattern"), "{pattern}");
        }
        // Where others backtrack for years.
        let regex = compile("^(a+)+$").unwrap();
        assert!(!regex.is_match(&format!("{}!", "a".repeat(100_000))));
    }
}
