//! What a user may look like. All that is wrong is said at once.

use serde::Deserialize;
use serde_json::Value;
use wharf_sdk::{Error, FieldError, Request};

/// Characters in a name.
const LONGEST_NAME: usize = 100;
/// Bytes in an e-mail address (RFC 5321).
const LONGEST_EMAIL: usize = 254;

/// A name and an address that can be kept.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) email: String,
}

/// Fields of any type: a wrong one is reported by its name, like any other mistake.
#[derive(Deserialize)]
struct Given {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    email: Value,
}

impl Input {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let given: Given = request.json()?;
        let mut wrong = Vec::new();
        let name = checked("name", &given.name, check_name, &mut wrong);
        let email = checked("email", &given.email, check_email, &mut wrong);
        match (name, email) {
            (Some(name), Some(email)) => Ok(Self { name, email }),
            _ => Err(Error::invalid_fields(wrong)),
        }
    }
}

fn checked(
    field: &str,
    value: &Value,
    check: fn(&str) -> Result<(), String>,
    wrong: &mut Vec<FieldError>,
) -> Option<String> {
    let outcome = match value {
        Value::Null => Err("is missing".to_owned()),
        Value::String(text) => check(text.trim()).map(|()| text.trim().to_owned()),
        _ => Err("is not text".to_owned()),
    };
    outcome.map_err(|detail| wrong.push(FieldError { field: field.to_owned(), detail })).ok()
}

fn check_name(name: &str) -> Result<(), String> {
    match name.chars().count() {
        0 => Err("is empty".to_owned()),
        n if n > LONGEST_NAME => Err(format!("has {n} characters, at most {LONGEST_NAME} are kept")),
        _ if name.chars().any(char::is_control) => Err("has a control character".to_owned()),
        _ => Ok(()),
    }
}

/// Only what is surely wrong: whether mail arrives is known by sending one.
fn check_email(email: &str) -> Result<(), String> {
    let Some((mailbox, domain)) = email.rsplit_once('@') else {
        return Err("has no @".to_owned());
    };
    if email.len() > LONGEST_EMAIL {
        Err(format!("has {} bytes, at most {LONGEST_EMAIL} are kept", email.len()))
    } else if mailbox.is_empty() || domain.is_empty() || mailbox.contains('@') {
        Err("needs something on both sides of one @".to_owned())
    } else if email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Err("has a space or control character".to_owned())
    } else if domain.starts_with('.') || domain.ends_with('.') || domain.contains("..") {
        Err("has a domain with an empty part".to_owned())
    } else {
        Ok(())
    }
}
