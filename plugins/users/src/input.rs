//! What a user may look like. All that is wrong is said at once.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wharf_sdk::{Error, FieldError, Request};

/// Bytes in an e-mail address (RFC 5321).
const LONGEST_EMAIL: usize = 254;

/// Somebody who wants to be a user.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) username: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) name: Option<String>,
}

/// What users may change.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: Option<String>,
    pub(crate) email: String,
    pub(crate) address: Option<Address>,
}

/// Where somebody lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Address {
    line1: String,
    city: String,
    postal_code: String,
    /// ISO 3166, two letters.
    country: String,
}

/// What stands in a body: any type, so that a wrong one is reported by its name like any other mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenRegistration {
    #[serde(default)]
    username: Value,
    #[serde(default)]
    email: Value,
    #[serde(default)]
    password: Value,
    #[serde(default)]
    name: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenProfile {
    #[serde(default)]
    name: Value,
    #[serde(default)]
    email: Value,
    #[serde(default)]
    address: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct GivenAddress {
    #[serde(default)]
    line1: Value,
    #[serde(default)]
    city: Value,
    #[serde(default)]
    postal_code: Value,
    #[serde(default)]
    country: Value,
}

impl Registration {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let given: GivenRegistration = request.json()?;
        let mut wrong = Vec::new();
        let username = checked("username", &given.username, check_username, &mut wrong);
        let email = checked("email", &given.email, check_email, &mut wrong);
        let password = match &given.password {
            // As it is: a space at its end belongs to it.
            Value::String(text) => check_password(text).map(|()| text.clone()),
            Value::Null => Err("is missing".to_owned()),
            _ => Err("is not text".to_owned()),
        };
        let password = password.map_err(|detail| fault("password", detail, &mut wrong)).ok();
        let name = optional("name", &given.name, &mut wrong);
        match (username, email, password) {
            (Some(username), Some(email), Some(password)) if wrong.is_empty() => {
                Ok(Self { username, email, password, name })
            }
            _ => Err(Error::unprocessable(wrong)),
        }
    }
}

impl Profile {
    pub(crate) fn read(request: &mut Request) -> Result<Self, Error> {
        let given: GivenProfile = request.json()?;
        let mut wrong = Vec::new();
        let name = optional("name", &given.name, &mut wrong);
        let email = checked("email", &given.email, check_email, &mut wrong);
        let address = read_address(given.address, &mut wrong);
        match email {
            Some(email) if wrong.is_empty() => Ok(Self { name, email, address }),
            _ => Err(Error::unprocessable(wrong)),
        }
    }
}

fn read_address(value: Value, wrong: &mut Vec<FieldError>) -> Option<Address> {
    if value.is_null() {
        return None;
    }
    let given: GivenAddress = serde_json::from_value(value)
        .map_err(|error| fault("address", format!("is not as expected: {error}"), wrong))
        .ok()?;
    let line1 = checked("address.line1", &given.line1, check_line, wrong);
    let city = checked("address.city", &given.city, check_line, wrong);
    let postal_code = checked("address.postalCode", &given.postal_code, check_postal_code, wrong);
    let country = checked("address.country", &given.country, check_country, wrong);
    Some(Address { line1: line1?, city: city?, postal_code: postal_code?, country: country? })
}

fn fault(field: &str, detail: impl Into<String>, wrong: &mut Vec<FieldError>) {
    wrong.push(FieldError { field: field.to_owned(), detail: detail.into() });
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
    outcome.map_err(|detail| fault(field, detail, wrong)).ok()
}

fn optional(field: &str, value: &Value, wrong: &mut Vec<FieldError>) -> Option<String> {
    if value.is_null() { None } else { checked(field, value, check_line, wrong) }
}

/// Letters and digits that look the same to everybody: no name can be mistaken for another one.
fn check_username(username: &str) -> Result<(), String> {
    match username.len() {
        0..3 | 33.. => Err("has 3 to 32 characters".to_owned()),
        _ if !username.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) => {
            Err("has letters from a to z, digits, `.`, `_` and `-`".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_password(password: &str) -> Result<(), String> {
    match password.chars().count() {
        8..=128 => Ok(()),
        _ => Err("has 8 to 128 characters".to_owned()),
    }
}

fn check_line(text: &str) -> Result<(), String> {
    match text.chars().count() {
        0 => Err("is empty".to_owned()),
        101.. => Err("has more than 100 characters".to_owned()),
        _ if text.chars().any(char::is_control) => Err("has a control character".to_owned()),
        _ => Ok(()),
    }
}

fn check_postal_code(code: &str) -> Result<(), String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b' ' || byte == b'-';
    match code.len() {
        1..=12 if code.bytes().all(known) => Ok(()),
        _ => Err("has 1 to 12 letters, digits, spaces and `-`".to_owned()),
    }
}

fn check_country(country: &str) -> Result<(), String> {
    let is_code = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
    if is_code { Ok(()) } else { Err("is no code of two letters (ISO 3166), `DE` for one".to_owned()) }
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
