//! Durations, sizes and percentages as people write them, and the two kinds of address.
//!
//! A duration is a Gateway API duration string (GEP-2257): up to four numbers of up to five digits, each with its
//! unit. A size is a whole number with a binary unit; decimal units (`MB`) are refused rather than guessed, because
//! half of the world means 1024² by them. Both print themselves in the form they are read in, so what
//! `wharf config` shows can be pasted into a file. Fractions are refused: `1.5s` is `1s500ms`.
//!
//! Nothing here knows which field it fills; bounds such as "at least 1ms" are `check`'s business.

mod percent;

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

pub use percent::Percent;

/// A time span, written `250ms`, `1m30s`, `0s` (Gateway API duration strings, GEP-2257).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(std::time::Duration);

/// A number of bytes, written `64KiB`, `10MiB`, `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// Why a text is no [`Duration`] or [`Size`]; says how to write one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(String);

/// The longest duration that can be written with five digits an hour.
const LONGEST: std::time::Duration = std::time::Duration::from_millis((100_000 * 3600) * 1000 - 1);

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl UnitError {
    pub(super) fn new(message: String) -> Self {
        Self(message)
    }
}

impl Duration {
    /// No time.
    pub const ZERO: Self = Self(std::time::Duration::ZERO);

    /// Whole seconds.
    pub const fn secs(secs: u64) -> Self {
        Self(std::time::Duration::from_secs(secs))
    }

    /// Whole milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// As the standard library has it.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// So many times as long, or the longest there is.
    pub const fn times(self, factor: u32) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError(format!("`{text}` is no duration: write it like 250ms, 5s, 1m30s"));
        let mut rest = text;
        let mut total = std::time::Duration::ZERO;
        let mut parts = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            parts += 1;
            if digits == 0 || digits > 5 || parts > 4 {
                return Err(wrong());
            }
            let number: u64 = number.parse().map_err(|_| wrong())?;
            // `ms` before `m` and `s`: the longest unit wins.
            let (millis, tail) = if let Some(tail) = tail.strip_prefix("ms") {
                (number, tail)
            } else if let Some(tail) = tail.strip_prefix('s') {
                (number * 1000, tail)
            } else if let Some(tail) = tail.strip_prefix('m') {
                (number * 60_000, tail)
            } else if let Some(tail) = tail.strip_prefix('h') {
                (number * 3_600_000, tail)
            } else {
                return Err(wrong());
            };
            total += std::time::Duration::from_millis(millis);
            rest = tail;
        }
        if parts == 0 {
            return Err(wrong());
        }
        if total > LONGEST {
            return Err(UnitError(format!("`{text}` is too long: at most {}", Self(LONGEST))));
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let parts =
            [(millis / 3_600_000, "h"), (millis / 60_000 % 60, "m"), (millis / 1000 % 60, "s"), (millis % 1000, "ms")];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number > 0) {
            write!(f, "{number}{unit}")?;
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text::<Self>::expecting("a duration such as 250ms, 5s, 1m30s"))
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]{1,5}(h|m|s|ms)){1,4}$" })
    }
}

impl Size {
    /// Bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Multiples of 1024 bytes.
    pub const fn kib(n: u64) -> Self {
        Self(n << 10)
    }

    /// Multiples of 1024² bytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// Multiples of 1024³ bytes.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// In bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError(format!("`{text}` is no size: write it like 512B, 64KiB, 10MiB, 1GiB"));
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        if digits == 0 {
            return Err(wrong());
        }
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| UnitError(format!("`{text}` is too large: at most {}B", u64::MAX)))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        let (unit, factor) = UNITS.into_iter().find(fits).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text::<Self>::expecting("a size such as 512B, 64KiB, 10MiB, 1GiB"))
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$", "minimum": 0 })
    }
}

/// Reads an address to listen on.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    struct Address(SocketAddr);
    impl FromStr for Address {
        type Err = UnitError;

        fn from_str(text: &str) -> Result<Self, UnitError> {
            let wrong = |_| UnitError(format!("`{text}` is no address: write an IP and a port, like 127.0.0.1:8080"));
            text.parse().map(Self).map_err(wrong)
        }
    }
    let visitor = Text::<Address>::expecting("an address such as 127.0.0.1:8080");
    deserializer.deserialize_str(visitor).map(|address| address.0)
}

