//! Users of the shop: profiles, passwords, and the tokens that say who somebody is.
//!
//! ```text
//! POST   /                        {username, email, password, name?} → 201; 409 says what is taken
//! POST   /login                   {username, password} → {token, tokenType, expiresIn, userId}; 401
//! GET    /.well-known/jwks.json   the keys with which tokens are checked
//! POST   /keys/rotate?revoke=     another key signs (administrators)
//! GET    /?limit&after, /?ids=    a page, or those of these ids (administrators and services)
//! GET, PUT, DELETE /{id}          profile {name, email, address} (the user, administrators and services)
//! GET    /health, /info
//! ```
//!
//! [`users`] keeps them, [`input`] says what they may look like, [`keys`] and [`token`] make tokens, [`caller`] knows
//! who asks; here is only HTTP. Tokens are checked by the gateway, never here.

mod caller;
mod input;
mod keys;
mod password;
mod token;
mod users;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use wharf_sdk::{
    Error, FieldError, Request, Response, Router, config, delete, get, log, migrations, post, put, serve, sql,
};

use caller::Caller;
use input::{Profile, Registration};
use users::User;

migrations!("../migrations": "0001_create_users.sql");

static ROUTER: Router = Router::new(&[
    get("/", list),
    post("/", register),
    post("/login", login),
    get("/.well-known/jwks.json", key_set),
    post("/keys/rotate", rotate),
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
    description: &'static str,
    publishes: &'static [&'static str],
    handles: &'static [&'static str],
}

static INFO: Info = Info {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    description: env!("CARGO_PKG_DESCRIPTION"),
    publishes: &["user.registered", "user.deleted"],
    handles: &[],
};

#[derive(Serialize)]
struct Page {
    items: Vec<User>,
    /// Give it back as `after` to get what comes next.
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    username: String,
    password: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LoggedIn {
    token: String,
    token_type: &'static str,
    expires_in: i64,
    user_id: String,
}

/// Users on one page, unless the client asks for fewer or more.
const PAGE: u32 = 20;
/// The most that it may ask for.
const MOST: u32 = 100;

fn register(mut request: Request) -> Result<Response, Error> {
    let registration = Registration::read(&mut request)?;
    let hash = password::hash(&registration.password)?;
    let user = users::register(registration, &hash, &config::get_or("admins", ""))?;
    log::info(format_args!("user {} is registered", user.id));
    let location = request.url_for(&format!("/{}", user.id));
    Ok(Response::json(&user).with_status(201).header("location", &location))
}

fn login(mut request: Request) -> Result<Response, Error> {
    let login: Login = request.json()?;
    let account = users::account(&login.username)?;
    let fits = password::fits(&login.password, account.as_ref().map(|account| account.password.as_str()))?;
    let Some(account) = account.filter(|_| fits) else {
        return Err(Error::new(401, "no user has this name and password"));
    };
    let ttl = token::ttl()?;
    let token = token::issue(&account, now()?, ttl)?;
    let answer = LoggedIn { token, token_type: "Bearer", expires_in: ttl, user_id: account.id };
    Ok(Response::json(&answer).header("cache-control", "no-store"))
}

fn key_set(_: Request) -> Result<Response, Error> {
    Ok(Response::json(&serde_json::json!({ "keys": keys::public(now()?)? })))
}

fn rotate(request: Request) -> Result<Response, Error> {
    Caller::of(&request).is_admin()?;
    let kid = match request.query("revoke").as_deref() {
        None | Some("false") => keys::rotate(now()?)?,
        Some("true") => keys::revoke()?,
        Some(_) => return Err(unprocessable("revoke", "is true or false".to_owned())),
    };
    log::info(format_args!("the key {kid} signs"));
    Ok(Response::json(&serde_json::json!({ "kid": kid })))
}

fn list(request: Request) -> Result<Response, Error> {
    Caller::of(&request).may_see_all()?;
    if let Some(ids) = request.query("ids") {
        let ids: Vec<_> = ids.split(',').filter(|id| !id.is_empty()).collect();
        if ids.len() > usize::try_from(MOST)? {
            return Err(unprocessable("ids", format!("has {} ids, at most {MOST} are looked up at once", ids.len())));
        }
        return Ok(Response::json(&Page { items: users::batch(&ids)?, next: None }));
    }
    let limit = request.query("limit").map_or(Ok(PAGE), |text| text.parse::<u32>());
    let limit = limit.ok().filter(|limit| (1..=MOST).contains(limit));
    let limit = limit.ok_or_else(|| unprocessable("limit", format!("is a number from 1 to {MOST}")))?;
    let (items, next) = users::page(&request.query("after").unwrap_or_default(), limit)?;
    Ok(Response::json(&Page { items, next }))
}

fn read(request: Request) -> Result<Response, Error> {
    Caller::of(&request).may_see(request.param("id"))?;
    Ok(Response::json(&users::get(request.param("id"))?))
}

fn update(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).may_see(request.param("id"))?;
    let profile = Profile::read(&mut request)?;
    Ok(Response::json(&users::update(request.param("id"), profile)?))
}

fn remove(request: Request) -> Result<Response, Error> {
    Caller::of(&request).may_see(request.param("id"))?;
    users::delete(request.param("id"))?;
    log::info(format_args!("user {} is deleted", request.param("id")));
    Ok(Response::empty(204))
}

/// Healthy is who can reach its data.
fn health(_: Request) -> Result<Response, Error> {
    sql::first::<(i64,)>("SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1)", &[])?;
    Ok(Response::text("ok\n"))
}

fn unprocessable(field: &str, detail: String) -> Error {
    Error::unprocessable(vec![FieldError { field: field.to_owned(), detail }])
}

/// Seconds since 1970.
fn now() -> Result<i64, Error> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

#[cfg(test)]
mod tests;
