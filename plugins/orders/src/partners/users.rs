//! `users`: is there such a user?

use std::time::Duration;

use wharf_sdk::{Call, Error, FieldError};

use super::{ask, unexpected};

const STEP: &str = "user";

pub(crate) fn check(id: &str) -> Result<(), Error> {
    let answer = ask(STEP, Call::get(format!("http://users.internal/{id}")), Duration::from_secs(3))?;
    match answer.status() {
        200 => Ok(()),
        404 => {
            let detail = "no user has this id".to_owned();
            Err(Error::unprocessable(vec![FieldError { field: "userId".to_owned(), detail }]))
        }
        _ => Err(unexpected(STEP, &answer)),
    }
}
