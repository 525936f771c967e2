//! Times as people and CloudEvents write them.

use std::time::SystemTime;

use jiff::Timestamp;

/// RFC 3339, in UTC. A time that no calendar has is the first one that it has.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    timestamp(time).to_string()
}

/// The same as a timestamp.
pub(crate) fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Reads RFC 3339, and nothing else that is like it.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    // What jiff reads besides: a space for the `T`, brackets with a time zone, no offset, no seconds.
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let shaped = bytes.len() <= 64
        && matches!(bytes.get(10), Some(b'T' | b't'))
        && bytes.get(16) == Some(&b':')
        && (is_digit(17) && is_digit(18))
        && !text.contains('[');
    let timestamp: Timestamp = shaped.then(|| text.parse().ok())??;
    Some(timestamp.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rfc_3339_is_read() {
        for good in ["2026-01-31T10:00:00Z", "2026-01-31t10:00:00.123456+01:00", "1969-12-31T23:59:59.5-00:30"] {
            assert!(parse(good).is_some(), "{good}");
        }
        assert_eq!(rfc3339(parse("2026-01-31T10:00:00.250+01:00").unwrap()), "2026-01-31T09:00:00.25Z");
        for bad in [
            "",
            "now",
            "2026-01-31",
            "2026-01-31T10:00Z",
            "2026-01-31 10:00:00Z",
            "2026-01-31T10:00:00",
            "2026-01-31T10:00:00Z[UTC]",
            "2026-13-31T10:00:00Z",
            "2026-01-31T10:00:00ZZ",
            "20260131T100000Z",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }
}
