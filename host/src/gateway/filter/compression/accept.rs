//! What a client accepts (`Accept-Encoding`, RFC 9110 §12.5.3).
//!
//! Among what it accepts with the greatest weight, the server's first choice wins. Elements that are malformed are
//! passed over. A client that refuses everything, even `identity`, gets the plain response: it can use that, but not an
//! error.

use http::header::{ACCEPT_ENCODING, HeaderMap};

use crate::config::Algorithm;

/// Most elements that are read; no honest client sends more.
const MAX_ELEMENTS: usize = 32;

/// The name of a coding in headers.
pub(super) fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Zstd => "zstd",
        Algorithm::Br => "br",
        Algorithm::Gzip => "gzip",
    }
}

/// The best of `offered` (in order of preference), or nothing for a plain response.
pub(super) fn choose(request: &HeaderMap, offered: &[Algorithm]) -> Option<Algorithm> {
    let lines = request.get_all(ACCEPT_ENCODING).iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).take(MAX_ELEMENTS);
    let weights: Vec<(&[u8], u16)> = elements.filter_map(element).collect();
    let weight = |name: &[u8]| weights.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|found| found.1);
    let any = weight(b"*");
    let identity = weight(b"identity").unwrap_or(0);
    let mut best: Option<(Algorithm, u16)> = None;
    for algorithm in offered {
        let alias = if *algorithm == Algorithm::Gzip { weight(b"x-gzip") } else { None };
        let weight = weight(name(*algorithm).as_bytes()).or(alias).or(any).unwrap_or(0);
        if weight > 0 && weight >= identity && best.is_none_or(|(_, most)| weight > most) {
            best = Some((*algorithm, weight));
        }
    }
    best.map(|(algorithm, _)| algorithm)
}

/// A coding and its weight in thousandths.
fn element(text: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let coding = parts.next().filter(|coding| !coding.is_empty())?;
    match (parts.next(), parts.next()) {
        (None, _) => Some((coding, 1000)),
        (Some(parameter), None) => {
            let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
            Some((coding, thousandths(value)?))
        }
        _ => None,
    }
}

/// `0`, `1`, `0.123`, `1.000`: at most three digits after the point.
fn thousandths(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let weight = format!("{whole}{rest:0<3}").parse::<u16>().ok()?;
    (weight <= 1000).then_some(weight)
}
