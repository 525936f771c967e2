//! Lines in the log of the service (`wasi:logging@0.1.0-draft`).
//!
//! The host bounds and escapes them and adds the request they belong to.

use std::fmt::Display;

use crate::platform::{self, Level};

/// A line for one who looks for a fault.
pub fn debug(message: impl Display) {
    platform::log(Level::Debug, &message.to_string());
}

/// A line that says what happened.
pub fn info(message: impl Display) {
    platform::log(Level::Info, &message.to_string());
}

/// A line about something odd that was got over.
pub fn warn(message: impl Display) {
    platform::log(Level::Warn, &message.to_string());
}

/// A line about something that failed.
pub fn error(message: impl Display) {
    platform::log(Level::Error, &message.to_string());
}
