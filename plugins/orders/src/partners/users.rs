//! `users`: is there such a user?

use std::time::Duration;

use shop::unprocessable;
use wharf_sdk::{Call, Error};

use super::{ask, unexpected};

const STEP: &str = "user";

pub(crate) fn check(id: &str) -> Result<(), Error> {
    let answer = ask(STEP, Call::get(format!("http://users.internal/{id}")), Duration::from_secs(3))?;
    match answer.status() {
        200 => Ok(()),
        404 => Err(unprocessable("userId", "no user has this id")),
        _ => Err(unexpected(STEP, &answer)),
    }
}
