//! How long a call may take: what the client says in `grpc-timeout`, and never longer than the operator lets it.
//!
//! The gateway cuts a request off at its own time, without a word of gRPC. So the operator's time here is a little
//! shorter than that one, and a client gets a status.

use std::time::{Duration, Instant};

use wharf_sdk::{Error, config};

use crate::status::{Code, Status};

/// Unless the operator says otherwise.
const LONGEST: &str = "50s";

/// What the operator lets a call take.
pub(crate) fn longest() -> Result<Duration, Error> {
    let text = config::get_or("longest", LONGEST);
    humantime::parse_duration(&text).map_err(|error| Error::internal(format_args!("`longest: {text}`: {error}")))
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// From now on.
    pub(crate) fn new(timeout: Option<&str>, longest: Duration) -> Result<Self, Status> {
        let wanted = timeout.map(|text| {
            parse(text).ok_or_else(|| Status::new(Code::InvalidArgument, format!("`grpc-timeout: {text}` is no time")))
        });
        let time = wanted.transpose()?.unwrap_or(longest).min(longest);
        let now = Instant::now();
        Ok(Self(now.checked_add(time).unwrap_or(now)))
    }

    /// What is left of it.
    ///
    /// # Errors
    /// When nothing is.
    pub(crate) fn left(self) -> Result<Duration, Status> {
        let left = self.0.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(Status::new(Code::DeadlineExceeded, "the time is up")) } else { Ok(left) }
    }
}

/// Waits, without using CPU time: the host waits in place of the guest.
#[expect(clippy::disallowed_methods, reason = "there is no executor in here whose thread would be held")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// At most eight digits and a unit.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count.checked_mul(3600)?),
        "M" => Duration::from_secs(count.checked_mul(60)?),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_digits_and_a_unit() {
        for (text, millis) in
            [("1H", 3_600_000), ("2M", 120_000), ("3S", 3000), ("99999999m", 99_999_999), ("5000u", 5), ("7000000n", 7)]
        {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "S", "1", "1s", "-1S", "+1S", "123456789S", "1.5S", "1é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn nobody_gets_more_than_the_operator_gives() {
        let left = |timeout| Deadline::new(timeout, Duration::from_secs(5)).unwrap().left().unwrap();
        assert!(left(Some("9H")) <= Duration::from_secs(5));
        assert!(left(None) > Duration::from_secs(4));
        assert!(left(Some("1S")) <= Duration::from_secs(1));
        let over = Deadline::new(Some("0S"), Duration::from_secs(5)).unwrap().left();
        assert_eq!(over.unwrap_err().code, Code::DeadlineExceeded);
    }
}