/// Reads a list of networks.
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    struct Network(IpNet);
    impl FromStr for Network {
        type Err = UnitError;

        fn from_str(text: &str) -> Result<Self, UnitError> {
            let wrong = |_| UnitError(format!("`{text}` is no network: write it like 10.0.0.0/8 or fd00::/8"));
            text.parse().map(Self).map_err(wrong)
        }
    }
    impl<'de> Deserialize<'de> for Network {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_str(Text::<Self>::expecting("a network such as 10.0.0.0/8"))
        }
    }
    let networks = Vec::<Network>::deserialize(deserializer)?;
    Ok(networks.into_iter().map(|network| network.0).collect())
}

/// Reads a `T` from its text; whole numbers count as text, so that sizes may be written without a unit.
struct Text<T> {
    expecting: &'static str,
    parses: std::marker::PhantomData<T>,
}

impl<T> Text<T> {
    fn expecting(expecting: &'static str) -> Self {
        Self { expecting, parses: std::marker::PhantomData }
    }
}

impl<T: FromStr<Err = UnitError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_every_unit_and_print_what_they_read() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("5s", 5_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1h1m1s1ms", 3_661_001),
            ("99999h", 359_996_400_000),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration, Duration::millis(millis), "{text}");
            assert_eq!(duration.to_string(), text);
        }
    }

    #[test]
    fn durations_in_an_unusual_form_print_in_the_usual_one() {
        for (text, printed) in [("90s", "1m30s"), ("1s1s", "2s"), ("0h", "0s"), ("1500ms", "1s500ms"), ("00001s", "1s")]
        {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.to_string(), printed);
            assert_eq!(printed.parse::<Duration>().unwrap(), duration);
        }
    }

    #[test]
    fn text_that_is_no_duration_says_how_to_write_one() {
        for text in ["", "5", "s", "5 s", "-5s", "1.5s", "123456s", "1s1s1s1s1s", "5 parsecs", "5S", "1d", "٣s"] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is no duration: write it like 250ms, 5s, 1m30s"));
        }
    }

    #[test]
    fn a_duration_too_long_to_be_printed_is_refused() {
        let error = "99999h99999h".parse::<Duration>().unwrap_err().to_string();
        assert_eq!(error, "`99999h99999h` is too long: at most 99999h59m59s999ms");
        assert!("99999h59m59s999ms".parse::<Duration>().is_ok());
    }

    #[test]
    fn sizes_read_every_unit_and_print_what_they_read() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("10MiB", 10_485_760), ("4GiB", 4 << 30)] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size, Size::bytes(bytes), "{text}");
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("1024".parse::<Size>().unwrap().to_string(), "1KiB");
        assert_eq!("1025".parse::<Size>().unwrap().to_string(), "1025B");
    }

    #[test]
    fn text_that_is_no_size_says_how_to_write_one() {
        for text in ["", "MiB", "64MB", "64 MiB", "64mib", "-1", "1.5MiB", "lots"] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is no size: write it like 512B, 64KiB, 10MiB, 1GiB"));
        }
    }

    #[test]
    fn a_size_beyond_64_bits_is_refused() {
        for text in ["18446744073709551616", "17179869184GiB"] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert_eq!(error, format!("`{text}` is too large: at most 18446744073709551615B"));
        }
    }

    #[test]
    fn units_pass_through_json_as_text_and_sizes_also_as_numbers() {
        let (duration, size) = (Duration::millis(1500), Size::mib(3));
        let json = serde_json::to_string(&(duration, size)).unwrap();
        assert_eq!(json, r#"["1s500ms","3MiB"]"#);
        assert_eq!(serde_json::from_str::<(Duration, Size)>(&json).unwrap(), (duration, size));
        assert_eq!(serde_json::from_str::<Size>("2048").unwrap(), Size::kib(2));
        assert!(serde_json::from_str::<Duration>("5").is_err());
        assert!(serde_json::from_str::<Size>("-5").is_err());
    }
}
