//! One spelling for each path, so that what rules decide about is what the service gets.
//!
//! Characters that need no encoding are decoded (`%61` is `a`, `%40` is `@`; `%2B` stays, because to some `+` is a
//! space), those that cannot stand in a path but often do are encoded (`|` is `%7C`), hex digits are upper case, dot
//! segments are resolved as in RFC 3986 §5.2.4 (also when the dots are encoded), slashes in a row are one. What
//! different programs read differently is refused rather than guessed: encoded slashes and backslashes, `;` (Java
//! servers cut a segment there, so `/admin;x` is `/admin` to them), control characters, percent signs that encode
//! nothing, bytes that are no UTF-8 (overlong forms of `.` and `/` hide there). Two of these can be let through by
//! configuration; `..;` and an empty name before `;` cannot.
//!
//! Nothing is decoded twice: `%252e` stays what it is, an encoded percent sign. The query is not looked at. A path in
//! which there is nothing to do is not copied.

use std::borrow::Cow;

use crate::config::{self, EncodedSlashes, PathParameters, Requests};

/// The one spelling of `path`.
///
/// # Errors
/// Says what cannot stand in a path.
pub(crate) fn normalize<'p>(path: &'p str, rules: &Requests) -> Result<Cow<'p, str>, &'static str> {
    if !path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    if is_normal(path.as_bytes(), rules.merge_slashes) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path, rules)?;
    resolve(&decoded, rules.merge_slashes).map(Cow::Owned)
}

/// Whether there is nothing to do and nothing to refuse. Says no when in doubt.
fn is_normal(path: &[u8], merge_slashes: bool) -> bool {
    let plain = |byte: &u8| config::is_plain_in_paths(*byte) || matches!(byte, b'/' | b'+');
    path.iter().all(plain)
        && path.windows(2).all(|pair| match pair {
            [b'/', b'.'] => false,
            [b'/', b'/'] => !merge_slashes,
            _ => true,
        })
}

/// Every character in its one encoding.
fn decode(path: &str, rules: &Requests) -> Result<String, &'static str> {
    let mut out = String::with_capacity(path.len());
    // What percent signs encode, to see whether it is text.
    let mut encoded = Vec::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            is_text(&mut encoded)?;
            match byte {
                b'\\' => return Err("a backslash cannot stand in a path"),
                b';' if rules.path_parameters == PathParameters::Reject => {
                    return Err("`;` in a path is not allowed here");
                }
                b'#' | b'?' => return Err("the path is not valid"),
                byte if config::is_plain_in_paths(byte) || matches!(byte, b'/' | b';' | b'+') => {
                    out.push(char::from(byte));
                }
                // RFC 3986 §3.3 has no place for the others. Browsers send some of them all the same, and they mean
                // what their encoded forms mean.
                byte if byte.is_ascii_graphic() => push_encoded(&mut out, byte),
                _ => return Err("a path has only visible ASCII characters: others are written with percent signs"),
            }
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
            return Err("a percent sign in the path encodes nothing");
        };
        let value = u8::try_from(high * 16 + low).unwrap_or_default();
        match value {
            byte if config::is_plain_in_paths(byte) => {
                is_text(&mut encoded)?;
                out.push(char::from(byte));
                continue;
            }
            b'/' | b'\\' if rules.encoded_slashes == EncodedSlashes::Reject => {
                return Err("an encoded slash in a path is not allowed here");
            }
            byte if byte.is_ascii_control() => return Err("a control character cannot stand in a path"),
            _ => {}
        }
        encoded.push(value);
        push_encoded(&mut out, value);
    }
    is_text(&mut encoded)?;
    Ok(out)
}

fn push_encoded(out: &mut String, byte: u8) {
    out.push('%');
    for digit in [byte >> 4, byte & 15] {
        out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
    }
}

fn is_text(encoded: &mut Vec<u8>) -> Result<(), &'static str> {
    let valid = std::str::from_utf8(encoded).is_ok();
    encoded.clear();
    if valid { Ok(()) } else { Err("the path is not UTF-8") }
}

/// Without dot segments and, if they are merged, without empty ones.
fn resolve(path: &str, merge_slashes: bool) -> Result<String, &'static str> {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_slash = false;
    for segment in path.split('/').skip(1) {
        if let Some((name, _)) = segment.split_once(';')
            && matches!(name, "" | "." | "..")
        {
            return Err("`;` cannot stand after nothing or dots in a path");
        }
        // Nor for a program that decodes first and cuts then.
        if matches!(segment.split_once("%3B"), Some(("." | "..", _))) {
            return Err("an encoded `;` cannot stand after dots in a path");
        }
        // An empty segment that is kept at the end is the slash already.
        ends_in_slash = matches!(segment, "." | "..") || (segment.is_empty() && merge_slashes);
        match segment {
            "" if merge_slashes => {}
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if ends_in_slash || out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
