//! SQL functions in place of SQLite's own, where those take time that grows with the square of their input.
//!
//! A statement is stopped between two steps of its program, never inside of one. Most functions need time in proportion
//! to what they are given, which `sql.maxRowSize` bounds; these would keep a thread for minutes with a few megabytes.
//! They mean the same as the originals, but for fractions given to them in place of text, which are never written with an
//! exponent.

use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};

use super::open::MAX_LENGTH;

/// Registers them.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("instr", 2, flags, instr)?;
    connection.create_scalar_function("replace", 3, flags, replace)?;
    connection.create_scalar_function("trim", 2, flags, |context| trim(context, true, true))?;
    connection.create_scalar_function("ltrim", 2, flags, |context| trim(context, true, false))?;
    connection.create_scalar_function("rtrim", 2, flags, |context| trim(context, false, true))?;
    connection.create_scalar_function("unhex", 2, flags, unhex)
}

/// The place of the second in the first: in bytes if both are blobs, else in characters. 0 if it is not there.
fn instr(context: &Context<'_>) -> rusqlite::Result<Option<i64>> {
    let (hay, needle) = (context.get_raw(0), context.get_raw(1));
    if let (ValueRef::Blob(hay), ValueRef::Blob(needle)) = (hay, needle) {
        return Ok(Some(memmem::find(hay, needle).map_or(0, |at| number(at) + 1)));
    }
    let (Some(hay), Some(needle)) = (text(hay), text(needle)) else { return Ok(None) };
    let Some(at) = memmem::find(hay.as_bytes(), needle.as_bytes()) else { return Ok(Some(0)) };
    Ok(Some(number(hay.get(..at).map_or(0, |before| before.chars().count())) + 1))
}

/// The first with all that equals the second replaced by the third.
fn replace(context: &Context<'_>) -> rusqlite::Result<Option<String>> {
    let (Some(whole), Some(from), Some(to)) =
        (text(context.get_raw(0)), text(context.get_raw(1)), text(context.get_raw(2)))
    else {
        return Ok(None);
    };
    if from.is_empty() {
        return Ok(Some(whole));
    }
    let count = memmem::find_iter(whole.as_bytes(), from.as_bytes()).count();
    if whole.len().saturating_add(count.saturating_mul(to.len())) > MAX_LENGTH {
        // SQLite checks the result against the database's own limit; this keeps it from being made.
        return Err(too_big());
    }
    Ok(Some(whole.replace(&from, &to)))
}

/// The first without characters of the second at its ends.
fn trim(context: &Context<'_>, start: bool, end: bool) -> rusqlite::Result<Option<String>> {
    let (Some(whole), Some(set)) = (text(context.get_raw(0)), text(context.get_raw(1))) else { return Ok(None) };
    let set = Characters::of(&set);
    let mut rest = whole.as_str();
    if start {
        rest = rest.trim_start_matches(|c| set.has(c));
    }
    if end {
        rest = rest.trim_end_matches(|c| set.has(c));
    }
    Ok(Some(rest.to_owned()))
}

/// The bytes that the first stands for, with characters of the second between them; nothing if it is no such text.
fn unhex(context: &Context<'_>) -> rusqlite::Result<Option<Vec<u8>>> {
    let (Some(digits), Some(between)) = (text(context.get_raw(0)), text(context.get_raw(1))) else { return Ok(None) };
    let between = Characters::of(&between);
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    let mut high = None;
    for c in digits.chars() {
        match (c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()), high) {
            (Some(digit), None) => high = Some(digit << 4),
            (Some(digit), Some(first)) => {
                bytes.push(first | digit);
                high = None;
            }
            (None, None) if between.has(c) => {}
            (None, _) => return Ok(None),
        }
    }
    Ok(high.is_none().then_some(bytes))
}

/// A set of characters, most of which are ASCII.
struct Characters {
    ascii: u128,
    others: HashSet<char>,
}

impl Characters {
    fn of(text: &str) -> Self {
        let ascii = text.bytes().filter(u8::is_ascii).fold(0, |set, byte| set | 1_u128 << byte);
        let others = if text.is_ascii() { HashSet::new() } else { text.chars().filter(|c| !c.is_ascii()).collect() };
        Self { ascii, others }
    }

    fn has(&self, c: char) -> bool {
        if c.is_ascii() { self.ascii >> u32::from(c) & 1 == 1 } else { self.others.contains(&c) }
    }
}

/// As SQLite reads a value as text; nothing for NULL.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => {
            Some(if number.fract() == 0.0 && number.abs() < 1e15 { format!("{number:.1}") } else { number.to_string() })
        }
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

fn number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

fn too_big() -> Error {
    Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_TOOBIG), None)
}
