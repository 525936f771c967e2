//! Decides whether a response is compressed, and rewrites its headers: the working form of `compression`.
//!
//! Left alone: what has no body or only a part of one (`HEAD`, 204, 205, 206, 304), what is encoded already, what says
//! `no-transform` or carries a digest of its bytes, server-sent events and other streams that a client reads while they
//! are made, media types that are not configured, and bodies known to be small. `Vary: accept-encoding` is set whenever
//! the answer depended on what the client accepts, also when it accepts nothing that is offered.
//!
//! A strong `ETag` becomes a weak one, because it named other bytes; in a 304 too, which speaks of what is stored. Ranges are not offered for compressed responses.

mod accept;
mod body;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue,
};
use http::{Method, StatusCode, response};

pub(crate) use body::{CompressError, Compressed, Encoder};

use super::vary::vary;
use crate::config::{self, Algorithm, CompressionLevel};

/// Which responses are compressed, and how.
#[derive(Debug)]
pub(crate) struct Compression {
    algorithms: Vec<Algorithm>,
    min_size: u64,
    types: Vec<Box<str>>,
    level: CompressionLevel,
}

/// What the client takes, taken from the request before the service has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted(Option<Algorithm>);

impl Compression {
    pub(crate) fn new(config: &config::Compression) -> Self {
        Self {
            algorithms: config.algorithms.clone(),
            min_size: config.min_size.get(),
            types: config.types.iter().map(|text| text.as_str().into()).collect(),
            level: config.level,
        }
    }

    /// What to use for this client.
    pub(crate) fn accepted(&self, request: &HeaderMap) -> Accepted {
        Accepted(accept::choose(request, &self.algorithms))
    }

    /// Rewrites a response's headers and gives the encoder for its body, if it is to be compressed. `length` is the
    /// body's, if that is known without `Content-Length`.
    pub(crate) fn prepare(
        &self,
        method: &Method,
        accepted: Accepted,
        parts: &mut response::Parts,
        length: Option<u64>,
    ) -> Option<Encoder> {
        let headers = &mut parts.headers;
        if parts.status == StatusCode::NOT_MODIFIED {
            // It says of a stored response what was said with that (RFC 9110 §15.4.5), and a cache that has a weak tag
            // finds nothing by a strong one.
            vary(headers, "accept-encoding");
            if accepted.0.is_some() {
                weaken(headers);
            }
            return None;
        }
        let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let small = said.or(length).is_some_and(|length| length == 0 || length < self.min_size);
        if small || !self.eligible(parts.status, headers) {
            return None;
        }
        vary(headers, "accept-encoding");
        let algorithm = accepted.0.filter(|_| *method != Method::HEAD)?;
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(accept::name(algorithm)));
        headers.remove(CONTENT_LENGTH);
        headers.remove(ACCEPT_RANGES);
        weaken(headers);
        Some(Encoder::new(algorithm, self.level))
    }

    fn eligible(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        const FIXED: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];
        let bodiless = status.is_informational() || matches!(status.as_u16(), 204 | 205 | 206 | 304);
        let fixed = headers.contains_key(CONTENT_RANGE) || FIXED.iter().any(|name| headers.contains_key(*name));
        let encoded = headers.get_all(CONTENT_ENCODING).iter().any(|value| !is(value.as_bytes(), "identity"));
        let kept = headers
            .get_all(CACHE_CONTROL)
            .iter()
            .any(|line| line.as_bytes().split(|byte| *byte == b',').any(|word| is(word.trim_ascii(), "no-transform")));
        !bodiless && !fixed && !encoded && !kept && self.wanted_type(headers)
    }

    fn wanted_type(&self, headers: &HeaderMap) -> bool {
        let Some(text) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let Some((kind, name)) = essence.split_once('/') else { return false };
        if matches!((kind, name), ("text", "event-stream") | ("multipart", _)) || name.starts_with("grpc") {
            return false;
        }
        self.types.iter().filter_map(|known| known.split_once('/')).any(|(wanted_kind, wanted)| {
            let named = match wanted.strip_prefix('*') {
                Some(suffix) => name.ends_with(suffix),
                None => name == wanted,
            };
            named && (wanted_kind == "*" || wanted_kind == kind)
        })
    }
}

/// A strong tag named other bytes than those that are sent.
fn weaken(headers: &mut HeaderMap) {
    if let Some(tag) = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/")) {
        match HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()) {
            Ok(weak) => _ = headers.insert(ETAG, weak),
            Err(_) => _ = headers.remove(ETAG),
        }
    }
}

fn is(bytes: &[u8], word: &str) -> bool {
    bytes.eq_ignore_ascii_case(word.as_bytes())
}

#[cfg(test)]
mod tests;
