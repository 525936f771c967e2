//! W3C Trace Context (level 1, and the random flag of level 2): which trace a request belongs to.
//!
//! The gateway is one step of a trace: a request that names its trace stays in it and gets a new parent id, any other
//! one begins a trace. It records no spans, so the flags of a trace are not its to change, and a new one asks nobody to
//! record. Traces are taken over from every client: the id decides about nothing, and is not trusted to be unique.
//!
//! `traceparent` is read strictly; one that is malformed or there twice begins a new trace, as the standard says, since
//! half a trace misleads whoever reads it. `tracestate` means nothing without it and goes with it. It is passed on as
//! one line, at most 32 members and 512 bytes; one that is malformed is dropped and the trace goes on without it.

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Whoever sent the request may have recorded it.
const SAMPLED: u8 = 1;
/// The trace id is random, all of it.
const RANDOM: u8 = 2;

/// Members of a `tracestate`; the standard's bound.
const MAX_MEMBERS: usize = 32;
/// Bytes of a `tracestate` that are passed on at least, and here at most.
const MAX_STATE: usize = 512;
/// When there is too much, longer members go first.
const LONG_MEMBER: usize = 128;
/// Longest key and longest value of a member, in bytes.
const MAX_TEXT: usize = 256;

/// The trace of a request. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trace(HeaderValue);

impl Trace {
    /// The trace's id, 32 hex digits.
    pub(crate) fn id(&self) -> &str {
        self.0.to_str().ok().and_then(|value| value.get(3..35)).unwrap_or_default()
    }
}

/// Puts a request into its trace, or into a new one. The headers say so afterwards.
pub(crate) fn trace(headers: &mut HeaderMap) -> Trace {
    let parent = parent(headers);
    match parent.and_then(|_| state(headers)) {
        Some(state) => drop(headers.insert(TRACESTATE, state)),
        None => drop(headers.remove(TRACESTATE)),
    }
    let (trace, flags) = parent.unwrap_or_else(|| (fastrand::u128(1..), RANDOM));
    let value = format!("00-{trace:032x}-{:016x}-{flags:02x}", fastrand::u64(1..));
    // Hex digits and hyphens always are a header value.
    let value = HeaderValue::try_from(value).unwrap_or(const { HeaderValue::from_static("") });
    headers.insert(TRACEPARENT, value.clone());
    Trace(value)
}

/// Trace id and flags of the one and valid `traceparent`.
fn parent(headers: &HeaderMap) -> Option<(u128, u8)> {
    let mut sent = headers.get_all(TRACEPARENT).iter();
    let (Some(value), None) = (sent.next(), sent.next()) else { return None };
    let text = value.to_str().ok()?.trim_matches([' ', '\t']);
    let (version, rest) = split(text, 2)?;
    let (trace, rest) = split(rest.strip_prefix('-')?, 32)?;
    let (span, rest) = split(rest.strip_prefix('-')?, 16)?;
    let (flags, rest) = split(rest.strip_prefix('-')?, 2)?;
    let version = u8::try_from(hex(version)?).ok()?;
    // Later versions may say more after that; 255 is none.
    if version == u8::MAX || !(rest.is_empty() || (version > 0 && rest.starts_with('-'))) {
        return None;
    }
    let (trace, span, flags) = (hex(trace)?, hex(span)?, u8::try_from(hex(flags)?).ok()?);
    // What the other flags say is not known; of later versions only this one is promised to stay.
    let known = if version == 0 { SAMPLED | RANDOM } else { SAMPLED };
    (trace != 0 && span != 0).then_some((trace, flags & known))
}

fn split(text: &str, length: usize) -> Option<(&str, &str)> {
    text.split_at_checked(length)
}

/// Lower-case digits only, as the standard has them.
fn hex(digits: &str) -> Option<u128> {
    let valid = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    valid.then(|| u128::from_str_radix(digits, 16).ok())?
}

/// All `tracestate` lines as one; `None` if there is nothing in them, or something that does not belong there.
fn state(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut members = Vec::new();
    for line in headers.get_all(TRACESTATE) {
        for member in line.to_str().ok()?.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            if !is_key(key) || !is_value(value) || members.len() == MAX_MEMBERS {
                return None;
            }
            members.push(member);
        }
    }
    let length = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1);
    if length(&members) > MAX_STATE {
        members.retain(|member| member.len() <= LONG_MEMBER);
    }
    // The oldest stand last.
    while length(&members) > MAX_STATE {
        members.pop();
    }
    (!members.is_empty()).then(|| HeaderValue::try_from(members.join(",")).ok())?
}

/// `vendor`, or `tenant@vendor`.
fn is_key(key: &str) -> bool {
    let rest = |text: &str| text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'));
    let starts = |text: &str, digit| {
        text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || (digit && b.is_ascii_digit()))
    };
    match key.split_once('@') {
        None => key.len() <= MAX_TEXT && starts(key, false) && rest(key),
        Some((tenant, vendor)) => {
            tenant.len() <= 241
                && starts(tenant, true)
                && rest(tenant)
                && vendor.len() <= 14
                && starts(vendor, false)
                && rest(vendor)
        }
    }
}

/// Visible characters and spaces but `,` and `=`; no space at the end, which was cut off before.
fn is_value(value: &str) -> bool {
    (1..=MAX_TEXT).contains(&value.len()) && value.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=')
}

#[cfg(test)]
mod tests;
