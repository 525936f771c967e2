//! Formats that are checked. OpenAPI has more of them, and anybody may make up others: those are notes for people.

use std::net::{Ipv4Addr, Ipv6Addr};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    DateTime,
    Date,
    Uuid,
    Ipv4,
    Ipv6,
    Int32,
    Int64,
}

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "date-time" => Self::DateTime,
            "date" => Self::Date,
            "uuid" => Self::Uuid,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            _ => return None,
        })
    }

    pub(super) fn is_of_numbers(self) -> bool {
        matches!(self, Self::Int32 | Self::Int64)
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::DateTime => "date-time",
            Self::Date => "date",
            Self::Uuid => "uuid",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
        }
    }

    /// Whether a text has it. Numbers are not texts.
    pub(super) fn holds_for(self, text: &str) -> bool {
        match self {
            Self::DateTime => is_date_time(text),
            Self::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Self::Uuid => text.len() == 36 && uuid::Uuid::try_parse(text).is_ok(),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Int32 | Self::Int64 => true,
        }
    }

    /// Whether a number has it.
    pub(super) fn holds_for_number(self, number: f64) -> bool {
        match self {
            Self::Int32 => (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number),
            // The upper bound itself is no number of 64 bits.
            Self::Int64 => (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number),
            Self::DateTime | Self::Date | Self::Uuid | Self::Ipv4 | Self::Ipv6 => true,
        }
    }
}

/// RFC 3339, which is narrower than what the parser takes.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let parted = matches!(at(10), b'T' | b't') && at(13) == b':' && at(16) == b':';
    let zoned = text.ends_with(['Z', 'z']) || (bytes.len() >= 25 && at(bytes.len() - 3) == b':');
    parted && zoned && text.parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_those_of_the_standards() {
        for (format, good, bad) in [
            ("date-time", "2024-02-29T12:00:00.5+01:00", "2024-02-29 12:00:00Z"),
            ("date-time", "2024-02-29T12:00:00Z", "2024-02-29T12:00:00"),
            ("date", "2024-02-29", "2023-02-29"),
            ("date", "2024-02-29", "20240229"),
            ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b8109dad11d180b400c04fd430c8"),
            ("ipv4", "192.0.2.1", "192.0.2.256"),
            ("ipv6", "2001:db8::1", "192.0.2.1"),
        ] {
            let format = Format::named(format).unwrap();
            assert!(format.holds_for(good), "{good}");
            assert!(!format.holds_for(bad), "{bad}");
        }
        assert!(Format::Int32.holds_for_number(2_147_483_647.0) && !Format::Int32.holds_for_number(2_147_483_648.0));
        assert_eq!(Format::named("colour"), None);
    }
}
