//! What a response may look like that is passed on.
//!
//! hyper takes a response with a length and a transfer coding, several equal lengths, and codings other than `chunked`;
//! each is how one response is made to look like two to whoever stands between us and the client (RFC 9112 §11.1). A
//! server that sends such a thing is broken or lies, so the answer is 502 and its connection is closed. Names, values
//! and folded lines that are not HTTP are refused by hyper.
//!
//! The rest of the framing is not passed on: our server frames the response anew.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{HeaderValue, Version};

use crate::gateway::headers;

/// Puts the head of a response in order. `switched`: 101 was asked for.
///
/// # Errors
/// Says why it cannot be passed on.
pub(super) fn sanitize(parts: &mut Parts, switched: bool) -> Result<(), &'static str> {
    if parts.status.is_informational() && !(switched && parts.status == 101) {
        return Err("it changes to a protocol that nobody asked for");
    }
    if parts.status.as_u16() > 599 {
        return Err("its status is not one of HTTP");
    }
    let mut lengths = parts.headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err("it gives more than one length");
    }
    let is_number =
        |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit) && value.len() < 20;
    if !length.is_none_or(is_number) {
        return Err("its length is no number");
    }
    let mut codings = parts.headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if length.is_some() {
            return Err("it gives a length and a transfer coding");
        }
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err("it has a transfer coding other than `chunked`");
        }
        if parts.version == Version::HTTP_10 {
            return Err("HTTP/1.0 has no transfer coding");
        }
    }
    headers::strip_response(&mut parts.headers);
    if parts.status == 204 || parts.status.is_informational() {
        parts.headers.remove(CONTENT_LENGTH);
    }
    parts.version = Version::HTTP_11;
    // Reason phrases and the like.
    parts.extensions.clear();
    Ok(())
}
