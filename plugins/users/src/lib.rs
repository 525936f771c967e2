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
//! [`users`] keeps them, [`input`] says what they may look like, [`keys`] and [`token`] make tokens; here is only
//! HTTP. Tokens are checked by the gateway, never here.

mod input;
mod keys;
mod password;
mod token;
mod users;

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use shop::{Caller, Info, LARGEST_PAGE, Listing, Page, unprocessable};
use wharf_sdk::{Error, Request, Response, Router, config, delete, get, log, migrations, post, put, serve};

use input::{Profile, Registration};

migrations!("../migrations": "0001_create_users.sql");
wharf_sdk::openapi!("../openapi.yaml");

static ROUTER: Router = Router::new(&[
    get("/", list),
    post("/", register),
    post("/login", login),
    get("/.well-known/jwks.json", key_set),
    post("/keys/rotate", rotate),
    get("/health", |_| shop::health("users")),
    get("/info", |_| INFO.show()),
    get("/{id}", read),
    put("/{id}", update),
    delete("/{id}", remove),
]);
serve!(ROUTER);

static INFO: Info = shop::info! {
    publishes: ["user.registered", "user.deleted"],
    handles: [],
};

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
    Caller::of(&request).check_admin()?;
    let kid = match request.query("revoke").as_deref() {
        None | Some("false") => keys::rotate(now()?)?,
        Some("true") => keys::revoke()?,
        Some(_) => return Err(unprocessable("revoke", "is true or false")),
    };
    log::info(format_args!("the key {kid} signs"));
    Ok(Response::json(&serde_json::json!({ "kid": kid })))
}

fn list(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_inside()?;
    if let Some(ids) = request.query("ids") {
        let ids: Vec<_> = ids.split(',').filter(|id| !id.is_empty()).collect();
        if ids.len() > usize::try_from(LARGEST_PAGE)? {
            let detail = format!("has {} ids, at most {LARGEST_PAGE} are looked up at once", ids.len());
            return Err(unprocessable("ids", detail));
        }
        return Ok(Response::json(&Page::whole(users::batch(&ids)?)));
    }
    Ok(Response::json(&users::page(&Listing::read(&request)?)?))
}

fn read(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_may_act_for(request.param("id"))?;
    Ok(Response::json(&users::get(request.param("id"))?))
}

fn update(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_may_act_for(request.param("id"))?;
    let profile = Profile::read(&mut request)?;
    Ok(Response::json(&users::update(request.param("id"), profile)?))
}

fn remove(request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_may_act_for(request.param("id"))?;
    users::delete(request.param("id"))?;
    log::info(format_args!("user {} is deleted", request.param("id")));
    Ok(Response::empty(204))
}

/// Seconds since 1970.
fn now() -> Result<i64, Error> {
    Ok(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?)
}

#[cfg(test)]
mod tests;
