//! Events at certain times.
//!
//! Decided here: the words, and that times are those of the five fields of cron in a time zone. When the next tick is,
//! the hours of a change of clocks among them, and what becomes of ticks that nobody was there for, is `events`'.

use std::collections::BTreeSet;

use cronexpr::Crontab;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{At, Check};
use super::schema::text;
use super::topic::{TopicPattern, check_topic};

const MAX_SCHEDULES: usize = 100;
const MAX_DATA: usize = 64 << 10;
const MAX_TEXT: usize = 1024;

/// An event that is published at certain times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Schedule {
    /// Unique in the service; its last tick is remembered by it.
    #[schemars(with = "text::Topic")]
    pub name: String,
    /// Minute, hour, day of the month, month and day of the week, as in cron: `*/15 8-18 * * MON-FRI`.
    #[schemars(with = "text::Name")]
    pub cron: String,
    /// The time zone that these are in, such as `Europe/Berlin`.
    #[serde(default = "timezone")]
    #[schemars(with = "text::Name")]
    pub timezone: String,
    /// Where the event is published; must be in `grants.publish`.
    #[schemars(with = "text::Topic")]
    pub topic: String,
    /// The event's key, if it has one.
    #[serde(default)]
    #[schemars(with = "Option<text::Scalar>")]
    pub key: Option<String>,
    /// The event's subject, if it has one.
    #[serde(default)]
    #[schemars(with = "Option<text::Scalar>")]
    pub subject: Option<String>,
    /// The event's data: text, at most 64KiB.
    #[serde(default)]
    #[schemars(with = "Option<text::Scalar>")]
    pub data: Option<String>,
    /// The media type of `data`.
    #[serde(default = "content_type")]
    pub content_type: String,
    /// What becomes of ticks while the host was not running: one event for the `latest` of them, or none (`skip`).
    #[serde(default)]
    pub missed: Missed,
}

/// What becomes of ticks that nobody was there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Missed {
    /// The latest of them is published, late.
    #[default]
    Latest,
    /// None of them.
    Skip,
}

fn timezone() -> String {
    "UTC".to_owned()
}

fn content_type() -> String {
    "application/json".to_owned()
}

impl Schedule {
    /// The five fields, to be asked in UTC, and the time zone that they are meant in.
    ///
    /// # Errors
    /// What is wrong, and whether it is the time zone.
    pub fn times(&self) -> Result<(Crontab, TimeZone), (bool, String)> {
        let zone = TimeZone::get(&self.timezone).map_err(|_| {
            let shown = self.timezone.escape_debug();
            (true, format!("`{shown}` is no time zone: write it like Europe/Berlin or UTC"))
        })?;
        let shown = self.cron.escape_debug();
        let wrong = |why: &str| (false, format!("`{shown}` {why}: write it like `30 4 * * MON-FRI`"));
        if self.cron.split_ascii_whitespace().count() != 5 {
            return Err(wrong("does not have the five fields of cron"));
        }
        let fields = format!("{} UTC", self.cron);
        cronexpr::parse_crontab(&fields).map(|times| (times, zone)).map_err(|error| {
            // Its last line says what is wrong; the others show the text.
            let error = error.to_string();
            let why = error.lines().next_back().unwrap_or_default().trim_start_matches([' ', '^']);
            wrong(&format!("is no time of cron ({why})"))
        })
    }

    pub(in crate::config) fn check_all(all: &[Self], check: &mut Check<'_>, at: At<'_>) {
        if at.written() > MAX_SCHEDULES {
            check.wrong(at, format!("too many schedules: at most {MAX_SCHEDULES}"));
        }
        let mut seen = BTreeSet::new();
        for (schedule, at) in all.iter().zip(at.items()) {
            schedule.check(check, at);
            if !seen.insert(&schedule.name) {
                check.wrong(at.get("name"), format!("`{}` is another schedule's name already", schedule.name));
            }
        }
    }

    fn check(&self, check: &mut Check<'_>, at: At<'_>) {
        if let Err(error) = self.name.parse::<TopicPattern>() {
            check.wrong(at.get("name"), error.of("name"));
        }
        if let Err(error) = check_topic(&self.topic) {
            check.wrong(at.get("topic"), error.to_string());
        }
        match self.times() {
            Ok((times, _)) => {
                // 30 February.
                if times.find_next(cronexpr::MakeTimestamp(jiff::Timestamp::UNIX_EPOCH)).is_err() {
                    check.wrong(at.get("cron"), format!("`{}` never comes", self.cron.escape_debug()));
                }
            }
            Err((is_zone, message)) => check.wrong(at.get(if is_zone { "timezone" } else { "cron" }), message),
        }
        if self.data.as_ref().is_some_and(|data| data.len() > MAX_DATA) {
            check.wrong(at.get("data"), "too much data: at most 64KiB");
        }
        let texts = [("key", self.key.as_deref()), ("subject", self.subject.as_deref())];
        for (name, text) in texts.into_iter().chain([("contentType", Some(self.content_type.as_str()))]) {
            let Some(text) = text else { continue };
            if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
                let message = format!("an event cannot have this: 1 to {MAX_TEXT} bytes, no control characters");
                check.wrong(at.get(name), message);
            }
        }
    }
}

/// Every field, as the tests of the format use it.
#[cfg(test)]
pub(in crate::config) const EXAMPLE: &str = r#"[{
    "name": "nightly", "cron": "30 4 * * MON-FRI", "timezone": "Europe/Berlin", "topic": "order.close", "key": "all",
    "subject": "orders", "data": "{}", "contentType": "application/json", "missed": "skip"
}]"#;
