//! Times, as everybody in the shop writes them: RFC 3339 in UTC with milliseconds, so that they are compared as text.

use std::time::SystemTime;

/// This time.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// The time that it is.
pub fn now() -> String {
    rfc3339(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_compared_as_text() {
        let at = |millis: u64| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(at(1_767_225_599_009), "2025-12-31T23:59:59.009Z");
        assert!(at(999) < at(1000) && at(1000) < at(1001));
        let before = now();
        assert!(before <= now() && at(0) < before);
    }
}
