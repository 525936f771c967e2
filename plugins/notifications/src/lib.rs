//! Messages to the users of the shop.
//!
//! ```text
//! POST /                    {"userId", "kind", "data"} → 201 (other services); the same again
//! GET  /?userId&after&limit the newest first (one's own, or for administrators)
//! GET  /health, /info
//! ```
//!
//! There is one message of a kind about one thing, whether a call asked for it or an event, and however often.
//! [`template`] has the texts, [`messages`] keeps them, [`events`] is what is heard.

mod caller;
mod events;
mod messages;
mod template;

use serde::{Deserialize, Serialize};
use serde_json::json;
use wharf_sdk::{Error, FieldError, Request, Response, Router, get, post, serve, serve_events, sql};

use caller::Caller;
use events::EVENTS;
use template::{Facts, Kind};

wharf_sdk::migrations!("../migrations": "0001_messages.sql");

static ROUTER: Router = Router::new(&[
    post("/", write),
    get("/", list),
    get("/health", health),
    get("/info", |_| Ok(Response::json(&INFO))),
]);
serve!(ROUTER);
serve_events!(EVENTS);

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
    publishes: &["notification.sent"],
    handles: &["user.registered", "order.confirmed", "order.cancelled", "shipping.scheduled", "shipping.delivered"],
};

const PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    user_id: String,
    kind: String,
    #[serde(default)]
    data: Facts,
}

fn write(mut request: Request) -> Result<Response, Error> {
    Caller::of(&request).check_admin()?;
    let Input { user_id, kind, data } = request.json()?;
    let invalid =
        |field: &str, detail: String| Error::unprocessable(vec![FieldError { field: field.to_owned(), detail }]);
    if !is_id(&user_id) {
        return Err(invalid("userId", "is to be the id of a user".to_owned()));
    }
    if data.order_id.as_deref().is_some_and(|id| !is_id(id)) {
        return Err(invalid("data.orderId", "is to be the id of an order".to_owned()));
    }
    let kinds = || invalid("kind", format!("is to be one of {}", Kind::ALL.map(Kind::name).join(", ")));
    let kind = Kind::named(&kind).ok_or_else(kinds)?;
    Ok(Response::json(&messages::write(&user_id, kind, &data)?).with_status(201))
}

fn list(request: Request) -> Result<Response, Error> {
    let limit = request.query_or("limit", PAGE)?;
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Error::invalid("limit", format!("from 1 to {LARGEST_PAGE}")));
    }
    let caller = Caller::of(&request);
    let user = match (request.query("userId"), &caller) {
        (None, Caller::User { id, admin: false }) => Some(id.clone()),
        (user, _) => user,
    };
    if user.as_ref().is_some_and(|user| !caller.may_act_for(user)) {
        return Err(Error::new(403, "these are the messages of somebody else"));
    }
    let (items, next) = messages::page(user, request.query("after"), limit)?;
    Ok(Response::json(&json!({ "items": items, "next": next })))
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Healthy is who can reach its data.
fn health(_: Request) -> Result<Response, Error> {
    sql::first::<(i64,)>("SELECT 1 FROM messages LIMIT 1", &[])?;
    Ok(Response::text("ok\n"))
}

#[cfg(test)]
mod tests;
