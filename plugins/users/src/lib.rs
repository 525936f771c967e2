//! A service that keeps users in its key-value store.
//!
//! ```text
//! POST   /               {"name", "email"} → 201 with Location; 400 names every bad field, 409 if the e-mail is taken
//! GET    /?limit&cursor  oldest first, with the cursor of the next page
//! GET    /{id}
//! PUT    /{id}           {"name", "email"}
//! DELETE /{id}           204
//! GET    /health, /info
//! ```
//!
//! The gateway mounts it: what is `/` here is `/users` for a client, and `/{id}` is `/users/{id}`.
//!
//! [`directory`] keeps the data in order, [`input`] says what a user may look like; here is only HTTP.

mod directory;
mod input;

use std::time::SystemTime;

use serde::Serialize;
use wharf_sdk::{Error, KeyValue, Request, Response, Router, delete, get, log, post, put, serve};

use directory::{Directory, Refusal, User};
use input::Input;

static ROUTER: Router = Router::new(&[
    get("/", list),
    post("/", create),
    get("/health", health),
    get("/info", |_| Ok(Response::json(&INFO))),
    get("/{id}", read),
    put("/{id}", update),
    delete("/{id}", remove),
]);
serve!(ROUTER);

#[derive(Serialize)]
struct Info {
    name: &'static str,
    version: &'static str,
}

static INFO: Info = Info { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };

#[derive(Serialize)]
struct Page {
    users: Vec<User>,
    /// Give it back as `cursor` to get what comes after.
    next: Option<String>,
}

/// Users on one page, unless the client asks for fewer or more.
const PAGE: usize = 20;
/// The most that it may ask for.
const LARGEST_PAGE: usize = 100;

fn directory() -> Result<Directory, Error> {
    Ok(Directory::new(KeyValue::open("default")?, SystemTime::now()))
}

fn list(request: Request) -> Result<Response, Error> {
    let limit = request.query_or("limit", PAGE)?;
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Error::invalid("limit", format!("from 1 to {LARGEST_PAGE}")));
    }
    let (users, next) = directory()?.page(request.query("cursor").as_deref(), limit)?;
    Ok(Response::json(&Page { users, next }))
}

fn create(mut request: Request) -> Result<Response, Error> {
    let input = Input::read(&mut request)?;
    let user = directory()?.create(input)?;
    log::info(format_args!("created user {}", user.id));
    let location = request.url_for(&format!("/{}", user.id));
    Ok(Response::json(&user).with_status(201).header("location", &location))
}

fn read(request: Request) -> Result<Response, Error> {
    Ok(Response::json(&directory()?.get(request.param("id"))?))
}

fn update(mut request: Request) -> Result<Response, Error> {
    let input = Input::read(&mut request)?;
    let user = directory()?.update(request.param("id"), input)?;
    log::info(format_args!("changed user {}", user.id));
    Ok(Response::json(&user))
}

fn remove(request: Request) -> Result<Response, Error> {
    directory()?.delete(request.param("id"))?;
    log::info(format_args!("deleted user {}", request.param("id")));
    Ok(Response::empty(204))
}

/// Healthy is who can reach its data.
fn health(_: Request) -> Result<Response, Error> {
    KeyValue::open("default")?.exists("health")?;
    Ok(Response::text("ok\n"))
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown => Self::not_found("no user has this id"),
            Refusal::EmailTaken => Self::conflict("another user has this e-mail address"),
            Refusal::Changed => Self::conflict("the user was changed in between: read it and try again"),
            Refusal::Store(error) => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests;
