//! Regular expressions in routes: what they may cost, and that they match the whole text.
//!
//! The crate `regex` needs time linear in the text, whatever the pattern, so a request cannot make a match slow; what
//! is bounded here is the pattern itself, which decides memory and the factor of that time.

use regex::bytes::{Regex, RegexBuilder};

/// Longest pattern, in bytes: that of a path in the Gateway API.
const MAX_PATTERN: usize = 1024;
/// Memory of one compiled pattern, in bytes, and again of what it builds while it matches. `\w{100}` needs more.
const MAX_COMPILED: usize = 1 << 20;
/// Groups inside each other.
const MAX_NESTING: u32 = 50;

/// Compiles a pattern. It must match the whole text, as Envoy's `safe_regex` does: `/v[12]` matches `/v1`, not `/v1/x`.
///
/// # Errors
/// Says what is wrong with the pattern.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.is_empty() {
        return Err("an empty pattern: remove it, or write `.*` for everything".to_owned());
    }
    if pattern.len() > MAX_PATTERN {
        return Err(format!("a pattern of {} bytes is too long: at most {MAX_PATTERN}", pattern.len()));
    }
    // Alone first: `a)|(b` would become whole between the parentheses.
    build(pattern)?;
    build(&format!(r"\A(?:{pattern})\z"))
}

fn build(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern)
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .nest_limit(MAX_NESTING)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern needs too much memory: make its repetitions smaller".to_owned(),
        error => {
            // The last line says what is wrong, those before it draw the pattern.
            let text = error.to_string();
            let reason = text.lines().next_back().unwrap_or_default();
            format!("not a regular expression: {}", reason.trim_start_matches("error: "))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_text() {
        for (pattern, text, matches) in [
            ("/v[12]", "/v1", true),
            ("/v[12]", "/v1/x", false),
            ("/v[12]", "x/v1", false),
            ("a|ab", "ab", true),
            ("a|b", "xb", false),
            ("^a$", "a", true),
            ("a.c", "a\nc", false),
            ("(?i)abc", "ABC", true),
            ("(?m)^a$", "x\na", false),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text.as_bytes()), matches, "{pattern} {text:?}");
        }
    }

    #[test]
    fn a_pattern_that_is_wrong_or_too_large_is_refused_with_a_reason() {
        let long = "a".repeat(MAX_PATTERN + 1);
        for (pattern, reason) in [
            ("", "an empty pattern"),
            ("a(b", "not a regular expression: unclosed group"),
            ("a)|(b", "not a regular expression: unopened group"),
            ("?!", "not a regular expression: repetition operator missing expression"),
            (r"(a)\1", "not a regular expression: backreferences are not supported"),
            (r"(?:\w{500}){500}", "the pattern needs too much memory"),
            (long.as_str(), "a pattern of 1025 bytes is too long: at most 1024"),
        ] {
            let message = compile(pattern).unwrap_err();
            assert!(message.starts_with(reason), "{pattern}: {message}");
        }
        assert!(compile(&"(".repeat(60)).is_err());
        assert!(compile(&format!("{}a{}", "(".repeat(60), ")".repeat(60))).is_err(), "nested too deep");
    }
}
